"""train, test, predict, explain and info: what they print where, their exit statuses, their files."""

import io
import json
import os
import subprocess
import sys
import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

import fastconv as fc
from fastconv.calibration import calibration_error
from fastconv.cli import main
from fastconv.cli.evaluation import Evaluation

NAMES = {"Japanese": "Tanaka Suzuki Yamada Nakamura Kobayashi Watanabe Ishikawa Mori", "Polish": "Nowak Kowalski "
         "Wisniewski Kaminski Lewandowski Zielinski Szymanski Wozniak"}  # fmt: skip
EXAMPLES = [(name, label) for label, text in NAMES.items() for name in text.split()]
QUICK = ["--epochs", "3", "--filters", "8", "--members", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a model file."""
    path = str(tmp_path_factory.mktemp("model") / "names.safetensors")
    clf = fc.CharConvClassifier(filters=32, members=1, epochs=40, random_state=0)
    clf.fit(*map(list, zip(*EXAMPLES, strict=True))).save(path)
    return path


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("".join(f"{name}\t{label}\n" for name, label in EXAMPLES))
    return path


@pytest.fixture
def run(capsys):
    """Run a command that must succeed; return what it prints to standard output and standard error."""

    def run(*arguments):
        assert main(list(map(str, arguments))) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def predict(run, model, tmp_path):
    """Predict a file of these contents; return standard output."""

    def predict(content, *arguments, name="strings.txt"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        out, err = run("predict", tmp_path / name, "--model", model, *arguments)
        assert err == ""
        return out

    return predict


def test_train_then_predict(names, run, tmp_path):
    out, err = run("train", names, "--model", tmp_path / "m", "--validation", "0", "--epochs", "40", *QUICK[2:])
    assert out == "" and "16 strings to train, 0 to validate, 2 classes" in err and "macro-F1" not in err
    (tmp_path / "x.txt").write_text("Tanaka\nkowalski\n\n")
    out, err = run("predict", tmp_path / "x.txt", "--model", tmp_path / "m")
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == ["Tanaka", "kowalski", ""]
    assert [line[1] for line in lines[:2]] == ["Japanese", "Polish"]
    assert all(0.5 <= float(line[2]) <= 1 for line in lines)


class TestTrain:
    def test_it_tells_what_it_chose_and_how_well_it_does_on_what_it_holds_out(self, names, run, tmp_path):
        out, err = run("train", names, "--model", tmp_path / "m", "--validation", "0.25", *QUICK)
        assert out == "" and "12 strings to train, 4 to validate, 2 classes" in err
        for told in (
            "alphabet    ",
            "length      ",
            "3 epochs in ",
            "macro-F1 ",
            "calibration error ",
            "confusion matrix",
        ):
            assert told in err
        model = fc.load_classifier(tmp_path / "m")
        assert model.classes == ["Japanese", "Polish"]
        assert model.settings["epochs"] == 3 and model.settings["filters"] == 8

    def test_the_same_seed_trains_the_same_model(self, names, run, tmp_path):
        for name, seed in ("a", 7), ("b", 7), ("c", 8):
            run("train", names, "--model", tmp_path / name, "--seed", seed, *QUICK)
        first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
        assert first == second != other

    def test_options_reach_the_classifier(self, names, run, tmp_path):
        options = "--class-weight none --keep-case --keep end --strip-accents --max-length 5 --learning-rate 0.01"
        options += " --kernel-size 2 --batch-size 4"
        run("train", names, "--model", tmp_path / "m", *QUICK, *options.split())
        settings = fc.load_classifier(tmp_path / "m").settings
        expected = dict(class_weight=None, lowercase=False, keep="end", strip_accents=True, max_length=5,
                        learning_rate=0.01, kernel_size=2, batch_size=4)  # fmt: skip
        assert {name: settings[name] for name in expected} == expected

    @pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.ft"])
    def test_other_formats_train_the_same_model(self, names, run, tmp_path, name):
        lines = {
            "x.csv": ["id,name,kind", *(f"1,{name},{label}" for name, label in EXAMPLES)],
            "x.jsonl": [json.dumps({"name": name, "kind": label}) for name, label in EXAMPLES],
            "x.ft": [f"__label__{label} {name}" for name, label in EXAMPLES],
        }[name]
        (tmp_path / name).write_text("\n".join(lines))
        columns = [] if name == "x.ft" else ["--text", "name", "--label", "kind"]
        run("train", names, "--model", tmp_path / "a", *QUICK)
        run("train", tmp_path / name, "--model", tmp_path / "b", *QUICK, *columns)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_a_class_of_one_string_is_trained_on(self, names, run, tmp_path):
        names.write_text(names.read_text() + "O'Neil\tIrish\n")
        _, err = run("train", names, "--model", tmp_path / "m", "--validation", "0.9", *QUICK)
        assert "3 strings to train, 14 to validate, 3 classes" in err

    def test_empty_lines_are_counted(self, names, run, tmp_path):
        names.write_text("\n" + names.read_text() + "\n \n")
        _, err = run("train", names, "--model", tmp_path / "m", *QUICK)
        assert "names.tsv: 3 empty lines passed over" in err

    def test_the_confusion_matrix_is_drawn(self, names, run, tmp_path):
        run("train", names, "--model", tmp_path / "m", "--chart", tmp_path / "m.png", *QUICK)
        assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")

    def test_names_that_the_font_of_the_chart_lacks_are_told(self, names, run, tmp_path):
        names.write_text(names.read_text().replace("Japanese", "日本"))
        _, err = run("train", names, "--model", tmp_path / "m", "--chart", tmp_path / "m.png", *QUICK)
        assert err.count("the chart's font lacks characters") == 1 and "Glyph" not in err

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "names.tsv: no lines"),
            ("\n\n", "names.tsv: no lines"),
            ("Tanaka\tJ\nNowak P\n", "names.tsv, line 2: expected string<TAB>label, got 'Nowak P'"),
            ("Tanaka\tJ\nNowak\t\n", "names.tsv, line 2: expected a label, got none, 'Nowak'"),
            ("Tanaka\tJ\nMori\tJ\n", "all labels are 'J'; a classifier needs two classes"),
            (
                "J\tTanaka\n" + "".join(f"J\t{i:09}\n" for i in range(12_000)),
                "is what stands for the label the string?",
            ),
            (b"Tanaka\tJ\nM\xfcller\tG\n", "names.tsv, line 2, byte 2: expected UTF-8, got 0xfc (--errors replace "),
        ],
    )
    def test_a_malformed_file_is_named_and_no_model_written(self, names, fails, text, message):
        names.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert message in fails("train", names, "--model", names.parent / "m")
        assert os.listdir(names.parent) == ["names.tsv"]

    def test_errors_replace_reads_on(self, names, run, tmp_path):
        names.write_bytes(names.read_bytes() + b"M\xfcller\tPolish\n")
        run("train", names, "--model", tmp_path / "m", "--errors", "replace", *QUICK)
        assert "\ufffd" in fc.load_classifier(tmp_path / "m").alphabet.symbols

    def test_what_cannot_be_written_is_said_before_training(self, names, fails, monkeypatch):
        monkeypatch.setattr(fc.CharConvClassifier, "fit", lambda *args, **kwargs: pytest.fail("it was trained"))
        assert "folder of" in fails("train", names, "--model", names.parent / "no" / "m")
        assert "cannot be written" in fails("train", names, "--model", names.parent)
        assert "--chart: the folder" in fails("train", names, "--model", names.parent / "m", "--chart", "no/m.png")
        message = fails("train", names, "--model", names.parent / "m", "--chart", names.parent / "c", "--validation", 0)
        assert "--chart: expected a share to hold out" in message
        assert "--validation" in fails("train", names, "--model", names.parent / "m", "--validation", 1)

    def test_ctrl_c_leaves_the_model_that_was_there(self, names, tmp_path, monkeypatch, capsys):
        def fit(*args, **kwargs):
            raise KeyboardInterrupt

        (tmp_path / "m").write_text("the former")
        monkeypatch.setattr(fc.CharConvClassifier, "fit", fit)
        assert main(["train", str(names), "--model", str(tmp_path / "m")]) == 130
        assert capsys.readouterr().err.endswith("fastconv: interrupted\n")
        assert sorted(os.listdir(tmp_path)) == ["m", "names.tsv"] and (tmp_path / "m").read_text() == "the former"


@pytest.mark.parametrize(
    "arguments",
    ["train", "train x", "train x --model m --learning-rate -1", "train x --model m --validation 1.5",
     "train x --model m --input-format lines", "test x", "predict", "predict --model m --reject-below 2",
     "predict --model m --top-k 0", "predict --model m --reject-below nan", "explain --model m"],
)  # fmt: skip
def test_wrong_use_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2 and "usage: fastconv" in capsys.readouterr().err


class TestPredict:
    def test_each_line_has_its_label_and_probability(self, predict, model):
        strings = ["Tanaka", "Nowak", "", "שלום", "😀" * 30, "a\0b"] * 50
        lines = predict("\r\n".join(strings)).split("\n")
        classifier = fc.load_classifier(model)
        labels, p = classifier.predict(strings), classifier.predict_proba(strings).max(axis=1)
        expected = [f"{s}\t{label}\t{q:.4f}" for s, label, q in zip(strings, labels, p, strict=True)]
        assert lines == [*expected, ""]

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(text=st.text(max_size=40))
    def test_any_text_gives_a_line_of_three_fields_for_each_of_its_lines(self, model, text):
        stdin, stdout = (io.TextIOWrapper(io.BytesIO(content)) for content in (text.encode(), b""))
        with mock.patch.object(sys, "stdin", stdin), mock.patch.object(sys, "stdout", stdout):
            assert main(["predict", "--model", model, "--threads", "1"]) == 0
        lines = stdout.buffer.getvalue().decode().split("\n")[:-1]
        assert len(lines) == len(text.removesuffix("\n").split("\n")) * bool(text)
        assert all(line.count("\t") == 2 and "\r" not in line for line in lines)

    def test_no_lines_give_none(self, predict):
        assert predict("") == "" and predict("\n").count("\n") == 1

    def test_top_k_gives_the_likeliest_labels_and_all_at_most(self, predict, model):
        string, first, p, second, q = predict("Nowak\n", "--top-k", 9).rstrip("\n").split("\t")
        assert (string, first, second) == ("Nowak", "Polish", "Japanese")
        assert float(p) + float(q) == pytest.approx(1, abs=2e-4) and p > q

    def test_below_a_probability_there_is_no_label(self, predict):
        assert predict("Nowak\n", "--reject-below", "0").split("\t")[1] == "Polish"
        assert predict("Nowak\n", "--reject-below", "1").split("\t")[1] == ""
        lines = predict("Nowak\n", "--reject-below", "1", "--reject-label", "?", "--top-k", "2").split("\t")
        assert lines[1] == "?" and lines[3] == "Japanese"

    def test_tabs_and_line_ends_inside_strings_become_spaces(self, predict):
        lines = json.dumps({"text": "a\tb\nc\rd"}) + "\n" + json.dumps({"text": "\x1b\x00"})
        out = predict(lines, name="x.jsonl")
        assert [line.split("\t")[0] for line in out.splitlines()] == ["a b c d", "\x1b\x00"]

    def test_json_lines_keep_the_string_and_say_more(self, predict):
        strings = ['a\tb\nc"d\\', "שלום 😀\u2028", "\0", ""]
        lines = "\n".join(json.dumps({"text": string}) for string in strings)
        records = [json.loads(s) for s in predict(lines, "--format", "jsonl", name="x.jsonl").rstrip("\n").split("\n")]
        assert [record["text"] for record in records] == strings
        assert all(record.keys() == {"text", "label", "probability"} for record in records)
        out = predict("Nowak\n", "--format", "jsonl", "--top-k", "2", "--reject-below", "1")
        record = json.loads(out)
        assert record["label"] is None and [entry["label"] for entry in record["top"]] == ["Polish", "Japanese"]
        assert record["probability"] == record["top"][0]["probability"] >= record["top"][1]["probability"]

    def test_strings_come_from_columns_too(self, predict):
        out = predict("id,name\n1,Nowak\n2,Mori\n", "--text", "name", name="x.csv")
        assert [line.split("\t")[:2] for line in out.splitlines()] == [["Nowak", "Polish"], ["Mori", "Japanese"]]

    def test_labels_that_are_no_strings(self, run, tmp_path):
        clf = fc.CharConvClassifier(filters=4, members=1, epochs=2, random_state=0)
        clf.fit(["a", "a", "b", "b"], [3, 3, 5, 5]).save(tmp_path / "m")
        (tmp_path / "x.tsv").write_text("a\t3\nb\t5\n")
        out, _ = run("predict", tmp_path / "x.tsv", "--model", tmp_path / "m", "--format", "jsonl")
        assert {json.loads(line)["label"] for line in out.splitlines()} <= {3, 5}
        assert "of 2 strings" in run("test", tmp_path / "x.tsv", "--model", tmp_path / "m").out
        assert run("explain", "a", "--model", tmp_path / "m", "--label", "5").out.startswith("5: ")

    def test_a_line_of_ten_megabytes(self, predict):
        lines = predict("Nowak" * 2_000_000 + "\nMori\n").splitlines()
        assert lines[0].split("\t")[1:] == predict("Nowak" * 100).rstrip().split("\t")[1:] and len(lines) == 2

    def test_what_comes_is_answered_before_more_comes(self, model):
        command = [sys.executable, "-m", "fastconv", "predict", "--model", model]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for string in ("Nowak", "Mori"):
                process.stdin.write(f"{string}\n".encode())
                process.stdin.flush()
                assert process.stdout.readline().decode().startswith(f"{string}\t")

    def test_a_closed_pipe_is_quiet(self, model):
        command = [sys.executable, "-m", "fastconv", "predict", "--model", model]
        names = "\n".join(["Tanaka"] * 100_000)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.close()
            try:
                process.stdin.write(names.encode())
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.wait(60)
            assert process.stderr.read() == b""

    def test_memory_does_not_grow_with_the_file(self, model, monkeypatch, tmp_path):
        peaks = []
        for n in (100_000, 400_000):
            (tmp_path / "x.txt").write_text("Nowak\n" * n)
            with open(os.devnull, "w") as sink:
                monkeypatch.setattr(sys, "stdout", sink)
                tracemalloc.start()
                assert main(["predict", str(tmp_path / "x.txt"), "--model", model]) == 0
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        assert peaks[1] < 1.1 * peaks[0]

    def test_text_that_is_not_utf8_ends_it_after_the_lines_before(self, model, monkeypatch, capsys):
        content = b"Nowak\n" * 100_000 + b"M\xfcller\nMori\n"
        for errors, status, lines in ("strict", 2, range(100_001)), ("replace", 0, range(100_002, 100_003)):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            assert main(["predict", "--model", model, "--errors", errors]) == status
            out, err = capsys.readouterr()
            assert out.count("\n") in lines
            assert ("standard input, line 100001, byte 2: expected UTF-8" in err) == bool(status)

    def test_an_output_that_is_closed(self, model, names, monkeypatch, capsys):
        monkeypatch.setattr(sys, "stdout", None)
        assert main(["predict", str(names), "--model", model]) == 2
        assert capsys.readouterr().err == "fastconv: error: standard output: it is closed\n"

    def test_a_reject_label_needs_a_probability(self, model, fails):
        assert "--reject-label: expected --reject-below" in fails("predict", "--model", model, "--reject-label", "?")
        assert "columns or keys, got 'lines'" in fails("predict", "--model", model, "--text", "name")


def test_a_file_that_is_no_model_of_strings(names, fails, run):
    fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3)).save(names.parent / "net")
    for command in (["predict", names], ["test", names], ["explain", "Mori"]):
        assert "not a model file" in fails(*command, "--model", names)
        assert "not a classifier of strings" in fails(*command, "--model", names.parent / "net")
        assert f"error: {names.parent / 'none'}: No such file" in fails(*command, "--model", names.parent / "none")
    assert "Dense" in run("info", names.parent / "net").out
    assert "not a model file" in fails("info", names)


def test_a_damaged_model_file_is_an_error_or_a_model(model, names, tmp_path, capsys, rng):
    content = np.fromfile(model, np.uint8)
    for trial in range(60):
        damaged = content.copy()
        header = 8 + int.from_bytes(content[:8].tobytes(), "little")
        damaged[rng.integers(header if trial % 2 else len(content))] ^= 1 << rng.integers(8)
        (tmp_path / "m").write_bytes(damaged[: len(content) - trial // 50].tobytes())
        for command in (["predict", str(names)], ["test", str(names)], ["explain", "Mori"]):
            status = main([*command, "--model", str(tmp_path / "m")])
            out, err = capsys.readouterr()
            assert (status, bool(out)) == (0, True) or (status == 2 and err.startswith("fastconv: error: "))
        assert status == 2 or trial < 50


def test_probabilities_that_are_not_finite_are_an_error(names, model, fails, tmp_path):
    net = fc.load(model)
    net.parameters[:] = np.finfo(np.float32).max
    net.save(tmp_path / "m")
    assert "probabilities that are not finite" in fails("predict", names, "--model", tmp_path / "m")


class TestTest:
    def test_it_tells_accuracy_by_class_and_confusions(self, names, model, run, tmp_path):
        out, err = run("test", names, "--model", model, "--chart", tmp_path / "c.png")
        assert "accuracy           100.0% of 16 strings" in out and "macro-F1           100.0%" in out
        assert "Japanese        8    100.0%     100.0%  100.0%" in out
        assert " 1  Japanese   8   ." in out and " 2  Polish     .   8" in out
        assert err.strip() == f"written: {tmp_path / 'c.png'}"

    def test_labels_that_the_model_does_not_know_are_wrong(self, names, model, run):
        names.write_text(names.read_text() + "O'Neil\tIrish\nKelly\tIrish\n" + "".join(f"a\t{i}\n" for i in range(9)))
        out, err = run("test", names, "--model", model)
        assert "of 27 strings" in out and "accuracy            59.3%" in out
        assert "11 strings have labels that the model does not know, all wrong: 'Irish' (2), '0' (1), " in err
        assert err.rstrip().endswith("...")

    def test_a_file_without_lines(self, names, model, fails):
        names.write_text("\n")
        assert "names.tsv: no lines" in fails("test", names, "--model", model)


class TestEvaluation:
    @pytest.fixture
    def evaluated(self, rng):
        """An evaluation of random predictions in three blocks; true classes, predicted ones and probabilities."""
        p = rng.dirichlet(np.full(5, 0.3), 300).astype(np.float32)
        codes = np.where(rng.random(300) < 0.6, p.argmax(axis=1), rng.integers(4, size=300))  # one never occurs
        evaluation = Evaluation(list("abcde"))
        for block in np.split(np.arange(300), [1, 120]):
            evaluation.add(codes[block], p[block])
        return evaluation, codes, p.argmax(axis=1), p

    def test_it_agrees_with_scikit_learn(self, evaluated):
        evaluation, codes, found, _ = evaluated
        assert evaluation.accuracy == pytest.approx(accuracy_score(codes, found))
        assert evaluation.macro_f1 == pytest.approx(f1_score(codes, found, average="macro"))
        expected = precision_recall_fscore_support(codes, found, labels=range(5), zero_division=np.nan)
        strings, recall, precision, f1 = evaluation.by_class()
        for mine, theirs in zip((precision, recall, f1, strings), expected, strict=True):
            np.testing.assert_allclose(mine, theirs)

    def test_it_agrees_with_the_calibration_error_of_all_at_once(self, evaluated):
        evaluation, codes, _, p = evaluated
        weights = 1 / np.bincount(codes)[codes]
        assert evaluation.calibration_error() == pytest.approx(calibration_error(p, codes))
        expected = calibration_error(p, codes, sample_weight=weights)
        assert evaluation.calibration_error(balanced=True) == pytest.approx(expected)

    def test_labels_that_are_no_class_are_one_more_in_the_mean(self):
        evaluation = Evaluation(["a", "b"])
        evaluation.add([0, 1, -1], np.eye(2)[[0, 1, 1]])
        expected = f1_score([0, 1, 2], [0, 1, 1], average="macro")
        assert evaluation.macro_f1 == pytest.approx(expected) and evaluation.accuracy == pytest.approx(2 / 3)

    def test_of_many_classes_the_most_frequent_confusions_are_told(self):
        names = [f"class {k}" for k in range(200)]
        evaluation = Evaluation(names)
        p = np.eye(200)
        evaluation.add([7] * 5 + [8] * 2, p[[7, 9, 9, 9, 3, 8, 1]])
        report = evaluation.report().splitlines()
        assert report[-4:] == [
            "most frequent confusions (200 classes)",
            "      3  class 7 taken for class 9 (60.0% of these)",
            "      1  class 7 taken for class 3 (20.0% of these)",
            "      1  class 8 taken for class 1 (50.0% of these)",
        ]

    def test_names_of_wide_and_control_characters_keep_the_table_in_shape(self):
        evaluation = Evaluation(["日本", "e\u0301t\u0301", "a\nb\x1b"])
        evaluation.add([0, 1, 2], np.eye(3))
        report = evaluation.report().splitlines()
        assert [line[: -len("  precision      F1")] for line in report[4:8]] == [
            "class     strings  accuracy",
            "日本            1    100.0%",
            "e\u0301t\u0301              1    100.0%",
            "a\\nb\\x1b        1    100.0%",
        ]
        assert report[-3:] == [
            " 1  日本       1   .   .",
            " 2  e\u0301t\u0301         .   1   .",
            " 3  a\\nb\\x1b   .   .   1",
        ]


class TestExplain:
    def test_each_character_has_a_line(self, model, run):
        lines = run("explain", "Nowak", "--model", model).out.splitlines()
        assert lines[0].startswith("Polish: ") and [line[0] for line in lines[1:]] == list("nowak")
        assert run("explain", "Nowak", "--model", model, "--label", "Japanese").out.startswith("Japanese: ")

    def test_colour(self, model, run, monkeypatch):
        assert "\x1b[" in run("explain", "Nowak", "--model", model, "--color", "always").out
        assert "\x1b[" not in run("explain", "Nowak", "--model", model).out
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert "\x1b[" in run("explain", "Nowak", "--model", model).out
        assert "\x1b[" not in run("explain", "Nowak", "--model", model, "--color", "never").out
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in run("explain", "Nowak", "--model", model).out

    def test_a_page(self, model, run, tmp_path):
        run("explain", "<b>É", "--model", model, "--html", tmp_path / "x.html")
        page = (tmp_path / "x.html").read_text(encoding="utf-8")
        assert page.startswith("<!DOCTYPE html>") and "<title>&lt;b&gt;É</title>" in page and "<b>É" not in page

    def test_what_cannot_be_explained(self, model, fails, tmp_path):
        message = fails("explain", "Nowak", "--model", model, "--label", "Irish")
        assert "--label: expected one of Japanese, Polish, got 'Irish'" in message
        assert "expected a string of UTF-8, got 'a\\udcff'" in fails("explain", "a\udcff", "--model", model)
        assert "--html: the folder" in fails("explain", "a", "--model", model, "--html", tmp_path / "no" / "x")


def test_info_tells_what_a_model_file_holds(model, run):
    out, _ = run("info", model)
    assert "2: Japanese, Polish" in out and "OneHotConv1D" in out


@pytest.mark.parametrize(
    "arguments", [["predict", "names.tsv"], ["test", "names.tsv"], ["explain", "Mori"], ["info"], ["train", "--help"]]
)
def test_only_training_needs_more_than_numpy(names, model, arguments):
    arguments = [str(names) if argument == "names.tsv" else argument for argument in arguments]
    arguments += {"info": [model], "train": []}.get(arguments[0], ["--model", model])
    code = (
        "import sys\nfrom fastconv.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'tqdm', 'pooch') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == "[]" and process.stderr == ""
