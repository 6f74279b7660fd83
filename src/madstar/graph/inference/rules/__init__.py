"""The rules of shape and dtype, one for each group of operations of the vocabulary."""

from __future__ import annotations

from types import MappingProxyType

from . import creation, elementwise, products, reductions, subscripts, views, windows
from .table import Rule

RULES = MappingProxyType(
    {
        name: rule
        for part in (elementwise, products, reductions, views, subscripts, windows, creation)
        for name, rule in part.RULES.items()
    }
)
"""By operation the rule for it; operations that are not here are taken as they are recorded."""

__all__ = ["RULES", "Rule"]
