from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from madstar.errors import DataError
from madstar.genome import Sizes
from madstar.learning.corpus.measured import Candidate, Figure
from madstar.learning.guided import knowledge
from madstar.search import make_settings

from .test_sampler import random_genomes

SETTINGS = make_settings(minutes=1, objectives=("quality", "cache"), rungs=("50", "100"))
SPACE = SETTINGS.space(256)
TEXT = "quality/python-reference"


def budget(steps: int) -> str:
    return f"{steps} steps, {2048 * steps} tokens, lr 0.005"


def candidate(
    genome: Any, figures: list[Figure], sizes: Sizes = SPACE.sizes, source: str = "genome"
) -> Candidate:
    return Candidate(str(genome), source, {"genome": str(genome)}, str(sizes), lambda: None, figures)  # type: ignore[arg-type,return-value]


def learned(monkeypatch: pytest.MonkeyPatch, candidates: list[Candidate]) -> dict[str, Any]:
    monkeypatch.setattr(knowledge, "read_archives", lambda homes: candidates)
    return knowledge.learn([Path("before")], SETTINGS, SPACE)


def test_what_is_the_same_counts_as_a_rung_and_the_rest_as_figures_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genomes = random_genomes(4)
    same = Figure(TEXT, budget(100), 2.5, None, 1)
    found = learned(
        monkeypatch,
        [
            candidate(genomes[0], [same]),
            candidate(genomes[1], [Figure(TEXT, budget(200), 2.1, None, 1)]),
            candidate(genomes[2], [Figure("quality/other", budget(100), 3.0, None, 1)]),
            candidate(genomes[3], [same], Sizes(width=128)),
            candidate(genomes[3], [Figure("mad/recall", budget(100), 0.5, None, 1)]),
            candidate("layers:mamba", [same], source="layer"),
        ],
    )
    rows = knowledge.known(found)
    assert [row.genome for row in rows] == genomes
    assert [row.cost for row in rows] == [2.5, 2.1, 3.0, 2.5]
    figures = [row.figure for row in rows]
    assert figures[0] == 1
    assert all(isinstance(figure, str) for figure in figures[1:])
    assert len(set(figures)) == 4
    assert "1 of 4 figures the same as rungs of this run" in found["says"]
    assert "1 genomes were measured at other sizes" in found["says"]


def test_of_too_many_the_best_and_the_worst_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    genomes = random_genomes(30)
    many = [
        candidate(genomes[i % 30], [Figure(TEXT, budget(50), float(i), None, 1)])
        for i in range(knowledge.MOST + 500)
    ]
    found = learned(monkeypatch, many)
    costs = [row.cost for row in knowledge.known(found)]
    assert len(costs) == knowledge.MOST
    assert min(costs) == 0.0
    assert max(costs) > knowledge.MOST + 490
    assert "500 more are left out" in found["says"]


def test_nothing_of_use_is_one_line_that_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    other = candidate(random_genomes(1)[0], [Figure("mad", "x", 0.5, None, 1)])
    with pytest.raises(DataError, match="before hold no genomes measured for quality: run madstar search"):
        learned(monkeypatch, [other])
    assert knowledge.known(None) == []
