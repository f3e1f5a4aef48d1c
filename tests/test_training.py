"""Training: the same bits however it is cut up, the twin's updates, and what is told on the way."""

import math
import re
import signal
import sys
import threading

import numpy as np
import pytest
import tqdm

import fastconv as fc
from fastconv import training
from fastconv.errors import DTypeError, NonFiniteLossError, RangeError
from fastconv.imbalance import balanced_weights
from fastconv.reference import kernels

LENGTH, DEPTH, CLASSES = 9, 6, 4


def convnet(dtype="float32"):
    return fc.models.surname_convnet(
        DEPTH, LENGTH, CLASSES, filters=(8, 6), widths=(3, 3), bias=True, dtype=dtype, seed=1
    )


def names(n, seed=0):
    """Names whose class can be told by their letters, of classes of unequal size."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, DEPTH, (n, LENGTH)).astype(np.int16)
    codes[np.arange(LENGTH) >= rng.integers(3, LENGTH + 1, (n, 1))] = -1
    y = np.array([0, 0, 0, 1, 2, 3])[codes[:, 1]]
    return codes, y


def distinct(n, classes=2):
    """A network without training noise: every sample of `n` has a loss of its own."""
    net = fc.Sequential([fc.Dense(classes)], input=fc.VectorInput(1), dtype="float64", seed=0)
    return net, np.linspace(0.1, 5, n)[:, None], np.arange(n) % classes


def state(trainer):
    return trainer.net.parameters.tobytes(), trainer.velocity.tobytes(), trainer.updates


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


NO_CHANGE = 1e-300
"""A learning rate that changes nothing."""


# The same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampling", ["shuffle", "undersample"])
def test_the_number_of_threads_changes_no_bit(dtype, sampling):
    x, y = names(2000)
    found = []
    for threads in (1, 2, 3, 8, None):
        trainer = fc.Trainer(convnet(dtype), batch_size=700, threads=threads, seed=5, sampling=sampling)
        trainer.fit(x, y, updates=8, validation=(x[:300], y[:300]), evaluate_every=4)
        validated = [trainer.history[f"validation_{key}"].tolist() for key in ("loss", "accuracy")]
        found.append((state(trainer), trainer.history.batch_losses, validated))
    assert all(other == found[0] for other in found[1:])
    assert trainer.net.parameters.tobytes() != convnet(dtype).parameters.tobytes()


@pytest.mark.parametrize("parts", [[20], [7, 13], [1] * 20, [10, 10], [3, 7, 10], [19, 1]], ids=str)
@pytest.mark.parametrize("sampling", ["shuffle", "undersample"])
def test_updates_may_be_spread_over_calls(parts, sampling):
    x, y = names(300)
    expected = fc.Trainer(convnet(), batch_size=32, seed=2, sampling=sampling)
    expected.fit(x, y, updates=20)
    trainer = fc.Trainer(convnet(), batch_size=32, seed=2, sampling=sampling)
    for updates in parts:
        trainer.fit(x, y, updates=updates)
    assert state(trainer) == state(expected)
    assert trainer.history.batch_losses == expected.history.batch_losses


@pytest.mark.parametrize(
    "activation", [[fc.Sigmoid()], [fc.Sigmoid(), fc.MaxPool1D(2)], [fc.Sigmoid(), fc.ReLU()], [fc.Tanh()]], ids=str
)
def test_l2_counts_the_weights_alone_in_every_update_of_a_call(level, rng, activation):
    """And not the padding of the rows that they are packed in, which a call begins with as zero."""
    x, y = rng.normal(size=(600, 9, 4)).astype(np.float32), rng.integers(0, 7, 600)
    layers = [fc.Conv1D(21, 3), *activation, fc.Flatten(), fc.Dense(7)]
    found = []
    for parts in ([20], [1] * 20):
        net = fc.Sequential(layers, input=fc.SequenceInput(9, 4), seed=1)
        trainer = fc.Trainer(net, fc.SoftmaxCrossEntropy(l2=0.5), fc.SGD(0.05, 0.9), batch_size=30)
        for updates in parts:
            trainer.fit(x, y, updates=updates, evaluate_every=1000)
        found.append((trainer.history.batch_losses, state(trainer)))
    assert found[0] == found[1]


def test_epochs_and_updates_are_the_same_training():
    x, y = names(100)  # 4 batches an epoch
    trainers = [fc.Trainer(convnet(), batch_size=32) for _ in range(3)]
    trainers[0].fit(x, y, updates=12)
    trainers[1].fit(x, y, epochs=3)
    trainers[2].fit(x, y, updates=3)
    trainers[2].fit(x, y, epochs=1)  # the rest of the first
    assert trainers[2].updates == 4
    trainers[2].fit(x, y, epochs=2)
    assert state(trainers[0]) == state(trainers[1]) == state(trainers[2])


def test_the_seed_orders_the_examples():
    x, y = names(300)
    states = []
    for seed in (0, 0, 1):
        trainer = fc.Trainer(convnet(), batch_size=32, seed=seed)
        trainer.fit(x, y, updates=5)
        states.append(state(trainer))
    assert states[0] == states[1] != states[2]


def test_the_global_state_of_numpy_plays_no_part():
    x, y = names(100)
    states = []
    for seed in (1, 2):
        np.random.seed(seed)
        trainer = fc.Trainer(convnet(), batch_size=32)
        trainer.fit(x, y, updates=5)
        states.append(state(trainer))
    assert states[0] == states[1]


@pytest.mark.parametrize("seconds", [1e-12, 1e-4, 100])
def test_the_time_that_a_call_of_the_engine_may_take_changes_nothing(monkeypatch, seconds):
    x, y = names(107)  # the last batch of an epoch is smaller
    found = []
    for slice_seconds in (training.SLICE_SECONDS, seconds):
        monkeypatch.setattr(training, "SLICE_SECONDS", slice_seconds)
        trainer = fc.Trainer(convnet(), batch_size=20)
        trainer.fit(x, y, updates=23, evaluate_every=8)
        found.append((state(trainer), trainer.history.batch_losses, without_time(trainer.history.records)))
    assert found[0] == found[1]


# An update


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("loss", [None, fc.SoftmaxCrossEntropy("balanced", 0.1)], ids=["plain", "weighted"])
def test_an_update_is_the_twin_s_on_the_batch_s_gradients(momentum, loss):
    x, y = names(50)
    net, copy = convnet("float64"), convnet("float64")
    weight = np.random.default_rng(3).uniform(size=50)
    trainer = fc.Trainer(net, loss=loss, optimizer=fc.SGD(0.05, momentum=momentum), batch_size=50)
    velocity = np.zeros_like(copy.parameters)
    for _ in range(6):
        _, gradients = copy.loss_and_gradients(x, y, loss=loss, sample_weight=weight)
        flat = np.concatenate([gradients[name].ravel() for name in copy.params])
        copy.parameters[:], velocity = kernels.sgd(copy.parameters, flat, velocity, 0.05, momentum)
        trainer.fit(x, y, updates=1, sample_weight=weight)
        np.testing.assert_allclose(net.parameters, copy.parameters, rtol=0, atol=1e-12)
        np.testing.assert_allclose(trainer.velocity, velocity, rtol=0, atol=1e-12)
    assert np.abs(net.parameters - convnet("float64").parameters).max() > 0.01


def test_the_rate_of_an_update_comes_from_its_number():
    x, y = names(50)
    asked = []

    def rate(update):
        asked.append(update)
        return 0.1 / (1 + update)

    trainer = fc.Trainer(convnet("float64"), optimizer=fc.SGD(rate), batch_size=50)
    copy = convnet("float64")
    for _ in range(2):
        trainer.fit(x, y, updates=3)
    for update in range(6):
        _, gradients = copy.loss_and_gradients(x, y)
        copy.parameters -= 0.1 / (1 + update) * np.concatenate([gradients[name].ravel() for name in copy.params])
    assert asked == list(range(6))
    np.testing.assert_allclose(trainer.net.parameters, copy.parameters, rtol=0, atol=1e-12)
    assert trainer.history["lr"].tolist() == [0.1, 0.05, 0.1 / 3, 0.1 / 4, 0.1 / 5, 0.1 / 6]


def test_the_default_optimizer_is_the_assignment_s():
    optimizer = fc.Trainer(convnet()).optimizer
    assert (optimizer.rate(0), optimizer.momentum) == (0.001, 0.9)


# Epochs and batches


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    net, x, y = distinct(30)
    each = sorted(net.loss_and_gradients(x[i : i + 1], y[i : i + 1])[0] for i in range(30))
    assert len(set(each)) == 30
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=1)
    losses = trainer.fit(x, y, epochs=3).batch_losses
    epochs = [losses[:30], losses[30:60], losses[60:]]
    for epoch in epochs:
        np.testing.assert_allclose(sorted(epoch), each, rtol=1e-13)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_last_batch_of_an_epoch_is_smaller():
    net, x, y = distinct(10)
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=4)
    losses = trainer.fit(x, y, epochs=2).batch_losses
    assert len(losses) == 6
    for epoch in (losses[:3], losses[3:]):
        assert np.dot(epoch, [4, 4, 2]) / 10 == pytest.approx(net.evaluate(x, y)[0], rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 10, 11, 1000, 2**63, 10**30])
def test_any_batch_size_makes_whole_epochs(batch_size):
    net, x, y = distinct(10)
    trainer = fc.Trainer(net, batch_size=batch_size)
    trainer.fit(x, y, epochs=2)
    assert trainer.updates == 2 * -(-10 // batch_size)
    assert trainer.history.records[-1]["epoch"] == 2


@pytest.mark.parametrize("whole", [np.int8, np.uint8])
def test_epochs_and_updates_may_be_small_integers_of_numpy(whole):
    net, x, y = distinct(40)
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=whole(4))
    assert len(trainer.fit(x, y, epochs=whole(60), evaluate_every=whole(100)).batch_losses) == 600
    assert trainer.history["update"].tolist() == [100, 200, 300, 400, 500, 600]
    assert len(trainer.fit(x, y, updates=whole(3)).batch_losses) == 603


def test_undersampling_takes_as_many_of_each_class_drawn_anew():
    net, x, _ = distinct(40)
    y = np.repeat([0, 1], [33, 7])
    each = [net.loss_and_gradients(x[i : i + 1], y[i : i + 1])[0] for i in range(40)]
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=1, sampling="undersample")
    losses = trainer.fit(x, y, epochs=2).batch_losses
    assert len(losses) == 2 * 14
    epochs = [[int(np.abs(np.subtract(each, loss)).argmin()) for loss in part] for part in (losses[:14], losses[14:])]
    for rows in epochs:
        assert len(set(rows)) == 14
        assert np.bincount(y[rows]).tolist() == [7, 7]
    assert set(epochs[0]) != set(epochs[1])


def test_a_function_may_choose_the_rows_of_an_epoch():
    net, x, y = distinct(12)
    each = [net.loss_and_gradients(x[i : i + 1], y[i : i + 1])[0] for i in range(12)]
    drawn = []

    def with_replacement(labels, rng):
        np.testing.assert_array_equal(labels, y)
        drawn.append(rng.integers(0, 12, 5))
        return drawn[-1]

    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=1, sampling=with_replacement)
    losses = trainer.fit(x, y, epochs=2).batch_losses
    np.testing.assert_allclose(losses, np.take(each, np.concatenate(drawn[:2])), rtol=1e-13)
    assert drawn[0].tolist() != drawn[1].tolist()


def test_a_function_s_rows_are_the_same_however_the_updates_are_spread():
    x, y = names(100)
    trainers = [fc.Trainer(convnet(), batch_size=8, sampling=lambda y, rng: rng.integers(0, 100, 30)) for _ in range(2)]
    trainers[0].fit(x, y, updates=11)
    for updates in (1, 3, 7):
        trainers[1].fit(x, y, updates=updates)
    assert state(trainers[0]) == state(trainers[1])


def test_epochs_of_changing_size_end_or_are_refused(monkeypatch):
    class Bar(tqdm.tqdm):
        def update(self, n):
            assert n > 0, "a round of the loop without an update: it would never end"

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    net, x, y = distinct(12)
    sizes = iter([12, 4, 9, 1, 12])
    trainer = fc.Trainer(net, batch_size=4, sampling=lambda y, rng: np.arange(next(sizes)))
    try:
        trainer.fit(x, y, updates=6)
    except RangeError as error:
        assert "sampling gave" in str(error)
    else:
        assert trainer.updates == 6
    assert len(trainer.history.batch_losses) == trainer.updates


def test_after_an_error_in_a_function_training_goes_on():
    x, y = names(100)
    failures = [False, False, True]

    def sampling(labels, rng):
        if failures and failures.pop(0):
            raise KeyboardInterrupt
        return rng.permutation(len(labels))

    trainer = fc.Trainer(convnet(), batch_size=25, sampling=sampling)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, updates=20)
    assert len(trainer.history.batch_losses) == trainer.updates == 8
    trainer.fit(x, y, updates=12)
    expected = fc.Trainer(convnet(), batch_size=25, sampling=lambda labels, rng: rng.permutation(len(labels)))
    expected.fit(x, y, updates=20)
    assert state(trainer) == state(expected)
    assert trainer.history.batch_losses == expected.history.batch_losses


def test_rows_may_be_misaligned_in_memory():
    net, x, y = distinct(20)
    rows = np.zeros(20 * 8 + 1, np.uint8)[1:].view(np.int64)
    rows[:] = np.arange(20)
    trainer = fc.Trainer(net, batch_size=4, sampling=lambda labels, rng: rows)
    assert len(trainer.fit(x, y, epochs=1).batch_losses) == 5


def test_other_data_begin_a_new_epoch():
    net, x, y = distinct(20)
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=4)
    trainer.fit(x, y, updates=2)
    losses = trainer.fit(x[:12], y[:12], epochs=1).batch_losses[2:]
    assert len(losses) == 3
    assert np.mean(losses) == pytest.approx(net.evaluate(x[:12], y[:12])[0], rel=1e-12)


@pytest.mark.parametrize("changes", ["labels", "batch_size"])
@pytest.mark.parametrize("amount", [{"epochs": 1}, {"updates": 3}], ids=str)
def test_an_epoch_that_has_become_shorter_than_what_was_made_of_it_is_over(changes, amount):
    net, x, y = distinct(40)
    trainer = fc.Trainer(net, batch_size=4, sampling="undersample")
    trainer.fit(x, y, updates=5)
    if changes == "labels":  # 6 of each class, 3 batches
        y = np.arange(40) % 7 == 6
    else:
        trainer.batch_size = 16
    history = trainer.fit(x, y.astype(int), **amount)
    assert len(history.batch_losses) == trainer.updates == 5 + 3
    assert history.records[-1]["epoch"] == 2


# Records


def test_the_running_loss_keeps_a_share_of_itself():
    history = fc.History()
    history.batch_losses += [3.0, 1.0, 5.0]
    second = 0.99 * 3.0 + 0.01 * 1.0
    np.testing.assert_allclose(history.running_loss(), [3.0, second, 0.99 * second + 0.01 * 5.0], rtol=1e-15)
    assert history.running_loss(keep=0).tolist() == history.batch_losses
    assert fc.History().running_loss().shape == (0,)


@pytest.mark.parametrize("keep", [1.0, -0.1, math.nan, True, "0.9"])
def test_the_share_that_the_running_loss_keeps_is_below_one(keep):
    with pytest.raises(RangeError, match="running_loss: keep"):
        fc.History().running_loss(keep)


def test_there_is_a_record_each_epoch_and_at_the_end():
    net, x, y = distinct(10)
    history = fc.Trainer(net, batch_size=4).fit(x, y, updates=7)
    assert history["update"].tolist() == [3, 6, 7]
    np.testing.assert_allclose(history["epoch"], [1, 2, 2 + 1 / 3])
    assert len(history) == 3
    assert history.records[0].keys() == {"update", "epoch", "lr", "train_loss", "train_accuracy", "seconds"}


def test_there_is_a_record_after_every_so_many_updates():
    net, x, y = distinct(10)
    trainer = fc.Trainer(net, batch_size=4)
    assert trainer.fit(x, y, updates=7, evaluate_every=4)["update"].tolist() == [4, 7]
    assert trainer.fit(x, y, updates=13, evaluate_every=4)["update"].tolist() == [4, 7, 8, 12, 16, 20]
    assert trainer.fit(x, y, updates=4, evaluate_every=100)["update"].tolist() == [4, 7, 8, 12, 16, 20, 24]
    np.testing.assert_allclose(trainer.history["epoch"], trainer.history["update"] / 3)
    assert len(trainer.history.batch_losses) == trainer.updates == 24
    assert np.all(np.diff(trainer.history["seconds"]) > 0)


def test_training_loss_and_accuracy_are_means_over_the_batches_since_the_last_record():
    net, x, y = distinct(10, classes=3)
    net.params["0.b"][...] = [0.3, 0.2, 0]
    hits = net.predict(x) == y
    assert 0 < hits.mean() < 1
    trainer = fc.Trainer(net, optimizer=fc.SGD(NO_CHANGE), batch_size=1)
    history = trainer.fit(x, y, updates=20, evaluate_every=10)
    np.testing.assert_allclose(history["train_accuracy"], hits.mean())
    losses = np.reshape(history.batch_losses, (2, 10))
    np.testing.assert_allclose(history["train_loss"], losses.mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("loss", [None, fc.SoftmaxCrossEntropy([1, 2, 0.5, 3], 0.1)], ids=["plain", "weighted"])
def test_validation_loss_and_accuracy_are_those_of_evaluate(loss):
    (x, y), validation = names(200), names(77, seed=1)
    found = []
    trainer = fc.Trainer(convnet(), loss=loss, batch_size=32)

    def check(trainer, record):
        found.append(trainer.net.evaluate(*validation, loss=loss))

    history = trainer.fit(x, y, updates=9, validation=validation, evaluate_every=4, callbacks=[check])
    assert list(zip(history["validation_loss"], history["validation_accuracy"], strict=True)) == found
    assert len(found) == 3


def test_balanced_means_the_labels_that_are_evaluated():
    """In training the weights are those of the training labels, in validation those of the validation labels."""
    (x, y), (xv, yv) = names(200), names(77, seed=1)
    trainer = fc.Trainer(convnet(), loss=fc.SoftmaxCrossEntropy("balanced"), batch_size=32)
    history = trainer.fit(x, y, updates=2, validation=(xv, yv))
    explicit = fc.Trainer(
        convnet(), loss=fc.SoftmaxCrossEntropy(balanced_weights(np.bincount(y, minlength=CLASSES))), batch_size=32
    )
    assert history.batch_losses == explicit.fit(x, y, updates=2).batch_losses
    weights = balanced_weights(np.bincount(yv, minlength=CLASSES))
    expected = trainer.net.evaluate(xv, yv, loss=fc.SoftmaxCrossEntropy(weights))
    assert (history["validation_loss"][-1], history["validation_accuracy"][-1]) == expected


def test_a_validation_set_does_not_change_the_training():
    x, y = names(200)
    trainers = [fc.Trainer(convnet(), batch_size=32) for _ in range(2)]
    trainers[0].fit(x, y, updates=10)
    trainers[1].fit(x, y, updates=10, validation=names(50, seed=1), evaluate_every=1)
    assert state(trainers[0]) == state(trainers[1])


def test_a_history_shows_itself():
    net, x, y = distinct(10)
    history = fc.Trainer(net, batch_size=5).fit(x, y, updates=3)
    assert isinstance(history, fc.History)
    assert repr(history).startswith("History(3 updates, 2 records, last {'update': 3")
    assert repr(fc.History()) == "History(0 updates, 0 records)"
    with pytest.raises(KeyError):
        history["validation_loss"]


# Callbacks


def test_callbacks_are_given_the_trainer_and_the_record():
    net, x, y = distinct(10)
    seen = []
    trainer = fc.Trainer(net, batch_size=5)
    trainer.fit(
        x, y, updates=4, callbacks=[lambda *args: seen.append(("first", *args)), lambda *a: seen.append(("second", *a))]
    )
    records = trainer.history.records
    assert seen == [(name, trainer, record) for record in records for name in ("first", "second")]
    assert len(records) == 2


def test_a_callback_that_returns_true_ends_the_call():
    net, x, y = distinct(10)
    trainer, others = fc.Trainer(net, batch_size=5), []
    callbacks = [lambda trainer, record: record["update"] >= 6, lambda trainer, record: others.append(record["update"])]
    trainer.fit(x, y, updates=100, evaluate_every=2, callbacks=iter(callbacks))
    assert trainer.updates == 6
    assert others == [2, 4, 6]
    trainer.fit(x, y, updates=4)
    expected = fc.Trainer(distinct(10)[0], batch_size=5)
    expected.fit(x, y, updates=10)
    assert state(trainer) == state(expected)


def test_a_callback_that_returns_something_else_does_not():
    net, x, y = distinct(10)
    trainer = fc.Trainer(net, batch_size=5)
    trainer.fit(x, y, updates=4, callbacks=[lambda *args: 1, lambda *args: "go on", lambda *args: None])
    assert trainer.updates == 4


@pytest.mark.parametrize(
    "callbacks, said",
    [
        (fc.training.EarlyStopping(), "expected a list of functions, got <fastconv.training.EarlyStopping "),
        (len, "expected a list of functions, got <built-in function len>"),
        (None, "expected a list of functions, got None"),
        ([len, 3], "expected functions, got 3"),
    ],
    ids=["one", "function", "None", "number"],
)
def test_callbacks_are_a_list_of_functions_and_checked_before_training(callbacks, said):
    net, x, y = distinct(10)
    trainer = fc.Trainer(net)
    with pytest.raises(DTypeError, match=f"fit: callbacks: {said}"):
        trainer.fit(x, y, epochs=1, callbacks=callbacks)
    assert trainer.updates == 0


def test_a_trainer_shows_what_it_trains_and_how_far_it_is():
    net, x, y = distinct(10)
    trainer = fc.Trainer(net, optimizer=fc.SGD(0.1), batch_size=5, seed=3)
    trainer.fit(x, y, epochs=2)
    loss, optimizer = fc.SoftmaxCrossEntropy(), fc.SGD(0.1)
    assert repr(trainer) == f"Trainer({net!r}, {loss!r}, {optimizer!r}, batch_size=5, seed=3, updates=4)"


@pytest.mark.parametrize("first", [0, 2, 4])
def test_the_parameters_and_statistics_of_the_last_records_are_averaged(first):
    layers = [fc.Dense(3), fc.BatchNorm(), fc.ReLU(), fc.Dense(2)]
    net, seen = fc.Sequential(layers, fc.VectorInput(1), "float64"), []

    def watch(trainer, record):
        seen.append((trainer.net.parameters.copy(), trainer.net.statistics.copy()))

    average = fc.training.AverageWeights(first)
    trainer = fc.Trainer(net, optimizer=fc.SGD(0.1), batch_size=4)
    trainer.fit(*distinct(20)[1:], epochs=5, callbacks=[average, watch])
    np.testing.assert_array_equal(net.parameters, seen[-1][0])
    average.restore(net)
    for array, arrays in zip((net.parameters, net.statistics), zip(*seen[first:], strict=True), strict=True):
        np.testing.assert_allclose(array, np.mean(arrays, axis=0), rtol=1e-12)


def test_without_a_record_that_counts_the_network_stays_as_it_is():
    net, x, y = distinct(20)
    average = fc.training.AverageWeights(first=5)
    fc.Trainer(net, optimizer=fc.SGD(0.1)).fit(x, y, epochs=5, callbacks=[average])
    before = net.parameters.copy()
    average.restore(net)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("first", [-1, 1.0, True, None])
def test_the_first_record_of_an_average_is_a_number_from_0_on(first):
    with pytest.raises(RangeError, match="AverageWeights: first: expected an integer >= 0, got"):
        fc.training.AverageWeights(first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_interruption_training_goes_on_where_it_stopped(error):
    x, y = names(200)
    trainer, expected = fc.Trainer(convnet(), batch_size=32), fc.Trainer(convnet(), batch_size=32)

    def interrupt(trainer, record):
        if record["update"] == 5:
            raise error

    with pytest.raises(error):
        trainer.fit(x, y, updates=12, evaluate_every=5, callbacks=[interrupt])
    assert trainer.updates == len(trainer.history.batch_losses) == 5
    assert trainer.history["update"].tolist() == [5]
    trainer.fit(x, y, updates=7)
    expected.fit(x, y, updates=12)
    assert state(trainer) == state(expected)
    assert trainer.history.batch_losses == expected.history.batch_losses


def test_an_interruption_between_two_calls_of_the_engine_loses_nothing(monkeypatch):
    monkeypatch.setattr(training, "SLICE_SECONDS", 1e-12)  # one update a call
    x, y = names(200)

    def rate(update):
        if update == 9 and not asked:
            asked.append(update)
            raise KeyboardInterrupt
        return 0.01

    asked = []
    trainer = fc.Trainer(convnet(), optimizer=fc.SGD(rate, momentum=0.9), batch_size=32)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, updates=20)
    assert asked == [9] and 0 < trainer.updates <= 9
    trainer.fit(x, y, updates=20 - trainer.updates)
    expected = fc.Trainer(convnet(), optimizer=fc.SGD(0.01, momentum=0.9), batch_size=32)
    expected.fit(x, y, updates=20)
    assert state(trainer) == state(expected)


# A loss that is not finite


def test_a_diverging_training_names_the_update_and_keeps_what_was_before():
    x, y = names(200)

    def rate(update):
        return 0.01 if update < 10 else 1e18

    trainer = fc.Trainer(convnet(), optimizer=fc.SGD(rate, momentum=0.9), batch_size=32)
    with pytest.raises(NonFiniteLossError, match=r"fit: the loss is (nan|inf) at update ") as error:
        trainer.fit(x, y, updates=50)
    assert 10 < trainer.updates < 50
    assert f"at update {trainer.updates + 1};" in str(error.value)
    assert len(trainer.history.batch_losses) == trainer.updates
    assert np.isfinite(trainer.history.batch_losses).all()
    expected = fc.Trainer(convnet(), optimizer=fc.SGD(rate, momentum=0.9), batch_size=32)
    expected.fit(x, y, updates=trainer.updates)
    assert state(trainer) == state(expected)


def test_the_update_is_counted_over_all_calls_and_slices(monkeypatch):
    monkeypatch.setattr(training, "SLICE_SECONDS", 1e-12)
    net, x, y = distinct(12)
    trainer = fc.Trainer(net, batch_size=4)
    trainer.fit(x, y, updates=5)
    before = state(trainer)
    net.parameters[:] = np.nan
    with pytest.raises(NonFiniteLossError, match="the loss is nan at update 6;"):
        trainer.fit(x, y, updates=5)
    assert state(trainer)[1:] == before[1:]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_in_the_data_is_refused_before_training(bad):
    net = fc.Sequential([fc.Dense(5), fc.ReLU(), fc.Dense(2)], input=fc.VectorInput(3), seed=1)
    before = net.parameters.tobytes()
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    x[17, 1] = bad
    trainer = fc.Trainer(net, batch_size=40)
    with pytest.raises(RangeError, match="fit: x holds numbers that are not finite"):
        trainer.fit(x, y, updates=3)
    assert net.parameters.tobytes() == before
    assert (trainer.updates, trainer.history.batch_losses, trainer.history.records) == (0, [], [])


def test_a_divergence_in_the_last_update_is_reported():
    """The loss before the update was finite; the parameters after it are not, or the validation loss is not."""
    x, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 2

    def trainer(dtype, rate):
        net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3), dtype=dtype)
        return fc.Trainer(net, optimizer=fc.SGD(rate), batch_size=12)

    with pytest.raises(NonFiniteLossError, match="parameters are not finite after update 1"):
        trainer("float32", 1e300).fit(x, y, updates=1)
    with pytest.raises(NonFiniteLossError, match=r"validation loss is (nan|inf) after update 1"):
        trainer("float64", 1e307).fit(x, y, updates=1, validation=(x * 1e6, y))


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, also where the tests run in the background and would not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.11, 0.17, 0.19])
def test_after_ctrl_c_training_goes_on_where_it_was(ctrl_c, delay):
    """A signal that comes while the engine runs: what was made is counted, and going on gives the same bits."""
    x, y = names(300)

    def trainer():
        return fc.Trainer(convnet(), batch_size=32, threads=1)

    whole, parts = trainer(), trainer()
    parts.fit(x, y, updates=1)  # what is imported late is imported now
    threading.Timer(delay, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        parts.fit(x, y, updates=10**9)
    assert 1 <= parts.updates == len(parts.history.batch_losses)
    parts.fit(x, y, updates=13)
    whole.fit(x, y, updates=parts.updates)
    assert parts.history.batch_losses == whole.history.batch_losses
    assert parts.net.parameters.tobytes() == whole.net.parameters.tobytes()
    assert parts.velocity.tobytes() == whole.velocity.tobytes()


def test_a_smaller_rate_helps_after_a_divergence():
    x, y = names(200)
    trainer = fc.Trainer(convnet(), optimizer=fc.SGD(1e30), batch_size=32)
    with pytest.raises(NonFiniteLossError):
        trainer.fit(x, y, updates=20)
    trainer.net.parameters[:] = convnet().parameters
    trainer.optimizer = fc.SGD(0.01)
    assert np.isfinite(trainer.fit(x, y, updates=5).batch_losses).all()


# Progress


def test_progress_goes_to_the_standard_error_stream(capsys):
    net, x, y = distinct(10)
    fc.Trainer(net, batch_size=5).fit(x, y, updates=3, validation=(x, y), progress=True)
    out, err = capsys.readouterr()
    assert "update" in err and not out


def test_words_for_the_progress_bar_stand_in_front_of_it(capsys):
    net, x, y = distinct(10)
    fc.Trainer(net, batch_size=5).fit(x, y, updates=3, progress="names: seed 3")
    assert re.search(r"names: seed 3: +\d+%.*update", capsys.readouterr().err)


@pytest.mark.parametrize("progress", [None, False])
def test_training_is_silent_where_nobody_watches(capfd, progress):
    net, x, y = distinct(10)
    fc.Trainer(net, batch_size=5).fit(x, y, updates=3, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_progress_bar(capsys, monkeypatch):
    net, x, y = distinct(10)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fc.Trainer(net, batch_size=5).fit(x, y, updates=3)
    assert "update" in capsys.readouterr().err


# Learning


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampling", ["shuffle", "undersample"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_an_easy_problem_is_learnt(dtype, sampling, class_weight):
    x, y = names(1200)
    xv, yv = names(300, seed=1)
    loss = fc.SoftmaxCrossEntropy(class_weight)
    trainer = fc.Trainer(convnet(dtype), loss, fc.SGD(0.05, momentum=0.9), batch_size=60, sampling=sampling)
    history = trainer.fit(x, y, updates=400, validation=(xv, yv), evaluate_every=100)
    assert np.mean(history.batch_losses[-20:]) < 0.1 * np.mean(history.batch_losses[:5])
    assert history["validation_accuracy"][-1] > 0.95


def test_fit_modifies_no_array_that_it_is_given():
    x, y = names(200)
    weight, validation = np.ones(200), names(50, seed=1)
    arrays = x, y, weight, *validation
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    fc.Trainer(convnet(), batch_size=32).fit(x, y, epochs=2, validation=validation, sample_weight=weight)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_training_works_on_the_network_s_own_parameters():
    net = convnet()
    views = dict(net.params)
    before = {name: array.copy() for name, array in views.items()}
    fc.Trainer(net, batch_size=32).fit(*names(100), updates=2)
    for name, array in net.params.items():
        assert array is views[name]
        assert not np.array_equal(array, before[name])
