"""Tables of made-up scores for real genomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from benchmarks.evaluated import Evaluated, Table

from madstar.genome import Genome, SearchSpace, Sizes, repair, sample

SIZES = Sizes(vocabulary_size=16, width=16, heads=4)
STEPS = (50, 100, 200)


def genomes(count: int) -> list[Genome]:
    """Random valid genomes of three layers."""
    space = SearchSpace(SIZES, 3, 3)
    found = []
    for number in range(count):
        rng = np.random.default_rng([5, number])
        found.append(repair(sample(space, rng), space, rng)[0])
    return found


def table_of(
    scores: Sequence[Sequence[float]], caches: Sequence[float] | None = None, steps: Sequence[int] = STEPS
) -> Table:
    """Architectures with the given scores at each rung, one seed."""
    caches = [0.0] * len(scores) if caches is None else caches
    rows = [
        Evaluated(str(genome), genome, np.array([own], dtype=float), 1000 + number, cache)
        for number, (genome, own, cache) in enumerate(zip(genomes(len(scores)), scores, caches, strict=True))
    ]
    return Table(tuple(steps), tuple(rows))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A table's file from its lines."""

    def written(lines: Sequence[object], name: str = "part.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return path

    return written
