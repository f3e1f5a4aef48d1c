"""Figures: matplotlib is used here and nowhere else.

Every function returns a matplotlib Figure that belongs to no window and no global state; save it with
``figure.savefig(path)``. Colours are told apart by colour-blind readers too: Okabe and Ito's for lines and bars,
cividis for areas, tints of blue and vermillion for two classes.
"""

import re
from itertools import cycle

import numpy as np

from fastconv.arrays import positive
from fastconv.calibration import reliability
from fastconv.ngrams import strongest_ngrams

try:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator, MaxNLocator, NullFormatter
except ImportError as error:
    raise ImportError("fastconv.plots needs matplotlib: pip install fastconv[plot]") from error

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW)
GREY = "#6b6b6b"
TWO_CLASSES = LinearSegmentedColormap.from_list("two classes", ["#9cc8e6", "white", "#f3b98c"])
"""Tints of blue and vermillion, for the probability of one of two classes."""
WIDTH = 6.2
"""Inches."""
LABELS = 32
"""Classes along an axis that have room for a label each."""
LONGEST = 25
"""Characters of a class's name."""
LEGIBLE = 4.5
"""Points; smaller numbers are left out."""


def confusion_matrix(matrix, class_names, title=""):
    """Return a figure of a confusion matrix: shares of each true class as colours, counts as numbers.

    Of more than 32 classes only some are labelled, and numbers that would be too small to read are left out.

    Parameters
    ----------
    matrix : (K, K) int
        Row: true class, column: predicted class.
    class_names : sequence of str
        Or of other labels. Long names are cut.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> figure = plots.confusion_matrix([[3, 1], [0, 4]], ["left", "right"], "Two classes")
    >>> figure.axes[0].get_xlabel()
    'predicted class'
    """
    matrix = np.asarray(matrix)
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros(matrix.shape), where=sums > 0)
    words = np.where(matrix > 0, matrix.astype(str), "")
    figure = _heat_map(shares, words, class_names, class_names, WIDTH * 0.92, "share of the true class (%)")
    figure.axes[0].set(xlabel="predicted class", ylabel="true class", title=title)
    return figure


def _heat_map(shares, words, row_names, column_names, height, label):
    """Shares as colours, with a word in each cell."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * shares, cmap="cividis", vmin=0, vmax=100)
    size = min(11, 130 / shares.shape[1], 440 / shares.shape[1] / max(1, np.strings.str_len(words).max()))
    names = 9 if max(shares.shape) <= 24 else 7
    for row, column in np.argwhere(words != "") if size >= LEGIBLE else ():
        colour = "black" if shares[row, column] > 0.55 else "white"
        axes.text(column, row, words[row, column], ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(*_thinned(column_names), rotation=90, fontsize=names, parse_math=False)
    axes.set_yticks(*_thinned(row_names), fontsize=names, parse_math=False)
    axes.tick_params(length=0 if max(shares.shape) <= LABELS else 2)
    figure.colorbar(image, ax=axes, label=label, shrink=0.8, pad=0.02)
    return figure


def _thinned(names):
    """Return the places of the names that are shown, evenly spaced, and the names, cut where they are long."""
    step = -(-len(names) // LABELS)
    shown = [str(name) for name in names[::step]]
    return range(0, len(names), step), [n if len(n) <= LONGEST else n[: LONGEST - 1] + "…" for n in shown]


def loss_curves(histories):
    """Return a figure of the losses and of the accuracy over the updates.

    The accuracy is the validation's; where there is no validation it is that of the training batches.

    Parameters
    ----------
    histories : History, list of dict, or dict of str to either
        By label, if there are several; records with ``update``, ``train_loss`` and, where there was a validation,
        ``validation_loss`` and ``validation_accuracy``, else ``train_accuracy``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> record = {"update": 9, "train_loss": 2.0, "validation_loss": 2.1, "validation_accuracy": 0.3}
    >>> len(plots.loss_curves({"plain": [record]}).axes)
    2
    """
    histories = histories if isinstance(histories, dict) else {"": histories}
    runs = {label: getattr(history, "records", history) for label, history in histories.items()}
    validated = any("validation_loss" in record for records in runs.values() for record in records)
    accuracy = "validation_accuracy" if validated else "train_accuracy"
    figure = Figure(figsize=(WIDTH, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    handles = []
    for (label, records), colour in zip(runs.items(), cycle(COLOURS)):
        style = {"color": colour, "marker": "o" if len(records) <= 100 else None, "markersize": 3}
        for axes, key, factor, line in (
            (upper, "train_loss", 1, "-"),
            (upper, "validation_loss", 1, "--"),
            (lower, accuracy, 100, "-"),
        ):
            points = [(record["update"], factor * record[key]) for record in records if key in record]
            if points:
                axes.plot(*zip(*points, strict=True), linestyle=line, **style)
        if label:
            handles.append(Line2D([], [], color=colour, label=label))
    if validated:
        handles.append(Line2D([], [], color=GREY, label="training batches"))
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="validation"))
    upper.set_ylabel("loss (nats)")
    upper.set_ylim(bottom=0)
    lower.set_ylabel(f"{'validation' if validated else 'training'} accuracy (%)")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("updates")
    lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def reliability_diagram(probabilities, labels, bins=15, sample_weight=None, title=""):
    """Return a figure of how often predictions are right over how confident they are, and how many there are.

    Above, each bin's accuracy stands at its mean confidence; on the diagonal probabilities mean what they say, and the
    lines to it are what the expected calibration error is the mean of. Below is each bin's share of the samples.

    Parameters
    ----------
    probabilities : (N, K) array
    labels : (N,) int
        0..K-1.
    bins : int
    sample_weight : (N,) array, optional
        As for :func:`fastconv.calibration.reliability`.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, figure 1.

    Examples
    --------
    >>> from fastconv import plots
    >>> figure = plots.reliability_diagram([[0.75, 0.25], [0.4, 0.6]], [0, 0])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['accuracy (%)', 'samples (%)']
    """
    table = reliability(probabilities, labels, bins, sample_weight)
    there = table["share"] > 0
    confidence, accuracy, share = (100 * table[name][there] for name in ("confidence", "accuracy", "share"))
    error = np.sum(share * np.abs(accuracy - confidence)) / 100
    figure = Figure(figsize=(WIDTH * 0.8, WIDTH), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 100], [0, 100], color=GREY, linestyle="--", label="probabilities that mean what they say")
    upper.vlines(confidence, np.minimum(accuracy, confidence), np.maximum(accuracy, confidence), color=VERMILLION)
    upper.plot(
        confidence, accuracy, color=BLUE, marker="o", label=f"{len(labels):,} samples, calibration error {error:.1f} %"
    )
    edges = np.linspace(0, 100, bins + 1)
    lower.stairs(100 * table["share"], edges, color=BLUE, fill=True)
    lower.set_ylim(0, 105 * table["share"].max())
    upper.set(ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 102), title=title)
    lower.set(xlabel="confidence: probability of the likeliest class (%)", ylabel="samples (%)")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", fontsize=9, frameon=False)
    return figure


def filter_ngrams(net, alphabet, strings, filters=16, top=5, keep="start"):
    """Return a figure of the n-grams that the filters of a character network's first layer respond to most.

    Parameters
    ----------
    net : Sequential
    alphabet : Alphabet
    strings : sequence of str
        As for :func:`fastconv.ngrams.strongest_ngrams`, which see for how n-grams are written; a space is ``␣``.
    filters : int
        How many to show, those with the largest responses first.
    top : int
        N-grams of a filter.
    keep : {"start", "end"}

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each filter, with bars of the responses before the activation.

    Examples
    --------
    >>> import fastconv as fc
    >>> alphabet = fc.Alphabet("ab")
    >>> net = fc.Sequential([fc.OneHotConv1D(2, 2), fc.Flatten()], input=fc.OneHotInput(length=3, depth=2))
    >>> net.params["0.w"][..., 0], net.params["0.w"][..., 1] = [[1, 0], [0, 1]], [[0, 3], [3, 0]]
    >>> figure = fc.plots.filter_ngrams(net, alphabet, ["ab", "ba"], top=2)
    >>> [(axes.get_title(), [label.get_text() for label in axes.get_yticklabels()]) for axes in figure.axes]
    [('filter 1', ['ba', 'b·']), ('filter 0', ['ab', 'a·'])]
    """
    filters = positive("filter_ngrams: filters", filters)
    strongest = strongest_ngrams(net, alphabet, strings, top, keep)
    shown = sorted(range(len(strongest)), key=lambda f: -strongest[f][0][1])[:filters]
    longest = max(len(ngram) for f in shown for ngram, _ in strongest[f])
    columns = max(1, min(4, len(shown), 40 // longest))
    lines = -(-len(shown) // columns)
    bars = max(map(len, strongest))
    figure = Figure(figsize=(WIDTH, 0.6 + lines * (0.35 + 0.16 * bars)), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, squeeze=False)
    for axes, f in zip(grid.flat, shown, strict=False):
        ngrams, responses = zip(*strongest[f], strict=True)
        axes.barh(range(len(ngrams)), responses, color=BLUE)
        words = [ngram.replace(" ", "␣") for ngram in ngrams]
        axes.set_yticks(range(len(ngrams)), words, fontsize=8, family="monospace", parse_math=False)
        axes.set_ylim(bars - 0.4, -0.6)
        axes.set_title(f"filter {f}", fontsize=9, pad=3)
        axes.tick_params(labelsize=8, length=2)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(shown) - columns) : len(shown)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("response before the activation", fontsize=10)
    return figure


def curves(panels, xlabel, ylabel, columns=2, logarithmic=False, dashed=(), rates=False, points=()):
    """Return a figure of lines in small panels that share their axes.

    Parameters
    ----------
    panels : dict of str to dict of str to (x, y)
        By the panel's title, lines by label; a line has the same colour in all panels. A panel's title may be empty.
    xlabel, ylabel : str
        With the unit.
    columns : int
        Panels side by side.
    logarithmic : bool
        Draw y on a logarithmic axis.
    dashed : iterable of str
        Labels of lines that are dashed.
    rates : bool
        Draw x on a logarithmic axis, as for rates and factors.
    points : iterable of str
        Labels of lines that are single points, each label's with a marker of its own.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> lines = {"training": ([1, 2], [2.0, 1.5]), "validation": ([1, 2], [2.1, 1.9])}
    >>> figure = plots.curves({"plain": lines, "dropout": lines}, "epochs", "loss (nats)", dashed=["validation"])
    >>> [axes.get_title() for axes in figure.axes]
    ['plain', 'dropout']
    """
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    height = 3.9 if columns == 1 else 0.6 + WIDTH * (0.75 if columns == 2 else 0.9) / columns
    figure = Figure(figsize=(WIDTH, 0.6 + height * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel))
    styles = {
        label: {"color": COLOURS[i % len(COLOURS)], "linestyle": "--" if label in dashed else "-"}
        | ({"linestyle": "", "marker": "osD^v"[i % 5], "markersize": 6} if label in points else {})
        for i, label in enumerate(labels)
    }
    for axes, (title, panel) in zip(grid.flat, panels.items(), strict=False):
        for label, (x, y) in panel.items():
            axes.plot(x, y, **{"linewidth": 1.4, "marker": "o" if len(x) < 2 else None} | styles[label])
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=9)
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(_Plain())
            axes.yaxis.set_minor_formatter(_Plain())
        if rates:
            axes.set_xscale("log")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    whole = all(np.all(np.mod(x, 1) == 0) for panel in panels.values() for x, _ in panel.values())
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)
        if not rates:
            axes.xaxis.get_major_locator().set_params(integer=whole)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    figure.supxlabel(xlabel, fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    if labels != [""]:
        handles = [Line2D([], [], label=label, **style) for label, style in styles.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


class _Plain(LogFormatter):
    """Plain numbers where matplotlib labels a logarithmic axis."""

    def __call__(self, x, pos=None):
        return f"{x:,g}" if super().__call__(x, pos) else ""


def image_grid(images, titles=None, marked=(), columns=5):
    """Return a sheet of images.

    Parameters
    ----------
    images : (N, H, W, C) array
        C is 1 (grey) or 3. uint8, or numbers that are drawn from the smallest to the largest of each image.
    titles : list of str, optional
        One for each image.
    marked : iterable of int
        Indices of images that get a red frame and title.
    columns : int

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import plots
    >>> len(plots.image_grid(np.zeros((6, 8, 8, 1)), columns=3).axes)
    6
    """
    images = np.asarray(images)
    columns, marked = min(columns, len(images)), set(marked)
    lines = -(-len(images) // columns)
    side = WIDTH / columns
    figure = Figure(figsize=(WIDTH, lines * (side + 0.25 * (titles is not None))), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for i, (axes, image) in enumerate(zip(grid.flat, images, strict=False)):
        if image.dtype != np.uint8:
            low, high = image.min(), image.max()
            image = (image - low) / (high - low or 1)
        axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=VERMILLION if i in marked else GREY, linewidth=2.5 if i in marked else 0.5)
        if titles is not None:
            axes.set_title(titles[i], fontsize=9, color=VERMILLION if i in marked else "black", pad=3)
    for axes in grid.flat[len(images) :]:
        axes.set_axis_off()
    return figure


def heat_map(shares, row_names, column_names, xlabel, ylabel, label):
    """Return a figure of a table of shares: as colours, and as numbers in percent.

    Parameters
    ----------
    shares : (R, C) float
        From 0 to 1.
    row_names, column_names : list of str
    xlabel, ylabel : str
        What the columns and the rows are.
    label : str
        What the shares are, with the unit.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> figure = plots.heat_map([[0.5, 1.0]], ["plain"], ["left", "right"], "class", "loss", "accuracy (%)")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50', '100']
    """
    shares = np.asarray(shares, np.float64)
    words = np.array([[f"{100 * share:.0f}" for share in row] for row in shares])
    figure = _heat_map(shares, words, row_names, column_names, 1.8 + 0.3 * len(shares), label)
    figure.axes[0].set(xlabel=xlabel, ylabel=ylabel, aspect="auto")
    return figure


def decision_regions(panels, x, y, class_names):
    """Return a figure of how classifiers of two classes divide the plane, each with the same points.

    A line stands where both classes are as probable.

    Parameters
    ----------
    panels : dict of str to callable
        By the panel's title; each is given points (n, 2) float32 and returns the probability of the second class, (n,),
        or the class.
    x : (N, 2) array
        Points that are drawn.
    y : (N,) int
        Their classes, 0 or 1.
    class_names : pair of str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import plots
    >>> x, y = np.array([[-1.0, 0.0], [1.0, 0.0]]), [0, 1]
    >>> figure = plots.decision_regions({"a line": lambda p: p[:, 0] > 0}, x, y, ("left", "right"))
    >>> figure.axes[0].get_title()
    'a line'
    """
    x, y = np.asarray(x), np.asarray(y)
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    reach = 1.1 * np.abs(x).max()
    side = np.linspace(-reach, reach, 201, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    shares = [100 * np.asarray(predict(plane), np.float64).reshape(2 * [len(side)]) for predict in panels.values()]
    graded = any(np.any((values > 0) & (values < 100)) for values in shares)
    height = 0.7 + 0.6 * graded + lines * (0.3 + (WIDTH - 0.8) / max(columns, 2))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, title, values in zip(grid.flat, panels, shares, strict=False):
        extent = (-reach, reach, -reach, reach)
        area = axes.imshow(values, TWO_CLASSES, origin="lower", extent=extent, vmin=0, vmax=100)
        if values.min() < 50 < values.max():
            axes.contour(side, side, values, levels=[50], colors="black", linewidths=1.2)
        for k, (colour, marker) in enumerate(((BLUE, "o"), (VERMILLION, "^"))):
            points = {"s": 11, "color": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.4}
            axes.scatter(*x[y == k].T, **points, label=class_names[k])
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=9)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("first coordinate")
    for axes in grid[:, 0]:
        axes.set_ylabel("second coordinate")
    if graded:
        bar = figure.colorbar(area, ax=grid, orientation="horizontal", shrink=0.6, aspect=35, pad=0.03)
        bar.set_label(f"probability of {class_names[1]} (%)")
        bar.ax.tick_params(labelsize=9)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, fontsize=9, frameon=False, markerscale=1.8)
    return figure


def accuracy_by_class(class_names, shares, title, limits=(0, 100), xlabel="share (%)"):
    """Return a figure of a share for each class.

    Parameters
    ----------
    class_names : list of str
    shares : dict of str to list of float or None
        By label, for each class a share from 0 to 1, or None where there is none.
    title : str
    limits : (float, float)
        Of the axis, in percent.
    xlabel : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> figure = plots.accuracy_by_class(["left", "right"], {"here": [0.75, 1.0]}, "Two classes")
    >>> figure.axes[0].get_xlabel()
    'share (%)'
    """
    k = len(class_names)
    figure = Figure(figsize=(WIDTH, 1.6 + 0.3 * k), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(k)
    shifts = np.linspace(-0.2, 0.2, len(shares)) if len(shares) > 1 else [0.0]
    for (label, values), shift, colour, marker in zip(shares.items(), shifts, COLOURS, "osD^v", strict=False):
        numbers = np.array([np.nan if value is None else 100 * value for value in values])
        axes.scatter(numbers, places + shift, color=colour, marker=marker, s=32, label=label, zorder=3, clip_on=False)
    for place in places[:-1]:
        axes.axhline(place + 0.5, color=GREY, linewidth=0.5, alpha=0.4)
    axes.set_yticks(places, class_names)
    axes.set_ylim(k - 0.4, -0.6)
    axes.set_xlim(limits)
    axes.set_xlabel(xlabel)
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def timing_bars(rows, updates=100):
    """Return a figure of the timing of several implementations, on a logarithmic axis.

    Parameters
    ----------
    rows : list of dict
        With ``name``, ``threads``, ``seconds`` and ``scaled_from`` (None, or the number of updates really timed).
    updates : int
        That the seconds are for.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> rows = [{"name": "fastconv", "threads": 1, "seconds": 0.02, "scaled_from": None}]
    >>> plots.timing_bars(rows).axes[0].get_xscale()
    'log'
    """
    rows = sorted(rows, key=lambda row: row["seconds"])
    words = [_seconds(row["seconds"]) + (" (scaled)" if row["scaled_from"] else "") for row in rows]
    seconds = [row["seconds"] for row in rows]
    return _bars(rows, seconds, words, f"seconds for {updates:,} updates (logarithmic)")


def prediction_bars(rows):
    """Return a figure of the names a second that several implementations predict, on a logarithmic axis.

    Parameters
    ----------
    rows : list of dict
        With ``name``, ``threads`` and ``names_per_second``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> rows = [{"name": "fastconv", "threads": 1, "names_per_second": 2e6}]
    >>> plots.prediction_bars(rows).axes[0].get_xscale()
    'log'
    """
    rows = sorted(rows, key=lambda row: -row["names_per_second"])
    rates = [row["names_per_second"] for row in rows]
    return _bars(rows, rates, [f"{rate:,.0f}" for rate in rates], "names a second (logarithmic)")


def image_bars(rows):
    """Return a figure of the images a second that several implementations predict by each network.

    Parameters
    ----------
    rows : list of dict
        With ``net``, ``name``, ``threads`` and ``images_per_second``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> rows = [{"net": "G", "name": "fastconv", "threads": 1, "images_per_second": 2e4}]
    >>> plots.image_bars(rows).axes[0].get_xscale()
    'log'
    """
    rows = sorted(rows, key=lambda row: (row["net"], -row["images_per_second"]))
    rates = [row["images_per_second"] for row in rows]
    words = [f"{rate:,.0f}" for rate in rates]
    return _bars(rows, rates, words, "images a second (logarithmic)", [f"{row['net']}: " for row in rows])


def _bars(rows, values, words, label, before=None):
    """Horizontal bars with words at their ends, one for each implementation and number of threads."""
    figure = Figure(figsize=(WIDTH, 1.0 + 0.27 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    names = [
        f"{start}{row['name']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        for start, row in zip(before or [""] * len(rows), rows, strict=True)
    ]
    low, high = min(values) / 3, max(values)
    axes.barh(names, values, color=[BLUE if row["name"] == "fastconv" else GREY for row in rows])
    for place, (value, text) in enumerate(zip(values, words, strict=True)):
        if value > (low * high) ** 0.5:  # a long bar holds its label
            axes.text(value, place, f" {text} ", va="center", ha="right", color="white", fontsize=9)
        else:
            axes.text(value, place, f" {text}", va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(low, high * 1.5)
    if high < 1000 * low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


def _seconds(value):
    return f"{value:,.1f} s" if value >= 1 else f"{1000 * value:,.3g} ms"


PASS = re.compile(r"(.*?)(, pooled)?(?: (forward|backward|dw|dx))?")
"""A kernel's name, whether max-pooling follows, and the pass."""
FACES = {None: None, "forward": None, "backward": "white", "dx": "white", "dw": "#c8c8c8"}
"""Inside of a pass's marker; None: the colour of its outline."""
WORDS = {"forward": "filled", "backward": "open", "dx": "open", "dw": "grey"}


def roofline(result):
    """Return a figure of the rate of each kernel over its arithmetic intensity, with the roofs of the machine.

    Parameters
    ----------
    result : dict
        Of :func:`fastconv.bench.roofline.run` or :func:`fastconv.bench.convolutions.run`.

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
    2009.

    Examples
    --------
    >>> from fastconv import plots
    >>> row = {"kernel": "conv1d", "level": "avx2", "intensity": 30.0, "gflops": 90.0}
    >>> result = {"rows": [row], "peaks": {"avx2": 120.0}, "bandwidths": {"memory": 20.0}}
    >>> plots.roofline(result).axes[0].get_xlabel()
    'arithmetic intensity (FLOP/byte)'
    """
    rows, peaks, bandwidths = result["rows"], result["peaks"], result["bandwidths"]
    parts = [PASS.fullmatch(row["kernel"]).groups() for row in rows]
    kernels = list(dict.fromkeys(kernel for kernel, *_ in parts))
    colours = dict(zip(peaks, COLOURS, strict=False))
    markers = dict(zip(kernels, "osD*^vPX", strict=False))
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    axes = figure.add_subplot()
    left, right = 0.5 * min(row["intensity"] for row in rows), 2 * max(row["intensity"] for row in rows)
    top, slope = max(peaks.values()), max(bandwidths.values())
    for (level, peak), colour in zip(peaks.items(), colours.values(), strict=True):
        axes.plot([peak / slope, right], [peak, peak], color=colour, linewidth=1.2, zorder=1)
        axes.annotate(
            f"{level}: {peak:.0f} GFLOP/s", (max(left, top / slope), peak), xytext=(4, 3), textcoords="offset points",
            fontsize=9, color=colour,
        )  # fmt: skip
    for (name, rate), style in zip(bandwidths.items(), ("--", ":"), strict=False):
        axes.plot([left, top / rate], [left * rate, top], color=GREY, linewidth=1.2, linestyle=style, zorder=1)
        axes.plot([], [], color=GREY, linewidth=1.2, linestyle=style, label=f"{name}: {rate:.0f} GB/s")
    for row, (kernel, pooled, which) in zip(rows, parts, strict=True):
        colour = VERMILLION if pooled else colours[row["level"]]
        face = FACES[which] or colour
        axes.scatter(
            row["intensity"], row["gflops"], s=110 if markers[kernel] == "*" else 45, marker=markers[kernel],
            facecolors=face, edgecolors=colour, linewidths=1.4, zorder=3,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(0.5 * min(row["gflops"] for row in rows), 1.8 * max(top, *(row["gflops"] for row in rows)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("arithmetic intensity (FLOP/byte)")
    axes.set_ylabel("effective rate of one core (GFLOP/s)")
    axes.grid(alpha=0.3)
    shapes = [Line2D([], [], linestyle="", marker=markers[name], color=GREY, label=name) for name in kernels]
    for which in dict.fromkeys(which or "forward" for *_, which in parts):
        style = {"linestyle": "", "marker": "o", "color": GREY, "markerfacecolor": FACES[which] or GREY}
        shapes.append(Line2D([], [], **style, label=f"{WORDS[which]}: {which}"))
    if any(pooled for _, pooled, _ in parts):
        shapes.append(Line2D([], [], linestyle="", marker="o", color=VERMILLION, label="red: with max-pooling"))
    lines, _ = axes.get_legend_handles_labels()
    figure.legend(handles=[*shapes, *lines], loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def gradient_errors(batches, here, original=None, goal=None):
    """Return a figure of the relative errors of a gradient check, on a logarithmic axis.

    Parameters
    ----------
    batches : list of int
        Batch sizes.
    here : dict of str to list of float
        For each parameter its error at each batch size.
    original : dict of str to list of float, optional
        What to compare with.
    goal : float, optional
        The error that none should exceed.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastconv import plots
    >>> plots.gradient_errors([2, 18], {"F1": [1e-11, 2e-11]}).axes[0].get_yscale()
    'log'
    """
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(batches))
    for shift, (name, colour) in zip(
        np.linspace(-0.18, 0.18, len(here)), zip(here, COLOURS, strict=False), strict=True
    ):
        axes.scatter(places + shift, here[name], color=colour, s=45, label=f"{name}, here", zorder=3)
        if original:
            style = {"facecolors": "none", "edgecolors": colour, "marker": "s", "s": 45}
            axes.scatter(places + shift, original[name], **style, label=f"{name}, original", zorder=3)
    if goal:
        axes.axhline(goal, color=GREY, linestyle="--", label=f"goal: at most {goal:.0e}")
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{batch:,}" for batch in batches])
    axes.set_xlim(-0.5, len(batches) - 0.5)
    axes.set_xlabel("names in the batch")
    axes.set_ylabel("mean relative error")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure
