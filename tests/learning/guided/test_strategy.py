from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from madstar.errors import DataError
from madstar.genome import Genome, SearchSpace
from madstar.genome.variation import VariationRates
from madstar.learning.guided import Guidance, Guided
from madstar.learning.guided.choosing import Judge
from madstar.learning.guided.knowledge import SCHEMA
from madstar.learning.guided.model import Model, Result
from madstar.search.strategies import Event, Measured, Proposed, RandomSearch, Strategy, Surroundings

from .test_sampler import random_genomes

SPACE = SearchSpace(min_depth=5, max_depth=5)
LITTLE = Guidance(initial=6, random=8, generated=12, offspring=12, elite=4, evolved=8, rounds=1, draws=5)


def planted(genome: Genome) -> float:
    """Layers that are no gated convolution, and two that should not follow one another."""
    kinds = [liv.operator.token_mixing for liv in genome.livs]
    pairs = sum(a == b == 2 for a, b in pairwise(kinds))
    return float(len(kinds) - kinds.count(3) + pairs)


def guided(seed: int = 0, guidance: Guidance = LITTLE, **more: Any) -> Guided:
    around: dict[str, Any] = {
        "space": SPACE,
        "seed": seed,
        "rates": VariationRates(),
        "population": 8,
        "top_rung": 0,
        "screen": lambda genome: (None,),
        "objectives": ("quality",),
        "unguided": 0.2,
        "knowledge": None,
        **more,
    }
    return Guided(Surroundings(**around), guidance)


def tried(strategy: Strategy, count: int, events: list[Event] | None = None) -> list[Genome]:
    """The genomes of so many proposals, each measured before the next."""
    genomes = []
    for index in range(count):
        proposal = strategy.propose(index)
        assert proposal is not None
        genome = proposal.offspring.genome
        genomes.append(genome)
        for event in (Proposed(index, genome, 0), Measured(index, 0, (planted(genome),))):
            strategy.observe(event)
            if events is not None:
                events.append(event)
    return genomes


def known_results(count: int, figure: int | str = 0) -> dict[str, Any]:
    rows = [["quality", figure, str(genome), planted(genome)] for genome in random_genomes(count, SPACE, 77)]
    return {"schema": SCHEMA, "says": "", "results": rows}


def evaluations_to(goal: float, genomes: list[Genome]) -> int:
    return next((n for n, genome in enumerate(genomes, 1) if planted(genome) <= goal), len(genomes) + 1)


def test_it_finds_what_was_planted_in_fewer_evaluations_than_chance() -> None:
    chosen, drawn = [], []
    for seed in range(3):
        chosen.append(evaluations_to(0.0, tried(guided(seed), 28)))
        drawn.append(evaluations_to(0.0, tried(RandomSearch(SPACE, seed), 200)))
    assert np.mean(chosen) < 25
    assert np.mean(chosen) < np.mean(drawn) / 2


@pytest.mark.parametrize("figure", [0, "quality/other after 7 steps"])
def test_knowledge_makes_it_faster_even_of_another_figure(figure: int | str) -> None:
    """The best of the first proposals; the known genomes themselves are far from the best."""
    known = known_results(30, figure)
    cold = [min(map(planted, tried(guided(seed), 10))) for seed in range(2)]
    warm = [min(map(planted, tried(guided(seed, knowledge=known), 10))) for seed in range(2)]
    assert np.mean(warm) < np.mean(cold)
    assert max(warm) <= 1.0


def test_a_share_is_made_without_the_model_and_every_proposal_says_which() -> None:
    for share in (0.0, 0.5, 1.0):
        strategy = guided(unguided=share)
        tried(strategy, 8)
        operators = [strategy.propose(index).offspring.operator for index in range(100, 160)]  # type: ignore[union-attr]
        kinds = Counter(operator.partition(":")[0] for operator in operators)
        assert set(kinds) <= {"guided", "unguided"}
        assert kinds["unguided"] / 60 == pytest.approx(share, abs=0.2)
        if share == 1.0:
            made = Counter(operator.partition(":")[2] == "random" for operator in operators)
            assert min(made.values()) > 15


def test_unguided_proposals_do_not_depend_on_the_model() -> None:
    one, other = guided(unguided=1.0), guided(unguided=1.0, guidance=Guidance(initial=6, generated=0))
    assert tried(one, 20) == tried(other, 20)


def test_it_proposes_nothing_twice() -> None:
    genomes = tried(guided(unguided=0.0), 24)
    assert len({genome.architecture for genome in genomes[6:]}) == len(genomes[6:])


def test_a_mean_that_changes_later_changes_what_a_resumed_run_proposes_alike() -> None:
    """Finalists' figures become means: the live strategy and a replayed one must see the same."""
    events: list[Event] = []
    live = guided()
    tried(live, 14, events)
    for index in (2, 9, 11):
        again = Measured(index, 0, (3.3,))
        live.observe(again)
        events = [again if isinstance(e, Measured) and e.index == index else e for e in events]
        events.append(again)
    fresh = guided()
    fresh.replay(events)
    assert [live.propose(i) for i in range(14, 18)] == [fresh.propose(i) for i in range(14, 18)]


def test_what_fails_is_not_sought_again() -> None:
    """Genomes that begin with attention are cheap where they train, and most of them fail."""
    strategy = guided(unguided=0.0)
    begins = []
    for index in range(26):
        proposal = strategy.propose(index)
        assert proposal is not None
        genome = proposal.offspring.genome
        begins.append(genome.livs[0].operator.token_mixing == 2)
        strategy.observe(Proposed(index, genome, 0))
        failed = begins[-1]
        strategy.observe(Measured(index, 0, None if failed else (planted(genome),)))
    assert sum(begins[10:]) <= 3


def test_damaged_knowledge_is_one_line() -> None:
    for damaged, says in (
        ({"schema": "x"}, "has the schema 'x'"),
        ({"schema": SCHEMA}, "damaged"),
        ({"schema": SCHEMA, "results": [["quality", 0, "no genome", 1.0]]}, "damaged"),
    ):
        with pytest.raises(DataError, match=says):
            guided(knowledge=damaged)


def test_the_uncertain_is_preferred_among_equals() -> None:
    """Two genomes of one expected cost: the one the model knows less of adds more, as far as it may."""

    class Fixed:
        def predict(self, genomes: list[Genome]) -> tuple[np.ndarray, np.ndarray]:
            sure = np.array([genome == first for genome in genomes])
            return np.full(len(genomes), 2.0), np.where(sure, 0.01, 1.0)

    first, second, third, fourth = random_genomes(4, SPACE)
    judge = Judge(
        [Fixed()],  # type: ignore[list-item]
        known=[(third, (1.9,)), (fourth, (2.1,))],
        objectives=1,
        draws=16,
        rng=np.random.default_rng(0),
    )
    assert judge.add([first, second], [(None,), (None,)]) == [1, 0]


def test_static_costs_are_taken_as_they_are() -> None:
    genomes = random_genomes(12, SPACE)
    model = Model([Result(genome, 0, 1.0) for genome in genomes], 1)

    class Wrapped:
        def predict(self, asked: list[Genome]) -> tuple[np.ndarray, np.ndarray]:
            return model.predict(asked, 0)

    judge = Judge(
        [Wrapped(), None],  # type: ignore[list-item]
        known=[(genome, (None, 5.0)) for genome in genomes[:6]],
        objectives=2,
        draws=4,
        rng=np.random.default_rng(0),
    )
    ranked = judge.add(genomes[6:9], [(None, 6.0), (None, 1.0), (None, 3.0)])
    assert ranked == [1, 2, 0]
