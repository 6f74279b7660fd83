"""Inference of shapes and dtypes over the vocabulary, in symbols, incremental."""

from __future__ import annotations

from .engine import BlockTypes, Fault, Inference, Outcome, Trouble, stated
from .rules import RULES
from .types import Remark, Type

__all__ = ["RULES", "BlockTypes", "Fault", "Inference", "Outcome", "Remark", "Trouble", "Type", "stated"]
