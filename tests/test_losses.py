"""Every loss: its twin, outside truth, numerical gradients, soft targets, and L2 in the cost."""

import inspect

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn import metrics
from sklearn.svm import SVC

import fastconv as fc
from fastconv import engine, functional
from fastconv.engine import cpu
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.reference import learning as twin

LOSSES = {
    "cross-entropy": fc.SoftmaxCrossEntropy(),
    "smoothed": fc.SoftmaxCrossEntropy(label_smoothing=0.2),
    "focal": fc.FocalLoss(),
    "focal, gamma 0.5": fc.FocalLoss(0.5),
    "focal, gamma 0": fc.FocalLoss(0),
    "squared error": fc.MeanSquaredError(),
    "hinge": fc.MultiClassHinge(),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
FUNCTIONS = {
    "cross-entropy": functional.softmax_cross_entropy,
    "smoothed": lambda *given: functional.softmax_cross_entropy(*given, label_smoothing=0.2),
    "focal": functional.focal_loss,
    "focal, gamma 0.5": lambda *given: functional.focal_loss(*given, gamma=0.5),
    "focal, gamma 0": lambda *given: functional.focal_loss(*given, gamma=0),
    "squared error": functional.mean_squared_error,
    "hinge": functional.multi_class_hinge,
}
TWINS = {
    "cross-entropy": lambda z, t, weight: twin.focal_loss(z, t, 0, weight),
    "smoothed": lambda z, t, weight: twin.focal_loss(z, twin.smoothed(t, 0.2), 0, weight),
    "focal": lambda z, t, weight: twin.focal_loss(z, t, 2, weight),
    "focal, gamma 0.5": lambda z, t, weight: twin.focal_loss(z, t, 0.5, weight),
    "focal, gamma 0": lambda z, t, weight: twin.focal_loss(z, t, 0, weight),
    "squared error": twin.mean_squared_error,
    "hinge": twin.multi_class_hinge,
}
every_name = pytest.mark.parametrize("name", LOSSES)
MIXING = [name for name in LOSSES if name != "squared error"]
"""The losses of which a mixture's is the mixture."""


def outputs_and_labels(n=40, classes=5, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(n, classes)).astype(dtype), rng.integers(0, classes, n)


def mixtures(n, classes, dtype="float64", seed=1):
    rows = np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), n)
    rows[::3, 0] = 0  # neither must sum to 1 nor be positive everywhere
    return rows.astype(dtype)


def changed(loss, **settings):
    """The same loss with other settings, of those that it has."""
    names = inspect.signature(type(loss)).parameters
    return type(loss)(**{name: settings.get(name, getattr(loss, name)) for name in names})


def read_only(array):
    array.flags.writeable = False
    return array


def network(dtype="float64", units=5, bias=True):
    layers = [fc.Dense(6, bias=bias), fc.Dense(units, bias=bias)]
    net = fc.Sequential(layers, input=fc.VectorInput(3), dtype=dtype, seed=1)
    for name, array in net.params.items():
        if name.endswith("b"):
            array[...] = np.linspace(-1, 1, array.size)
    return net


# The kernels


@every_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 5, 16, 35])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_loss_and_its_gradient_are_the_twin_s(level, name, dtype, classes, soft, weighted):
    z, labels = outputs_and_labels(23, classes, dtype)
    y = mixtures(23, classes, dtype) if soft else labels
    weight = np.random.default_rng(2).uniform(0, 3, 23).astype(dtype) if weighted else None
    found, gradient = FUNCTIONS[name](read_only(z), read_only(y), weight)
    t = y if soft else twin.one_hot(labels, classes)
    expected, expected_gradient = TWINS[name](z.astype(np.float64), t.astype(np.float64), weight)
    tolerance = 100 * float(np.finfo(dtype).eps)
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected_gradient, rtol=tolerance, atol=tolerance)


@every_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
def test_every_level_and_number_of_threads_gives_the_same_bits(monkeypatch, name, dtype, soft):
    z, labels = outputs_and_labels(1000, 11, dtype)
    y = mixtures(1000, 11, dtype) if soft else labels
    found = set()
    for level in cpu.supported():
        monkeypatch.setattr(engine, "Program", engine.load(level).Program)
        for threads in (1, 2, 3):
            loss, gradient = functional.run_loss(LOSSES[name], z, *arrays(name, z, y), threads)
            found.add((loss, gradient.tobytes()))
    assert len(found) == 1


def arrays(name, z, y):
    return LOSSES[name].arrays(y, *z.shape, z.dtype, None, "test")


@every_name
def test_the_gradient_by_the_outputs_is_that_of_differences(name):
    z, labels = outputs_and_labels(7, 4)
    for y in (labels, mixtures(7, 4)):
        _, gradient = FUNCTIONS[name](z, y)
        for index in np.ndindex(*z.shape):
            step = np.zeros_like(z)
            step[index] = 1e-6
            difference = (FUNCTIONS[name](z + step, y)[0] - FUNCTIONS[name](z - step, y)[0]) / 2e-6
            assert gradient[index] == pytest.approx(difference, rel=1e-6, abs=1e-9)


@every_loss
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_networks_pass_the_gradient_check(loss, soft, l2):
    (_, labels), x = outputs_and_labels(9), np.random.default_rng(3).normal(size=(9, 3))
    loss = changed(loss, class_weight=[1, 2, 0.5, 3, 1], l2=l2)
    checked = fc.gradcheck(network(), x, mixtures(9, 5) if soft else labels, loss)
    assert max(checked.values()) <= 1e-7


# Outside truth


def test_no_focus_is_cross_entropy():
    z, labels = outputs_and_labels()
    found, gradient = functional.focal_loss(z, labels, gamma=0)
    assert found == pytest.approx(metrics.log_loss(labels, softmax(z, axis=1), labels=range(5)), rel=1e-12)
    np.testing.assert_allclose(gradient, functional.softmax_cross_entropy(z, labels)[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.5, 1, 2, 5])
def test_the_focal_loss_is_its_formula(gamma):
    z, labels = outputs_and_labels()
    log_p = log_softmax(z, axis=1)[np.arange(len(z)), labels]
    expected = np.mean(-((1 - np.exp(log_p)) ** gamma) * log_p)
    assert functional.focal_loss(z, labels, gamma=gamma)[0] == pytest.approx(expected, rel=1e-12)


def test_the_squared_error_is_scikit_learn_s():
    z, labels = outputs_and_labels()
    t, weight = np.random.default_rng(4).normal(size=z.shape), np.random.default_rng(5).uniform(size=len(z))
    assert functional.mean_squared_error(z, t)[0] == pytest.approx(metrics.mean_squared_error(t, z), rel=1e-12)
    assert functional.mean_squared_error(z, labels)[0] == pytest.approx(
        metrics.mean_squared_error(np.eye(5)[labels], z), rel=1e-12
    )
    mean = metrics.mean_squared_error(t, z, sample_weight=weight)
    assert functional.mean_squared_error(z, t, weight)[0] == pytest.approx(mean * weight.mean(), rel=1e-12)


def test_the_hinge_of_two_classes_is_scikit_learn_s():
    z, labels = outputs_and_labels(classes=2)
    found, _ = functional.multi_class_hinge(z, labels)
    assert found == pytest.approx(metrics.hinge_loss(labels, z[:, 1] - z[:, 0]), rel=1e-12)


def test_a_dense_layer_with_the_hinge_is_a_support_vector_machine():
    """Of two classes: w = w_1 - w_0 costs C sum of hinges + |w|^2 / 2, for l2 = 1 / (N C) and w_0 = -w_1 = -w / 2."""
    rng, c = np.random.default_rng(6), 0.5
    x = np.concatenate([rng.normal(-0.7, 1, (40, 2)), rng.normal(0.7, 1, (40, 2))])
    y = np.repeat([0, 1], 40)
    net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(2), dtype="float64")
    loss = fc.MultiClassHinge(l2=1 / (80 * c))
    fc.Trainer(net, loss, fc.SGD(fc.schedules.Cosine(0.1, 4000)), batch_size=80, threads=1).fit(x, y, updates=4000)
    machine = SVC(C=c, kernel="linear", tol=1e-8).fit(x, y)
    net_w, net_b = net.params["0.w"], net.params["0.b"]
    np.testing.assert_allclose(net_w[:, 1] - net_w[:, 0], machine.coef_[0], rtol=0.01)
    np.testing.assert_allclose(net_b[1] - net_b[0], machine.intercept_[0], atol=0.01)
    cost = np.mean(np.maximum(0, 1 - (2 * y - 1) * machine.decision_function(x))) + np.sum(machine.coef_**2) / (160 * c)
    assert net.evaluate(x, y, loss)[0] == pytest.approx(cost, rel=1e-6)


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
def test_losses_and_gradients_are_pytorch_s(soft):
    torch = pytest.importorskip("torch")
    z, labels = outputs_and_labels()
    y = twin.one_hot(labels, 5) if not soft else np.random.default_rng(7).dirichlet(np.ones(5), len(z))
    t = torch.tensor(y if soft else labels)
    f = torch.nn.functional

    def focal(logits, target):
        log_p = f.log_softmax(logits, 1)
        return -(torch.tensor(y) * (1 - log_p.exp()) ** 2 * log_p).sum(1).mean()

    pairs = [
        (functional.softmax_cross_entropy, f.cross_entropy),
        (FUNCTIONS["smoothed"], lambda logits, target: f.cross_entropy(logits, target, label_smoothing=0.2)),
        (functional.focal_loss, focal),
        (functional.mean_squared_error, lambda logits, target: f.mse_loss(logits, torch.tensor(y))),
    ]
    if not soft:
        pairs.append((functional.multi_class_hinge, lambda *given: 5 * f.multi_margin_loss(*given)))
    for mine, theirs in pairs:
        logits = torch.tensor(z, requires_grad=True)
        expected = theirs(logits, t)
        expected.backward()
        found, gradient = mine(z, y if soft else labels)
        assert found == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(gradient, logits.grad.numpy(), rtol=1e-10, atol=1e-14)


# At the ends of the range


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_a_certain_prediction_has_no_focal_loss(dtype, gamma):
    loss, gradient = functional.focal_loss(np.array([[1e4, 0, 0]], dtype), [0], gamma=gamma)
    assert loss == 0 and not gradient.any()


@pytest.mark.parametrize("name", MIXING)
def test_a_single_class_is_always_right(name):
    loss, gradient = FUNCTIONS[name](np.array([[3.0], [-2.0]]), [0, 0])
    assert abs(loss) < 1e-15 and np.abs(gradient).max() < 1e-15


def test_a_certain_error_costs_its_logit():
    for gamma in (0, 2):
        loss, gradient = functional.focal_loss(np.array([[1e4, 0, 0]]), [1], gamma=gamma)
        assert loss == 1e4
        assert gradient.tolist() == [[1, -1, 0]]
    assert functional.multi_class_hinge(np.array([[1e4, 0, 0]]), [1])[0] == 1e4 + 2


@every_name
@pytest.mark.parametrize("place", [0, 1])
def test_a_nan_is_not_hidden(name, place):
    z = np.zeros((1, 3))
    z[0, place] = np.nan
    assert np.isnan(FUNCTIONS[name](z, [0])[0])
    assert np.isnan(FUNCTIONS[name](z, [[0.5, 0.5, 0]])[0])


def test_a_margin_of_exactly_one_costs_nothing():
    loss, gradient = functional.multi_class_hinge([[1.0, 0.0, -1.0]], [0])
    assert loss == 0 and not gradient.any()


# Soft targets


@every_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot_rows_are_labels_to_the_bit(name, dtype):
    z, labels = outputs_and_labels(dtype=dtype)
    by_labels, by_rows = FUNCTIONS[name](z, labels), FUNCTIONS[name](z, np.eye(5, dtype=int)[labels])
    assert by_labels[0] == by_rows[0]
    np.testing.assert_array_equal(by_labels[1], by_rows[1])


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("class_weight", [None, [1, 2, 0.5, 0, 3]], ids=["plain", "weighted"])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(name, class_weight):
    x, rng = np.random.default_rng(8).normal(size=(30, 3)), np.random.default_rng(9)
    a, b, share = rng.integers(0, 5, 30), rng.integers(0, 5, 30), rng.uniform(size=30)
    loss, net, eye = changed(LOSSES[name], class_weight=class_weight), network(), np.eye(5)
    mixed = share[:, None] * eye[a] + (1 - share)[:, None] * eye[b]
    found, gradients = net.loss_and_gradients(x, mixed, loss)
    first = net.loss_and_gradients(x, a, loss, sample_weight=share)
    second = net.loss_and_gradients(x, b, loss, sample_weight=1 - share)
    assert found == pytest.approx(first[0] + second[0], rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, first[1][key] + second[1][key], rtol=1e-10, atol=1e-14)


def test_hits_are_counted_by_the_largest_target_whatever_the_weights():
    x, labels = np.random.default_rng(10).normal(size=(50, 3)), np.random.default_rng(11).integers(0, 5, 50)
    soft = 0.6 * np.eye(5)[labels] + 0.4 * np.eye(5)[(labels + 1) % 5]
    loss = fc.SoftmaxCrossEntropy(class_weight=[1, 9, 1, 9, 1])
    net = network()
    expected = np.mean(net.predict(x) == labels)
    assert 0 < expected < 1
    assert net.evaluate(x, soft, loss)[1] == expected
    history = fc.Trainer(net, loss, fc.SGD(1e-300), batch_size=50).fit(
        x, soft, updates=1, validation=(x, soft), sample_weight=np.full(50, 2)
    )
    assert history["train_accuracy"].tolist() == history["validation_accuracy"].tolist() == [expected]
    assert history["train_loss"][0] == pytest.approx(2 * history["validation_loss"][0], rel=1e-12)


def test_balanced_counts_shares_of_soft_targets():
    soft = np.array([[0.75, 0.25], [1, 0], [0.25, 0.75]])
    assert fc.FocalLoss(class_weight="balanced").resolve(soft, 2).class_weight.tolist() == [3 / (2 * 2), 3 / 2]


def test_training_takes_soft_targets_in_any_order():
    x, labels = np.random.default_rng(12).normal(size=(40, 3)), np.random.default_rng(13).integers(0, 5, 40)
    hard, soft = network(), network()
    fc.Trainer(hard, batch_size=7, seed=3).fit(x, labels, updates=20)
    fc.Trainer(soft, batch_size=7, seed=3).fit(x, np.eye(5)[labels], updates=20)
    assert hard.parameters.tobytes() == soft.parameters.tobytes()


def test_regression_learns_numbers():
    x = np.random.default_rng(14).normal(size=(60, 3))
    y = x @ [[1.0, -2], [0, 3], [0.5, 0]] + [0.1, -5]
    net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3), dtype="float64")
    fc.Trainer(net, fc.MeanSquaredError(), fc.SGD(0.2), batch_size=60).fit(x, y, updates=300)
    np.testing.assert_allclose(net.forward(x), y, atol=1e-6)


# L2 in the cost


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_l2_adds_the_squares_of_the_weights_and_twice_the_weights_to_the_gradient(level, loss, dtype):
    (_, labels), x = outputs_and_labels(), np.random.default_rng(15).normal(size=(40, 3))
    net, with_l2 = network(dtype), changed(loss, l2=0.25)
    plain, gradients = net.loss_and_gradients(x, labels, loss)
    found, found_gradients = net.loss_and_gradients(x, labels, with_l2)
    squares = sum(np.sum(net.params[name].astype(np.float64) ** 2) for name in ("0.w", "1.w"))
    tolerance = 10 * float(np.finfo(dtype).eps)
    assert found == pytest.approx(plain + 0.25 * squares, rel=tolerance)
    assert net.evaluate(x, labels, with_l2)[0] == pytest.approx(found, rel=tolerance)
    for name, gradient in gradients.items():
        added = 0.5 * net.params[name] if name.endswith("w") else 0  # biases are spared
        np.testing.assert_allclose(found_gradients[name], gradient + added, rtol=tolerance, atol=tolerance)


def test_neither_l2_nor_weight_decay_touches_what_normalises():
    layers = [fc.Conv2D(3, 3), fc.BatchNorm(), fc.ReLU(), fc.Flatten(), fc.Dense(2)]
    net = fc.Sequential(layers, input=fc.ImageInput(5, 5, 2), dtype="float64")
    net.params["1.gamma"][...], net.params["1.beta"][...] = 2, 3
    x, y = np.random.default_rng(19).normal(size=(8, 5, 5, 2)), np.arange(8) % 2
    _, plain = net.loss_and_gradients(x, y)
    _, found = net.loss_and_gradients(x, y, fc.SoftmaxCrossEntropy(l2=0.5))
    for name in ("0.b", "1.gamma", "1.beta", "4.b"):
        np.testing.assert_array_equal(found[name], plain[name])
    for name in ("0.w", "4.w"):
        np.testing.assert_allclose(found[name], plain[name] + net.params[name], rtol=1e-12)
    kept = {name: net.params[name].copy() for name in plain}
    fc.Trainer(net, optimizer=fc.SGD(0.1, weight_decay=0.5), batch_size=8).fit(x, y, updates=1, sample_weight=0 * y)
    for name, before in kept.items():
        shrunk = 0.95 if name.endswith("w") else 1
        np.testing.assert_allclose(net.params[name], shrunk * before, rtol=1e-14)


def test_the_cost_of_an_update_is_that_of_the_weights_before_it():
    (_, labels), x = outputs_and_labels(), np.random.default_rng(16).normal(size=(40, 3))
    net, copy, loss = network(), network(), fc.SoftmaxCrossEntropy(l2=0.1)
    losses = fc.Trainer(net, loss, fc.SGD(0.1), batch_size=40, threads=1).fit(x, labels, updates=5).batch_losses
    for found in losses:
        expected, gradients = copy.loss_and_gradients(x, labels, loss)
        assert found == pytest.approx(expected, rel=1e-12)
        copy.parameters -= 0.1 * np.concatenate([gradients[name].ravel() for name in copy.params])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_l2_has_the_same_bits_on_any_number_of_threads(dtype):
    x = np.random.default_rng(17).integers(0, 28, (700, 19)).astype(np.int16)
    y = np.random.default_rng(18).integers(0, 18, 700)
    found = set()
    for threads in (1, 2, 3, 8):
        net = fc.models.surname_convnet(28, 19, 18, (20, 90), (5, 3), dtype=dtype)
        trainer = fc.Trainer(net, fc.FocalLoss(l2=0.01), fc.SGD(0.1, 0.9), batch_size=350, threads=threads)
        trainer.fit(x, y, updates=6)
        found.add((net.parameters.tobytes(), tuple(trainer.history.batch_losses)))
    assert len(found) == 1


def test_a_cost_that_is_infinite_because_of_the_weights_is_not_learnt():
    net = network()
    net.params["0.w"][...] = 1e200
    before = net.parameters.tobytes()
    with pytest.raises(fc.errors.NonFiniteLossError):
        fc.Trainer(net, fc.SoftmaxCrossEntropy(l2=1), batch_size=4).fit(np.zeros((4, 3)), np.zeros(4, int), updates=1)
    assert net.parameters.tobytes() == before


# What is refused


@every_loss
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([[1, 0, 0, 0]] * 2, ShapeError, r"x has 2 samples, y has shape \(2, 4\), expected \(2,\) or \(2, 5\)"),
        ([[1, 0, 0, 0, 0]], ShapeError, r"x has 2 samples, y has shape \(1, 5\)"),
        ([[1, 0, 0, 0, np.nan]] * 2, RangeError, "expected finite targets"),
        ([[1, 0, 0, 0, np.inf]] * 2, RangeError, "expected finite targets"),
        ([["1", "0", "0", "0", "0"]] * 2, DTypeError, "expected y of numbers"),
        ([5, 0], RangeError, r"label 5 at index 0 is outside 0\.\.4"),
        ([0.5, 0], DTypeError, "expected labels of an integer dtype"),
    ],
    ids=range(7),
)
def test_targets_that_do_not_fit_are_named(loss, y, error, message):
    with pytest.raises(error, match=f"^loss_and_gradients: .*{message}"):
        network().loss_and_gradients(np.zeros((2, 3)), y, loss)


@pytest.mark.parametrize("name", MIXING)
def test_shares_are_not_negative(name):
    with pytest.raises(RangeError, match="loss_and_gradients: expected finite targets >= 0"):
        network().loss_and_gradients(np.zeros((1, 3)), [[0.5, -0.1, 0, 0, 0.6]], LOSSES[name])


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, None, "1", True], ids=repr)
def test_settings_are_finite_and_not_negative(value):
    for kind in (fc.SoftmaxCrossEntropy, fc.FocalLoss, fc.MeanSquaredError, fc.MultiClassHinge):
        with pytest.raises(RangeError, match=f"{kind.__name__}: l2 is a finite number >= 0, got"):
            kind(l2=value)
    with pytest.raises(RangeError, match="FocalLoss: gamma is a finite number >= 0, got"):
        fc.FocalLoss(value)


@pytest.mark.parametrize("kind", [fc.FocalLoss, fc.MultiClassHinge])
def test_class_weights_are_checked_for_every_loss(kind):
    with pytest.raises(RangeError, match=f"{kind.__name__}: class_weight must be one finite number"):
        kind(class_weight=[1, -1])
    with pytest.raises(ShapeError, match=f"{kind.__name__}: class_weight has 2 entries, expected 5"):
        network().loss_and_gradients(np.zeros((1, 3)), np.eye(5)[:1], kind(class_weight=[1, 1]))


def test_a_loss_shows_its_settings():
    assert repr(fc.SoftmaxCrossEntropy("balanced", 0.1)) == (
        "SoftmaxCrossEntropy(class_weight='balanced', label_smoothing=0.1, l2=0.0)"
    )
    assert repr(fc.FocalLoss(1)) == "FocalLoss(gamma=1.0, class_weight=None, l2=0.0)"
    assert repr(fc.MeanSquaredError(0.5)) == "MeanSquaredError(l2=0.5)"
