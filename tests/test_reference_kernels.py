"""The NumPy twins by themselves: against scipy, scikit-learn, loops, numerical gradients and PyTorch."""

import numpy as np
import pytest
from scipy.signal import correlate
from sklearn.preprocessing import StandardScaler

import fastconv as fc
from fastconv.reference import kernels
from fastconv.reference.networks import VectorisedNetwork
from fastconv.reference.normalisation import philox
from fastconv.reference.sequential import NumpyNet

WINDOWS = [
    {},
    dict(stride=2),
    dict(padding=2),
    dict(dilation=3),
    dict(stride=(1, 3), padding=(2, 0), dilation=(1, 2)),
    dict(stride=2, padding="same", dilation=2),
    dict(stride=3, padding="same"),
    dict(padding="valid"),
]
every_window = pytest.mark.parametrize("window", WINDOWS, ids=str)


def numerical(f, x, dy, step=1e-6):
    """The gradient of sum(f(x) * dy) by central differences."""
    gradient = np.empty_like(x)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[at] += step
        below[at] -= step
        gradient[at] = np.vdot(f(above) - f(below), dy) / (2 * step)
    return gradient


def assert_gradient(found, f, x, dy):
    np.testing.assert_allclose(found, numerical(f, x, dy), rtol=1e-6, atol=1e-8)


def same(n, width, stride, dilation):
    """Zeros before and after: so many that ceil(n / stride) windows fit, half of them before."""
    total = 0
    while len(range(0, n + total - (width - 1) * dilation, stride)) < -(-n // stride):
        total += 1
    return total // 2, total - total // 2


def both(value):
    return value if isinstance(value, tuple) else (value, value)


@every_window
def test_conv2d_is_scipys_correlation(rng, window):
    """Filters with zeros between their taps, over images with zeros around, every so many outputs."""
    x, w, b = rng.normal(size=(2, 9, 11, 3)), rng.normal(size=(3, 2, 3, 4)), rng.normal(size=4)
    stride, padding, dilation = (
        both(window.get(name, d)) for name, d in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    if window.get("padding") == "same":
        pads = [same(*axis) for axis in zip((9, 11), (3, 2), stride, dilation, strict=True)]
    else:
        pads = [(0, 0) if p == "valid" else (p, p) for p in padding]
    holes = np.zeros((2 * dilation[0] + 1, dilation[1] + 1, 3, 4))
    holes[:: dilation[0], :: dilation[1]] = w
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    expected = [[correlate(image, holes[..., f], mode="valid")[..., 0] for f in range(4)] for image in padded]
    expected = np.moveaxis(expected, 1, -1)[:, :: stride[0], :: stride[1]] + b
    np.testing.assert_allclose(kernels.conv2d(x, w, b, **window), expected, rtol=1e-12, atol=1e-12)


@every_window
def test_conv2d_backward_is_the_adjoint(rng, window):
    """The convolution is linear in the image and in the filters: <dy, A x> = <A^T dy, x> for any x says all."""
    x, w = rng.normal(size=(2, 9, 11, 3)), rng.normal(size=(3, 2, 3, 4))
    dy = rng.normal(size=kernels.conv2d(x, w, **window).shape)
    dx, dw, db = kernels.conv2d_backward(dy, x, w, **window)
    for _ in range(5):
        other_x, other_w = rng.normal(size=x.shape), rng.normal(size=w.shape)
        assert np.vdot(dx, other_x) == pytest.approx(np.vdot(dy, kernels.conv2d(other_x, w, **window)), rel=1e-9)
        assert np.vdot(dw, other_w) == pytest.approx(np.vdot(dy, kernels.conv2d(x, other_w, **window)), rel=1e-9)
    np.testing.assert_allclose(db, dy.reshape(-1, 4).sum(0))


@every_window
def test_im2col_lays_out_what_the_filters_meet(rng, window):
    x, w = rng.integers(-9, 10, (2, 9, 11, 3)), rng.integers(-9, 10, (3, 2, 3, 4))
    cols = kernels.im2col(x, (3, 2), **window)
    np.testing.assert_array_equal(cols @ w.reshape(-1, 4), kernels.conv2d(x, w, **window))
    g, other = rng.integers(-9, 10, cols.shape), rng.integers(-9, 10, x.shape)
    adjoint = kernels.col2im(g, x.shape, (3, 2), **window)
    assert np.vdot(adjoint, other) == np.vdot(g, kernels.im2col(other, (3, 2), **window))


@pytest.mark.parametrize("window", [{}, dict(stride=2, padding=1, dilation=2), dict(stride=3, padding="same")], ids=str)
def test_a_sequence_is_an_image_of_one_line(rng, window):
    x, w, b = rng.normal(size=(2, 11, 3)), rng.normal(size=(4, 3, 5)), rng.normal(size=5)
    image = dict(stride=1, padding=0, dilation=1) | window
    image = {name: ("same" if value == "same" else (int(name != "padding"), value)) for name, value in image.items()}
    y = kernels.conv1d(x, w, b, **window)
    np.testing.assert_array_equal(y, kernels.conv2d(x[:, None], w[None], b, **image)[:, 0])
    dy = rng.normal(size=y.shape)
    dx, dw, db = kernels.conv1d_backward(dy, x, w, **window)
    assert_gradient(dx, lambda x: kernels.conv1d(x, w, b, **window), x, dy)
    assert_gradient(dw, lambda w: kernels.conv1d(x, w, b, **window), w, dy)
    assert_gradient(db, lambda b: kernels.conv1d(x, w, b, **window), b, dy)


def test_a_code_selects_a_row_of_the_filters(rng):
    """By loops: padding and -1 select nothing."""
    codes, w = rng.integers(-1, 4, (3, 7)), rng.normal(size=(3, 4, 2))
    y = kernels.onehot_conv1d(codes, w, stride=2, padding=2, dilation=2)
    assert y.shape == (3, 4, 2)
    expected = np.zeros_like(y)
    for i, p, k in np.ndindex(3, 4, 3):
        at = 2 * p - 2 + 2 * k
        if 0 <= at < 7 and codes[i, at] >= 0:
            expected[i, p] += w[k, codes[i, at]]
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    dy = rng.normal(size=y.shape)
    dw, db = kernels.onehot_conv1d_backward(dy, codes, w.shape, stride=2, padding=2, dilation=2)
    assert_gradient(dw, lambda w: kernels.onehot_conv1d(codes, w, stride=2, padding=2, dilation=2), w, dy)
    np.testing.assert_allclose(db, dy.sum((0, 1)))


def test_an_embedding_is_a_product_with_one_hot_columns(rng):
    codes, w = rng.integers(-1, 4, (3, 7)), rng.normal(size=(4, 2))
    y = kernels.embedding(codes, w)
    np.testing.assert_array_equal(y, kernels.one_hot(codes, 4, float) @ w)
    dy = rng.normal(size=y.shape)
    assert_gradient(kernels.embedding_backward(dy, codes, w.shape), lambda w: kernels.embedding(codes, w), w, dy)


POOLS = [(2, None), (3, 2), ((2, 3), (3, 1)), (1, None)]


@pytest.mark.parametrize("size, stride", POOLS)
@pytest.mark.parametrize("kind, reduce", [("max", np.max), ("avg", np.mean)])
def test_pools_by_loops_and_numerical_gradients(rng, kind, reduce, size, stride):
    x = rng.normal(size=(2, 5, 7, 3))
    (kh, kw), (sh, sw) = both(size), both(size if stride is None else stride)
    y = getattr(kernels, f"{kind}_pool2d")(x, size, stride)
    expected = [
        [reduce(x[:, p : p + kh, q : q + kw], axis=(1, 2)) for q in range(0, 7 - kw + 1, sw)]
        for p in range(0, 5 - kh + 1, sh)
    ]
    np.testing.assert_allclose(y, np.moveaxis(expected, 2, 0), rtol=1e-14)
    dy = rng.normal(size=y.shape)
    dx = getattr(kernels, f"{kind}_pool2d_backward")(dy, x if kind == "max" else x.shape, size, stride)
    assert_gradient(dx, lambda x: getattr(kernels, f"{kind}_pool2d")(x, size, stride), x, dy)


@pytest.mark.parametrize("size, stride", [(2, None), (3, 2), (2, 3)])
def test_max_pool1d_by_loops_and_numerical_gradients(rng, size, stride):
    x, step = rng.normal(size=(2, 8, 3)), size if stride is None else stride
    y = kernels.max_pool1d(x, size, stride)
    np.testing.assert_array_equal(y, np.stack([x[:, p : p + size].max(1) for p in range(0, 9 - size, step)], axis=1))
    dy = rng.normal(size=y.shape)
    dx = kernels.max_pool1d_backward(dy, x, size, stride)
    assert_gradient(dx, lambda x: kernels.max_pool1d(x, size, stride), x, dy)


def test_of_equal_numbers_the_first_gets_the_gradient():
    ones = np.ones((1, 2, 2, 1))
    assert kernels.max_pool2d_backward(ones[:, :1, :1], ones).ravel().tolist() == [1, 0, 0, 0]
    assert kernels.max_pool1d_backward(ones[:, 0, :1], ones[:, 0]).ravel().tolist() == [1, 0]
    assert kernels.global_max_pool1d_backward(ones[:, 0, 0], ones[:, 0]).ravel().tolist() == [1, 0]


def test_global_max_pool1d_leaves_out_what_lies_behind_a_sequences_end(rng):
    x, lengths = rng.normal(size=(4, 5, 3)), np.array([5, 0, 1, 3])
    y = kernels.global_max_pool1d(x, lengths)
    expected = np.stack([x[0].max(0), np.zeros(3), x[2, 0], x[3, :3].max(0)])
    np.testing.assert_array_equal(y, expected)
    dy = rng.normal(size=y.shape)
    dx = kernels.global_max_pool1d_backward(dy, x, lengths)
    assert_gradient(dx, lambda x: kernels.global_max_pool1d(x, lengths), x, dy)


@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 3), (2, 3, 4, 3)])
def test_batch_norm_is_scikit_learns_scaler(rng, shape):
    """Its variance, too, is divided by the number of samples."""
    x, gamma, beta = rng.normal(2, 3, size=shape), rng.normal(size=3), rng.normal(size=3)
    scaler = StandardScaler().fit(x.reshape(-1, 3))
    y, mean, var = kernels.batch_norm(x, gamma, beta, eps=0.0)
    np.testing.assert_allclose(mean, scaler.mean_)
    np.testing.assert_allclose(var, scaler.var_)
    np.testing.assert_allclose(y, (scaler.transform(x.reshape(-1, 3)) * gamma + beta).reshape(shape))
    np.testing.assert_array_equal(kernels.batch_norm_inference(x, gamma, beta, mean, var, 0.0), y)
    dy = rng.normal(size=shape)
    dx, dgamma, dbeta = kernels.batch_norm_backward(dy, x, gamma, 0.1)
    assert_gradient(dx, lambda x: kernels.batch_norm(x, gamma, beta, 0.1)[0], x, dy)
    assert_gradient(dgamma, lambda gamma: kernels.batch_norm(x, gamma, beta, 0.1)[0], gamma, dy)
    assert_gradient(dbeta, lambda beta: kernels.batch_norm(x, gamma, beta, 0.1)[0], beta, dy)


def test_a_channel_without_variance_becomes_beta():
    y, _, var = kernels.batch_norm(np.full((4, 1), 3.0), np.array([2.0]), np.array([7.0]))
    assert y.ravel().tolist() == [7] * 4 and var == 0


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activations_have_the_gradient_of_their_function(rng, name):
    function, x, dy = getattr(kernels, name), rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    assert_gradient(getattr(kernels, f"{name}_backward")(dy, function(x)), function, x, dy)


def test_dropout_keeps_the_mean_and_drops_the_share_that_is_asked():
    x = np.ones((200, 10, 11))
    mask = kernels.dropout_mask(x.shape, 0.3, seed=2**40 + 5, layer=3, update=9)
    assert mask.mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / x.size))
    y = kernels.dropout(x, mask, 0.3)
    assert set(y.ravel()) == {0, 1 / 0.7}
    assert kernels.dropout_mask((3, 4), 0).all()


@pytest.mark.parametrize("other", [dict(seed=2**40 + 6), dict(seed=5), dict(layer=4), dict(update=8)], ids=str)
def test_masks_depend_on_what_they_are_keyed_by(other):
    key = dict(seed=2**40 + 5, layer=3, update=9)
    mask = kernels.dropout_mask((50, 20), 0.5, **key)
    assert 0.4 < np.mean(mask == kernels.dropout_mask((50, 20), 0.5, **key | other)) < 0.6
    # by sample and by the element's number, not by the batch's size or the sample's shape
    np.testing.assert_array_equal(kernels.dropout_mask((7, 5, 4), 0.5, **key).reshape(7, 20), mask[:7])


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_words_that_its_authors_publish(counter, key, expected):
    """The known answers of Random123 for philox4x32-10."""
    assert tuple(philox(counter, key).tolist()) == expected
    np.testing.assert_array_equal(philox([[counter, (1, 2, 3, 4)]], key)[0, 0], expected)


IMAGES = [
    fc.Conv2D(4, 3, stride=(1, 2), padding=(0, 1)), fc.BatchNorm(), fc.ReLU(), fc.MaxPool2D(2, stride=1), fc.Tanh(),
    fc.AvgPool2D((1, 2)), fc.Dropout(0.3), fc.Flatten(), fc.Dense(5), fc.BatchNorm(eps=0.1), fc.Sigmoid(), fc.Dense(3),
]  # fmt: skip
STRINGS = [
    fc.OneHotConv1D(4, 3, stride=2, padding=1),
    fc.Tanh(),
    fc.Conv1D(5, 2, dilation=2),
    fc.GlobalMaxPool1D(),
    fc.Dense(3),
]
EMBEDDED = [fc.Embedding(3), fc.MaxPool1D(2, stride=1), fc.Flatten(), fc.Dropout(0.5), fc.Dense(3, bias=False)]


@pytest.mark.parametrize(
    "layers, input",
    [(IMAGES, fc.ImageInput(6, 7, 2)), (STRINGS, fc.OneHotInput(9, 4)), (EMBEDDED, fc.OneHotInput(5, 4))],
    ids=["images", "strings", "embedded"],
)
def test_the_gradients_of_a_network_are_numerical_ones(rng, layers, input):
    net = fc.Sequential(layers, input, "float64", seed=3)
    x = rng.integers(-1, 4, (6, input.length)) if input.codes else rng.normal(size=(6, *input.shape))
    y = rng.integers(0, 3, 6)
    _, gradients = NumpyNet(net).loss_and_gradients(x, y, seed=7)
    assert list(gradients) == list(net.params)
    for name, parameter in net.params.items():
        value = parameter.copy()

        def loss(p, parameter=parameter):
            parameter[...] = p
            return NumpyNet(net).loss_and_gradients(x, y, seed=7)[0]

        assert_gradient(gradients[name], loss, value, 1.0)
        parameter[...] = value


def test_predictions_use_running_statistics_and_drop_nothing(rng):
    net = fc.Sequential([fc.BatchNorm(momentum=0.8), fc.Dropout(0.5)], fc.VectorInput(3), "float64")
    net.state["0.mean"][:], net.state["0.var"][:] = [1, 2, 3], [4, 5, 6]
    x = rng.normal(size=(50, 3))
    y, passed, _ = NumpyNet(net).forward(x)
    np.testing.assert_allclose(y, (x - [1, 2, 3]) / np.sqrt(np.array([4, 5, 6]) + 1e-5))
    assert passed.running == {}
    y, passed, _ = NumpyNet(net).forward(x, training=True)
    assert 0.3 < np.mean(y == 0) < 0.7
    np.testing.assert_allclose(passed.running["0.mean"], 0.8 * np.array([1, 2, 3]) + 0.2 * x.mean(0))
    np.testing.assert_allclose(passed.running["0.var"], 0.8 * np.array([4, 5, 6]) + 0.2 * x.var(0))


def test_global_max_pooling_sees_the_windows_that_begin_within_a_string():
    """Of "ab" in 7 positions, windows of 3 with a padding of 1 begin at -1, 0 and 1; of an empty string none does."""
    codes = np.array([[0, 1, -1, -1, -1, -1, -1], [-1] * 7])
    net = fc.Sequential([fc.OneHotConv1D(1, 3, padding=1), fc.GlobalMaxPool1D()], fc.OneHotInput(7, 2), "float64")
    net.params["0.w"][...], net.params["0.b"][...] = -1, -1
    y, passed, _ = NumpyNet(net).forward(codes)
    assert passed.lengths.tolist() == [3, 0]
    assert y.ravel().tolist() == [-2, 0]
    net = fc.Sequential([fc.Embedding(1), fc.MaxPool1D(2, stride=3), fc.Conv1D(1, 2)], fc.OneHotInput(7, 2), "float64")
    assert NumpyNet(net).forward(codes)[1].lengths.tolist() == [1, 0]


def test_the_surname_network_is_that_of_the_reference(rng):
    net = fc.models.surname_convnet(alphabet_size=9, length=12, n_classes=4, filters=(5, 6), widths=(4, 3), bias=False)
    net = net.astype("float64")
    codes, labels = rng.integers(-1, 9, (8, 12)), rng.integers(0, 4, 8)
    w1, w2, w3 = net.params.values()
    network = VectorisedNetwork(codes, labels, w1, w2, w3)
    loss, (dw1, dw2, dw3) = network.gradients(np.arange(8))
    value, gradients = NumpyNet(net).loss_and_gradients(codes, labels)
    assert value == pytest.approx(loss, rel=1e-12)
    for found, expected in zip(gradients.values(), (dw1, dw2, dw3), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


class TestPyTorch:
    """Everything that PyTorch has too, on the same numbers, channels first there."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def compare(self, torch, mine, back, theirs, x, *parameters):
        """Compare outputs, and gradients for a random cotangent."""
        tensors = [torch.from_numpy(a).requires_grad_() for a in (x, *parameters)]
        y, expected = mine(x, *parameters), theirs(tensors[0].movedim(-1, 1), *tensors[1:]).movedim(1, -1)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
        dy = np.random.default_rng(0).normal(size=y.shape)
        expected.backward(torch.from_numpy(dy))
        for found, tensor in zip(back(dy, y), tensors, strict=True):
            np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("window", WINDOWS[:5], ids=str)
    def test_conv2d(self, torch, rng, window):
        self.compare(
            torch,
            lambda x, w, b: kernels.conv2d(x, w, b, **window),
            lambda dy, y: kernels.conv2d_backward(dy, x, w, **window),
            lambda x, w, b: torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1), b, **window),
            x := rng.normal(size=(2, 9, 11, 3)),
            w := rng.normal(size=(3, 2, 3, 4)),
            rng.normal(size=4),
        )

    @pytest.mark.parametrize("kind, size, stride", [("max", 2, None), ("max", (3, 2), (1, 2)), ("avg", 3, 2)])
    def test_pools(self, torch, rng, kind, size, stride):
        x = rng.normal(size=(2, 7, 8, 3))
        mine, back = getattr(kernels, f"{kind}_pool2d"), getattr(kernels, f"{kind}_pool2d_backward")
        theirs = getattr(torch.nn.functional, f"{kind}_pool2d")
        self.compare(
            torch,
            lambda x: mine(x, size, stride),
            lambda dy, y: [back(dy, x if kind == "max" else x.shape, size, stride)],
            lambda x: theirs(x, size, stride),
            x,
        )

    def test_batch_norm(self, torch, rng):
        self.compare(
            torch,
            lambda x, gamma, beta: kernels.batch_norm(x, gamma, beta)[0],
            lambda dy, y: kernels.batch_norm_backward(dy, x, gamma),
            lambda x, gamma, beta: torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True),
            x := rng.normal(size=(4, 5, 6, 3)),
            gamma := rng.normal(size=3),
            rng.normal(size=3),
        )
