"""Runs written by hand into a real archive: no training, any figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from madstar.archive import Archive, CandidateRow, EvaluationRow
from madstar.genome import baselines
from madstar.search import RunSummary, make_settings, summarise

EVIL = "<script>alert('gotcha')</script>"
# Two pairs of layers that take features, three layers that share weights.
SHARING = "11212-11212-91111-11212-31123-31123"
PLAIN = "71111-91111-11111-91111"
OWN = "51111-101.1.1.1.1-91111/o101=d12232"


@dataclass
class Book:
    """One run of an archive, written line by line."""

    path: Path
    objectives: Sequence[str] = ("quality", "cache")
    settings: dict[str, Any] = field(default_factory=dict)
    task: str = "a text of tests"

    def __post_init__(self) -> None:
        self.archive = Archive.open(self.path / "archive.sqlite")
        given = {"minutes": 1.0, "rungs": ("10", "20", "40"), "width": 32, **self.settings}
        chosen = make_settings(objectives=tuple(self.objectives), **given)
        config = {
            "settings": chosen.model_dump(mode="json"),
            "task": {"fingerprint": "f", "description": self.task, "vocabulary_size": 256},
        }
        self.run = self.archive.create_run("by-hand", config)
        self.chosen, self._numbers, self._seconds = chosen, itertools.count(), itertools.count()

    def candidate(self, genome: str = PLAIN, **fields: Any) -> CandidateRow:
        """Propose."""
        given = {"operator": "mutation", "values": {"parameters": 54321.0, "cache@4096": 65536.0}, **fields}
        index = next(self._numbers)
        return self.archive.add_candidate(
            self.run.id, index=index, genome=genome, architecture=f"{index:016x}", **given
        )

    def baselines(self, *, rung: int = 2, quality: float = 3.0, **values: float) -> list[CandidateRow]:
        """All baselines, measured up to a rung."""
        rows = [
            self.candidate(str(genome), role="baseline", name=name, operator="baseline")
            for name, genome in baselines(4).items()
        ]
        for row, each in itertools.product(rows, range(rung + 1)):
            self.ok(row, each, quality=quality + 2 - each, cache=2.0**20, **values)
        return rows

    def ok(
        self,
        row: CandidateRow,
        rung: int,
        *,
        quality: float,
        cache: float,
        error: float = 0.02,
        **values: float,
    ) -> EvaluationRow:
        """Measure."""
        steps = int(self.chosen.rungs[rung].split()[0])
        return self._evaluation(
            row,
            rung,
            status="ok",
            steps=steps,
            values={
                "quality": quality,
                "bits_per_byte": quality,
                "perplexity": 9.0,
                "cache@4096": cache,
                **values,
            },
            errors={"quality": error, "bits_per_byte": error},
            curve=[(step, 8.0 - step / 10) for step in range(1, steps + 1)],
        )

    def failed(
        self, row: CandidateRow, status: str, error: str | None = None, rung: int = 0
    ) -> EvaluationRow:
        """Fail."""
        return self._evaluation(row, rung, status=status, steps=0, error=error)

    def summary(self, status: str = "finished") -> RunSummary:
        """What has been found."""
        return summarise(self.archive, replace(self.run, status=status, seconds=83.0))

    def _evaluation(self, row: CandidateRow, rung: int, **fields: Any) -> EvaluationRow:
        now = float(next(self._seconds))
        given = {"tokens": 0, "seed": 0, "started_at": now, "finished_at": now + 1, **fields}
        return self.archive.add_evaluation(self.run.id, candidate=row.index, rung=rung, **given)


def full(path: Path, **given: Any) -> Book:
    """A run with baselines, a front of three, others at every rung, failures, a duplicate and a reject."""
    book = Book(path, **given)
    book.baselines()
    front = [book.candidate(genome) for genome in (SHARING, PLAIN, OWN)]
    for place, row in enumerate(front):
        for rung in range(3):
            book.ok(row, rung, quality=4.0 + 0.5 * place - rung, cache=2.0 ** (21 - 4 * place))
    worse = book.candidate(
        "21111-91111", parents=(4, 5), validity="repaired", repaired_genes=("operator sparsity",)
    )
    book.ok(worse, 2, quality=6.0, cache=2.0**23)
    book.ok(book.candidate("31111-91111", parents=(4,)), 0, quality=7.5, cache=2.0**19)
    book.failed(book.candidate("41111-91111"), "diverged", "diverged at step 3: loss 99")
    book.failed(book.candidate("51111-91111"), "timeout", f"stopped after 600 s\n{EVIL}")
    book.candidate("71111-91111", status="duplicate", reason="already tried")
    book.candidate("not a genome", status="rejected", validity="rejected", repaired_genes=("backbone class",))
    return book


def odd(path: Path) -> Book:
    """A run with figures that are not finite, and a candidate without errors or curve."""
    book = Book(path)
    for quality, cache in [(math.nan, 4096.0), (math.inf, 0.0), (2.5, 8192.0), (2.5, 8192.0)]:
        book.ok(book.candidate(), 2, quality=quality, cache=cache, error=math.nan)
    return book


def genomes(summary: RunSummary) -> Iterator[str]:
    """Of the front."""
    return (str(entry.genome) for entry in summary.front)
