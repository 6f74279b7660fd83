"""Tables of architectures that were all trained to the largest budget, for benchmarks that replay them.

A table is a file of JSON lines, or a folder of such files. A line is one training of one architecture:

    {"genome": "71111-...", "scores": {"50": 2.61, "100": 2.3, ...}, "parameters": 234880,
     "seed": 0, "cache": 33152, "seconds": {"50": 0.078, ...}}

`scores` are validation bits per byte by training steps, `cache` bytes at 4,096 tokens, `seconds` of one
training step on the way to each budget. Only genome and scores are needed. `benchmarks.table` writes such.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madstar.genome import Genome, Sizes, compile_genome
from madstar.liv import cost

CACHE_LENGTH = 4096


@dataclass(frozen=True)
class Evaluated:
    """An architecture with its scores over seeds.

    `scores[seed][rung]` are bits per byte; `seconds` is the mean time from the start to each rung, or empty.
    """

    text: str
    genome: Genome
    scores: np.ndarray
    parameters: int
    cache: float
    seconds: tuple[float, ...] = ()

    @property
    def mean(self) -> np.ndarray:
        """Bits per byte at each rung, the mean over seeds."""
        return self.scores.mean(axis=0)


@dataclass(frozen=True)
class Table:
    """Evaluated architectures, and the steps of the rungs that all of them have, rising."""

    steps: tuple[int, ...]
    rows: tuple[Evaluated, ...]


def read_table(path: Path, sizes: Sizes) -> Table:
    """The table of a file or folder. Trainings of one genome are its seeds.

    Architectures that lack the largest budget are left out and counted on stderr. Exits with one line
    where nothing is left or a line cannot be read.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    lines = [line for file in files if file.is_file() for line in _read(file)]
    if not lines:
        raise SystemExit(f"no evaluated architectures in {path}: name a file of JSON lines, or a folder")
    top = max(max(map(int, line["scores"])) for line in lines)
    whole = [line for line in lines if _finite(line["scores"].get(str(top)))]
    if len(whole) < len(lines):
        print(
            f"{len(lines) - len(whole)} of {len(lines)} lines have no score at {top} steps", file=sys.stderr
        )
    steps = sorted(set.intersection(*({int(s) for s, v in w["scores"].items() if _finite(v)} for w in whole)))
    by_genome: dict[str, list[dict[str, Any]]] = {}
    for line in whole:
        by_genome.setdefault(line["genome"], []).append(line)
    return Table(tuple(steps), tuple(_evaluated(text, by, steps, sizes) for text, by in by_genome.items()))


def _read(file: Path) -> Iterable[dict[str, Any]]:
    for number, text in enumerate(file.read_text().splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            wrong = not line["scores"] or not isinstance(line["genome"], str)
        except (ValueError, KeyError, TypeError):
            wrong = True
        if wrong:
            raise SystemExit(f"{file}, line {number}: no JSON object with genome and scores")
        yield line


def _evaluated(text: str, lines: list[dict[str, Any]], steps: list[int], sizes: Sizes) -> Evaluated:
    genome = Genome.parse(text)
    first = lines[0]
    if not {"parameters", "cache"} <= set(first):
        known = cost(compile_genome(genome, sizes), CACHE_LENGTH)
        first = {"parameters": known.parameters, "cache": known.cache_bytes, **first}
    paces: list[Mapping[str, float]] = [
        line["seconds"] for line in lines if set(map(str, steps)) <= set(line.get("seconds", ()))
    ]
    seconds = [[step * float(pace[str(step)]) for step in steps] for pace in paces]
    return Evaluated(
        text=text,
        genome=genome,
        scores=np.array([[float(line["scores"][str(s)]) for s in steps] for line in lines]),
        parameters=int(first["parameters"]),
        cache=float(first["cache"]),
        seconds=tuple(np.mean(seconds, axis=0).tolist()) if seconds else (),
    )


def _finite(score: Any) -> bool:
    return isinstance(score, int | float) and math.isfinite(score)
