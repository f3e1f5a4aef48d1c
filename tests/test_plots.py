"""Figures: drawn without a window or global state, labelled, and showing the numbers that they were given."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import fastconv as fc
from fastconv import plots
from fastconv.errors import RangeError

LANGUAGES = [f"Language {i}" for i in range(18)]


def record(update, loss):
    return {
        "update": update,
        "train_loss": loss,
        "validation_loss": loss + 0.5,
        "validation_accuracy": update / 100,
    }


def timing_rows():
    return [
        {"name": "naive kron", "threads": 1, "seconds": 82.0, "scaled_from": 3},
        {"name": "fastconv", "threads": 2, "seconds": 0.02, "scaled_from": None},
    ]


def prediction_rows():
    return [
        {"name": "PyTorch eager, one-hot data set", "threads": 1, "names_per_second": 309_900.0},
        {"name": "fastconv", "threads": 2, "names_per_second": 5_667_032.0},
    ]


def roofline_result():
    kernels = {"onehot_conv1d": 1.2, "conv1d": 31.0, "conv1d backward": 40.0, "dense": 8.4, "whole update": 141.6}
    rows = [
        {"kernel": kernel, "level": level, "intensity": intensity, "gflops": rate * intensity**0.5}
        for kernel, intensity in kernels.items()
        for level, rate in (("base", 3.0), ("avx512", 20.0))
    ]
    bandwidths = {"L2 cache": 161.0, "memory": 26.0}
    return {"rows": rows, "peaks": {"base": 56.0, "avx512": 242.0}, "bandwidths": bandwidths}


def confusion(rng, classes, largest):
    return rng.integers(0, largest, (classes, classes)) + np.diag(rng.integers(0, 20 * largest, classes))


def probabilities(rng):
    shares = rng.dirichlet(np.full(4, 0.4), 300)
    return shares, np.array([rng.choice(4, p=share) for share in shares])


def character_network(filters=6, kernel_size=3, **options):
    alphabet = fc.Alphabet("ab $", markers=True, **options)
    layers = [fc.OneHotConv1D(filters, kernel_size), fc.ReLU(), fc.GlobalMaxPool1D(), fc.Dense(2)]
    return fc.Sequential(layers, input=fc.OneHotInput(8, len(alphabet))), alphabet


def points(rng):
    return rng.normal(size=(40, 2)), np.arange(40) % 2


def figures():
    """What draws a figure of each kind, of sizes that studies and users have."""
    rng = np.random.default_rng(0)
    shares = {label: rng.random(18).tolist() for label in ("here", "original")}
    return {
        "confusion_matrix": lambda: plots.confusion_matrix(
            rng.integers(0, 15, (18, 18)), LANGUAGES, "Validation names"
        ),
        "confusion_matrix of 2": lambda: plots.confusion_matrix(confusion(rng, 2, 90_000), ["$spam$", "ham"], "Mails"),
        "confusion_matrix of 32": lambda: plots.confusion_matrix(
            confusion(rng, 32, 20), [f"{i}th language" for i in range(32)]
        ),
        "confusion_matrix of 200": lambda: plots.confusion_matrix(
            confusion(rng, 200, 9), ["a class of a long name"] * 200, "t"
        ),
        "heat_map": lambda: plots.heat_map(
            rng.random((16, 10)), LANGUAGES[:16], LANGUAGES[:10], "class", "loss", "share (%)"
        ),
        "loss_curves": lambda: plots.loss_curves(
            {"plain": [record(10, 2.0), record(20, 1.0)], "weighted": [record(10, 2.5)]}
        ),
        "loss_curves without validation": lambda: plots.loss_curves(
            [{"update": 1, "train_loss": 2.0, "train_accuracy": 0.2}]
        ),
        "reliability_diagram": lambda: plots.reliability_diagram(*probabilities(rng), title="Names"),
        "filter_ngrams": lambda: plots.filter_ngrams(*character_network(), ["ab", "b a", "$a$"]),
        "filter_ngrams of bytes": lambda: plots.filter_ngrams(*character_network(2, byte_fallback=True), ["éàü"]),
        "decision_regions": lambda: plots.decision_regions(
            {f"iteration {i}": lambda p: 1 / (1 + np.exp(p[:, 0])) for i in (1, 19, 150)},
            *points(rng),
            ("outer", "inner"),
        ),
        "accuracy_by_class": lambda: plots.accuracy_by_class(LANGUAGES, shares, "By language"),
        "timing_bars": lambda: plots.timing_bars(timing_rows()),
        "prediction_bars": lambda: plots.prediction_bars(prediction_rows()),
        "curves": lambda: plots.curves(
            {"a": {"x": ([1, 9], [1.5, 12.0])}}, "rate", "cost (nats)", logarithmic=True, rates=True
        ),
        "roofline": lambda: plots.roofline(roofline_result()),
        "gradient_errors": lambda: plots.gradient_errors([2, 18], {"F1": [1e-11, 1e-9]}, {"F1": [1e-10, 1e-4]}, 1e-6),
    }


@pytest.fixture(params=figures())
def figure(request):
    return figures()[request.param]()


def boxes(canvas, texts):
    return [text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text() and text.get_visible()]


def test_every_figure_can_be_saved_as_png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_axes_are_labelled(figure):
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert panels[-1].get_xlabel() or figure.get_supxlabel()
    named = figure.get_supylabel() or any(axes.get_ylabel() for axes in panels)
    assert named or panels[0].get_yticklabels()[0].get_text()


def test_tick_labels_and_titles_neither_overlap_nor_leave_the_figure(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    for axes in figure.axes:
        frame = axes.bbox.padded(1)  # a tick outside of it is not drawn
        across = boxes(canvas, axes.get_xticklabels(which="both"))
        across = [box for box in across if frame.x0 <= (box.x0 + box.x1) / 2 <= frame.x1]
        upwards = boxes(canvas, axes.get_yticklabels(which="both"))
        upwards = [box for box in upwards if frame.y0 <= (box.y0 + box.y1) / 2 <= frame.y1]
        assert len(across) + len(upwards) >= 2
        words = boxes(canvas, [axes.title, axes.xaxis.label, axes.yaxis.label])
        words += [legend.get_window_extent(canvas.get_renderer()) for legend in figure.legends]
        shown = [*across, *upwards, *words]
        assert not any(a.overlaps(b) for i, a in enumerate(shown) for b in shown[i + 1 :])
        assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in shown)


def test_drawing_needs_no_pyplot():
    code = (
        "import sys, io; from fastconv import plots;"
        "plots.confusion_matrix([[1, 0], [0, 1]], ['a', 'b'], 't').savefig(io.BytesIO());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, fastconv, fastconv.reproduce.surnames; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_says_what_to_install():
    code = "import sys; sys.modules['matplotlib'] = None\nimport fastconv.plots"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install fastconv[plot]" in done.stderr.splitlines()[-1]


def test_a_confusion_matrix_shows_counts_as_numbers_and_shares_of_the_true_class_as_colours():
    figure = plots.confusion_matrix([[3, 1, 0], [0, 0, 0], [0, 0, 2]], ["a", "b", "c"], "t")
    axes = figure.axes[0]
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "3"),
        ((1, 0), "1"),
        ((2, 2), "2"),
    }
    np.testing.assert_array_equal(axes.images[0].get_array(), [[75, 25, 0], [0, 0, 0], [0, 0, 100]])


def test_of_many_classes_only_some_are_labelled_at_their_places_and_there_are_no_numbers():
    names = [f"class {i}" for i in range(200)]
    axes = plots.confusion_matrix(np.eye(200, dtype=int), names).axes[0]
    for places, labels in ((axes.get_xticks(), axes.get_xticklabels()), (axes.get_yticks(), axes.get_yticklabels())):
        assert 20 <= len(labels) <= 32
        assert [label.get_text() for label in labels] == [names[place] for place in places]
    assert not axes.texts


@pytest.mark.parametrize(("classes", "largest"), [(2, 10**7), (10, 10**4), (18, 10**3), (18, 10**5)])
def test_numbers_of_a_confusion_matrix_do_not_overlap(classes, largest):
    names = np.arange(classes)
    figure = plots.confusion_matrix(np.full((classes, classes), largest - 1), names)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    numbers = [
        box for box in boxes(canvas, figure.axes[0].texts) if box.y0 <= figure.axes[0].texts[0].get_window_extent().y1
    ]
    assert not any(a.overlaps(b) for i, a in enumerate(numbers) for b in numbers[i + 1 :])


def test_names_of_classes_are_taken_literally_and_cut_where_they_are_long():
    axes = plots.confusion_matrix(np.eye(2), ["$x$", "n" * 40]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["$x$", "n" * 24 + "…"]
    assert not any(label.get_parse_math() for label in axes.get_xticklabels() + axes.get_yticklabels())


def test_a_heat_map_shows_shares_as_colours_and_as_numbers_in_percent():
    axes, bar = plots.heat_map([[0.25, 0.0], [1.0, 0.996]], ["r", "s"], ["a", "b"], "class", "loss", "share (%)").axes
    assert [text.get_text() for text in axes.texts] == ["25", "0", "100", "100"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[25, 0], [100, 99.6]])
    assert [label.get_text() for label in axes.get_xticklabels() + axes.get_yticklabels()] == ["a", "b", "r", "s"]
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("class", "loss", "share (%)")


def test_loss_curves_show_both_losses_and_the_accuracy_in_percent():
    upper, lower = plots.loss_curves({"plain": [record(10, 2.0), record(20, 1.0)]}).axes
    assert [list(line.get_ydata()) for line in upper.lines] == [[2.0, 1.0], [2.5, 1.5]]
    assert [list(line.get_ydata()) for line in lower.lines] == [[10.0, 20.0]]
    assert [list(line.get_xdata()) for line in lower.lines] == [[10, 20]]


def test_loss_curves_take_a_history():
    from fastconv.training import History

    history = History()
    history.records = [record(10, 2.0)]
    assert list(plots.loss_curves({"plain": history}).axes[0].lines[0].get_ydata()) == [2.0]


def test_loss_curves_of_one_history_need_no_label():
    figure = plots.loss_curves([record(10, 2.0)])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training batches", "validation"]


def test_loss_curves_without_validation_show_the_accuracy_in_training():
    records = [{"update": i, "train_loss": 3.0 - i, "train_accuracy": i / 4} for i in (1, 2)]
    upper, lower = plots.loss_curves({"plain": records}).axes
    assert [list(line.get_ydata()) for line in upper.lines + lower.lines] == [[2.0, 1.0], [25.0, 50.0]]
    assert lower.get_ylabel() == "training accuracy (%)"


def test_loss_curves_leave_out_what_some_records_lack():
    records = [{"update": 5, "train_loss": 3.0}, record(10, 2.0)]
    upper, lower = plots.loss_curves({"plain": records}).axes
    assert [list(line.get_xdata()) for line in upper.lines + lower.lines] == [[5, 10], [10], [10]]


def test_loss_curves_show_all_of_many_histories():
    assert len(plots.loss_curves({str(i): [record(10, 2.0)] for i in range(9)}).axes[1].lines) == 9


def test_a_reliability_diagram_shows_accuracy_at_confidence_the_gaps_and_the_error():
    shares = np.repeat([[0.75, 0.25], [0.15, 0.85]], [3, 1], axis=0)
    figure = plots.reliability_diagram(shares, [0, 0, 1, 0], bins=4, title="Names")
    upper, lower = figure.axes
    diagonal, line = upper.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    np.testing.assert_allclose(line.get_xydata(), [[75, 200 / 3], [85, 0]])
    gaps = [segment[:, 1] for segment in upper.collections[0].get_segments()]
    np.testing.assert_allclose(gaps, [[200 / 3, 75], [0, 85]])
    np.testing.assert_allclose(lower.patches[0].get_data().values, [0, 0, 75, 25])
    np.testing.assert_allclose(lower.patches[0].get_data().edges, [0, 25, 50, 75, 100])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[1] == "4 samples, calibration error 27.5 %"  # (3 (75 - 66.7) + 85) / 4
    assert upper.get_title() == "Names"


def test_weights_count_in_a_reliability_diagram():
    axes = plots.reliability_diagram([[0.9, 0.1], [0.9, 0.1]], [0, 1], sample_weight=[3, 1]).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[90, 75]])


def test_filter_ngrams_are_bars_of_the_responses_the_strongest_filters_first():
    net, alphabet = character_network(3)
    strings = ["ab", "b a", "$a$"]
    strongest = fc.ngrams.strongest_ngrams(net, alphabet, strings, top=2)
    order = sorted(range(3), key=lambda f: -strongest[f][0][1])[:2]
    figure = plots.filter_ngrams(net, alphabet, strings, filters=2, top=2)
    assert [axes.get_title() for axes in figure.axes] == [f"filter {f}" for f in order]
    for axes, f in zip(figure.axes, order, strict=True):
        shown = [label.get_text() for label in axes.get_yticklabels()]
        assert shown == [ngram.replace(" ", "␣") for ngram, _ in strongest[f]]
        assert [bar.get_width() for bar in axes.patches] == [response for _, response in strongest[f]]
        assert axes.yaxis_inverted()


def test_ngrams_of_dollar_signs_are_taken_literally():
    figure = plots.filter_ngrams(*character_network(1), ["$a$"])
    labels = figure.axes[0].get_yticklabels()
    assert "$a$" in [label.get_text() for label in labels]
    assert not any(label.get_parse_math() for label in labels)


def test_filters_is_a_positive_integer():
    with pytest.raises(RangeError, match="filter_ngrams: filters: expected a positive integer"):
        plots.filter_ngrams(*character_network(), ["ab"], filters=0)


def test_decision_regions_show_the_probability_the_line_at_a_half_and_the_points_of_each_class():
    x, y = np.array([[-2.0, 1.0], [1.0, 0.0], [0.0, -1.0]]), np.array([0, 1, 1])
    figure = plots.decision_regions({"a": lambda p: (p[:, 0] > 0.5) * 0.8}, x, y, ("left", "right"))
    axes = figure.axes[0]
    area = axes.images[0]
    left, right, low, high = area.get_extent()
    shares = np.ma.getdata(area.get_array())
    columns = left + (right - left) * np.arange(shares.shape[1]) / (shares.shape[1] - 1)
    np.testing.assert_allclose(shares, np.broadcast_to(80.0 * (columns > 0.5), shares.shape))
    assert left < -2 and low < -2 and right == -left and high == -low
    *line, outer, inner = axes.collections
    assert np.allclose(line[0].get_paths()[0].vertices[:, 0], 0.5, atol=0.05)
    np.testing.assert_allclose(outer.get_offsets(), x[:1])
    np.testing.assert_allclose(inner.get_offsets(), x[1:])
    assert figure.axes[-1].get_xlabel() == "probability of right (%)"


def test_decisions_without_probabilities_have_no_colour_bar():
    figure = plots.decision_regions({"a": lambda p: p[:, 0] > 0}, [[-1.0, 0], [1, 0]], [0, 1], ("left", "right"))
    assert [axes.get_title() for axes in figure.axes] == ["a"]


def test_curves_over_whole_numbers_have_whole_ticks_and_others_need_not():
    def ticks(x):
        figure = plots.curves({"": {"test": (x, [1.0, 2.0])}}, "epochs", "loss (nats)")
        FigureCanvasAgg(figure).draw()
        return figure.axes[0].get_xticks()

    assert np.all(np.mod(ticks([1, 20]), 1) == 0)
    assert np.any(np.mod(ticks([0.1, 0.7]), 1) != 0)


def test_a_class_without_a_share_has_no_mark():
    axes = plots.accuracy_by_class(["a", "b"], {"here": [0.25, None]}, "t").axes[0]
    (marks,) = axes.collections
    np.testing.assert_array_equal(np.ma.filled(marks.get_offsets()[:, 0], np.nan), [25, np.nan])


def test_shares_may_be_drawn_on_a_part_of_the_axis():
    axes = plots.accuracy_by_class(["a"], {"here": [0.5]}, "t", (40, 60), "accuracy (%)").axes[0]
    assert axes.get_xlim() == (40, 60) and axes.get_xlabel() == "accuracy (%)"


def test_timing_bars_are_sorted_and_say_what_was_scaled():
    axes = plots.timing_bars(timing_rows()).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.02, 82.0]
    assert [text.get_text().strip() for text in axes.texts] == ["20 ms", "82.0 s (scaled)"]
    assert axes.get_xscale() == "log"


def test_prediction_bars_are_sorted_the_fastest_first():
    axes = plots.prediction_bars(prediction_rows()).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [5_667_032, 309_900]
    assert [text.get_text().strip() for text in axes.texts] == ["5,667,032", "309,900"]


def test_gradient_errors_stand_at_their_values_with_the_goal_as_a_line():
    axes = plots.gradient_errors([2, 18], {"F1": [1e-11, 1e-9]}, {"F1": [1e-10, 1e-4]}, 1e-6).axes[0]
    assert [list(marks.get_offsets()[:, 1]) for marks in axes.collections] == [[1e-11, 1e-9], [1e-10, 1e-4]]
    assert list(axes.lines[0].get_ydata()) == [1e-6, 1e-6]


def test_gradient_errors_without_an_original_show_only_what_is_here():
    axes = plots.gradient_errors([2], {"F1": [1e-11], "W": [1e-9]}).axes[0]
    assert len(axes.collections) == 2 and not axes.lines


def test_a_roofline_shows_each_kernel_at_its_intensity_and_rate_below_the_roofs():
    axes = plots.roofline(roofline_result()).axes[0]
    assert [tuple(marks.get_offsets()[0]) for marks in axes.collections] == [
        (row["intensity"], row["gflops"]) for row in roofline_result()["rows"]
    ]
    roofs = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if len(line.get_xdata())]
    ends = [(xs[-1], ys[-1]) for xs, ys in roofs]
    assert [y for _, y in ends[:2]] == [56.0, 242.0]
    assert ends[2:] == [pytest.approx((242 / 161, 242)), pytest.approx((242 / 26, 242))]
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_lines_of_points_have_no_line_and_markers_of_their_own():
    lines = {"here": ([1e-5, 1e-3], [50.0, 49.0]), "original": ([1e-4], [51.0]), "mean": ([1e-5, 1e-3], [50.0, 50.0])}
    figure = plots.curves({"": lines}, "lambda", "accuracy (%)", rates=True, points=["here", "original"])
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    here, original, mean = axes.lines
    assert (here.get_linestyle(), original.get_linestyle(), mean.get_linestyle()) == ("None", "None", "-")
    assert len({here.get_marker(), original.get_marker(), mean.get_marker()}) == 3
    assert [list(line.get_xdata()) for line in axes.lines] == [[1e-5, 1e-3], [1e-4], [1e-5, 1e-3]]


def test_a_logarithmic_axis_has_plain_numbers():
    figure = plots.curves({"": {"": ([1, 2], [1.7, 11.0])}}, "epochs", "cost (nats)", logarithmic=True)
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0].yaxis
    words = [label.get_text() for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())]
    assert {"2", "10"} <= set(words)
    assert not any("times" in word or "^" in word for word in words)
