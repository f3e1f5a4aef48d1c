"""Images and points: scikit-learn's digits and circles, MNIST's and CIFAR-10's files, and their downloads."""

import gzip
import hashlib
import io
import pickle
import struct
import sys
import tarfile

import numpy as np
import pytest
import sklearn.datasets

from fastconv.datasets import fetch_cifar10, fetch_mnist, load_cifar10, load_digits, load_mnist, make_circles, pickles
from fastconv.datasets.dataset import hold_out_share
from fastconv.errors import DataError, RangeError


def check_split(d):
    """Every sample is in the training, the validation or the test set, and in one of them only."""
    assert d.train.dtype == d.validation.dtype == d.test.dtype == d.target.dtype == np.int64
    rows = np.concatenate([d.train, d.validation, d.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(d.data)))
    assert len(d.target) == len(d.data)


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


# Holding out


@pytest.mark.parametrize("share, expected", [(0, [0, 0, 0, 0]), (0.2, [2, 0, 1, 0]), (0.5, [6, 0, 2, 0])])
def test_of_every_class_the_same_share_is_held_out(share, expected):
    target = np.repeat([0, 1, 2, 3], [12, 0, 4, 1])
    train, held_out = hold_out_share(target, share, "f")
    assert np.bincount(target[held_out], minlength=4).tolist() == expected
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(17))


def test_of_every_class_a_sample_stays():
    train, _ = hold_out_share(np.array([0, 1, 1]), 0.99, "f")
    assert train.tolist() in ([0, 1], [0, 2])


def test_samples_are_held_out_at_random():
    _, held_out = hold_out_share(np.zeros(10_000, np.int64), 0.1, "f")
    assert np.histogram(held_out, 10, (0, 10_000))[0].min() > 60  # of 100, deviation below 10


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, np.nan, None, "0.1", True], ids=repr)
def test_the_share_that_is_held_out_lies_below_one(share):
    with pytest.raises(RangeError, match=r"f: validation is a share in \[0, 1\), got"):
        hold_out_share(np.array([0, 1]), share, "f")


# Digits and circles


def test_digits_are_scikit_learn_s_from_0_to_1():
    d, original = load_digits(), sklearn.datasets.load_digits()
    assert d.data.dtype == np.float32 and d.data.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(d.data[..., 0] * 16, original.images)
    np.testing.assert_array_equal(d.target, original.target)
    assert d.target_names == list("0123456789")


def test_a_fixed_fifth_of_each_digit_is_for_validation():
    d = load_digits()
    check_split(d)
    assert len(d.test) == 0
    share = np.bincount(d.target[d.validation]) / np.bincount(d.target)
    np.testing.assert_allclose(share, 0.2, atol=0.5 / 174)  # the rarest digit has 174 images
    assert d.validation[:10].tolist() == [2, 3, 11, 13, 15, 20, 21, 32, 48, 53]


def test_circles_have_their_radii_and_half_the_points_each():
    d = make_circles(n=500, noise=0, factor=0.3, seed=1)
    assert d.data.shape == (500, 2) and d.data.dtype == np.float32
    radius = np.hypot(*d.data.T)
    np.testing.assert_allclose(radius, np.where(d.target == d.target_names.index("inner"), 0.3, 1), rtol=1e-6)
    check_split(d)
    for rows in (d.train, d.validation):
        assert np.bincount(d.target[rows]).tolist() == [125, 125]


def test_the_circles_noise_is_normal_on_each_coordinate():
    quiet, noisy = make_circles(20_000, noise=0, seed=4), make_circles(20_000, noise=0.1, seed=4)
    np.testing.assert_array_equal(quiet.target, noisy.target)
    np.testing.assert_allclose((noisy.data - quiet.data).std(axis=0), 0.1, rtol=0.03)


def test_circles_follow_their_seed():
    first, again, other = make_circles(seed=3), make_circles(seed=3), make_circles(seed=4)
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 2.5}, {"noise": -1}, {"factor": 1.5}, {"seed": -1}], ids=str)
def test_circles_refuse_what_lies_outside_its_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_circles(**wrong)


# MNIST

MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    """Return the bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digits(rng):
    """Thirty images to train on and ten to test on, with the arrays' IDX files by name."""
    arrays = [
        rng.integers(0, 256, (30, 28, 28), np.uint8), rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), 3)),
        rng.integers(0, 256, (10, 28, 28), np.uint8), rng.permutation(10).astype(np.uint8),
    ]  # fmt: skip
    return arrays, {name: idx(array) for name, array in zip(MNIST, arrays, strict=True)}


def write(folder, files, suffix="", pack=bytes):
    for name, content in files.items():
        (folder / (name + suffix)).write_bytes(pack(content))
    return folder


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), ("", bytes)], ids=["gzipped", "plain"])
def test_mnist_s_files_are_read(tmp_path, digits, suffix, pack):
    arrays, files = digits
    d = load_mnist(write(tmp_path, files, suffix, pack), validation=1 / 3)
    assert d.data.shape == (40, 28, 28, 1) and d.data.dtype == np.uint8
    np.testing.assert_array_equal(d.data[..., 0], np.concatenate(arrays[::2]))
    np.testing.assert_array_equal(d.target, np.concatenate(arrays[1::2]))
    check_split(d)
    assert d.test.tolist() == list(range(30, 40))
    assert np.bincount(d.target[d.validation]).tolist() == [1] * 10
    assert repr(d) == "Dataset(MNIST: 40 samples of 10 classes, 20 to train, 10 to validate, 10 to test)"


def test_without_validation_all_training_images_are_to_train_on(tmp_path, digits):
    d = load_mnist(str(write(tmp_path, digits[1])), validation=0)
    assert d.train.tolist() == list(range(30)) and len(d.validation) == 0


def test_missing_files_are_named_and_what_is_expected(tmp_path, digits):
    write(tmp_path, dict(list(digits[1].items())[2:]))
    with pytest.raises(DataError) as error:
        load_mnist(tmp_path)
    message = f"{tmp_path}: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz missing; expected"
    assert str(error.value).startswith(message)
    assert all(name in str(error.value) for name in (*MNIST, "fetch_mnist"))


IMAGES = idx(np.zeros((30, 28, 28), np.uint8))
DAMAGED = {
    "cut short": (IMAGES[:-1], r"damaged or cut short: the header says 30 x 28 x 28 bytes, 23519 follow"),
    "too long": (IMAGES + b"\0", r"the header says 30 x 28 x 28 bytes, 23521 follow"),
    "gzip cut short": (gzip.compress(IMAGES)[:-9], "damaged or cut short"),
    "gzip damaged": (gzip.compress(IMAGES)[:-8] + bytes(8), "damaged or cut short"),
    "empty": (b"", "not an IDX file of unsigned bytes with 3 axes"),
    "labels": (idx(np.zeros(30, np.uint8)), "not an IDX file of unsigned bytes with 3 axes"),
    "numbers": (b"\0\0\x0d" + IMAGES[3:], "not an IDX file of unsigned bytes"),
    "another size": (idx(np.zeros((30, 32, 32), np.uint8)), "expected images of 28 x 28 pixels, got 32 x 32"),
    "fewer": (idx(np.zeros((29, 28, 28), np.uint8)), r"30 labels, .*train-images-idx3-ubyte holds 29 images"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_does_not_hold_what_its_header_says_is_refused(tmp_path, digits, content, message):
    folder = write(tmp_path, {**digits[1], MNIST[0]: content})
    with pytest.raises(DataError, match=message) as error:
        load_mnist(folder)
    assert str(folder / "train-") in str(error.value)


@pytest.mark.parametrize("labels, got", [([10] * 30, "10"), ([], "none")])
def test_labels_are_digits(tmp_path, digits, labels, got):
    pair = {MNIST[0]: idx(np.zeros((len(labels), 28, 28), np.uint8)), MNIST[1]: idx(np.array(labels, np.uint8))}
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte: expected labels 0 to 9, got {got}"):
        load_mnist(write(tmp_path, {**digits[1], **pair}))


def test_mnist_is_fetched_once_and_its_hashes_are_checked(server, digits, tmp_path):
    arrays, files = digits
    server.files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    hashes = {name: sha256(content) for name, content in server.files.items()}
    d = fetch_mnist(f"{server.address}/mnist/", known_hash=hashes)
    np.testing.assert_array_equal(d.target, np.concatenate(arrays[1::2]))
    assert server.requests == 4
    again = fetch_mnist(f"{server.address}/mnist/", known_hash=hashes)
    np.testing.assert_array_equal(again.data, d.data)
    assert server.requests == 4
    assert len(list((tmp_path / "cache").rglob("*.gz"))) == 4


def test_by_default_only_the_official_mnist_passes(server, digits, tmp_path):
    server.files = {f"{name}.gz": gzip.compress(content) for name, content in digits[1].items()}
    with pytest.raises(ValueError, match="hash"):
        fetch_mnist(server.address)
    assert len(fetch_mnist(server.address, known_hash=None, cache=tmp_path / "other").data) == 40
    assert len(list((tmp_path / "other").rglob("*.gz"))) == 4


def test_what_is_not_mnist_does_not_stay_in_the_cache(server, digits, tmp_path):
    server.content = b"<html>Sign in to the network</html>"
    with pytest.raises(DataError, match="not an IDX file"):
        fetch_mnist(server.address, known_hash=None)
    assert not list((tmp_path / "cache").rglob("*.gz"))


# CIFAR-10

BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


@pytest.fixture
def cifar(rng):
    """Ten images a batch, (n, 3, 32, 32) by colour planes, and their labels, by the batch's name."""
    return {name: (rng.integers(0, 256, (10, 3, 32, 32), np.uint8), rng.permutation(10)) for name in BATCHES}


def binary(planes, labels):
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(planes, labels, strict=True))


def python2(planes, labels):
    """Return a batch as Python 2's cPickle wrote it: protocol 2, strings as bytes, the array through NumPy."""
    rows = planes.reshape(len(planes), -1)

    def string(text):
        return b"U" + bytes([len(text)]) + text

    def number(n):
        return b"M" + struct.pack("<H", n)

    dtype = b"cnumpy\ndtype\nq\x09" + string(b"u1") + b"K\x00K\x01\x87Rq\x0a(K\x03" + string(b"|") + b"NNNJ"
    dtype += struct.pack("<i", -1) + b"J" + struct.pack("<i", -1) + b"K\x00tb"
    raw = b"T" + struct.pack("<i", rows.size) + rows.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85" + string(b"b") + b"\x87Rq\x07"
    array += b"(K\x01" + number(len(rows)) + number(rows.shape[1]) + b"\x86q\x08" + dtype + b"\x89" + raw + b"tb"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}q\x01(" + string(b"batch_label") + b"q\x02" + string(b"training batch 1 of 5")
        + string(b"labels") + b"q\x03]q\x04(" + numbers + b"e" + string(b"data") + array
        + string(b"filenames") + b"](" + string(b"leptodactylus_s_0.png") + string(b"camion_s_1.png") + b"eu."
    )  # fmt: skip


def python3(protocol, key=str, order="C"):
    """Return a function that writes a batch as Python 3 does."""

    def dump(planes, labels):
        rows = np.asarray(planes.reshape(len(planes), -1), order=order)
        batch = {key("data"): rows, key("labels"): labels.tolist()}
        return pickle.dumps(batch, protocol=protocol)

    return dump


VERSIONS = {
    "binary": (".bin", binary),
    "python 2": ("", python2),
    "python 3, protocol 2": ("", python3(2, key=str.encode)),
    "python 3, protocol 4": ("", python3(4)),
    "python 3, protocol 5": ("", python3(5, key=str.encode)),
    "by columns": ("", python3(4, order="F")),
    "by columns, protocol 5": ("", python3(5, order="F")),
}
versions = pytest.mark.parametrize("suffix, dump", VERSIONS.values(), ids=VERSIONS)


def packed(cifar, suffix, dump):
    return {name + suffix: dump(*batch) for name, batch in cifar.items()}


def check_cifar(d, cifar):
    planes = np.concatenate([planes for planes, _ in cifar.values()])
    assert d.data.shape == (60, 32, 32, 3) and d.data.dtype == np.uint8 and d.data.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(d.data[..., channel], planes[:, channel])
    np.testing.assert_array_equal(d.target, np.concatenate([labels for _, labels in cifar.values()]))
    check_split(d)
    assert d.test.tolist() == list(range(50, 60))
    assert (d.target_names[0], d.target_names[9]) == ("airplane", "truck")


@versions
@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin", "cifar-10-batches-py"])
def test_both_versions_give_the_same_images(tmp_path, cifar, suffix, dump, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    write(tmp_path / inner, packed(cifar, suffix, dump))
    check_cifar(load_cifar10(tmp_path, validation=0.2), cifar)


def test_python_2_s_batch_is_the_pickle_that_it_should_be(cifar):
    batch = pickle.loads(python2(*cifar["test_batch"]).replace(b"K\x00K\x01\x87R", b"\x89\x88\x87R"), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"].reshape(-1, 3, 32, 32), cifar["test_batch"][0])
    assert batch[b"labels"] == cifar["test_batch"][1].tolist()


def test_a_folder_without_cifar_10_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"expected .*data_batch_1\.bin to .*test_batch.*fetch_cifar10\(\)") as error:
        load_cifar10(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ")


def test_a_missing_batch_is_named(tmp_path, cifar):
    write(tmp_path, packed(cifar, ".bin", binary))
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DataError) as error:
        load_cifar10(tmp_path)
    assert str(error.value) == f"{tmp_path / 'data_batch_3.bin'} missing; the other batches are there"


BLACK, TEN = np.zeros((2, 3, 32, 32), np.uint8), np.array([9, 10])
WRONG = {
    "cut short": (".bin", binary(BLACK, [0, 1])[:-1], r"data_batch_2\.bin: damaged or cut short: 6145 bytes"),
    "binary label": (".bin", binary(BLACK, TEN), "expected labels 0 to 9, got 10"),
    "label": ("", python2(BLACK, TEN), "expected labels 0 to 9, got 10"),
    "huge label": ("", pickle.dumps({"data": BLACK.reshape(2, -1), "labels": [0, 1 << 70]}), f"got {1 << 70}"),
    "negative label": ("", pickle.dumps({"data": BLACK.reshape(2, -1), "labels": [0, -1]}), "got -1"),
    "empty": ("", pickle.dumps({"data": np.zeros((0, 3072), np.uint8), "labels": []}), "got none"),
    "nothing": ("", b"", "the pickle is damaged"),
    "no pickle": ("", b"<html>Sign in to the network</html>", "the pickle"),
    "no dict": ("", pickle.dumps([1]), "holds list, expected dict"),
    "no data": ("", pickle.dumps({"labels": [1]}), "something else than an array of uint8"),
    "no labels": ("", pickle.dumps({"data": BLACK.reshape(2, -1)}), "expected labels to be a list of integers"),
    "words": ("", pickle.dumps({"data": BLACK.reshape(2, -1), "labels": ["0", "1"]}), "list of integers"),
    "floats": ("", pickle.dumps({"data": BLACK.reshape(2, -1).astype("f4"), "labels": [0, 1]}), "array of uint8"),
    "fewer labels": ("", python3(4)(BLACK, TEN[:1]), r"1 labels, data of shape \(2, 3072\)"),
    "other shape": ("", pickle.dumps({"data": BLACK, "labels": [0, 1]}), r"shape \(2, 3, 32, 32\), expected \(n, 3072"),
}


@pytest.mark.parametrize("suffix, content, message", WRONG.values(), ids=WRONG)
def test_a_damaged_batch_is_refused_with_its_path(tmp_path, cifar, suffix, content, message):
    write(tmp_path, {**packed(cifar, suffix, python3(4) if suffix == "" else binary), f"data_batch_2{suffix}": content})
    with pytest.raises(DataError, match=message) as error:
        load_cifar10(tmp_path)
    assert str(error.value).startswith(str(tmp_path / f"data_batch_2{suffix}: "))


# Pickles


class Payload:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path, protocol):
    content = pickle.dumps({"labels": [1], "data": Payload(str(tmp_path / "made"))}, protocol)
    with pytest.raises(DataError, match=r"the pickle names (posix|nt)\.mkdir, which no array needs"):
        pickles.read(content)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)
    assert (tmp_path / "made").exists()  # it was armed


@pytest.mark.parametrize("thing", [eval, getattr, np.load, np.frombuffer, slice(1), {1, 2}, 1.5, np.float64, object()])
def test_a_pickle_may_hold_nothing_but_data(thing):
    with pytest.raises(DataError, match="which no array needs"):
        pickles.read(pickle.dumps(thing, 4))


def test_plain_data_are_read_as_pickle_reads_them():
    shared = [1, -70_000, 1 << 40, True, None]
    data = {
        "a": shared,
        "b": (shared, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        b"c": {"": "h\u00e9"},
        "d": b"\xff" * 300,
    }
    for protocol in (3, 4, 5):
        content = pickle.dumps(data, protocol)
        assert pickles.read(content) == pickle.loads(content)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_damage_is_a_data_error_or_harmless(protocol, rng):
    content = pickle.dumps({"labels": [1, 2], "data": np.arange(6, dtype=np.uint8).reshape(2, 3)}, protocol)
    for end in range(len(content)):
        with pytest.raises(DataError):
            pickles.read(content[:end])
    for _ in range(4000):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] = rng.integers(0, 256)
        try:
            found = pickles.read(bytes(damaged))
            if isinstance(found, dict):
                pickles.uint8_array(found.get("data"))
        except DataError:
            pass


def test_a_place_in_memory_beyond_all_bounds_takes_no_memory():
    assert pickles.read(b"\x80\x02Nr\xff\xff\xff\xff.") is None


def test_a_deeply_nested_key_is_refused():
    nested = b"\x80\x02})" + b"\x85" * 1000 + b"Ns."  # {((((...)))): None}
    with pytest.raises(DataError, match="a dict with a key of tuple"):
        pickles.read(nested)


# CIFAR-10's archive


def archive(files, mode="w:gz"):
    """Return the bytes of a tar archive."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as written:
        for name, content in files.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
            written.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return memory.getvalue()


@versions
def test_cifar_10_is_fetched_once(server, tmp_path, cifar, suffix, dump):
    files = {f"cifar-10-batches-xx/{name}": content for name, content in packed(cifar, suffix, dump).items()}
    server.content = archive({**files, "cifar-10-batches-xx/readme.html": b"<html></html>"})
    for _ in range(2):
        d = fetch_cifar10(f"{server.address}/cifar.tar.gz", known_hash=sha256(server.content), validation=0.2)
        check_cifar(d, cifar)
    assert server.requests == 1
    assert [path.read_bytes() for path in (tmp_path / "cache").iterdir()] == [server.content]


def test_what_a_download_needs_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"downloads need pooch: pip install fastconv\[datasets\]"):
        fetch_mnist()


def test_by_default_only_the_official_cifar_10_passes(server, cifar):
    server.content = archive(packed(cifar, ".bin", binary))
    with pytest.raises(ValueError, match="hash"):
        fetch_cifar10(server.address)


def test_an_archive_puts_no_file_anywhere(server, tmp_path, cifar):
    link = tarfile.TarInfo("cifar/data_batch_2.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = {f"../../{name}": content for name, content in packed(cifar, ".bin", binary).items()}
    server.content = archive({"link": link, **outside, "/absolute/secret.txt": b"x"})
    check_cifar(fetch_cifar10(server.address, known_hash=None), cifar)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        path.name for path in (tmp_path / "cache").iterdir()
    ]


def huge():
    """Return a member that says it has more bytes than a batch ever has."""
    member = tarfile.TarInfo("data_batch_1.bin")
    member.size = 1 << 33
    return member


GOOD = {f"{name}.bin": binary(BLACK, [0, 1]) for name in BATCHES}
NO_ARCHIVE = {
    "no archive": b"<html>Sign in to the network</html>",
    "nothing": b"",
    "cut short": archive(GOOD)[:-60],
    "damaged": archive(GOOD)[:40] + bytes(20) + archive(GOOD)[60:],
    "no batches": archive({"readme.html": b"x"}),
    "a batch missing": archive(dict(list(GOOD.items())[1:])),
    "a damaged batch": archive({**GOOD, "test_batch.bin": b"x"}),
    "a huge batch": archive({"huge": huge()}, "w"),
}


@pytest.mark.parametrize("content", NO_ARCHIVE.values(), ids=NO_ARCHIVE)
def test_what_is_not_the_archive_is_refused_and_not_kept(server, tmp_path, content):
    server.content = content
    with pytest.raises(DataError) as error:
        fetch_cifar10(server.address, known_hash=None)
    assert str(error.value).startswith(str(tmp_path / "cache"))
    assert not list((tmp_path / "cache").iterdir())
