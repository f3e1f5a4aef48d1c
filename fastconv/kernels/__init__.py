"""Compute on raw memory: one room an operation, written once, compiled for every instruction set.

A room is a ``.pxd`` file of inline Cython cores (pointers and sizes in, nothing allocated, no Python object touched),
so that the engine that cimports it is compiled together with it, once for each instruction set. The docstring of a
core is its equation. Modules of their own are only :mod:`fastconv.kernels.encode`, which works on Python strings, and
:mod:`fastconv.kernels.augmentation`, which augments images without a network.

Glossary of dimensions, the same in every room:

====== =====================================================================================
n      samples of a chunk
length positions of a sample of the input
positions  positions of a sample of the output, ``length - width + 1`` for a convolution
width  positions that a filter spans
depth  symbols of the alphabet: rows of a one-hot column
channels, filters  channels of the input and of the output
====== =====================================================================================

In memory a row of channels is padded with zeros to a multiple of 64 bytes (``padded``), and a sample is a block of
such rows; ``x_sample`` and ``y_sample`` are the distances between samples, counted in elements like every distance.
``active[i]`` counts the leading positions of sample i that can differ from zero: the rest is not computed.
"""
