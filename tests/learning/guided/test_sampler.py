from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from madstar.genome import CLASSES, Genome, LIVGenes, SearchSpace
from madstar.genome.validity import problems
from madstar.learning.guided.sampler import NEW, Decision, Sampler
from madstar.search.strategies import random_proposal

SPACE = SearchSpace(min_depth=4, max_depth=6)


def random_genomes(count: int, space: SearchSpace = SPACE, seed: int = 0) -> list[Genome]:
    return [random_proposal(space, seed, index, 0).offspring.genome for index in range(count)]


def slow_chance(
    sampler: Sampler,
    genomes: list[Genome],
    weights: list[float],
    decision: Decision,
    allowed: tuple[tuple[int, float], ...],
) -> float:
    """The formula of the module's text, counted anew from all genomes by recursion over the context."""
    mean = sum(weights) / len(weights)

    def seen(context: tuple[int, ...], value: int) -> float:
        total = 0.0
        for genome, weight in zip(genomes, weights, strict=True):
            for kind, around, chosen in sampler.decisions(genome):
                if kind == decision.kind and around[: len(context)] == context and chosen == value:
                    total += weight / mean
        return total

    def chance(context: tuple[int, ...] | None, value: int) -> float:
        if context is None:
            return dict(allowed)[value] / sum(base for _, base in allowed)
        above = context[:-1] if context else None
        held = sum(seen(context, other) for other, _ in allowed)
        return (seen(context, value) + sampler.strength * chance(above, value)) / (held + sampler.strength)

    return chance(decision.context, decision.value)


def test_chances_are_those_of_a_slow_oracle() -> None:
    genomes, weights = random_genomes(6), [3.0, 2.0, 1.0, 1.0, 0.5, 0.5]
    sampler = Sampler(SPACE, genomes, weights)
    asked = [*itertools.islice(sampler.decisions(genomes[0]), 5)]
    asked += [*itertools.islice(sampler.decisions(random_genomes(1, seed=9)[0]), 5)]
    for decision in asked:
        allowed = {
            "operator": sampler._writable,
            "depth": sampler._depths,
        }.get(decision.kind, ((1, 0.75), (2, 0.25)))
        if decision.value not in dict(allowed):
            continue
        chances = sampler.chances(decision.kind, decision.context, allowed)
        assert chances.sum() == pytest.approx(1.0)
        place = [value for value, _ in allowed].index(decision.value)
        expected = slow_chance(sampler, genomes, weights, decision, allowed)
        assert chances[place] == pytest.approx(expected)


def test_samples_come_as_often_as_their_chances_say() -> None:
    space = SearchSpace(min_depth=2, max_depth=2, classes=(1, 7, 9), sharing=0.0)
    good = Genome((LIVGenes(CLASSES[7]), LIVGenes(CLASSES[9])))
    sampler = Sampler(space, [good, *random_genomes(3, space)], [5.0, 1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(liv.operator for liv in sampler.sample(rng).livs) for _ in range(4000))
    for first, second in itertools.product((CLASSES[n] for n in space.classes), repeat=2):
        steps = list(sampler.decisions(Genome((LIVGenes(first), LIVGenes(second)))))
        chance = 1.0
        for kind, context, value in steps:
            if kind == "operator":
                chances = sampler.chances(kind, context, sampler._writable)
                chance *= chances[[number for number, _ in sampler._writable].index(value)]
        error = (chance * (1 - chance) / 4000) ** 0.5
        assert drawn[first, second] / 4000 == pytest.approx(chance, abs=5 * error)


def test_what_is_written_is_valid_and_of_the_space() -> None:
    sampler = Sampler(SPACE, random_genomes(30), [1.0] * 30)
    rng = np.random.default_rng(1)
    written = [sampler.sample(rng) for _ in range(60)]
    assert all(SPACE.contains(genome) and not list(problems(genome)) for genome in written)
    assert len(set(written)) > 55
    shared = [liv for genome in written for liv in genome.livs if liv.feature_strategy > 1]
    assert shared, "sharing is never written"


def test_it_writes_what_weighs_most() -> None:
    space = SearchSpace(min_depth=6, max_depth=6)
    stripes = Genome(tuple(LIVGenes(CLASSES[7 if layer % 2 else 9]) for layer in range(6)))
    others = random_genomes(20, space)
    rng = np.random.default_rng(2)

    def alike(weight: float) -> float:
        sampler = Sampler(space, [stripes, *others], [weight, *[1.0] * 20])
        written = [sampler.sample(rng) for _ in range(40)]
        return float(
            np.mean(
                [a.operator == b.operator for g in written for a, b in zip(g.livs, stripes.livs, strict=True)]
            )
        )

    assert alike(1e-6) < 0.3
    assert alike(1e6) > 0.75


def test_without_genomes_it_writes_as_the_space_does() -> None:
    space = SearchSpace(min_depth=3, max_depth=3, classes=(1, 2, 9))
    sampler = Sampler(space, [], [])
    rng = np.random.default_rng(3)
    livs = [liv for _ in range(800) for liv in sampler.sample(rng).livs]
    mixings = Counter(liv.operator.token_mixing for liv in livs)
    assert mixings[1] / len(livs) == pytest.approx(0.5, abs=0.05)
    sharing = np.mean([liv.featurizer_strategy > 1 for liv in livs])
    assert 0.15 < sharing <= 0.3


def test_group_numbers_mean_nothing() -> None:
    """Genomes that differ in the numbers of their groups only are one and the same to it."""
    tied = LIVGenes(CLASSES[1], featurizer_strategy=2)
    one = Genome((tied, LIVGenes(CLASSES[9]), tied))
    other = Genome(
        tuple(replace(liv, featurizer_group=3) if liv.featurizer_strategy > 1 else liv for liv in one.livs)
    )
    sampler = Sampler(SPACE, [], [])
    assert list(sampler.decisions(one)) == list(sampler.decisions(other))
    joins = [d.value for d in sampler.decisions(one) if d.kind == "featurizer group"]
    assert joins == [NEW, 0]


def test_an_operator_that_only_mutation_makes_is_written_where_it_was_seen() -> None:
    mutated = replace(CLASSES[1], nonlinearity=4)
    genomes = [Genome((LIVGenes(mutated),) * 4)]
    rng = np.random.default_rng(4)
    written = [Sampler(SPACE, genomes, [1.0]).sample(rng) for _ in range(20)]
    assert any(liv.operator == mutated for genome in written for liv in genome.livs)
    without = SearchSpace(min_depth=4, max_depth=4, classes=(9,))
    written = [Sampler(without, genomes, [1.0]).sample(rng) for _ in range(20)]
    assert not any(liv.operator == mutated for genome in written for liv in genome.livs)
