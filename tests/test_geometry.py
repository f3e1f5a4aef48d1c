"""The rule of windows: how many there are, and where the zeros go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.errors import RangeError, ShapeError
from fastconv.geometry import paddings, pair, window, windows

sizes = st.integers(1, 12)


@given(n=st.integers(1, 40), kernel=sizes, stride=sizes, padding=st.integers(0, 6), dilation=sizes)
def test_windows_are_those_that_fit(n, kernel, stride, padding, dilation):
    taps = range(0, kernel * dilation, dilation)
    fit = [start for start in range(-padding, n + padding, stride) if start + taps[-1] < n + padding]
    if fit:
        assert window(n, kernel, stride, padding, dilation) == (len(fit), padding, padding)
    else:
        with pytest.raises(ShapeError, match=rf"{taps[-1] + 1 - 2 * padding} positions at least, got {n}"):
            window(n, kernel, stride, padding, dilation)


@given(n=st.integers(1, 40), kernel=sizes, stride=sizes, dilation=sizes)
def test_same_gives_an_output_for_each_stride_that_begins(n, kernel, stride, dilation):
    outputs, before, after = window(n, kernel, stride, "same", dilation)
    assert outputs == len(range(0, n, stride))
    assert after - before in (0, 1)
    needed = (outputs - 1) * stride + (kernel - 1) * dilation + 1
    assert before + n + after == max(n, needed)


def test_valid_is_no_padding():
    assert window(9, 4, 2, "valid") == window(9, 4, 2, 0) == (3, 0, 0)


def test_a_sequence_is_an_image_of_one_line():
    outputs, engine = windows((10,), (3,), (2,), ("same",), (2,))
    assert outputs == (5,)
    assert engine == ((1, 3), (1, 2), (0, 1), (0, 2), (1, 2))
    assert windows((1, 10), (1, 3), (1, 2), (0, "same"), (1, 2)) == ((1, 5), engine)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pair("stride", 0), "stride: expected a positive integer, got 0"),
        (lambda: pair("stride", (1, 2.0)), "stride: expected a positive integer, got 2.0"),
        (lambda: pair("stride", (1, 2, 3)), "stride: expected one number or 2, got (1, 2, 3)"),
        (lambda: pair("stride", (1, 2), rank=1), "stride: expected one number or 1, got (1, 2)"),
        (lambda: paddings("padding", -1), "padding: expected integers >= 0, 'valid' or 'same', got -1"),
        (lambda: paddings("padding", "full"), "'valid' or 'same', got 'full'"),
        (lambda: paddings("padding", True), "padding: expected integers >= 0, 'valid' or 'same', got True"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(RangeError) as caught:
        call()
    assert message in str(caught.value)
