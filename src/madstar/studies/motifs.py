"""Motifs: what recurs in a search's winners more, or less, than chance gives.

Chance is drift: random founders of the same space, varied down the run's own pedigree (`drift.py`). It
says how often each pattern is expected and how much the winners are copies of one another; p-values
are beta-binomial tails with that mean and that correlation, so that ten winners by one founder do not
count as ten. Where nothing has parents this is the exact binomial test against random genomes. Both
tails are tested; q-values are Benjamini and Hochberg's over all patterns tested, and which are tested
depends on what chance gives alone, never on the winners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from ..genome import Genome
from ..search import Run, RunSummary
from .drift import Pedigree
from .enrichment import at_least, at_most, drawn_counts, together, two_sided
from .patterns import AT_MOST, Pattern, class_token, complement, generalisations
from .statistics import benjamini_hochberg
from .winners import BETTER_HALF, SINGLE, WINNERS, Sample, notes, take_sample

_BINS = 8


@dataclass(frozen=True)
class Motif:
    """One pattern, and how its share of the winners compares.

    Shares: `expected` under drift, `random` of random genomes, `others` of candidates that were trained
    and did not win (nan without any). `ratio` is the winners' share to the expected, each with half a
    winner more on either side. `p` takes the winners' descent into account and `q` is made of it;
    `p_independent` takes them as independent draws of random genomes; `p_others` is the exact test
    against the other trained candidates. `holders` are (run, candidate); `also` are patterns of the
    same holders that imply this one or follow from it.
    """

    pattern: Pattern
    held: int
    winners: int
    expected: float
    random: float
    others: float
    ratio: float
    p: float
    q: float
    p_independent: float
    p_others: float
    effective: float
    holders: tuple[tuple[str, int], ...]
    also: tuple[Pattern, ...] = ()

    @property
    def share(self) -> float:
        """The share of winners with the pattern."""
        return self.held / self.winners

    @property
    def enriched(self) -> bool:
        """Whether winners hold it more often than expected, rather than less."""
        return self.ratio >= 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "pattern": self.pattern.name,
            "kind": self.pattern.kind,
            "alphabet": self.pattern.alphabet,
            "parts": list(self.pattern.parts),
            "direction": "enriched" if self.enriched else "depleted",
            "held": self.held,
            "winners": self.winners,
            "effective_winners": round(self.effective, 2),
            "share": self.share,
            "expected": self.expected,
            "random": self.random,
            "others": self.others,
            "ratio": self.ratio,
            "p": self.p,
            "q": self.q,
            "p_independent": self.p_independent,
            "p_others": self.p_others,
            "holders": [list(holder) for holder in self.holders],
            "also": [pattern.name for pattern in self.also],
        }


@dataclass(frozen=True)
class RunShare:
    """What one run gave to a study: numbers of genomes, and how it was searched."""

    run: str
    strategy: str
    seeds: str
    winners: tuple[int, ...]
    effective: float
    founders: int
    others: int
    background: int
    drawn: int
    replicates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "winners": list(self.winners), "effective": round(self.effective, 2)}


@dataclass(frozen=True)
class Places:
    """How often each class is at each place: shares of winners' and of random genomes' layers.

    Arrays are (class, place); `layers` says whether places are layers, or equal parts of the depth.
    """

    classes: tuple[str, ...]
    layers: bool
    winners: np.ndarray
    random: np.ndarray


@dataclass(frozen=True)
class MotifStudy:
    """Motifs of one or several runs, the surest first; `tested` patterns were tested."""

    runs: tuple[RunShare, ...]
    rule: str
    tested: int
    motifs: tuple[Motif, ...]
    places: Places
    depth: int
    notes: tuple[str, ...]

    @property
    def winners(self) -> int:
        """Winners of all runs."""
        return sum(len(run.winners) for run in self.runs)

    @property
    def effective(self) -> float:
        """How many independent genomes the winners are worth, in which classes they hold."""
        return sum(run.effective for run in self.runs)

    def found(self, q: float = 0.05) -> tuple[Motif, ...]:
        """Motifs whose q-value is at most that."""
        return tuple(motif for motif in self.motifs if motif.q <= q)

    def to_dict(self) -> dict[str, Any]:
        """One JSON document; of the motifs those with p at most 0.05."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "winners_are": WINNERS[self.rule],
            "winners": self.winners,
            "effective_winners": round(self.effective, 2),
            "tested": self.tested,
            "found": len(self.found()),
            "notes": list(self.notes),
            "motifs": [motif.to_dict() for motif in self.motifs if motif.p <= 0.05],
        }


def motifs(
    runs: Sequence[Run | RunSummary],
    *,
    winners: str = BETTER_HALF,
    background: int = 5000,
    seed: int = 0,
    replicates: int = 400,
    least: float = 0.02,
) -> MotifStudy:
    """What recurs in the winners of runs, pooled, against chance in each run's own space.

    `winners` is a key of `WINNERS`; `background` the number of random genomes of each run, of which
    there may be fewer where constraints drop most. Patterns are tested whose expected share lies between
    `least` and 1 - `least`. Deterministic, given `seed`. Takes seconds for a run of a hundred candidates.

    Raises ConfigurationError for an unknown rule, ArchiveError for a run without a front or whose
    constraints no random genome keeps.
    """
    if winners not in WINNERS:
        raise ConfigurationError(f"winners '{winners}': choose from {', '.join(WINNERS)}")
    if not runs:
        raise ConfigurationError("no runs: name at least one")
    summaries = [run.summary() if isinstance(run, Run) else run for run in runs]
    samples = [take_sample(each, winners, background, seed, replicates) for each in summaries]
    tested = _testable(samples, least)
    found = [_worded(_motif(pattern, samples), samples) for pattern in tested]
    q_values = benjamini_hochberg([motif.p for motif in found])
    found = [replace(motif, q=q) for motif, q in zip(found, q_values, strict=True)]
    return MotifStudy(
        runs=tuple(_run_share(*pair) for pair in zip(summaries, samples, strict=True)),
        rule=winners,
        tested=len(tested),
        motifs=folded(found),
        places=_places(summaries, samples),
        depth=max(summary.settings.max_depth for summary in summaries),
        notes=tuple(notes(summaries, samples)),
    )


def folded(found: Iterable[Motif]) -> tuple[Motif, ...]:
    """The motifs, surest first, without those that say the same of the same winners.

    Of patterns that follow from one another and are held by the very same winners, the one with the
    least p stands for all (of equals the more general).
    """
    by_holders: dict[tuple[tuple[str, int], ...], list[Motif]] = {}
    for motif in found:
        by_holders.setdefault(motif.holders, []).append(motif)
    kept: list[Motif] = []
    for alike in by_holders.values():
        general = {motif.pattern: generalisations(motif.pattern) for motif in alike}
        representatives: list[Motif] = []
        also: dict[Pattern, list[Pattern]] = {}
        for motif in sorted(alike, key=_surest):
            for other in representatives:
                if motif.pattern in general[other.pattern] or other.pattern in general[motif.pattern]:
                    also[other.pattern].append(motif.pattern)
                    break
            else:
                representatives.append(motif)
                also[motif.pattern] = []
        kept += [replace(motif, also=tuple(also[motif.pattern])) for motif in representatives]
    return tuple(sorted(kept, key=_surest))


def _surest(motif: Motif) -> tuple[Any, ...]:
    return motif.p, -abs(np.log(motif.ratio)), len("".join(motif.pattern.parts)), motif.pattern


def _testable(samples: Sequence[Sample], least: float) -> list[Pattern]:
    """Patterns neither too rare nor too common by chance. What the winners hold has no say in it.

    "At most one" is not tested where "at least two" is, for that would be one test twice.
    """
    known: set[Pattern] = set()
    for sample in samples:
        known.update(sample.random.counts)
        if sample.drift is not None:
            known.update(sample.drift.held)
    fit = {p for p in known if least <= _pooled(samples, p) <= 1 - least}
    return sorted(p for p in fit if p.parts[0] != AT_MOST or complement(p) not in fit)


def _worded(motif: Motif, samples: Sequence[Sample]) -> Motif:
    """What winners have rather than what they lack, where both can be said: the same test."""
    other = complement(motif.pattern)
    return motif if motif.enriched or other is None else _motif(other, samples)


def _pooled(samples: Sequence[Sample], pattern: Pattern) -> float:
    """The expected share over all runs' winners."""
    total = sum(len(sample.winners) for sample in samples)
    return sum(len(sample.winners) * sample.expected(pattern) for sample in samples) / total


def _motif(pattern: Pattern, samples: Sequence[Sample]) -> Motif:
    holders = tuple(
        (sample.run, index)
        for sample in samples
        for index, found in sample.holding.items()
        if pattern in found
    )
    n, held = sum(len(sample.winners) for sample in samples), len(holders)
    expected = _pooled(samples, pattern)
    trained = sum(sample.trained for sample in samples)
    return Motif(
        pattern=pattern,
        held=held,
        winners=n,
        expected=expected,
        random=sum(len(s.winners) * s.random.share(pattern) for s in samples) / n,
        others=sum(sample.others[pattern] for sample in samples) / trained if trained else float("nan"),
        ratio=(held + 0.5) / (n + 1) / ((n * expected + 0.5) / (n + 1)),
        p=two_sided(
            at_least(held, together([sample.chance(pattern, 1) for sample in samples])),
            at_most(held, together([sample.chance(pattern, 0) for sample in samples])),
        ),
        q=1.0,
        p_independent=two_sided(
            at_least(held, together([sample.independent(pattern, 1) for sample in samples])),
            at_most(held, together([sample.independent(pattern, 0) for sample in samples])),
        ),
        p_others=_against_others(pattern, samples, held),
        effective=sum(sample.effective(pattern.family) for sample in samples),
        holders=holders,
    )


def _against_others(pattern: Pattern, samples: Sequence[Sample], held: int) -> float:
    """Winners drawn at random among the trained of each run (Fisher's exact test, by run)."""
    counts = together(
        [
            drawn_counts(
                len(sample.winners),
                sample.held(pattern) + sample.others[pattern],
                len(sample.winners) + sample.trained,
            )
            for sample in samples
        ]
    )
    return two_sided(at_least(held, counts), at_most(held, counts))


def _run_share(summary: RunSummary, sample: Sample) -> RunShare:
    numbers = tuple(entry.index for entry in sample.winners)
    return RunShare(
        run=summary.run.name,
        strategy=summary.settings.strategy,
        seeds=getattr(summary.settings, "seeds", "none"),
        winners=numbers,
        effective=sample.effective(SINGLE),
        founders=len(Pedigree.of(summary.candidates, numbers).founders),
        others=sample.trained,
        background=len(sample.random.genomes),
        drawn=sample.random.drawn,
        replicates=sample.replicates,
    )


def _places(summaries: Sequence[RunSummary], samples: Sequence[Sample]) -> Places:
    depths = {d for s in summaries for d in (s.settings.min_depth, s.settings.max_depth)}
    bins = depths.pop() if len(depths) == 1 else _BINS
    layers = not depths
    won = _spread([entry.genome for sample in samples for entry in sample.winners], bins)
    drawn = [_spread(sample.random.genomes, bins) for sample in samples]
    weights = [len(sample.winners) for sample in samples]
    classes = sorted(set(won).union(*drawn))
    nothing = np.zeros(bins)
    chance = [
        sum(w * each.get(name, nothing) for w, each in zip(weights, drawn, strict=True)) / sum(weights)
        for name in classes
    ]
    return Places(tuple(classes), layers, np.array([won.get(c, nothing) for c in classes]), np.array(chance))


def _spread(genomes: Sequence[Genome], bins: int) -> dict[str, np.ndarray]:
    """By class, its share of the layers at each place."""
    counts: dict[str, np.ndarray] = {}
    totals = np.zeros(bins)
    for genome in genomes:
        for layer, liv in enumerate(genome.livs):
            place = layer * bins // genome.depth
            counts.setdefault(class_token(liv.operator), np.zeros(bins))[place] += 1
            totals[place] += 1
    return {name: held / np.maximum(totals, 1) for name, held in counts.items()}
