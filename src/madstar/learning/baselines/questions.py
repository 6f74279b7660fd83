"""Masked operations as questions about nodes: those of the examples, and more of the kind to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.examples import Operations
from ..hiding import HIDDEN
from ..view import INPUT
from .learner import Views
from .wiring import Wiring, masked, wiring

MOST = 256
"""Nodes asked of one graph, at most."""


@dataclass(frozen=True, slots=True)
class Question:
    """A wiring with operations hidden, and the nodes asked with their answers."""

    shown: Wiring
    answers: tuple[tuple[int, str], ...]


def asked(examples: Sequence[Operations], views: Views) -> Iterator[Question]:
    """The question of each example, in order."""
    for example in examples:
        whole = wiring(views[example.entry])
        yield Question(masked(whole, example.masked), tuple((n, whole.ops[n]) for n in example.masked))


def more(
    examples: Sequence[Operations], views: Views, seed: int, draws: int = 1, plain: bool = True
) -> Iterator[Question]:
    """More questions about the same graphs: `draws` other masks of each, and if `plain` with nothing hidden.

    Masks are spans of 1 to 8 operations until 30 % are hidden. No graph gives more than `MOST` nodes each.
    """
    rng = np.random.default_rng([seed, 1])
    for entry in dict.fromkeys(example.entry for example in examples):
        whole = wiring(views[entry])
        able = [i for i, op in enumerate(whole.ops) if op != INPUT]
        if not able:
            continue
        for _ in range(draws):
            chosen = _spans(able, rng)
            yield Question(masked(whole, chosen), tuple((n, whole.ops[n]) for n in chosen))
        if plain:
            few = able if len(able) <= MOST else sorted(rng.choice(able, MOST, replace=False).tolist())
            yield Question(whole, tuple((n, whole.ops[n]) for n in few))


def _spans(able: Sequence[int], rng: np.random.Generator) -> list[int]:
    wanted = min(max(1, round(0.3 * len(able))), MOST)
    found: set[int] = set()
    while len(found) < wanted:
        length = min(int(rng.integers(1, 9)), wanted - len(found))
        start = int(rng.integers(len(able)))
        found.update(able[start : start + length])
    return sorted(found)


__all__ = ["HIDDEN", "MOST", "Question", "asked", "more"]
