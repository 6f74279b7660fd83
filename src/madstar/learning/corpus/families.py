"""Families: graphs that share blocks, or most of their neighbourhoods, directly or by way of others.

All pairs are never compared. Graphs are looked up by their blocks, and by the rarest of their labels: two
sets that have a share t in common must meet among the first (1 - t) of each, whatever the order of labels
(Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .fingerprints import likeness

LIKE = 0.6
"""The share of common labels from which on two graphs are of one family."""


class Union:
    """Numbers in groups that are joined; a group goes by its least member."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, one: int) -> int:
        """The group of a number."""
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one

    def join(self, one: int, other: int) -> None:
        """Make two groups one."""
        least, most = sorted((self.find(one), self.find(other)))
        self._parent[most] = least

    def groups(self) -> list[int]:
        """The group of each number."""
        return [self.find(one) for one in range(len(self._parent))]


def families(
    blocks: Sequence[Iterable[str]],
    words: Sequence[NDArray[np.uint64]],
    links: Iterable[tuple[int, int]] = (),
    like: float = LIKE,
) -> list[int]:
    """The family of each graph, by the number of its first member.

    Args:
        blocks: For each graph the hashes of its larger blocks; one in common is enough.
        words: For each the sorted labels of `fingerprints.words`.
        links: Pairs that belong together for other reasons, such as an edit and its original.
        like: The share of common labels that is enough.
    """
    joined = Union(len(blocks))
    for one, other in links:
        joined.join(one, other)
    first: dict[str, int] = {}
    for number, held in enumerate(blocks):
        for block in held:
            joined.join(number, first.setdefault(block, number))
    for one, other in _near(words, like):
        if joined.find(one) != joined.find(other) and likeness(words[one], words[other]) >= like:
            joined.join(one, other)
    return joined.groups()


def _near(words: Sequence[NDArray[np.uint64]], like: float) -> Iterable[tuple[int, int]]:
    """Pairs that may have that share of labels in common; all that have are among them."""
    frequency = Counter(label for held in words for label in held.tolist())
    order = sorted(range(len(words)), key=lambda i: words[i].size)
    index: dict[int, list[int]] = {}
    for number in order:
        size = words[number].size
        rarest = sorted(words[number].tolist(), key=lambda label: (frequency[label], label))
        near: dict[int, None] = {}
        for label in rarest[: size - math.ceil(like * size) + 1]:
            held = index.setdefault(label, [])
            near.update((other, None) for other in held if words[other].size >= like * size)
            held.append(number)
        for other in near:
            yield other, number
