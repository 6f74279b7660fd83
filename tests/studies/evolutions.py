"""Evolutions written into an archive: real proposals of real strategies, made-up figures, no training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from madstar.archive import Archive
from madstar.genome import Genome
from madstar.search import RunSummary, make_settings, summarise
from madstar.search.strategies import NSGA2, Measured, Proposed, RandomSearch
from madstar.search.strategies.seeded import Seeded

Cost = Callable[[Genome, np.random.Generator], float]


def evolution(
    cost: Cost, seed: int, candidates: int, *, seeds: Sequence[Genome] = (), **given: Any
) -> RunSummary:
    """A run of NSGA-II, or of random search, that ranks genomes by a made-up cost, kept in memory."""
    settings = make_settings(
        objectives=("quality",), candidates=candidates, rungs=("10",), seed=seed, **given
    )
    space = settings.space(256)
    strategy: Any = NSGA2(space, seed, rates=settings.rates, population=12)
    if settings.strategy == "random":
        strategy = RandomSearch(space, seed)
    if seeds:
        strategy = Seeded(strategy, [(f"given {i}", genome) for i, genome in enumerate(seeds)])
    rng = np.random.default_rng([seed, 3])
    known: set[Genome] = set()
    with Archive.open("sqlite://") as archive:
        config = {
            "settings": settings.model_dump(mode="json"),
            "task": {"description": "made up", "vocabulary_size": 256},
        }
        run = archive.create_run(f"run-{seed}", config)
        index = 0
        while len(known) < candidates:
            proposal = strategy.propose(index)
            genome = proposal.offspring.genome
            fresh = genome not in known
            known.add(genome)
            archive.add_candidate(
                run.id,
                index=index,
                genome=str(genome),
                architecture=f"{index:016x}",
                operator=proposal.offspring.operator,
                parents=proposal.parents,
                status="pending" if fresh else "duplicate",
            )
            strategy.observe(Proposed(index, genome if fresh else None, 0))
            if fresh:
                quality = cost(genome, rng)
                archive.add_evaluation(
                    run.id,
                    candidate=index,
                    rung=0,
                    steps=10,
                    tokens=0,
                    seed=seed,
                    status="ok",
                    values={"quality": quality, "bits_per_byte": quality},
                    started_at=float(index),
                    finished_at=index + 1.0,
                )
                strategy.observe(Measured(index, 0, (quality,)))
            index += 1
        return summarise(archive, run)


def noise(genome: Genome, rng: np.random.Generator) -> float:
    """A cost that no pattern changes."""
    return float(rng.normal())


def convolution_before_memoryless(genome: Genome, rng: np.random.Generator) -> float:
    """A cost that falls with each convolution that a memoryless layer follows."""
    mixings = [liv.operator.token_mixing for liv in genome.livs]
    pairs = sum(pair == (3, 1) for pair in itertools.pairwise(mixings))
    return -float(pairs) + 0.1 * float(rng.normal())
