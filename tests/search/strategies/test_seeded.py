from __future__ import annotations

import pytest

from madstar.errors import ConfigurationError
from madstar.genome import Genome, SearchSpace, Sizes, compile_genome
from madstar.genome.known import known_motifs, motifs_of
from madstar.genome.validity import problems
from madstar.search.strategies import Measured, Proposed, Seeded

from .landscape import SPACE, make

SEEDS = tuple(known_motifs(6).items())


def test_seeds_come_first_once_each_even_if_dropped() -> None:
    strategy = make("nsga2", seeds=SEEDS)
    for index in range(4):
        proposal = strategy.propose(10 + index)
        assert proposal is not None
        assert proposal.offspring.operator == f"seed:{SEEDS[index][0]}"
        assert proposal.offspring.genome == SEEDS[index][1]
        dropped = index == 1
        strategy.observe(Proposed(10 + index, None if dropped else SEEDS[index][1], 0))
    after = strategy.propose(14)
    assert after == make("nsga2").propose(14)


def test_without_seeds_nothing_is_wrapped() -> None:
    assert not isinstance(make("random"), Seeded)


def test_seeds_may_be_parents() -> None:
    strategy = make("regularised", seeds=SEEDS, population=4)
    for index, (_, genome) in enumerate(SEEDS):
        strategy.observe(Proposed(index, genome, 0))
        strategy.observe(Measured(index, 0, (1.0, 1.0)))
    proposal = strategy.propose(4)
    assert proposal is not None
    assert set(proposal.parents) < {0, 1, 2, 3}


def test_seeds_belong_to_the_first_generation() -> None:
    strategy = make("nsga2", seeds=SEEDS, population=6, elitism=2, generational=True)
    assert isinstance(strategy, Seeded)
    for index in range(6):
        proposal = strategy.propose(index)
        assert proposal is not None
        assert proposal.generation == 0
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
        strategy.observe(Measured(index, 0, (float(index), 1.0)))
    assert strategy.propose(6) is None
    strategy.close_generation()
    assert strategy.generation == 1
    proposal = strategy.propose(6)
    assert proposal is not None
    assert proposal.generation == 1
    assert proposal.parents


@pytest.mark.parametrize("depth", [*range(2, 14), 24, 40])
def test_motifs_are_valid_at_every_depth(depth: int) -> None:
    motifs = known_motifs(depth)
    assert len({genome.architecture for genome in motifs.values()}) == len(motifs) == 4
    for genome in motifs.values():
        assert genome.depth == depth
        assert not list(problems(genome, Sizes()))
        assert Genome.parse(str(genome)) == genome
        compile_genome(genome, Sizes())


def test_motifs_say_what_their_names_say() -> None:
    motifs = known_motifs(8)
    kinds = {n: "".join("MACR"[liv.operator.token_mixing - 1] for liv in g.livs) for n, g in motifs.items()}
    assert kinds["convolution hybrid"] == "CMCMAMCM"
    assert kinds["convolutions, attention last"] == "CCCMCCCA"
    assert kinds["recurrence hybrid"] == "CMRMCMRM"
    assert kinds["tied convolutions, shared keys"] == "CCCMCCAA"
    layers = compile_genome(motifs["tied convolutions, shared keys"], Sizes()).layers
    assert layers[7].features_from == 6
    assert layers[0].featurizer_pool == layers[1].featurizer_pool != layers[4].featurizer_pool


def test_motifs_of_a_space_are_of_its_classes_and_sizes() -> None:
    assert [name for name, _ in motifs_of(SPACE)] == list(known_motifs(6))
    convolutions = SearchSpace(min_depth=6, max_depth=6, classes=(1, 7, 9))
    assert [name for name, _ in motifs_of(convolutions)] == ["convolution hybrid"]
    with pytest.raises(ConfigurationError, match="no known motif"):
        motifs_of(SearchSpace(classes=(1, 9)))
    with pytest.raises(ConfigurationError, match="need 2 layers, not 1"):
        motifs_of(SearchSpace(min_depth=1, max_depth=1))
