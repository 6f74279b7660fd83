"""What a network is compared with: decisions counted after the two before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from .seen import Seen


class Trigrams:
    """Counts of decisions after two, one and none before, mixed with weights 0.7, 0.25 and 0.05."""

    def __init__(self, sequences: Sequence[Sequence[int]], decisions: int) -> None:
        self.decisions = decisions
        self.tables: tuple[dict[tuple[int, ...], Counter[int]], ...] = ({}, {}, {})
        for sequence in sequences:
            for place in range(1, len(sequence)):
                for table, before in zip(self.tables, (0, 1, 2), strict=True):
                    context = tuple(sequence[max(0, place - before) : place])
                    table.setdefault(context, Counter())[sequence[place]] += 1

    def steps(self) -> TrigramSteps:
        """A way through one graph."""
        return TrigramSteps(self)


class TrigramSteps:
    """As `network.Steps`, for counts."""

    most = 10_000

    def __init__(self, trigrams: Trigrams) -> None:
        self.trigrams = trigrams
        self.sequence: list[int] = []

    @property
    def length(self) -> int:
        """How many decisions were put."""
        return len(self.sequence)

    def put(self, number: int, seen: Seen) -> Tensor:
        """Logarithms of the shares of what comes after this decision."""
        self.sequence.append(number)
        found = torch.full((self.trigrams.decisions,), 1e-9)
        for table, before, weight in zip(self.trigrams.tables, (0, 1, 2), (0.05, 0.25, 0.7), strict=True):
            counts = table.get(tuple(self.sequence[len(self.sequence) - before :]))
            if counts:
                total = counts.total()
                for decision, count in counts.items():
                    found[decision] += weight * count / total
        return found.log()

    def cut(self, length: int) -> None:
        """Undo all but the first decisions."""
        del self.sequence[length:]
