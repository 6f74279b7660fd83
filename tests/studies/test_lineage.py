"""Lineage of a run written by hand, with every figure worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.archive import Archive, CandidateRow
from madstar.search import RunSummary, make_settings, summarise
from madstar.studies.ancestry import ancestry
from madstar.studies.lineage import Lineage, gene_records, lineage_of, operator_name
from madstar.studies.statistics import mean_interval, wilson

GENOME = "71111-91111"
# Operator, parents, validity, repaired genes, status, staleness.
PROPOSALS: list[tuple[str, tuple[int, ...], str, tuple[str, ...], str, int]] = [
    ("random", (), "valid", (), "pending", 0),
    ("random", (), "repaired", ("backbone class", "backbone class"), "pending", 1),
    ("crossover", (0, 1), "valid", (), "pending", 1),
    ("mutation", (0,), "repaired", ("backbone class", "featurizer repeat"), "pending", 2),
    ("mutation", (2,), "valid", (), "duplicate", 1),
    ("mutation", (2,), "rejected", ("featurizer repeat",), "rejected", 1),
    ("crossover", (2, 3), "valid", (), "pending", 3),
    ("seed:hyena", (), "valid", (), "pending", 0),
    ("seed:hybrid", (), "valid", (), "infeasible", 0),
    ("mutation", (6,), "valid", (), "pending", 1),
]
# Candidate, rung, status, quality, cache, worker.
EVALUATIONS: list[tuple[int, int, str, float, float, int]] = [
    (0, 0, "ok", 4.0, 100.0, 0),
    (1, 0, "ok", 6.0, 300.0, 1),
    (2, 0, "ok", 4.5, 50.0, 0),  # against a mid-parent of 5 and 200: better in the mean, not than 0
    (3, 0, "ok", 3.0, 100.0, 1),  # against 4 and 100: better, and even
    (6, 0, "ok", 2.0, 40.0, 0),  # against 3.75 and 75: better than both in both
    (7, 0, "ok", 9.0, 900.0, 0),
    (9, 0, "diverged", math.nan, 0.0, 1),
    (3, 1, "ok", 2.5, 100.0, 0),
    (6, 1, "ok", 1.5, 40.0, 1),
    (2, 1, "timeout", math.nan, 0.0, 1),
    (0, 1, "ok", 3.5, 100.0, 0),
    (7, 1, "ok", 1.0, 900.0, 1),
]


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    settings = make_settings(candidates=10, rungs=("10", "20"), width=32)
    config = {"settings": settings.model_dump(mode="json"), "task": {"vocabulary_size": 256}}
    path = tmp_path_factory.mktemp("lineage") / "archive.sqlite"
    with Archive.open(path) as archive:
        run = archive.create_run("by-hand", config)
        for index, (operator, parents, validity, genes, status, stale) in enumerate(PROPOSALS):
            archive.add_candidate(
                run.id, index=index, genome=GENOME, architecture=f"{index:016x}", operator=operator,
                parents=parents, validity=validity, repaired_genes=genes, status=status, staleness=stale,
            )  # fmt: skip
        archive.add_candidate(
            run.id, index=10, genome=GENOME, architecture="b", operator="baseline", role="baseline", name="B"
        )
        for candidate, rung, status, quality, cache, worker in EVALUATIONS:
            _measure(archive, run.id, candidate, rung, status, quality, cache, worker)
        _measure(archive, run.id, 10, 0, "ok", 1.0, 1.0, 0)
        # Another seed must not be taken for the search's: it would make 6 worse than its parents.
        _measure(archive, run.id, 6, 1, "ok", 1.6, 40.0, 0, seed=1, stage="repeat")
        return summarise(archive, archive.run("by-hand"))


def _measure(
    archive: Archive, run: int, candidate: int, rung: int, status: str, quality: float, cache: float,
    worker: int, seed: int = 0, stage: str = "search",
) -> None:  # fmt: skip
    good = status == "ok"
    archive.add_evaluation(
        run, candidate=candidate, rung=rung, seed=seed, stage=stage, status=status, steps=10, tokens=10,
        error=None if good else "said so", worker=worker, started_at=0.0, finished_at=2.0,
        values={"quality": quality, "cache@4096": cache} if good else {}, timings={"total": 2.0},
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(summary: RunSummary) -> Lineage:
    return lineage_of(summary)


def counts(found: Lineage, operator: str) -> tuple[Any, ...]:
    record = next(r for r in found.operators if r.operator == operator)
    return (
        record.proposals, record.valid, record.repaired, record.rejected, record.duplicate,
        record.infeasible, record.trained, record.failed, record.reached, record.front, record.ancestors,
    )  # fmt: skip


def test_what_became_of_each_operators_proposals(found: Lineage) -> None:
    assert [r.operator for r in found.operators] == ["mutation", "crossover", "random", "seed"]
    assert counts(found, "mutation") == (4, 2, 1, 1, 1, 0, 2, 1, (1, 1), 0, 1)
    assert counts(found, "crossover") == (2, 2, 0, 0, 0, 0, 2, 1, (2, 1), 1, 2)
    assert counts(found, "random") == (2, 1, 1, 0, 0, 0, 2, 0, (2, 1), 0, 2)
    assert counts(found, "seed") == (2, 2, 0, 0, 0, 1, 1, 0, (1, 1), 1, 1)


def test_shares_have_their_base(found: Lineage) -> None:
    mutation, crossover, *_ = found.operators
    assert mutation.share("repaired") == wilson(1, 4)
    assert mutation.share("failed") == wilson(1, 2)
    assert crossover.share("front") == wilson(1, 2)
    assert crossover.share_reached(1) == wilson(1, 2)


def test_changes_are_against_the_mid_parent_at_equal_rungs(found: Lineage) -> None:
    mutation, crossover, random, seed = found.operators
    quality, cache = crossover.change("quality"), crossover.change("cache@4096")
    assert quality is not None
    assert cache is not None
    assert quality.change == mean_interval([4.5 - 5.0, 2.0 - 3.75])
    assert quality.improved == wilson(1, 2)
    assert cache.change == mean_interval([50.0 - 200.0, 40.0 - 75.0])
    assert cache.improved == wilson(2, 2)
    even = mutation.change("cache@4096")
    assert even is not None
    assert (even.change.mean, even.improved.mean) == (0.0, 0.0)
    # At the second rung: 3 against 0; 6 has a parent that was not measured there.
    later = mutation.change("quality", 1)
    assert later is not None
    assert later.change == mean_interval([-1.0])
    assert crossover.change("quality", 1) is None
    assert random.changes == seed.changes == ()


def test_ancestry_of_the_front(found: Lineage) -> None:
    assert [each.member for each in found.ancestries] == [7, 6]
    best, crossed = found.ancestries
    assert (best.generations, best.founders) == (0, {7: 1.0})
    assert [(a.index, a.parents, a.generation, a.share) for a in crossed.ancestors] == [
        (0, (), 0, 0.75),
        (1, (), 0, 0.25),
        (2, (0, 1), 1, 0.5),
        (3, (0,), 1, 0.5),
        (6, (2, 3), 2, 1.0),
    ]
    assert crossed.generations == 2
    assert crossed.founders == {0: 0.75, 1: 0.25}


def test_validity_of_genes(found: Lineage) -> None:
    told = [(g.gene, g.valid, g.repaired, g.rejected) for g in found.genes[:3]]
    assert told == [
        ("backbone class", 8, 2, 0),
        ("featurizer repeat", 8, 1, 1),
        ("backbone featurizer group", 10, 0, 0),
    ]
    assert len(found.genes) == 16
    assert found.genes[1].share("rejected") == wilson(1, 10)


def test_genes_that_left_the_table_are_told_too() -> None:
    row = candidate(0, (), repaired=("backbone of old",))
    assert gene_records([row])[0].gene == "backbone of old"


def test_staleness(found: Lineage) -> None:
    stale = found.staleness
    assert stale.counts == {0: 2, 1: 3, 2: 1, 3: 1}
    # Children 2, 3 and 6: staleness 1, 2, 3 and changes of -0.5, -1 and -1.75, the other way round.
    assert (stale.pairs, stale.tau) == (3, -1.0)
    assert stale.p == pytest.approx(1 / 3)


def test_workers(found: Lineage) -> None:
    first, second = found.workers
    assert (first.evaluations, first.failed, first.seconds) == (6, 0, 12.0)
    assert (second.evaluations, second.failed) == (6, 2)
    assert first.improved == wilson(1, 2)  # 2 and 6
    assert second.improved == wilson(1, 1)  # 3


def test_as_json(found: Lineage) -> None:
    document = json.loads(json.dumps(found.to_dict()))
    assert document["operators"][0]["repaired"]["count"] == 1
    assert document["ancestries"][1]["founders"][0] == {"index": 0, "share": 0.75}
    assert document["staleness"]["tau"] == -1.0


def test_operators_are_counted_apart_but_for_seeds() -> None:
    assert operator_name("seed:hyena") == "seed"
    assert operator_name("screened:crossover+mutation") == "screened:crossover+mutation"


def candidate(index: int, parents: tuple[int, ...], repaired: tuple[str, ...] = ()) -> CandidateRow:
    return CandidateRow(
        index, 0, index, "search", None, GENOME, "", "mutation", parents,
        "repaired" if repaired else "valid", repaired, "pending", None, {}, 0, 0, 0.0,
    )  # fmt: skip


@st.composite
def pedigrees(draw: st.DrawFn) -> dict[int, CandidateRow]:
    rows = {}
    for index in range(draw(st.integers(1, 10))):
        before = st.lists(st.integers(0, index - 1), max_size=2, unique=True)
        parents = draw(before) if index else []
        rows[index] = candidate(index, tuple(parents))
    return rows


@given(pedigrees())
def test_shares_and_generations_by_walking_every_path(rows: dict[int, CandidateRow]) -> None:
    shares: dict[int, float] = {}
    depths: dict[int, int] = {}

    def walk(index: int, share: float) -> int:
        shares[index] = shares.get(index, 0.0) + share
        parents = rows[index].parents
        depths[index] = 1 + max((walk(p, share / len(parents)) for p in parents), default=-1)
        return depths[index]

    member = max(rows)
    walk(member, 1.0)
    found = ancestry(member, rows)
    assert {a.index: a.generation for a in found.ancestors} == depths
    assert {a.index: a.share for a in found.ancestors} == pytest.approx(shares)
    assert sum(found.founders.values()) == pytest.approx(1.0)
    assert found.ancestors[-1].index == member


def test_parents_that_are_unknown_or_named_twice() -> None:
    rows = {4: candidate(4, ()), 7: candidate(7, (4, 4, 2, 9))}
    assert ancestry(7, rows).founders == {4: 1.0}


def test_a_run_without_anything(tmp_path: Path) -> None:
    settings = make_settings(candidates=1, rungs=("10",))
    config = {"settings": settings.model_dump(mode="json"), "task": {"vocabulary_size": 256}}
    with Archive.open(tmp_path / "archive.sqlite") as archive:
        archive.create_run("empty", config)
        found = lineage_of(summarise(archive, archive.run("empty")))
    assert (found.operators, found.ancestries, found.workers) == ((), (), ())
    assert math.isnan(found.staleness.tau)
