"""Motifs: planted ones are found, chance finds none, tails are exact, families do not count as many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from madstar.errors import ArchiveError, ConfigurationError
from madstar.genome import Genome, SearchSpace, compile_genome, sample
from madstar.genome.variation import settle
from madstar.objectives import Subject
from madstar.search import RunSummary
from madstar.studies.background import StaticBounds, background, linked
from madstar.studies.drift import Pedigree, drift, drop
from madstar.studies.enrichment import (
    at_least,
    at_most,
    drawn_counts,
    related_counts,
    smoothed,
    together,
    two_sided,
)
from madstar.studies.motifs import MotifStudy, motifs
from madstar.studies.patterns import MIXING, Pattern, generalisations, patterns
from madstar.studies.winners import WINNERS, winners_of

from .evolutions import convolution_before_memoryless, evolution, noise

PLANTED = Pattern("run", MIXING, ("convolution", "memoryless"))
SPACE = SearchSpace()
SMALL = {"min_depth": 6, "max_depth": 6, "levels": ("backbone",)}


@pytest.fixture(scope="module")
def planted() -> list[RunSummary]:
    """Three random searches under a cost that rewards one run of classes."""
    return [
        evolution(
            convolution_before_memoryless,
            seed,
            60,
            strategy="random",
            classes=(1, 5, 7, 9),
        )
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def evolved() -> RunSummary:
    """An evolution under a cost that no pattern changes."""
    return evolution(noise, 5, 32, **SMALL)


def study(*runs: RunSummary, **given: object) -> MotifStudy:
    settings = {"winners": "best-quarter", "background": 600, "replicates": 40, **given}
    return motifs(runs, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pooled(planted: list[RunSummary]) -> MotifStudy:
    """The study of all three."""
    return study(*planted)


@pytest.fixture(scope="module")
def alone(planted: list[RunSummary]) -> list[MotifStudy]:
    """The study of each."""
    return [study(run) for run in planted]


def test_a_planted_motif_is_found(pooled: MotifStudy) -> None:
    found = pooled
    best = found.motifs[0]
    assert PLANTED in {best.pattern, *best.also, *generalisations(best.pattern)}
    assert best.q < 0.01
    assert best.enriched
    assert best.share > best.others
    assert all(motif.q >= best.q for motif in found.motifs)


def test_pooled_runs_are_surer_and_add_up(pooled: MotifStudy, alone: list[MotifStudy]) -> None:
    assert pooled.winners == sum(one.winners for one in alone) == 45
    found = next(m for m in pooled.motifs if PLANTED in (m.pattern, *m.also))
    each = [m for one in alone for m in one.motifs if found.pattern in (m.pattern, *m.also)]
    assert found.held == sum(m.held for m in each)
    assert {run for run, _ in found.holders} == {"run-0", "run-1", "run-2"}
    assert found.p < min(m.p for m in each)


def test_random_winners_have_no_motifs() -> None:
    """Over evolutions that nothing drives, although relatives hold much in common."""
    found = independent = 0
    for seed in range(3):
        result = study(evolution(noise, seed, 36, **SMALL))
        found += bool(result.found(0.1))
        independent += any(motif.p_independent < 1e-4 for motif in result.motifs)
        tail = np.mean([motif.p <= 0.05 for motif in result.motifs])
        assert tail < 0.1
    assert found == 0 < independent  # which is what counting relatives as strangers would have found


def test_without_parents_p_is_the_exact_binomial(planted: list[RunSummary], alone: list[MotifStudy]) -> None:
    result = alone[0]
    assert result.effective == result.winners
    assert result.motifs
    chance = background(planted[0].settings.space(256), (), planted[0].settings.training.length, 600, 0)
    for motif in result.motifs:
        assert motif.p == motif.p_independent
        more, less = ((chance.counts[motif.pattern] + extra) / 601 for extra in (1, 0))
        upper = stats.binomtest(motif.held, motif.winners, more, alternative="greater").pvalue
        lower = stats.binomtest(motif.held, motif.winners, less, alternative="less").pvalue
        assert motif.p == pytest.approx(min(1, 2 * min(upper, lower)))


def test_against_others_is_fishers_test(alone: list[MotifStudy]) -> None:
    for motif in alone[0].motifs[:20]:
        lost = 60 - motif.winners
        table = [[motif.held, motif.winners - motif.held], [round(motif.others * lost)]]
        table[1].append(lost - table[1][0])
        tails = [stats.fisher_exact(table, alternative=side).pvalue for side in ("greater", "less")]
        assert motif.p_others == pytest.approx(min(1, 2 * min(tails)))


@given(st.integers(1, 30), st.floats(0.001, 0.999), st.sampled_from([0.0, 0.05, 0.4, 0.95]))
def test_related_counts(n: int, share: float, correlation: float) -> None:
    counts = related_counts(n, share, correlation)
    if correlation:
        weight = (1 - correlation) / correlation
        known = stats.betabinom(n, share * weight, (1 - share) * weight)
    else:
        known = stats.binom(n, share)
    np.testing.assert_allclose(counts, known.pmf(np.arange(n + 1)), atol=1e-9)
    assert counts @ np.arange(n + 1) == pytest.approx(n * share)
    for held in (0, n // 2, n):
        assert at_least(held, counts) == pytest.approx(known.sf(held - 1), abs=1e-9)
        assert at_most(held, counts) == pytest.approx(known.cdf(held), abs=1e-9)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_drawn_counts(n: int, marked: int, rest: int) -> None:
    total = marked + rest
    n = min(n, total)
    if not total:
        assert list(drawn_counts(0, 0, 0)) == [1]
        return
    known = stats.hypergeom(total, marked, n).pmf(np.arange(n + 1))
    np.testing.assert_allclose(drawn_counts(n, marked, total), known, atol=1e-9)


def test_ends_of_the_tails() -> None:
    assert list(related_counts(3, 0.25, 1.0)) == [0.75, 0, 0, 0.25]
    assert list(related_counts(2, 0.0, 0.3)) == [1, 0, 0]
    assert list(related_counts(2, 1.0, 0.3)) == [0, 0, 1]
    np.testing.assert_allclose(together([np.array([0.5, 0.5])] * 2), [0.25, 0.5, 0.25])
    assert smoothed(0.0, 99, 1) == 0.01
    assert smoothed(1.0, 99, 0) == 0.99
    assert two_sided(0.9, 0.8) == 1.0


def test_drift_drops_genes_through_the_pedigree(evolved: RunSummary) -> None:
    winners = [entry.index for entry in winners_of(evolved, "best-quarter")]
    pedigree = Pedigree.of(evolved.candidates, winners)
    assert pedigree.offspring > 0
    assert all(
        parent in {row.index for row in pedigree.rows} for row in pedigree.rows for parent in row.parents
    )
    space = evolved.settings.space(256)
    pool = background(space, (), 256, 600, 0).genomes
    bounds = StaticBounds((), space, 256)
    given = {"space": space, "rates": evolved.settings.rates, "bounds": bounds}
    first = drop(pedigree, pool, rng=np.random.default_rng(1), **given)
    assert first == drop(pedigree, pool, rng=np.random.default_rng(1), **given)
    assert len(first) == len(winners)
    assert all(space.contains(genome) for genome in first)
    dropped = drift(pedigree, pool, replicates=30, rng=np.random.default_rng(2), **given)
    family = PLANTED.family
    assert 0 < dropped.correlation[family] < 1
    assert 1 < dropped.effective(family) < len(winners)


def test_correlation_is_none_among_strangers_and_whole_among_copies(evolved: RunSummary) -> None:
    space = evolved.settings.space(256)
    pool = background(space, (), 256, 600, 0).genomes
    founder = next(row for row in evolved.candidates if not row.parents)
    given = {"space": space, "rates": evolved.settings.rates, "bounds": StaticBounds((), space, 256)}
    strangers = Pedigree(tuple(replace(founder, index=i) for i in range(8)), tuple(range(8)))
    copies = Pedigree((replace(founder, index=0),), (0,) * 8)
    for pedigree, low, high in ((strangers, 0.0, 0.1), (copies, 0.999, 1.0)):
        dropped = drift(pedigree, pool, replicates=100, rng=np.random.default_rng(3), **given)
        assert low <= dropped.correlation[PLANTED.family] <= high


def test_planted_founders_are_not_rediscovered() -> None:
    known = Genome.parse("-".join(["71111", "91111"] * 3))
    seeded = evolution(convolution_before_memoryless, 1, 28, seeds=[known], **SMALL)
    result = study(seeded)
    assert any("begun with known motifs (#0)" in note for note in result.notes)
    pattern = next(m for m in result.motifs if PLANTED in (m.pattern, *m.also))
    assert pattern.expected > 2 * pattern.random


def test_static_constraints_hold_for_random_genomes() -> None:
    bounds = ("params<=250000", "params>=200000", "cache<=4MiB")
    held = background(SPACE, bounds, 256, 20, 0)
    assert len(held.genomes) == 20 < held.drawn
    checked = StaticBounds(bounds, SPACE, 256).constraints
    for genome in held.genomes[:4]:
        subject = Subject(genome, SPACE.sizes, 256)
        assert all(c.holds(c.objective.measure(subject).value) for c in checked)


def test_costs_of_parts_add_up_to_the_whole() -> None:
    space = SearchSpace(sharing=0.8, groups=2)
    bounds = StaticBounds(("params<=1", "cache@100<=1", "flops<=1", "flops@64<=1"), space, 128)
    assert bounds.fast
    rng = np.random.default_rng(4)
    for _ in range(8):
        genome = settle(sample(space, rng), "", space, rng).genome
        subject = Subject(genome, space.sizes, 128)
        assert sum(map(len, linked(subject.spec.layers))) == genome.depth
        for constraint in bounds.constraints:
            whole = constraint.objective.measure(subject).value
            assert bounds.value(constraint, genome, subject.spec) == pytest.approx(whole, rel=1e-9)


def test_own_static_objectives_are_measured(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("def depth(subject):\n    return subject.genome.depth\n\ndepth.kind = 'static'\n")
    space = SearchSpace(min_depth=2, max_depth=4)
    bounds = (f"{own}:depth<=2",)
    assert not StaticBounds(bounds, space, 64).fast
    assert {genome.depth for genome in background(space, bounds, 64, 20, 0).genomes} == {2}


def test_background_counts_genomes() -> None:
    chance = background(SPACE, (), 256, 50, 7)
    held = Counter(pattern for genome in chance.genomes for pattern in patterns(genome))
    assert chance.counts == held
    assert max(chance.counts.values()) <= 50
    assert compile_genome(chance.genomes[0], SPACE.sizes)


@pytest.mark.parametrize("rule", WINNERS)
def test_winners(planted: list[RunSummary], rule: str) -> None:
    run = planted[0]
    chosen = winners_of(run, rule)
    assert len(chosen) == {"better-half": 30, "front": 1, "top-rung": 60, "best-quarter": 15}[rule]
    worst = max(entry.values["quality"] for entry in chosen)
    lost = [entry.values["quality"] for entry in run.entries if entry not in chosen]
    assert all(quality >= worst for quality in lost)


def test_a_study_says_the_same_twice(planted: list[RunSummary], alone: list[MotifStudy]) -> None:
    first, second = alone[0].to_dict(), study(planted[0]).to_dict()
    assert json.dumps(first) == json.dumps(second)
    assert first["runs"][0]["seeds"] == "none"
    assert first["motifs"][0]["holders"][0][0] == "run-0"


def test_folded_motifs_say_different_things(pooled: MotifStudy) -> None:
    result = pooled
    by_holders: dict[tuple, list[Pattern]] = {}
    for motif in result.motifs:
        by_holders.setdefault(motif.holders, []).append(motif.pattern)
    for alike in by_holders.values():
        assert not any(a in generalisations(b) for a in alike for b in alike)
    assert sum(1 + len(motif.also) for motif in result.motifs) == result.tested


def test_places_add_up(pooled: MotifStudy) -> None:
    places = pooled.places
    assert places.layers
    assert set(places.classes) == {"SA-1", "Rec-1", "GConv-1", "GMemless"}
    for shares in (places.winners, places.random):
        np.testing.assert_allclose(shares.sum(axis=0), 1)


def test_refusals(planted: list[RunSummary], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="winners 'losers': choose from better-half, front"):
        motifs(planted, winners="losers")
    with pytest.raises(ConfigurationError, match="no runs"):
        motifs([])
    with pytest.raises(ArchiveError, match="run-0 has no front"):
        motifs([replace(planted[0], front=())])
    settings = planted[0].settings.model_copy(update={"constraints": ("params<=10",)})
    with pytest.raises(ArchiveError, match="none of 40 random genomes"):
        motifs([replace(planted[0], settings=settings)], background=10)
