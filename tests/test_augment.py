"""Augmentation: the generator against its published vectors, images against NumPy, draws against SciPy's laws."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastconv as fc
from fastconv import augment
from fastconv.augment import ColorJitter, CutMix, HorizontalFlip, MixUp, RandomCrop, RandomErasing
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.kernels import augmentation

ALL = [
    HorizontalFlip(), RandomCrop(2), RandomCrop(2, "reflect"), ColorJitter(0.4, 0.3, 0.9), RandomErasing(value=7),
    MixUp(), CutMix(),
]  # fmt: skip
SHAPES = [(1, 3, 3, 1), (2, 8, 8, 1), (7, 5, 9, 3), (33, 11, 4, 2)]
WORD = st.integers(0, 2**32 - 1)


def philox(counter, key):
    """Philox4x32-10 in Python's integers."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k, q % 2**32, (p >> 32) ^ d ^ m, p % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return [a, b, c, d]


class Twin:
    """The same images by NumPy's own functions, sample by sample."""

    def __init__(self, augmentations, seed, update):
        self.augmentations, self.seed, self.update = augmentations, seed, update

    def words(self, place, sample, index=0):
        counter = [index, sample, 2**31 + place, self.update]
        words = philox(counter, [self.seed % 2**32, self.seed // 2**32])
        return words, [(word >> 8) / 2**24 for word in words]

    def rectangle(self, each, place, sample, shape):
        for attempt in range(1, 101):
            words, uniform = self.words(place, sample, attempt)
            area = (each.area[0] + (each.area[1] - each.area[0]) * uniform[0]) * shape[0] * shape[1]
            ratio = each.ratio[0] + (each.ratio[1] - each.ratio[0]) * uniform[1]
            size = [int(np.floor(np.sqrt(area * r) + 0.5)) for r in (ratio, 1 / ratio)]
            if size[0] <= shape[0] and size[1] <= shape[1]:
                corner = [(n - s + 1) * word >> 32 for n, s, word in zip(shape, size, words[2:], strict=False)]
                return tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        return None

    def alone(self, each, place, sample, x):
        words, uniform = self.words(place, sample)
        if isinstance(each, HorizontalFlip):
            return x[:, ::-1] if uniform[0] < each.p else x
        if isinstance(each, RandomCrop):
            edge = ((each.padding,) * 2, (each.padding,) * 2, (0, 0))
            wide = np.pad(x, edge, "constant" if each.mode == "zero" else "reflect")
            top, left = ((2 * each.padding + 1) * word >> 32 for word in words[:2])
            return wide[top : top + x.shape[0], left : left + x.shape[1]]
        if isinstance(each, ColorJitter):
            b, c, s = (
                1 + r * (2 * u - 1)
                for r, u in zip((each.brightness, each.contrast, each.saturation), uniform, strict=False)
            )
            x = b * x.astype(np.float64)
            x = c * x + (1 - c) * x.mean()
            return s * x + (1 - s) * x.mean(axis=2, keepdims=True)
        if uniform[0] < each.p and (rectangle := self.rectangle(each, place, sample, x.shape)) is not None:
            x = x.copy()
            x[rectangle] = each.value
        return x

    def mixed(self, each, place, sample, x, partner):
        words, uniform = self.words(place, sample)
        r = ((words[0] + 0.5) / 2**32) ** (-1 / each.alpha) - 1
        t = np.sqrt(2 * each.alpha * r) * np.cos(2 * np.pi * uniform[1])
        weight = 1 - (1 + t / np.sqrt(2 * each.alpha + t**2)) / 2
        if isinstance(each, MixUp):
            return (1 - weight) * x + weight * partner, weight
        inside = np.ones(x.shape[:2], bool)
        for axis in (0, 1):
            n = x.shape[axis]
            side, centre = int(n * np.sqrt(weight) + 0.5), n * words[2 + axis] >> 32
            start = centre - side // 2
            inside &= np.isin(np.arange(n), range(start, start + side)).reshape((-1, 1) if axis == 0 else (1, -1))
        return np.where(inside[..., None], partner, x), inside.mean()

    def __call__(self, x, y, n_classes):
        targets = np.eye(n_classes)[y]
        for place, each in enumerate(self.augmentations):
            if each.mixes:
                shift = 1 + ((len(x) - 1) * self.words(place, 0, 1)[0][0] >> 32)
                partners = np.roll(np.arange(len(x)), -shift)
                pairs = [self.mixed(each, place, i, x[i], x[j]) for i, j in enumerate(partners)]
                weight = np.array([weight for _, weight in pairs])[:, None]
                x = np.stack([image for image, _ in pairs])
                targets = (1 - weight) * targets + weight * targets[partners]
            else:
                x = np.stack([self.alone(each, place, i, image) for i, image in enumerate(x)])
        return x, targets


def ramp(n, height, width, channels=1):
    """Images whose values tell their pixel: 1, 2, ... from the top left."""
    return np.broadcast_to(np.arange(1.0, height * width + 1).reshape(height, width, 1), (n, height, width, channels))


# Random numbers


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_random_words_are_those_of_random123_s_known_answers(counter, key, expected):
    counter, key, expected = ([int(word, 16) for word in words.split()] for words in (counter, key, expected))
    assert augmentation.random_words(counter, key) == expected
    assert philox(counter, key) == expected


@given(st.tuples(WORD, WORD, WORD, WORD), st.tuples(WORD, WORD))
def test_random_words_are_those_of_integer_arithmetic(counter, key):
    assert augmentation.random_words(counter, key) == philox(counter, key)


# Images and targets


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("each", ALL, ids=repr)
def test_each_augmentation_equals_its_numpy_twin(rng, each, shape, dtype):
    x, y = rng.normal(size=shape).astype(dtype), rng.integers(4, size=shape[0])
    x.flags.writeable = y.flags.writeable = False
    found, targets = augment.apply(x, [each], seed=2**40 + 3, update=5, y=y, n_classes=4)
    expected, expected_targets = Twin([each], 2**40 + 3, 5)(x, y, 4)
    assert found.dtype == targets.dtype == dtype and found.shape == shape
    if isinstance(each, (ColorJitter, MixUp)):
        np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype is np.float32 else 1e-12, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(targets, expected_targets, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(augment.apply(x, [each], seed=2**40 + 3, update=5), found)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(ALL), max_size=5).filter(lambda some: sum(each.mixes for each in some) < 2),
    st.integers(1, 9),
    st.integers(0, 2**64 - 1),
    WORD,
)
def test_any_sequence_equals_its_numpy_twin(augmentations, n, seed, update):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 6, 5, 3)), rng.integers(3, size=n)
    found = augment.apply(x, augmentations, seed, update, y, n_classes=3)
    for array, expected in zip(found, Twin(augmentations, seed, update)(x, y, 3), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-12, atol=1e-12)


def test_a_crop_wider_than_the_image_is_all_padding_where_nothing_overlaps():
    x = ramp(400, 2, 3)
    found = augment.apply(x, [RandomCrop(5)], seed=1)
    np.testing.assert_array_equal(found, Twin([RandomCrop(5)], 1, 0)(x, np.zeros(400, int), 1)[0])
    assert not found.any(axis=(1, 2, 3)).all()


def test_augmentations_without_effect_return_the_same_bits(rng):
    x = rng.normal(size=(5, 6, 7, 3)).astype(np.float32)
    none = [
        HorizontalFlip(0),
        RandomCrop(0),
        ColorJitter(),
        RandomErasing(0),
        RandomErasing(1, area=(1, 1), ratio=(2, 2)),
    ]
    np.testing.assert_array_equal(augment.apply(x, none), x)
    np.testing.assert_array_equal(augment.apply(x, []), x)


@pytest.mark.parametrize("each", [MixUp(1.0), CutMix()], ids=repr)
def test_an_image_alone_in_its_batch_is_mixed_with_itself(rng, each):
    x = rng.normal(size=(1, 4, 4, 3))
    found, targets = augment.apply(x, [each], y=[1], n_classes=3)
    np.testing.assert_array_equal(found, x)
    np.testing.assert_allclose(targets, [[0, 1, 0]], rtol=1e-15)


def test_an_empty_batch_stays_empty():
    found, targets = augment.apply(np.empty((0, 4, 4, 3), np.float32), ALL[:6], y=np.empty(0, int), n_classes=3)
    assert found.shape == (0, 4, 4, 3) and targets.shape == (0, 3)


@pytest.mark.parametrize("each", [MixUp(1.0), CutMix()], ids=repr)
def test_the_target_tells_how_much_of_the_image_is_the_partner_s(each):
    n = 50
    x = np.broadcast_to(np.eye(n)[:, None, None, :], (n, 6, 5, n))  # image i is class i, in channel i
    found, targets = augment.apply(x, [each], seed=3, y=np.arange(n))
    np.testing.assert_allclose(found.mean(axis=(1, 2)), targets, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-15)
    partners = np.where(np.eye(n, dtype=bool), 0, targets).argmax(axis=1)[targets.diagonal() < 1]
    assert len(set(partners)) == len(partners)  # each is partner once


def test_what_stands_before_the_mixing_changes_the_partner_too_what_stands_behind_does_not():
    x = np.stack([np.zeros((4, 4, 1)), np.ones((4, 4, 1))])
    erase = RandomErasing(1, area=(1, 1), ratio=(1, 1), value=5)
    assert (augment.apply(x, [erase, MixUp(1.0)]) == 5).all()
    images, targets = augment.apply(x, [CutMix(), erase], y=[0, 1])
    assert (images == 5).all() and 0 < targets[0, 1] < 1


# Random draws


def test_images_depend_on_seed_update_and_place_and_on_nothing_else():
    each = [HorizontalFlip(), RandomCrop(3), ColorJitter(0.5, 0.5, 0.5), RandomErasing(1)]
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 9, 9, 3)), 8, axis=0)
    found = augment.apply(x, each, seed=4, update=6)
    assert len(np.unique(found.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(augment.apply(x[:3], each, seed=4, update=6), found[:3])
    for seed, update in ((5, 6), (4, 7), (4 + 2**32, 6), (6, 4)):
        assert (augment.apply(x, each, seed=seed, update=update) != found).any(axis=(1, 2, 3)).all()


def test_two_of_a_kind_draw_their_own_numbers():
    x = ramp(2000, 1, 2)
    once = augment.apply(x, [HorizontalFlip()])[:, 0, 0, 0] == 2
    twice = augment.apply(x, [HorizontalFlip(), HorizontalFlip()])[:, 0, 0, 0] == 2
    assert stats.binomtest(int((once != twice).sum()), 2000).pvalue > 1e-3


def test_calls_at_the_same_time_do_not_disturb_each_other(rng):
    x = rng.normal(size=(40, 12, 12, 3)).astype(np.float32)
    expected = [augment.apply(x, ALL[:6], update=update) for update in range(16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda update: augment.apply(x, ALL[:6], update=update), range(16)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_flips_and_erasings_is_their_probability(p):
    x = ramp(20_000, 1, 2)
    flipped = augment.apply(x, [HorizontalFlip(p)])[:, 0, 0, 0] == 2
    erased = (augment.apply(x, [RandomErasing(p, area=(0.5, 0.5), ratio=(1, 1))]) == 0).any(axis=(1, 2, 3))
    for happened in (flipped, erased):
        assert stats.binomtest(int(happened.sum()), len(x), p).pvalue > 1e-3


def test_shifts_of_crops_are_uniform_and_independent():
    padding, side = 3, 9
    found = augment.apply(ramp(49_000, side, side), [RandomCrop(padding)], seed=8)
    pixel = found[:, padding, padding, 0].astype(int) - 1  # the pixel that came to the padding's distance from the edge
    down, right = pixel // side - padding, pixel % side - padding
    counts, _, _ = np.histogram2d(down, right, bins=np.arange(-padding, padding + 2) - 0.5)
    assert counts.sum() == len(pixel)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_factors_of_jitter_are_uniform():
    x = np.tile([[1.0, 3.0]], (20_000, 1)).reshape(-1, 1, 2, 1)
    bright = augment.apply(x, [ColorJitter(brightness=0.4)])[:, 0, 0, 0]
    contrast = np.ptp(augment.apply(x, [ColorJitter(contrast=0.7)]), axis=(1, 2, 3)) / 2
    saturated = np.ptp(augment.apply(x.reshape(-1, 1, 1, 2), [ColorJitter(saturation=1)]), axis=(1, 2, 3)) / 2
    for factor, half in ((bright, 0.4), (contrast, 0.7), (saturated, 1.0)):
        assert stats.kstest(factor, stats.uniform(1 - half, 2 * half).cdf).pvalue > 1e-3


def test_erased_rectangles_have_the_areas_and_ratios_asked_for_and_lie_anywhere():
    side, each = 200, RandomErasing(1, area=(0.02, 0.1), ratio=(0.5, 2), value=0)
    gone = augment.apply(np.ones((2000, side, side, 1), np.float32), [each])[..., 0] == 0
    rows, columns = gone.any(axis=2).sum(axis=1), gone.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(gone.sum(axis=(1, 2)), rows * columns)  # rectangles, every one
    # a pixel more or less blurs the ends
    assert stats.kstest(rows * columns / side**2, stats.uniform(0.02, 0.08).cdf).pvalue > 1e-3
    assert stats.kstest(rows / columns, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-3
    top = gone.any(axis=2).argmax(axis=1) / (side - rows)
    left = gone.any(axis=1).argmax(axis=1) / (side - columns)
    for place in (top, left):
        assert stats.kstest(place, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 3.0, 40.0])
def test_weights_of_mixup_are_of_the_beta_distribution(alpha):
    x = np.array([0.0, 1.0]).reshape(2, 1, 1, 1)  # of two, each is the other's partner
    found = [augment.apply(x, [MixUp(alpha)], update=update) for update in range(5000)]
    weights, law = np.abs(np.array(found) - x).ravel(), stats.beta(alpha, alpha)
    counts, _ = np.histogram(weights, law.ppf(np.linspace(0, 1, 11)))
    assert stats.chisquare(counts, np.full(10, 1000)).pvalue > 1e-3
    assert weights.mean() == pytest.approx(0.5, abs=0.02)
    assert weights.var() == pytest.approx(law.var(), rel=0.05)


def test_cutmix_pastes_a_uniform_area_before_it_is_cut_off():
    n, side = 4000, 64
    _, targets = augment.apply(np.zeros((n, side, side, 1), np.float32), [CutMix()], y=np.arange(n), n_classes=n)
    # E[area] for sides s = sqrt(u), u uniform: each axis keeps s - s^2 / 4 on average
    expected = np.mean([(s - s * s / 4) ** 2 for s in np.sqrt((np.arange(10_000) + 0.5) / 10_000)])
    assert 1 - targets.diagonal().mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1e30])
@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_extreme_parameters_of_the_beta_distribution_give_weights_within_0_and_1(kind, alpha):
    _, targets = augment.apply(np.ones((300, 4, 4, 1)), [kind(alpha)], y=np.arange(300))
    assert (targets >= 0).all() and (targets <= 1).all()


# In training

RECIPES = [
    [HorizontalFlip(), RandomCrop(2)],
    [ColorJitter(0.4, 0.3, 0.9), RandomErasing(), RandomCrop(3, "reflect")],
    [HorizontalFlip(), MixUp(0.5), RandomErasing(value=2)],
    [RandomCrop(1), CutMix()],
]
CLASSES = 4


def convnet(dtype="float64"):
    layers = [fc.Conv2D(5, 3), fc.Tanh(), fc.Flatten(), fc.Dense(CLASSES)]
    return fc.Sequential(layers, input=fc.ImageInput(6, 5, 3), dtype=dtype, seed=1)


def labelled(rng, n, dtype=np.float64):
    return rng.normal(size=(n, 6, 5, 3)).astype(dtype), rng.integers(CLASSES, size=n)


def shuffled(n, seed, epoch=0):
    return np.random.default_rng([seed, epoch]).permutation(n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recipe", RECIPES, ids=repr)
def test_training_learns_the_batches_that_apply_returns_on_any_number_of_threads(level, rng, recipe, dtype):
    n, size, seed = 1300, 600, 2**40 + 3  # the last of three batches is smaller
    x, y = labelled(rng, n, dtype)
    x.flags.writeable = y.flags.writeable = False
    mixes = any(each.mixes for each in recipe)

    def trainer(**settings):
        layers = [
            fc.Conv2D(5, 3, padding=1), fc.BatchNorm(), fc.ReLU(), fc.MaxPool2D(2),
            fc.Flatten(), fc.Dropout(0.2), fc.Dense(CLASSES),
        ]  # fmt: skip
        net = fc.Sequential(layers, input=fc.ImageInput(6, 5, 3), dtype=dtype, seed=1)
        loss = fc.SoftmaxCrossEntropy(label_smoothing=0.1)
        return fc.Trainer(net, loss, fc.SGD(0.1, momentum=0.9), batch_size=size, seed=seed, **settings)

    expected = trainer(sampling=lambda labels, rng: np.arange(len(labels)))
    for update in range(6):
        rows = shuffled(n, seed, update // 3)[size * (update % 3) :][:size]
        images, targets = augment.apply(x[rows], recipe, seed, update, y[rows], CLASSES)
        expected.fit(images, targets if mixes else y[rows], updates=1)
    for threads in (1, 2, 3):
        found = trainer(augment=recipe, threads=threads)
        found.fit(x, y, updates=6)
        assert found.history.batch_losses == expected.history.batch_losses
        np.testing.assert_array_equal(found.net.parameters, expected.net.parameters)
        np.testing.assert_array_equal(found.net.statistics, expected.net.statistics)
    plain = trainer(augment=[])
    plain.fit(x, y, updates=6)
    assert not np.isin(plain.history.batch_losses, expected.history.batch_losses).any()


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft targets"])
@pytest.mark.parametrize("each", [MixUp(1.0), CutMix()], ids=repr)
@pytest.mark.parametrize(
    "loss",
    [
        fc.SoftmaxCrossEntropy(class_weight=[0.5, 1, 2, 0], label_smoothing=0.1),
        fc.FocalLoss(class_weight=[0.5, 1, 2, 0]),
        fc.MultiClassHinge(class_weight=[0.5, 1, 2, 0]),
        fc.MeanSquaredError(),
    ],
    ids=repr,
)
def test_a_mixture_costs_what_its_targets_cost_each_by_its_own_weight(rng, loss, each, soft):
    n, seed, net = 30, 3, convnet()
    (x, y), weight = labelled(rng, n), rng.uniform(0, 2, n) * (rng.uniform(size=n) < 0.5)
    y = rng.dirichlet(np.ones(CLASSES), n) if soft else y
    rows = shuffled(n, seed)
    images, shares = augment.apply(x[rows], [each], seed, y=np.arange(n))
    partners = np.where(np.eye(n, dtype=bool), -1, shares).argmax(axis=1)
    own, other = shares.diagonal() * weight[rows], (1 - shares.diagonal()) * weight[rows][partners]
    assert (own + other == 0).any()
    pairs = (y[rows], own), (y[rows][partners], other)
    costs = [net.loss_and_gradients(images, target, loss, sample_weight=counts) for target, counts in pairs]
    cost = sum(value for value, _ in costs)
    expected = {name: before - sum(gradients[name] for _, gradients in costs) for name, before in net.params.items()}
    if isinstance(loss, fc.MeanSquaredError):  # all but what the weighted targets differ from their mean
        apart = np.square(
            pairs[0][0] - pairs[1][0] if soft else np.eye(CLASSES)[y[rows]] - np.eye(CLASSES)[y[rows][partners]]
        )
        cost -= np.mean(own * other / np.maximum(own + other, 1e-300) * apart.mean(axis=1))
    trainer = fc.Trainer(net, loss, fc.SGD(1.0), batch_size=n, seed=seed, augment=[each])
    trainer.fit(x, y, updates=1, sample_weight=weight)
    assert trainer.history.batch_losses[0] == pytest.approx(cost, rel=1e-12)
    for name, after in net.params.items():
        np.testing.assert_allclose(after, expected[name], rtol=1e-10, atol=1e-12)


def test_a_hit_is_the_sample_s_own_label_whatever_is_mixed_in(rng):
    x, y = labelled(rng, 200)
    net, rows = convnet(), shuffled(200, 5)
    images = augment.apply(x[rows], [CutMix()], seed=5)
    accuracy = np.mean(net.predict(images) == y[rows])
    trainer = fc.Trainer(net, batch_size=200, seed=5, augment=[CutMix()])
    assert trainer.fit(x, y, updates=1).records[0]["train_accuracy"] == accuracy


def test_validation_sees_the_images_as_they_are(rng):
    x, y = labelled(rng, 50)
    blank = RandomErasing(1, area=(1, 1), ratio=(6 / 5, 6 / 5))
    assert not augment.apply(x, [blank]).any()
    net = convnet()
    trainer = fc.Trainer(net, batch_size=50, optimizer=fc.SGD(1e-300), augment=[blank])
    (record,) = trainer.fit(x, y, epochs=1, validation=(x, y)).records
    assert record["validation_loss"] == net.evaluate(x, y)[0]
    assert record["train_loss"] == pytest.approx(net.evaluate(np.zeros_like(x), y)[0], rel=1e-12)


TEXT = fc.OneHotInput(4, 3), [fc.OneHotConv1D(2, 2), fc.Flatten(), fc.Dense(2)]
VECTORS = fc.VectorInput(5), [fc.Dense(2)]
PICTURES = fc.ImageInput(3, 5, 1), [fc.Flatten(), fc.Dense(2)]


@pytest.mark.parametrize(
    ("error", "message", "network", "recipe"),
    [
        (DTypeError, "expected a network of ImageInput to augment, got OneHotInput", TEXT, [HorizontalFlip()]),
        (DTypeError, "expected a network of ImageInput to augment, got VectorInput", VECTORS, []),
        (DTypeError, "expected a list of augmentations, got HorizontalFlip", PICTURES, HorizontalFlip()),
        (DTypeError, "expected an augmentation, got 'flip'", PICTURES, ["flip"]),
        (RangeError, "expected at most one augmentation that mixes images", PICTURES, [MixUp(), MixUp()]),
    ],
)
def test_a_trainer_says_what_it_cannot_augment(error, message, network, recipe):
    net = fc.Sequential(network[1], input=network[0])
    with pytest.raises(error, match=f"Trainer: {message}"):
        fc.Trainer(net, augment=recipe)


# Descriptions


@pytest.mark.parametrize("each", [*ALL, RandomErasing(1, [0.1, 0.2], [1, 2])], ids=repr)
def test_descriptions_survive_repr_and_json_and_do_not_change(each):
    assert eval(repr(each)) == each
    assert type(each)(**json.loads(json.dumps(asdict(each)))) == each
    with pytest.raises(FrozenInstanceError):
        each.p = 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HorizontalFlip(1.5), r"HorizontalFlip: p lies in \[0, 1\], got 1.5"),
        (lambda: HorizontalFlip(float("nan")), "HorizontalFlip: p lies in"),
        (lambda: HorizontalFlip(True), "HorizontalFlip: p lies in"),
        (lambda: HorizontalFlip("often"), "HorizontalFlip: p lies in"),
        (lambda: RandomCrop(-1), "RandomCrop: padding: expected an integer of 0..32767, got -1"),
        (lambda: RandomCrop(1.0), "RandomCrop: padding: expected an integer"),
        (lambda: RandomCrop(2, "wrap"), "RandomCrop: mode is 'zero' or 'reflect', got 'wrap'"),
        (lambda: ColorJitter(contrast=2), r"ColorJitter: contrast lies in \[0, 1\], got 2"),
        (lambda: RandomErasing(area=(0, 1)), r"RandomErasing: area is a pair \(least, most\) within \(0, 1\]"),
        (lambda: RandomErasing(area=(0.4, 0.02)), "RandomErasing: area is a pair"),
        (lambda: RandomErasing(ratio=3), "RandomErasing: ratio is a pair"),
        (lambda: RandomErasing(value=float("inf")), "RandomErasing: value lies in"),
        (lambda: MixUp(0), r"MixUp: alpha lies in \(0, "),
        (lambda: CutMix(float("nan")), "CutMix: alpha lies in"),
    ],
)
def test_descriptions_out_of_range_say_what_is_expected(make, message):
    with pytest.raises(RangeError, match=message):
        make()


IMAGES = np.zeros((2, 3, 5, 1))


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ShapeError, r"apply: expected images \(N, H, W, C\), got shape \(3, 5\)", (IMAGES[0, ..., 0], [])),
        (DTypeError, "apply: expected x of numbers, got dtype <U1", (np.full((1, 1, 1, 1), "a"), [])),
        (DTypeError, "apply: expected a list of augmentations, got HorizontalFlip", (IMAGES, HorizontalFlip())),
        (DTypeError, "apply: expected an augmentation, got 'flip'", (IMAGES, ["flip"])),
        (RangeError, r"apply: expected at most one augmentation that mixes images", (IMAGES, [MixUp(), CutMix()])),
        (ShapeError, "RandomCrop: a padding of 3 is not inside an image", (IMAGES, [RandomCrop(3, "reflect")])),
        (RangeError, "apply: seed is an integer >= 0, got -1", (IMAGES, [], -1)),
        (RangeError, "apply: update: expected an integer of 0..4294967295, got 4294967296", (IMAGES, [], 0, 2**32)),
        (DTypeError, "apply: expected labels of an integer dtype", (IMAGES, [], 0, 0, [0.5, 1])),
        (ShapeError, r"apply: x has 2 samples, y has shape \(3,\)", (IMAGES, [], 0, 0, [0, 1, 2])),
        (RangeError, "apply: label 2 at index 1 is outside 0..1", (IMAGES, [], 0, 0, [0, 2], 2)),
        (RangeError, "apply: n_classes: expected a positive integer, got 0", (IMAGES, [], 0, 0, [0, 0], 0)),
    ],
)
def test_apply_says_what_does_not_fit(error, message, arguments):
    with pytest.raises(error, match=message):
        augment.apply(*arguments)
