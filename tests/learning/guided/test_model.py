from __future__ import annotations

import numpy as np
import pytest

from madstar.genome import CLASSES, Genome, LIVGenes
from madstar.learning.guided.description import GROUPS, describe
from madstar.learning.guided.model import MOST_FOR_SCALES, Model, Result, learn_scales, levels
from madstar.learning.predictor.process import first_scales

from .test_sampler import SPACE, random_genomes


def worth(genome: Genome) -> float:
    kinds = [liv.operator.token_mixing for liv in genome.livs]
    return 2.0 - 0.2 * kinds.count(3) - 0.1 * (kinds[0] == 2)


def test_levels_are_not_fooled_by_who_climbs() -> None:
    """Only the best reach the second figure: its mean is theirs, its level is not."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=60)
    best = np.argsort(own)[:20]
    rows = np.concatenate([np.arange(60), best])
    of = np.concatenate([np.zeros(60, dtype=int), np.ones(20, dtype=int)])
    costs = np.concatenate([own + 3.0, own[best] + 2.0]) + 0.01 * rng.normal(size=80)
    found = levels(rows, of, costs, 3)
    assert found[0] - found[1] == pytest.approx(1.0, abs=0.15)
    assert (costs[:60].mean() - costs[60:].mean()) > 1.7
    assert found[2] == found[1]


def test_levels_of_other_genomes_altogether_are_their_means() -> None:
    rows, of = np.arange(8), np.repeat([0, 1], 4)
    costs = np.array([1.0, 2.0, 3.0, 2.0, 7.0, 8.0, 9.0, 8.0])
    assert levels(rows, of, costs, 2) == pytest.approx([2.0, 8.0])


def test_it_ranks_genomes_it_has_not_seen_and_knows_what_it_does_not_know() -> None:
    genomes = random_genomes(80)
    seen, unseen = genomes[:50], genomes[50:]
    results = [Result(genome, 0, worth(genome)) for genome in seen]
    model = Model(results, 2, learn_scales(results, 2))
    mean, deviation = model.predict(unseen, 1)
    assert np.corrcoef(mean, [worth(genome) for genome in unseen])[0, 1] > 0.9
    assert abs(mean.mean() - np.mean([worth(genome) for genome in seen])) < 0.3
    known = model.predict(seen, 0)[1]
    assert known.mean() < deviation.mean()


def test_a_model_without_learned_scales_has_those_to_begin_with() -> None:
    results = [Result(genome, 0, worth(genome)) for genome in random_genomes(12)]
    plain = Model(results, 1).predict(random_genomes(5, seed=1), 0)
    given = Model(results, 1, first_scales(len(GROUPS), 1)).predict(random_genomes(5, seed=1), 0)
    assert all(np.array_equal(a, b) for a, b in zip(plain, given, strict=True))


def test_one_that_diverged_does_not_drown_the_others() -> None:
    genomes = random_genomes(40)
    results = [Result(genome, 0, worth(genome)) for genome in genomes]
    spoiled = [*results[:-1], Result(genomes[-1], 0, 500.0)]
    unseen = random_genomes(30, seed=5)
    mean, _ = Model(spoiled, 1, learn_scales(spoiled, 1)).predict(unseen, 0)
    assert np.corrcoef(mean, [worth(genome) for genome in unseen])[0, 1] > 0.6


def test_scales_are_a_function_of_the_results_however_many() -> None:
    genomes = random_genomes(MOST_FOR_SCALES + 30)
    results = [Result(genome, 0, worth(genome)) for genome in genomes]
    one, other = (learn_scales(results[-40:], 1) for _ in range(2))
    assert all(bool((a == b).all()) for a, b in zip(one.parts(), other.parts(), strict=True))


def test_equal_costs_and_a_single_genome_are_no_trouble() -> None:
    genomes = random_genomes(3)
    for results in ([Result(g, 0, 1.0) for g in genomes], [Result(genomes[0], 0, 4.0)]):
        mean, deviation = Model(results, 1).predict(genomes, 0)
        assert np.allclose(mean, results[0].cost)
        assert np.isfinite(deviation).all()


def test_a_description_counts_genes_places_and_who_follows_whom() -> None:
    attention, gate = LIVGenes(CLASSES[1]), LIVGenes(CLASSES[9])
    found = describe(Genome((attention, gate, gate)))
    assert set(found) == set(GROUPS)
    assert found["genes"]["mixing 1"] == pytest.approx(np.log1p(2))
    assert found["places"]["mixing 2 early"] == pytest.approx(np.log1p(1))
    assert "mixing 2 late" not in found["places"]
    assert {"2 then 1", "1 then 1", "first 2", "second 1", "last 1"} == set(found["sequence"])
    turned = describe(Genome((gate, gate, attention)))
    assert turned["genes"] == found["genes"]
    assert turned["places"] != found["places"]


def test_descriptions_differ_where_architectures_do() -> None:
    genomes = random_genomes(200)
    told = {repr(describe(genome)) for genome in genomes}
    assert len(told) > 195
    assert SPACE.max_depth > SPACE.min_depth
