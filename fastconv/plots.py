"""Figures: matplotlib is used here and nowhere else.

Every function returns a matplotlib Figure that belongs to no window and no global state; save it with
``figure.savefig(path)``. Colours are told apart by colour-blind readers too: Okabe and Ito's for lines and bars,
cividis for areas, tints of blue and vermillion for two classes.
"""

import re

import numpy as np

try:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogFormatter
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


def confusion_matrix(matrix, class_names, title):
    """Return a figure of a confusion matrix: shares of each true class as colours, counts as numbers.

    Parameters
    ----------
    matrix : (K, K) int
        Row: true class, column: predicted class.
    class_names : list of str
    title : str

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
    size = min(11, 130 / shares.shape[1])
    for row, column in np.argwhere(words != ""):
        colour = "black" if shares[row, column] > 0.55 else "white"
        axes.text(column, row, words[row, column], ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(column_names)), column_names, rotation=90, fontsize=9)
    axes.set_yticks(range(len(row_names)), row_names, fontsize=9)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, label=label, shrink=0.8, pad=0.02)
    return figure


def loss_curves(histories):
    """Return a figure of the losses and of the validation accuracy over the updates.

    Parameters
    ----------
    histories : dict of str to History or list of dict
        By label; records with ``update``, ``train_loss``, ``validation_loss`` and ``validation_accuracy``.

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
    figure = Figure(figsize=(WIDTH, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    handles = []
    for (label, history), colour in zip(histories.items(), COLOURS, strict=False):
        records = getattr(history, "records", history)
        updates = [record["update"] for record in records]
        marker = {"marker": "o", "markersize": 3}
        upper.plot(updates, [record["train_loss"] for record in records], color=colour, **marker)
        upper.plot(updates, [record["validation_loss"] for record in records], color=colour, linestyle="--", **marker)
        lower.plot(updates, [100 * record["validation_accuracy"] for record in records], color=colour, **marker)
        handles.append(Line2D([], [], color=colour, label=label))
    handles.append(Line2D([], [], color=GREY, label="training batches"))
    handles.append(Line2D([], [], color=GREY, linestyle="--", label="validation"))
    upper.set_ylabel("loss (nats)")
    upper.set_ylim(bottom=0)
    lower.set_ylabel("validation accuracy (%)")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("updates")
    lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
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
