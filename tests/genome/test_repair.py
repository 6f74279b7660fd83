"""Repair: always a valid genome, nothing changed but what it names, nothing at all in a valid one."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import GenomeError
from madstar.genome import OPERATORS, FeatureGenes, Genome, LIVGenes, SearchSpace, compile_genome, repair
from madstar.genome.genes import GENES
from madstar.genome.validity import problems, require_compatible
from madstar.genome.variation import settle

from .genomes import SPACES, changed_genes, legal_genomes, wild_genomes

NAMES = {f"{gene.level} {gene.name}" for gene in GENES}
SPACE = SPACES[0]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=250)
@given(wild_genomes(groups=32), st.sampled_from(SPACES), st.integers(0, 2**32))
def test_any_genes_in_range_can_be_repaired(genome: Genome, space: SearchSpace, seed: int) -> None:
    repaired, names = repair(genome, space, generator(seed))
    assert list(problems(repaired, space.sizes)) == []
    require_compatible(repaired)
    assert Genome.parse(str(repaired)) == repaired
    assert compile_genome(repaired, space.sizes).layers
    # It says what it did, and did no more.
    assert set(names) <= NAMES
    assert changed_genes(genome, repaired) <= set(names)
    assert repaired.depth == genome.depth
    # The kind of an operator stays: to change it would be to change the class.
    assert [liv.operator.token_mixing for liv in repaired.livs] == [
        liv.operator.token_mixing for liv in genome.livs
    ]
    # What is named at first was wrong at first.
    assert bool(names) == any(problems(genome, space.sizes))


@settings(max_examples=100)
@given(legal_genomes(SPACE.sizes), st.integers(0, 2**32))
def test_a_valid_genome_stays_as_it_is(genome: Genome, seed: int) -> None:
    rng = generator(seed)
    assert repair(genome, SPACE, rng) == (genome, ())
    # Nor is anything drawn for it.
    assert rng.random() == generator(seed).random()


@settings(max_examples=30)
@given(wild_genomes(), st.sampled_from(SPACES), st.integers(0, 2**32))
def test_equal_seeds_repair_alike(genome: Genome, space: SearchSpace, seed: int) -> None:
    assert repair(genome, space, generator(seed)) == repair(genome, space, generator(seed))


@settings(max_examples=100)
@given(wild_genomes(), st.sampled_from(SPACES))
def test_what_does_not_fit_any_sizes_is_what_parsing_refuses(genome: Genome, space: SearchSpace) -> None:
    found = list(problems(genome))
    if found:
        with pytest.raises(GenomeError) as caught:
            require_compatible(genome)
        assert str(caught.value) == str(found[0])
        assert "\n" not in str(caught.value)
    else:
        require_compatible(genome)
    # Sizes only ever forbid more.
    here = {(p.layer, p.level, p.role, p.gene) for p in problems(genome, space.sizes)}
    assert {(p.layer, p.level, p.role, p.gene) for p in found} <= here


def one(**changed: object) -> Genome:
    """A genome of one attention whose genes are changed."""
    return Genome((LIVGenes(replace(OPERATORS[1], **changed)),))


@pytest.mark.parametrize(
    ("genome", "names"),
    [
        (one(channel_mixing=1), ("operator channel mixing",)),
        (Genome((LIVGenes(replace(OPERATORS[5], nonlinearity=2)),)), ("operator nonlinearity",)),
        (Genome((LIVGenes(replace(OPERATORS[7], sparsity=2)),)), ("operator sparsity",)),
        (one(features=(FeatureGenes(sparsity=2), *[FeatureGenes()] * 2)), ("featurizer sparsity",)),
        (one(features=(FeatureGenes(expansion=7), *[FeatureGenes()] * 2)), ("featurizer expansion",)),
        (one(features=(FeatureGenes(repeat=2), *[FeatureGenes()] * 2)), ("featurizer repeat",)),
        (Genome((LIVGenes(OPERATORS[9], feature_strategy=4),)), ("backbone feature strategy",)),
    ],
)
def test_one_wrong_gene_is_the_one_repaired(genome: Genome, names: tuple[str, ...]) -> None:
    for seed in range(10):
        repaired, found = repair(genome, SPACE, generator(seed))
        assert found == names
        assert changed_genes(genome, repaired) == set(names)


def test_a_layer_joins_another_group_or_shares_no_longer() -> None:
    genome = Genome((LIVGenes(OPERATORS[1], 1, 2), LIVGenes(OPERATORS[2], 1, 2)))
    joined = Counter()
    for seed in range(60):
        repaired, names = repair(genome, SPACE, generator(seed))
        assert names == ("backbone featurizer group",)
        assert repaired.livs[0] == genome.livs[0]
        joined[repaired.livs[1].featurizer_group] += 1
    assert set(joined) == {2, 3, 4}
    # With a single group there is no other: the strategy goes back to nothing, and that is what is named.
    repaired, names = repair(genome, SPACES[3], generator())
    assert names == ("backbone featurizer strategy",)
    assert repaired.livs[1] == replace(genome.livs[1], featurizer_strategy=1)


def test_values_are_drawn_from_all_that_are_legal() -> None:
    genome = Genome((LIVGenes(replace(OPERATORS[5], nonlinearity=2)),))
    drawn = Counter(
        repair(genome, SPACE, generator(seed))[0].livs[0].operator.nonlinearity for seed in range(90)
    )
    assert set(drawn) == {1, 3, 4}
    assert min(drawn.values()) >= 15


def test_sizes_decide_how_many_heads_may_share() -> None:
    genome = Genome((LIVGenes(OPERATORS[3]),))
    assert not any(problems(genome, SPACES[0].sizes))
    repaired, names = repair(genome, SPACES[2], generator())
    assert set(names) == {"featurizer repeat"}
    assert {group.repeat for group in repaired.livs[0].operator.features} <= {1, 2}


@settings(max_examples=100)
@given(wild_genomes(), st.sampled_from(SPACES), st.integers(0, 2**32))
def test_every_offspring_says_what_became_of_it(genome: Genome, space: SearchSpace, seed: int) -> None:
    wrong = tuple(problem.name for problem in problems(genome, space.sizes))
    settled = settle(genome, "mutation", space, generator(seed))
    rejecting = replace(space, invalid="reject")
    dropped = settle(genome, "mutation", rejecting, generator(seed))
    assert settled.operator == dropped.operator == "mutation"
    # Rejection changes nothing and names everything that is wrong.
    assert dropped.genome == genome
    if wrong:
        assert (dropped.validity, dropped.repaired_genes) == ("rejected", wrong)
        assert settled.validity == "repaired"
        assert (settled.genome, settled.repaired_genes) == repair(genome, space, generator(seed))
        assert settled.repaired_genes
    else:
        assert (dropped.validity, dropped.repaired_genes) == ("valid", ())
        assert settled == dropped
