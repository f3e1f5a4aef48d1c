"""Losses against scikit-learn and direct formulas, and the optimiser's description."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

import fastconv as fc
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.imbalance import balanced_weights

CLASSES = 5


@pytest.fixture
def labelled():
    """Labels of unequal frequency, with inputs."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.choice(CLASSES, 40, p=[0.5, 0.2, 0.15, 0.1, 0.05])


@pytest.fixture
def net():
    net = fc.Sequential([fc.Dense(CLASSES)], input=fc.VectorInput(3), dtype="float64", seed=1)
    net.params["0.b"][...] = np.linspace(-1, 1, CLASSES)
    return net


def central_differences(net, value, step=1e-5):
    """Return the derivative of value() by every parameter."""
    found = np.empty_like(net.parameters)
    for i, p in enumerate(net.parameters.copy()):
        net.parameters[i] = p + step
        above = value()
        net.parameters[i] = p - step
        below = value()
        net.parameters[i] = p
        found[i] = (above - below) / (2 * step)
    return found


def flat(net, gradients):
    return np.concatenate([gradients[name].ravel() for name in net.params])


# Cross-entropy


def test_loss_is_scikit_learn_s_log_loss(net, labelled):
    x, y = labelled
    expected = log_loss(y, net.predict_proba(x), labels=range(CLASSES))
    assert net.loss_and_gradients(x, y)[0] == pytest.approx(expected, rel=1e-12)
    assert net.evaluate(x, y)[0] == pytest.approx(expected, rel=1e-12)


def test_a_weighted_loss_is_divided_by_the_number_of_samples_not_by_the_weights(net, labelled):
    x, y = labelled
    weight = np.random.default_rng(1).uniform(0, 4, len(y))
    mean = log_loss(y, net.predict_proba(x), labels=range(CLASSES), sample_weight=weight)
    found = net.loss_and_gradients(x, y, sample_weight=weight)[0]
    assert found == pytest.approx(mean * weight.sum() / len(y), rel=1e-12)


def test_class_weights_are_sample_weights_by_label(net, labelled):
    x, y = labelled
    class_weight, weight = np.array([0.5, 1, 2, 0, 3]), np.random.default_rng(2).uniform(size=len(y))
    loss = fc.SoftmaxCrossEntropy(class_weight=class_weight)
    np.testing.assert_array_equal(loss.sample_weights(y, CLASSES), class_weight[y])
    np.testing.assert_allclose(loss.sample_weights(y, CLASSES, weight), class_weight[y] * weight, rtol=1e-15)
    found = net.loss_and_gradients(x, y, loss=loss, sample_weight=weight)
    expected = net.loss_and_gradients(x, y, sample_weight=class_weight[y] * weight)
    assert found[0] == pytest.approx(expected[0], rel=1e-14)
    np.testing.assert_allclose(flat(net, found[1]), flat(net, expected[1]), rtol=1e-12)


def test_without_weights_every_sample_counts_as_one(labelled):
    _, y = labelled
    assert fc.SoftmaxCrossEntropy().sample_weights(y, CLASSES) is None


def test_balanced_weights_are_scikit_learn_s(net, labelled):
    x, y = labelled
    assert len(np.unique(y)) == CLASSES
    expected = compute_class_weight("balanced", classes=np.arange(CLASSES), y=y)
    np.testing.assert_allclose(balanced_weights(np.bincount(y)), expected, rtol=1e-15)
    loss = fc.SoftmaxCrossEntropy(class_weight="balanced")
    np.testing.assert_allclose(loss.sample_weights(y, CLASSES), expected[y], rtol=1e-15)
    mean = log_loss(y, net.predict_proba(x), labels=range(CLASSES), sample_weight=expected[y])
    assert net.evaluate(x, y, loss=loss)[0] == pytest.approx(mean, rel=1e-12)  # the weights sum to N


def test_balanced_is_resolved_once_by_the_labels_at_hand(labelled):
    _, y = labelled
    loss = fc.SoftmaxCrossEntropy(class_weight="balanced", label_smoothing=0.1)
    fixed = loss.resolve(y, CLASSES)
    np.testing.assert_array_equal(fixed.class_weight, balanced_weights(np.bincount(y)))
    assert fixed.label_smoothing == 0.1
    assert fixed.resolve(y[:3], CLASSES) is fixed
    assert loss.class_weight == "balanced"


def test_a_class_without_samples_has_weight_zero_and_the_others_share():
    np.testing.assert_allclose(balanced_weights([30, 0, 10]), [2 / 3, 0, 2])
    np.testing.assert_allclose(
        balanced_weights([30, 0, 10])[[0, 2]],
        compute_class_weight("balanced", classes=np.array([0, 2]), y=[0] * 30 + [2] * 10),
    )
    assert balanced_weights([0, 0]).tolist() == [0, 0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_spreads_the_target_evenly(net, labelled, smoothing, weighted):
    x, y = labelled
    weight = np.random.default_rng(3).uniform(0, 2, len(y)) if weighted else None
    target = (1 - smoothing) * np.eye(CLASSES)[y] + smoothing / CLASSES
    cross_entropy = -(target * log_softmax(net.forward(x), axis=1)).sum(axis=1)
    expected = np.mean(cross_entropy * (1 if weight is None else weight))
    loss = fc.SoftmaxCrossEntropy(label_smoothing=smoothing)
    assert net.loss_and_gradients(x, y, loss=loss, sample_weight=weight)[0] == pytest.approx(expected, rel=1e-12)
    assert net.evaluate(x, y, loss=loss, sample_weight=weight)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("class_weight", [None, "balanced", [1, 2, 0, 4, 0.5]], ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_those_of_scikit_learn_s_loss(net, labelled, class_weight, smoothing, weighted):
    x, y = labelled
    weight = np.random.default_rng(4).uniform(0, 2, len(y)) if weighted else np.ones(len(y))
    if class_weight is not None:
        per_class = balanced_weights(np.bincount(y)) if isinstance(class_weight, str) else np.array(class_weight)
        weight = weight * per_class[y]
    # smoothed cross-entropy is the weighted log loss of every class, each sample standing there once for each
    many = np.repeat(np.arange(len(y)), CLASSES)
    shares = ((1 - smoothing) * np.eye(CLASSES)[y] + smoothing / CLASSES).ravel() * weight[many]

    def value():
        probabilities = net.predict_proba(x)[many]
        every_label = np.tile(np.arange(CLASSES), len(y))
        return log_loss(every_label, probabilities, sample_weight=shares, normalize=False) / len(y)

    loss = fc.SoftmaxCrossEntropy(class_weight, smoothing)
    sample_weight = np.random.default_rng(4).uniform(0, 2, len(y)) if weighted else None
    found, gradients = net.loss_and_gradients(x, y, loss=loss, sample_weight=sample_weight)
    assert found == pytest.approx(value(), rel=1e-12)
    np.testing.assert_allclose(flat(net, gradients), central_differences(net, value), rtol=1e-6, atol=1e-9)


def test_the_gradient_of_samples_without_weight_is_zero(net, labelled):
    x, y = labelled
    weight = (np.arange(len(y)) < 10).astype(float)
    _, some = net.loss_and_gradients(x, y, sample_weight=weight)
    _, few = net.loss_and_gradients(x[:10], y[:10])
    np.testing.assert_allclose(flat(net, some), flat(net, few) * 10 / len(y), rtol=1e-12, atol=1e-15)
    loss, none = net.loss_and_gradients(x, y, sample_weight=np.zeros(len(y)))
    assert loss == 0 and not flat(net, none).any()


def test_large_logits_do_not_overflow(net):
    net.parameters[:] = 0
    net.params["0.b"][...] = [1e4, 0, 0, 0, 0]
    loss, gradients = net.loss_and_gradients(np.zeros((1, 3)), [1])
    assert loss == 1e4
    assert gradients["0.b"].tolist() == [1, -1, 0, 0, 0]


@pytest.mark.parametrize("weight", [True, 2, np.float32(0.5)], ids=repr)
def test_sample_weights_may_be_any_real_numbers(net, labelled, weight):
    x, y = labelled
    found = net.loss_and_gradients(x, y, sample_weight=np.full(len(y), weight))[0]
    assert found == pytest.approx(float(weight) * net.loss_and_gradients(x, y)[0], rel=1e-12)


def test_the_given_class_weights_are_copied():
    weight = np.ones(3)
    loss = fc.SoftmaxCrossEntropy(weight)
    weight[0] = 7
    assert loss.class_weight.tolist() == [1, 1, 1]


@pytest.mark.parametrize("class_weight", ["Balanced", "", "auto"])
def test_the_only_word_for_class_weights_is_balanced(class_weight):
    with pytest.raises(RangeError, match="class_weight is 'balanced', an array or None, got"):
        fc.SoftmaxCrossEntropy(class_weight=class_weight)


@pytest.mark.parametrize("class_weight", [[1, -1], [1, np.nan], [np.inf, 1], [[1, 2]], 3.0], ids=str)
def test_class_weights_are_finite_and_not_negative(class_weight):
    with pytest.raises(RangeError, match="class_weight must be one finite number >= 0 a class"):
        fc.SoftmaxCrossEntropy(class_weight=class_weight)


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 2.0}, ["a", "b"], [1j, 1], [[1], [1, 2]]], ids=str)
def test_class_weights_are_numbers(class_weight):
    with pytest.raises(DTypeError, match="FocalLoss: class_weight is 'balanced', an array or None, got"):
        fc.FocalLoss(class_weight=class_weight)


def test_class_weights_are_one_a_class(net, labelled):
    x, y = labelled
    with pytest.raises(ShapeError, match="class_weight has 4 entries, expected 5"):
        net.loss_and_gradients(x, y, loss=fc.SoftmaxCrossEntropy([1, 2, 3, 4]))


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.0, np.nan, np.inf], ids=repr)
def test_label_smoothing_is_a_share(smoothing):
    with pytest.raises(RangeError, match=r"label_smoothing lies in \[0, 1\), got"):
        fc.SoftmaxCrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize(
    "weight, error, message",
    [
        (np.ones(39), ShapeError, r"expected shape \(40,\), got \(39,\)"),
        (np.ones((40, 1)), ShapeError, r"expected shape \(40,\), got \(40, 1\)"),
        (1.0, ShapeError, r"expected shape \(40,\), got \(\)"),
        (np.full(40, -1.0), RangeError, "finite numbers >= 0"),
        (np.full(40, np.nan), RangeError, "finite numbers >= 0"),
        (np.full(40, np.inf), RangeError, "finite numbers >= 0"),
        (["1"] * 40, DTypeError, "expected numbers, got dtype"),
        (np.ones(40, complex), DTypeError, "expected numbers, got dtype complex128"),
    ],
    ids=range(8),
)
def test_sample_weights_are_one_finite_number_a_sample(net, labelled, weight, error, message):
    with pytest.raises(error, match=f"sample_weight: .*{message}"):
        net.loss_and_gradients(*labelled, sample_weight=weight)


# SGD


def test_a_rate_is_a_number_or_a_function_of_the_update():
    assert [fc.SGD(0.5).rate(update) for update in (0, 7)] == [0.5, 0.5]
    assert [fc.SGD(lambda update: 1 / (1 + update)).rate(update) for update in (0, 3)] == [1, 0.25]
    assert isinstance(fc.SGD(np.float32(0.5)).rate(0), float)
    assert fc.SGD(1).rate(0) == 1
    assert repr(fc.SGD(0.1, momentum=0.9)) == "SGD(0.1, momentum=0.9)"


@pytest.mark.parametrize("momentum", [-0.1, 1, 1.0, np.nan, np.inf, None, "0.9", True], ids=repr)
def test_momentum_lies_below_one(momentum):
    with pytest.raises(RangeError, match=r"SGD: momentum lies in \[0, 1\), got"):
        fc.SGD(0.1, momentum=momentum)


@pytest.mark.parametrize("momentum", [0, 0.9, np.float64(0.9), np.float32(0.9)], ids=repr)
def test_momentum_may_be_any_real_number(momentum):
    assert fc.SGD(0.1, momentum=momentum).momentum == float(momentum)
