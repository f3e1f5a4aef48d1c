"""The readable twin: the library's mathematics in plain NumPy and SciPy.

From the page to the program:

- `matrices`: convolution as matrix products, in the notation of the assignment
  (M_F, M_X, V_X);
- `kernels`: every operation of the library by an obvious algorithm, forward and backward, those
  of `convolution`, `pooling` and `normalisation` among them;
- `learning`: every loss and every optimiser likewise;
- `sequential`: any network of the library, its layers one after the other;
- `networks`: the surname ConvNet trained in three ways, from the naive matrices to what
  NumPy and SciPy do best, and a ConvNet over images as NumPy does best.

Tests and benchmarks compare the library with this package. The library itself never calls it.
"""

from fastconv.reference import kernels, learning, matrices, networks, sequential

__all__ = ["kernels", "learning", "matrices", "networks", "sequential"]
