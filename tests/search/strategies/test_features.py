from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import Genome, class_number, sample
from madstar.genome.genes import TOKEN_MIXING
from madstar.genome.variation import settle
from madstar.search.strategies.features import CHANGING, FEATURES, features

from .landscape import VARIED


def named(genome: Genome) -> dict[str, float]:
    return dict(zip(FEATURES, features(genome).tolist(), strict=True))


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_features_say_what_their_names_say(seed: int) -> None:
    """Counted again, slowly."""
    rng = np.random.default_rng(seed)
    genome = settle(sample(VARIED, rng), "random", VARIED, rng).genome
    told, livs = named(genome), genome.livs
    kinds = [TOKEN_MIXING[liv.operator.token_mixing] for liv in livs]
    assert told["depth"] == len(livs)
    assert told["layers of SA-1"] == sum(class_number(liv.operator) == 1 for liv in livs)
    assert told["layers of another class"] == sum(class_number(liv.operator) is None for liv in livs)
    assert told["differential layers"] == sum(liv.operator.differential for liv in livs)
    for kind in TOKEN_MIXING.values():
        assert told[f"layers of {kind}"] == kinds.count(kind)
        assert told[f"first is {kind}"] == (kinds[0] == kind)
        assert told[f"second is {kind}"] == (kinds[1] == kind)
        assert told[f"last is {kind}"] == (kinds[-1] == kind)
        early = [k for i, k in enumerate(kinds) if 3 * i < len(kinds)]
        late = [k for i, k in enumerate(kinds) if 3 * i >= 2 * len(kinds)]
        assert np.isclose(told[f"early share of {kind}"], early.count(kind) / len(early))
        assert np.isclose(told[f"late share of {kind}"], late.count(kind) / len(late))
        for other in TOKEN_MIXING.values():
            pairs = sum((a, b) == (kind, other) for a, b in pairwise(kinds))
            assert told[f"{kind} then {other}"] == pairs


def test_what_may_change_with_training_are_the_counts_of_token_mixings() -> None:
    assert [FEATURES[i] for i in CHANGING] == [f"layers of {kind}" for kind in TOKEN_MIXING.values()]


def test_sharing_is_counted_only_where_it_has_an_effect() -> None:
    """Genes of a layer: class, featurizer group and strategy, feature group and strategy."""
    sharing = ("tied weights", "shared features", "shared keys and values")

    def counts(text: str) -> tuple[float, ...]:
        told = named(Genome.parse(text))
        return tuple(told[f"layers with {kind}"] for kind in sharing)

    assert counts("11111-11111-11111") == (0, 0, 0)
    assert counts("12211-13211-91111") == (0, 0, 0)
    assert counts("12211-12211-13211") == (2, 0, 0)
    assert counts("11112-71123-91111") == (0, 0, 0)
    assert counts("11132-11132-11132") == (0, 2, 2)
    assert counts("11133-11133-11124") == (0, 1, 0)


def test_a_single_layer_has_features_too() -> None:
    told = named(Genome.parse("11111"))
    assert told["first is low-rank"] == told["last is low-rank"] == 1
    assert sum(told[f"second is {kind}"] for kind in TOKEN_MIXING.values()) == 0
