"""Run the tutorials in docs/ and rewrite what they show: ``python benchmarks/update_docs.py``.

A page's Python blocks run in order, in one namespace, and its console blocks in a shell, all in one temporary folder.
A ``text`` block holds what the Python block above it prints; what a command prints stands below it. Where that is no
longer so it is replaced, and the pictures that the blocks draw are copied to docs/. In what is shown "..." stands for
anything.
"""

import argparse
import contextlib
import io
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from fastconv.errors import DataError
from fastconv.files import write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = ("classify-strings.md", "teach-the-assignment.md", "train-on-images.md")
BLOCK = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:[^\n\\]|\\.|\\\n)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
BAR = r"(?:  [-+]+)?"
DECIMAL = re.compile(rf"([-+]?\d+\.\d+){BAR}|\.\.\.")
SHELL = 'fastconv() { "$PYTHON" -m fastconv "$@"; }\n'


def pictures(text):
    """Return the names of the pictures that a page shows."""
    return re.findall(r"!\[[^]]*\]\(([^)]+\.png)\)", text)


def outputs(text, folder):
    """Run a page's blocks in a folder; return (start, end, printed) of every output that it shows, in order."""
    found, scope = [], {"__name__": "__main__"}
    blocks = list(BLOCK.finditer(text))
    with contextlib.chdir(folder):
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block[1] == "python":
                shown = following if following and following[1] == "text" else None
                line = text.count("\n", 0, block.start(2))
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    exec(compile("\n" * line + block[2], "page", "exec"), scope)
                if shown:
                    found.append((*shown.span(2), printed.getvalue()))
                elif printed.getvalue():
                    raise DataError(f"line {line}: the block prints, and no text block follows that shows it")
            elif block[1] == "console":
                for command in COMMAND.finditer(text, *block.span(2)):
                    found.append((*command.span(2), console(command[1])))
    return found


def console(command):
    """Return what a command prints, its messages too."""
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    ran = subprocess.run(
        ["sh", "-c", SHELL + command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
    )
    printed = ran.stdout.decode()
    if ran.returncode:
        raise DataError(f"{command}: exit status {ran.returncode}: {printed}")
    return printed


def agree(shown, printed):
    """Return whether an output is what is shown; numbers with decimals, and bars behind them, may differ a little.

    The seed fixes them on one processor; another instruction set, or release of NumPy, may change the last digits of a
    training. A tenth of the number is allowed, or 0.05.
    """
    pattern, start = "", 0
    for special in DECIMAL.finditer(shown):
        pattern += re.escape(shown[start : special.start()]) + (rf"([-+]?\d+\.\d+){BAR}" if special[1] else ".*?")
        start = special.end()
    match = re.fullmatch(pattern + re.escape(shown[start:]), printed, re.DOTALL)
    numbers = [float(special[1]) for special in DECIMAL.finditer(shown) if special[1]]
    return match is not None and all(
        math.isclose(a, float(b), rel_tol=0.1, abs_tol=0.05) for a, b in zip(numbers, match.groups(), strict=True)
    )


def brought_up(shown, printed):
    """Return what is printed, but for the lines that agree with what is shown, if there are as many."""
    old, new = shown.splitlines(keepends=True), printed.splitlines(keepends=True)
    if len(old) != len(new):
        return printed
    return "".join(a if agree(a, b) else b for a, b in zip(old, new, strict=True))


def main(arguments=None):
    """Run the pages and rewrite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", default=PAGES, help="names of pages in docs/ (default: all tutorials)")
    for name in parser.parse_args(arguments).pages:
        text = (DOCS / name).read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            for start, end, printed in reversed(outputs(text, folder)):
                if not agree(text[start:end], printed):
                    text = text[:start] + brought_up(text[start:end], printed) + text[end:]
            for picture in pictures(text):
                shutil.copy(pathlib.Path(folder) / picture, DOCS / picture)
        write_atomically(DOCS / name, text)


if __name__ == "__main__":
    main()
