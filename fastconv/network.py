"""Sequential: layers, lowered once to a Program, with one flat vector of parameters."""

import math
from dataclasses import asdict

import numpy as np

from fastconv import engine, functional, losses, modelfile
from fastconv.arrays import aligned_zeros, checked_seed, codes_array, floats_array
from fastconv.errors import DTypeError, ModelFormatError, RangeError, ShapeError
from fastconv.layers import INPUTS, LAYERS, Layer, VectorInput


class Views(dict):
    """Named views of a vector, into which arrays that are assigned are copied: the network would not see others.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.network import Views
    >>> vector = np.zeros(3)
    >>> views = Views({"0.w": vector[:2]})
    >>> views["0.w"] = [1, 2]
    >>> vector
    array([1., 2., 0.])
    """

    def __setitem__(self, name, array):
        self[name][...] = array

    def update(self, arrays):
        """Copy the arrays of a dict into the views of the same names."""
        for name, array in arrays.items():
            self[name] = array

    def __reduce__(self):
        return dict, (dict(self),)


class Sequential:
    """A network of layers, one after the other.

    Parameters
    ----------
    layers : list of Layer
    input : OneHotInput, SequenceInput, ImageInput or VectorInput
        What a sample is.
    dtype : {"float32", "float64"}
        Of the parameters and of the arithmetic.
    seed : int
        Of the initial parameters: weights are normal, with He's deviation sqrt(2 / fan-in) unless a layer's `init`
        says another, biases zero.
    winograd : bool
        Let float32 convolutions with windows of 3 or 5 pixels a line, stride 1 and at least 32 channels and filters use
        Winograd's algorithm along the lines, forward and for their gradients, unless max-pooling leaves most of these
        zero and skipping that is faster: 2 or 2.5 times fewer multiplications, and numbers that differ from the plain
        sum's by some 1e-6 of the largest. False: always the plain sum.

    Attributes
    ----------
    params : dict of str to array
        Views into :attr:`parameters`, by layer index and name: ``"0.w"``. An array that is assigned to a name is copied
        into the view.
    parameters : (P,) array
        All parameters, one flat vector. What is assigned is copied into it.
    state : dict of str to array
        What training keeps besides the parameters, views into :attr:`statistics`: the running means and variances of
        batch normalisation, ``"1.mean"``.
    statistics : (S,) array
        All of them, one flat vector. What is assigned is copied into it.
    output_shape : tuple of int
        Of one sample.
    program : Program
        What the network is lowered to.
    metadata : dict
        Whatever else belongs into the model file, of JSON's types: an alphabet, names of classes.

    Raises
    ------
    ShapeError
        If a layer does not fit what comes before it; the layer is named.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015, equation (10). Lavin and Gray, "Fast algorithms for convolutional
    neural networks", 2016.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential(
    ...     [fc.OneHotConv1D(20, 5, bias=False), fc.ReLU(), fc.Flatten(), fc.Dense(18)],
    ...     input=fc.OneHotInput(length=19, depth=28), seed=0)
    >>> {name: array.shape for name, array in net.params.items()}
    {'0.w': (5, 28, 20), '3.w': (300, 18), '3.b': (18,)}
    """

    def __init__(self, layers, input, dtype="float32", seed=0, winograd=True):
        self._lower(layers, input, dtype, seed, winograd)
        self._initialise()

    @classmethod
    def _undrawn(cls, *described):
        """Return a network whose parameters are zero, for them to come from elsewhere."""
        net = cls.__new__(cls)
        net._lower(*described)
        return net

    def _lower(self, layers, input, dtype, seed, winograd):
        """Check the description, lower it to the program and make room for the parameters, all zero."""
        self.layers = list(layers)
        self.input = input
        if not isinstance(input, INPUTS):
            names = ", ".join(kind.__name__ for kind in INPUTS)
            raise DTypeError(f"Sequential: input is one of {names}, got {input!r}")
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            self.dtype = None
        if dtype is None or self.dtype not in (np.float32, np.float64):
            raise DTypeError(f"Sequential: dtype is float32 or float64, got {dtype!r}")
        self.seed = checked_seed("Sequential", seed)
        if not isinstance(winograd, bool):
            raise DTypeError(f"Sequential: winograd is True or False, got {winograd!r}")
        self.winograd = winograd
        self.metadata = {}
        self._shapes = layer_shapes(self.layers, input)
        self.output_shape = self._shapes[-1]
        self.program = engine.Program(
            [layer.lower(before) for layer, before in zip(self.layers, self._shapes, strict=False)],
            input.shape, input.codes, self.dtype == np.float32, winograd=self.winograd,
        )  # fmt: skip
        self._parameters = aligned_zeros(self.program.size, self.dtype)
        self._statistics = aligned_zeros(self.program.state_size, self.dtype)
        self.params = Views(self.views(self.parameters))
        self.state = Views(self._views(self.statistics, self.program.state_slots, "state_shapes"))

    @property
    def parameters(self):
        return self._parameters

    @parameters.setter
    def parameters(self, values):
        self._parameters[...] = values

    @property
    def statistics(self):
        return self._statistics

    @statistics.setter
    def statistics(self, values):
        self._statistics[...] = values

    def _initialise(self):
        """Draw the weights, and set scales and variances to one."""
        for name, array in self.params.items():
            i, kind = name.split(".")
            if kind == "w":
                rng = np.random.default_rng([self.seed, int(i)])
                array[...] = rng.normal(0, self.layers[int(i)].deviation(self._shapes[int(i)]), array.shape)
            elif kind == "gamma":
                array[...] = 1
        for name, array in self.state.items():
            array[...] = name.endswith("var")

    def _views(self, flat, slots, shapes):
        """Return the named parts of a flat vector, in the shapes that the layers say."""
        views = {}
        for op, name, start, shape in slots:
            end = start + math.prod(shape)
            views[f"{op}.{name}"] = flat[start:end].reshape(getattr(self.layers[op], shapes)(self._shapes[op])[name])
        return views

    def views(self, flat):
        """Return a dict of the named parts of a vector that is laid out as :attr:`parameters`."""
        return self._views(flat, self.program.slots, "parameter_shapes")

    def __repr__(self):
        layers = ", ".join(map(repr, self.layers))
        plain = "" if self.winograd else ", winograd=False"
        return f"Sequential([{layers}], input={self.input!r}, dtype={self.dtype.name!r}, seed={self.seed}{plain})"

    def __reduce__(self):
        arrays = self.parameters.copy(), self.statistics.copy()
        described = self.layers, self.input, self.dtype.name, self.seed, self.winograd
        return _rebuild, (described, *arrays, self.metadata)

    def astype(self, dtype):
        """Return a network with the same layers and parameters in another dtype."""
        net = Sequential._undrawn(self.layers, self.input, dtype, self.seed, self.winograd)
        net.parameters[:] = self.parameters
        net.statistics[:] = self.statistics
        return net

    def check_input(self, x, function):
        """Return `x` as the array that the engine reads, or raise an error that names what is wrong with it."""
        x = np.asarray(x)
        shape = (self.input.length,) if self.input.codes else self.input.shape
        if x.ndim != len(shape) + 1 or x.shape[1:] != shape:
            raise ShapeError(f"{function}: expected x of shape (N, {', '.join(map(str, shape))}), got {x.shape}")
        if not self.input.codes:
            return floats_array(x, self.dtype, function, "x")
        return codes_array(x, self.input.depth, function)

    def check_targets(self, loss, y, n, sample_weight, function):
        """Return the labels, targets and weights of `n` samples, as :meth:`losses.Loss.arrays` does."""
        if len(self.output_shape) != 1:
            raise ShapeError(
                f"{function}: a loss needs a vector of logits, the network gives shape {self.output_shape}"
            )
        return loss.arrays(y, n, self.output_shape[0], self.dtype, sample_weight, function)

    def _run(self, x, probabilities, threads, function):
        x = self.check_input(x, function)
        y = np.empty((len(x), *self.output_shape), self.dtype)
        self.program.forward(x, self.parameters, y, probabilities, engine.threads(threads), self.statistics)
        return y

    def forward(self, x, threads=None):
        """Return the output of the last layer (logits), in inference mode.

        Parameters
        ----------
        x : (N, length) codes; (N, height, width, channels), (N, length, channels) or (N, n) numbers
        threads : int, optional

        Returns
        -------
        (N, ...) array of the network's dtype
        """
        return self._run(x, False, threads, "forward")

    def predict_proba(self, x, threads=None):
        """Return the softmax of the logits, (N, classes), of the network's dtype."""
        return self._run(x, True, threads, "predict_proba")

    def predict(self, x, threads=None):
        """Return the class of the largest logit, (N,) int64."""
        return self._run(x, False, threads, "predict").argmax(axis=-1)

    def _loss_arrays(self, x, y, loss, sample_weight, function):
        x = self.check_input(x, function)
        if len(x) == 0:
            raise ShapeError(f"{function}: x has no samples")
        loss = losses.checked(loss, function)
        return x, loss, self.check_targets(loss, y, len(x), sample_weight, function)

    def loss_and_gradients(self, x, y, loss=None, sample_weight=None, threads=None, seed=0):
        """Return the loss of a batch and its gradient by every parameter, as in a step of training.

        Batch normalisation uses the batch's statistics and leaves :attr:`state` as it is; dropout drops.

        Parameters
        ----------
        x : as in :meth:`forward`
        y : (N,) int or (N, classes)
            Labels, 0..classes-1, or soft targets.
        loss : Loss, optional
            By default :class:`SoftmaxCrossEntropy`.
        sample_weight : (N,) array, optional
        threads : int, optional
        seed : int
            Of dropout.

        Returns
        -------
        loss : float
        gradients : dict of str to array
            With the keys and shapes of :attr:`params`.

        Examples
        --------
        >>> import fastconv as fc
        >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1), dtype="float64")
        >>> net.parameters[:] = 0
        >>> loss, gradients = net.loss_and_gradients([[2.0]], [1])
        >>> round(loss, 4), gradients["0.w"].tolist()
        (0.6931, [[1.0, -1.0]])
        """
        x, loss, targets = self._loss_arrays(x, y, loss, sample_weight, "loss_and_gradients")
        flat = aligned_zeros(self.program.size, self.dtype)
        value, _ = self.program.gradient(
            x, self.parameters, loss.lower(), *targets, flat, threads=engine.threads(threads),
            seed=checked_seed("loss_and_gradients", seed) % 2**64,
        )  # fmt: skip
        return value, self.views(flat)

    def evaluate(self, x, y, loss=None, sample_weight=None, threads=None):
        """Return the loss and the accuracy (a share, 0 to 1) on labelled samples.

        The loss is that of :meth:`loss_and_gradients`, L2 included. With soft targets the label is the largest.
        """
        x, loss, targets = self._loss_arrays(x, y, loss, sample_weight, "evaluate")
        outputs = self._run(x, False, threads, "evaluate")
        value, _ = functional.run_loss(loss, outputs, *targets, threads)
        return value + loss.penalty(self.params), float(np.mean(outputs.argmax(axis=1) == targets[0]))

    def layer_table(self):
        """Return what is known of the input and of each layer, as a list of dicts.

        Returns
        -------
        list of dict
            ``layer`` (name), ``output_shape`` (of one sample), ``parameters`` (their number), ``receptive_field``
            (input positions along each axis that one output position sees, if none of them lay outside the input; empty
            for a :class:`VectorInput`) and ``mflop`` (floating-point operations of the products in a sample's forward
            pass, in millions, with nothing skipped).

        Examples
        --------
        >>> import fastconv as fc
        >>> net = fc.models.cifar_convnet()
        >>> [(row["output_shape"], row["receptive_field"]) for row in net.layer_table() if row["layer"] == "MaxPool2D"]
        [((16, 16, 32), (6, 6)), ((8, 8, 64), (16, 16)), ((4, 4, 64), (36, 36))]
        """
        axes = 0 if isinstance(self.input, VectorInput) else len(self.input.shape) - 1
        whole = self.input.shape[:axes]
        field, jump = [1] * axes, [1] * axes
        first = type(self.input).__name__, self.input.shape, 0, tuple(field), 0.0
        rows = [first]
        for i, layer in enumerate(self.layers):
            before, after = self._shapes[i], self._shapes[i + 1]
            size = sum(a.size for name, a in self.params.items() if name.split(".")[0] == str(i))
            if layer.receptive == "all" or len(after) == 1:
                field = list(whole)
            elif layer.receptive:
                for axis, (span, stride) in enumerate(layer.receptive):
                    field[axis] += (span - 1) * jump[axis]
                    jump[axis] *= stride
            program = engine.Program([layer.lower(before)], before, i == 0 and self.input.codes, True)
            rows.append((type(layer).__name__, after, size, tuple(field), program.operations / 1e6))
        keys = "layer", "output_shape", "parameters", "receptive_field", "mflop"
        return [dict(zip(keys, row, strict=True)) for row in rows]

    def summary(self):
        """Return :meth:`layer_table` as text.

        Examples
        --------
        >>> import fastconv as fc
        >>> net = fc.models.surname_convnet(alphabet_size=28, length=19, n_classes=18)
        >>> print(net.summary())
        layer              output shape  parameters  receptive field   MFLOP
        input OneHotInput      (19, 28)           0                1
        0 OneHotConv1D         (15, 20)        2800                5  0.0015
        1 ReLU                 (15, 20)           0                5
        2 Conv1D               (13, 20)        1200                7  0.0312
        3 ReLU                 (13, 20)           0                7
        4 Flatten                (260,)           0               19
        5 Dense                   (18,)        4680               19  0.0094
        total                                  8680                   0.0421
        """
        table = self.layer_table()
        rows = [("layer", "output shape", "parameters", "receptive field", "MFLOP")]
        for place, row in zip(["input", *range(len(self.layers))], table, strict=True):
            field = "x".join(map(str, row["receptive_field"] or (1,)))
            mflop = f"{row['mflop']:.4f}" if row["mflop"] else ""
            rows.append((f"{place} {row['layer']}", str(row["output_shape"]), str(row["parameters"]), field, mflop))
        rows.append(("total", "", str(self.parameters.size), "", f"{sum(row['mflop'] for row in table):.4f}"))
        widths = [max(len(row[c]) for row in rows) for c in range(5)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0])] + [row[c].rjust(widths[c]) for c in range(1, 5)]).rstrip()
            for row in rows
        )

    def save(self, path):
        """Write the network to a model file: the safetensors layout, architecture and :attr:`metadata` in its header.

        The file is written under a temporary name in the same folder and then moved into place.

        Parameters
        ----------
        path : str or path-like

        Examples
        --------
        >>> import os, tempfile
        >>> import fastconv as fc
        >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(os.path.join(folder, "net.safetensors"))
        ...     again = fc.load(os.path.join(folder, "net.safetensors"))
        >>> bool((again.parameters == net.parameters).all())
        True
        """
        arrays = {**self.params, **self.state}
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise RangeError(f"save: {name} holds numbers that are not finite")
        if not isinstance(self.metadata, dict):
            raise DTypeError(f"save: metadata is a dict, got {self.metadata!r}")
        modelfile.write(path, arrays, {"network": self.description(), "metadata": self.metadata})

    def description(self):
        """Return what the network is made from, of JSON's types."""
        return {
            "layers": [{"type": type(layer).__name__, **asdict(layer)} for layer in self.layers],
            "input": {"type": type(self.input).__name__, **asdict(self.input)},
            "dtype": self.dtype.name,
            "seed": self.seed,
            "winograd": self.winograd,
        }


def load(path):
    """Return the network that :meth:`Sequential.save` wrote to a file, or the network of a classifier's file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Sequential
        In its :attr:`~Sequential.metadata` what a classifier says of itself: alphabet, classes, settings.

    Raises
    ------
    ModelFormatError
        If the file is not such a model file, or is damaged; nothing of its size is allocated before that is known.
    """
    arrays, net = modelfile.read(path, _described)
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise ModelFormatError(f"{path}: {name} holds numbers that are not finite")
        (net.params if name in net.params else net.state)[name][...] = array
    return net


def _described(description, arrays):
    """Return the network of a model file's description, still without parameters, or raise an error."""
    if "checkpoint" in description:
        raise ModelFormatError("a checkpoint of a training, not a model file; Trainer.resume reads it")
    modelfile.check_keys("the file", description, "network", "metadata")
    described, metadata = description["network"], description["metadata"]
    modelfile.check_keys("the network", described, "layers", "input", "dtype", "seed", "winograd")
    if not isinstance(metadata, dict):
        raise TypeError("metadata is not an object")
    kinds = {kind.__name__: kind for kind in (*LAYERS, *INPUTS)}
    parts = ({**part} for part in (described["input"], *described["layers"]))
    input, *layers = (kinds[part.pop("type")](**_tuples(part)) for part in parts)
    dtype = {"float32": np.dtype("float32"), "float64": np.dtype("float64")}[described["dtype"]]
    expected = {
        f"{i}.{name}": (dtype, list(shape))
        for i, (layer, before) in enumerate(zip(layers, layer_shapes(layers, input), strict=False))
        for name, shape in {**layer.parameter_shapes(before), **layer.state_shapes(before)}.items()
    }
    if arrays != expected:
        raise ValueError("the parameters do not fit it")
    net = Sequential._undrawn(layers, input, dtype, described["seed"], described.get("winograd", True))
    net.metadata = metadata
    return net


def _tuples(fields):
    """Return a layer's fields as they were before JSON made lists of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _rebuild(described, parameters, statistics, metadata):
    """Return the network that was copied or pickled."""
    net = Sequential._undrawn(*described)
    net.parameters[:] = parameters
    net.statistics[:] = statistics
    net.metadata = metadata
    return net


def layer_shapes(layers, input):
    """Return the shape of a sample before each layer and after the last, or raise an error that names the layer."""
    shapes = [input.shape]
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise DTypeError(f"Sequential: layer {i} is {type(layer).__name__}, expected a layer")
        try:
            shapes.append(layer.output_shape(shapes[-1], input.codes and i == 0))
        except ShapeError as error:
            raise ShapeError(f"layer {i}, {error}") from None
    if input.codes and not layers:
        raise ShapeError("Sequential: codes need a first layer OneHotConv1D or Embedding")
    return shapes
