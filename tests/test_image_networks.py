"""The ways that the engine takes with larger networks for images, against the NumPy twin and against each other."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.reference import convolution, pooling
from fastconv.reference.sequential import NumpyNet


def network(layers, size, dtype="float64", **options):
    net = fc.Sequential(layers, input=fc.ImageInput(*size), dtype=dtype, seed=3, **options)
    rng = np.random.default_rng(4)
    for name, array in net.params.items():
        if name.endswith("b"):
            array[...] = rng.normal(size=array.shape) / 4
    return net


def batch(net, n, rng):
    x = rng.normal(size=(n, *net.input.shape)).astype(net.dtype)
    return x, rng.integers(0, net.output_shape[0], n)


def assert_gradients_equal_the_twin_s(net, n, rng, **options):
    x, y = batch(net, n, rng)
    loss, gradients = net.loss_and_gradients(x, y, **options)
    expected_loss, expected = NumpyNet(net.astype("float64")).loss_and_gradients(x.astype(np.float64), y)
    close = 1e-11 if net.dtype == np.float64 else 3e-5
    assert loss == pytest.approx(expected_loss, rel=close)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=close * np.abs(expected[name]).max())


POOLED = {
    "3x3": [fc.Conv2D(24, 3), fc.ReLU(), fc.MaxPool2D(2)],
    "5x5 same": [fc.Conv2D(19, 5, padding="same"), fc.ReLU(), fc.MaxPool2D(2)],
    "no ReLU": [fc.Conv2D(9, 3, padding=1), fc.MaxPool2D(2)],
    "wide windows": [fc.Conv2D(9, (2, 3), padding=(1, 2)), fc.ReLU(), fc.MaxPool2D((3, 2), stride=(4, 3))],
    "more than 64 filters": [fc.Conv2D(70, 3), fc.ReLU(), fc.MaxPool2D(2)],
    "wide filters": [fc.Conv2D(8, (1, 8), padding="same"), fc.ReLU(), fc.MaxPool2D(2)],
    "overlapping windows": [fc.Conv2D(8, 3), fc.ReLU(), fc.MaxPool2D(3, stride=2)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", POOLED.values(), ids=POOLED)
def test_gradients_in_front_of_max_pooling_skip_zeros_and_nothing_else(level, rng, layers, dtype):
    first = [fc.Conv2D(16, 3, padding=1), fc.Tanh()]
    net = network([*first, *layers, fc.Flatten(), fc.Dense(3)], (9, 11, 2), dtype)
    assert_gradients_equal_the_twin_s(net, 5, rng)


FIRST = {
    "3x3": (fc.Conv2D(32, 3), (12, 12, 3)),
    "5x5 same": (fc.Conv2D(33, 5, padding="same"), (11, 13, 3)),
    "stride": (fc.Conv2D(5, (3, 4), stride=2, padding=1), (14, 13, 2)),
    "dilation": (fc.Conv2D(19, 3, dilation=2, padding=2), (7, 9, 1)),
    "lines in the padding alone": (fc.Conv2D(70, (7, 2), padding=(4, 1)), (3, 8, 5)),
    "more channels": (fc.Conv2D(17, 3), (9, 10, 11)),
}
BEHIND = {
    "alone": [],
    "ReLU": [fc.ReLU()],
    "pooled": [fc.MaxPool2D(2)],
    "ReLU, pooled": [fc.ReLU(), fc.MaxPool2D(2)],
}


def first_gradients(net, x, dy, input_gradient=False, y=None, **options):
    """The gradients by the parameters, by a plan that can give those by the input too, or not."""
    ops = [layer.lower(shape) for layer, shape in zip(net.layers, net._shapes, strict=False)]
    program = fc.engine.Program(ops, net.input.shape, False, net.dtype == np.float32, input_gradient)
    flat, dx = np.full_like(net.parameters, np.nan), np.empty_like(x) if input_gradient else None
    program.backward(x, net.parameters, dy, flat, dx, y=y, **options)
    return flat


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("layer, size", FIRST.values(), ids=FIRST)
def test_integer_gradients_of_the_first_layer_come_out_exactly(level, rng, layer, size, behind, dtype):
    """Of more than one chunk, for any number of threads, and wherever the output's gradient lies in memory."""
    net = network([layer, *behind], size, dtype)
    net.parameters[:] = rng.integers(-3, 4, net.parameters.size)
    x = rng.integers(-3, 4, (53, *size)).astype(dtype)
    dy = rng.integers(-3, 4, (53, *net.output_shape)).astype(dtype)

    w, b = (net.params[name].astype(np.int64) for name in ("0.w", "0.b"))
    window = {name: getattr(layer, name) for name in ("stride", "padding", "dilation")}
    inside = convolution.conv2d(x.astype(np.int64), w, b, **window)
    back = dy.astype(np.int64)
    rectified = np.maximum(inside, 0) if fc.ReLU in map(type, behind) else inside
    if fc.MaxPool2D in map(type, behind):
        back = pooling.max_pool2d_backward(back, rectified, 2)
    if rectified is not inside:
        back = back * (inside > 0)
    _, dw, db = convolution.conv2d_backward(back, x.astype(np.int64), w, **window)

    dy.flags.writeable = False
    found = first_gradients(net, x, dy)
    np.testing.assert_array_equal(found, np.concatenate([dw.ravel(), db]))
    for threads in (2, 3, 8):
        assert first_gradients(net, x, dy, threads=threads).tobytes() == found.tobytes()
    elsewhere = np.append(dy.ravel()[:1], dy)[1:].reshape(dy.shape)
    assert first_gradients(net, x, elsewhere).tobytes() == found.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("layer, size", FIRST.values(), ids=FIRST)
def test_the_first_layer_s_gradient_has_the_bits_of_any_layer_s(level, rng, layer, size, behind, dtype):
    """Whether its output is wanted or not, too; and what is not finite survives."""
    net = network([layer, *behind], size, dtype)
    x, dy = (rng.normal(size=(30, *shape)).astype(dtype) for shape in (size, net.output_shape))
    x[3, 1, 2, 0], dy[5, 0, 0, 1], dy[7, 0, 1, 2] = np.nan, np.inf, np.nan
    found = first_gradients(net, x, dy)
    assert np.isnan(found).any() and np.isfinite(found).any()
    y = np.empty((30, *net.output_shape), dtype)
    np.testing.assert_array_equal(first_gradients(net, x, dy, input_gradient=True), found)
    np.testing.assert_array_equal(first_gradients(net, x, dy, y=y), found)
    np.testing.assert_array_equal(y, net.forward(x))


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("layer, size", FIRST.values(), ids=FIRST)
def test_the_first_layer_s_gradient_has_the_same_bits_at_both_avx_levels(monkeypatch, rng, layer, size, behind):
    levels = [name for name in fc.engine.cpu.supported() if name != "base"]
    if len(levels) < 2:
        pytest.skip("the processor has one of them at most")
    net = network([layer, *behind], size, "float32")
    x, dy = (rng.normal(size=(30, *shape)).astype(np.float32) for shape in (size, net.output_shape))
    results = []
    for name in levels:
        monkeypatch.setattr(fc.engine, "Program", fc.engine.load(name).Program)
        results.append(first_gradients(net, x, dy).tobytes())
    assert results[0] == results[1]


def test_gradients_of_more_chunks_than_buffers_add_up(level, rng):
    """900 samples are 38 chunks of 24, which share 32 buffers."""
    layers = [fc.Conv2D(8, 3), fc.ReLU(), fc.Conv2D(8, 3), fc.ReLU(), fc.MaxPool2D(2), fc.Flatten(), fc.Dense(3)]
    net = network(layers, (18, 18, 8))
    assert net.program.operations > 17e6 / 3 / 24
    assert_gradients_equal_the_twin_s(net, 900, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_dense_layers_take_their_gradient_of_the_whole_batch(level, rng, dtype):
    layers = [fc.Conv2D(3, 3), fc.ReLU(), fc.Flatten(), fc.Dense(700), fc.ReLU(), fc.Dense(3)]
    net = network(layers, (14, 14, 2), dtype)
    assert net.params["3.w"].size >= 2**18
    for n in (1, 25, 70):
        assert_gradients_equal_the_twin_s(net, n, rng)


def test_training_gives_the_same_bits_for_any_number_of_threads(level, rng):
    """With stages, deferred gradients, zeros skipped, dropout and Winograd's algorithm."""
    layers = [
        fc.Conv2D(32, 3), fc.BatchNorm(), fc.ReLU(), fc.Conv2D(32, 3, padding=1), fc.ReLU(), fc.MaxPool2D(2),
        fc.Flatten(), fc.Dense(360), fc.ReLU(), fc.Dropout(0.3), fc.Dense(3),
    ]  # fmt: skip
    results = []
    for threads in (1, 2, 3, 8):
        net = network(layers, (12, 12, 3), "float32")
        x, y = batch(net, 120, np.random.default_rng(5))
        fc.Trainer(net, optimizer=fc.SGD(0.01, momentum=0.9), batch_size=60, threads=threads).fit(x, y, epochs=2)
        results.append((net.parameters.tobytes(), net.statistics.tobytes(), net.forward(x, threads=threads).tobytes()))
    assert all(result == results[0] for result in results[1:])


WINOGRAD = {
    "3x3": fc.Conv2D(40, 3),
    "3x3 same": fc.Conv2D(32, 3, padding="same"),
    "5x5": fc.Conv2D(32, 5),
    "5x5 same": fc.Conv2D(33, 5, padding="same", bias=False),
    "3x5": fc.Conv2D(32, (3, 5), padding=(2, 1)),
    "1x3": fc.Conv2D(32, (1, 3)),
}


@pytest.mark.parametrize("layer", WINOGRAD.values(), ids=WINOGRAD)
@pytest.mark.parametrize("width", [5, 6, 11, 12, 13])
def test_winograd_s_algorithm_is_nearly_as_exact_as_the_plain_sum(level, rng, layer, width):
    fast, plain = (network([layer], (7, width, 32), "float32", winograd=winograd) for winograd in (True, False))
    x = rng.normal(size=(3, 7, width, 32)).astype(np.float32)
    exact = plain.astype("float64").forward(x)
    errors = [np.abs(net.forward(x) - exact).max() / np.abs(exact).max() for net in (fast, plain)]
    assert errors[1] < 4e-6 and errors[0] < 8e-6  # sums of up to 800 terms
    if fast.output_shape[1] >= (4 if layer.kernel_size == 5 else 6):  # less products than the plain sum takes
        assert fast.forward(x).tobytes() != plain.forward(x).tobytes()


@pytest.mark.parametrize("layer", WINOGRAD.values(), ids=WINOGRAD)
@pytest.mark.parametrize("width", [8, 11, 12, 13])
def test_winograd_s_gradient_by_the_input_is_nearly_as_exact_as_the_plain_sum(level, rng, layer, width):
    layers = [fc.Conv2D(32, 1), layer, fc.Conv2D(32, 3, padding=(1, 2)), fc.Flatten(), fc.Dense(4)]
    fast, plain = (network(layers, (7, width, 2), "float32", winograd=winograd) for winograd in (True, False))
    x, y = rng.normal(size=(9, 7, width, 2)).astype(np.float32), rng.integers(0, 4, 9)
    exact = plain.astype("float64").loss_and_gradients(x, y)[1]
    found = [net.loss_and_gradients(x, y)[1] for net in (fast, plain)]
    for name, values in exact.items():
        errors = [np.abs(gradients[name] - values).max() / np.abs(values).max() for gradients in found]
        assert errors[1] < 8e-6 and errors[0] < 16e-6  # sums of up to some thousand terms, one behind the other
    assert found[0]["0.w"].tobytes() != found[1]["0.w"].tobytes()


@pytest.mark.parametrize("size", [(7, 6), (7, 9), (8, 13), (6, 14)])
@pytest.mark.parametrize(
    "layer", [fc.Conv2D(32, 3), fc.Conv2D(45, 3, padding=2), fc.Conv2D(32, 5), fc.Conv2D(33, 5, padding=3)], ids=repr
)
def test_winograd_s_gradient_by_the_input_fits_where_windows_do_not_reach_the_end(level, rng, layer, size):
    layers = [fc.Conv2D(40, 1), fc.Tanh(), layer, fc.AvgPool2D(2), fc.Flatten(), fc.Dense(4)]
    assert_gradients_equal_the_twin_s(network(layers, (*size, 3), "float32"), 11, rng)


def gradient_by_the_weights(net, x, dy):
    """Of sum(y * dy), of a network that begins with a convolution."""
    flat = np.empty_like(net.parameters)
    net.program.backward(x.astype(net.dtype), net.parameters, dy.astype(net.dtype), flat)
    return flat[: net.params["0.w"].size]


@pytest.mark.parametrize("behind", [[], [fc.ReLU(), fc.MaxPool2D(2)]], ids=["alone", "pooled"])
@pytest.mark.parametrize("layer", WINOGRAD.values(), ids=WINOGRAD)
@pytest.mark.parametrize("size", [(7, 6), (6, 11), (7, 12), (12, 13)])
@pytest.mark.parametrize("n", [1, 9, 70])
def test_winograd_s_gradient_by_the_weights_is_nearly_as_exact_as_the_plain_sum(level, rng, layer, size, behind, n):
    fast, plain = (network([layer, *behind], (*size, 32), "float32", winograd=winograd) for winograd in (True, False))
    x = rng.normal(size=(n, *size, 32)).astype(np.float32)
    dy = rng.normal(size=(n, *fast.output_shape)).astype(np.float32)
    exact = gradient_by_the_weights(plain.astype("float64"), x, dy)
    found = [gradient_by_the_weights(net, x, dy) for net in (fast, plain)]
    errors = [np.abs(gradient - exact).max() / np.abs(exact).max() for gradient in found]
    assert errors[1] < 4e-6 and errors[0] < 8e-6  # sums of up to some thousand terms
    if size[1] >= 12 and (not behind or layer.kernel_size == 3):  # 5x5 in front of pooling: zeros are skipped
        assert found[0].tobytes() != found[1].tobytes()


@pytest.mark.parametrize("filters", [33, 40, 48])
def test_what_l2_counts_is_the_same_in_one_call_and_in_many(level, rng, filters):
    """Padding of the weights is never counted, whatever Winograd's algorithm works in."""
    layers = [fc.Conv2D(filters, 3, padding="same"), fc.ReLU(), fc.Flatten(), fc.Dense(4)]
    x, y = rng.normal(size=(120, 4, 12, 32)).astype(np.float32), rng.integers(0, 4, 120)
    losses = []
    for updates in (20, 1):
        net = network(layers, (4, 12, 32), "float32")
        trainer = fc.Trainer(net, fc.SoftmaxCrossEntropy(l2=0.01), fc.Adam(0.003), batch_size=60, seed=0)
        for _ in range(20 // updates):
            trainer.fit(x, y, updates=updates, evaluate_every=10**6)
        losses.append(trainer.history.batch_losses)
    assert losses[0] == losses[1]


def test_transforms_are_kept_from_one_block_of_images_to_the_next(level, rng):
    """One image is a block; the gradients of the second and third convolution take several at a time."""
    layers = [fc.Conv2D(32, 3), fc.Tanh(), fc.AvgPool2D(2), fc.Conv2D(64, 3), fc.Tanh(), fc.Conv2D(32, 5, padding=2)]
    net = network([*layers, fc.AvgPool2D(2), fc.Flatten(), fc.Dense(3)], (32, 32, 3), "float32")
    for n in (1, 25, 61):
        assert_gradients_equal_the_twin_s(net, n, rng)


@pytest.mark.parametrize("layer", [*WINOGRAD.values(), fc.Conv2D(5, 3), fc.Conv2D(40, 2, dilation=2)], ids=repr)
@pytest.mark.parametrize("size", [(9, 13), (16, 12)])
@pytest.mark.parametrize("relu", [[fc.ReLU()], []], ids=["relu", "plain"])
@pytest.mark.parametrize("winograd", [True, False])
def test_a_prediction_pools_in_one_go_to_the_same_bits(level, rng, layer, size, relu, winograd):
    apart = network([layer, *relu], (*size, 32), "float32", winograd=winograd)
    both = network([layer, *relu, fc.MaxPool2D(2)], (*size, 32), "float32", winograd=winograd)
    both.parameters[:] = apart.parameters
    x = rng.normal(size=(40, *size, 32)).astype(np.float32)
    assert both.forward(x).tobytes() == fc.functional.max_pool2d(apart.forward(x)).tobytes()


def test_what_is_not_finite_survives_pooling_in_a_prediction(level):
    net = network([fc.Conv2D(32, 1, bias=False), fc.ReLU(), fc.MaxPool2D(2)], (4, 4, 1), "float32")
    net.parameters[:] = 1
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 0, 1], x[0, 3, 0] = np.nan, np.inf
    y = net.forward(x)[0]
    assert np.isnan(y[0, 0]).all() and np.isinf(y[1, 0]).all() and (y[:, 1] == 0).all()


def test_without_winograd_s_algorithm_integers_come_out_exactly(level, rng):
    net = network([fc.Conv2D(32, 3, bias=False)], (9, 9, 32), "float32", winograd=False)
    net.parameters[:] = rng.integers(-8, 9, net.parameters.size)
    x = rng.integers(-8, 9, (2, 9, 9, 32))
    w = net.params["0.w"].astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    np.testing.assert_array_equal(net.forward(x), np.einsum("npqcuv,uvcf->npqf", windows, w))
    dy = rng.integers(-8, 9, (2, 7, 7, 32))
    exact = np.einsum("npqcuv,npqf->uvcf", windows, dy)
    np.testing.assert_array_equal(gradient_by_the_weights(net, x, dy).reshape(w.shape), exact)


def test_winograd_s_algorithm_gives_the_same_bits_at_both_avx_levels(rng):
    levels = [name for name in fc.engine.cpu.supported() if name != "base"]
    if len(levels) < 2:
        pytest.skip("the processor has one of them at most")
    net = network([fc.Conv2D(32, 3), fc.ReLU(), fc.Conv2D(32, 5)], (12, 12, 32), "float32")
    x, dy = (rng.normal(size=(3, *shape)).astype(np.float32) for shape in (net.input.shape, net.output_shape))
    results = []
    for name in levels:
        program = fc.engine.load(name).Program(
            [layer.lower(shape) for layer, shape in zip(net.layers, net._shapes, strict=False)],
            net.input.shape, False, True, input_gradient=True, winograd=True,
        )  # fmt: skip
        y = np.empty((3, *net.output_shape), np.float32)
        program.forward(x, net.parameters, y, state=net.statistics)
        flat, dx = np.empty_like(net.parameters), np.empty_like(x)
        program.backward(x, net.parameters, dy, flat, dx)
        results.append((y.tobytes(), flat.tobytes(), dx.tobytes()))
    assert results[0] == results[1]


def test_a_prediction_does_not_depend_on_its_batch(level, rng):
    layers = [*POOLED["3x3"], *POOLED["5x5 same"], fc.Flatten(), fc.Dense(50), fc.BatchNorm(), fc.ReLU(), fc.Dense(3)]
    net = network(layers, (20, 20, 32), "float32")
    x = rng.normal(size=(60, 20, 20, 32)).astype(np.float32)
    together = net.predict_proba(x, threads=2)
    alone = np.concatenate([net.predict_proba(x[i : i + 1]) for i in range(60)])
    assert together.tobytes() == alone.tobytes()


def test_whether_winograd_s_algorithm_is_used_goes_with_the_network(tmp_path):
    net = network([fc.Conv2D(32, 3)], (9, 9, 32), "float32", winograd=False)
    assert repr(net).endswith("winograd=False)") and not net.astype("float64").winograd
    net.save(tmp_path / "net.safetensors")
    assert not fc.load(tmp_path / "net.safetensors").winograd
    with pytest.raises(fc.errors.DTypeError, match="winograd is True or False, got 1"):
        network([fc.Conv2D(32, 3)], (9, 9, 32), winograd=1)


def test_summary_says_what_a_stack_of_convolutions_and_pooling_sees():
    """A 5x5 layer after a 5x5 layer and a 2x2 pooling sees 14x14."""
    net = fc.Sequential(
        [fc.Conv2D(8, 5, padding=2), fc.ReLU(), fc.MaxPool2D(2), fc.Conv2D(8, 5, padding=2), fc.MaxPool2D((2, 1)),
         fc.Conv2D(4, 3, dilation=2), fc.Flatten(), fc.Dense(10)],
        input=fc.ImageInput(32, 32, 3),
    )  # fmt: skip
    table = [line.split("  ") for line in net.summary().splitlines()]
    fields = [[cell.strip() for cell in row if cell.strip()][3] for row in table[2:-1]]
    assert fields == ["5x5", "5x5", "6x6", "14x14", "16x14", "32x22", "32x32", "32x32"]
    assert net.params["3.w"].shape == (5, 5, 8, 8) and net.output_shape == (10,)


def test_the_layer_table_has_the_numbers_of_the_summary():
    net = fc.Sequential([fc.Conv2D(8, 5), fc.BatchNorm(), fc.Flatten(), fc.Dense(2)], input=fc.ImageInput(7, 6, 3))
    input, convolution, norm, flatten, dense = net.layer_table()
    assert (input["layer"], input["output_shape"], input["parameters"]) == ("ImageInput", (7, 6, 3), 0)
    assert convolution["parameters"] == 5 * 5 * 3 * 8 + 8 and norm["parameters"] == 2 * 8
    assert convolution["mflop"] == pytest.approx(2 * 3 * 2 * 8 * 75 / 1e6)
    assert [row["receptive_field"] for row in (input, norm, flatten, dense)] == [(1, 1), (5, 5), (7, 6), (7, 6)]
    lines = net.summary().splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == [row["layer"] for row in net.layer_table()]
    assert lines[-1].split()[1] == str(sum(row["parameters"] for row in net.layer_table()))


def test_of_vectors_there_is_no_receptive_field():
    net = fc.Sequential([fc.Dense(3), fc.ReLU(), fc.Dense(2)], input=fc.VectorInput(4))
    assert [row["receptive_field"] for row in net.layer_table()] == [()] * 4


def test_the_receptive_field_is_what_changes_an_output():
    net = fc.Sequential(
        [fc.Conv2D(1, 5, padding=2), fc.MaxPool2D(2), fc.Conv2D(1, 5, padding=2)], input=fc.ImageInput(32, 32, 3)
    )
    for name, array in net.params.items():
        array[...] = name.endswith("w")
    x = np.zeros((1024, 32, 32, 3), np.float32)
    x[np.arange(1024), np.arange(1024) // 32, np.arange(1024) % 32] = 1  # one pixel each
    seen = np.nonzero(net.forward(x)[:, 8, 8, 0].reshape(32, 32))
    assert [int(np.ptp(axis)) + 1 for axis in seen] == [14, 14]
