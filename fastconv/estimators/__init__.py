"""Classifiers with scikit-learn's contract: parameters by name, fit, predict, score; for its pipelines and searches."""

from fastconv.estimators.base import NotFittedError
from fastconv.estimators.char import CharConvClassifier
from fastconv.estimators.image import ImageConvClassifier

__all__ = ["CharConvClassifier", "ImageConvClassifier", "NotFittedError"]
