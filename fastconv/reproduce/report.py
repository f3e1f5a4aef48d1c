"""What every study needs for its report: tables as text and HTML, a page that stands alone, files written whole."""

import base64
import html
import io
import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from fastconv.errors import DataError
from fastconv.files import write_atomically

RESULTS, PAGE, INDEX = "results.json", "report.html", "index.html"
WIDTH = 100
"""Columns of printed text."""
DPI = 130
"""Dots per inch of a figure's PNG file."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 52rem; margin: 0 auto;
  padding: 0 1rem 3rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
thead th { border-bottom: 2px solid #555; } .left { text-align: left; font-weight: normal; }
thead .left { font-weight: bold; }
figure { margin: 1.5rem 0; } img { width: 100%; min-width: 30rem; max-width: 44rem; height: auto; }
figcaption { color: #444; }
@media (max-width: 40rem) { th, td { padding: .25rem .4rem; } .left { white-space: normal; } }
"""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    title : str
    head : tuple of str
        The columns' headings.
    rows : list of tuple of str
    left : int
        The first so many columns are words, aligned to the left; the others are numbers, aligned to the right.

    Examples
    --------
    >>> from fastconv.reproduce.report import Table
    >>> print(Table("Seconds", ("run", "original", "here"), [("plain", "258", "1.5")]).text())
    Seconds
    run    original  here
    ---------------------
    plain       258   1.5
    """

    title: str
    head: tuple
    rows: list
    left: int = 1

    def text(self):
        """Return the table as aligned plain text."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[c]) for line in lines) for c in range(len(self.head))]
        cells = [
            [
                cell.ljust(width) if c < self.left else cell.rjust(width)
                for c, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            for line in lines
        ]
        head, *rows = ["  ".join(line).rstrip() for line in cells]
        return "\n".join([self.title, head, "-" * max(map(len, (head, *rows))), *rows])

    def markdown(self):
        """Return the table in Markdown, without its title.

        Examples
        --------
        >>> from fastconv.reproduce.report import Table
        >>> print(Table("Seconds", ("run", "here"), [("plain", "1.5")]).markdown())
        | run | here |
        | :--- | ---: |
        | plain | 1.5 |
        """
        rule = [":---" if c < self.left else "---:" for c in range(len(self.head))]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.head, rule, *rows))

    def html(self):
        """Return the table as HTML that scrolls sideways where the page is too narrow."""

        def line(cells, tag):
            kinds = [' class="left"' if c < self.left else "" for c in range(len(cells))]
            return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))

        body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return (
            f'<div class="scroll"><table><caption>{html.escape(self.title)}</caption>\n'
            f"<thead><tr>{line(self.head, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )


@dataclass(frozen=True)
class Picture:
    """A figure and the sentence on what is seen in it.

    Parameters
    ----------
    name : str
        Of the file, without its ending.
    sentence : str
        Stands under the figure and is its description for those who do not see it.
    draw : callable
        Is given the module `fastconv.plots` and returns a matplotlib Figure.
    """

    name: str
    sentence: str
    draw: Callable = field(repr=False)


@dataclass(frozen=True)
class Link:
    """A paragraph that leads to another file.

    Parameters
    ----------
    sentence : str
    address : str
        Relative to the page.
    """

    sentence: str
    address: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Parameters
    ----------
    title : str
    parts : list of str, Table, Picture or Link
        A str is a paragraph.
    """

    title: str
    parts: list

    def text(self):
        """Return the section as plain text; of a picture its sentence."""
        blocks = [f"{self.title}\n{'=' * len(self.title)}"]
        for part in self.parts:
            if isinstance(part, Table):
                blocks.append(part.text())
            else:
                blocks.append(textwrap.fill(part if isinstance(part, str) else part.sentence, WIDTH))
        return "\n\n".join(blocks)

    def html(self, images):
        """Return the section as HTML.

        Parameters
        ----------
        images : dict of str to bytes
            PNG files by the pictures' names; a picture without one is its sentence alone.
        """
        blocks = [f"<h2>{html.escape(self.title)}</h2>"]
        for part in self.parts:
            if isinstance(part, Table):
                blocks.append(part.html())
            elif isinstance(part, Picture) and part.name in images:
                source = base64.b64encode(images[part.name]).decode("ascii")
                words = html.escape(part.sentence)
                blocks.append(
                    f'<figure><div class="scroll"><img alt="{words}" src="data:image/png;base64,{source}"></div>\n'
                    f"<figcaption>{words}</figcaption></figure>"
                )
            elif isinstance(part, Link):
                blocks.append(f'<p><a href="{html.escape(part.address)}">{html.escape(part.sentence)}</a></p>')
            else:
                blocks.append(f"<p>{html.escape(part if isinstance(part, str) else part.sentence)}</p>")
        return "\n".join(blocks)

    def pictures(self):
        """Return the section's pictures."""
        return [part for part in self.parts if isinstance(part, Picture)]


def page(title, sections, images):
    """Return a whole HTML page that needs no other file.

    Parameters
    ----------
    title : str
    sections : list of Section
    images : dict of str to bytes
        See :meth:`Section.html`.

    Returns
    -------
    str

    Examples
    --------
    >>> from fastconv.reproduce.report import Section, page
    >>> "<p>Is 1 &lt; 2?</p>" in page("A study", [Section("Question", ["Is 1 < 2?"])], {})
    True
    """
    body = "\n".join(section.html(images) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def check_folder(folder, force=False):
    """Raise an error unless a report may be written to a folder; nothing is changed.

    Parameters
    ----------
    folder : str or path-like
        Absent or empty.
    force : bool
        Allow a folder that is not empty: an earlier report in it is replaced, other files stay.

    Raises
    ------
    DataError
        If the folder is not empty, or it or what it is to be made in is a file or cannot be written to.
    """
    folder = os.fspath(folder)
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise DataError(f"{folder}: expected a folder for the report, {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: expected a folder that can be written to, {place} cannot")
    if not force and os.path.isdir(folder) and os.listdir(folder):
        raise DataError(f"{folder}: not empty; choose another folder (--out), or write into this one (--force)")


def read_results(folder):
    """Return what a folder's ``results.json`` holds, or an empty dict where there is none."""
    try:
        with open(os.path.join(folder, RESULTS), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def png(figure, dpi=DPI):
    """Return a matplotlib Figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write(folder, title, sections, results, echo=print):
    """Write a study's report: ``results.json``, a PNG file for each picture, and ``report.html``.

    The results are on the disk before anything is drawn.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there; see :func:`check_folder`.
    title : str
    sections : list of Section
    results : dict
        Of JSON's types; the names of the figures are put into it, as ``results["figures"]``. Those of an earlier report
        that this one does not draw are removed.
    echo : callable
        Is told where the report is, and if matplotlib is missing.

    Returns
    -------
    list of str
        The paths of the files.
    """
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    pictures = [part for section in sections for part in section.pictures()]
    try:
        from fastconv import plots
    except ImportError as error:
        pictures = []
        echo(f"The report has no figures: {error}")
    results["figures"] = [part.name for part in pictures]
    earlier = read_results(folder).get("figures", ())
    write_atomically(os.path.join(folder, RESULTS), json.dumps(results, indent=1, allow_nan=False) + "\n")
    for name in set(earlier) - set(results["figures"]):
        path = os.path.join(folder, os.path.basename(f"{name}.png"))
        if os.path.exists(path):
            os.unlink(path)
    images = {part.name: png(part.draw(plots)) for part in pictures}
    files = {f"{name}.png": image for name, image in images.items()} | {PAGE: page(title, sections, images)}
    for name, content in files.items():
        write_atomically(os.path.join(folder, name), content)
    echo(f"Report: {os.path.join(folder, PAGE)}")
    return [os.path.join(folder, name) for name in (RESULTS, *files)]


def write_index(folder, titles, failed=()):
    """Write a page that leads to the reports in a folder, with what each found.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there.
    titles : dict of str to str
        By the study's name, which is its report's folder in this one.
    failed : dict of str to str
        By the name of a study that failed, the message.
    """
    failed, sections = dict(failed), []
    for name, title in titles.items():
        found = read_results(os.path.join(folder, name))
        parts = [f"Failed: {failed[name]}"] if name in failed else []
        if {"comparison", "complete", "seconds", "original_data"} <= found.keys():
            if found["comparison"]:
                rows = [tuple(row) for row in found["comparison"]]
                parts.append(Table("Original and here", ("", "original", "here"), rows))
            state = "Complete" if found["complete"] else "Interrupted"
            words = f"{state}, in {found['seconds']:.1f} s. {found['original_data']}"
            parts += [words, Link("The report", f"{name}/{PAGE}")]
        sections.append(Section(title, parts or ["Not run."]))
    os.makedirs(folder, exist_ok=True)
    write_atomically(os.path.join(folder, INDEX), page("fastconv: the studies, reproduced", sections, {}))
