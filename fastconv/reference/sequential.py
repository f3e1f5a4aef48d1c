"""The twin of a whole network: its layers one after the other in NumPy, forward and back.

A layer is known by the name of its class and by its fields, so that nothing of the library is imported. Each has one
function here, which takes the layer, its index, its parameters by name, its input and the :class:`Pass`, and returns
its output and the way back: from the gradient by the output to that by the input and those by the parameters.
"""

from dataclasses import dataclass, field

import numpy as np

from fastconv.reference import convolution, kernels, pooling


@dataclass
class Pass:
    """What a pass through the layers carries along.

    Attributes
    ----------
    training : bool
        Whether batch normalisation takes the batch's statistics and dropout drops.
    seed, update : int
        Of dropout's random numbers.
    lengths : ndarray of int, shape (N,), or None
        Leading positions of each sequence that see one of its characters; None for what were not codes.
    switches : list of ndarray
        Where each ReLU is on, and which number each maximum is: they change where the output has a kink.
    running : dict of str to ndarray
        The running means and variances that training goes on with, by layer index and name.
    """

    training: bool
    seed: int
    update: int
    lengths: np.ndarray | None = None
    switches: list = field(default_factory=list)
    running: dict = field(default_factory=dict)

    def slide(self, length, width, stride, padding=0, dilation=1):
        """Go on from positions to windows: one sees a character if it begins before the last one's end."""
        if self.lengths is not None:
            (before, _), taps = convolution.axis("slide", length, width, stride, padding, dilation)
            begins = np.count_nonzero(taps[0] - before < self.lengths[:, None], axis=1)
            self.lengths = np.where(self.lengths > 0, begins, 0)


def _window(layer):
    return layer.stride, layer.padding, layer.dilation


def _conv2d(layer, index, own, x, passed):
    y = kernels.conv2d(x, own["w"], own.get("b"), *_window(layer))

    def back(dy):
        dx, dw, db = kernels.conv2d_backward(dy, x, own["w"], *_window(layer))
        return dx, {"w": dw, "b": db}

    return y, back


def _conv1d(layer, index, own, x, passed):
    y = kernels.conv1d(x, own["w"], own.get("b"), *_window(layer))
    passed.slide(x.shape[1], layer.kernel_size, *_window(layer))

    def back(dy):
        dx, dw, db = kernels.conv1d_backward(dy, x, own["w"], *_window(layer))
        return dx, {"w": dw, "b": db}

    return y, back


def _onehot_conv1d(layer, index, own, x, passed):
    y = kernels.onehot_conv1d(x, own["w"], own.get("b"), *_window(layer))
    passed.slide(x.shape[1], layer.kernel_size, *_window(layer))

    def back(dy):
        dw, db = kernels.onehot_conv1d_backward(dy, x, own["w"].shape, *_window(layer))
        return None, {"w": dw, "b": db}

    return y, back


def _embedding(layer, index, own, x, passed):
    def back(dy):
        return None, {"w": kernels.embedding_backward(dy, x, own["w"].shape)}

    return kernels.embedding(x, own["w"]), back


def _dense(layer, index, own, x, passed):
    def back(dy):
        dx, dw, db = kernels.dense_backward(dy, x, own["w"])
        return dx, {"w": dw, "b": db}

    return kernels.dense(x, own["w"], own.get("b")), back


def _max_pool2d(layer, index, own, x, passed):
    passed.switches.append(pooling.windows("max_pool2d", x, layer.pool_size, layer.stride)[0].argmax(axis=-1))

    def back(dy):
        return kernels.max_pool2d_backward(dy, x, layer.pool_size, layer.stride), {}

    return kernels.max_pool2d(x, layer.pool_size, layer.stride), back


def _max_pool1d(layer, index, own, x, passed):
    size, stride = (1, layer.pool_size), (1, layer.stride)
    passed.switches.append(pooling.windows("max_pool1d", x[:, None], size, stride)[0].argmax(axis=-1))
    passed.slide(x.shape[1], layer.pool_size, layer.stride)

    def back(dy):
        return kernels.max_pool1d_backward(dy, x, layer.pool_size, layer.stride), {}

    return kernels.max_pool1d(x, layer.pool_size, layer.stride), back


def _global_max_pool1d(layer, index, own, x, passed):
    lengths = np.full(len(x), x.shape[1]) if passed.lengths is None else passed.lengths
    counted = np.arange(x.shape[1]) < lengths[:, None]
    passed.switches.append(np.where(counted[:, :, None], x, -np.inf).argmax(axis=1))

    def back(dy):
        return kernels.global_max_pool1d_backward(dy, x, lengths), {}

    return kernels.global_max_pool1d(x, lengths), back


def _avg_pool2d(layer, index, own, x, passed):
    def back(dy):
        return kernels.avg_pool2d_backward(dy, x.shape, layer.pool_size, layer.stride), {}

    return kernels.avg_pool2d(x, layer.pool_size, layer.stride), back


def _batch_norm(layer, index, own, x, passed):
    gamma, beta = own["gamma"], own["beta"]
    if not passed.training:
        return kernels.batch_norm_inference(x, gamma, beta, own["mean"], own["var"], layer.eps), None
    y, mean, var = kernels.batch_norm(x, gamma, beta, layer.eps)
    for name, batch in (("mean", mean), ("var", var)):
        passed.running[f"{index}.{name}"] = layer.momentum * own[name] + (1 - layer.momentum) * batch

    def back(dy):
        dx, dgamma, dbeta = kernels.batch_norm_backward(dy, x, gamma, layer.eps)
        return dx, {"gamma": dgamma, "beta": dbeta}

    return y, back


def _dropout(layer, index, own, x, passed):
    rate = layer.rate if passed.training else 0
    mask = kernels.dropout_mask(x.shape, rate, passed.seed, index, passed.update)

    def back(dy):
        return kernels.dropout(dy, mask, rate), {}

    return kernels.dropout(x, mask, rate), back


def _relu(layer, index, own, x, passed):
    y = kernels.relu(x)
    passed.switches.append(y > 0)

    def back(dy):
        return kernels.relu_backward(dy, y), {}

    return y, back


def _sigmoid(layer, index, own, x, passed):
    y = kernels.sigmoid(x)

    def back(dy):
        return kernels.sigmoid_backward(dy, y), {}

    return y, back


def _tanh(layer, index, own, x, passed):
    y = kernels.tanh(x)

    def back(dy):
        return kernels.tanh_backward(dy, y), {}

    return y, back


def _flatten(layer, index, own, x, passed):
    def back(dy):
        return dy.reshape(x.shape), {}

    return x.reshape(len(x), -1), back


LAYERS = {
    "AvgPool2D": _avg_pool2d,
    "BatchNorm": _batch_norm,
    "Conv1D": _conv1d,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "Dropout": _dropout,
    "Embedding": _embedding,
    "Flatten": _flatten,
    "GlobalMaxPool1D": _global_max_pool1d,
    "MaxPool1D": _max_pool1d,
    "MaxPool2D": _max_pool2d,
    "OneHotConv1D": _onehot_conv1d,
    "ReLU": _relu,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
}


class NumpyNet:
    """The twin of a Sequential.

    Parameters
    ----------
    net : Sequential
        Its layers, parameters and running statistics are read at each call, and left alone.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(2), fc.ReLU()], input=fc.VectorInput(1))
    >>> net.params["0.w"][...] = [[3.0, -3.0]]
    >>> y, passed, _ = NumpyNet(net).forward([[2.0]])
    >>> y.tolist(), passed.switches[0].tolist()
    ([[6.0, 0.0]], [[True, False]])
    """

    def __init__(self, net):
        self.net = net

    def forward(self, x, training=False, seed=0, update=0):
        """Run the layers.

        Parameters
        ----------
        x : ndarray
            Codes (N, L) or numbers (N, ...).
        training : bool
            See :class:`Pass`.
        seed, update : int
            Of dropout.

        Returns
        -------
        y : ndarray, shape (N, ...)
        passed : Pass
        backward : callable
            Of a pass in training, from the gradient by `y` to those by the parameters, a dict.

        Raises
        ------
        ValueError
            If the input does not fit the network.
        """
        net, passed, backs = self.net, Pass(training, seed, update), []
        x = np.asarray(x, None if net.input.codes else net.dtype)
        if net.input.codes:
            passed.lengths = (np.arange(1, x.shape[1] + 1) * (x >= 0)).max(axis=1)
        for i, layer in enumerate(net.layers):
            arrays = {**net.params, **net.state}.items()
            own = {name.removeprefix(f"{i}."): array for name, array in arrays if name.startswith(f"{i}.")}
            x, back = LAYERS[type(layer).__name__](layer, i, own, x, passed)
            backs.append(back)

        def backward(dy):
            gradients = {}
            for i, back in reversed(list(enumerate(backs))):
                dy, own = back(dy)
                gradients.update({f"{i}.{name}": gradient for name, gradient in own.items()})
            return {name: gradients[name] for name in net.params}

        return x, passed, backward

    def loss_and_gradients(self, x, y, loss=kernels.softmax_cross_entropy, seed=0):
        """Compute a batch's loss and its gradients as in a step of training.

        Parameters
        ----------
        x : ndarray
            Codes (N, L) or numbers (N, ...).
        y : ndarray
            Whatever the loss compares the logits with.
        loss : callable
            From logits and `y` to the loss and its gradient by the logits.
        seed : int
            Of dropout.

        Returns
        -------
        loss : float
        gradients : dict of str to ndarray
            With the keys and shapes of `net.params`.

        Raises
        ------
        ValueError
            If the input does not fit the network.

        Examples
        --------
        >>> import fastconv as fc
        >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1), dtype="float64")
        >>> net.parameters[:] = 0
        >>> value, gradients = NumpyNet(net).loss_and_gradients([[2.0]], [1])
        >>> round(float(value), 4), gradients["0.w"].tolist()
        (0.6931, [[1.0, -1.0]])
        """
        logits, _, backward = self.forward(x, True, seed)
        value, dlogits = loss(logits, y)
        return value, backward(dlogits)
