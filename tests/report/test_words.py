import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import OPERATORS, Genome, SearchSpace, sample, vary
from madstar.genome.classes import class_number
from madstar.genome.genes import CLASS_MEANINGS
from madstar.genome.variation import VariationRates, settle
from madstar.report.words import describe, letters

from .runs import OWN


def varied(seed: int, depth: int = 6) -> Genome:
    """A genome with operators that are in no table, and much sharing."""
    space = SearchSpace(min_depth=depth, max_depth=depth, sharing=0.9, groups=2)
    rng = np.random.default_rng([seed])
    genome = settle(sample(space, rng), "random", space, rng).genome
    for _ in range(3):
        genome = vary(genome, genome, space, VariationRates(below=0.7), rng).genome
    return genome


def test_letters() -> None:
    assert letters(Genome.parse("11111-71111-51111-91111-17.1.1.1.1")) == "A C R M dC"
    assert letters(Genome.parse(OWN)) == "R dA* M"


@pytest.mark.parametrize("number", OPERATORS)
def test_classes_of_the_table_have_their_meaning(number: int) -> None:
    assert describe(OPERATORS[number]) == CLASS_MEANINGS[number]


def test_others_are_described_by_what_differs() -> None:
    own = Genome.parse(OWN).livs[1].operator
    assert describe(own) == (
        "DiffSA-1, but a window of the last tokens, not the whole past; ReLU, not softmax; "
        "one head, not a mixing for each head"
    )


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_every_difference_is_said(seed: int) -> None:
    told: dict[str, object] = {}
    for liv in varied(seed).livs:
        words = describe(liv.operator)
        if class_number(liv.operator) is None:
            assert words.partition(", but ")[2]
        # Two operators that are told in the same words are the same.
        assert told.setdefault(words, liv.operator) == liv.operator
