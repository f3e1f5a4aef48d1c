"""Augmentation of images: descriptions; the kernels change the batches inside the training loop, or an array here.

Every random number is that of (seed; update, augmentation's place in the list, sample's place in the batch): the same
bits for any number of threads, on any processor's instruction set. Augmentations are done in their order, and keep
the images' shape. At most one of a list mixes images; what stands before it changes both that are mixed.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from fastconv.arrays import checked_seed, floats_array, labels_array, positive
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.kernels import augmentation

LARGEST = float(np.finfo(np.float32).max)


class Augmentation:
    """Base of the augmentations."""

    mixes = False

    def lower(self, shape):
        """Return the fields of the kernels' structure for images of `shape`, (height, width, channels)."""
        return vars(self)


def _integer(name, value, high):
    """Return `value` as an int, or raise RangeError if it is not an integer of 0..high."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value <= high:
        raise RangeError(f"{name}: expected an integer of 0..{high}, got {value!r}")
    return int(value)


def _check_number(described, field, low, high, above=False):
    """Make a field of a frozen description a float, or raise RangeError if it lies outside low..high."""
    value = getattr(described, field)
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (low < value if above else low <= value) or not value <= high:
        lies = f"lies in {'(' if above else '['}{low:g}, {high:g}]"
        raise RangeError(f"{type(described).__name__}: {field} {lies}, got {value!r}")
    object.__setattr__(described, field, float(value))


def _check_range(described, field, high):
    """Make a field of a frozen description two floats, or raise RangeError if they are no range within (0, high]."""
    value = getattr(described, field)
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    pair = pair and all(isinstance(end, Real) and not isinstance(end, bool) for end in value)
    if not pair or not 0 < value[0] <= value[1] <= high:
        raise RangeError(
            f"{type(described).__name__}: {field} is a pair (least, most) within (0, {high:g}], got {value!r}"
        )
    object.__setattr__(described, field, tuple(map(float, value)))


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Mirror an image, left for right.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import augment
    >>> augment.apply(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), [augment.HorizontalFlip(p=1)]).ravel()
    array([3., 2., 1.])
    """

    p: float = 0.5

    def __post_init__(self):
        _check_number(self, "p", 0, 1)


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Pad an image on all sides and cut its old size out again, anywhere: a shift by -padding..padding pixels each way.

    Parameters
    ----------
    padding : int
        Pixels on each side, >= 0; for "reflect" less than the image's height and width.
    mode : {"zero", "reflect"}
        What the padding is: zeros, or the image mirrored at its edge pixels, which do not stand twice.
    """

    padding: int = 4
    mode: str = "zero"

    def __post_init__(self):
        object.__setattr__(self, "padding", _integer("RandomCrop: padding", self.padding, 2**15 - 1))
        if self.mode not in ("zero", "reflect"):
            raise RangeError(f"RandomCrop: mode is 'zero' or 'reflect', got {self.mode!r}")

    def lower(self, shape):
        """Return the padding, and whether it reflects."""
        if self.mode == "reflect" and self.padding >= min(shape[:2]):
            raise ShapeError(f"RandomCrop: a padding of {self.padding} is not inside an image of {shape} to reflect")
        return {"padding": self.padding, "reflect": self.mode == "reflect"}


@dataclass(frozen=True)
class ColorJitter(Augmentation):
    """Change brightness, contrast and saturation, in this order, by random factors.

    Parameters
    ----------
    brightness, contrast, saturation : float
        Half the range, in [0, 1], of each factor: it is uniform in [1 - brightness, 1 + brightness], and so on.

    Notes
    -----
    With the factors b, c, s: x' = b x; x'' = c x' + (1 - c) mean(x'), the mean of all pixels and channels;
    y = s x'' + (1 - s) gray(x''), the mean of each pixel's channels. Nothing is clipped, so that standardised images
    can be changed too: their brightness is the distance from the mean image.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self):
        for field in ("brightness", "contrast", "saturation"):
            _check_number(self, field, 0, 1)


@dataclass(frozen=True)
class RandomErasing(Augmentation):
    """Fill a random rectangle of an image with a value (Zhong et al., 2020, algorithm 1).

    Parameters
    ----------
    p : float
        Probability, in [0, 1].
    area : (float, float)
        Of the rectangle, as shares of the image, in (0, 1]; uniform between them.
    ratio : (float, float)
        Height over width, positive; uniform between them.
    value : float

    Notes
    -----
    Sizes are drawn until one fits into the image, and rounded to pixels; an image that none of a hundred fits stays as
    it is.
    """

    p: float = 0.5
    area: tuple = (0.02, 0.4)
    ratio: tuple = (0.3, 3.3)
    value: float = 0.0

    def __post_init__(self):
        _check_number(self, "p", 0, 1)
        _check_range(self, "area", 1)
        _check_range(self, "ratio", LARGEST)
        _check_number(self, "value", -LARGEST, LARGEST)

    def lower(self, shape):
        """Return the probability, the ends of the ranges and the value."""
        (least_area, most_area), (least_ratio, most_ratio) = self.area, self.ratio
        return {
            "p": self.p, "value": self.value,
            "least_area": least_area, "most_area": most_area, "least_ratio": least_ratio, "most_ratio": most_ratio,
        }  # fmt: skip


class _Mixing(Augmentation):
    mixes = True

    def __post_init__(self):
        _check_number(self, "alpha", 0, LARGEST, above=True)


@dataclass(frozen=True)
class MixUp(_Mixing):
    """Mix an image and its target with those of another of the batch (Zhang et al., 2018, equation 1).

    Parameters
    ----------
    alpha : float
        Positive; the larger, the more even the mixtures.

    Notes
    -----
    x = l x_i + (1 - l) x_j and y = l y_i + (1 - l) y_j, with an l of Beta(alpha, alpha) for each image i. The other
    one, j, is the same number of places behind i for the whole batch, in a circle: that number is random.
    """

    alpha: float = 0.2


@dataclass(frozen=True)
class CutMix(_Mixing):
    """Paste a rectangle of another image of the batch, and mix the targets by its area (Yun et al., 2019, section 3).

    Parameters
    ----------
    alpha : float
        Positive; the larger, the closer the rectangle to half the image.

    Notes
    -----
    The rectangle's sides are those of the image times sqrt(1 - l), with an l of Beta(alpha, alpha) for each image; its
    centre is any pixel, and what lies outside is cut off. The weight of the other's target is the share of the pixels
    that are pasted. The other one is that of :class:`MixUp`.
    """

    alpha: float = 1.0


def lowered(augmentations, shape, function="augment"):
    """Return the kernels' array of structures for images of `shape`, or raise an error that names what is wrong.

    Parameters
    ----------
    augmentations : sequence of Augmentation
    shape : (height, width, channels)
    function : str
        Named in errors.

    Returns
    -------
    (A,) structured array

    Raises
    ------
    DTypeError
        If one of them is something else.
    RangeError
        If more than one mixes.
    ShapeError
        If the images are smaller than a padding that reflects.
    """
    if not isinstance(augmentations, (list, tuple)):
        raise DTypeError(f"{function}: expected a list of augmentations, got {augmentations!r}")
    rows = np.zeros(len(augmentations), augmentation.DTYPE)
    for row, each in zip(rows, augmentations, strict=True):
        if not isinstance(each, Augmentation):
            raise DTypeError(f"{function}: expected an augmentation, got {each!r}")
        row["kind"] = augmentation.KINDS[type(each).__name__]
        for name, value in each.lower(shape).items():
            row[name] = value
    mixing = [each for each in augmentations if each.mixes]
    if len(mixing) > 1:
        raise RangeError(f"{function}: expected at most one augmentation that mixes images, got {mixing}")
    return rows


def apply(x, augmentations, seed=0, update=0, y=None, n_classes=None):
    """Return a batch of images as an update of a training run sees it.

    Parameters
    ----------
    x : (N, H, W, C)
        One batch; float32 stays so, anything else becomes float64.
    augmentations : sequence of Augmentation
    seed : int
        That of the trainer.
    update : int
        Of the training run, from 0.
    y : (N,) int, optional
        Labels 0..K-1.
    n_classes : int, optional
        K; by default the largest label plus one.

    Returns
    -------
    images : (N, H, W, C)
    targets : (N, K)
        Only where `y` is given: one for the label, or shared with the label of the image that is mixed in.

    Raises
    ------
    ShapeError, DTypeError, RangeError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import augment
    >>> x = np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))])
    >>> images, targets = augment.apply(x, [augment.MixUp(alpha=1.0)], seed=1, y=[0, 1])
    >>> bool(np.allclose(images[:, 0, 0, 0], targets[:, 1]))
    True
    """
    x = np.asarray(x)
    if x.ndim != 4:
        raise ShapeError(f"apply: expected images (N, H, W, C), got shape {x.shape}")
    x = floats_array(x, np.float32 if x.dtype in (np.float16, np.float32) else np.float64, "apply", "x")
    steps = lowered(augmentations, x.shape[1:], "apply")
    seed, update = checked_seed("apply", seed) % 2**64, _integer("apply: update", update, 2**32 - 1)
    images, work = np.empty_like(x), np.empty((3, *x.shape[1:]), x.dtype)
    partners, weights = np.zeros(len(x), np.int64), np.zeros(len(x))
    if y is not None:
        classes = 2**63 - 1 if n_classes is None else positive("apply: n_classes", n_classes)
        y = labels_array(y, len(x), classes, "apply")
    augmentation.augment(x, steps, seed, update, work, images, partners, weights)
    if y is None:
        return images
    targets = np.zeros((len(x), y.max(initial=-1) + 1 if n_classes is None else classes), x.dtype)
    rows = np.arange(len(x))
    targets[rows, y] = 1 - weights
    targets[rows, y[partners]] += weights
    return images, targets
