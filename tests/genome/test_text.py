"""Genome to text to genome, exactly, and the paper's own example."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import OPERATORS, FeatureGenes, Genome, LIVGenes, OperatorGenes, Sizes, compile_genome
from madstar.liv import Backbone, cost

from .genomes import genomes, legal_genomes

PAPER = "21211-31112-21221-32112"
W, V = 64, 256


@settings(max_examples=300)
@given(genomes())
def test_text_and_back(genome: Genome) -> None:
    text = str(genome)
    again = Genome.parse(text)
    assert again == genome
    assert str(again) == text
    assert hash(again) == hash(genome)


def respelled(genome: Genome, first_operator: int, first_featurizer: int, spaces: str) -> str:
    """The same genome as wordily as the grammar allows: dots everywhere, every operator defined again."""
    operators: dict[OperatorGenes, int] = {}
    featurizers: dict[tuple[FeatureGenes, ...], int] = {}
    for liv in reversed(genome.livs):
        operators.setdefault(liv.operator, first_operator + 3 * len(operators))
        if not liv.operator.layer:
            featurizers.setdefault(liv.operator.features, first_featurizer + 2 * len(featurizers))

    def dotted(*values: int) -> str:
        return ".".join(map(str, values))

    livs = [
        dotted(
            operators[liv.operator],
            liv.featurizer_group,
            liv.featurizer_strategy,
            liv.feature_group,
            liv.feature_strategy,
        )
        for liv in genome.livs
    ]
    parts = ["-".join(livs)]
    for features, number in featurizers.items():
        groups = [
            dotted(g.token_mixing, g.sparsity, g.nonlinearity, g.channel_mixing, g.expansion, g.repeat)
            for g in features
        ]
        parts.append(f"f{number}=" + "+".join(groups))
    for operator, number in operators.items():
        if operator.layer:
            parts.append(f"o{number}=@{operator.layer}")
            continue
        structure = (
            operator.token_mixing,
            operator.sparsity,
            operator.nonlinearity,
            operator.channel_mixing,
        )
        mark = "d" if operator.differential else ""
        parts.append(f"o{number}={mark}{dotted(featurizers[operator.features], *structure)}")
    return spaces + "/".join(parts) + spaces


@settings(max_examples=100)
@given(legal_genomes(), st.integers(101, 300), st.integers(101, 300), st.sampled_from(["", " ", "\n"]))
def test_every_spelling_has_one_canonical_text(
    genome: Genome, first_operator: int, first_featurizer: int, spaces: str
) -> None:
    wordy = respelled(genome, first_operator, first_featurizer, spaces)
    assert Genome.parse(wordy) == genome
    assert str(Genome.parse(wordy)) == str(genome)


def test_the_papers_example_in_genes() -> None:
    genome = Genome.parse(PAPER)
    assert genome == Genome(
        (
            LIVGenes(OPERATORS[2], 1, 2, 1, 1),
            LIVGenes(OPERATORS[3], 1, 1, 1, 2),
            LIVGenes(OPERATORS[2], 1, 2, 2, 1),
            LIVGenes(OPERATORS[3], 2, 1, 1, 2),
        )
    )
    assert str(genome) == PAPER
    assert genome.depth == 4


def test_the_papers_example_shares_what_the_paper_says() -> None:
    spec = compile_genome(Genome.parse(PAPER), Sizes(vocabulary_size=V, width=W, heads=4))
    first, second, third, fourth = spec.layers
    # LIVs 1 and 3 share featurizer weights, and nothing else is pooled.
    assert first.featurizer_pool is not None
    assert [layer.featurizer_pool for layer in spec.layers] == [
        first.featurizer_pool,
        None,
        first.featurizer_pool,
        None,
    ]
    assert first.operator == third.operator
    # LIVs 2 and 4 share features: the keys and values of 2 are used by 4.
    assert [layer.features_from for layer in spec.layers] == [None, None, None, 1]
    assert [layer.shared for layer in spec.layers] == [(), (), (), ("k", "v")]
    assert second.operator == fourth.operator
    assert [group.repeat for group in second.operator.groups] == [1, 4, 4]


def test_the_papers_example_is_counted_in_the_backbone() -> None:
    spec = compile_genome(Genome.parse(PAPER), Sizes(vocabulary_size=V, width=W, heads=4))
    layers = Backbone(spec, 0).layers
    for role in ("q", "k", "v"):
        assert layers[0].operator.groups[role] is layers[2].operator.groups[role]
    assert layers[0].operator.output is not layers[2].operator.output
    assert set(layers[1].operator.groups) == {"q", "k", "v"}
    assert set(layers[3].operator.groups) == {"q"}
    convolved_once = 3 * (W * W + 3 * W)
    owner, reader = W * W + 2 * (W * W // 4), W * W
    norm_and_output = W + W * W
    expected = 2 * V * W + W + 4 * norm_and_output + convolved_once + owner + reader
    assert cost(spec, 100).parameters == expected
    # Both convolved layers hold keys, values and three tails; of the grouped ones only the owner holds any.
    convolved, grouped = 2 * 100 * W + 3 * 2 * W, 2 * 100 * W // 4
    assert cost(spec, 100).cache_elements == 2 * convolved + grouped


def test_two_digit_genes_are_written_with_dots() -> None:
    genome = Genome.parse("17.1.2.1.1-9.1.1.12.1-22211")
    assert genome.livs[0].operator == OPERATORS[17]
    assert genome.livs[1].feature_group == 12
    assert str(genome) == "17.1.2.1.1-9.1.1.12.1-22211"
    assert str(Genome.parse("2.1.2.1.1")) == "21211"


def test_own_operators_and_featurizers_by_the_letter() -> None:
    text = "101.1.1.1.1-91111-102.1.1.1.1/o101=d101.2.1.1.3/o102=101.2.2.4.3/f101=111211+324212+111212"
    genome = Genome.parse(text)
    features = (
        FeatureGenes(),
        FeatureGenes(token_mixing=3, sparsity=2, nonlinearity=4, repeat=2),
        FeatureGenes(repeat=2),
    )
    assert genome.livs[0].operator == OperatorGenes(features, 2, 1, 1, 3, differential=True)
    assert genome.livs[1].operator == OPERATORS[9]
    assert genome.livs[2].operator == OperatorGenes(features, 2, 2, 4, 3)
    assert str(genome) == text


def test_definitions_may_use_the_tables_featurizers() -> None:
    genome = Genome.parse("101.1.1.1.1/o101=d4.2.2.4.3")
    own = genome.livs[0].operator
    assert own == replace(OPERATORS[4], sparsity=2, nonlinearity=4, differential=True)
    assert str(genome) == "101.1.1.1.1/o101=d42243"


def test_one_definition_serves_many_layers_and_operators() -> None:
    group = FeatureGenes(nonlinearity=3)
    own = OperatorGenes((group, group, group), 2, 1, 2, 3)
    relu = replace(own, nonlinearity=3)
    genome = Genome((LIVGenes(relu), LIVGenes(own), LIVGenes(relu)))
    text = str(genome)
    assert text == (
        "101.1.1.1.1-102.1.1.1.1-101.1.1.1.1/o101=101.2.1.3.3/o102=101.2.1.2.3/f101=113211+113211+113211"
    )
    assert Genome.parse(text) == genome


@pytest.mark.parametrize("text", ["  21211-31112\n", "21211-31112"])
def test_spaces_around_do_not_matter(text: str) -> None:
    assert str(Genome.parse(text)) == "21211-31112"
