"""StringClassifier: a fitted classifier of strings, with NumPy alone: what a model file is for."""

from itertools import pairwise
from numbers import Real

import numpy as np

from fastconv.arrays import positive, whole
from fastconv.calibration import HIGHEST, LOWEST
from fastconv.errors import DTypeError, ModelFormatError, RangeError
from fastconv.layers import OneHotInput
from fastconv.modelfile import MALFORMED, check_keys
from fastconv.network import load
from fastconv.text import Alphabet

BLOCK = 1 << 20
"""Codes of a block of strings that goes through the network at a time."""


class StringClassifier:
    """Tells the class of strings with a network that is trained; what a model file of strings holds.

    It needs NumPy only. :class:`CharConvClassifier` makes and trains one, and writes the file.

    Parameters
    ----------
    network : Sequential
        Of codes; its last layer gives a logit for each class.
    alphabet : Alphabet
    classes : (K,) array
        The labels.
    keep : {"start", "end"}
        Which part of strings is read that are longer than the network's input.
    settings : dict, optional
        The parameters that it was trained with.

    Attributes
    ----------
    classes : list
    network, alphabet, keep, settings
        As they were given.

    Raises
    ------
    RangeError
        If network, alphabet and classes do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv.classifier import StringClassifier
    >>> net = fc.Sequential([fc.OneHotConv1D(2, 1, bias=False), fc.GlobalMaxPool1D()], fc.OneHotInput(5, depth=2))
    >>> net.params["0.w"][:] = [[[3, 0], [0, 3]]]
    >>> model = StringClassifier(net, fc.Alphabet("ab"), ["A", "B"])
    >>> model.predict(["aa", "b", "ab"], reject_below=0.6, reject_label="?").tolist()
    ['A', 'B', '?']
    """

    def __init__(self, network, alphabet, classes, keep="start", settings=None):
        self.network, self.alphabet, self.keep = network, alphabet, keep
        self._labels = np.asarray(classes)
        self.classes = self._labels.tolist()
        self.settings = {} if settings is None else dict(settings)
        if not isinstance(network.input, OneHotInput) or network.input.depth != len(alphabet):
            raise RangeError(f"StringClassifier: the network does not read the {len(alphabet)} codes of the alphabet")
        if network.output_shape != (len(self.classes),):
            raise RangeError(
                f"StringClassifier: expected a logit for each of {len(self.classes)} classes, the network gives "
                f"{network.output_shape}"
            )
        if keep not in ("start", "end"):
            raise RangeError(f"StringClassifier: keep is 'start' or 'end', got {keep!r}")

    @classmethod
    def load(cls, path):
        """Return the classifier that :meth:`CharConvClassifier.save` wrote to a file.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ModelFormatError
            If the file is no model file of a classifier of strings, or is damaged.
        """
        net = load(path)
        try:
            metadata = net.metadata
            check_keys("the metadata", metadata, "estimator", "parameters", "classes", "input", "output")
            if metadata["estimator"] != "CharConvClassifier" or not isinstance(metadata["parameters"], dict):
                raise ValueError("estimator or parameters are not those of strings")
            labels = described_labels(metadata["classes"], net)
            alphabet, keep = described_input(metadata["input"], net)
            described_output(metadata["output"], net)
            return cls(net, alphabet, labels, keep, metadata["parameters"])
        except MALFORMED as error:
            raise ModelFormatError(f"{path}: not a classifier of strings: {error!r:.400}") from None

    def _run(self, function, strings, threads, name):
        """Return what the network's method gives for the strings, a block at a time."""
        if isinstance(strings, (str, bytes)) or not hasattr(strings, "__iter__"):
            raise DTypeError(f"{name}: expected a list of strings, got {type(strings).__name__}")
        strings, length = list(strings), self.network.input.length
        step = max(1, BLOCK // length)
        try:
            blocks = [
                getattr(self.network, function)(self.encode(strings[i : i + step]), threads)
                for i in range(0, max(1, len(strings)), step)
            ]
        except DTypeError:
            position, value = next((i, value) for i, value in enumerate(strings) if not isinstance(value, str))
            kind = type(value).__name__
            raise DTypeError(f"{name}: element {position} is {kind} ({value!r:.100}), expected str") from None
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def encode(self, strings):
        """Return the codes of strings as the network reads them, (N, length) int16; nothing is told of what is unknown.

        Parameters
        ----------
        strings : list of str
        """
        return self.alphabet.encode(strings, self.network.input.length, self.keep, warn=False)

    def decision_function(self, strings, threads=None):
        """Return the logits, (N, K) float32.

        Parameters
        ----------
        strings : iterable of str
        threads : int, optional

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        """
        return self._run("forward", strings, threads, "decision_function")

    def predict_proba(self, strings, threads=None):
        """Return the probability of each class, (N, K) float32, in the order of :attr:`classes`.

        Parameters
        ----------
        strings : iterable of str
        threads : int, optional

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        """
        return self._run("predict_proba", strings, threads, "predict_proba")

    def predict(self, strings, reject_below=None, reject_label=None, threads=None):
        """Return the label of the likeliest class of each string, (N,).

        Parameters
        ----------
        strings : iterable of str
        reject_below : float, optional
            In [0, 1]: where the likeliest class is less probable, `reject_label` stands instead.
        reject_label : object
            The array is of objects unless it is of the labels' kind.
        threads : int, optional

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        RangeError
            If `reject_below` does not lie in [0, 1].
        """
        if reject_below is None:
            return self._labels[self._run("predict", strings, threads, "predict")]
        number = isinstance(reject_below, Real) and not isinstance(reject_below, bool)
        if not number or not 0 <= reject_below <= 1:
            raise RangeError(f"predict: reject_below lies in [0, 1], got {reject_below!r}")
        p = self._run("predict_proba", strings, threads, "predict")
        boxed = np.empty((), object)
        boxed[()] = reject_label
        labels, other = self._labels[p.argmax(axis=1)], np.array(reject_label)
        if other.ndim or other.dtype.kind != labels.dtype.kind:
            labels = labels.astype(object)
        else:
            labels = labels.astype(np.promote_types(labels.dtype, other.dtype))
        labels[p.max(axis=1) < reject_below] = boxed if labels.dtype == object else other
        return labels

    def top_k(self, strings, k=3, threads=None):
        """Return the likeliest classes of each string, the likeliest first.

        Parameters
        ----------
        strings : iterable of str
        k : int
            All classes if there are fewer.
        threads : int, optional

        Returns
        -------
        labels : (N, k) array
        probabilities : (N, k) float32
            Of equal ones the first class comes first.

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        RangeError
            If `k` is not positive.
        """
        k = min(positive("top_k: k", k), len(self.classes))
        p = self._run("predict_proba", strings, threads, "top_k")
        best = np.argsort(-p, axis=1, kind="stable")[:, :k]
        return self._labels[best], np.take_along_axis(p, best, 1)

    def explain(self, string, label=None):
        """Return what each character of a string contributes to a class.

        Parameters
        ----------
        string : str
        label : object, optional
            One of the classes; by default the likeliest.

        Returns
        -------
        Explanation

        Raises
        ------
        DTypeError
            If `string` is not a str.
        RangeError
            If `label` is no class.

        References
        ----------
        Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, section 4.2: occlusion.
        """
        if not isinstance(string, str):
            raise DTypeError(f"explain: expected a str, got {type(string).__name__}")
        if label is not None and label not in self.classes:
            raise RangeError(f"explain: expected one of {self.classes}, got {label!r}")
        alphabet, length = self.alphabet, self.network.input.length
        characters = list(alphabet.clean(string))
        sizes = alphabet.lengths(characters) - 2 * alphabet.markers
        ends = np.cumsum(sizes) + alphabet.markers
        if self.keep == "end":
            ends -= max(0, int(sizes.sum()) + 2 * alphabet.markers - length)
        starts, place = ends - sizes, np.arange(length)
        read = np.flatnonzero((ends > 0) & (starts < length))
        codes = np.repeat(self.encode([string]), 1 + len(read), axis=0)
        codes[1:][(place >= starts[read, None]) & (place < ends[read, None])] = -1
        p = self.network.predict_proba(codes).astype(np.float64)
        k = int(p[0].argmax()) if label is None else self.classes.index(label)
        logs = np.log(np.maximum(p[:, k], np.finfo(np.float32).tiny))
        contributions = np.zeros(len(characters))
        contributions[read] = logs[0] - logs[1:]
        return Explanation(string, self.classes[k], float(p[0, k]), characters, contributions)

    def info(self):
        """Return a description: classes, alphabet, settings, network."""
        alphabet, options = self.alphabet, []
        for name in ("casefold", "lower", "strip_accents", "markers", "byte_fallback"):
            options += [name.replace("_", " ")] * getattr(alphabet, name)
        shown = ascii(alphabet.symbols)[1:-1] if len(alphabet.symbols) <= 100 else ""
        lines = [
            f"classes     {len(self.classes)}: {_some(self.classes)}",
            f"alphabet    {len(alphabet.symbols)} characters{': ' + shown if shown else ''}",
            f"text        {', '.join(options) or 'as it is'}",
            f"length      {self.network.input.length} codes, of longer strings the {self.keep}",
            f"settings    {', '.join(f'{name}={value!r}' for name, value in self.settings.items())}",
            self.network.summary(),
        ]
        return "\n".join(lines)

    def __repr__(self):
        return f"StringClassifier({len(self.classes)} classes: {_some(self.classes)})"


def load_classifier(path):
    """Return the classifier of strings of a model file: :meth:`StringClassifier.load`."""
    return StringClassifier.load(path)


def described_labels(labels, network):
    """Return the labels in a model file as an array, or raise an error of :data:`MALFORMED`."""
    kinds = set(map(type, labels))
    if not isinstance(labels, list) or not (kinds in ({str}, {bool}) or kinds <= {int, float}):
        raise TypeError("the classes are not of one kind")
    if any(a >= b for a, b in pairwise(labels)):
        raise ValueError("the classes are not sorted, or one stands twice")
    array = np.array(labels)
    if array.tolist() != labels:  # as with a NUL at a string's end, which NumPy cuts off
        array = np.array(labels, object)
    if array.shape != network.output_shape:
        raise ValueError("the classes do not fit the network")
    return array


def described_input(described, network):
    """Return the alphabet and the part kept that stand in a model file, or raise an error of :data:`MALFORMED`."""
    check_keys("the input", described, "alphabet", "keep")
    alphabet, keep = Alphabet.from_dict(described["alphabet"]), described["keep"]
    if not isinstance(network.input, OneHotInput) or network.input.depth != len(alphabet):
        raise ValueError("the alphabet does not fit the network")
    if keep not in ("start", "end"):
        raise ValueError(f"keep is {keep!r}")
    return alphabet, keep


def described_output(described, network):
    """Return members, shift, temperature, counts, updates in a model file, or raise an error of :data:`MALFORMED`."""
    check_keys("the output", described, "members", "shift", "temperature", "counts", "updates")
    members, updates = positive("members", described["members"]), whole("updates", described["updates"])
    [temperature] = _numbers([described["temperature"]], 1, LOWEST, HIGHEST)
    shift = _numbers(described["shift"], network.output_shape[0], -1000, 1000)
    return members, shift, float(temperature), _numbers(described["counts"], len(shift), 0, 1e300), updates


def _numbers(values, n, low, high):
    """Return n numbers of a model file that lie between two limits as an array."""
    fits = isinstance(values, list) and len(values) == n
    if not fits or not all(type(value) in (int, float) and low <= value <= high for value in values):
        raise ValueError(f"expected {n} numbers from {low} to {high}")
    return np.array(values, np.float64)


class Explanation:
    """What each character of a string contributes to a class.

    Attributes
    ----------
    string : str
    label : object
        The class.
    probability : float
        Of the class.
    characters : list of str
        The string's characters as the network reads them: in normal form, and in lower case if it is so set.
    contributions : (n,) float64
        By how much the logarithm of the class's probability falls when a character is hidden; 0 of those that were cut
        off. In nats.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.classifier import Explanation
    >>> print(Explanation("ab", "A", 0.9, ["a", "b"], np.array([1.5, -0.25])))
    A: 0.9000
    a  +1.50  ++++++++++++++++++++
    b  -0.25  ---
    """

    def __init__(self, string, label, probability, characters, contributions):
        self.string, self.label, self.probability = string, label, probability
        self.characters, self.contributions = characters, contributions

    def _shares(self):
        """Return the contributions as shares of the largest, with their sign."""
        return self.contributions / max(np.abs(self.contributions).max(initial=0), 1e-9)

    def __repr__(self):
        return f"Explanation({self.string!r}, {self.label!r}, {self.probability:.4f})"

    def __str__(self):
        lines = [f"{visible(self.label)}: {self.probability:.4f}"]
        for character, nats, share in zip(self.characters, self.contributions, self._shares(), strict=True):
            bar = ("+" if share > 0 else "-") * round(20 * abs(share))
            lines.append(f"{visible(character)}  {nats:+.2f}  {bar}".rstrip())
        return "\n".join(lines)

    def ansi(self):
        """Return the string for a terminal: blue behind characters that speak for the class, orange behind others."""
        painted = []
        for character, share in zip(self.characters, self._shares(), strict=True):
            red, green, blue = _colour(share)
            painted.append(f"\x1b[48;2;{red};{green};{blue}m\x1b[38;2;0;0;0m{visible(character)}\x1b[0m")
        return f"{visible(self.label)}: {self.probability:.4f}  {''.join(painted)}"

    def _repr_html_(self):
        import html  # here, since it takes longer to load than a model

        spans = []
        for character, nats, share in zip(self.characters, self.contributions, self._shares(), strict=True):
            colour = "#{:02x}{:02x}{:02x}".format(*_colour(share))
            style = f"background:{colour};color:#000;padding:0.1em 0.05em"
            spans.append(f'<span style="{style}" title="{nats:+.2f} nats">{html.escape(visible(character))}</span>')
        label = html.escape(visible(self.label))
        return f'<div><b>{label}</b> {self.probability:.4f} <bdo dir="ltr">{"".join(spans)}</bdo></div>'


def _colour(share):
    """From orange (-1) by white to blue (1): told apart by the colour-blind."""
    end = (86, 160, 230) if share > 0 else (240, 150, 60)
    return tuple(round(255 + (e - 255) * abs(share)) for e in end)


def visible(label):
    """Return a label or a character as text, with what stands for characters that cannot be printed."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(label))


def _some(labels):
    """Return the first labels as text."""
    text = ", ".join(map(visible, labels[:20]))
    return f"{text}, ..." if len(labels) > 20 else text
