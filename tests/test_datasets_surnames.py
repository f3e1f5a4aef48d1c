"""The surname data: bundled, read from the course's files, and fetched from the tutorial's archive."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import fastconv as fc
from fastconv.datasets import Dataset, fetch_surnames, load_surnames
from fastconv.datasets.surnames import to_ascii
from fastconv.errors import DataError

LANGUAGES = ["Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek", "Irish", "Italian"]
LANGUAGES += ["Japanese", "Korean", "Polish", "Portuguese", "Russian", "Scottish", "Spanish", "Vietnamese"]


def check_split(d):
    """Every name is in the training or in the validation set, and in one of them only."""
    assert d.train.dtype == d.validation.dtype == d.target.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([d.train, d.validation])), np.arange(len(d.data)))


# The bundled names


@pytest.fixture(scope="module")
def bundled():
    return load_surnames()


def test_bundled_names_are_of_18_languages_with_at_least_100_names_each(bundled):
    assert bundled.target_names == LANGUAGES
    assert len(bundled.target) == len(bundled.data)
    counts = np.bincount(bundled.target, minlength=18)
    assert len(counts) == 18 and counts.min() >= 100


def test_bundled_names_are_lower_case_ascii_of_28_symbols(bundled):
    assert all(isinstance(name, str) and name.isascii() and name == name.lower().strip() for name in bundled.data)
    assert fc.Alphabet.from_strings(bundled.data, lower=False).symbols == " 'abcdefghijklmnopqrstuvwxyz"


def test_no_bundled_name_stands_twice_under_one_language(bundled):
    pairs = list(zip(bundled.data, bundled.target.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


def test_bundled_split_is_disjoint_complete_and_stratified(bundled):
    check_split(bundled)
    assert np.bincount(bundled.target[bundled.validation], minlength=18).tolist() == [20] * 18


def test_bundled_split_is_fixed(bundled):
    np.random.seed(1)
    again = load_surnames()
    assert again.data == bundled.data
    for name in ("target", "train", "validation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bundled, name), strict=True)
    code = "import fastconv as fc; print(fc.datasets.load_surnames().validation.tolist())"
    hashed = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run([sys.executable, "-c", code], env=hashed, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(bundled.validation.tolist())


def test_surnames_show_their_numbers(bundled):
    n = len(bundled.data)
    assert isinstance(bundled, Dataset)
    assert repr(bundled) == f"Dataset(surnames: {n} samples of 18 classes, {n - 360} to train, 360 to validate)"


# The course's files

FILES = {
    "ascii_names.txt": "Khoury 1\nO'Neil 2\nvan der Berg 3\nDe la Cruz 3\nAbel 2\n",
    "category_labels.txt": "1 Arabic\n2 Irish\n3 Dutch\n",
    "Validation_Inds.txt": "2 4",
}


@pytest.fixture
def write(tmp_path):
    """Write the course's files, some replaced, and return their folder."""

    def write_files(**replaced):
        for name, text in {**FILES, **{f"{stem}.txt": text for stem, text in replaced.items()}}.items():
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write_files


def test_course_files_are_read(write):
    d = load_surnames(write())
    assert d.data == ["khoury", "o'neil", "van der berg", "de la cruz", "abel"]
    assert d.target.tolist() == [0, 1, 2, 2, 1]
    assert d.target_names == ["Arabic", "Irish", "Dutch"]
    assert d.validation.tolist() == [1, 3]
    assert d.train.tolist() == [0, 2, 4]
    check_split(d)


def test_course_folder_may_be_a_string(write):
    assert load_surnames(str(write())).data[0] == "khoury"


def test_course_files_may_have_other_line_ends_and_lines_of_indices(write):
    expected = load_surnames(write())
    d = load_surnames(
        write(
            ascii_names=FILES["ascii_names.txt"].replace("\n", "\r\n"),
            category_labels=FILES["category_labels.txt"].replace("\n", "\r\n").rstrip(),
            Validation_Inds="2\r\n4\r\n",
        )
    )
    assert (d.data, d.target_names) == (expected.data, expected.target_names)
    np.testing.assert_array_equal(d.target, expected.target)
    np.testing.assert_array_equal(d.validation, expected.validation)


def test_an_empty_line_at_the_end_does_not_matter(write):
    assert len(load_surnames(write(ascii_names=FILES["ascii_names.txt"] + "\n\n")).data) == 5


def test_validation_indices_are_line_numbers_also_behind_an_empty_line(write):
    folder = write(ascii_names="Khoury 1\n\nBerg 3\nAbel 2\n", Validation_Inds="3")
    try:
        d = load_surnames(folder)
    except DataError as error:
        assert "ascii_names.txt, line 2" in str(error)
    else:
        assert [d.data[i] for i in d.validation] == ["berg"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(write, name):
    folder = write(**{name[:-4]: None})
    with pytest.raises(DataError) as error:
        load_surnames(folder)
    assert str(error.value).startswith(f"{folder}: {name} missing")


def test_all_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"ascii_names\.txt, category_labels\.txt, Validation_Inds\.txt missing"):
        load_surnames(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "\n \n"], ids=["no bytes", "blank"])
@pytest.mark.parametrize("name", sorted(FILES))
def test_an_empty_file_is_named(write, name, text):
    with pytest.raises(DataError, match=name):
        load_surnames(write(**{name[:-4]: text}))


@pytest.mark.parametrize(
    "line",
    ["Khoury", "Khoury one", "Khoury 0", "Khoury 4", "Khoury -1", "Khoury 1.0", " 1", "1", "Khoury 1 ", "Khoury\t1"],
    ids=repr,
)
def test_a_malformed_name_is_shown_with_file_and_line(write, line):
    folder = write(ascii_names=f"Berg 3\nAbel 2\n{line}\nBell 2\nO 2\n")
    with pytest.raises(DataError) as error:
        load_surnames(folder)
    assert str(error.value).startswith(
        f"{folder / 'ascii_names.txt'}, line 3: expected 'name label' with a label 1 to 3"
    )
    assert repr(line) in str(error.value)


@pytest.mark.parametrize("line", ["Irish", "2", "3 Irish", "two Irish", "2Irish"])
def test_a_malformed_category_is_shown_with_file_and_line(write, line):
    folder = write(category_labels=f"1 Arabic\n{line}\n3 Dutch\n")
    with pytest.raises(DataError) as error:
        load_surnames(folder)
    assert str(error.value).startswith(f"{folder / 'category_labels.txt'}, line 2: expected '2 language', got '{line}'")


@pytest.mark.parametrize("word", ["0", "6", "-1", "two", "2.0", "1e0"])
def test_a_validation_index_that_is_no_line_is_shown_with_file_and_line(write, word):
    folder = write(Validation_Inds=f"2 4\n{word} 3\n")
    with pytest.raises(DataError) as error:
        load_surnames(folder)
    path = folder / "Validation_Inds.txt"
    assert str(error.value) == f"{path}, line 2: expected numbers 1 to 5, got {word!r}"


def test_a_validation_index_that_stands_twice_is_refused(write):
    with pytest.raises(DataError, match=r"Validation_Inds\.txt: an index stands twice"):
        load_surnames(write(Validation_Inds="2 4 2"))


def test_a_character_that_is_not_ascii_is_shown_with_its_file(write):
    with pytest.raises(DataError, match=r"ascii_names\.txt: not ASCII: byte 3 is 0xe9"):
        load_surnames(write(ascii_names=b"Ren\xe9 1\nAbel 2\n"))


def test_the_position_of_a_character_that_is_not_ascii_counts_from_the_start_of_the_file(write):
    start = b"Abel 2\n" * 3000
    with pytest.raises(DataError) as error:
        load_surnames(write(ascii_names=start + b"Ren\xe9 1\n"))
    assert f"byte {len(start) + 3}" in str(error.value) or "line 3001" in str(error.value)


@pytest.mark.skipif(
    "FASTCONV_COURSE_DATA" not in os.environ,
    reason="the environment variable FASTCONV_COURSE_DATA does not name the folder of the course's files",
)
def test_the_course_s_own_files():
    folder = os.environ["FASTCONV_COURSE_DATA"]
    with open(os.path.join(folder, "ascii_names.txt"), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert digest == "6596c83949bdfce4220698aac108b7dbc2041be62616aa6f9a9dac6e340a9381"
    d = load_surnames(folder)
    assert len(d.data) == 20_050
    assert d.target_names == LANGUAGES
    alphabet = fc.Alphabet.from_strings(d.data)
    assert len(alphabet) == 28
    assert alphabet.encode(d.data).shape == (20_050, 19)
    check_split(d)
    counts = [1986, 254, 505, 283, 3654, 263, 710, 189, 218, 695, 977, 80, 125, 60, 9370, 86, 284, 59]
    assert np.bincount(d.target[d.train]).tolist() == counts
    assert np.bincount(d.target[d.validation]).tolist() == [14] * 18


# The tutorial's archive


@pytest.mark.parametrize(
    "string, plain",
    [("\u015alus\u00e0rski", "Slusarski"), ("O'N\u00e9\u00e0l", "O'Neal"), ("Abel", "Abel"), ("\u5f20", ""), ("", "")],
)
def test_accents_are_stripped(string, plain):
    assert to_ascii(string) == plain


def archive(files):
    """Return the bytes of a zip archive."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name, content)
    return memory.getvalue()


NAMES = {
    "data/names/Polish.txt": "\u015alus\u00e0rski\nNowak\n\nZi\u00f3\u0142ko\n",
    "data/names/Irish.txt": "O'N\u00e9ill\nMac Giolla-Bhu\u00ed 2\n  Daly \n",
    "__MACOSX/data/names/._Irish.txt": b"\x00\x05\x16\x07\xff\xfe",
    "data/names/._Polish.txt": b"\x00\x05\x16\x07\xff\xfe",
    "data/eng-fra.txt": "Go.\tVa !\n",
    "data/names/": "",
}


@pytest.fixture
def server(server):
    """The tutorial's archive on this machine's server."""
    server.content = archive(NAMES)
    server.url = f"{server.address}/data.zip"
    return server


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_fetched_names_have_no_accents_and_the_languages_are_sorted(server):
    d = fetch_surnames(server.url)
    assert d.target_names == ["Irish", "Polish"]
    assert d.data == ["o'neill", "mac giollabhui", "daly", "slusarski", "nowak", "zioko"]
    assert d.target.tolist() == [0, 0, 0, 1, 1, 1]
    check_split(d)


def test_fetched_names_are_split_by_language(server):
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b for a in letters for b in letters]
    server.content = archive({"data/names/Many.txt": "\n".join(names), "data/names/Some.txt": "\n".join(names[:40])})
    d = fetch_surnames(server.url)
    check_split(d)
    assert np.bincount(d.target[d.validation]).tolist() == [20, 10]  # never more than a quarter


def test_the_archive_is_downloaded_once(server, tmp_path):
    first = fetch_surnames(server.url)
    assert server.requests == 1
    assert [path.read_bytes() for path in (tmp_path / "cache").iterdir()] == [server.content]
    second = fetch_surnames(server.url)
    assert server.requests == 1
    assert second.data == first.data
    np.testing.assert_array_equal(second.validation, first.validation)


def test_another_address_is_another_archive(server):
    fetch_surnames(server.url)
    server.content = archive({"data/names/A.txt": "x\n", "data/names/B.txt": "y\n"})
    assert fetch_surnames(server.url.replace("data.zip", "other.zip")).target_names == ["A", "B"]


def test_the_right_hash_passes(server):
    assert len(fetch_surnames(server.url, known_hash=sha256(server.content)).data) == 6


def test_a_wrong_hash_fails_and_leaves_no_file(server, tmp_path):
    with pytest.raises(ValueError, match="hash"):
        fetch_surnames(server.url, known_hash=sha256(b"something else"))
    assert list((tmp_path / "cache").iterdir()) == []


def corrupt(content):
    """Damage the deflated data of an archive, not its directory."""
    damaged = bytearray(content)
    start = 30 + len("data/names/Polish.txt")
    damaged[start : start + 10] = b"\xff" * 10
    return bytes(damaged)


BROKEN = {
    "no zip": b"<html>Sign in to the network</html>",
    "empty": b"",
    "cut short": archive(NAMES)[:-40],
    "damaged": corrupt(archive(NAMES)),
    "no names": archive({"data/readme.txt": "hello"}),
    "one language": archive({"data/names/Irish.txt": "Daly\n"}),
    "not UTF-8": archive({"data/names/A.txt": b"\xff\xfe\n", "data/names/B.txt": b"y\n"}),
}
broken = pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)


@broken
def test_what_is_not_the_archive_is_refused_with_its_path(server, tmp_path, content):
    server.content = content
    with pytest.raises(DataError) as error:
        fetch_surnames(server.url)
    assert str(error.value).startswith(str(tmp_path / "cache"))


def test_what_is_not_the_archive_does_not_stay_in_the_cache(server):
    server.content = BROKEN["no zip"]
    with pytest.raises(DataError):
        fetch_surnames(server.url)
    server.content = archive(NAMES)
    assert len(fetch_surnames(server.url).data) == 6
