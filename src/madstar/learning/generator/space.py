"""All decisions that a generator knows, learned from those that make its training graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from madstar.errors import GraphError

from .decisions import FARTHEST, GRADES, STREAMS, Decision

Kind = tuple[int, str]
"""Rank and dtype of an operand."""
Way = tuple[str, int, int]
"""A group, and the operation and attributes under way."""
UNKNOWN = ("unknown",)
GROUPS = (
    "begin", "grade", "domain", "form", "size", "width", "block", "input", "item", "pointer", "set",
    "weights", "which", "times", "carried",
)  # fmt: skip
"""Decisions of one kind: at each place a choice is among those of one group."""
POINTING = ("pointer", "which")
"""Groups in which a choice is among values or blocks that are there."""
_GROUP = {
    "begin": "begin", "unknown": "begin", "domain": "domain", "form": "form", "grade": "grade",
    "size": "size", "width": "width", "block": "block", "whole": "block", "input": "input", "body": "input",
    "node": "item", "call": "item", "outputs": "item",
    "from": "pointer", "back": "pointer", "done": "pointer", "set": "set",
    "weights": "weights", "which": "which", "times": "times", "carried": "carried",
}  # fmt: skip
_FIXED: tuple[Decision, ...] = (
    UNKNOWN, ("begin",), *(("form", form) for form in (*STREAMS, "other")),
    *(("grade", grade) for grade in GRADES), ("block",), ("whole",), ("body",), ("call",), ("outputs",),
    ("done",),
    *(("from", number) for number in range(16)), *(("back", number) for number in range(1, FARTHEST + 1)),
)  # fmt: skip


@dataclass(frozen=True)
class Space:
    """Decisions by number; what each operation was seen with.

    `sets` are attributes by operation, `weights` shapes of weights by operation and attributes, `kinds` the
    rank and dtype of each operand.
    """

    decisions: tuple[Decision, ...]
    sets: Mapping[int, tuple[int, ...]]
    weights: Mapping[tuple[int, int], tuple[int, ...]]
    kinds: Mapping[int, tuple[frozenset[Kind], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, sequences: Sequence[Sequence[Decision]], least: int = 2) -> Space:
        """The decisions that stand in at least `least` sequences, beside those that always are."""
        # 1, 1.0 and True are equal as decisions, and not the same: what is counted is their text.
        texts = {key(d): d for sequence in sequences for d in sequence}
        counts = Counter(text for sequence in sequences for text in {key(d) for d in sequence})
        kept = [
            (GROUPS.index(_GROUP[d[0]]), -counts[text], text)
            for text, d in texts.items()
            if counts[text] >= least and d not in _FIXED and d[0] not in ("from", "back")
        ]
        decisions = (*_FIXED, *(texts[text] for _, _, text in sorted(kept)))
        numbers = {key(d): number for number, d in enumerate(decisions)}
        sets: dict[int, set[int]] = {}
        weights: dict[tuple[int, int], set[int]] = {}
        for sequence in sequences:
            node = chosen = 0
            for decision in sequence:
                number = numbers.get(key(decision), 0)
                if decision[0] == "node":
                    node = number
                elif decision[0] == "set":
                    chosen = number
                    if node and number:
                        sets.setdefault(node, set()).add(number)
                elif decision[0] == "weights" and node and chosen and number:
                    weights.setdefault((node, chosen), set()).add(number)
        return cls(
            decisions,
            {node: tuple(sorted(each)) for node, each in sorted(sets.items())},
            {both: tuple(sorted(each)) for both, each in sorted(weights.items())},
        )

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each decision, by its `key`."""
        return {key(decision): number for number, decision in enumerate(self.decisions)}

    @cached_property
    def groups(self) -> list[str]:
        """The group of each decision."""
        return [_GROUP[decision[0]] for decision in self.decisions]

    @cached_property
    def members(self) -> dict[str, tuple[int, ...]]:
        """The decisions of each group, without the unknown."""
        found: dict[str, list[int]] = {group: [] for group in GROUPS}
        for number, group in enumerate(self.groups):
            if number:
                found[group].append(number)
        return {group: tuple(numbers) for group, numbers in found.items()}

    def among(self, group: str, node: int, chosen: int) -> tuple[int, ...]:
        """What the grammar alone allows: of attributes and weights those that the operation was seen with."""
        if group == "set":
            return self.sets.get(node, ())
        if group == "weights":
            return self.weights.get((node, chosen), ())
        return self.members[group]

    @cached_property
    def tensors(self) -> Ways:
        """What the grammar allows as tensors of numbers, by group, operation and attributes."""
        return Ways(self)

    @cached_property
    def masks(self) -> Masks:
        """Which of the members of its group the grammar allows, by group, operation and attributes."""
        return Masks(self)

    def number(self, decision: Decision) -> int:
        """The number of a decision; 0 for one that is not known."""
        return self.numbers.get(key(decision), 0)

    def grade(self, numbers: Sequence[int]) -> str:
        """The grade that a sequence of decisions begins with."""
        return next(str(self.decisions[n][1]) for n in numbers if self.groups[n] == "grade")

    def __len__(self) -> int:
        return len(self.decisions)

    def to_data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "decisions": [_listed(decision) for decision in self.decisions[len(_FIXED) :]],
            "sets": [[node, list(each)] for node, each in self.sets.items()],
            "weights": [[node, chosen, list(each)] for (node, chosen), each in self.weights.items()],
            "kinds": [
                [node, [sorted(map(list, each)) for each in operands]]
                for node, operands in self.kinds.items()
            ],
        }

    @classmethod
    def of_data(cls, data: Any) -> Space:
        """From JSON data. Raises GraphError for any other."""
        try:
            decisions = (*_FIXED, *(_tupled(decision) for decision in data["decisions"]))
            if not all(isinstance(d, tuple) and d and d[0] in _GROUP and _fits(d) for d in decisions):
                raise ValueError

            def named(number: Any, kind: str) -> int:
                if type(number) is not int or number < 0 or decisions[number][0] != kind:
                    raise ValueError
                return number

            sets = {named(node, "node"): tuple(named(n, "set") for n in each) for node, each in data["sets"]}
            weights = {
                (named(node, "node"), named(chosen, "set")): tuple(named(n, "weights") for n in each)
                for node, chosen, each in data["weights"]
            }
            kinds = {
                named(node, "node"): tuple(frozenset((int(r), str(d)) for r, d in each) for each in operands)
                for node, operands in data["kinds"]
            }
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
            raise GraphError("the generator's decisions are damaged; train it anew") from None
        return cls(decisions, sets, weights, kinds)


class Ways(dict[Way, Tensor]):
    """`Space.among` as tensors, each made when it is first asked for; with no operation all of a group."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def __missing__(self, way: Way) -> Tensor:
        group, node, _ = way
        among = self.space.among(*way) if node else self.space.members[group]
        self[way] = found = torch.tensor(among, dtype=torch.long)
        return found


class Masks(Ways):
    """As masks over the members of the group."""

    def __missing__(self, way: Way) -> Tensor:
        among = set(self.space.among(*way))
        self[way] = found = torch.tensor([number in among for number in self.space.members[way[0]]])
        return found


def key(decision: Decision) -> str:
    """Text by which decisions are told apart, 1 from 1.0 and true."""
    return repr(decision)


def _fits(decision: Decision) -> bool:
    kind, rest = decision[0], decision[1:]
    numbers = ("size", "width", "which", "times")
    if kind in numbers:
        return len(rest) == 1 and type(rest[0]) is int and 0 <= rest[0] <= 1 << 24
    if kind == "domain":
        return len(rest) == 1 and isinstance(rest[0], str)
    if kind in ("form", "grade"):
        return decision in _FIXED
    if kind == "node":
        slots = len(rest) == 2 and isinstance(rest[0], str) and isinstance(rest[1], tuple)
        return slots and all(isinstance(s, tuple) and len(s) == 2 and s[1] in ("v", "w") for s in rest[1])
    if kind == "input":
        return len(rest) == 2 and isinstance(rest[0], str) and isinstance(rest[1], tuple)
    if kind == "set":
        return len(rest) == 1 and all(len(p) == 2 and isinstance(p[0], str) for p in rest[0])
    if kind == "weights":
        return len(rest) == 1 and all(len(p) == 3 and isinstance(p[0], tuple) for p in rest[0])
    if kind == "carried":
        return len(rest) == 1 and all(len(p) == 2 and min(p) >= 0 for p in rest[0])
    return kind in ("from", "back") or not rest


def _listed(value: Any) -> Any:
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(part) for part in value) if isinstance(value, list) else value
