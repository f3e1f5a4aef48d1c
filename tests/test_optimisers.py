"""Every optimiser: its twin, PyTorch's, weight decay, and the same bits however training is cut up."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import engine, functional
from fastconv.engine import cpu
from fastconv.errors import RangeError, ShapeError
from fastconv.reference import learning as twin

SETTINGS = {
    "sgd": (fc.SGD, {}),
    "momentum": (fc.SGD, dict(momentum=0.9)),
    "nesterov": (fc.SGD, dict(momentum=0.9, nesterov=True)),
    "decaying sgd": (fc.SGD, dict(momentum=0.8, weight_decay=0.05)),
    "rmsprop": (fc.RMSprop, {}),
    "decaying rmsprop": (fc.RMSprop, dict(rho=0.7, momentum=0.6, eps=1e-3, weight_decay=0.05)),
    "adam": (fc.Adam, {}),
    "adam, other betas": (fc.Adam, dict(betas=(0.5, 0.8), eps=1e-4)),
    "adamw": (fc.AdamW, {}),
    "adamw, strong": (fc.AdamW, dict(weight_decay=0.5)),
}
every_optimiser = pytest.mark.parametrize(("kind", "settings"), SETTINGS.values(), ids=SETTINGS)
STATES = {"sgd": ("velocity",), "rmsprop": ("velocity", "square"), "adam": ("mean", "square")}


def function_of(kind):
    return "adam" if issubclass(kind, fc.Adam) else kind.__name__.lower()


def settings_of(kind, settings):
    """Settings of the functions, which have no AdamW."""
    return {"weight_decay": 0.01, **settings} if kind is fc.AdamW else settings


def updates(kind, settings, gradients, p, module, rate=0.01):
    """Yield parameters and state after each update."""
    name = function_of(kind)
    state = [np.zeros_like(p) for _ in STATES[name]]
    settings = settings_of(kind, settings)
    for update, g in enumerate(gradients):
        count = {"update": update} if name == "adam" else {}
        if module is twin:
            p, state = getattr(twin, name)(p, g, state, rate, **count, **settings)
        else:
            p, *state = getattr(functional, name)(p, g, *state, rate, **count, **settings)
        yield p, state


def data(shape, dtype="float64", steps=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, *shape)).astype(dtype), rng.normal(size=shape).astype(dtype)


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 17), (5, 28, 30)], ids=str)
def test_updates_are_the_twin_s(level, kind, settings, dtype, shape):
    gradients, p = data(shape, dtype)
    gradients.flags.writeable = p.flags.writeable = False
    mine, theirs = (updates(kind, settings, gradients, p, module) for module in (functional, twin))
    tolerance = 200 * np.finfo(dtype).eps
    for (found, states), (expected, expected_states) in zip(mine, theirs, strict=True):
        assert found.dtype == dtype
        for a, b in zip((found, *states), (expected, *expected_states), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_level_gives_the_same_bits(monkeypatch, kind, settings, dtype):
    gradients, p = data((1001,), dtype)
    found = set()
    for level in cpu.supported():
        monkeypatch.setattr(engine, "Program", engine.load(level).Program)
        *_, (last, states) = updates(kind, settings, gradients, p, functional)
        found.add((last.tobytes(), *(state.tobytes() for state in states)))
    assert len(found) == 1


@every_optimiser
def test_updates_are_pytorch_s(kind, settings):
    torch = pytest.importorskip("torch")
    gradients, p = data((3, 17), steps=30)
    theirs = torch.tensor(p, requires_grad=True)
    given = {"momentum": 0, "weight_decay": 0, **settings_of(kind, settings)}
    decay, name = given["weight_decay"], function_of(kind)
    if name == "sgd":
        optimiser = torch.optim.SGD([theirs], 0.01, given["momentum"], nesterov=given.get("nesterov", False))
    elif name == "rmsprop":
        optimiser = torch.optim.RMSprop(
            [theirs], 0.01, given.get("rho", 0.9), given.get("eps", 1e-8), momentum=given["momentum"]
        )
    else:
        decoupled = {key: given[key] for key in ("betas", "eps", "weight_decay") if key in given}
        optimiser, decay = torch.optim.AdamW([theirs], 0.01, **decoupled), 0
    for g, (found, _) in zip(gradients, updates(kind, settings, gradients, p, functional), strict=True):
        with torch.no_grad():
            theirs *= 1 - 0.01 * decay
        theirs.grad = torch.tensor(g)
        optimiser.step()
        np.testing.assert_allclose(found, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_l2_of_pytorch_s_sgd_is_half_its_weight_decay(momentum):
    torch = pytest.importorskip("torch")
    x, y = names(60)
    net, loss = convnet("float64"), fc.SoftmaxCrossEntropy(l2=0.05)
    theirs = {name: torch.tensor(w, requires_grad=True) for name, w in net.params.items()}
    groups = [
        dict(params=[theirs[name] for name in theirs if name.endswith(kind)], weight_decay=decay)
        for kind, decay in ((".w", 0.1), (".b", 0.0))
    ]
    optimiser = torch.optim.SGD(groups, 0.02, momentum)
    copy = convnet("float64")
    trainer = fc.Trainer(net, loss, fc.SGD(0.02, momentum), batch_size=60)
    for _ in range(5):
        for name, w in theirs.items():
            copy.params[name][...] = w.detach().numpy()
        _, gradients = copy.loss_and_gradients(x, y)  # without L2
        for name, w in theirs.items():
            w.grad = torch.tensor(gradients[name])
        optimiser.step()
        trainer.fit(x, y, updates=1)
    for name, w in theirs.items():
        np.testing.assert_allclose(net.params[name], w.detach().numpy(), rtol=1e-9, atol=1e-12)


# In training


def convnet(dtype="float32"):
    return fc.models.surname_convnet(6, 9, 4, filters=(8, 70), widths=(3, 3), bias=True, dtype=dtype, seed=1)


def names(n):
    codes = np.random.default_rng(1).integers(0, 6, (n, 9)).astype(np.int16)
    return codes, codes[:, 1] % 4


@every_optimiser
def test_training_updates_weights_and_spares_biases_from_decay(kind, settings):
    x, y = names(50)
    net, copy, optimiser = convnet("float64"), convnet("float64"), kind(0.01, **settings)
    trainer = fc.Trainer(net, optimizer=optimiser, batch_size=50)
    settings = settings_of(kind, settings)
    states = [np.zeros_like(copy.parameters) for _ in range(optimiser.states)]
    views = [copy.views(state) for state in states]
    for update in range(4):
        _, gradients = copy.loss_and_gradients(x, y)
        for name, p in copy.params.items():
            own = {**settings, "weight_decay": settings.get("weight_decay", 0.0) * name.endswith("w")}
            count = {"update": update} if issubclass(kind, fc.Adam) else {}
            p[...], new = getattr(twin, function_of(kind))(
                p, gradients[name], [view[name] for view in views], 0.01, **count, **own
            )
            for view, state in zip(views, new, strict=True):
                view[name][...] = state
        trainer.fit(x, y, updates=1)
        np.testing.assert_allclose(net.parameters, copy.parameters, rtol=1e-9, atol=1e-11)
    assert trainer.state.shape == (optimiser.states, net.parameters.size)
    np.testing.assert_allclose(trainer.state, states, rtol=1e-9, atol=1e-11)
    assert np.shares_memory(trainer.velocity, trainer.state)
    np.testing.assert_array_equal(trainer.velocity, trainer.state[0])


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neither_threads_nor_calls_change_a_bit(kind, settings, dtype):
    x, y = names(300)
    found = set()
    for threads, parts in ((1, [12]), (2, [12]), (3, [5, 7]), (2, [1] * 12)):
        optimiser = kind(fc.schedules.Cyclical(1e-4, 1e-2, 3), **settings)
        trainer = fc.Trainer(convnet(dtype), optimizer=optimiser, batch_size=110, threads=threads, seed=4)
        for part in parts:
            trainer.fit(x, y, updates=part)
        found.add((trainer.net.parameters.tobytes(), trainer.state.tobytes(), tuple(trainer.history.batch_losses)))
    assert len(found) == 1


@every_optimiser
def test_every_optimiser_learns(kind, settings):
    x, y = names(200)
    net = convnet()
    rate = 0.005 if kind is not fc.SGD or settings else 0.1
    assert net.evaluate(x, y)[0] > 1
    fc.Trainer(net, optimizer=kind(rate, **settings), batch_size=50).fit(x, y, updates=300)
    assert net.evaluate(x, y)[0] < 0.2


def test_weight_decay_is_l2_for_plain_sgd_and_not_with_momentum():
    x, y = names(50)

    def parameters(l2, **settings):
        trainer = fc.Trainer(convnet("float64"), fc.SoftmaxCrossEntropy(l2=l2), fc.SGD(0.01, **settings), batch_size=50)
        trainer.fit(x, y, updates=5)
        return trainer.net.parameters

    np.testing.assert_allclose(parameters(0.2), parameters(0, weight_decay=0.4), rtol=1e-9, atol=1e-12)
    distance = parameters(0.2, momentum=0.9) - parameters(0, momentum=0.9, weight_decay=0.4)
    assert np.abs(distance).max() > 1e-3


def test_weight_decay_is_in_no_loss():
    x, y = names(50)
    net = convnet("float64")
    expected = net.evaluate(x, y)[0]
    found = fc.Trainer(net, optimizer=fc.AdamW(weight_decay=1), batch_size=50).fit(x, y, updates=1).batch_losses
    assert found == [pytest.approx(expected, rel=1e-12)]


def test_weight_decay_alone_shrinks_the_weights_geometrically():
    net = fc.Sequential([fc.Dense(3)], input=fc.VectorInput(2), dtype="float64", seed=1)
    net.params["0.b"][...] = [1, 2, 3]
    before = net.params["0.w"].copy()
    x, y = np.zeros((6, 2)), np.arange(6) % 3
    fc.Trainer(net, optimizer=fc.SGD(0.1, weight_decay=0.5), batch_size=6).fit(
        x, y, updates=10, sample_weight=np.zeros(6)
    )
    np.testing.assert_allclose(net.params["0.w"], before * 0.95**10, rtol=1e-13)
    assert net.params["0.b"].tolist() == [1, 2, 3]


# Descriptions


@pytest.mark.parametrize(
    ("optimiser", "shown"),
    [
        (fc.SGD(0.1), "SGD(0.1)"),
        (
            fc.SGD(0.1, 0.9, nesterov=True, weight_decay=0.01),
            "SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01)",
        ),
        (fc.RMSprop(), "RMSprop(0.001)"),
        (fc.RMSprop(rho=0.5), "RMSprop(0.001, rho=0.5)"),
        (fc.Adam(0.1, betas=(0.5, 0.6)), "Adam(0.1, betas=(0.5, 0.6))"),
        (fc.AdamW(), "AdamW(0.001)"),
        (fc.SGD(fc.schedules.Constant(0.1)), "SGD(Constant(rate=0.1))"),
    ],
    ids=str,
)
def test_an_optimiser_shows_what_is_not_the_default(optimiser, shown):
    assert repr(optimiser) == shown


NO_SHARES = [-0.1, 1, 1.5, np.nan, None, "0.9", True]


@pytest.mark.parametrize("value", NO_SHARES, ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: fc.RMSprop(momentum=value), "RMSprop: momentum"),
        (lambda value: fc.RMSprop(rho=value), "RMSprop: rho"),
        (lambda value: fc.Adam(betas=(value, 0.9)), "Adam: beta1"),
        (lambda value: fc.AdamW(betas=(0.9, value)), "AdamW: beta2"),
    ],
    ids=["momentum", "rho", "beta1", "beta2"],
)
def test_shares_lie_below_one(make, name, value):
    with pytest.raises(RangeError, match=rf"{name} lies in \[0, 1\), got"):
        make(value)


@pytest.mark.parametrize("eps", [0, -1, 1e-40, np.inf, np.nan, None, True], ids=repr)
@pytest.mark.parametrize("kind", [fc.RMSprop, fc.Adam, fc.AdamW])
def test_eps_is_not_zero(kind, eps):
    """Nor what float32 takes for zero: the padding of the parameters is 0 / (0 + eps)."""
    with pytest.raises(RangeError, match=rf"{kind.__name__}: eps lies in \[1e-30, 1e30\], got"):
        kind(eps=eps)


@pytest.mark.parametrize("kind", [fc.SGD, fc.RMSprop, fc.Adam, fc.AdamW])
def test_rates_and_decay_are_checked(kind):
    with pytest.raises(RangeError, match=f"{kind.__name__}: the learning rate must be positive and finite, got 0"):
        kind(0)
    for value in (-1, np.inf, np.nan, None, True):
        with pytest.raises(RangeError, match=f"{kind.__name__}: weight_decay is a finite number >= 0, got"):
            kind(0.1, weight_decay=value)


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.1, 0.2, 0.3), None], ids=repr)
def test_betas_are_a_pair(betas):
    with pytest.raises(RangeError, match="Adam: betas is a pair, got"):
        fc.Adam(betas=betas)


def test_arrays_of_an_update_are_of_one_shape():
    ones = np.ones(3)
    with pytest.raises(ShapeError, match=r"rmsprop: expected square of shape \(3,\), got \(4,\)"):
        functional.rmsprop(ones, ones, ones, np.ones(4), 0.1)
    with pytest.raises(ShapeError, match=r"adam: expected mean of shape \(3,\), got \(2,\)"):
        functional.adam(ones, ones, np.ones(2), ones, 0.1)
    with pytest.raises(RangeError, match="adam: update: expected an integer >= 0, got -1"):
        functional.adam(ones, ones, ones, ones, 0.1, update=-1)
