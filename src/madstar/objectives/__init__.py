"""What is measured of an architecture, and the bounds it must keep."""

from .builtin import BUILTIN
from .constraint import Constraint, absolute_constraint, parse_constraint
from .latency import processor
from .objective import MEASURED, STATIC, TRAINED, Measurement, Objective, Subject
from .registry import find_objective, reference

__all__ = [
    "BUILTIN",
    "MEASURED",
    "STATIC",
    "TRAINED",
    "Constraint",
    "Measurement",
    "Objective",
    "Subject",
    "absolute_constraint",
    "find_objective",
    "parse_constraint",
    "processor",
    "reference",
]
