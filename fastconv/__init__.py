"""fastconv: small convolutional networks on the CPU, NumPy arrays in and out.

Python describes, Cython executes: layers are short descriptions, a network is lowered once to a program, and a training
step is one call that leaves Python. Names are loaded when they are first used, so that importing the package is cheap.
"""

import importlib

__version__ = "0.1.0"

_NAMES = {
    "Adam": "optim",
    "AdamW": "optim",
    "Alphabet": "text",
    "UnknownCharacterWarning": "text",
    "AvgPool2D": "layers",
    "BatchNorm": "layers",
    "CharConvClassifier": "estimators",
    "Conv1D": "layers",
    "Conv2D": "layers",
    "Dense": "layers",
    "Dropout": "layers",
    "Embedding": "layers",
    "Flatten": "layers",
    "FocalLoss": "losses",
    "GlobalMaxPool1D": "layers",
    "History": "training",
    "ImageConvClassifier": "estimators",
    "ImageInput": "layers",
    "MaxPool1D": "layers",
    "MaxPool2D": "layers",
    "MeanSquaredError": "losses",
    "MultiClassHinge": "losses",
    "OneHotConv1D": "layers",
    "OneHotInput": "layers",
    "RMSprop": "optim",
    "ReLU": "layers",
    "SGD": "optim",
    "SequenceInput": "layers",
    "Sequential": "network",
    "StringClassifier": "classifier",
    "Sigmoid": "layers",
    "SoftmaxCrossEntropy": "losses",
    "Tanh": "layers",
    "Trainer": "training",
    "VectorInput": "layers",
    "gradcheck": "gradient_check",
    "load": "network",
    "load_classifier": "classifier",
    "show_config": "config",
}
_MODULES = (
    "augment", "bench", "calibration", "classifier", "cli", "config", "datasets", "engine", "errors", "estimators",
    "functional", "geometry", "imbalance", "kernels", "layers", "losses", "modelfile", "models", "network", "ngrams",
    "optim", "plots", "preprocess", "reference", "reproduce", "schedules", "search", "text", "textfiles", "training",
)  # fmt: skip
__all__ = [*_NAMES, "__version__"]


def __getattr__(name):
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_NAMES, *_MODULES})
