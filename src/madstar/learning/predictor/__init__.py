"""Scores of graphs that were never trained: descriptions, a Gaussian process, intervals that hold."""

from .description import Description, describe
from .predictor import Figure, Prediction, Predictor, fit
from .storing import load, save

__all__ = ["Description", "Figure", "Prediction", "Predictor", "describe", "fit", "load", "save"]
