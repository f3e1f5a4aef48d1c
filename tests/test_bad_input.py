"""Bad input: each is refused with a message that says what is wrong, before anything is computed or changed."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import errors
from fastconv.errors import DataError, DTypeError, FastconvError, RangeError, ShapeError

LENGTH, DEPTH, CLASSES = 6, 5, 3
CODES = np.random.default_rng(0).integers(0, DEPTH, (10, LENGTH)).astype(np.int16)
NUMBERS = np.random.default_rng(1).normal(size=(10, 4))
LABELS = np.arange(10) % CLASSES


def names_network():
    return fc.models.surname_convnet(DEPTH, LENGTH, CLASSES, filters=(4, 4), widths=(2, 2))


def vector_network():
    return fc.Sequential([fc.Dense(CLASSES)], input=fc.VectorInput(4))


def changed(array, at, value, dtype=None):
    copy = np.array(array, dtype)
    copy[at] = value
    return copy


# The errors


def test_every_error_is_a_value_error_or_a_type_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not FastconvError]
    assert len(kinds) >= 6
    for kind in kinds:
        assert issubclass(kind, FastconvError)
        assert issubclass(kind, (ValueError, TypeError))


# Every call that takes samples, and every call that takes labels


def fit(net, x, y):
    return fc.Trainer(net, batch_size=4).fit(x, y, updates=2)


def fit_validation(net, x, y):
    good = (CODES if net.input.codes else NUMBERS, LABELS)
    return fc.Trainer(net, batch_size=4).fit(*good, updates=2, validation=(x, y))


WITH_LABELS = {
    "loss_and_gradients": lambda net, x, y: net.loss_and_gradients(x, y),
    "evaluate": lambda net, x, y: net.evaluate(x, y),
    "fit": fit,
    "fit: validation": fit_validation,
}
WITHOUT_LABELS = {
    "forward": lambda net, x, y: net.forward(x),
    "predict_proba": lambda net, x, y: net.predict_proba(x),
    "predict": lambda net, x, y: net.predict(x),
}
every_call = pytest.mark.parametrize("call", [*WITHOUT_LABELS, *WITH_LABELS])
with_labels = pytest.mark.parametrize("call", WITH_LABELS)


def check_refused(net, call, x, y, error, message):
    """The call raises the error, with the function's name in front, and leaves the parameters as they were."""
    before = net.parameters.tobytes()
    with pytest.raises(error, match=message) as raised:
        {**WITHOUT_LABELS, **WITH_LABELS}[call](net, x, y)
    assert str(raised.value).startswith(call.split(":")[0] + ": ")
    assert "validation" in str(raised.value) or "validation" not in call
    assert net.parameters.tobytes() == before


# Samples


@every_call
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("code", [DEPTH, -2, 32767, -32768])
def test_codes_out_of_range(call, dtype, code):
    x = changed(CODES, (7, 3), code, dtype)
    check_refused(names_network(), call, x, LABELS, RangeError, rf"codes must lie in -1\.\.4, got .*{code}")


@every_call
@pytest.mark.parametrize("code", [2**16, 2**16 + 1, -(2**16), 2**32, 2**62])
def test_codes_that_would_wrap_around(call, code):
    x = changed(CODES, (0, 0), code, np.int64)
    check_refused(names_network(), call, x, LABELS, RangeError, r"codes must lie in -1\.\.4")


@every_call
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, bool, complex, object, str], ids=lambda dtype: dtype.__name__
)
def test_codes_that_are_no_integers(call, dtype):
    check_refused(
        names_network(), call, CODES.astype(dtype), LABELS, DTypeError, "expected codes of an integer dtype, got "
    )


@every_call
@pytest.mark.parametrize(
    "x",
    [CODES[0], CODES[:, :5], np.zeros((10, 7), np.int16), CODES[:, :, None], np.int16(3), CODES.T],
    ids=lambda x: str(np.shape(x)),
)
def test_codes_of_another_shape(call, x):
    message = rf"expected x of shape \(N, 6\), got \({', '.join(map(str, np.shape(x)))},?\)"
    check_refused(names_network(), call, x, LABELS, ShapeError, message)


@every_call
def test_strings_instead_of_codes(call):
    check_refused(names_network(), call, ["abc", "d"], LABELS, (ShapeError, DTypeError), "expected")


@every_call
@pytest.mark.parametrize("dtype", [complex, object, str, "datetime64[s]"], ids=str)
def test_numbers_that_are_none(call, dtype):
    x = np.zeros((10, 4)).astype(int).astype(dtype)
    check_refused(vector_network(), call, x, LABELS, DTypeError, "expected x of numbers, got dtype")


@every_call
@pytest.mark.parametrize("x", [NUMBERS[0], NUMBERS[:, :3], NUMBERS[..., None], NUMBERS.T], ids=lambda x: str(x.shape))
def test_numbers_of_another_shape(call, x):
    check_refused(vector_network(), call, x, LABELS, ShapeError, r"expected x of shape \(N, 4\), got")


@with_labels
@pytest.mark.parametrize("make", [names_network, vector_network])
def test_no_samples(call, make):
    net = make()
    x = CODES[:0] if net.input.codes else NUMBERS[:0]
    check_refused(net, call, x, LABELS[:0], (ShapeError, DataError), "empty|no samples")


# Labels


@with_labels
@pytest.mark.parametrize("label", [CLASSES, -1, 2**31, 2**62])
def test_a_label_outside_the_classes(call, label):
    for net, x in ((names_network(), CODES), (vector_network(), NUMBERS)):
        y = changed(LABELS, 6, label)
        check_refused(net, call, x, y, RangeError, rf"label {label} at index 6 is outside 0\.\.2")


@with_labels
@pytest.mark.parametrize(
    "y", [LABELS[:9], np.append(LABELS, 0), LABELS[:, None], np.eye(CLASSES + 1, dtype=int)[LABELS], 1], ids=np.shape
)
def test_labels_that_are_not_one_a_sample(call, y):
    check_refused(vector_network(), call, NUMBERS, y, ShapeError, "x has 10 samples, y has shape")


@with_labels
@pytest.mark.parametrize("dtype", [float, bool, str, object], ids=lambda dtype: dtype.__name__)
def test_labels_that_are_no_integers(call, dtype):
    check_refused(vector_network(), call, NUMBERS, LABELS.astype(dtype), DTypeError, "labels of an integer dtype, got")


@with_labels
def test_a_network_without_a_vector_of_logits_has_no_loss(call):
    net = fc.Sequential([fc.OneHotConv1D(CLASSES, 2)], input=fc.OneHotInput(LENGTH, DEPTH))
    check_refused(net, "fit" if "fit" in call else call, CODES, LABELS, ShapeError, "a loss needs a vector of logits")


# Threads

THREADS = pytest.mark.parametrize("threads", [0, -1, 1.0, "2", True], ids=repr)


@THREADS
def test_threads_are_positive(threads):
    net = vector_network()
    for call in (
        lambda: net.forward(NUMBERS, threads=threads),
        lambda: net.predict_proba(NUMBERS, threads=threads),
        lambda: net.predict(NUMBERS, threads=threads),
        lambda: net.loss_and_gradients(NUMBERS, LABELS, threads=threads),
        lambda: net.evaluate(NUMBERS, LABELS, threads=threads),
        lambda: fc.Trainer(net, threads=threads),
    ):
        with pytest.raises(RangeError, match="threads: expected a positive integer or None, got"):
            call()


@pytest.mark.parametrize("threads", [1000, 2**31, 2**70])
def test_more_threads_than_there_is_work_for_do_not_matter(threads):
    net = vector_network()
    np.testing.assert_array_equal(net.forward(NUMBERS, threads=threads), net.forward(NUMBERS, threads=1))


# The optimiser's and the trainer's arguments


@pytest.mark.parametrize(
    "rate",
    [0, 0.0, -1, -0.1, np.nan, np.inf, -np.inf, None, "0.1", True, 1j, [0.1], 10**400],
    ids=lambda rate: repr(rate)[:9],
)
def test_a_learning_rate_is_positive_and_finite(rate):
    with pytest.raises(RangeError, match="SGD: the learning rate must be positive and finite, got"):
        fc.SGD(rate)


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf, None, "0.1"], ids=repr)
def test_a_learning_rate_that_goes_bad_later_stops_before_its_update(rate):
    net = vector_network()
    trainer = fc.Trainer(net, optimizer=fc.SGD(lambda update: 0.1 if update < 5 else rate), batch_size=4)
    with pytest.raises(RangeError, match="the learning rate must be positive and finite, got"):
        trainer.fit(NUMBERS, LABELS, updates=20)
    assert trainer.updates <= 5
    expected = fc.Trainer(vector_network(), optimizer=fc.SGD(0.1), batch_size=4)
    if trainer.updates:
        expected.fit(NUMBERS, LABELS, updates=trainer.updates)
    assert net.parameters.tobytes() == expected.net.parameters.tobytes()


@pytest.mark.parametrize("batch_size", [0, -1, np.nan, np.inf, None, "0.1", 1.0, True], ids=repr)
def test_a_batch_size_is_a_positive_integer(batch_size):
    with pytest.raises(RangeError, match="Trainer: batch_size: expected a positive integer, got"):
        fc.Trainer(vector_network(), batch_size=batch_size)


@pytest.mark.parametrize("sampling", ["upsample", None, "", True, 3], ids=repr)
def test_the_sampling_is_a_known_one(sampling):
    with pytest.raises(RangeError, match=r"Trainer: sampling is .*shuffle.*undersample.*balance.*, got"):
        fc.Trainer(vector_network(), sampling=sampling)


@pytest.mark.parametrize("seed", [-1, 1.0, None, "0", True], ids=repr)
def test_the_seed_is_an_integer(seed):
    with pytest.raises(RangeError, match="Trainer: seed is an integer >= 0, got"):
        fc.Trainer(vector_network(), seed=seed)


@pytest.mark.parametrize("optimizer", [0.1, "sgd", fc.SGD], ids=repr)
def test_the_optimizer_is_a_description(optimizer):
    with pytest.raises(DTypeError, match="Trainer: expected an optimizer, got"):
        fc.Trainer(vector_network(), optimizer=optimizer)


@pytest.mark.parametrize("loss", ["crossentropy", 3, fc.SoftmaxCrossEntropy], ids=repr)
def test_the_loss_is_a_description(loss):
    net = vector_network()
    for call in (
        lambda: fc.Trainer(net, loss=loss).fit(NUMBERS, LABELS, updates=1),
        lambda: net.loss_and_gradients(NUMBERS, LABELS, loss=loss),
        lambda: net.evaluate(NUMBERS, LABELS, loss=loss),
    ):
        with pytest.raises(TypeError, match="loss"):
            call()


def test_the_trainer_s_network_is_a_network():
    with pytest.raises(TypeError, match="Trainer"):
        fc.Trainer("network")


@pytest.mark.parametrize("arguments", [{}, {"epochs": 1, "updates": 1}], ids=["neither", "both"])
def test_fit_is_given_epochs_or_updates(arguments):
    with pytest.raises(RangeError, match="fit: give either epochs or updates"):
        fc.Trainer(vector_network()).fit(NUMBERS, LABELS, **arguments)


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, np.nan], ids=repr)
@pytest.mark.parametrize("name", ["epochs", "updates", "evaluate_every"])
def test_epochs_updates_and_evaluate_every_are_positive_integers(name, value):
    arguments = {"updates": 2, name: value} if name == "evaluate_every" else {name: value}
    with pytest.raises(RangeError, match=f"fit: {name}: expected a positive integer, got"):
        fc.Trainer(vector_network()).fit(NUMBERS, LABELS, **arguments)


SAMPLES = {
    "out of range": ([0, 10], RangeError),
    "negative": ([-1, 0], RangeError),
    "none": ([], RangeError),
    "two-dimensional": ([[0, 1]], RangeError),
    "a mask": (LABELS == 0, DTypeError),
    "no integers": ([0.5, 1.5], DTypeError),
    "words": (["0"], DTypeError),
}


@pytest.mark.parametrize("rows, error", SAMPLES.values(), ids=SAMPLES)
def test_a_sampling_function_gives_rows(rows, error):
    net = vector_network()
    before = net.parameters.tobytes()
    trainer = fc.Trainer(net, batch_size=4, sampling=lambda labels, rng: np.array(rows))
    with pytest.raises(error, match="fit: sampling gave"):
        trainer.fit(NUMBERS, LABELS, updates=2)
    assert net.parameters.tobytes() == before
    assert trainer.updates == 0


# Nothing is computed or changed by a call that is refused

X2, Y2 = NUMBERS[:7], LABELS[:7]
REFUSED_CALLS = {
    "label": lambda trainer: trainer.fit(NUMBERS, changed(LABELS, 0, 9), updates=3),
    "lengths": lambda trainer: trainer.fit(NUMBERS, LABELS[:9], updates=3),
    "shape": lambda trainer: trainer.fit(NUMBERS[:, :2], LABELS, updates=3),
    "empty": lambda trainer: trainer.fit(NUMBERS[:0], LABELS[:0], updates=3),
    "updates": lambda trainer: trainer.fit(NUMBERS, LABELS, updates=0),
    "updates, other data": lambda trainer: trainer.fit(X2, Y2, updates=0),
    "evaluate_every, other data": lambda trainer: trainer.fit(X2, Y2, updates=3, evaluate_every=0),
    "both, other data": lambda trainer: trainer.fit(X2, Y2, updates=3, epochs=1),
    "weights": lambda trainer: trainer.fit(NUMBERS, LABELS, updates=3, sample_weight=np.full(10, np.nan)),
    "callbacks, other data": lambda trainer: trainer.fit(X2, Y2, updates=3, callbacks=7),
    "validation labels": lambda trainer: trainer.fit(X2, Y2, updates=3, validation=(X2, changed(Y2, 0, 9))),
    "validation shape": lambda trainer: trainer.fit(X2, Y2, updates=3, validation=(X2[:, :2], Y2)),
    "validation empty": lambda trainer: trainer.fit(X2, Y2, updates=3, validation=(X2[:0], Y2[:0])),
    "validation without labels": lambda trainer: trainer.fit(X2, Y2, updates=3, validation=(X2,)),
    "validation alone": lambda trainer: trainer.fit(X2, Y2, updates=3, validation=X2),
}


@pytest.mark.parametrize("call", REFUSED_CALLS.values(), ids=REFUSED_CALLS)
def test_a_refused_call_of_fit_changes_nothing(call):
    trainers = [fc.Trainer(vector_network(), optimizer=fc.SGD(0.1, momentum=0.9), batch_size=4) for _ in range(2)]
    for trainer in trainers:
        trainer.fit(NUMBERS, LABELS, updates=4)  # the second epoch has begun
    with pytest.raises((ValueError, TypeError)):
        call(trainers[0])
    assert trainers[0].updates == 4
    assert len(trainers[0].history.records) == len(trainers[1].history.records)
    for trainer in trainers:
        trainer.fit(NUMBERS, LABELS, updates=5)
    assert trainers[0].net.parameters.tobytes() == trainers[1].net.parameters.tobytes()
    assert trainers[0].velocity.tobytes() == trainers[1].velocity.tobytes()
    assert trainers[0].history.batch_losses == trainers[1].history.batch_losses


def test_bad_validation_codes_are_found_before_the_first_update():
    net = names_network()
    before = net.parameters.tobytes()
    trainer = fc.Trainer(net, batch_size=4)
    with pytest.raises(ValueError, match="codes must lie in"):
        trainer.fit(CODES, LABELS, updates=2, validation=(changed(CODES, (0, 0), DEPTH), LABELS))
    assert trainer.updates == 0
    assert net.parameters.tobytes() == before
    assert trainer.history.batch_losses == []


def test_numbers_beyond_float32_are_named():
    net = vector_network()
    with pytest.raises(RangeError, match="forward: x holds numbers beyond float32"):
        net.forward(np.full((1, 4), 1e300))
    with pytest.raises(RangeError, match="sample_weight holds numbers beyond float32"):
        net.loss_and_gradients(NUMBERS, LABELS, sample_weight=np.full(len(LABELS), 1e300))
