"""Schedules: PyTorch's numbers, the papers' corners, and that any of them is a learning rate."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.errors import RangeError
from fastconv.schedules import Constant, Cosine, Cyclical, Exponential, InverseSquareRoot, OneCycle, Step

EVERY = [
    Constant(0.1),
    Cyclical(1e-5, 1e-1, 5),
    Step(0.1, (6, 12), 0.5, warm_up=3),
    Exponential(0.1, 0.9, every=4),
    InverseSquareRoot(0.1, every=5, before=3),
    Cosine(0.1, 20, minimum=0.001, warm_up=4),
    OneCycle(0.1, 20),
]
every = pytest.mark.parametrize("schedule", EVERY, ids=lambda schedule: type(schedule).__name__)


def rates(schedule, n):
    return [schedule(update) for update in range(n)]


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        (
            Cyclical(1e-3, 0.1, 7),
            lambda s, o: s.CyclicLR(o, 1e-3, 0.1, step_size_up=7, cycle_momentum=False),
        ),
        (Step(0.1, (5, 11, 12), 0.3), lambda s, o: s.MultiStepLR(o, (5, 11, 12), 0.3)),
        (Exponential(0.1, 0.93), lambda s, o: s.ExponentialLR(o, 0.93)),
        (Cosine(0.1, 30, 0.01), lambda s, o: s.CosineAnnealingLR(o, 30, 0.01)),
        (OneCycle(0.1, 30), lambda s, o: s.OneCycleLR(o, 0.1, 30, cycle_momentum=False)),
        (
            OneCycle(0.1, 30, divide=5, final_divide=100, climb=0.5),
            lambda s, o: s.OneCycleLR(
                o, 0.1, 30, div_factor=5, final_div_factor=100, pct_start=0.5, cycle_momentum=False
            ),
        ),
    ],
    ids=["cyclical", "step", "exponential", "cosine", "one-cycle", "other one-cycle"],
)
def test_rates_are_pytorch_s(schedule, theirs):
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler, expected = theirs(torch.optim.lr_scheduler, optimiser), []
    for _ in range(30):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(expected) < 30:
            scheduler.step()
    np.testing.assert_allclose(rates(schedule, 30), expected, rtol=1e-9)


def test_a_triangle_is_that_of_the_paper():
    """eta_t climbs for 2 l n_s <= t <= (2 l + 1) n_s and falls until 2 (l + 1) n_s."""
    low, high, n = 0.25, 1.5, 8
    schedule = Cyclical(low, high, n)
    for cycle in range(3):
        for t in range(2 * cycle * n, (2 * cycle + 1) * n + 1):
            assert schedule(t) == pytest.approx(low + (t - 2 * cycle * n) / n * (high - low), rel=1e-14)
        for t in range((2 * cycle + 1) * n, 2 * (cycle + 1) * n + 1):
            assert schedule(t) == pytest.approx(high - (t - (2 * cycle + 1) * n) / n * (high - low), rel=1e-14)


def test_a_warm_up_climbs_to_the_rate():
    np.testing.assert_allclose(rates(Step(0.8, (6,), 0.5, warm_up=4), 8), [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.4, 0.4])
    schedule = Cosine(0.8, 12, warm_up=4)
    np.testing.assert_allclose(rates(schedule, 5), [0.2, 0.4, 0.6, 0.8, 0.8])
    np.testing.assert_allclose([schedule(8), schedule(12)], [0.4, 0], atol=1e-16)


def test_an_exponential_rate_reaches_the_factor_after_its_updates():
    np.testing.assert_allclose([Exponential(2.0, 0.5, every=10)(update) for update in (0, 5, 10, 30)],
                               [2, np.sqrt(2), 1, 0.25])  # fmt: skip


@pytest.mark.parametrize("updates", [1, 2, 3, 100])
def test_one_cycle_ends_lowest_and_stays_there(updates):
    schedule = OneCycle(1.0, updates, divide=10, final_divide=10)
    found = rates(schedule, updates + 3)
    assert min(found) > 0 and max(found) <= 1
    assert found[updates - 1 :] == [pytest.approx(0.01)] * 4
    assert found[-1] == min(found)


@every
def test_every_schedule_is_a_learning_rate(schedule):
    x, y = np.linspace(-1, 1, 8)[:, None], np.arange(8) % 2
    net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1))
    trainer = fc.Trainer(net, optimizer=fc.SGD(schedule), batch_size=4)
    history = trainer.fit(x, y, updates=20, evaluate_every=1)
    assert history["lr"].tolist() == rates(schedule, 20)


@every
def test_a_schedule_is_a_value(schedule):
    again = eval(repr(schedule))
    assert again == schedule == copy.deepcopy(schedule) == pickle.loads(pickle.dumps(schedule))
    assert hash(again) == hash(schedule)
    assert all(other is schedule or other != schedule for other in EVERY)
    with pytest.raises(AttributeError):
        schedule.rate = 1


def test_an_inverse_square_root_goes_on_from_the_updates_before():
    whole, later = InverseSquareRoot(2.0, every=10), InverseSquareRoot(2.0, every=10, before=30)
    np.testing.assert_allclose([whole(update) for update in (0, 30, 80, 150)], [2, 1, 2 / 3, 0.5])
    assert rates(later, 20) == rates(whole, 50)[30:]


@pytest.mark.parametrize("make", [lambda whole: Cyclical(0.1, 1.0, whole(100)), lambda whole: OneCycle(0.1, whole(200)),
                                  lambda whole: Step(0.1, (whole(40), whole(120)), warm_up=whole(30)),
                                  lambda whole: Exponential(0.1, 0.5, whole(100)),
                                  lambda whole: InverseSquareRoot(0.1, whole(100), before=whole(99)),
                                  lambda whole: Cosine(0.1, whole(127), 0.01, warm_up=whole(30))])  # fmt: skip
@pytest.mark.parametrize("whole", [np.int8, np.uint8])
def test_updates_may_be_small_integers_of_numpy(make, whole):
    schedule = make(lambda n: whole(min(n, np.iinfo(whole).max)))
    expected = make(lambda n: min(n, int(np.iinfo(whole).max)))
    assert rates(schedule, 600) == rates(expected, 600)
    assert repr(schedule) == repr(expected)


def test_rates_of_numpy_are_the_same_schedule():
    for rate in (np.float64(0.5), np.float32(0.5)):
        assert repr(Cosine(rate, 10, minimum=0)) == repr(Cosine(0.5, 10))


def test_milestones_may_be_any_sequence():
    assert Step(0.1, [3, 5]) == Step(0.1, (3, 5)) == Step(0.1, np.array([3, 5]))


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, None, "1", True, 1j], ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Constant, "Constant: rate"),
        (lambda value: Cyclical(value, 1, 2), "Cyclical: eta_min"),
        (lambda value: Cyclical(0.1, value, 2), "Cyclical: eta_max"),
        (lambda value: Step(value, (2,)), "Step: rate"),
        (lambda value: Step(0.1, (2,), value), "Step: factor"),
        (lambda value: Exponential(value, 0.5), "Exponential: rate"),
        (lambda value: Exponential(0.1, value), "Exponential: factor"),
        (lambda value: InverseSquareRoot(value, 5), "InverseSquareRoot: rate"),
        (lambda value: Cosine(value, 5), "Cosine: rate"),
        (lambda value: OneCycle(value, 5), "OneCycle: eta_max"),
        (lambda value: OneCycle(1, 5, value), "OneCycle: divide"),
        (lambda value: OneCycle(1, 5, 2, value), "OneCycle: final_divide"),
        (lambda value: OneCycle(1, 5, climb=value), "OneCycle: climb"),
    ],
    ids=range(13),
)
def test_rates_and_factors_are_positive_and_finite(make, name, value):
    with pytest.raises(RangeError, match=f"{name} must be positive and finite, got"):
        make(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, None, "1", True], ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: Cyclical(0.1, 1, value), "Cyclical: step_size"),
        (lambda value: Step(1, (value,)), "Step: milestones"),
        (lambda value: Exponential(1, 0.5, value), "Exponential: every"),
        (lambda value: InverseSquareRoot(1, value), "InverseSquareRoot: every"),
        (lambda value: Cosine(1, value), "Cosine: updates"),
        (lambda value: OneCycle(1, value), "OneCycle: updates"),
    ],
    ids=range(6),
)
def test_updates_are_positive_integers(make, name, value):
    with pytest.raises(RangeError, match=f"{name}: expected a positive integer, got"):
        make(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step(1, (5, 3)), r"Step: milestones must ascend, got \(5, 3\)"),
        (lambda: Step(1, (3, 3)), "Step: milestones must ascend"),
        (lambda: Step(1, (3,), warm_up=-1), "Step: warm_up: expected a positive integer, got -1"),
        (lambda: InverseSquareRoot(1, 5, before=-1), "InverseSquareRoot: before: expected a positive integer, got -1"),
        (lambda: Cosine(1, 5, minimum=-1), "Cosine: minimum must be positive and finite, got -1"),
        (lambda: Cosine(1, 5, warm_up=5), "Cosine: warm_up must be less than updates, got 5 and 5"),
        (lambda: OneCycle(1, 5, climb=1), "OneCycle: climb lies below 1, got 1"),
    ],
    ids=range(7),
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(RangeError, match=message):
        make()
