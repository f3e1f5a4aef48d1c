"""Rewrite the README's timing table from a real run: ``python benchmarks/update_readme.py [--data FOLDER]``."""

import argparse
import pathlib
import sys

from fastconv.bench import timing
from fastconv.datasets import load_surnames
from fastconv.text import Alphabet

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def section(result):
    """Return the section's Markdown."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['instruction set']}, Python {machine['Python']}, "
        f"NumPy {machine['NumPy']}; {result['settings']['names']:,} names; losses agree to "
        f"{result['loss_difference']:.0e}.",
        "",
        "| implementation | threads | 100 updates | times naive | times best peer |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        scaled = f" (from {row['scaled_from']} updates)" if row["scaled_from"] else ""
        bold = "**" if row["name"] == "fastconv" else ""
        lines.append(
            f"| {bold}{row['name']}{bold} | {row['threads']} | {row['seconds'] * 1e3:,.1f} ms{scaled} | "
            f"{row['ratio_to_naive']:,.0f} | {row['ratio_to_best_peer']:.2f} |"
        )
    lines += [f"\n{name}: not timed: {reason}" for name, reason in result["missing"].items()]
    return "\n".join(lines)


def main():
    """Time, and rewrite."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", help="folder of the course's files (default: the bundled names)")
    data = load_surnames(arguments.parse_args().data)
    codes = Alphabet.from_strings(data.data).encode(data.data, 19)
    result = timing.run(codes=codes, labels=data.target, echo=lambda line: print(line, file=sys.stderr))
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{section(result)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
