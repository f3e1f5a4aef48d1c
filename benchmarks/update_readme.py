"""Rewrite the README's tables and pictures from a real run of all tasks: ``python benchmarks/update_readme.py``.

The section between the README's two markers is replaced and nothing else; the pictures go into the folder ``docs``
beside it. Figures come from the run alone, or with ``--results`` from the file that
``fastconv bench --task all --json FILE`` wrote. The project's goals are printed, those that were not reached included.
"""

import argparse
import json
import pathlib
import sys

from fastconv.bench import TASKS, convolutions, images, suite, timing
from fastconv.errors import DataError
from fastconv.files import replace_section, write_atomically
from fastconv.reproduce.report import png

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
DPI = 110
"""Pixels an inch of the pictures, so that each stays below 100 kB."""
PICTURES = {
    "updates": "Bars: seconds for the updates, every implementation",
    "prediction": "Bars: names a second, every implementation",
    "roofline": "The effective rate of each kernel over its arithmetic intensity, and the machine's roofs",
    "netg": "Bars: seconds for updates of net G, every implementation",
    "netr": "Bars: seconds for updates of net R, every implementation",
    "images": "Bars: images a second, every implementation and both networks",
    "convolutions": "The effective rate of each convolution over its arithmetic intensity, and the machine's roofs",
}
"""What is drawn, and the text for those who do not see it."""
HUGE_PAGES = ("PyTorch eager, huge pages",)
"""Settings of PyTorch's that the goals do not speak of."""


def markdown(head, rows):
    """Return the lines of a table."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def section(results):
    """Return the section's Markdown.

    Parameters
    ----------
    results : dict
        By task what :func:`fastconv.bench.suite.run` returns.
    """
    return "\n".join(
        [
            *machine(results),
            "",
            *updates(results["updates"]),
            "",
            picture("updates"),
            "",
            *contests(results),
            "",
            *prediction(results["prediction"]),
            "",
            picture("prediction"),
            "",
            "Each kernel at each instruction set, on one core; what skips zeros can lie above the roof:",
            "",
            picture("roofline"),
            "",
            *images_section(results),
            *left_out(results),
        ]
    )


def picture(task):
    """Return the reference to a task's picture."""
    return f"![{PICTURES[task]}](docs/{task}.png)"


def machine(results):
    """Return the machine's facts as lines."""
    facts = results["updates"]["machine"]
    peaks = [gflops for task in timing.CONTESTS for gflops in results[task]["peak"]["rounds"]]
    versions = [f"{name} {facts[name]}" for name in ("Python", *timing.LIBRARIES) if name in facts]
    return [
        f"{facts['processor']}, {facts['cores']} cores, {facts['instruction set']}; {', '.join(versions)}; "
        f"{results['updates']['settings']['names']:,} names. Multiply-add peak of one core, measured between the "
        f"rounds: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s.",
    ]


def described(settings):
    """Return what was trained as text."""
    filters, widths = ("/".join(map(str, settings[name])) for name in ("filters", "widths"))
    return f"{settings['updates']:,} updates of batch {settings['batch_size']}, {filters} filters of width {widths}"


def milliseconds(row):
    """Return a row's time as text."""
    return f"{row['seconds'] * 1e3:,.1f} ms"


def updates(result):
    """Return the table of all implementations as lines."""
    lines = markdown(
        [
            "implementation",
            "threads",
            f"{result['settings']['updates']:,} updates",
            "fastest run",
            "GFLOP/s",
            "% of peak",
            "x naive",
            "x best peer",
            "at equal threads",
        ],
        [
            [
                emphasised(row["name"]),
                str(row["threads"]),
                milliseconds(row) + (f" (from {row['scaled_from']} updates)" if row["scaled_from"] else ""),
                f"{row['fastest'] * 1e3:,.1f} ms",
                f"{row['gflops']:,.3g}",
                f"{row['percent_of_peak']:,.3g}",
                f"{row['ratio_to_naive']:,.0f}",
                f"{row['ratio_to_best_peer']:.2f}",
                f"{row['ratio_to_equal_threads']:.2f}",
            ]
            for row in result["rows"]
        ],
    )
    return [
        *lines,
        "",
        f"Medians of {result['settings']['repeats']} runs. Best peer: the fastest other implementation at that number "
        "of threads or fewer, then at equal threads. "
        f"GFLOP/s: the effective rate, of {result['settings']['operations_per_update'] / 1e6:.1f} MFLOP an update for "
        "everybody, as if nothing were skipped and layer 1 gathered; % of peak: of one core's multiply-adds. Losses "
        f"agree to {result['loss_difference']:.0e}.",
    ]


def emphasised(name):
    """Return a name as Markdown, this library's in bold."""
    return f"**{name}**" if name == "fastconv" else name


def contests(results):
    """Return the table of all sizes of network and batch as lines: this library and the best peer."""
    rows, fewer = [], set()
    for task in timing.CONTESTS:
        table = results[task]["rows"]
        for row in own(table):
            best = best_peer(table, row["threads"])
            if best["scaled_from"]:
                fewer.add(f"{best['scaled_from']:,}")
            rows.append(
                [
                    described(results[task]["settings"]),
                    str(row["threads"]),
                    milliseconds(row),
                    f"{milliseconds(best)}{' *' if best['scaled_from'] else ''} ({best['name']})",
                    f"{row['ratio_to_equal_threads']:.2f}",
                    f"{row['ratio_to_best_peer']:.2f}",
                    f"{row['percent_of_peak']:.0f}",
                    f"{row['speedup']:.2f}" if row["speedup"] else "",
                    f"{results[task]['loss_difference']:.0e}",
                ]
            )
    head = [
        "task", "threads", "fastconv", "best peer at equal threads", "ratio", "ratio at that many threads or fewer",
        "% of peak", "x 1 thread", "losses agree to",
    ]  # fmt: skip
    lines = markdown(head, rows)
    return [*lines, "", f"\\* timed on {', '.join(sorted(fewer))} updates and scaled."] if fewer else lines


def own(table):
    """Return this library's rows of a table."""
    return [row for row in table if row["name"] == "fastconv"]


def best_peer(table, threads):
    """Return the fastest row of the others with a number of threads."""
    others = [row for row in table if row["name"] != "fastconv" and row["threads"] == threads]
    return min(others, key=lambda row: row["seconds"])


def prediction(result):
    """Return the tables of the predictions as lines."""
    settings = result["settings"]
    codes = markdown(
        ["prediction from codes", "threads", "names at a time", "names/s", "x 1 thread"],
        [
            [
                emphasised(row["name"]),
                str(row["threads"]),
                f"{row['batch_size']:,}",
                f"{row['names_per_second']:,.0f}",
                f"{row['speedup']:.2f}" if row["speedup"] else "",
            ]
            for row in result["rows"]
        ],
    )
    latency = markdown(
        ["one name a call", "median", "99th percentile"],
        [
            [emphasised(row["name"]), f"{row['median'] * 1e6:.1f} us", f"{row['percentile_99'] * 1e6:.1f} us"]
            for row in result["latency"]
        ],
    )
    many = markdown(
        ["fastconv", "threads", "names/s", "memory beyond codes and output"],
        [
            *(
                ["Python strings, encoding included", str(row["threads"]), f"{row['names_per_second']:,.0f}", ""]
                for row in result["strings"]
            ),
            *(
                [
                    f"{row['names']:,} names of a memory-mapped file",
                    str(row["threads"]),
                    f"{row['names_per_second']:,.0f}",
                    "unknown" if row["memory"] is None else f"{row['memory'] / 1e6:.1f} MB",
                ]
                for row in result["scale"]
            ),
        ],
    )
    difference = max(row["difference"] for row in result["rows"])
    return [
        f"Predictions of {settings['names']:,} names by the network with {settings['filters'][0]}/"
        f"{settings['filters'][1]} filters, every implementation at the batch size that is fastest for it; "
        f"probabilities are within {difference:.0e} of a float64 network's:",
        "",
        *codes,
        "",
        f"{settings['calls']:,} calls with one name each, on one thread:",
        "",
        *latency,
        "",
        "This library from strings and at scale; memory is that of the process beyond what it had before:",
        "",
        *many,
    ]


def images_section(results):
    """Return the tables and pictures over images as lines."""
    rates, kernels = results["images"], results["convolutions"]
    settings = rates["settings"]
    memory = {(row["net"], row["name"]): row["bytes"] for row in rates["memory"]}
    names = list(dict.fromkeys(name for _, name in memory))
    difference = max(row["difference"] for row in rates["rows"])
    return [
        "Training of two networks over 32 x 32 images: net G has 3x3 convolutions 3-32-64-128 and dense layers "
        "512-256-128-64-10, net R 5x5 convolutions 3-32-64-64 and dense layers 1024-1000-10. PyTorch pools before its "
        "ReLU, in both layouts, eager and compiled, and eager in huge pages, as this library's memory is:",
        "",
        *image_contests(results),
        "",
        picture("netg"),
        "",
        picture("netr"),
        "",
        f"Predictions of {settings['images']:,} images, every implementation at the batch size that is fastest for it; "
        f"probabilities are within {difference:.0e} of a float64 network's:",
        "",
        *markdown(
            ["prediction", "threads", "images at a time", "images/s", "x 1 thread", "x PyTorch's best"],
            [
                [
                    f"net {row['net']}, {emphasised(row['name'])}",
                    str(row["threads"]),
                    f"{row['batch_size']:,}",
                    f"{row['images_per_second']:,.0f}",
                    f"{row['speedup']:.2f}" if row["speedup"] else "",
                    f"{row['ratio_to_pytorch']:.2f}" if row["ratio_to_pytorch"] else "",
                ]
                for row in rates["rows"]
            ],
        ),
        "",
        picture("images"),
        "",
        f"Memory of training steps of batch {settings['batch_size']} on one thread: the process's anonymous pages at "
        "their most, parameters included, beyond those after the framework was imported and the data loaded:",
        "",
        *markdown(
            ["network", *map(emphasised, names)],
            [
                [f"net {net}", *(megabytes(memory[net, name]) for name in names)]
                for net in dict.fromkeys(net for net, _ in memory)
            ],
        ),
        "",
        "Each convolution on one core, alone and with the max-pooling behind it, in % of the multiply-add peak, where "
        "the forward pass keeps its output for a block of images only, as inside a network; above the roof lie "
        "Winograd's algorithm (mostly, with 32 channels or more), which multiplies less than is counted, and what "
        "skips the pixels to which max-pooling hands no gradient:",
        "",
        *markdown(
            ["convolution", *convolutions.PASSES],
            [
                [name, *(f"{passes[each]:.0f}" if each in passes else "" for each in convolutions.PASSES)]
                for name, passes in percentages(kernels).items()
            ],
        ),
        "",
        picture("convolutions"),
    ]


def image_contests(results):
    """Return the table of the training over images as lines: this library and PyTorch's best."""
    rows = []
    for task in images.CONTESTS:
        result = results[task]
        settings = result["settings"]
        for row in own(result["rows"]):
            best = best_pytorch(result["rows"], row["threads"])
            rows.append(
                [
                    f"net {settings['net']}, batch {settings['batch_size']}",
                    str(row["threads"]),
                    f"{row['seconds'] / settings['updates'] * 1e3:.1f} ms",
                    f"{best['seconds'] / settings['updates'] * 1e3:.1f} ms ({best['name']})" if best else "",
                    f"{best['seconds'] / row['seconds']:.2f}" if best else "",
                    f"{row['ratio_to_equal_threads']:.2f}",
                    f"{row['percent_of_peak']:.0f}",
                    f"{row['speedup']:.2f}" if row["speedup"] else "",
                    f"{result['loss_difference']:.0e}",
                ]
            )
    head = [
        "an update", "threads", "fastconv", "PyTorch's best", "ratio", "to the best of all", "% of peak", "x 1 thread",
        "losses agree to",
    ]  # fmt: skip
    return markdown(head, rows)


def best_pytorch(table, threads, without=()):
    """Return the fastest of PyTorch's rows with a number of threads, or None where there is none."""
    found = [row for row in table if row["name"].startswith("PyTorch") and row["threads"] == threads]
    return min((row for row in found if row["name"] not in without), key=lambda row: row["seconds"], default=None)


def percentages(result):
    """Return the percentages of the peak by convolution and pass."""
    found = {}
    for row in result["rows"]:
        name, which = row["kernel"].rsplit(" ", 1)
        found.setdefault(name, {})[which] = row["percent_of_peak"]
    return found


def megabytes(size):
    """Return bytes as text."""
    return "unknown" if size is None else f"{size / 1e6:,.1f} MB"


def image_goals(results):
    """Return the entries of :func:`goals` that are about images."""
    entries = []
    wanted = {"netg": {1: 2.8, 2: 2.0}, "netg32": {1: 1.8, 2: 1.8}, "netr": {1: 1.6, 2: 1.6}}
    for task, least in wanted.items():
        settings, table = results[task]["settings"], results[task]["rows"]
        for row in own(table):
            for without, words in (((), ""), (HUGE_PAGES, ", without huge pages")):
                best = best_pytorch(table, row["threads"], without)
                what = f"net {settings['net']}, update of batch {settings['batch_size']}, {row['threads']} threads"
                ratio = best["seconds"] / row["seconds"] if best else None
                entries.append((f"{what}, x PyTorch's best{words}", least[row["threads"]], ratio, ".2f"))
    for row in own(results["images"]["rows"]):
        what = f"net {row['net']}, forward only, {row['threads']} threads, x PyTorch's best"
        entries.append((what, {"G": 2.0, "R": 1.7}[row["net"]], row["ratio_to_pytorch"], ".2f"))
    for name, passes in percentages(results["convolutions"]).items():
        for which, percent in passes.items():
            entries.append((f"{name}, {which}, % of the peak", 65 if " 3 to " in name else 85, percent, ".0f"))
    memory = results["images"]["memory"]
    for net in dict.fromkeys(row["net"] for row in memory):
        sizes = {row["name"]: row["bytes"] for row in memory if row["net"] == net}
        mine, others = sizes.pop("fastconv"), [size for size in sizes.values() if size is not None]
        share = 100 * mine / min(others) if mine is not None and others else None
        entries.append((f"net {net}, memory of a step, % of PyTorch's", -100, share, ".0f"))
    return entries


def goals(results):
    """Return the table of what the project wants to reach, and what this run reached, as lines."""
    one, two = ({row["threads"]: row for row in own(results["updates"]["rows"])}[threads] for threads in (1, 2))
    batch521 = {row["threads"]: row for row in own(results["batch521"]["rows"])}
    large = {row["threads"]: row for row in own(results["large"]["rows"])}
    small = results["small"]["rows"]
    small_ratio = min(best_peer(small, threads)["seconds"] for threads in (1, 2)) / min(
        row["seconds"] for row in own(small)
    )
    predicted = {row["threads"]: row for row in own(results["prediction"]["rows"])}
    (call,) = own(results["prediction"]["latency"])
    strings = {row["threads"]: row["names_per_second"] for row in results["prediction"]["strings"]}
    few, many = (row for row in results["prediction"]["scale"] if row["threads"] == 1)
    lost = 1 - many["names_per_second"] / few["names_per_second"]
    memory = None if many["memory"] is None else many["memory"] / 1e6
    settings = {task: described(results[task]["settings"]) for task in timing.CONTESTS}
    entries = [  # what, the least that is wanted (or, where it is negative, the most), what was found, its format
        (f"{settings['updates']}, 1 thread, x best peer", 7, one["ratio_to_equal_threads"], ".1f"),
        (f"{settings['updates']}, 2 threads, x best peer at 2 threads", 11, two["ratio_to_equal_threads"], ".1f"),
        (f"{settings['small']}, x best peer", 8, small_ratio, ".1f"),
        (f"{settings['large']}, 1 thread, x best peer", 2, large[1]["ratio_to_equal_threads"], ".2f"),
        (f"{settings['large']}, 2 threads, x best peer at 2 threads", 2, large[2]["ratio_to_equal_threads"], ".2f"),
        ("effective rate of the first, 1 thread, % of the peak of one core", 120, one["percent_of_peak"], ".0f"),
        (f"{settings['updates']}, second thread, x 1 thread", 1.7, two["speedup"], ".2f"),
        (f"{settings['batch521']}, second thread, x 1 thread", 1.85, batch521[2]["speedup"], ".2f"),
        ("prediction, 1 thread, million names/s", 2.5, predicted[1]["names_per_second"] / 1e6, ".2f"),
        ("prediction, 1 thread, x PyTorch's best", 10, predicted[1]["ratio_to_pytorch"], ".1f"),
        ("prediction from strings, 2 threads, million names/s", 1, strings[2] / 1e6, ".2f"),
        ("one name, median, us", -15, call["median"] * 1e6, ".1f"),
        ("one name, 99th percentile, us", -50, call["percentile_99"] * 1e6, ".1f"),
        (f"{many['names']:,} names, % slower than {few['names']:,}", -20, 100 * lost, ".0f"),
        (f"{many['names']:,} names, MB beyond codes and output", -100, memory, ".1f"),
        *image_goals(results),
    ]
    rows = []
    for what, goal, found, form in entries:
        wanted = f"{'at least' if goal > 0 else 'at most'} {abs(goal):g}"
        if found is None:
            rows.append([what, wanted, "not measured", ""])
        else:
            reached = found >= goal if goal > 0 else found <= -goal
            rows.append([what, wanted, format(found, form), "yes" if reached else "not yet"])
    return markdown(["goal", "wanted", "this run", "reached"], rows)


def left_out(results):
    """Return lines on what was not timed, and why."""
    reasons = {name: reason for result in results.values() for name, reason in result.get("missing", {}).items()}
    return [f"\n{name}: not timed: {reason}" for name, reason in reasons.items()]


def main(arguments=None):
    """Run the tasks, or read a run, and rewrite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FOLDER", help="the course's files (default: the bundled names)")
    parser.add_argument("--results", metavar="FILE", help="what a run of all tasks wrote, instead of a run")
    parser.add_argument("--readme", metavar="FILE", type=pathlib.Path, default=README, help="what is rewritten")
    parser.add_argument("--quick", action="store_true", help="one short run of each, to try it on a copy")
    options = parser.parse_args(arguments)
    text = options.readme.read_text(encoding="utf-8")
    try:
        replace_section(text, BEGIN, END, "")
    except DataError as error:  # before anything is timed
        parser.error(f"{options.readme}: {error}")
    if options.results:
        results = json.loads(pathlib.Path(options.results).read_text(encoding="utf-8"))
    else:
        settings = {"quick": options.quick, "echo": lambda line: print(line, file=sys.stderr)}
        results = {task: suite.run(task, options.data, **settings) for task in TASKS}
    folder = options.readme.parent / "docs"
    folder.mkdir(exist_ok=True)
    for task in PICTURES:
        write_atomically(folder / f"{task}.png", png(suite.chart(results[task]), DPI))
    write_atomically(options.readme, replace_section(text, BEGIN, END, section(results)))
    print("\n".join(goals(results)))


if __name__ == "__main__":
    main()
