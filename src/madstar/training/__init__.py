"""A candidate trained on a task under a budget, in rungs it can be promoted through."""

from .budget import Budget
from .checkpoint import load_trunk, load_weights, save_trunk, save_weights
from .evaluation import Quality, evaluate, window_losses
from .example_checkpoint import load_example_trunk, save_example_trunk
from .example_settings import ExampleSettings
from .examples import ExampleTrainer, evaluations
from .metrics import IGNORE, ExampleScore, score
from .racing import Evaluation, Replay, Verdict, decide, replay, rungs_of
from .settings import TrainingSettings
from .side_by_side import SeparateTrainers, together
from .stacked import NotStackableError, StackedTrainer
from .trainer import DivergedError, Trained, Trainer, first_step, make_optimizer

__all__ = [
    "IGNORE",
    "Budget",
    "DivergedError",
    "Evaluation",
    "ExampleScore",
    "ExampleSettings",
    "ExampleTrainer",
    "NotStackableError",
    "Quality",
    "Replay",
    "SeparateTrainers",
    "StackedTrainer",
    "Trained",
    "Trainer",
    "TrainingSettings",
    "Verdict",
    "decide",
    "evaluate",
    "evaluations",
    "first_step",
    "load_example_trunk",
    "load_trunk",
    "load_weights",
    "make_optimizer",
    "replay",
    "rungs_of",
    "save_example_trunk",
    "save_trunk",
    "save_weights",
    "score",
    "together",
    "window_losses",
]
