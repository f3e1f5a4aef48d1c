"""Write the golden model files of the format's current version, and what their networks answer.

    python tests/golden/make.py

Each ``vVERSION-NAME.safetensors`` has a ``.json`` of the same name beside it: an input, and the logits and
probabilities that the twin in NumPy computes for it in float64. Files of older versions are left alone: they show that
what was written once can still be read.
"""

import json
from pathlib import Path

import numpy as np

import fastconv as fc
from fastconv.modelfile import VERSION
from fastconv.reference.kernels import softmax
from fastconv.reference.sequential import NumpyNet

FOLDER = Path(__file__).parent
STRINGS = ["ab", "Bead", "cabbaged", "", "zoë", "d'Abe"]


def characters(dtype="float32"):
    """Return a network over strings, as the command line writes it, and an input."""
    alphabet = fc.Alphabet("'abcdeë")
    net = fc.Sequential(
        [
            fc.OneHotConv1D(4, 3, padding="same"), fc.ReLU(), fc.Conv1D(3, 2, dilation=2, bias=False), fc.ReLU(),
            fc.GlobalMaxPool1D(), fc.Dropout(0.25), fc.Dense(3),
        ],
        input=fc.OneHotInput(8, len(alphabet)), dtype=dtype,
    )  # fmt: skip
    net.metadata = {"alphabet": alphabet.symbols, "lower": True, "classes": ["one", "zwei", "trzyście"]}
    return net, {"strings": STRINGS, "x": [[alphabet.symbols.find(c) for c in s.lower().ljust(8)] for s in STRINGS]}


def images():
    """Return a network over images with batch normalisation, and an input."""
    net = fc.Sequential(
        [
            fc.Conv2D(4, (3, 2), padding=(1, 0), bias=False), fc.BatchNorm(), fc.ReLU(), fc.MaxPool2D(2), fc.Flatten(),
            fc.Dense(5), fc.BatchNorm(eps=1e-3), fc.Tanh(), fc.Dense(2, init="xavier"),
        ],
        input=fc.ImageInput(5, 6, 2), winograd=False,
    )  # fmt: skip
    return net, {"x": (np.random.default_rng(2).integers(-16, 17, (3, 5, 6, 2)) / 8).tolist()}


def classifier():
    """Return a classifier of images, and an input."""
    pixels = np.random.default_rng(3).integers(0, 256, (12, 4, 4, 2))
    clf = fc.ImageConvClassifier((2, 3), hidden=4, epochs=1, random_state=0)
    clf.fit(pixels, ["cat", "dog", "owl"] * 4)
    x = (pixels[:3] - clf.preprocess_.mean) / clf.preprocess_.deviation
    return clf, {"images": pixels[:3].tolist(), "x": x.tolist(), "classes": ["cat", "dog", "owl"]}


def strings():
    """Return a classifier of strings, and an input: the codes come from a plain loop."""
    clf = fc.CharConvClassifier(1, 2, members=2, epochs=1, max_symbols=5, max_length=9, random_state=0)
    clf.fit(STRINGS, [2, 1, 1, 2, 3, 3])
    clf.temperature_, (start, end), first_byte = 1.5, (5, 6), 7
    x = np.full((len(STRINGS), 9), -1)
    for row, string in zip(x, STRINGS, strict=True):
        codes = [start]
        for character in string.lower():
            known = character in clf.alphabet_.symbols
            codes += [clf.alphabet_.symbols.find(character)] if known else [first_byte + b for b in character.encode()]
        codes = [*codes, end][:9]
        row[: len(codes)] = codes
    return clf, {"texts": STRINGS, "x": x.tolist(), "classes": [1, 2, 3]}


def main():
    """Write the files."""
    made = {"characters": characters(), "images": images(), "float64": characters("float64")}
    made |= {"classifier": classifier(), "strings": strings()}
    for name, (model, given) in made.items():
        net, rng = getattr(model, "network_", model), np.random.default_rng(VERSION)
        for key, array in {**net.params, **net.state}.items():
            array[...] = rng.uniform(0.5, 2, array.shape) if key.endswith("var") else rng.normal(size=array.shape)
        logits, *_ = NumpyNet(net.astype("float64")).forward(np.array(given["x"]))
        expected = given | {"logits": logits.tolist(), "probabilities": softmax(logits).tolist()}
        stem = FOLDER / f"v{VERSION}-{name}"
        model.save(stem.with_suffix(".safetensors"))
        stem.with_suffix(".json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
