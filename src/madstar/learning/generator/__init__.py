"""Graphs made by a model that learned from graphs: see docs/generator.md."""

from .blocks import blocks_of, distinct
from .generator import Conditions, Generator, fit, fit_on
from .search import Tally

__all__ = ["Conditions", "Generator", "Tally", "blocks_of", "distinct", "fit", "fit_on"]
