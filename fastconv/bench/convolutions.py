"""The convolutions of nets G and R: the effective rate of each pass, beside what one core can do at most.

Each convolution runs alone by a plan of the engine, on one thread: forward, for the gradient by its weights (dw) and
for that by its input (dx), which the first layer of a network does not need. It runs once more with the ReLU and the
2x2 max-pooling that stand behind it in the networks. Images and gradients are noise, none of which is zero; but of the
four pixels of a window max-pooling hands the gradient to one, and what skips the others can lie above the roof, as can
Winograd's algorithm, which makes fewer multiplications than are counted.
"""

import statistics
import time
from typing import NamedTuple

import numpy as np

from fastconv import engine
from fastconv.arrays import aligned_zeros, positive
from fastconv.bench import contestants, peak, timing
from fastconv.bench.roofline import BANDWIDTHS
from fastconv.layers import Conv2D, MaxPool2D
from fastconv.network import layer_shapes

PASSES = ("forward", "dw", "dx")


class Layer(NamedTuple):
    """A convolution of a network: its name, its description and the shape of what it gets."""

    name: str
    conv: Conv2D
    shape: tuple


def layers():
    """Return the convolutions of nets G and R.

    Examples
    --------
    >>> from fastconv.bench import convolutions
    >>> [layer.name for layer in convolutions.layers()][:2]
    ['G: 3x3, 3 to 32', 'G: 3x3, 32 to 64']
    """
    found = []
    for name, (build, _) in contestants.IMAGE_NETS.items():
        net = build()
        for layer, shape in zip(net.layers, layer_shapes(net.layers, net.input), strict=False):
            if isinstance(layer, Conv2D):
                height, width, channels, filters = layer.parameter_shapes(shape)["w"]
                found.append(Layer(f"{name}: {height}x{width}, {channels} to {filters}", layer, shape))
    return found


class Case:
    """A convolution alone or with what stands behind it, and the calls that its passes are timed by.

    Parameters
    ----------
    layer : Layer
    pooled : bool
        With ReLU and max-pooling.
    images : int
        Of a call.

    Attributes
    ----------
    name : str
    calls : dict of str to callable
        By the pass that each makes, after those before it.
    operations : float
        Of each pass, nothing skipped.
    bytes : int
        Of the arrays of each pass: input, weights and output, or their gradients.
    """

    def __init__(self, layer, pooled, images):
        self.name = layer.name + ", pooled" * pooled
        ops, shape = [layer.conv.lower(layer.shape)], layer.shape
        if pooled:
            ops += [("relu",), MaxPool2D(2).lower(layer.conv.output_shape(shape, False))]
        one, both = (engine.Program(ops, shape, False, True, gradient, winograd=True) for gradient in (False, True))
        rng = np.random.default_rng(3)
        x, dy = (rng.normal(size=(images, *s)).astype(np.float32) for s in (shape, one.output_shape))
        dx, flat = np.empty_like(x), aligned_zeros(one.size, np.float32)
        parameters = (rng.normal(size=one.size) * layer.conv.deviation(shape)).astype(np.float32)
        self.calls = {
            "forward": lambda: one.backward(x, parameters, None, flat),
            "dw": lambda: one.backward(x, parameters, dy, flat),
        }
        if shape[2] > 3:
            self.calls["dx"] = lambda: both.backward(x, parameters, dy, flat, dx)
        self.operations = images * one.operations
        self.bytes = x.nbytes + parameters.nbytes + dy.nbytes

    def seconds(self):
        """Make each call once; return the seconds of each pass: of its call less those of the one without it."""
        found, before = {}, 0.0
        for name, call in self.calls.items():
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            found[name], before = took - before, took
        return found


def run(images=512, repeats=25, quick=False, echo=print):
    """Time the convolutions, all calls of one in turn, and the peaks of one core after each.

    Parameters
    ----------
    images : int
        Of a call.
    repeats : int
        Calls of each; the median counts.
    quick : bool
        One call each of a few images: to try the path, not to measure.
    echo : callable
        Is given lines of text on the progress.

    Returns
    -------
    dict
        As :func:`fastconv.bench.roofline.run`, at the instruction set in use; a row's ``kernel`` is a convolution,
        alone or "pooled", and its pass: "forward", "dw" or "dx".

    Notes
    -----
    A pass's time is that of a call less that of the call without it, in the same round. The forward pass hands nothing
    out: its output stays in the engine's memory, a block of images at a time, as within a network. dw reads dy from an
    array and dx is copied into one, which a network spares but at its ends, and a call takes more memory for them,
    which a training takes once for many batches: rates are a little too low. A pass whose time comes out as nothing,
    which happens in a single round of few images, has no row. Operations are 2 P F KH KW C for P pixels of the output
    in each pass, with the zeros of the padding, some of which are skipped.
    """
    images, repeats = positive("bench: images", images), positive("bench: repeats", repeats)
    if quick:
        images, repeats = min(images, 4), 1
    seconds = 0.001 if quick else 0.02
    bandwidths, peaks, measured = {name: [] for name in BANDWIDTHS}, [], []
    for layer in layers():
        for pooled in (False, True):
            case = Case(layer, pooled, images)
            rounds = [case.seconds() for _ in range(repeats + 1)][1:]  # the first warms up
            measured += [(case, name, statistics.median(found[name] for found in rounds)) for name in case.calls]
            peaks.append(peak.multiply_add(seconds=seconds))
            for name, size in BANDWIDTHS.items():
                bandwidths[name].append(peak.copy_bandwidth(size, seconds))
            echo(case.name)
    gflops = statistics.median(peaks)
    return {
        "settings": {"images": images, "dtype": "float32", "threads": 1, "repeats": repeats},
        "machine": timing.machine(),
        "peaks": {engine.LEVEL: gflops},
        "bandwidths": {name: statistics.median(found) for name, found in bandwidths.items()},
        "rows": [row(case, name, took, gflops) for case, name, took in measured if took > 0],
    }


def row(case, name, took, peak_gflops):
    """Return the row of a pass."""
    gflops = 1e-9 * case.operations / took
    return {
        "kernel": f"{case.name} {name}",
        "level": engine.LEVEL,
        "seconds": took,
        "operations": case.operations,
        "bytes": case.bytes,
        "intensity": case.operations / case.bytes,
        "gflops": gflops,
        "percent_of_peak": 100 * gflops / peak_gflops,
    }


def table(result):
    """Return the lines of the table, for printing: a line for each convolution, a column for each pass."""
    rows = {tuple(row["kernel"].rsplit(" ", 1)): row for row in result["rows"]}
    body = []
    for (name, _), row in {key[0]: (key, row) for key, row in rows.items()}.values():
        found = [rows.get((name, each)) for each in PASSES]
        body.append(
            [
                name,
                f"{row['operations'] / 1e6:,.0f}",
                f"{row['intensity']:,.0f}",
                *(f"{each['seconds'] * 1e3:,.2f} ms" if each else "" for each in found),
                *(f"{each['percent_of_peak']:,.0f}" if each else "" for each in found),
            ]
        )
    head = ["convolution", "MFLOP", "FLOP/byte", *PASSES, *(f"{each} %" for each in PASSES)]
    return [
        *timing.columns(head, body),
        f"{result['settings']['images']} images a call, one thread; MFLOP of a pass, nothing skipped; %: of the peak",
        "32 channels or more: mostly by Winograd's algorithm, which multiplies less than is counted",
        "pooled: with the ReLU and the 2x2 max-pooling behind it, which hands a gradient to one pixel of four",
        *(f"peak, {level}: {gflops:.0f} GFLOP/s" for level, gflops in result["peaks"].items()),
    ]
