"""The engine: the same bits for any number of threads and for AVX2 and AVX-512, whole steps, safety."""

import concurrent.futures
import copy
import hashlib
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

import fastconv as fc
from fastconv import augment, engine
from fastconv.engine import cpu
from fastconv.kernels import augmentation
from fastconv.reference.networks import NaiveNetwork, OptimisedNetwork, VectorisedNetwork
from fastconv.reference.sequential import NumpyNet

SUPPORTED = cpu.supported()


def names(rng, n=800, length=19, depth=28):
    codes = rng.integers(0, depth, (n, length)).astype(np.int16)
    codes[np.arange(length) >= rng.integers(0, length + 1, n)[:, None]] = -1
    return codes, rng.integers(0, 18, n)


def train(dtype, threads, updates=12, batch_size=130, bias=False):
    codes, labels = names(np.random.default_rng(0))
    net = fc.models.surname_convnet(28, 19, 18, (30, 30), (5, 5), bias=bias, dtype=dtype)
    trainer = fc.Trainer(net, optimizer=fc.SGD(0.01, 0.9), batch_size=batch_size, threads=threads)
    history = trainer.fit(codes, labels, updates=updates)
    return net, trainer, history.batch_losses


def fingerprint(net, trainer, losses):
    parts = net.parameters, trainer.velocity, np.array(losses), net.forward(names(np.random.default_rng(1))[0])
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [False, True])
def test_threads_change_no_bit(level, dtype, bias):
    prints = {threads: fingerprint(*train(dtype, threads, bias=bias)) for threads in (1, 2, 3, 8)}
    assert len(set(prints.values())) == 1, prints


@pytest.mark.skipif("avx512" not in SUPPORTED, reason="the processor has no AVX-512")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [False, True])
def test_avx2_and_avx512_give_the_same_bits(monkeypatch, dtype, bias):
    prints = []
    for level in ("avx2", "avx512"):
        monkeypatch.setattr(engine, "Program", engine.load(level).Program)
        prints.append(fingerprint(*train(dtype, 2, bias=bias)))
    assert prints[0] == prints[1]


def test_every_level_agrees_to_rounding(monkeypatch):
    found = []
    for level in SUPPORTED:
        monkeypatch.setattr(engine, "Program", engine.load(level).Program)
        found.append(train("float64", 1)[0].parameters)
    for parameters in found[1:]:
        np.testing.assert_allclose(parameters, found[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("length", "filters", "widths"), [(11, (4, 5), (3, 4)), (21, (9, 4), (9, 10))], ids=str)
def test_all_networks_train_to_the_same_losses(level, rng, length, filters, widths):
    """Naive, optimised, vectorised and this library: the same losses and weights, float64."""
    codes, labels = names(rng, n=60, length=length, depth=7)
    codes[5, 1] = -1  # an unknown character within a name
    weight = rng.uniform(0.5, 2, 60)
    net = fc.models.surname_convnet(7, length, 18, filters, widths, dtype="float64")
    kinds = NaiveNetwork, OptimisedNetwork, VectorisedNetwork
    others = [kind(codes, labels, *net.params.values(), weight) for kind in kinds]
    batches = [rng.integers(0, 60, 13) for _ in range(8)]
    trainer = fc.Trainer(
        net, optimizer=fc.SGD(0.05, momentum=0.9), batch_size=13, sampling=lambda labels, rng: np.concatenate(batches)
    )
    losses = trainer.fit(codes, labels, epochs=1, sample_weight=weight).batch_losses
    for other in others:
        expected = [other.step(rows, 0.05, 0.9) for rows in batches]
        np.testing.assert_allclose(losses, expected, rtol=1e-10)
        for mine, theirs in zip(net.params.values(), (other.w1, other.w2, other.w3), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("bias", [False, True])
def test_a_batch_may_have_more_chunks_than_there_are_gradient_buffers(level, rng, bias):
    codes, labels = names(rng, n=2600)
    net = fc.models.surname_convnet(28, 19, 18, (30, 30), (5, 5), bias=bias, dtype="float64")
    loss, gradients = net.loss_and_gradients(codes, labels)
    parts = [net.loss_and_gradients(codes[i::4], labels[i::4]) for i in range(4)]
    assert loss == pytest.approx(np.mean([part[0] for part in parts]), rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, np.mean([part[1][name] for part in parts], axis=0), rtol=1e-9, atol=1e-12)


def test_predictions_do_not_depend_on_the_batch(level, rng):
    codes, _ = names(rng, n=300)
    net = fc.models.surname_convnet(28, 19, 18, (30, 30), (5, 5))
    together = net.predict_proba(codes, threads=2)
    np.testing.assert_array_equal(together, np.concatenate([net.predict_proba(codes[i : i + 1]) for i in range(300)]))
    np.testing.assert_array_equal(together[::-1], net.predict_proba(codes[::-1]))


def padded_codes(rng, n, length, layers, **options):
    """A float32 network over strings of all lengths, and strings; Winograd's algorithm suits a second convolution."""
    first = [fc.OneHotConv1D(32, 3, padding="same", bias=False), fc.ReLU()]
    net = fc.Sequential([*first, *layers], input=fc.OneHotInput(length, 10), dtype="float32", seed=1, **options)
    x = rng.integers(0, 10, (n, length)).astype(np.int16)
    x[np.arange(length) >= rng.integers(0, length + 1, n)[:, None]] = -1
    return net, x


def test_predictions_behind_winograd_s_algorithm_do_not_depend_on_the_batch(level, rng):
    second = [fc.Conv1D(64, 5, padding=2, bias=False), fc.ReLU()]
    net, x = padded_codes(rng, 60, 22, [*second, fc.Conv1D(64, 3, bias=False), fc.Flatten(), fc.Dense(5)])
    alone = np.concatenate([net.forward(row[None]) for row in x])
    assert net.forward(x).tobytes() == alone.tobytes()


def test_threads_change_no_bit_behind_winograd_s_algorithm(level, rng):
    layers = [fc.Conv1D(64, 3, padding="same", bias=False), fc.ReLU(), fc.Flatten(), fc.Dense(5)]
    net, x = padded_codes(rng, 1500, 24, layers)
    y = rng.integers(0, 5, len(x))
    found = [net.loss_and_gradients(x, y, threads=threads)[1] for threads in (1, 2, 3, 8)]
    for name, gradient in found[0].items():
        assert all(gradient.tobytes() == other[name].tobytes() for other in found[1:]), name


def test_a_layer_may_be_longer_than_the_input(level, rng):
    layers = [fc.Conv1D(64, 1, padding=400), fc.ReLU(), fc.Conv1D(64, 3), fc.Flatten(), fc.Dense(3)]
    net = fc.Sequential(layers, input=fc.SequenceInput(9, 4), seed=0)
    x, y = rng.normal(size=(30, 9, 4)).astype(np.float32), rng.integers(0, 3, 30)
    _, gradients = net.loss_and_gradients(x, y)
    _, expected = NumpyNet(net.astype("float64")).loss_and_gradients(x.astype(np.float64), y)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=3e-5 * np.abs(expected[name]).max())


def test_padding_changes_nothing(level, rng):
    """What is not computed because it is known to be zero is zero: the dense form of the same network agrees."""
    codes, labels = names(rng, n=50)
    net = fc.models.surname_convnet(28, 19, 18, (9, 8), (5, 5), dtype="float64")
    dense = fc.Sequential(
        [fc.Conv1D(9, 5, bias=False), *net.layers[1:]], input=fc.SequenceInput(19, 28), dtype="float64"
    )
    dense.parameters[:] = net.parameters
    columns = (codes[:, :, None] == np.arange(28)).astype(float)
    loss, gradients = net.loss_and_gradients(codes, labels)
    expected, expected_gradients = dense.loss_and_gradients(columns, labels)
    assert loss == pytest.approx(expected, rel=1e-13)
    for name in gradients:
        np.testing.assert_allclose(gradients[name], expected_gradients[name], rtol=1e-10, atol=1e-14)


# A convolution of codes whose largest numbers are taken in the same pass, and dropout behind a ReLU

WINDOWS = {
    "valid": {}, "same": {"padding": "same"}, "strided": {"stride": 2, "padding": 2}, "beyond": {"padding": 5},
    "dilated": {"dilation": 3}, "all": {"stride": 3, "padding": 4, "dilation": 2},
}  # fmt: skip


def pooled(dtype, relu=True, filters=19, **window):
    """A network that pools over its convolution, and codes: some samples without any, some with gaps."""
    layers = [fc.OneHotConv1D(filters, 3, **window), *[fc.ReLU()] * relu, fc.GlobalMaxPool1D(), fc.Dense(18)]
    net, rng = fc.Sequential(layers, fc.OneHotInput(13, 6), dtype), np.random.default_rng(3)
    net.parameters[:] = rng.normal(size=net.parameters.size)
    codes, labels = names(rng, 150, 13, 6)
    codes[::7, 1:4] = -1
    return net, codes, labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("relu", [True, False], ids=["relu", "no relu"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_the_largest_of_a_convolution_of_codes_are_the_twin_s(level, dtype, relu, bias, window):
    net, codes, labels = pooled(dtype, relu, bias=bias, **window)
    twin, tolerance = NumpyNet(net.astype("float64")), {"rtol": 1e-9 if dtype == "float64" else 1e-3}
    tolerance["atol"] = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(net.forward(codes), twin.forward(codes)[0], **tolerance)
    loss, gradients = net.loss_and_gradients(codes, labels)
    expected_loss, expected = twin.loss_and_gradients(codes, labels)
    assert loss == pytest.approx(expected_loss, rel=tolerance["rtol"])
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("relu", [True, False], ids=["relu", "no relu"])
def test_of_equal_largest_numbers_the_first_has_the_gradient(level, relu):
    net, codes, labels = pooled("float64", relu, padding="same")
    net.params["0.w"][:] = np.round(net.params["0.w"])
    net.params["0.b"][:] = 0
    (_, gradients), (_, expected) = (each.loss_and_gradients(codes, labels) for each in (net, NumpyNet(net)))
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_that_is_not_a_number_shows_in_every_string_that_meets_it(level, dtype):
    net, codes, _ = pooled(dtype, padding="same")
    before = net.forward(codes)
    net.params["0.w"][1, 2, 0] = np.nan
    meets = (codes == 2).any(axis=1)
    after = net.forward(codes)
    assert 0 < meets.sum() < len(codes)
    assert np.isnan(after[meets]).all() and np.array_equal(after[~meets], before[~meets])


def test_the_gradient_through_the_largest_is_the_numerical_one(level):
    net, codes, labels = pooled("float64", filters=5, padding=2)
    assert max(fc.gradcheck(net, codes[:20], labels[:20]).values()) <= 1e-6


BEHIND_A_RELU = {
    "pooled codes": [fc.OneHotConv1D(19, 3), fc.ReLU(), fc.GlobalMaxPool1D(), fc.Dropout(0.4), fc.Dense(18)],
    "codes": [fc.OneHotConv1D(19, 3), fc.ReLU(), fc.Dropout(0.4), fc.Flatten(), fc.Dense(18)],
    "sequence": [
        fc.Embedding(3), fc.Conv1D(9, 3), fc.ReLU(), fc.Dropout(0.4), fc.Conv1D(5, 2), fc.ReLU(), fc.Dropout(0.2),
        fc.GlobalMaxPool1D(), fc.Dense(18),
    ],
    "dense": [fc.Embedding(3), fc.Flatten(), fc.Dense(21), fc.ReLU(), fc.Dropout(0.4), fc.Dense(18)],
    "twice": [fc.Embedding(3), fc.Flatten(), fc.Dense(21), fc.ReLU(), fc.Dropout(0.4), fc.Dropout(0.2), fc.Dense(18)],
    "none": [fc.Embedding(3), fc.Flatten(), fc.Dense(21), fc.Tanh(), fc.Dropout(0.4), fc.Dense(18)],
}  # fmt: skip


@pytest.mark.parametrize("layers", BEHIND_A_RELU.values(), ids=BEHIND_A_RELU)
def test_the_way_back_through_dropout_is_the_twin_s(level, layers, rng):
    net = fc.Sequential(layers, fc.OneHotInput(13, 6), "float64")
    net.parameters[:] = rng.normal(size=net.parameters.size)
    codes, labels = names(rng, 150, 13, 6)
    loss, gradients = net.loss_and_gradients(codes, labels, seed=5)
    expected_loss, expected = NumpyNet(net).loss_and_gradients(codes, labels, seed=5)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.skipif("avx512" not in SUPPORTED, reason="the processor has no AVX-512")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_avx2_and_avx512_give_the_same_bits_of_pooled_codes(monkeypatch, dtype):
    codes, labels = names(np.random.default_rng(0))
    prints = []
    for level, threads in (("avx2", 1), ("avx512", 1), ("avx512", 3)):
        monkeypatch.setattr(engine, "Program", engine.load(level).Program)
        net = fc.models.char_convnet(28, 19, 18, filters=37, dtype=dtype)
        trainer = fc.Trainer(net, optimizer=fc.AdamW(0.01), batch_size=70, threads=threads)
        prints.append(fingerprint(net, trainer, trainer.fit(codes, labels, updates=15).batch_losses))
    assert len(set(prints)) == 1


def test_many_python_threads_share_a_network(rng):
    codes, labels = names(rng, n=400)
    net = fc.models.surname_convnet(28, 19, 18)
    expected, (loss, _) = net.forward(codes), net.loss_and_gradients(codes, labels)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: net.forward(codes, threads=2), range(40)):
            np.testing.assert_array_equal(found, expected)
        assert set(pool.map(lambda _: net.loss_and_gradients(codes, labels, threads=2)[0], range(40))) == {loss}


ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinities are read as on Linux")


@ON_LINUX
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_every_thread_keeps_its_affinity(rng, threads):
    """A thread that moves away from a taken core may run on all cores again afterwards."""
    codes, labels = names(rng, n=400)
    net = fc.models.surname_convnet(28, 19, 18)
    trainer = fc.Trainer(net, batch_size=400, threads=threads)
    allowed = os.sched_getaffinity(0)
    for _ in range(20):
        net.forward(codes, threads=threads)
        trainer.fit(codes, labels, updates=2)
    assert all(os.sched_getaffinity(int(thread)) == allowed for thread in os.listdir("/proc/self/task"))


@ON_LINUX
def test_threads_that_share_a_core_give_the_same_bits():
    script = f"""
import os, sys
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_engine import fingerprint, train
assert len({{fingerprint(*train("float32", threads)) for threads in (1, 2, 3)}}) == 1
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_compute():
    """OpenMP's threads do not survive a fork: the child computes on one, with the same bits."""
    script = """
import os, sys
import numpy as np
import fastconv as fc
net = fc.models.surname_convnet(28, 19, 18)
codes = np.random.default_rng(0).integers(-1, 28, (500, 19)).astype(np.int16)
before = net.forward(codes, threads=2)
pid = os.fork()
if pid == 0:
    os._exit(0 if np.array_equal(net.forward(codes, threads=2), before) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60).returncode == 0


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("level", SUPPORTED)
def test_the_environment_chooses_the_instruction_set(level):
    found = run_python("import fastconv.engine as e; print(e.LEVEL, e.Program.__module__)", FASTCONV_SIMD=level)
    assert found.stdout.split() == [level, f"fastconv.engine._{level}"]


def test_an_unknown_instruction_set_is_an_error():
    found = run_python("import fastconv.engine", FASTCONV_SIMD="mmx")
    assert found.returncode == 1 and "expected one of base, avx2, avx512, got 'mmx'" in found.stderr


def test_threads_are_bounded_by_the_environment_and_threadpoolctl():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    assert run_python("import fastconv.engine as e; print(e.threads())", OMP_NUM_THREADS="1").stdout == "1\n"
    if cpu.OPENMP:
        with threadpoolctl.threadpool_limits(1):
            assert engine.threads() == 1
        assert engine.threads(5) == 5


def window(width):
    """A window over one line: size, stride, padding before and after, dilation."""
    return ((1, width), (1, 1), (0, 0), (0, 0), (1, 1))


def program(**options):
    ops = [("onehot_conv1d", 3, window(2), False), ("relu",), ("dense", 4, True)]
    return engine.Program(ops, (5, 6), True, False, **options)


def arrays():
    return dict(
        x=np.zeros((7, 5), np.int16), parameters=np.zeros(program().size), loss=("softmax_cross_entropy", 0.0, 0.0),
        labels=np.zeros(7, np.int64), targets=None, weight=None, order=np.arange(7), starts=np.array([0, 7]),
        rates=np.ones(1), optimiser=("sgd", 0.0, 0.0, False), optimiser_state=np.zeros(program().size),
        losses=np.zeros(1), hits=np.zeros(1, np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        dict(x=np.full((7, 5), 6, np.int16)),
        dict(x=np.full((7, 5), -2, np.int16)),
        dict(x=np.zeros((7, 4), np.int16)),
        dict(x=np.zeros((7, 5), np.int32)),
        dict(x=np.zeros((7, 10), np.int16)[:, ::2]),
        dict(labels=np.full(7, 4)),
        dict(labels=np.full(7, -1)),
        dict(labels=np.zeros(6, np.int64)),
        dict(weight=np.ones(6)),
        dict(weight=np.ones(7, np.float32)),
        dict(order=np.array([0, 1, 2, 3, 4, 5, 7])),
        dict(order=np.array([0, 1, 2, 3, 4, 5, -1])),
        dict(starts=np.array([0, 8])),
        dict(starts=np.array([-1, 7])),
        dict(starts=np.array([3, 3])),
        dict(starts=np.array([0, 3, 7])),
        dict(parameters=np.zeros(3)),
        dict(parameters=np.zeros(program().size, np.float32)),
        dict(optimiser_state=np.zeros(3)),
        dict(optimiser=("adam", 0.0, 0.9, 0.999, 1e-8)),
        dict(optimiser=("rmsprop", 0.0, 0.9, 0.9, 1e-8)),
        dict(targets=np.ones((6, 4))),
        dict(targets=np.ones((7, 4), np.float32)),
        dict(losses=np.zeros(0)),
        dict(hits=np.zeros(1, np.int32)),
        dict(augmentations=augment.lowered([augment.HorizontalFlip()], (1, 5, 6))),
    ],
    ids=repr,
)
def test_the_program_reads_and_writes_nothing_out_of_bounds(level, wrong):
    with pytest.raises((ValueError, BufferError)):
        program().train(**{**arrays(), **wrong})


FLIP, MIXUP, CUTMIX = (augmentation.KINDS[name] for name in ("HorizontalFlip", "MixUp", "CutMix"))


@pytest.mark.parametrize(
    "fields",
    [
        [dict(kind=-1)],
        [dict(kind=len(augmentation.KINDS))],
        [dict(padding=-1)],
        [dict(padding=2**15)],
        [dict(padding=3, reflect=1)],
        [dict(kind=MIXUP, alpha=0)],
        [dict(kind=CUTMIX, alpha=np.nan)],
        [dict(kind=MIXUP, alpha=1), dict(kind=FLIP), dict(kind=CUTMIX, alpha=1)],
        None,
    ],
    ids=repr,
)
def test_augmentations_that_do_not_fit_are_refused(level, fields):
    images = engine.Program([("dense", 4, True)], (3, 5, 2), False, False)
    given = {**arrays(), "x": np.zeros((7, 3, 5, 2)), "parameters": np.zeros(images.size)}
    given["optimiser_state"] = np.zeros(images.size)
    images.train(**given, augmentations=np.zeros(1, augmentation.DTYPE))
    steps = np.zeros(2) if fields is None else np.zeros(len(fields), augmentation.DTYPE)
    for step, changes in zip(steps, fields or [], strict=False):
        for name, value in changes.items():
            step[name] = value
    with pytest.raises(ValueError, match=r"Program: (augmentation . does not fit|expected .* elements of type 'B')"):
        images.train(**given, augmentations=steps)


def test_the_program_does_not_write_to_read_only_arrays(level):
    given = arrays()
    given["parameters"].flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        program().train(**given)


@pytest.mark.parametrize(
    "ops",
    [
        [("conv1d", 3, window(2), False)],
        [("onehot_conv1d", 3, window(6), False)],
        [("onehot_conv1d", 0, window(2), False)],
        [("onehot_conv1d", 3, window(2), False), ("onehot_conv1d", 3, window(2), False)],
        [("dense", 3, False)],
        [("relu",), ("conv1d", 3, window(2), False)],
        [],
    ],
)
def test_operations_that_do_not_fit_are_refused(level, ops):
    with pytest.raises(ValueError, match="does not fit"):
        engine.Program(ops, (5, 6), True, False)


@pytest.mark.memory
def test_memory_is_given_back():
    """Three hundred calls leave the process no larger than thirty did."""
    code = """
import numpy as np
import fastconv as fc
net = fc.models.surname_convnet(28, 19, 18)
codes, labels = np.zeros((300, 19), np.int16), np.zeros(300, np.int64)
def calls(n):
    for _ in range(n):
        net.forward(codes)
        net.loss_and_gradients(codes, labels)
    with open("/proc/self/status") as file:  # ru_maxrss would begin at the size of the process that started this one
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
first = calls(30)
print(calls(300) - first)
"""
    if sys.platform != "linux":
        pytest.skip("no /proc/self/status here")
    assert int(run_python(code).stdout) < 4_000  # kB


def test_a_network_can_be_copied_and_pickled(rng):
    codes, _ = names(rng, n=20)
    net = fc.models.surname_convnet(28, 19, 18, seed=3)
    net.parameters += 1
    net.metadata = {"a": 1}
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again.forward(codes), net.forward(codes))
        assert (again.seed, again.metadata) == (3, {"a": 1})
        assert not np.shares_memory(again.parameters, net.parameters)


@pytest.mark.parametrize("length", [10**9, 2**40, 2**62])
def test_a_network_that_no_memory_could_hold_is_refused(length):
    with pytest.raises(ValueError, match="too large"):
        fc.Sequential([fc.Conv1D(1000, 1)], input=fc.SequenceInput(length, length))


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_multiply_add_peak_is_a_rate(name):
    found = engine.load(name).multiply_add_peak(0)
    assert np.isfinite(found) and found > 0.1


def test_the_peak_takes_about_the_time_that_it_is_given():
    start = time.perf_counter()
    engine.load().multiply_add_peak(0.05)
    assert 0.05 <= time.perf_counter() - start < 5
