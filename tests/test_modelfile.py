"""Model files: what is written can be read, by anyone, and nothing else is taken for a model."""

import json
import os
import pickle
import random
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from fuzz_modelfiles import GOLDEN, check, golden, mutate
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv import engine, modelfile
from fastconv.errors import DataError, DTypeError, ModelFormatError

DTYPES = ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
fuzz = settings(deadline=None, derandomize=True, database=None)


def small_network(dtype="float32", bias=True):
    net = fc.models.surname_convnet(5, 6, 3, filters=(3, 2), widths=(3, 2), bias=bias, dtype=dtype, seed=7)
    net.parameters[:] = np.random.default_rng(1).normal(size=net.parameters.size)
    return net


def parse(content):
    """Return the header and the data of a file in the safetensors layout."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def assemble(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a small model file."""
    path = tmp_path_factory.mktemp("content") / "net.safetensors"
    net = small_network()
    net.metadata = {"alphabet": "abcde"}
    net.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A path to write damaged files to."""
    return tmp_path_factory.mktemp("scratch") / "damaged.safetensors"


@pytest.fixture
def traced():
    """Memory that Python and NumPy allocate is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def check_refused_or_sound(path, content):
    """Return whether loading raises ModelFormatError; if not, the network is sound, or the test fails."""
    return check(path, content)[0] is not None


# Round trip


@every_dtype
@pytest.mark.parametrize("bias", [False, True])
def test_a_network_comes_back_bit_for_bit(tmp_path, dtype, bias):
    net = small_network(dtype, bias)
    net.parameters[:3] = [-0.0, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    net.save(tmp_path / "net.safetensors")
    again = fc.load(tmp_path / "net.safetensors")
    assert again.parameters.dtype == np.dtype(dtype)
    assert again.parameters.tobytes() == net.parameters.tobytes()
    assert list(again.params) == list(net.params)
    assert repr(again) == repr(net)
    x = np.random.default_rng(2).integers(-1, 5, (20, 6)).astype(np.int16)
    assert again.forward(x).tobytes() == net.forward(x).tobytes()


@pytest.mark.parametrize(
    "layers, input",
    [
        ([fc.Conv1D(3, 2), fc.ReLU(), fc.Flatten(), fc.Dense(4), fc.ReLU(), fc.Dense(2)], fc.SequenceInput(5, 2)),
        ([fc.Dense(2, bias=False)], fc.VectorInput(3)),
        ([fc.ReLU()], fc.VectorInput(3)),
    ],
    ids=["sequence", "vector", "no parameters"],
)
def test_every_layer_and_input_comes_back(tmp_path, layers, input):
    net = fc.Sequential(layers, input=input, seed=3)
    net.save(tmp_path / "net.safetensors")
    again = fc.load(tmp_path / "net.safetensors")
    assert (again.layers, again.input, again.seed) == (layers, input, 3)
    assert again.parameters.tobytes() == net.parameters.tobytes()


def test_sizes_may_be_numpy_integers(tmp_path):
    net = fc.Sequential([fc.Dense(np.int64(3))], input=fc.VectorInput(np.int64(2)))
    net.save(tmp_path / "net.safetensors")
    assert fc.load(tmp_path / "net.safetensors").layers == [fc.Dense(3)]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_settings_may_be_numpy_floats(tmp_path, kind):
    layers = [fc.Dense(3, init=kind(0.5)), fc.BatchNorm(kind(0.25), kind(2**-10)), fc.Dropout(kind(0.5)), fc.Dense(2)]
    net = fc.Sequential(layers, input=fc.VectorInput(4))
    net.save(tmp_path / "net")
    assert repr(fc.load(tmp_path / "net")) == repr(net)


def test_metadata_come_back(tmp_path):
    net = small_network()
    net.metadata = {"alphabet": "a\0\u00e9\ud800\U0001f600", "classes": ["x", "y"], "n": [1, 2.5, None, True], "d": {}}
    net.save(tmp_path / "net.safetensors")
    assert fc.load(tmp_path / "net.safetensors").metadata == net.metadata


def test_a_loaded_network_can_be_trained_further(tmp_path):
    net = small_network()
    net.save(tmp_path / "net.safetensors")
    again = fc.load(tmp_path / "net.safetensors")
    x, y = np.zeros((4, 6), np.int16), np.array([0, 1, 2, 0])
    for network in (net, again):
        fc.Trainer(network, batch_size=2).fit(x, y, updates=3)
    assert again.parameters.tobytes() == net.parameters.tobytes()


# The layout


@every_dtype
def test_a_file_has_the_safetensors_layout(tmp_path, dtype):
    net = small_network(dtype)
    net.metadata = {"note": "hello"}
    net.save(tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    header, data = parse(content)
    assert int.from_bytes(content[:8], "little") % 8 == 0
    metadata = header.pop("__metadata__")
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["fastconv"] == "1"
    assert json.loads(metadata["description"])["metadata"] == {"note": "hello"}
    assert list(header) == list(net.params)
    end = 0
    for name, entry in header.items():
        assert entry.keys() == {"dtype", "shape", "data_offsets"}
        assert entry["dtype"] == {"float32": "F32", "float64": "F64"}[dtype]
        start, stop = entry["data_offsets"]
        assert start == end
        array = np.frombuffer(data[start:stop], np.dtype(dtype).newbyteorder("<")).reshape(entry["shape"])
        np.testing.assert_array_equal(array, net.params[name])
        end = stop
    assert end == len(data)


@every_dtype
def test_the_safetensors_package_reads_a_file(tmp_path, dtype):
    net = fc.Sequential(
        [fc.Conv1D(3, 2), fc.BatchNorm(), fc.Flatten(), fc.Dense(2)], fc.SequenceInput(4, 2), dtype=dtype
    )
    net.metadata = {"classes": ["a", "\ud800", "\U0001f600"]}
    net.save(tmp_path / "net.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    expected = {**net.params, **net.state}
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    with safetensors.safe_open(tmp_path / "net.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert metadata["fastconv"] == "1"
    assert json.loads(metadata["description"])["metadata"] == net.metadata


def test_what_the_safetensors_package_writes_is_read(tmp_path, content):
    (tmp_path / "first").write_bytes(content)
    with safetensors.safe_open(tmp_path / "first", "numpy") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(safetensors.numpy.load_file(tmp_path / "first"), tmp_path / "second", metadata)
    first, second = fc.load(tmp_path / "first"), fc.load(tmp_path / "second")
    assert second.parameters.tobytes() == first.parameters.tobytes()
    assert (repr(second), second.metadata) == (repr(first), first.metadata)


def test_arrays_may_stand_in_the_header_in_any_order(content, scratch):
    header, data = parse(content)
    assert not check_refused_or_sound(scratch, assemble(dict(reversed(header.items())), data))


# Golden files


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_golden_file_predicts_what_it_did(path):
    net, expected = fc.load(path), json.loads(path.with_suffix(".json").read_text())
    x, tolerance = np.array(expected["x"]), 2000 * np.finfo(net.dtype).eps
    if "strings" in expected:
        alphabet = fc.Alphabet(net.metadata["alphabet"], net.metadata["lower"])
        with pytest.warns(fc.UnknownCharacterWarning):
            np.testing.assert_array_equal(alphabet.encode(expected["strings"], net.input.length), x)
        assert net.metadata["classes"] == ["one", "zwei", "trzy\u015bcie"]
    if "images" in expected:
        clf = fc.ImageConvClassifier.load(path)
        assert clf.classes_.tolist() == expected["classes"] == net.metadata["classes"]
        found = clf.predict_proba(np.array(expected["images"]))
        np.testing.assert_allclose(found, expected["probabilities"], rtol=tolerance, atol=tolerance)
    if "texts" in expected:
        for clf in (fc.CharConvClassifier.load(path), fc.StringClassifier.load(path)):
            np.testing.assert_array_equal(clf.predict([]), [])
            found = clf.predict_proba(expected["texts"])
            np.testing.assert_allclose(found, expected["probabilities"], rtol=tolerance, atol=tolerance)
        assert clf.classes == expected["classes"] == net.metadata["classes"]
    np.testing.assert_allclose(net.forward(x), expected["logits"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.predict_proba(x), expected["probabilities"], rtol=tolerance, atol=tolerance)


def test_every_version_has_its_golden_files():
    names = "characters", "images", "float64", "classifier", "strings"
    expected = {f"v{version}-{name}" for version in range(1, modelfile.VERSION + 1) for name in names}
    assert {path.stem for path in GOLDEN.glob("*.safetensors")} >= expected


def test_loading_and_predicting_imports_numpy_only():
    code = (
        "import sys, fastconv as fc\n"
        "net = fc.load(sys.argv[1])\n"
        "alphabet = fc.Alphabet(net.metadata['alphabet'], net.metadata['lower'])\n"
        "assert net.predict_proba(alphabet.encode(['cab'], net.input.length)).shape == (1, 3)\n"
        "heavy = 'scipy', 'sklearn', 'joblib', 'matplotlib', 'tqdm', 'pooch'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, GOLDEN / "v1-characters.safetensors"], capture_output=True)
    assert (found.stdout.strip(), found.stderr) == (b"[]", b"")


# Writing


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    small_network().save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left on the device")

    for place in ("os.replace", "os.chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(f"fastconv.files.{place}", fail)
            with pytest.raises(OSError, match="no space left"):
                small_network("float64").save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["net.safetensors"]


circle = {}
circle["a"] = circle


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": {1, 2}}, {"a": np.zeros(2)}, {"a": b"b"}, {"a": float("nan")}, {"a": [-float("inf")]}, {1: "a", "1": "b"},
        circle, {"a": 10**5000},
    ],
    ids=["set", "array", "bytes", "nan", "inf", "same key", "circle", "digits"],
)  # fmt: skip
def test_metadata_that_json_cannot_say_leave_the_old_file(tmp_path, metadata):
    path = tmp_path / "net.safetensors"
    net = small_network()
    net.save(path)
    before = path.read_bytes()
    net.metadata = metadata
    with pytest.raises(DTypeError, match="expected a description of JSON's types"):
        net.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_metadata_that_are_too_long_are_refused_and_not_written(tmp_path):
    net = small_network()
    net.metadata = {"text": "x" * modelfile.HEADER_LIMIT}
    with pytest.raises(DataError, match="the description is longer than"):
        net.save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("metadata", [None, [], "text"], ids=repr)
def test_metadata_that_are_no_object_are_not_written(tmp_path, metadata):
    net = small_network()
    net.metadata = metadata
    with pytest.raises((TypeError, ValueError), match="metadata"):
        net.save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_weights_that_could_not_be_loaded_are_not_written(tmp_path):
    net = small_network()
    net.params["2.w"][0] = np.nan
    with pytest.raises(ValueError, match=r"2\.w"):
        net.save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "net.safetensors"
    small_network().save(path)
    small_network("float64").save(path)
    assert fc.load(path).dtype == np.float64
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_a_path_may_be_a_name_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_network().save("net.safetensors")
    assert fc.load("net.safetensors").parameters.size == small_network().parameters.size


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_a_file_is_as_readable_as_any_other(tmp_path):
    small_network().save(tmp_path / "net.safetensors")
    (tmp_path / "other").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("net.safetensors", "other")]
    assert modes[0] == modes[1]


def test_missing_files_and_folders_are_told_by_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        fc.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError):
        small_network().save(tmp_path / "nowhere" / "net.safetensors")


# Damaged files


def test_a_file_cut_anywhere_is_refused(content, scratch):
    assert all(check_refused_or_sound(scratch, content[:size]) for size in range(len(content)))


def test_a_file_with_something_behind_it_is_refused(content, scratch):
    scratch.write_bytes(content + b"\0")
    with pytest.raises(ModelFormatError, match="bytes, the header describes"):
        fc.load(scratch)


def test_every_byte_of_the_header_may_flip(content, scratch):
    end = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    refused = 0
    for at in range(end):
        damaged = bytearray(content)
        damaged[at] ^= int(rng.integers(1, 256))
        refused += check_refused_or_sound(scratch, bytes(damaged))
    assert refused > 0.9 * end


@settings(fuzz, max_examples=300)
@given(st.data())
def test_any_bytes_of_a_file_may_change(content, scratch, data):
    damaged = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        # characters that JSON gives a meaning, or any
        damaged[at] = data.draw(st.one_of(st.sampled_from(b'0123456789-.eE"{}[],: \\'), st.integers(0, 255)))
    check_refused_or_sound(scratch, bytes(damaged))


@settings(fuzz, max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_model(scratch, data):
    assert check_refused_or_sound(scratch, data)


@pytest.mark.parametrize("seed", range(5))
def test_six_hundred_changed_files_are_refused_or_sound(scratch, traced, seed):
    rng, files = random.Random(seed), golden()
    check(scratch, files[0])  # what the first load keeps is not counted
    refused = sum(check_refused_or_sound(scratch, mutate(rng, files)) for _ in range(600))
    assert 300 < refused < 590


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 10), st.sampled_from([-(10**30), 0.5, 1e300]), st.floats(),
        st.text(max_size=4), st.sampled_from(["Dense", "ReLU", "OneHotInput", "VectorInput", "float64", "F32", "1"]),
    ),
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.dictionaries(st.text(max_size=3), parts, max_size=3)),
    max_leaves=5,
)  # fmt: skip


def places(value, path=()):
    """Yield the path of every part of a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def put(value, path, new):
    """Return the value with one part replaced."""
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


@settings(fuzz, max_examples=300)
@given(st.data())
def test_any_part_of_the_header_may_be_any_json(content, scratch, data):
    header, arrays = parse(content)
    where = data.draw(st.sampled_from(list(places(header))))
    check_refused_or_sound(scratch, assemble(put(header, where, data.draw(json_values)), arrays))


@settings(fuzz, max_examples=300)
@given(st.data())
def test_any_part_of_the_description_may_be_any_json(content, scratch, data):
    header, arrays = parse(content)
    description = json.loads(header["__metadata__"]["description"])
    where = data.draw(st.sampled_from(list(places(description))))
    header["__metadata__"]["description"] = json.dumps(put(description, where, data.draw(json_values)))
    check_refused_or_sound(scratch, assemble(header, arrays))


@pytest.mark.parametrize("size", [2**20 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_huge_header_size_is_refused(content, scratch, size):
    scratch.write_bytes(size.to_bytes(8, "little") + content[8:])
    with pytest.raises(ModelFormatError, match="not a model file"):
        fc.load(scratch)


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"3", b'"x"', b"{}", b"\xff", b"[" * 100_000, b'{"__metadata__": {}}', b"1" * 5000],
    ids=lambda text: repr(text[:20]),
)
def test_a_header_that_is_no_description_is_refused(scratch, text):
    scratch.write_bytes(assemble(text, b""))
    with pytest.raises(ModelFormatError, match="not a model file"):
        fc.load(scratch)


def refused(content, scratch, change, match):
    """Change a good file's header (and data) and see that it is refused."""
    header, data = parse(content)
    described = json.loads(header["__metadata__"]["description"])
    data = change(header, described["network"], bytearray(data)) or data
    if header["__metadata__"].get("description"):
        header["__metadata__"]["description"] = json.dumps(described)
    scratch.write_bytes(assemble(header, bytes(data)))
    with pytest.raises(ModelFormatError, match=match):
        fc.load(scratch)


def test_an_unchanged_file_would_be_loaded(content, scratch):
    header, data = parse(content)
    assert not check_refused_or_sound(scratch, assemble(header, data))


@pytest.mark.parametrize("version", ["0", "2", "999"])
def test_another_version_is_named(content, scratch, version):
    def change(header, network, data):
        header["__metadata__"]["fastconv"] = version

    refused(content, scratch, change, f"format version {version}, this release reads version 1")


@pytest.mark.parametrize("version", ["", "one", " 1", "1.0", "-1", 1, 1.5, None, [], True], ids=repr)
def test_a_version_is_a_number(content, scratch, version):
    def change(header, network, data):
        header["__metadata__"]["fastconv"] = version

    refused(content, scratch, change, "not a model file")


def test_a_key_that_stands_twice_is_refused(scratch, content):
    header, data = parse(content)
    text = json.dumps(header)
    scratch.write_bytes(assemble((text[:-1] + ', "0.w": ' + json.dumps(header["0.w"]) + "}").encode(), data))
    with pytest.raises(ModelFormatError, match="twice"):
        fc.load(scratch)


@pytest.mark.parametrize("where", ["metadata", "the file", "the network", "input", "layer", "entry"])
def test_unknown_keys_are_refused(content, scratch, where):
    header, data = parse(content)
    described = json.loads(header["__metadata__"]["description"])
    network = described["network"]
    parts = {"the file": described, "the network": network, "input": network["input"], "layer": network["layers"][0]}
    (parts | {"metadata": header["__metadata__"], "entry": header["0.w"]})[where]["colour"] = "red"
    header["__metadata__"]["description"] = json.dumps(described)
    scratch.write_bytes(assemble(header, data))
    with pytest.raises(ModelFormatError, match="'0.w' is damaged" if where == "entry" else "'colour'"):
        fc.load(scratch)


@pytest.mark.parametrize(
    "text, match",
    [
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9" * 5000, "4300 digits"),
        ('{"a": 1, "a": 1}', "a key stands twice"),
        ("[" * 100_000 + "]" * 100_000, "RecursionError"),
        ('"a', "Unterminated string"),
        ("\x01", "Expecting value"),
        ("", "Expecting value"),
    ],
    ids=["nan", "inf", "1e999", "digits", "twice", "deep", "open", "control", "nothing"],
)
@pytest.mark.parametrize("inner", [True, False], ids=["description", "header"])
def test_what_is_not_json_or_not_finite_is_refused(content, scratch, inner, text, match):
    header, data = parse(content)
    described = json.loads(header["__metadata__"]["description"])
    described["metadata"]["x"] = "HERE"
    header["__metadata__"]["description"] = json.dumps(described).replace('"HERE"', text if inner else '"HERE"')
    header = json.dumps(header) if inner else json.dumps(header | {"x": "HERE"}).replace('"HERE"', text)
    scratch.write_bytes(assemble(header.encode(), data))
    with pytest.raises(ModelFormatError, match=match) as caught:
        fc.load(scratch)
    assert len(str(caught.value)) < 1000


def test_a_long_number_and_half_a_surrogate_pair_do_no_harm(content, scratch):
    header, data = parse(content)
    described = json.loads(header["__metadata__"]["description"])
    described["metadata"] = {"\ud800": int("9" * 4000)}
    header["__metadata__"]["description"] = json.dumps(described)
    scratch.write_bytes(assemble(header, data))
    assert fc.load(scratch).metadata == described["metadata"]


@pytest.mark.parametrize("shift", [-4, 4, 1, -1000, 1000])
def test_holes_and_overlaps_are_refused(content, scratch, shift):
    def move(header, network, data):
        for name in list(header)[2:]:
            header[name]["data_offsets"] = [offset + shift for offset in header[name]["data_offsets"]]
        return data + bytes(max(0, shift))

    refused(content, scratch, move, "'0.b' does not fit the data before it")


def test_two_arrays_cannot_share_their_data(content, scratch):
    def share(header, network, data):
        header["2.b"]["data_offsets"] = header["0.b"]["data_offsets"]

    refused(content, scratch, share, "'2.b' does not fit the data before it")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F16"},
        {"dtype": "F64"},
        {"dtype": "I32"},
        {"dtype": ["F32"]},
        {"shape": [3, 5, 3, 2]},
        {"shape": [-3, -5, 3]},
        {"shape": [3.0, 5, 3]},
        {"shape": [True, 15, 3]},
        {"shape": "353"},
        {"shape": None},
        {"data_offsets": [0]},
        {"data_offsets": [0, 180, 180]},
        {"data_offsets": [180, 0]},
        {"data_offsets": "01"},
        {"data_offsets": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_an_entry_that_is_damaged_is_named(content, scratch, entry):
    def damage(header, network, data):
        header["0.w"] |= entry

    refused(content, scratch, damage, "the entry '0.w'")


def empty_array(shape):
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}


@pytest.mark.parametrize("shape", [[0, 10**30], [0] + [1] * 100, [0, 2**40, 2**40], [0]], ids=["30", "deep", "80", "0"])
def test_an_array_without_elements_has_no_other_size_either(content, scratch, shape):
    def add(header, network, data):
        entries = header.copy()
        header.clear()
        header |= {"__metadata__": entries.pop("__metadata__"), "empty": empty_array(shape), **entries}

    refused(content, scratch, add, "empty|parameters do not fit")


@pytest.mark.parametrize("shape", [{}, "", {"1": 1}], ids=repr)
def test_a_shape_is_a_list(content, scratch, shape):
    def replace(header, network, data):
        for name in list(header)[1:]:
            del header[name]
        header["0.w"] = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}
        return bytes(4)

    refused(content, scratch, replace, "'0.w'|parameters do not fit")


def change_type(network, layer, name):
    network["layers"][layer]["type"] = name


@pytest.mark.parametrize(
    "name", ["Conv9D", "Layer", "Sequential", "OneHotInput", "__class__", "", None, [], 3], ids=repr
)
def test_unknown_layer_types_are_refused(content, scratch, name):
    refused(content, scratch, lambda h, network, d: change_type(network, 2, name), "description is damaged")


@pytest.mark.parametrize("name", ["ImageOutput", "Dense", None], ids=repr)
def test_unknown_input_types_are_refused(content, scratch, name):
    refused(content, scratch, lambda h, network, d: network["input"].update(type=name), "description is damaged")


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.pop("input"),
        lambda network: network.pop("layers"),
        lambda network: network.pop("dtype"),
        lambda network: network.pop("seed"),
        lambda network: network.update(layers=None),
        lambda network: network.update(layers=[]),
        lambda network: network.update(dtype="int16"),
        lambda network: network.update(dtype="float64"),
        lambda network: network.update(dtype=None),
        lambda network: network.update(seed=-1),
        lambda network: network["layers"].reverse(),
        lambda network: network["layers"][5].update(units=4),
        lambda network: network["layers"][5].update(units=3.0),
        lambda network: network["layers"][5].update(units=0),
        lambda network: network["layers"][5].update(colour="red"),
        lambda network: network["layers"][5].update(bias=1),
        lambda network: network["layers"][5].update(bias=False),
        lambda network: network["layers"][0].pop("filters"),
        lambda network: network["layers"][0].update(kernel_size=7),
        lambda network: network["input"].update(length=7),
        lambda network: network["input"].update(depth=6),
    ],
    ids=range(21),
)
def test_a_description_that_is_damaged_or_does_not_fit_the_arrays_is_refused(content, scratch, change):
    def damage(header, network, data):
        change(network)

    refused(content, scratch, damage, "description")


@pytest.mark.parametrize("units", [10**6, 10**16, 10**30])
@pytest.mark.parametrize("where", ["units", "filters", "depth", "length"])
def test_a_description_of_a_huge_network_is_refused_before_anything_of_its_size_is_allocated(
    content, scratch, monkeypatch, units, where
):
    def lower(ops, length, channels, *rest, original=engine.Program):
        sizes = [length, channels, *(size for _, *spec in ops for size in spec)]
        assert max(sizes) < 1000, "the described network is being lowered"
        return original(ops, length, channels, *rest)

    def enlarge(header, network, data):
        part = {"units": network["layers"][5], "filters": network["layers"][2]}.get(where, network["input"])
        part[where] = units

    monkeypatch.setattr(engine, "Program", lower)
    refused(content, scratch, enlarge, "description")


def test_a_huge_file_is_refused_before_its_arrays_are_read(scratch, content, traced):
    """A file of 64 GB, most of it a hole that takes no space, with an array that the network does not have."""
    header, data = parse(content)
    end = len(data) + 2**36
    header["big"] = {"dtype": "F32", "shape": [2**34], "data_offsets": [len(data), end]}
    scratch.write_bytes(assemble(header, data))
    os.truncate(scratch, scratch.stat().st_size + 2**36)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    with pytest.raises(ModelFormatError, match="the parameters do not fit"):
        fc.load(scratch)
    assert tracemalloc.get_traced_memory()[1] - before < 100_000


@pytest.mark.parametrize("dtype", ["f4", "<f4", "a4", ["float32"], {"float32": 0}, 4], ids=repr)
def test_a_dtype_has_one_name(content, scratch, dtype):
    refused(content, scratch, lambda header, network, data: network.update(dtype=dtype), "description is damaged")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 10, -1])
def test_weights_that_are_not_finite_are_refused(content, scratch, value, at):
    def spoil(header, network, data):
        numbers = np.frombuffer(data, "<f4").copy()
        numbers[at] = value
        return numbers.tobytes()

    refused(content, scratch, spoil, "holds numbers that are not finite")


@pytest.mark.parametrize("metadata", [None, [], "text", 3])
def test_metadata_are_an_object(content, scratch, metadata):
    header, data = parse(content)
    described = json.loads(header["__metadata__"]["description"])
    header["__metadata__"]["description"] = json.dumps({**described, "metadata": metadata})
    scratch.write_bytes(assemble(header, data))
    with pytest.raises(ModelFormatError, match="metadata is not an object"):
        fc.load(scratch)


def test_a_file_is_never_unpickled(scratch):
    class Trap:
        def __reduce__(self):
            return Path.touch, (scratch.with_name("sprung"),)

    scratch.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelFormatError):
        fc.load(scratch)
    assert not scratch.with_name("sprung").exists()
