"""A graph made to run again: as a module that computes and trains, or once, with the values of its nodes."""

from .building import build
from .examples import drawn_inputs
from .module import BuiltModule
from .outputs import Outputs
from .values import Measured, Values, run

__all__ = ["BuiltModule", "Measured", "Outputs", "Values", "build", "drawn_inputs", "run"]
