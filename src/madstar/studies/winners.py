"""A run's winners, and all they are compared with: those that lost, random genomes, drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ArchiveError
from ..search import Entry, RunSummary
from ..search.ledger import SEARCH
from ..search.ranking import Standing, order
from ..search.summary import costs_of
from .background import Background, StaticBounds, background
from .drift import Drift, Pedigree, drift
from .enrichment import related_counts, smoothed
from .patterns import CLASS, RUN, Pattern, patterns

BETTER_HALF, FRONT, TOP_RUNG, BEST_QUARTER = "better-half", "front", "top-rung", "best-quarter"
WINNERS = {
    BETTER_HALF: "the better half of the candidates at the top rung, and the front",
    FRONT: "the front",
    TOP_RUNG: "all candidates at the top rung",
    BEST_QUARTER: "the best quarter of all trained candidates",
}
SINGLE = (RUN, CLASS, 1)
# Offspring dropped in all replicates of a run, which bounds the time a long run takes.
_MOST_OFFSPRING, _FEWEST_REPLICATES = 20_000, 60
_FEW_WINNERS, _FEW_EFFECTIVE = 5, 4


@dataclass(frozen=True)
class Sample:
    """One run's winners and what they are compared with.

    `holding` are the winners' patterns by number; `others` counts patterns of the `trained` candidates
    that did not win. `drift` is None where no winner has parents, and then random genomes do for it.
    """

    run: str
    winners: tuple[Entry, ...]
    holding: dict[int, frozenset[Pattern]]
    others: Counter[Pattern]
    trained: int
    random: Background
    drift: Drift | None
    replicates: int

    def held(self, pattern: Pattern) -> int:
        """How many winners hold it."""
        return sum(pattern in found for found in self.holding.values())

    def expected(self, pattern: Pattern) -> float:
        """The share of winners that would hold it by chance."""
        return self.random.share(pattern) if self.drift is None else self.drift.share(pattern)

    def effective(self, family: tuple[str, str, int]) -> float:
        """How many independent genomes the winners are worth in patterns of a family."""
        return len(self.winners) if self.drift is None else self.drift.effective(family)

    def chance(self, pattern: Pattern, towards: int) -> np.ndarray:
        """Probabilities of how many winners hold it, with descent taken into account."""
        n, family = len(self.winners), pattern.family
        if self.drift is None:
            return self.independent(pattern, towards)
        draws = self.replicates * self.drift.effective(family)
        share = smoothed(self.drift.share(pattern), draws, towards)
        return related_counts(n, share, self.drift.correlation.get(family, 0.0))

    def independent(self, pattern: Pattern, towards: int) -> np.ndarray:
        """The same for as many independent random genomes."""
        share = smoothed(self.random.share(pattern), len(self.random.genomes), towards)
        return related_counts(len(self.winners), share, 0.0)


def winners_of(summary: RunSummary, rule: str = BETTER_HALF) -> tuple[Entry, ...]:
    """The winners of a run by a rule. Raises ArchiveError where there is no front."""
    trained = [entry for entry in summary.entries if entry.candidate.role == SEARCH]
    if not summary.front or not trained:
        raise ArchiveError(
            f"run {summary.run.name} has no front, so no winners: search longer, or name another"
        )
    front = {entry.index for entry in summary.front}
    if rule == FRONT:
        chosen = front
    elif rule == TOP_RUNG:
        chosen = {entry.index for entry in trained if entry.rung == summary.rung}
    else:
        compared = [e for e in trained if rule == BEST_QUARTER or e.rung == summary.rung]
        standings = [Standing(e.index, {e.rung: costs_of(e.values, summary.objectives)}) for e in compared]
        best = [standing.index for standing in order(standings)]
        chosen = set(best[: -(-len(best) // (4 if rule == BEST_QUARTER else 2))])
        chosen |= front if rule == BETTER_HALF else set()
    return tuple(entry for entry in trained if entry.index in chosen)


def take_sample(summary: RunSummary, rule: str, count: int, seed: int, replicates: int) -> Sample:
    """A run's winners by a rule, and chance from up to `count` random genomes.

    Raises ArchiveError for a run without a front, or whose constraints no random genome keeps.
    """
    settings = summary.settings
    chosen = winners_of(summary, rule)
    space = settings.space(int(summary.run.config["task"]["vocabulary_size"]))
    length = settings.training.length
    random = background(space, settings.constraints, length, count, seed)
    if not random.genomes:
        raise ArchiveError(
            f"run {summary.run.name}: none of {random.drawn:,} random genomes of its space keeps its "
            "constraints, so there is nothing to compare its winners with"
        )
    pedigree = Pedigree.of(summary.candidates, [entry.index for entry in chosen])
    dropped, rounds = None, 0
    if pedigree.offspring or pedigree.planted:
        affordable = _MOST_OFFSPRING // max(1, pedigree.offspring)
        rounds = min(replicates, max(_FEWEST_REPLICATES, affordable))
        bounds = StaticBounds(settings.constraints, space, length)
        rng = np.random.default_rng([seed, 1])
        dropped = drift(pedigree, random.genomes, space, settings.rates, bounds, replicates=rounds, rng=rng)
    numbers = {entry.index for entry in chosen}
    lost = [e for e in summary.entries if e.candidate.role == SEARCH and e.index not in numbers]
    others: Counter[Pattern] = Counter()
    for entry in lost:
        others.update(patterns(entry.genome))
    holding = {entry.index: patterns(entry.genome) for entry in chosen}
    return Sample(summary.run.name, chosen, holding, others, len(lost), random, dropped, rounds)


def notes(summaries: Sequence[RunSummary], samples: Sequence[Sample]) -> Iterable[str]:
    """What a reader must know to trust the figures as far as they go, and no further."""
    for summary, sample in zip(summaries, samples, strict=True):
        name, settings = summary.run.name, summary.settings
        planted = Pedigree.of(summary.candidates, [e.index for e in sample.winners]).planted
        if planted:
            given = ", ".join(f"#{index}" for index in planted)
            yield (
                f"{name} was begun with known motifs ({given}), from which winners descend. They are kept "
                "as they are in what drift gives, so only what selection added to them is tested."
            )
        measured = [c.text for c in settings.parsed_constraints if c.objective.kind != "static"]
        if measured:
            bounds = ", ".join(measured)
            yield f"{name}: random genomes are not held to {bounds}, which only building them would tell."
        if (
            sample.drift is not None
            and not StaticBounds(settings.constraints, settings.space(256), settings.training.length).fast
        ):
            yield f"{name}: offspring in drift are not held to its own static objectives, which are slow."
    total = sum(len(sample.winners) for sample in samples)
    effective = sum(sample.effective(SINGLE) for sample in samples)
    if total < _FEW_WINNERS or effective < _FEW_EFFECTIVE:
        many = "1 winner" if total == 1 else f"{total} winners"
        yield (
            f"{many}, worth {effective:.1f} independent genomes, can show only what is very rare by chance: "
            "pool several runs to see more."
        )
