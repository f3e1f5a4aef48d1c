"""Rewrite the results in docs/studies.md from complete runs: ``python benchmarks/update_studies.py FOLDER``.

FOLDER is what ``fastconv reproduce all --out FOLDER`` wrote. What stands between the document's two markers is replaced
and nothing else; every figure comes from a ``results.json``.
"""

import argparse
import pathlib

from fastconv.errors import DataError
from fastconv.files import replace_section, write_atomically
from fastconv.reproduce import STUDIES
from fastconv.reproduce.report import RESULTS, Table, read_results

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "studies.md"
BEGIN, END = "<!-- studies: begin -->", "<!-- studies: end -->"


def section(found):
    """Return the Markdown of one study's results.

    Parameters
    ----------
    found : dict
        What its ``results.json`` holds.
    """
    name, settings, machine = (found[key] for key in ("study", "settings", "machine"))
    if settings["quick"] or not found["complete"]:
        kind = "a quick" if settings["quick"] else "an interrupted"
        raise DataError(f"{name}: expected a complete run, got {kind} one")
    epochs = f", {settings['epochs']} epochs a training instead of the original's" if settings["epochs"] else ""
    threads = settings["threads"] or machine["threads"]
    return "\n".join(
        [
            f"### {name}: original and here",
            "",
            f"{found['original_data']} {found['seconds']:,.0f} s on {threads} thread{'s' * (threads > 1)} of "
            f"{machine['processor']} ({machine['instruction set']}), seed {settings['seed']}{epochs}.",
            "",
            Table("", ("", "original", "here"), found["comparison"]).markdown(),
        ]
    )


def main(arguments=None):
    """Read the runs and rewrite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="the folder of the reports' folders")
    parser.add_argument("--document", metavar="FILE", type=pathlib.Path, default=DOCUMENT, help="what is rewritten")
    options = parser.parse_args(arguments)
    found = {name: read_results(options.folder / name) for name in STUDIES}
    try:
        if not any(found.values()):
            raise DataError(f"{options.folder}: no {RESULTS} of a study in its folders")
        sections = "\n\n".join(section(results) for results in found.values() if results)
    except DataError as error:
        parser.error(str(error))
    try:
        text = replace_section(options.document.read_text(encoding="utf-8"), BEGIN, END, sections)
    except DataError as error:
        parser.error(f"{options.document}: {error}")
    write_atomically(options.document, text)
    missing = [name for name, results in found.items() if not results]
    if missing:
        print(f"Not run: {', '.join(missing)}")


if __name__ == "__main__":
    main()
