"""CharConvClassifier."""

import sys

import numpy as np
from sklearn.utils.validation import validate_data

from fastconv import modelfile, models
from fastconv.arrays import positive
from fastconv.calibration import calibration_error, fit_temperature
from fastconv.classifier import StringClassifier, described_input, described_output
from fastconv.errors import DataError, DTypeError, RangeError, ShapeError
from fastconv.estimators.base import ConvClassifier, dict_weights, named
from fastconv.layers import Dense, GlobalMaxPool1D, OneHotConv1D, ReLU
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import Sequential
from fastconv.schedules import InverseSquareRoot
from fastconv.text import Alphabet
from fastconv.training import AverageWeights, History

EPOCHS, AT_SAMPLES = 10, 20_000
"""Epochs by default: as many for so many samples, in inverse proportion to the square root of their number."""
MOST_EPOCHS = 60
AVERAGED = 0.2
"""The share of the epochs, the last ones, over which the parameters are averaged."""
IN_THE_LOSS = 0.25
"""The power of a class weight that weighs the loss; the rest shifts the logit."""
SLOWED = 200
"""Updates over which the rate of partial_fit falls, as in :class:`fastconv.schedules.InverseSquareRoot`."""
WIDTHS, SHORT = (4, 6), 12
"""Characters that a filter sees by default: in strings of so many codes on average at most, and in longer ones."""
LONGEST = 0.999
"""The share of the training strings that fit in the input, if `max_length` allows it."""


class CharConvClassifier(ConvClassifier):
    """A ConvNet that tells the class of short strings by their characters.

    It takes strings as they are: names, words, product codes, addresses, of any script. An ensemble of small networks
    is trained, each a convolution over characters, the largest of each filter over the string, and a dense layer; they
    are then put together to one network, whose logits are the means of theirs.

    Parameters
    ----------
    filters : int
        Of each member of the ensemble.
    kernel_size : int, optional
        Characters that a filter sees; by default 4, and 6 where the training strings have more than 12 on average.
    members : int
        Networks of the ensemble. Time and size are in proportion.
    dropout : float
        Rate before the dense layer, in [0, 1).
    epochs : int, optional
        Times that :meth:`fit` goes over the training strings; by default 10 for 20,000 strings, fewer for more and more
        for fewer, in inverse proportion to the square root of their number: 2 to 60.
    batch_size : int
    learning_rate : float or callable
        Of AdamW. A number is the highest rate of one cycle over all epochs (:class:`fastconv.schedules.OneCycle`); in
        :meth:`partial_fit` the first, which falls from update to update, those of :meth:`fit` before it included
        (:class:`fastconv.schedules.InverseSquareRoot`, half after 600). Of a schedule of :mod:`fastconv.schedules`, or
        any function of the update, the rate is taken as it is.
    weight_decay : float
        Of AdamW.
    label_smoothing : float
        In [0, 1), as in :class:`SoftmaxCrossEntropy`.
    class_weight : None, "balanced" or dict
        How much a mistake on each label counts, above 0, 1 where the dict has none; "balanced" is N / (K n_y), which
        makes all classes count alike. See the notes.
    lowercase : bool
        Whether case does not matter; it is folded, so that "ß" is "ss".
    strip_accents : bool
        Whether accents do not matter.
    max_symbols : int
        Characters of the alphabet at most. Where the training strings have more the rarest go, and come in as the bytes
        of their UTF-8, as do all characters that are new in prediction. Where they have not, new characters count as
        none.
    max_length : int
        Codes of a string at most. The length is that of the longest training string, but for one in a thousand.
    keep : {"start", "end"}
        Which part is read of strings that are longer.
    input : {"strings", "codes"}
        Whether X holds strings, or rows of integer codes: (N, length), from 0 on, -1 or less for none.
    early_stopping : bool
        Hold part of the training strings out and stop when their loss gets no better; the best parameters stay. They
        also set the temperature.
    validation_fraction : float
        What is held out of each class, in (0, 1); not all of it.
    n_iter_no_change : int
        Epochs without a better loss after which a member's training stops.
    warm_start : bool
        Go on from the fitted parameters, if there are any, when :meth:`fit` is called, with the alphabet and length
        that there are.
    threads : int, optional
        By default all that are allowed; the result does not depend on it.
    verbose : bool
        Show progress bars, and what is chosen from the data.
    random_state : int, RandomState or None
        Of initial parameters, order, dropout and what is held out. The same int, the same bits.

    Attributes
    ----------
    classes_ : (K,) array
        The labels, sorted.
    class_count_ : (K,) float64 array
        Samples learnt of each, or the sum of their weights.
    alphabet_ : Alphabet
        Of the training strings, with markers of a string's start and end.
    length_ : int
        Codes of a string that the network reads.
    kernel_size_ : int
        Characters that a filter sees.
    truncated_ : int
        Training strings that are longer.
    n_iter_ : int
        Epochs of the longest training of a member.
    loss_curve_ : list of float
        The training loss of each epoch, the members' mean.
    history_ : History
        The records of all members, one after the other; ``member`` counts them from 0. After a fit with a validation
        set the last one has ``temperature``, and ``calibration_error`` with it and ``calibration_error_before``:
        the expected calibration error on the validation set, weighted by class.
    temperature_ : float
        By which the logits are divided, 1 without a validation set.
    network_ : Sequential
        The ensemble. Its last layer gives the logits, class weights and temperature included.
    predictor_ : StringClassifier
        The same as what :meth:`save` writes; of strings only.

    Notes
    -----
    A class weight w counts with its fourth root in the loss; the rest, 3/4 log w, is added to the logit of the class
    afterwards. Where the network's probabilities are right the decision is that of a loss which w weighs wholly, but
    training is spared the rare, heavy samples of such a loss (Menon et al.). The probabilities are those of a world
    where classes are as frequent as their weights make them: with "balanced", all alike.

    References
    ----------
    Kim, "Convolutional neural networks for sentence classification", 2014. Menon et al., "Long-tail learning via logit
    adjustment", 2021. Guo et al., "On calibration of modern neural networks", 2017. Loshchilov and Hutter, "Decoupled
    weight decay regularization", 2019. Izmailov et al., "Averaging weights leads to wider optima and better
    generalization", 2018.

    Examples
    --------
    >>> import fastconv as fc
    >>> words = ["gatto", "cane", "topo", "lupo", "the cat", "the dog", "the mouse", "the wolf"]
    >>> clf = fc.CharConvClassifier(random_state=0).fit(words, ["it"] * 4 + ["en"] * 4)
    >>> clf.predict(["orso", "the bear"]).tolist()
    ['it', 'en']
    """

    _stops_by = "validation_loss"

    def __init__(
        self, filters=256, kernel_size=None, members=3, dropout=0.3, epochs=None, batch_size=64, learning_rate=0.02,
        weight_decay=0.1, label_smoothing=0.0, class_weight="balanced", lowercase=True, strip_accents=False,
        max_symbols=500, max_length=256, keep="start", input="strings", early_stopping=False, validation_fraction=0.1,
        n_iter_no_change=10, warm_start=False, threads=None, verbose=False, random_state=None,
    ):  # fmt: skip
        self.filters = filters
        self.kernel_size = kernel_size
        self.members = members
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.max_symbols = max_symbols
        self.max_length = max_length
        self.keep = keep
        self.input = input
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.threads = threads
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = tags.input_tags.categorical = self.input == "codes"
        tags.input_tags.string = not tags.input_tags.two_d_array
        return tags

    def predict(self, X, reject_below=None, reject_label=None):
        """Return the label of the likeliest class of each sample, (N,).

        Parameters
        ----------
        X : samples
        reject_below : float, optional
            In [0, 1]: where the likeliest class is less probable, `reject_label` stands instead.
        reject_label : object
            The array is of objects unless it is of the labels' kind.

        Raises
        ------
        NotFittedError
            If the classifier has not been fitted; it is scikit-learn's too.
        DTypeError
            If an element is not a str; its position is named.
        RangeError
            If `reject_below` does not lie in [0, 1].
        """
        if reject_below is None:
            return super().predict(X)
        return self._predictor("predict").predict(self._strings(X, "predict"), reject_below, reject_label, self.threads)

    def top_k(self, X, k=3):
        """Return labels and probabilities of the likeliest classes: :meth:`StringClassifier.top_k`."""
        return self._predictor("top_k").top_k(self._strings(X, "top_k"), k, self.threads)

    def explain(self, string, label=None):
        """Return what each character of a string contributes to a class: :meth:`StringClassifier.explain`."""
        return self._predictor("explain").explain(string, label)

    @property
    def predictor_(self):
        """The fitted classifier without scikit-learn."""
        if not self.__sklearn_is_fitted__() or self.input != "strings":
            raise AttributeError("predictor_: there is one of strings, once it is fitted")
        parameters = self.get_params(deep=False)
        return StringClassifier(self.network_, self.alphabet_, self.classes_, self.preprocess_.keep, parameters)

    def _predictor(self, function):
        self._check_fitted(function)
        if self.input != "strings":
            raise RangeError(f"{function}: it is of strings, the classifier reads codes")
        return self.predictor_

    def _strings(self, X, function):
        with named(function):
            return self._check_samples(X, False)

    def _check_samples(self, X, reset):
        """Return an array of strings, or of codes (N, length)."""
        if self.input == "codes":
            return validate_data(self, X, dtype="int", reset=reset)
        if self.input != "strings":
            raise RangeError(f"input is 'strings' or 'codes', got {self.input!r}")
        if isinstance(X, (str, bytes)) or not hasattr(X, "__iter__"):
            raise DTypeError(f"expected a list of strings, got {type(X).__name__}")
        if hasattr(X, "ndim") and X.ndim != 1:
            X = np.asarray(X)
            if X.ndim != 2 or X.shape[1] != 1:
                raise ShapeError(f"expected strings (N,), got {X.shape}")
            X = X[:, 0]
        elements = list(X)
        for position, element in enumerate(elements):
            if not isinstance(element, str):
                raise DTypeError(f"element {position} is {type(element).__name__} ({element!r:.100}), expected str")
        if reset and not elements:
            raise DataError("expected strings, got none")
        strings = np.empty(len(elements), object)
        strings[:] = elements
        return strings

    def _fit_input(self, x):
        longest = positive("fit: max_length", self.max_length)
        if self.input == "codes":
            if x.max() > 32766:
                raise RangeError(f"fit: codes are below 32767, got {x.max()}")
            return Codes(x)
        alphabet = Alphabet.from_strings(
            x.tolist(), self.lowercase, self.lowercase, self.strip_accents, markers=True, max_symbols=self.max_symbols,
            byte_fallback="auto",
        )  # fmt: skip
        sizes = np.sort(alphabet.lengths(x.tolist()))
        longest = max(3, min(longest, int(sizes[int(np.ceil(LONGEST * len(sizes))) - 1])))
        strings = Strings(alphabet, longest, self.keep, int(np.count_nonzero(sizes > longest)))
        strings.kernel_size = WIDTHS[int(np.minimum(sizes, longest).mean() - 2 > SHORT)]  # but for the markers
        return strings

    def _network(self, x, encoder, n_classes, seed):
        width = encoder.kernel_size if self.kernel_size is None else self.kernel_size
        return models.char_convnet(
            encoder.depth, encoder.length, n_classes, self.filters, width, self.dropout, seed=seed
        )

    def _epochs(self, n):
        if self.epochs is not None:
            return super()._epochs(n)
        return int(np.clip(round(EPOCHS * (AT_SAMPLES / n) ** 0.5), 2, MOST_EPOCHS))

    def _running_rate(self, again):
        rate = self.learning_rate
        return rate if callable(rate) else InverseSquareRoot(rate, SLOWED, self._updates if again else 0)

    def _keepers(self, epochs):
        return [AverageWeights(epochs - max(1, round(AVERAGED * epochs)))]

    def _class_weights(self, classes, counts):
        """Return the weight of each class; balanced, that of a class not yet seen is 1."""
        weight = self.class_weight
        if weight is None:
            return np.ones(len(classes))
        if isinstance(weight, str) and weight == "balanced":
            seen = counts > 0
            return np.where(seen, counts.sum() / (seen.sum() * np.where(seen, counts, 1)), 1)
        if not isinstance(weight, dict):
            raise RangeError(f"fit: class_weight is None, 'balanced' or a dict, got {weight!r}")
        weights = dict_weights(weight, classes)
        if not (np.isfinite(weights) & (weights > 0)).all():
            raise RangeError(f"fit: class weights are finite and above 0, got {weight}")
        return weights

    def _loss(self, classes, counts):
        weights = self._class_weights(classes, counts) ** IN_THE_LOSS
        return SoftmaxCrossEntropy(weights * (counts.sum() / (weights @ counts)), self.label_smoothing)

    def _check_running_weights(self):
        """The frequencies are those of all samples so far."""

    def _words(self, trainer, trainers):
        place = trainers.index(trainer)
        if self.verbose and place == 0 and not trainer.updates:
            print(self.preprocess_.describe(), file=sys.stderr)
        return f"member {place + 1} of {len(trainers)}" if self.verbose else False

    def _finish(self, trainers, validation):
        weights = self._class_weights(self.classes_, self.class_count_)
        self.temperature_, self._shift = 1.0, (1 - IN_THE_LOSS) * np.log(weights)
        self._updates = max(getattr(each.optimizer.learning_rate, "before", 0) + each.updates for each in trainers)
        nets = [trainer.net for trainer in trainers]
        self.network_ = fold(nets, self._shift, 1.0)
        self.history_ = History()
        for place, trainer in enumerate(trainers):
            self.history_.records += [{"member": place, **record} for record in trainer.history.records]
            self.history_.batch_losses += trainer.history.batch_losses
        self.length_, self.kernel_size_ = self.preprocess_.length, self.network_.layers[0].kernel_size
        if self.input == "strings":
            self.alphabet_, self.truncated_ = self.preprocess_.alphabet, self.preprocess_.truncated
        if validation and self.history_.records:
            x, labels = validation
            before = self.network_.predict_proba(x, self.threads)
            self.temperature_ = fit_temperature(self.network_.forward(x, self.threads), labels, weights[labels])
            self.network_ = fold(nets, self._shift, self.temperature_)
            after = self.network_.predict_proba(x, self.threads)
            self.history_.records[-1] |= {
                "temperature": self.temperature_,
                "calibration_error_before": calibration_error(before, labels, sample_weight=weights[labels]),
                "calibration_error": calibration_error(after, labels, sample_weight=weights[labels]),
            }

    @property
    def loss_curve_(self):
        """The training loss of each epoch, the mean of the members that have made it."""
        epochs = {}
        for record in self.history_.records:
            epochs.setdefault(record["epoch"], []).append(record["train_loss"])
        return [float(np.mean(losses)) for losses in epochs.values()]

    def _describe(self):
        output = {
            "members": len(self._nets), "shift": self._shift.tolist(), "temperature": self.temperature_,
            "counts": self.class_count_.tolist(), "updates": self._updates,
        }  # fmt: skip
        return {"input": self.preprocess_.to_dict(), "output": output}

    def _restore(self, metadata):
        net = self.network_
        members, self._shift, self.temperature_, self.class_count_, self._updates = described_output(
            metadata["output"], net
        )
        self.preprocess_ = {"strings": Strings, "codes": Codes}[self.input].from_dict(metadata["input"], net)
        self.length_, self.kernel_size_ = net.input.length, net.layers[0].kernel_size
        if self.input == "strings":
            self.alphabet_, self.truncated_ = self.preprocess_.alphabet, 0
        else:
            self.n_features_in_ = self.length_
        self._nets = unfold(net, members, self.dropout, self._shift, self.temperature_)
        if fold(self._nets, self._shift, self.temperature_).description() != net.description():
            raise ValueError("the network is not one that the classifier makes")
        return ["input", "output"]


class Strings:
    """What turns strings to codes: an alphabet, a length, the part that is kept."""

    def __init__(self, alphabet, length, keep, truncated=0):
        self.alphabet, self.length, self.keep, self.truncated = alphabet, length, keep, truncated
        self.depth = len(alphabet)
        alphabet.encode([], length, keep)

    def transform(self, x):
        """Return codes (N, length)."""
        return self.alphabet.encode(x.tolist(), self.length, self.keep, warn=False)

    def describe(self):
        """Return what was chosen, as text."""
        cut = f", of {self.truncated} strings the {self.keep}" * (self.truncated > 0)
        bytes_too = " and bytes for others" * self.alphabet.byte_fallback
        return f"alphabet of {len(self.alphabet.symbols)} characters{bytes_too}, {self.length} codes{cut}"

    def to_dict(self):
        """Return what :meth:`from_dict` needs, of JSON's types."""
        return {"alphabet": self.alphabet.to_dict(), "keep": self.keep}

    @classmethod
    def from_dict(cls, described, net):
        """Return what :meth:`to_dict` described, for a network that reads it."""
        alphabet, keep = described_input(described, net)
        return cls(alphabet, net.input.length, keep)


class Codes:
    """What brings codes in the range of those that the network has learnt."""

    def __init__(self, x):
        self.length, self.depth = x.shape[1], int(max(x.max(initial=0), 0)) + 1
        self.kernel_size = WIDTHS[self.length > SHORT]

    def transform(self, x):
        """Return codes (N, length) int16, -1 where they are new."""
        return np.where((x >= 0) & (x < self.depth), x, -1).astype(np.int16)

    def describe(self):
        """Return what was chosen, as text."""
        return f"{self.depth} codes, {self.length} of a sample"

    def to_dict(self):
        """Return what :meth:`from_dict` needs, of JSON's types."""
        return {}

    @classmethod
    def from_dict(cls, described, net):
        """Return what a network reads."""
        modelfile.check_keys("the input", described)
        return cls(np.full((1, net.input.length), net.input.depth - 1))


def fold(members, shift, temperature):
    """Return the network whose logits are the members' mean, plus `shift`, over `temperature`."""
    first, dense = (members[0].layers[i] for i in (0, -1))
    conv = OneHotConv1D(first.filters * len(members), first.kernel_size, padding=first.padding, init=first.init)
    net = Sequential([conv, ReLU(), GlobalMaxPool1D(), Dense(dense.units)], members[0].input)
    last = len(members[0].layers) - 1
    net.params["0.w"][...] = np.concatenate([member.params["0.w"] for member in members], axis=2)
    net.params["0.b"][...] = np.concatenate([member.params["0.b"] for member in members])
    scale = len(members) * temperature
    net.params["3.w"][...] = np.concatenate([member.params[f"{last}.w"] for member in members]) / scale
    net.params["3.b"][...] = sum(member.params[f"{last}.b"] for member in members) / scale + shift / temperature
    return net


def unfold(net, members, dropout, shift, temperature):
    """Return the members of a network that :func:`fold` made."""
    conv = net.layers[0]
    length, depth, filters = net.input.length, net.input.depth, conv.filters // members
    nets = []
    for part in np.arange(conv.filters).reshape(members, filters):
        member = models.char_convnet(depth, length, *net.output_shape, filters, conv.kernel_size, dropout)
        last = len(member.layers) - 1
        member.params["0.w"][...], member.params["0.b"][...] = net.params["0.w"][:, :, part], net.params["0.b"][part]
        with np.errstate(over="ignore"):
            member.params[f"{last}.w"][...] = net.params["3.w"][part] * (members * temperature)
            member.params[f"{last}.b"][...] = net.params["3.b"] * temperature - shift
        if not np.isfinite(member.parameters).all():
            raise ValueError("the weights are too large")
        nets.append(member)
    return nets
