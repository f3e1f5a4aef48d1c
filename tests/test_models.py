"""The named networks: sizes that are known, and what is added on request."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import errors, models


def shapes(net):
    return [array.shape for array in net.params.values()]


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


def test_the_surname_network_has_the_assignment_s_layers_and_weights():
    net = models.surname_convnet(28, 19, 18, (30, 20), (5, 3))
    assert kinds(net) == ["OneHotConv1D", "ReLU", "Conv1D", "ReLU", "Flatten", "Dense"]
    assert {name: array.shape for name, array in net.params.items()} == {
        "0.w": (5, 28, 30), "2.w": (3, 30, 20), "5.w": (13 * 20, 18)
    }  # fmt: skip


def test_the_surname_network_takes_what_the_assignment_proposes_to_add():
    net = models.surname_convnet(28, 29, 18, (8, 9, 10), (5, 3, 2), True, dilations=(1, 2, 1), pool_size=2)
    assert kinds(net) == ["OneHotConv1D", *["ReLU", "MaxPool1D", "Conv1D"] * 2, "ReLU", "MaxPool1D", "Flatten", "Dense"]
    assert shapes(net) == [(5, 28, 8), (8,), (3, 8, 9), (9,), (2, 9, 10), (10,), (10, 18), (18,)]


@pytest.mark.parametrize(("widths", "dilations"), [((5,), None), ((5, 3, 3), None), ((5, 3), (1,))])
def test_a_surname_network_of_unequal_numbers_is_refused(widths, dilations):
    with pytest.raises(errors.RangeError, match="surname_convnet: expected as many widths and dilations as filters, 2"):
        models.surname_convnet(28, 19, 18, (20, 20), widths, dilations=dilations)


def test_strings_that_are_too_short_name_the_layer():
    with pytest.raises(errors.ShapeError, match="layer 2, Conv1D"):
        models.surname_convnet(28, 8, 18, (20, 20), (5, 5))


def test_net_r_has_the_layers_of_the_practical():
    net = models.cifar_convnet()
    weights = [shape for shape in shapes(net) if len(shape) > 1]
    assert weights == [(5, 5, 3, 32), (5, 5, 32, 64), (5, 5, 64, 64), (1024, 1000), (1000, 10)]
    assert kinds(net) == ["Conv2D", "ReLU", "MaxPool2D"] * 3 + ["Flatten", "Dense", "ReLU", "Dense"]
    convolutions = [np.prod(w) + w[3] for w in weights[:3]]
    assert convolutions == [2432, 51264, 102464]  # 5 x 5 x C x F + F


def test_net_g_has_valid_convolutions_and_four_dense_layers():
    net = models.imbalanced_cifar_convnet()
    weights = [shape for shape in shapes(net) if len(shape) > 1]
    assert weights[:3] == [(3, 3, 3, 32), (3, 3, 32, 64), (3, 3, 64, 128)]
    assert weights[3:] == [(512, 256), (256, 128), (128, 64), (64, 10)]  # 32 -> 30 -> 15 -> 13 -> 6 -> 4 -> 2
    assert net.program.operations == pytest.approx(
        2 * (30**2 * 27 * 32 + 13**2 * 288 * 64 + 4**2 * 576 * 128 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 10)
    )


@pytest.mark.parametrize("build", [models.cifar_convnet, models.imbalanced_cifar_convnet])
def test_dropout_stands_before_the_last_layer_and_normalisation_before_each_relu(build):
    net = build(dropout=0.3, batch_norm=True)
    assert kinds(net)[-2:] == ["Dropout", "Dense"] and net.layers[-2].rate == 0.3
    assert kinds(net)[:12] == ["Conv2D", "BatchNorm", "ReLU", "MaxPool2D"] * 3
    assert "0.w" in net.params and "0.b" not in net.params and "1.beta" in net.params


@pytest.mark.parametrize("build", [models.cifar_convnet, models.imbalanced_cifar_convnet])
def test_the_deviation_of_the_weights_is_that_of_the_layers_init(build):
    for name, w in build(init=0.01).params.items():
        if name.endswith("w"):
            assert w.std() == pytest.approx(0.01, rel=0.1)
    deviations = [w.std() for w in build(init="xavier").params.values() if w.ndim == 4]
    expected = [(2 / (w[0] * w[1] * (w[2] + w[3]))) ** 0.5 for w in shapes(build()) if len(w) == 4]
    assert deviations == pytest.approx(expected, rel=0.1)


def test_other_images_filters_and_units(rng):
    net = models.imbalanced_cifar_convnet((8,), 3, (), 3, (8, 8, 1), dtype="float64", seed=4)
    assert shapes(net) == [(3, 3, 1, 8), (8,), (72, 3), (3,)]
    assert net.forward(rng.normal(size=(2, 8, 8, 1))).shape == (2, 3)
    assert not np.array_equal(net.parameters, models.imbalanced_cifar_convnet((8,), 3, (), 3, (8, 8, 1)).parameters)


def test_an_image_that_is_too_small_names_the_layer():
    with pytest.raises(errors.ShapeError, match="layer 5, MaxPool2D"):
        models.imbalanced_cifar_convnet(shape=(8, 8, 3))
    assert fc.models.cifar_convnet(shape=(8, 8, 3)).output_shape == (10,)


def test_the_network_of_strings_has_one_convolution_and_the_largest_of_each_filter():
    net = models.char_convnet(30, 21, 18, filters=8, kernel_size=5, dropout=0.4, seed=3)
    assert kinds(net) == ["OneHotConv1D", "ReLU", "GlobalMaxPool1D", "Dropout", "Dense"]
    assert shapes(net) == [(5, 30, 8), (8,), (8, 18), (18,)]
    assert net.layers[0].padding == 2 and net.layers[3].rate == 0.4 and net.seed == 3
    assert kinds(models.char_convnet(30, 21, 18, dropout=0)) == ["OneHotConv1D", "ReLU", "GlobalMaxPool1D", "Dense"]


@pytest.mark.parametrize("kernel_size", [1, 2, 4, 9])
def test_a_string_may_be_shorter_than_a_filter_of_the_network_of_strings(kernel_size):
    assert models.char_convnet(30, 1, 18, kernel_size=kernel_size).forward([[3], [-1]]).shape == (2, 18)


def test_what_stands_behind_a_string_changes_no_bit_of_the_network_of_strings(rng):
    short, long = (models.char_convnet(30, length, 18, filters=20) for length in (9, 40))
    long.parameters[:] = short.parameters
    codes = rng.integers(0, 30, (50, 9))
    codes[:, 8] = -1
    padded = np.hstack([codes, np.full((50, 31), -1)])
    np.testing.assert_array_equal(long.forward(padded), short.forward(codes))


@pytest.mark.parametrize("setting", [{"kernel_size": "4"}, {"kernel_size": None}, {"filters": 0}, {"dropout": -0.1}])
def test_a_network_of_strings_that_cannot_be_is_refused(setting):
    with pytest.raises(errors.RangeError, match=f"{next(iter(setting)).replace('dropout', 'rate')}"):
        models.char_convnet(30, 21, 18, **setting)
