"""Layers by name among the classes of a genome."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import ConfigurationError, GenomeError
from madstar.genome import (
    CLASSES,
    OPERATORS,
    Genome,
    LIVGenes,
    OperatorGenes,
    SearchSpace,
    Sizes,
    class_name,
    class_number,
    class_numbers,
    compile_genome,
    named_layer,
    repair,
    sample,
    vary,
)
from madstar.genome.classes import kin
from madstar.genome.genes import GIVEN, GIVEN_LAYERS
from madstar.genome.validity import problems, require_compatible
from madstar.genome.variation import VariationRates, mutate
from madstar.liv.layers.catalogue import CATALOGUE
from madstar.search.strategies.neighbourhood import neighbour

OFFERED = (1, 5, 9, 18, 22, 29)
SPACE = SearchSpace(sizes=Sizes(width=32), min_depth=2, max_depth=6, classes=OFFERED)
RATES = VariationRates(mutation=0.4, below=0.5, depth=0.5)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# The table ------------------------------------------------------------------------------------


def test_numbers_are_permanent() -> None:
    """Stored genomes say them: a number may be added, none may change."""
    assert {number: name for number, (name, _) in GIVEN_LAYERS.items()} == {
        18: "mamba",
        19: "mamba2",
        20: "mh-gated-linear-attention",
        21: "retention",
        22: "gated-deltanet",
        23: "rwkv7-time-mixer",
        24: "rwkv6-time-mixer",
        25: "rwkv5-time-mixer",
        26: "mh-hyena",
        27: "differential-attention",
        28: "latent-attention",
        29: "moe-mlp",
        30: "multi-query-attention",
        31: "mh-sliding-attention",
        32: "mh-linear-attention",
        33: "hyena-experts",
        34: "rwkv6-channel-mixer",
    }


@pytest.mark.parametrize("number", GIVEN_LAYERS)
def test_a_layer_by_name_is_a_class(number: int) -> None:
    name, mixing = GIVEN_LAYERS[number]
    operator = CLASSES[number]
    assert operator == named_layer(name) == OperatorGenes((), GIVEN, 1, 1, 1, layer=name)
    assert (class_number(operator), class_name(operator), kin(operator)) == (number, name, mixing)
    genome = Genome.parse(f"{number}.1.1.1.1-91111")
    assert str(genome) == f"{number}.1.1.1.1-91111"
    assert Genome.parse(f"101.1.1.1.1-91111/o101=@{name}") == genome
    spec = compile_genome(genome, Sizes()).layers[0].operator
    assert (spec.layer, dict(spec.settings)) == (name, dict(CATALOGUE[name].settings))
    assert spec.groups == ()


def test_no_two_of_the_classes_express_the_same() -> None:
    hashes = [Genome((LIVGenes(operator),)).architecture for operator in CLASSES.values()]
    assert len(set(hashes)) == len(CLASSES)


def test_layers_without_a_number_are_own_classes() -> None:
    text = "101.1.1.1.1-102.1.1.1.1-101.1.1.1.1-103.1.1.1.1/o101=@hyena/o102=12213/o103=@swiglu"
    genome = Genome.parse(text)
    assert str(genome) == text
    assert [class_name(liv.operator) for liv in genome.livs] == ["hyena*", "SA*", "hyena*", "swiglu*"]


def test_unknown_layers() -> None:
    with pytest.raises(GenomeError, match=r"unknown layer 'gated-deltanets' \(did you mean gated-deltanet"):
        named_layer("gated-deltanets")


@pytest.mark.parametrize(
    "changed",
    [{"layer": ""}, {"token_mixing": 4}, {"layer": "a name"}, {"layer": "file.py:Mixer"}, {"layer": "é"}],
    ids=str,
)
def test_genes_that_say_half_of_a_layer_by_name(changed: dict) -> None:
    with pytest.raises(GenomeError):
        replace(CLASSES[18], **changed)


def test_names_for_numbers() -> None:
    assert class_numbers("1,9,mamba, gated-deltanet") == (1, 9, 18, 22)
    assert class_numbers("SA-1,mamba") == (1, 18)
    for wrong, said in (
        ("1,mambo", r"there is no class 'mambo' \(did you mean mamba"),
        ("1,,2", "there is no class ''"),
        ("hyena", r"there is no class 'hyena' \(did you mean mh-hyena"),
        ("-1", "there is no class '-1'"),
    ):
        with pytest.raises(GenomeError, match=said):
            class_numbers(wrong)


# What goes together ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("18.1.2.1.1", "LIV 1: gene 'featurizer strategy' is 2"),
        ("11111-18.1.1.1.2", "LIV 2: gene 'feature strategy' is 2"),
    ],
)
def test_it_shares_nothing(text: str, said: str) -> None:
    with pytest.raises(GenomeError, match=said):
        Genome.parse(text)


def test_its_other_genes_say_nothing() -> None:
    for changed in ({"sparsity": 2}, {"nonlinearity": 3}, {"channel_mixing": 2}, {"differential": True}):
        genome = Genome((LIVGenes(replace(CLASSES[18], **changed)),))
        with pytest.raises(GenomeError, match="LIV 1: gene"):
            require_compatible(genome)
        repaired, _ = repair(genome, SPACE, generator(0))
        assert repaired == Genome.parse("18.1.1.1.1")


# Searching ------------------------------------------------------------------------------------


def test_no_layer_by_name_is_proposed_unless_it_is_offered() -> None:
    assert SearchSpace().classes == tuple(OPERATORS) == tuple(range(1, 18))
    rng, space = generator(0), SearchSpace(sizes=Sizes(width=32), min_depth=2, max_depth=6)
    found = [repair(sample(space, rng), space, rng)[0] for _ in range(20)]
    for _ in range(100):
        first, second = (found[int(rng.integers(len(found)))] for _ in range(2))
        found.append(vary(first, second, space, RATES, rng).genome)
    assert not any(liv.operator.layer for genome in found for liv in genome.livs)


def test_the_default_space_s_samples_are_what_they_were() -> None:
    """Runs of earlier versions must resume: these strings were drawn before there were layers by name."""
    rng, space = generator(0), SearchSpace(min_depth=3, max_depth=4)
    assert [str(repair(sample(space, rng), space, rng)[0]) for _ in range(4)] == EARLIER


EARLIER = [
    "16.2.2.1.1-93141-16.3.1.4.3-14.1.1.4.1",
    "93122-11131-17.2.1.4.1",
    "14.4.1.3.3-17.3.1.2.1-14131-16.3.1.4.1",
    "23231-12.2.1.1.4-10.1.1.4.4",
]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(["repair", "reject"]))
def test_what_is_proposed_is_valid_and_of_the_space(seed: int, invalid: str) -> None:
    rng, space = generator(seed), replace(SPACE, invalid=invalid)
    found = [repair(sample(space, rng), space, rng)[0] for _ in range(4)]
    for _ in range(8):
        first, second = (found[int(rng.integers(len(found)))] for _ in range(2))
        made = vary(first, second, space, RATES, rng)
        if made.validity == "rejected":
            continue
        found.append(made.genome)
        moved = neighbour(made.genome, space, rng)
        found += [] if moved is None else [moved[0]]
    for genome in found:
        assert not any(problems(genome, space.sizes))
        assert Genome.parse(str(genome)) == genome
        named = {liv.operator for liv in genome.livs if liv.operator.layer}
        assert named <= {CLASSES[number] for number in OFFERED}


def test_layers_by_name_are_one_kind_beside_the_token_mixings() -> None:
    drawn = [liv for seed in range(300) for liv in sample(SPACE, generator(seed)).livs]
    kinds = Counter(liv.operator.token_mixing for liv in drawn)
    assert set(kinds) == {1, 2, 4, GIVEN}
    assert all(abs(count / len(drawn) - 1 / 4) < 0.06 for count in kinds.values())
    named = Counter(liv.operator.layer for liv in drawn if liv.operator.layer)
    assert set(named) == {"mamba", "gated-deltanet", "moe-mlp"}
    assert all(liv.featurizer_strategy == liv.feature_strategy == 1 for liv in drawn if liv.operator.layer)


def test_nothing_below_the_backbone_level_mutates() -> None:
    space = replace(SPACE, levels=("operator", "featurizer"))
    genome = Genome.parse("18.1.1.1.1-22.1.1.1.1")
    for seed in range(30):
        assert mutate(genome, space, VariationRates(below=1.0), generator(seed)) == genome
        assert neighbour(genome, replace(space, min_depth=2, max_depth=2), generator(seed)) is None


def test_a_class_that_cannot_be_built_at_the_width() -> None:
    with pytest.raises(
        ConfigurationError, match=r"class 27: layer differential-attention at width 6"
    ) as caught:
        SearchSpace(sizes=Sizes(width=6, heads=1), classes=(9, 27))
    assert "\n" not in str(caught.value)
