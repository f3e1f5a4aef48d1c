"""The commands that run studies and benchmarks: reproduce, bench."""

import functools
import json
import os

from fastconv.cli.options import check_target, command, integers, pair, positive, seed, tell, threads
from fastconv.errors import RangeError
from fastconv.files import write_atomically

REPRODUCE = """examples:
  fastconv reproduce --list
  fastconv reproduce surnames                        on the bundled names
  fastconv reproduce surnames --data FOLDER          the same on the course's files
  fastconv reproduce all --data FOLDER --out reports every study, on the data in FOLDER's folders
"""
BENCH = """examples:
  fastconv bench --chart bench.png --json bench.json the 100-update timing
  fastconv bench --task prediction --threads 1,2     names a second
"""


def add(commands):
    """Add the commands to a parser."""
    from fastconv.bench import TASKS

    text = "reproduce a study: train, check, time, and write a report"
    p = command(commands, "reproduce", reproduce, text, REPRODUCE)
    p.add_argument("study", nargs="?", help="the study, or all; --list names them")
    p.add_argument("--list", action="store_true", help="list the studies")
    p.add_argument("--data", metavar="FOLDER", help="the original's data (default: what comes with the package)")
    p.add_argument("--out", metavar="FOLDER", help="where figures, results.json and report.html go")
    p.add_argument("--quick", action="store_true", help="the same path with a few updates, to try it")
    p.add_argument("--epochs", type=positive, help="epochs of a training, where that scales (default: the original's)")
    p.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    seed(p)
    threads(p)

    text = "time every implementation at hand on the surname ConvNet, or on nets over images"
    tasks = "tasks:\n" + "\n".join(f"  {name:<13}{text}" for name, text in TASKS.items())
    p = command(commands, "bench", bench, text, f"{tasks}\n\n{BENCH}")
    p.add_argument("--task", choices=[*TASKS, "all"], default="updates", help="what is timed (default: updates)")
    p.add_argument("--threads", type=integers, default=[1, 2], help="numbers of threads, as in 1,2 (the default)")
    p.add_argument("--repeats", type=positive, help="runs of each, the median counts (default: the task's)")
    p.add_argument("--filters", type=pair, help="filters of the two convolutions over names (default: the task's)")
    p.add_argument("--widths", type=pair, help="their widths (default: the task's)")
    p.add_argument("--updates", type=positive, help="updates of a run, where the task trains (default: the task's)")
    p.add_argument("--batch-size", type=positive, help="samples of a batch, where it trains (default: the task's)")
    p.add_argument("--many", type=positive, help="names of the largest prediction (default: 20,000,000)")
    p.add_argument("--data", metavar="FOLDER", help="the course's files (default: the bundled names)")
    p.add_argument("--json", metavar="FILE", help="write the results to a file")
    p.add_argument(
        "--chart", metavar="FILE", help="draw the results into a PNG file; with --task all one for each task"
    )
    p.add_argument("--quick", action="store_true", help="one run each, to try it")


def reproduce(options):
    """Reproduce a study."""
    from fastconv import reproduce as studies

    if options.list:
        for name, text in studies.STUDIES.items():
            print(f"{name:<18}{text} (data folder: {studies.study(name).DATA})")
        return 0
    if options.study is None:
        raise RangeError(f"reproduce: expected a study, one of {', '.join(studies.STUDIES)}, or all")
    settings = ("data", "out", "quick", "threads", "seed", "epochs", "force")
    settings = {name: getattr(options, name) for name in settings}
    settings["echo"] = functools.partial(print, flush=True)  # into a file too, while it runs
    if options.study == "all":
        studies.run_all(**settings)
    else:
        studies.run(options.study, **settings)
    return 0


def bench(options):
    """Run tasks of the benchmark suite: tables on standard output, charts and JSON into files."""
    from fastconv.bench import TASKS, images, suite, timing

    for option, path in (("--json", options.json), ("--chart", options.chart)):
        if path:
            check_target(option, path)
    if options.chart:
        from fastconv import plots  # noqa: F401  says what to install before anything is timed
        from fastconv.reproduce.report import png
    tasks = list(TASKS) if options.task == "all" else [options.task]
    results = {}
    for task in tasks:
        trains, over_images = task in timing.CONTESTS or task in images.CONTESTS, task in images.TASKS
        names = ["repeats"] + ["filters", "widths"] * (not over_images)
        names += (
            ["updates"] * trains + ["batch_size"] * (trains or task == "images") + ["many"] * (task == "prediction")
        )
        settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        tell(f"{task}: {TASKS[task]}")
        try:
            result = results[task] = suite.run(task, options.data, options.threads, options.quick, tell, **settings)
        except timing.WorkerError as error:
            tell(f"fastconv: error: {error}")
            return 2
        if task == tasks[0]:
            print("\n".join(f"{name:<20}{value}" for name, value in result["machine"].items()))
        print("\n" + "\n".join(suite.table(result)))
        if options.json:  # after each task, so that an interruption loses one at most
            write_atomically(options.json, json.dumps(results if len(tasks) > 1 else result, indent=2))
        if options.chart:
            stem, suffix = os.path.splitext(options.chart)
            path = f"{stem}-{task}{suffix}" if len(tasks) > 1 else options.chart
            write_atomically(path, png(suite.chart(result)))
            tell(f"written: {path}")
    return 0
