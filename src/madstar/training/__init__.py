"""A candidate trained on a task under a budget, in rungs it can be promoted through."""

from .budget import Budget
from .checkpoint import load_trunk, load_weights, save_trunk, save_weights
from .evaluation import Quality, evaluate, window_losses
from .settings import TrainingSettings
from .trainer import DivergedError, Trained, Trainer, make_optimizer

__all__ = [
    "Budget",
    "DivergedError",
    "Quality",
    "Trained",
    "Trainer",
    "TrainingSettings",
    "evaluate",
    "load_trunk",
    "load_weights",
    "make_optimizer",
    "save_trunk",
    "save_weights",
    "window_losses",
]
