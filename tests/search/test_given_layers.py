"""Searches that are offered layers by name."""

from pathlib import Path

import numpy as np
import pytest

import madstar
from madstar.errors import ConfigurationError
from madstar.genome import Genome, Sizes, class_name
from madstar.objectives import Subject
from madstar.objectives.zero_cost import SCREENS
from madstar.report.words import describe, letters
from madstar.search.forecast import traits
from madstar.search.strategies.features import CHANGING, FEATURES, features, offered_features
from madstar.studies.patterns import RUN, Pattern, generalisations, mixing_of, patterns

MIXED = Genome.parse("18.1.1.1.1-91111-11111-26.1.1.1.1-16.1.1.1.1-27.1.1.1.1")


def test_a_search_with_mamba_from_end_to_end(tiny: dict, tmp_path: Path) -> None:
    run = madstar.search(
        **tiny,
        classes=(1, 9, 18),
        objectives=["quality", "cache@64"],
        candidates=6,
        home=tmp_path,
        name="given",
    )
    summary = run.summary()
    assert summary.run.status == "finished"
    found = [Genome.parse(row.genome) for row in summary.candidates if row.role == "search"]
    used = {class_name(liv.operator) for genome in found for liv in genome.livs}
    assert "mamba" in used
    assert {row.status for row in summary.evaluations} == {"ok"}
    assert summary.front


@pytest.mark.parametrize("classes", [(1, 35), (1, 101)])
def test_classes_that_are_none(tiny: dict, classes: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="for layers by name from 18-34"):
        madstar.search(**tiny, classes=classes, candidates=2, home=tmp_path)


# What reads operators -------------------------------------------------------------------------


def test_traits_count_it_as_the_nearest_kind() -> None:
    # Attention, recurrence, convolution, differential: the last of the six layers is attention.
    assert traits(MIXED) == (2 / 6, 1 / 6, 2 / 6, 1 / 6)


def test_features_have_a_column_for_each_class_offered() -> None:
    assert offered_features((1, 9)) == ()
    assert offered_features((27, 1, 18, 9)) == ("layers of mamba", "layers of differential-attention")
    plain, offered = features(MIXED), features(MIXED, (1, 9, 18, 22, 26))
    assert len(plain) == len(FEATURES)
    assert np.array_equal(offered[: len(plain)], plain)
    assert offered[len(plain) :].tolist() == [1, 0, 1]
    told = dict(zip(FEATURES, plain.tolist(), strict=True))
    assert told["layers of another class"] == 3
    assert told["first is semi-separable"] == told["last is low-rank"] == 1
    assert [told[FEATURES[place]] for place in CHANGING] == [1, 2, 2, 1]
    # None of its genes speaks of windows, convolved features or sharing.
    assert told["banded layers"] == told["layers with tied weights"] == 0


def test_patterns_name_the_layer_and_its_nearest_kind() -> None:
    found = patterns(MIXED)
    assert Pattern(RUN, "class", ("mamba", "GMemless")) in found
    assert Pattern(RUN, "mixing", ("recurrence", "memoryless", "attention")) in found
    assert mixing_of("mamba") == "recurrence"
    assert mixing_of("differential-attention") == "attention"
    assert mixing_of("somebody-s-mixer*") == "layer by name"
    for pattern in found:
        assert generalisations(pattern) <= found


def test_words() -> None:
    assert letters(MIXED) == "R@ M A C@ dC A@"
    assert letters(Genome.parse("101.1.1.1.1/o101=@hyena")) == "L@*"
    assert describe(MIXED.livs[0].operator) == "selective state space, a decay per channel and state"
    assert describe(Genome.parse("101.1.1.1.1/o101=@hyena").livs[0].operator)


@pytest.mark.parametrize("name", SCREENS)
def test_zero_cost_scores(name: str) -> None:
    subject = Subject(MIXED, Sizes(width=16, heads=4), 32)
    first = SCREENS[name].measure(subject).value
    assert np.isfinite(first)
    assert SCREENS[name].measure(subject).value == first
