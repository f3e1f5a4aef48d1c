"""Checkpoints: a run that is stopped and resumed ends with the same bits, and what does not fit changes nothing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import modelfile
from fastconv.augment import HorizontalFlip, MixUp, RandomCrop
from fastconv.errors import DTypeError, ModelFormatError, RangeError
from fastconv.training import BestNetwork, Checkpoint, EarlyStopping

OPTIMISERS = {
    "sgd": lambda: fc.SGD(0.01),
    "nesterov": lambda: fc.SGD(fc.schedules.Cyclical(1e-4, 0.1, 5), 0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda: fc.RMSprop(fc.schedules.Cosine(0.01, 40), momentum=0.5),
    "adam": lambda: fc.Adam(lambda update: 0.01 / (1 + update)),
    "adamw": lambda: fc.AdamW(fc.schedules.OneCycle(0.01, 40)),
}
every_optimiser = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)


def data(n=107):
    """The last batch of an epoch is smaller."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 6, 6, 2)), np.array([0, 0, 0, 1, 2])[rng.integers(0, 5, n)]


def trainer(optimiser=OPTIMISERS["nesterov"], dtype="float32", **settings):
    """One with everything that chance or the past has a part in."""
    layers = [fc.Conv2D(5, 3), fc.BatchNorm(), fc.ReLU(), fc.Flatten(), fc.Dropout(0.3), fc.Dense(3)]
    net = fc.Sequential(layers, input=fc.ImageInput(6, 6, 2), dtype=dtype, seed=1)
    usual = {
        "loss": fc.FocalLoss(class_weight="balanced", l2=1e-3),
        "augment": [HorizontalFlip(), RandomCrop(1), MixUp()],
    }
    return fc.Trainer(net, optimizer=optimiser(), **{**usual, "batch_size": 20, "seed": 2, **settings})


def bits(trainer):
    net = trainer.net
    return *(array.tobytes() for array in (net.parameters, net.statistics, trainer.state)), trainer.updates


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stops", [(9,), (6, 12, 13)], ids=str)
def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(tmp_path, optimiser, dtype, stops):
    x, y = data()
    expected = trainer(optimiser, dtype, threads=1)
    for updates in np.diff((0, *stops, 25)):
        expected.fit(x, y, updates=int(updates))
    for threads in (1, 2, 3):
        run = trainer(optimiser, dtype, threads=threads)
        for start, stop in zip((0, *stops), (*stops, 25), strict=True):
            run.fit(x, y, updates=stop - start)
            run.save(tmp_path / "checkpoint")
            run = trainer(optimiser, dtype, threads=threads + 1)
            run.resume(tmp_path / "checkpoint")
        assert bits(run) == bits(expected)
        assert run.history.batch_losses == expected.history.batch_losses
        assert without_time(run.history.records) == without_time(expected.history.records)


@pytest.mark.parametrize("sampling", ["undersample", lambda labels, rng: rng.integers(0, len(labels), 50)],
                         ids=["undersample", "function"])  # fmt: skip
def test_the_place_in_the_epoch_is_kept_for_every_sampling(tmp_path, sampling):
    x, y = data()
    whole, first, second = (trainer(sampling=sampling) for _ in range(3))
    whole.fit(x, y, updates=11)
    first.fit(x, y, updates=4)
    first.save(tmp_path / "checkpoint")
    second.resume(tmp_path / "checkpoint")
    second.fit(x, y, updates=7)
    assert bits(second) == bits(whole)


def test_a_killed_process_goes_on_from_its_last_checkpoint(tmp_path):
    script = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_checkpoints import Checkpoint, data, trainer
path = {str(tmp_path / "checkpoint")!r}
kill = lambda trainer, record: os._exit(7) if record["update"] == 16 else None
trainer().fit(*data(), updates=40, evaluate_every=4, validation=data(), callbacks=[kill, Checkpoint(path)])
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 7
    x, y = data()
    run, expected = trainer(), trainer()
    run.resume(tmp_path / "checkpoint")
    assert run.updates == 12
    for one, updates in ((run, 11), (expected, 23)):
        one.fit(x, y, updates=updates, evaluate_every=4, validation=(x, y))
    assert bits(run) == bits(expected)
    assert without_time(run.history.records) == without_time(expected.history.records)
    assert os.listdir(tmp_path) == ["checkpoint"]
    seconds = run.history["seconds"]
    assert np.all(np.diff(seconds) > 0)


def test_a_trainer_that_has_run_can_go_back(tmp_path):
    x, y = data()
    run = trainer()
    run.save(tmp_path / "start")
    run.fit(x, y, updates=3)
    run.save(tmp_path / "checkpoint")
    run.fit(x, y, updates=5)
    after = bits(run)
    history = run.history
    run.resume(tmp_path / "checkpoint")
    assert run.updates == 3 and len(history.batch_losses) == 3 and run.history is history
    run.fit(x, y, updates=5)
    assert bits(run) == after
    run.resume(tmp_path / "start")
    assert bits(run) == bits(trainer()) and not run.history.records


def test_soft_targets_and_weights_are_given_again(tmp_path):
    x, y = data()
    soft, weight = np.eye(3)[y] * 0.9 + 0.05, np.linspace(0, 2, len(y))
    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(x, soft, updates=9, sample_weight=weight)
    first.fit(x, soft, updates=4, sample_weight=weight)
    first.save(tmp_path / "checkpoint")
    second.resume(tmp_path / "checkpoint")
    second.fit(x, soft, updates=5, sample_weight=weight)
    assert bits(second) == bits(whole)


def test_a_network_without_parameters_has_checkpoints_too(tmp_path):
    def empty():
        return fc.Trainer(fc.Sequential([fc.ReLU()], input=fc.VectorInput(2)), batch_size=2)

    first, second = empty(), empty()
    first.fit([[0.0, 1.0]] * 5, [0, 1, 1, 1, 0], updates=2)
    first.save(tmp_path / "checkpoint")
    second.resume(tmp_path / "checkpoint")
    assert second.updates == 2


# What does not fit

OTHERS = {
    "network": lambda: trainer(dtype="float64"),
    "loss": lambda: trainer(loss=fc.FocalLoss(class_weight="balanced", l2=2e-3)),
    "loss, weights": lambda: trainer(loss=fc.FocalLoss(class_weight=[1, 2, 3], l2=1e-3)),
    "optimizer": lambda: trainer(OPTIMISERS["adamw"]),
    "optimizer, setting": lambda: trainer(lambda: fc.SGD(fc.schedules.Cyclical(1e-4, 0.1, 5), 0.9, weight_decay=0.01)),
    "learning_rate": lambda: trainer(
        lambda: fc.SGD(fc.schedules.Cyclical(1e-4, 0.1, 6), 0.9, nesterov=True, weight_decay=0.01)
    ),
    "batch_size": lambda: trainer(batch_size=21),
    "seed": lambda: trainer(seed=3),
    "sampling": lambda: trainer(sampling="undersample"),
    "augment": lambda: trainer(augment=None),
    "augment, setting": lambda: trainer(augment=[HorizontalFlip(), RandomCrop(2), MixUp()]),
    "augment, order": lambda: trainer(augment=[RandomCrop(1), HorizontalFlip(), MixUp()]),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_training_is_refused_and_changes_nothing(tmp_path, what):
    x, y = data()
    first, other = trainer(), OTHERS[what]()
    first.fit(x, y, updates=2)
    first.save(tmp_path / "checkpoint")
    before = bits(other)
    with pytest.raises(RangeError, match=f"resume: .* was made with {what.split(',')[0]} .*, this trainer has"):
        other.resume(tmp_path / "checkpoint")
    assert bits(other) == before and not other.history.records


def damaged(change):
    def write(path, trainer):
        trainer.save(path)
        arrays, header = modelfile.read(path)
        change(arrays, header)
        modelfile.write(path, arrays, header)

    return write


DAMAGED = {
    "a model file": lambda path, trainer: trainer.net.save(path),
    "nothing": lambda path, trainer: path.write_bytes(b""),
    "cut": lambda path, trainer: (trainer.save(path), path.write_bytes(path.read_bytes()[:-1])),
    "no setting": damaged(lambda arrays, header: header["checkpoint"].pop("seed")),
    "no progress": damaged(lambda arrays, header: header.pop("progress")),
    "updates": damaged(lambda arrays, header: header["progress"].update(updates=3)),
    "a negative place": damaged(lambda arrays, header: header["progress"].update(position=-1)),
    "a broken place": damaged(lambda arrays, header: header["progress"].update(position=1.0)),
    "since": damaged(lambda arrays, header: header["progress"].update(since=[1])),
    "no records": damaged(lambda arrays, header: arrays.pop("records")),
    "records of numbers": damaged(
        lambda arrays, header: arrays.update(records=np.frombuffer(json.dumps([1]).encode(), np.uint8))
    ),
    "no state": damaged(lambda arrays, header: arrays.pop("state")),
    "other state": damaged(lambda arrays, header: arrays.update(state=arrays["state"][:, 1:])),
    "other dtype": damaged(lambda arrays, header: arrays.update(state=arrays["state"].astype(np.float64))),
    "NaN": damaged(lambda arrays, header: arrays["parameters"].__setitem__(0, np.nan)),
    "something else": damaged(lambda arrays, header: arrays.update(velocity=np.ones(3))),
}


@pytest.mark.parametrize("write", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(tmp_path, write):
    x, y = data()
    first, other = trainer(), trainer()
    first.fit(x, y, updates=2)
    write(tmp_path / "checkpoint", first)
    before = bits(other)
    with pytest.raises(ModelFormatError):
        other.resume(tmp_path / "checkpoint")
    assert bits(other) == before and not other.history.records


def test_a_checkpoint_is_no_model_file(tmp_path):
    trainer().save(tmp_path / "checkpoint")
    with pytest.raises(ModelFormatError, match="checkpoint: a checkpoint of a training, not a model file"):
        fc.load(tmp_path / "checkpoint")


def test_a_checkpoint_is_not_overwritten_by_numbers_that_are_not_finite(tmp_path):
    x, y = data()
    run = trainer()
    run.fit(x, y, updates=2)
    run.save(tmp_path / "checkpoint")
    before = (tmp_path / "checkpoint").read_bytes()
    run.state[0, 0] = np.inf
    with pytest.raises(RangeError, match="save: state holds numbers that are not finite"):
        run.save(tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint").read_bytes() == before


def test_records_are_of_json_s_types(tmp_path):
    run = trainer()
    run.fit(*data(), updates=1, callbacks=[lambda trainer, record: record.update(note="kept", best=np.float64(0.5))])
    run.save(tmp_path / "checkpoint")
    again = trainer()
    again.resume(tmp_path / "checkpoint")
    assert again.history.records == run.history.records
    run.history.records[0]["array"] = np.ones(2)
    with pytest.raises(DTypeError, match="save: the history's records: "):
        run.save(tmp_path / "checkpoint")


# Callbacks


@pytest.mark.parametrize(("every", "updates"), [(1, 7), (2, 6), (3, 7)])
def test_a_checkpoint_is_written_after_every_so_many_records(tmp_path, every, updates):
    x, y = data()
    checkpoint = Checkpoint(tmp_path / "checkpoint", every)
    trainer().fit(x, y, updates=7, evaluate_every=3, callbacks=[checkpoint])  # records at 3, 6 and 7
    again = trainer()
    again.resume(checkpoint.path)
    assert again.updates == updates


def test_records_between_checkpoints_are_counted_in_whole_numbers():
    with pytest.raises(RangeError, match="Checkpoint: every: expected a positive integer, got 0"):
        Checkpoint("path", 0)


@pytest.mark.parametrize("by", ["validation_loss", "validation_accuracy", "train_loss"])
def test_the_best_network_is_the_first_with_the_best_record(tmp_path, by):
    x, y = data()
    run, kept, best = trainer(lambda: fc.SGD(0.5)), [], BestNetwork(tmp_path / "best", by)
    keep = [lambda trainer, record: kept.append(trainer.net.parameters.copy())]
    history = run.fit(x, y, updates=14, evaluate_every=1, validation=data(41), callbacks=[*keep, best])
    values = history[by]
    at = int(np.argmin(values) if by.endswith("loss") else np.argmax(values))
    assert at < 13  # later ones are worse
    np.testing.assert_array_equal(fc.load(tmp_path / "best").parameters, kept[at])


def test_the_best_network_remembers_what_was_before_a_checkpoint(tmp_path):
    x, y = data()
    first, second, best = trainer(), trainer(), BestNetwork(tmp_path / "best", "train_loss")
    first.fit(x, y, updates=4, callbacks=[best])
    first.history.records[0]["train_loss"] = -1.0  # better than any loss
    first.save(tmp_path / "checkpoint")
    before = (tmp_path / "best").read_bytes()
    second.resume(tmp_path / "checkpoint")
    second.fit(x, y, updates=4, callbacks=[best])
    assert (tmp_path / "best").read_bytes() == before


def test_the_best_needs_its_entry(tmp_path):
    with pytest.raises(RangeError, match="BestNetwork: expected a record with 'validation_accuracy', got update, "):
        trainer().fit(*data(), updates=1, callbacks=[BestNetwork(tmp_path / "best")])


@pytest.mark.parametrize("by", ["validation_loss", "validation_accuracy", "train_loss"])
def test_early_stopping_ends_after_some_records_without_a_better_one_and_restores_the_best(by):
    x, y = data()
    run, kept, stopping = trainer(lambda: fc.SGD(0.5)), [], EarlyStopping(4, by)
    keep = [lambda trainer, record: kept.append((trainer.net.parameters.copy(), trainer.net.statistics.copy()))]
    history = run.fit(x, y, updates=100, evaluate_every=1, validation=data(41), callbacks=[*keep, stopping])
    values = history[by]
    at = int(np.argmin(values) if by.endswith("loss") else np.argmax(values))
    assert len(history) == at + 1 + 4 < 100
    assert stopping.best == history.records[at]
    stopping.restore(run.net)
    np.testing.assert_array_equal(run.net.parameters, kept[at][0])
    np.testing.assert_array_equal(run.net.statistics, kept[at][1])


def test_without_a_record_early_stopping_leaves_the_network_as_it_is():
    net = trainer().net
    before = net.parameters.tobytes(), net.statistics.tobytes()
    EarlyStopping().restore(net)
    assert (net.parameters.tobytes(), net.statistics.tobytes()) == before


def test_early_stopping_needs_patience_and_its_entry():
    with pytest.raises(RangeError, match="EarlyStopping: patience: expected a positive integer, got 0"):
        EarlyStopping(0)
    with pytest.raises(RangeError, match="EarlyStopping: expected a record with 'validation_accuracy', got update, "):
        trainer().fit(*data(), updates=1, callbacks=[EarlyStopping()])
