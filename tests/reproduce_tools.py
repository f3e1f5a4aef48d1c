"""What the tests of the studies share: quick runs, runs that are broken off, and what a report must be."""

import base64
import html.parser
import json
import os
import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import reproduce
from fastconv.reproduce.base import Options

QUIET = {"quick": True, "threads": 1, "progress": False}
TIMED = ("seconds", "images_per_second", "machine", "threads")


def make(kind, **options):
    """A quick study on what comes with the package, of which nothing has been run."""
    return kind(None, Options(**QUIET | {"echo": lambda words: None} | options))


def run_quickly(name, folder, **options):
    """Run a study quickly; return its results, what it printed and the report's folder."""
    printed = []
    results = reproduce.run(name, out=folder, echo=printed.append, **QUIET | options)
    return results, "\n".join(printed), folder


def interrupt(monkeypatch, kind, method, calls):
    """Let so many calls of a method be; the next is Ctrl-C."""
    original, made = getattr(kind, method), []

    def interrupted(self, *args, **kwargs):
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(kind, method, interrupted)


def run_interrupted(name, folder, **options):
    """Run a study that is broken off by Ctrl-C, see that it says so; return ``results.json`` and what was printed."""
    printed = []
    with pytest.raises(KeyboardInterrupt):
        reproduce.run(name, out=folder, echo=printed.append, **QUIET | options)
    results, text = stored(folder), "\n".join(printed)
    assert results["complete"] is False
    assert "Interrupted" in text and "Interrupted" in (folder / "report.html").read_text()
    return results, text


def spoil_gradients(monkeypatch, spoil):
    """Let all networks' gradients go through a function that gives others."""
    right = fc.Sequential.loss_and_gradients

    def wrong(self, *args, **kwargs):
        loss, gradients = right(self, *args, **kwargs)
        return loss, spoil(gradients)

    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", wrong)


def stored(folder):
    """What ``results.json`` holds."""
    return json.loads((folder / "results.json").read_text())


def as_json(results):
    """The results as they come back from JSON."""
    return json.loads(json.dumps(results, allow_nan=False))


def untimed(found):
    """The results without what depends on the machine, the number of threads or the clock."""
    if isinstance(found, dict):
        return {key: untimed(value) for key, value in found.items() if key not in TIMED}
    if isinstance(found, (list, tuple)):
        rows = (each for each in found if not (isinstance(each, tuple) and str(each[0]).startswith("seconds")))
        return [untimed(each) for each in rows]
    return found


def unwrapped(text):
    """Printed text on one line, single spaces between its words."""
    return " ".join(text.split())


class Page(html.parser.HTMLParser):
    """What is in a page: images, the rows of its tables, and every address that it would load."""

    def __init__(self, folder):
        super().__init__()
        self.text = (folder / "report.html").read_text()
        self.images, self.addresses, self.metas, self.rows = [], [], [], []
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(base64.b64decode(attributes["src"].partition(",")[2]))
        if tag == "meta":
            self.metas.append(attributes.get("name"))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.addresses += [attributes[name] for name in ("src", "href", "action", "data") if name in attributes]

    def handle_data(self, text):
        if self.rows and self.rows[-1] and self.lasttag in ("td", "th"):
            self.rows[-1][-1] += text.strip()


def check_report(folder, pictures):
    """See that a report stands alone, is light, and has these pictures, which are the files beside it."""
    page = Page(folder)
    assert set(os.listdir(folder)) == {"results.json", "report.html", *(f"{name}.png" for name in pictures)}
    assert sorted(page.images) == sorted((folder / f"{name}.png").read_bytes() for name in pictures)
    assert all(image.startswith(b"\x89PNG") for image in page.images)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"url\(|@import|<script|<link|https?:", page.text)
    assert "viewport" in page.metas
    assert len(page.text) < 1_500_000


def write_cifar10(folder, images):
    """Write a folder ``cifar10`` of six batches of so many images of noise, their labels 0 to 9 in turn."""
    rng = np.random.default_rng(0)
    (folder / "cifar10").mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (images, 3073), np.uint8)
        records[:, 0] = np.arange(images) % 10
        (folder / "cifar10" / f"{name}.bin").write_bytes(records.tobytes())
