"""The search space: what it refuses, and that all it proposes can be built and run."""

from collections import Counter

import numpy as np
import pytest
import torch

from madstar.errors import ConfigurationError, GenomeError
from madstar.genome import OPERATORS, Genome, SearchSpace, Sizes, repair, sample

from .genomes import WITHOUT_SA3, propose

IMPOSSIBLE = [
    ({"min_depth": 0}, "depth 0:8 is impossible: give 1 <= least <= most layers"),
    ({"min_depth": 5, "max_depth": 4}, "depth 5:4 is impossible"),
    ({"classes": ()}, "classes []: choose from 1-17"),
    ({"classes": (1, 35)}, "classes [1, 35]: choose from 1-17, and for layers by name from 18-34"),
    ({"classes": (0,)}, "classes [0]: choose from 1-17"),
    ({"levels": ()}, "levels []: choose from backbone, operator, featurizer"),
    ({"levels": ("backbone", "layer")}, "levels ['backbone', 'layer']: choose from"),
    ({"groups": 0}, "0 sharing groups: choose 1-32"),
    ({"groups": 33}, "33 sharing groups: choose 1-32"),
    ({"sharing": 1.5}, "sharing is 1.5: give a probability from 0 to 1"),
    ({"sharing": -0.1}, "sharing is -0.1: give a probability from 0 to 1"),
    ({"invalid": "ignore"}, "invalid='ignore': choose repair or reject"),
    ({"sizes": Sizes(width=50, heads=4)}, "width 50 is not divisible by 4 heads"),
    ({"sizes": Sizes(width=12, heads=4)}, "heads of 3 channels"),
    ({"sizes": Sizes(heads=0)}, "heads is 0: give at least 1"),
    ({"sizes": Sizes(width=0)}, "width is 0: give at least 1"),
    ({"sizes": Sizes(width=-64)}, "width is -64: give at least 1"),
    ({"sizes": Sizes(window=0)}, "window is 0: give at least 1"),
    ({"sizes": Sizes(vocabulary_size=0)}, "vocabulary_size is 0: give at least 1"),
    (
        {"sizes": Sizes(width=32, heads=2)},
        "class 3 (SA-3) needs repeat 4, which 2 heads at width 32 do not allow: change heads, or leave",
    ),
    (
        {"sizes": Sizes(width=32, heads=1), "classes": (1, 4)},
        "class 4 (SA-4) needs repeat 2, which 1 heads at width 32 do not allow",
    ),
]


@pytest.mark.parametrize(("given", "said"), IMPOSSIBLE, ids=[said for _, said in IMPOSSIBLE])
def test_impossible_spaces(given: dict, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SearchSpace(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_contains_what_fits_it() -> None:
    space = SearchSpace(sizes=Sizes(width=32, heads=2), min_depth=1, max_depth=2, classes=WITHOUT_SA3)
    assert space.contains(Genome.parse("11111"))
    assert space.contains(Genome.parse("11111-91111"))
    assert not space.contains(Genome.parse("11111-91111-11111"))
    # Four query heads to a key head where there are two.
    assert not space.contains(Genome.parse("31111"))


def test_what_the_space_refuses_cannot_be_built() -> None:
    with pytest.raises(GenomeError, match="repeat factor"):
        Genome.parse("31111").build(Sizes(width=32, heads=2))


@pytest.mark.parametrize("width", [32, 48, 64])
@pytest.mark.parametrize("heads", [2, 4, 8])
@torch.inference_mode()
def test_whatever_variation_proposes_builds_and_runs(width: int, heads: int) -> None:
    space = SearchSpace(
        sizes=Sizes(vocabulary_size=16, width=width, heads=heads, window=4),
        min_depth=1,
        max_depth=5,
        classes=WITHOUT_SA3 if heads == 2 else tuple(OPERATORS),
        sharing=0.6,
        groups=2,
    )
    tokens = torch.randint(0, 16, (1, 8), generator=torch.Generator().manual_seed(0))
    proposed = [genome for seed in range(2) for genome in propose(space, seed, generations=3)]
    assert len(proposed) == 12
    for genome in proposed:
        logits = genome.build(space.sizes)(tokens)
        assert logits.shape == (1, 8, 16), str(genome)
        assert torch.isfinite(logits).all(), str(genome)


def test_proposals_express_all_there_is() -> None:
    """The examples above are worth something: they reach own operators and both kinds of sharing."""
    space = SearchSpace(min_depth=1, max_depth=5, sharing=0.6, groups=2)
    seen = Counter()
    for seed in range(12):
        for genome in propose(space, seed):
            seen["own"] += "/" in str(genome)
            livs = genome.livs
            seen["weights"] += any(a.featurizer_strategy == 2 for a in livs)
            seen["features"] += any(a.feature_strategy > 1 for a in livs)
            seen["differential"] += any(a.operator.differential for a in livs)
            seen.update(f"mixing {a.operator.token_mixing}" for a in livs)
    assert all(seen[name] > 10 for name in ("own", "weights", "features", "differential")), seen
    assert all(seen[f"mixing {number}"] > 10 for number in (1, 2, 3, 4)), seen


def test_repaired_samples_are_in_the_space() -> None:
    space = SearchSpace(min_depth=3, max_depth=9, sharing=1.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert space.contains(repair(sample(space, rng), space, rng)[0])
