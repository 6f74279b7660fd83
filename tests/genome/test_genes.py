"""The table of genes and the table of classes say what the program does."""

from dataclasses import fields, replace

import pytest

from madstar.errors import GenomeError
from madstar.genome import GENES, LEVELS, OPERATORS, FeatureGenes, Genome, class_name, class_number
from madstar.genome.classes import FEATURIZERS, featurizer_number
from madstar.genome.genes import (
    BACKBONE,
    CHANNEL_MIXING,
    CLASS_MEANINGS,
    CLASS_NAMES,
    FEATURIZER,
    GIVEN,
    NONLINEARITY,
    OPERATOR,
    SPARSITY,
    TOKEN_MIXING,
    Gene,
    gene,
    genes,
)
from madstar.genome.genome import ROLES, SHARED_ROLES
from madstar.genome.validity import operator_problems

# STAR, appendix: featurizer class, token mixing, sparsity, nonlinearity, channel mixing.
PAPER = {
    1: "12123",
    2: "22123",
    3: "32123",
    4: "42123",
    5: "54111",
    6: "64111",
    7: "73111",
    8: "83111",
    9: "91142",
}


@pytest.mark.parametrize("number", range(1, 18))
def test_the_classes_are_the_papers(number: int) -> None:
    operator = OPERATORS[number]
    code = (
        featurizer_number(operator.features),
        operator.token_mixing,
        operator.sparsity,
        operator.nonlinearity,
        operator.channel_mixing,
    )
    assert "".join(map(str, code)) == PAPER[number if number <= 9 else number - 9]
    assert operator.differential == (number >= 10)
    assert class_number(operator) == number
    assert class_name(operator) == CLASS_NAMES[number]
    assert list(operator_problems(0, operator)) == []


def test_there_are_seventeen_classes_and_nine_featurizers() -> None:
    assert list(OPERATORS) == list(CLASS_NAMES) == list(CLASS_MEANINGS) == list(range(1, 18))
    assert len(set(OPERATORS.values())) == len(set(CLASS_NAMES.values())) == 17
    assert list(FEATURIZERS) == list(range(1, 10))
    assert len(set(FEATURIZERS.values())) == 9
    assert [CLASS_NAMES[9 + i] for i in range(1, 9)] == ["Diff" + CLASS_NAMES[i] for i in range(1, 9)]


def test_featurizers_are_what_their_meanings_say() -> None:
    def repeats(number: int) -> list[int]:
        return [group.repeat for group in FEATURIZERS[number]]

    def expansions(number: int) -> list[int]:
        return [group.expansion for group in FEATURIZERS[number]]

    assert [repeats(number) for number in (1, 2, 3, 4)] == [[1, 1, 1], [1, 1, 1], [1, 4, 4], [1, 2, 2]]
    assert expansions(5) == [16, 16, 1, 1]
    assert expansions(6) == [2, 2, 1, 1]
    assert expansions(9) == [3, 3]
    # Convolved: all of 2 and 8 over a few tokens, the kernel of 7 over three, that of 8 over all.
    assert all((group.token_mixing, group.sparsity) == (3, 2) for group in FEATURIZERS[2])
    assert (FEATURIZERS[7][3].sparsity, FEATURIZERS[7][3].expansion) == (2, 3)
    assert FEATURIZERS[8][3].sparsity == 1
    assert all((group.token_mixing, group.sparsity) == (1, 1) for group in FEATURIZERS[1])


def test_operators_outside_the_table_have_no_number() -> None:
    own = replace(OPERATORS[4], nonlinearity=3)
    assert class_number(own) is None
    assert featurizer_number(own.features) == 4
    assert featurizer_number((FeatureGenes(repeat=8),)) is None
    assert [class_name(replace(OPERATORS[n], nonlinearity=3)) for n in (4, 5, 7, 9, 13)] == [
        "SA*",
        "Rec*",
        "GConv*",
        "GMemless*",
        "DiffSA*",
    ]


@pytest.mark.parametrize("found", GENES, ids=lambda found: f"{found.level} {found.name}")
def test_every_gene_is_documented(found: Gene) -> None:
    assert found.level in LEVELS
    assert found.meaning.strip()
    assert found.values
    assert all(isinstance(value, int) and value > 0 and said.strip() for value, said in found.values.items())
    assert gene(found.level, found.name) is found


def test_the_table_is_in_the_order_of_the_numeric_strings() -> None:
    assert [found.name for found in genes(BACKBONE)] == [
        "class",
        "featurizer group",
        "featurizer strategy",
        "feature group",
        "feature strategy",
    ]
    assert [found.name for found in genes(OPERATOR)] == [
        "featurizer class",
        "token mixing",
        "sparsity",
        "nonlinearity",
        "channel mixing",
    ]
    assert [found.name.replace(" ", "_") for found in genes(FEATURIZER)] == [
        found.name for found in fields(FeatureGenes)
    ]
    assert sum((genes(level) for level in LEVELS), ()) == GENES
    with pytest.raises(KeyError, match="operator repeat"):
        gene(OPERATOR, "repeat")


def test_words_for_values_cover_the_ranges() -> None:
    for words, name in (
        (TOKEN_MIXING, "token mixing"),
        (SPARSITY, "sparsity"),
        (NONLINEARITY, "nonlinearity"),
        (CHANNEL_MIXING, "channel mixing"),
    ):
        assert set(words) == set(gene(OPERATOR, name).values)
        assert set(gene(FEATURIZER, name).values) <= set(words)
    assert set(ROLES) == set(SHARED_ROLES) == {*gene(OPERATOR, "token mixing").values, GIVEN}
    strategies = set().union(*SHARED_ROLES.values())
    assert strategies == set(gene(BACKBONE, "feature strategy").values)


def test_a_range_in_short() -> None:
    assert gene(BACKBONE, "class").range == "1-34"
    assert gene(FEATURIZER, "repeat").range == "1, 2, 4, 8"
    assert Gene(BACKBONE, "x", "x", {3: "x"}).range == "3"


def placed(found: Gene, value: int) -> str:
    """A text whose one gene of that kind has that value, all others being in range."""
    table = genes(found.level)
    numbers = [str(next(iter(other.values))) for other in table]
    numbers[table.index(found)] = str(value)
    code = ".".join(numbers)
    if found.level == BACKBONE:
        return code
    if found.level == OPERATOR:
        return f"11111/o101={code}"
    return f"11111/f101={code}"


@pytest.mark.parametrize("found", GENES, ids=lambda found: f"{found.level} {found.name}")
def test_the_ranges_are_what_parsing_accepts(found: Gene) -> None:
    said = f"gene '{found.name}' is {{}}, but its range is {found.range}"
    tried = [*range(60), 99, 100, 255, 1000]
    refused = {value: refusal(placed(found, value)) for value in tried}
    # Others are in range, if not together with the other genes here.
    assert {value for value in tried if said.format(value) not in refused[value]} == set(found.values)
    assert not any("its range is" in refused[value] for value in found.values)


def refusal(text: str) -> str:
    try:
        Genome.parse(text)
    except GenomeError as error:
        return str(error)
    return ""
