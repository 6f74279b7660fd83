"""How rules are named: one function for each group of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..operands import Operands
from ..types import Type

Rule = Callable[[Operands], Sequence[Type]]
"""The types of an operation's results; raises Misfit for what does not fit, NoRule where it cannot tell."""


def rules(names: str, rule: Rule) -> dict[str, Rule]:
    """The same rule for all operations named in a text."""
    return dict.fromkeys(names.split(), rule)
