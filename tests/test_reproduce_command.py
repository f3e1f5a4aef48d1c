"""``fastconv reproduce``: what it lists, refuses, says and leaves on the disk, whatever the study."""

import functools
import html
import json
import os
import re
import signal
import subprocess
import sys
import types

import pytest

from fastconv import reproduce
from fastconv.cli import main
from fastconv.errors import DataError, NonFiniteLossError, RangeError
from fastconv.reproduce import report
from fastconv.reproduce.base import Options, Study
from fastconv.reproduce.report import Picture, Section

DATA = {"surnames", "cifar10", "mnist"}


class Small(Study):
    """A study that computes nothing: a first part that succeeds, and a second."""

    PARTS = (("the first part", "first"), ("the second part", "second"))

    def introduction(self):
        return Section("Question", ["What is the answer?"])

    def whose(self):
        return "The original's figures were found elsewhere."

    def comparison(self):
        return [("answer", "41", str(self.results["answer"]))] if "answer" in self.results else []

    def __init__(self, data, options):
        super().__init__(data, options)
        self.results["folder"] = data

    def first(self):
        self.results["answer"] = 42
        return Section("First", ["Done."])

    def second(self):
        return Section("Second", ["Done."])


@pytest.fixture
def studies(monkeypatch):
    """Three studies, alpha, beta and gamma, in place of all others; returns their classes."""
    kinds = {}
    for name, data in (("alpha", "surnames"), ("beta", "cifar10"), ("gamma", "cifar10")):
        kinds[name] = type(name, (Small,), {"NAME": name, "TITLE": f"The {name} study", "DATA": data})
        monkeypatch.setitem(sys.modules, f"fastconv.reproduce.{name}", types.SimpleNamespace(STUDY=kinds[name]))
    kinds["beta"].EPOCHS = True
    monkeypatch.setattr(reproduce, "STUDIES", {name: f"what {name} is" for name in kinds})
    return kinds


def stop(error):
    """Return a part that stops with an error."""

    def part(self):
        self.note("half of it")
        raise error

    return part


def fails(capsys, *arguments):
    """Run ``fastconv reproduce`` so that it must fail with status 2; return the message and what was printed before."""
    assert main(["reproduce", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("fastconv: error: ") and err.count("\n") == 1
    return err, out


def results(folder):
    return json.loads((folder / "results.json").read_text())


# What there is


@pytest.mark.parametrize("name", reproduce.STUDIES)
def test_every_study_says_what_the_command_needs(name):
    kind = reproduce.study(name)
    assert name == kind.NAME and kind.TITLE and kind.DATA in DATA
    assert kind.PARTS and all(callable(getattr(kind, method)) for _, method in kind.PARTS)
    assert len({words for words, _ in kind.PARTS}) == len(kind.PARTS)
    json.dumps(kind.ORIGINAL, allow_nan=False)


def test_the_list_names_every_study_and_the_folder_that_it_reads(capsys, studies):
    assert main(["reproduce", "--list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [re.split(r"  +", line) for line in out.splitlines()] == [
        ["alpha", "what alpha is (data folder: surnames)"],
        ["beta", "what beta is (data folder: cifar10)"],
        ["gamma", "what gamma is (data folder: cifar10)"],
    ]


def test_an_unknown_study_or_none_lists_the_known_ones(capsys, studies):
    message = "fastconv: error: reproduce: unknown study 'delta'; known: alpha, beta, gamma, and all\n"
    assert fails(capsys, "delta") == (message, "")
    message = "fastconv: error: reproduce: expected a study, one of alpha, beta, gamma, or all\n"
    assert fails(capsys) == (message, "")


# One study


def test_a_study_writes_its_results_and_its_report(tmp_path, studies, capsys):
    assert main(["reproduce", "alpha", "--out", str(tmp_path / "out"), "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"answer +41 +42", out) and out.endswith(f"Report: {tmp_path / 'out' / 'report.html'}\n")
    found = results(tmp_path / "out")
    assert found["complete"] and found["answer"] == 42 and found["comparison"] == [["answer", "41", "42"]]
    assert found["original_data"] == "The original's figures were found elsewhere."
    assert found["settings"] == {"quick": False, "seed": 3, "threads": None, "epochs": None}


def test_by_default_the_report_goes_into_a_folder_of_the_study_s_name(tmp_path, studies, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "alpha"]) == 0
    assert os.listdir(tmp_path) == ["alpha-report"]


def test_epochs_are_refused_where_they_do_not_scale(tmp_path, studies, capsys):
    err, _ = fails(capsys, "alpha", "--epochs", "3", "--out", tmp_path / "out")
    assert "reproduce: alpha takes no number of epochs, got 3" in err
    assert not (tmp_path / "out").exists()
    assert main(["reproduce", "beta", "--epochs", "3", "--out", str(tmp_path / "out")]) == 0
    assert results(tmp_path / "out")["settings"]["epochs"] == 3


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True])
def test_epochs_are_a_positive_number(tmp_path, studies, epochs):
    with pytest.raises(RangeError, match="reproduce: epochs: expected a positive integer, got"):
        reproduce.run("beta", out=tmp_path / "out", epochs=epochs, echo=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_report_is_replaced_only_by_force(tmp_path, studies, capsys):
    assert main(["reproduce", "alpha", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    err, out = fails(capsys, "alpha", "--out", tmp_path, "--seed", "1")
    assert f"{tmp_path}: not empty" in err and "--force" in err and out == ""
    assert results(tmp_path)["settings"]["seed"] == 0
    assert main(["reproduce", "alpha", "--out", str(tmp_path), "--seed", "1", "--force"]) == 0
    assert results(tmp_path)["settings"]["seed"] == 1


def test_missing_parents_of_the_report_s_folder_are_made(tmp_path, studies):
    assert main(["reproduce", "alpha", "--out", str(tmp_path / "a" / "b" / "c")]) == 0
    assert (tmp_path / "a" / "b" / "c" / "report.html").exists()


def test_a_file_in_the_way_of_the_report_s_folder_is_named(tmp_path, studies, capsys):
    (tmp_path / "a").write_text("mine")
    for out in (tmp_path / "a", tmp_path / "a" / "b" / "c"):
        err, printed = fails(capsys, "alpha", "--out", out)
        assert f"{out}: expected a folder for the report, {tmp_path / 'a'} is a file" in err and printed == ""
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize("study", ["alpha", "all"])
def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_computed(
    tmp_path, studies, capsys, monkeypatch, study
):
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))  # root may write everywhere
    err, out = fails(capsys, study, "--out", tmp_path / "a" / "b")
    assert f"{tmp_path / 'a' / 'b'}: expected a folder that can be written to, {tmp_path} cannot" in err
    assert out == "" and not os.listdir(tmp_path)


@pytest.mark.parametrize("study", ["alpha", "all"])
def test_data_that_are_no_folder_are_told_before_anything_is_computed(tmp_path, studies, capsys, study):
    (tmp_path / "file").write_text("mine")
    for name, state in (("file", "a file"), ("nothing", "not there")):
        err, out = fails(capsys, study, "--data", tmp_path / name, "--out", tmp_path / "out")
        assert f"{tmp_path / name}: {state}, expected a folder with the original's data" in err and out == ""
    assert not (tmp_path / "out").exists()


WANTED = {
    "surnames": ("ascii_names.txt, category_labels.txt, Validation_Inds.txt", "KTH's DD2424", "fetch_surnames()"),
    "cifar10": ("data_batch_1.bin to data_batch_5.bin and test_batch.bin", "https://", "fetch_cifar10()"),
    "mnist": ("train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz", "https://", "fetch_mnist()"),
}


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("name", reproduce.STUDIES)
def test_a_folder_without_the_data_says_what_is_expected_and_how_to_get_it(tmp_path, capsys, name, inner):
    wanted = reproduce.study(name).DATA
    folder = tmp_path / "data" / wanted if inner else tmp_path / "data"
    folder.mkdir(parents=True)
    err, out = fails(capsys, name, "--quick", "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert f"error: {folder}: " in err and all(words in err for words in WANTED[wanted])
    assert out == "" and not (tmp_path / "out").exists()


# What breaks a study off


def test_on_ctrl_c_what_is_done_is_written_and_the_status_is_130(tmp_path, studies, capsys):
    studies["alpha"].second = stop(KeyboardInterrupt())
    assert main(["reproduce", "alpha", "--out", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    assert err == "fastconv: interrupted\n"
    assert "Finished before: half of it." in " ".join(out.split()) and "Report:" in out
    found = results(tmp_path)
    assert (found["complete"], found["interrupted_in"], found["answer"]) == (False, "the second part", 42)
    assert "Interrupted in this part (the second part);" in (tmp_path / "report.html").read_text()


def test_if_a_part_fails_what_is_done_is_written_and_the_error_is_told(tmp_path, studies, capsys):
    studies["alpha"].second = stop(NonFiniteLossError("fit: the loss is nan"))
    err, out = fails(capsys, "alpha", "--out", tmp_path)
    assert err == "fastconv: error: fit: the loss is nan\n"
    assert "(the second part) by an error: fit: the loss is nan; what comes after it was not run." in " ".join(
        out.split()
    )
    assert results(tmp_path)["answer"] == 42 and not results(tmp_path)["complete"]


def test_results_are_on_the_disk_before_figures_are_drawn(tmp_path, studies):
    def draw(plots):
        raise KeyboardInterrupt

    studies["alpha"].second = lambda self: Section("Second", [Picture("second", "Seen.", draw)])
    with pytest.raises(KeyboardInterrupt):
        reproduce.run("alpha", out=tmp_path, echo=lambda line: None)
    assert results(tmp_path)["answer"] == 42 and os.listdir(tmp_path) == ["results.json"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ctrl_c_ends_the_process_with_a_report(tmp_path):
    """A study in the middle of a training, and SIGINT, as a terminal sends it: not ignored, as in background jobs."""
    command = [sys.executable, "-m", "fastconv", "reproduce", "surnames", "--out", str(tmp_path), "--threads", "1"]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed) as process:
        for line in process.stdout:
            if line.startswith("no compensation: validation accuracy"):
                process.send_signal(signal.SIGINT)
        assert line == f"Report: {tmp_path / 'report.html'}\n"
        assert process.stderr.read() == "fastconv: interrupted\n"
    assert process.returncode == 130
    found = results(tmp_path)
    assert (found["complete"], found["interrupted_in"]) == (False, "training with and without compensation")
    assert list(found["balance"]) == ["plain"] and found["gradient_check"]["goal_met"]
    assert "Interrupted; what was done took" in html.unescape((tmp_path / "report.html").read_text())


# All studies


def sections(folder):
    """Return the index page's text under each heading."""
    text = html.unescape((folder / "index.html").read_text())
    return dict(re.findall(r"<h2>(.*?)</h2>\n(.*?)(?=\n<h2>|\n</body>)", text, re.DOTALL))


def test_all_run_in_order_each_into_its_folder_with_a_page_that_leads_to_them(tmp_path, studies, capsys):
    assert main(["reproduce", "all", "--out", str(tmp_path), "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^== (.*)", out, re.MULTILINE) == [
        "1 of 3: alpha, what alpha is", "2 of 3: beta, what beta is", "3 of 3: gamma, what gamma is"
    ]  # fmt: skip
    assert out.endswith(f"Reports: {tmp_path / 'index.html'}\n")
    assert sorted(os.listdir(tmp_path)) == ["alpha", "beta", "gamma", "index.html"]
    assert [results(tmp_path / name)["settings"]["epochs"] for name in studies] == [None, 2, None]
    found = sections(tmp_path)
    assert list(found) == [kind.TITLE for kind in studies.values()]
    for name, text in zip(studies, found.values(), strict=True):
        assert '<td class="left">answer</td><td>41</td><td>42</td>' in text and "Complete, in " in text
        assert "The original's figures were found elsewhere." in text
        assert f'<a href="{name}/report.html">' in text and (tmp_path / name / "report.html").exists()


def test_by_default_the_reports_go_into_a_folder_of_that_name(tmp_path, studies, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "all"]) == 0
    assert os.listdir(tmp_path) == ["reports"] and (tmp_path / "reports" / "index.html").exists()


def test_missing_data_folders_are_told_first_and_what_comes_with_the_package_is_read(tmp_path, studies, capsys):
    (tmp_path / "data" / "surnames").mkdir(parents=True)
    assert main(["reproduce", "all", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    told = out.partition("\n== 1 of 3")[0]
    missing = tmp_path / "data" / "cifar10"
    words = f"{missing} is not there; what comes with the package stands in for it"
    assert told.splitlines() == [f"beta: {words}", f"gamma: {words}"]
    read = [results(tmp_path / "out" / name)["folder"] for name in studies]
    assert read == [str(tmp_path / "data" / "surnames"), None, None]


def test_one_report_in_the_folder_is_enough_to_refuse_all(tmp_path, studies, capsys):
    assert main(["reproduce", "gamma", "--out", str(tmp_path / "gamma")]) == 0
    capsys.readouterr()
    err, out = fails(capsys, "all", "--out", tmp_path)
    assert f"{tmp_path}: not empty" in err and out == "" and os.listdir(tmp_path) == ["gamma"]
    assert main(["reproduce", "all", "--out", str(tmp_path), "--force", "--seed", "5"]) == 0
    assert [results(tmp_path / name)["settings"]["seed"] for name in studies] == [5, 5, 5]


def test_interrupted_all_leaves_the_reports_so_far_and_the_page(tmp_path, studies, capsys):
    studies["beta"].second = stop(KeyboardInterrupt())
    assert main(["reproduce", "all", "--out", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    assert err == "fastconv: interrupted\n" and out.endswith(f"Reports: {tmp_path / 'index.html'}\n")
    alpha, beta, gamma = sections(tmp_path).values()
    assert "Complete, in " in alpha and "Interrupted, in " in beta and "beta/report.html" in beta
    assert gamma == "<p>Not run.</p>" and not (tmp_path / "gamma").exists()


def test_a_study_that_fails_does_not_keep_the_others_from_being_run(tmp_path, studies, capsys):
    def refuse(self, data, options):
        raise DataError("folder: nothing in it")

    studies["alpha"].__init__ = refuse
    studies["beta"].second = stop(NonFiniteLossError("fit: the loss is nan"))
    err, out = fails(capsys, "all", "--out", tmp_path)
    assert "2 of 3 studies failed: alpha: folder: nothing in it; beta: fit: the loss is nan" in err
    assert "alpha failed: folder: nothing in it" in out
    alpha, beta, gamma = sections(tmp_path).values()
    assert alpha == "<p>Failed: folder: nothing in it</p>" and "Failed: fit: the loss is nan" in beta
    assert "Interrupted, in " in beta and "Complete, in " in gamma


@pytest.mark.parametrize("content", ["", "[]", '{"study": "alpha"}'])
def test_the_page_passes_over_what_is_no_report(tmp_path, content):
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha" / "results.json").write_text(content)
    report.write_index(tmp_path, {"alpha": "The alpha study"})
    assert sections(tmp_path) == {"The alpha study": "<p>Not run.</p>"}


# The progress bar


@pytest.mark.parametrize(("progress", "shown"), [(None, False), (False, False), (True, True)])
def test_the_progress_bar_says_which_study_and_which_part(tmp_path, studies, progress, shown):
    seen = []

    def part(self):
        seen.append(self.progress)
        self.running = "seed 3"
        seen.append(self.progress)
        return Section("Second", [])

    studies["alpha"].second = part
    reproduce.run("alpha", out=tmp_path, progress=progress, echo=lambda line: None)
    assert seen == (["alpha: the second part", "alpha: seed 3"] if shown else [False, False])


@pytest.mark.parametrize("name", reproduce.STUDIES)
def test_the_settings_of_every_study_hold_what_was_given(name):
    settings = reproduce.study(name)(None, Options(quick=True, seed=7, threads=1)).results["settings"]
    assert {key: settings[key] for key in ("quick", "seed", "threads", "epochs")} == {
        "quick": True, "seed": 7, "threads": 1, "epochs": None,
    }  # fmt: skip
