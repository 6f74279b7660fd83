"""Crossover and mutation: what comes from whom, how often, and within which bounds."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import (
    CLASSES,
    OPERATORS,
    Genome,
    LIVGenes,
    SearchSpace,
    Sizes,
    class_number,
    sample,
    vary,
)
from madstar.genome.genes import FEATURIZER, genes
from madstar.genome.genome import SHARED_ROLES
from madstar.genome.validity import problems
from madstar.genome.variation import VariationRates, change_depth, crossover, mutate

from .genomes import SPACES, WILD, changed_genes, propose, wild_genomes

SPACE = SearchSpace(sizes=Sizes(width=64, heads=4))
OPEN = SearchSpace(min_depth=2, max_depth=6)
QUIET = VariationRates(crossover=0.0, mutation=0.0, below=0.0, depth=0.0)
GROUPS = tuple(range(1, 33))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def marked(depth: int, mark: int) -> Genome:
    """Valid, and every gene but the two strategies differs from that of the other mark at any place."""
    livs = []
    for layer in range(depth):
        number = 2 * (layer % 8) + mark
        livs.append(LIVGenes(OPERATORS[number], 2 * layer + mark, 2, 2 * layer + mark, 2))
    return Genome(tuple(livs))


def origins(child: Genome, first: Genome, second: Genome) -> list[str]:
    """Of each layer, which parent has it in that place."""
    found = []
    for place, liv in enumerate(child.livs):
        inherited = [name for name, parent in (("a", first), ("b", second)) if parent.livs[place] == liv]
        assert len(inherited) == 1
        found += inherited
    return found


def runs(sequence: list[str]) -> list[str]:
    return [mark for place, mark in enumerate(sequence) if place == 0 or sequence[place - 1] != mark]


def test_layers_come_from_a_parent_at_the_same_place_with_two_cuts() -> None:
    first, second = marked(8, 1), marked(8, 2)
    seen = Counter()
    for seed in range(600):
        child = crossover(first, second, "liv", generator(seed))
        found = origins(child, first, second)
        assert "b" in found
        seen["".join(runs(found))] += 1
        seen["from", found.index("b")] += 1
        seen["to", 8 - found[::-1].index("b")] += 1
    assert {key for key in seen if isinstance(key, str)} == {"aba", "ab", "ba", "b"}
    # Every place is cut.
    assert {start for name, start in (k for k in seen if isinstance(k, tuple)) if name == "from"} == set(
        range(8)
    )
    assert {end for name, end in (k for k in seen if isinstance(k, tuple)) if name == "to"} == set(
        range(1, 9)
    )


@settings(max_examples=50)
@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from(["liv", "gene"]), st.integers(0, 2**32))
def test_parents_of_unequal_depth(deep: int, other: int, cuts: str, seed: int) -> None:
    first, second = marked(deep, 1), marked(other, 2)
    child = crossover(first, second, cuts, generator(seed))
    assert child.depth == deep
    # Beyond the common depth there is only the first parent.
    assert child.livs[min(deep, other) :] == first.livs[min(deep, other) :]
    if cuts == "liv":
        common = Genome(child.livs[:other])
        assert "b" in origins(common, Genome(first.livs[:other]), second)


def genes_of(genome: Genome) -> list[object]:
    return [
        value
        for liv in genome.livs
        for value in (
            liv.operator,
            liv.featurizer_group,
            liv.featurizer_strategy,
            liv.feature_group,
            liv.feature_strategy,
        )
    ]


def test_cuts_between_genes() -> None:
    first = Genome((LIVGenes(OPERATORS[1], 1, 1, 1, 1),) * 3)
    second = Genome((LIVGenes(OPERATORS[2], 2, 2, 2, 2),) * 3)
    inside = 0
    for seed in range(400):
        child = crossover(first, second, "gene", generator(seed))
        found = [
            "a" if mine == one else "b"
            for mine, one, other in zip(genes_of(child), genes_of(first), genes_of(second), strict=True)
            if mine in (one, other)
        ]
        assert len(found) == 15
        assert "".join(runs(found)) in {"aba", "ab", "ba", "b"}
        inside += any(0 < found[i : i + 5].count("b") < 5 for i in (0, 5, 10))
    # Most cuts fall inside a LIV: both at borders in 6 of 120 pairs.
    assert abs(inside - 400 * 114 / 120) < 4 * math.sqrt(400 * 0.95 * 0.05)


def test_crossover_happens_at_its_rate() -> None:
    first, second = marked(8, 1), marked(8, 2)
    rates = replace(QUIET, crossover=0.3)
    names = Counter(vary(first, second, SPACE, rates, generator(seed)).operator for seed in range(1000))
    assert set(names) == {"copy", "crossover"}
    assert abs(names["crossover"] - 300) < 4 * math.sqrt(1000 * 0.3 * 0.7)


def test_without_any_rate_the_first_parent_is_copied() -> None:
    first, second = marked(8, 1), marked(8, 2)
    offspring = vary(first, second, SPACE, QUIET, generator())
    assert (offspring.genome, offspring.operator, offspring.validity) == (first, "copy", "valid")
    same = vary(first, first, SPACE, replace(QUIET, crossover=1.0), generator())
    assert (same.genome, same.operator) == (first, "copy")


def within(count: int, trials: int, chance: float) -> bool:
    """Four standard deviations: by chance once in sixteen thousand, and the seeds are fixed."""
    return abs(count - trials * chance) <= 4 * math.sqrt(trials * chance * (1 - chance))


def test_backbone_genes_mutate_at_their_rate() -> None:
    start = Genome((LIVGenes(OPERATORS[1], 1, 1, 1, 1),) * 8)
    space = replace(SPACE, levels=("backbone",))
    rates = replace(QUIET, mutation=0.2)
    changed, trials = Counter(), 4000
    for seed in range(trials // 8):
        for before, after in zip(start.livs, mutate(start, space, rates, generator(seed)).livs, strict=True):
            for name in ("operator", "featurizer_group", "featurizer_strategy", "feature_group"):
                changed[name] += getattr(before, name) != getattr(after, name)
            changed["feature_strategy"] += before.feature_strategy != after.feature_strategy
    # A gene is drawn from its whole range, so it may be drawn as it was.
    for name, values in (
        ("operator", 17),
        ("featurizer_group", SPACE.groups),
        ("featurizer_strategy", 2),
        ("feature_group", SPACE.groups),
        ("feature_strategy", 4),
    ):
        assert within(changed[name], trials, 0.2 * (1 - 1 / values)), name


def test_mutated_genes_are_uniform_over_their_range() -> None:
    start = Genome((LIVGenes(OPERATORS[1]),) * 8)
    rates = replace(QUIET, mutation=1.0)
    space = replace(SPACE, levels=("backbone",), classes=(2, 5, 9), groups=3)
    livs = [liv for seed in range(300) for liv in mutate(start, space, rates, generator(seed)).livs]
    for drawn, values in (
        ([class_number(liv.operator) for liv in livs], (2, 5, 9)),
        ([liv.featurizer_group for liv in livs], (1, 2, 3)),
        ([liv.feature_group for liv in livs], (1, 2, 3)),
        ([liv.featurizer_strategy for liv in livs], (1, 2)),
        ([liv.feature_strategy for liv in livs], (1, 2, 3, 4)),
    ):
        counts = Counter(drawn)
        assert set(counts) == set(values)
        assert all(within(count, len(livs), 1 / len(values)) for count in counts.values())


def test_one_gene_of_a_featurizer_mutates_at_the_rate_below() -> None:
    start = Genome((LIVGenes(OPERATORS[1]),) * 8)
    space = replace(SPACE, levels=("featurizer",))
    rates = replace(QUIET, below=0.5)
    table = genes(FEATURIZER)
    trials, changed, kinds = 3200, 0, set()
    for seed in range(trials // 8):
        after = mutate(start, space, rates, generator(seed))
        for before, now in zip(start.livs, after.livs, strict=True):
            found = changed_genes(Genome((before,)), Genome((now,)))
            assert len(found) <= 1
            assert (
                sum(a != b for a, b in zip(before.operator.features, now.operator.features, strict=True)) <= 1
            )
            changed += bool(found)
            kinds |= found
    assert kinds == {f"featurizer {gene.name}" for gene in table}
    assert within(changed, trials, 0.5 * np.mean([1 - 1 / len(gene.values) for gene in table]))


def test_one_gene_of_an_operator_mutates() -> None:
    start = Genome((LIVGenes(OPERATORS[1]),) * 8)
    space = replace(SPACE, levels=("operator",))
    kinds, featurizers = set(), set()
    for seed in range(100):
        after = mutate(start, space, replace(QUIET, below=1.0), generator(seed))
        for before, now in zip(start.livs, after.livs, strict=True):
            found = changed_genes(Genome((before,)), Genome((now,)))
            if any(name.startswith("featurizer") for name in found):
                # Another featurizer class as a whole, of those that fit attention.
                assert not any(name.startswith("operator") for name in found)
                featurizers.add(now.operator.features)
            else:
                assert len(found) <= 1
                kinds |= found
    assert kinds == {
        "operator sparsity",
        "operator nonlinearity",
        "operator channel mixing",
        "operator differential",
    }
    assert featurizers == {OPERATORS[number].features for number in (2, 3, 4)}


def test_a_memoryless_unit_never_becomes_differential() -> None:
    start = Genome((LIVGenes(OPERATORS[9]),) * 8)
    space = replace(SPACE, levels=("operator",))
    mutants = [mutate(start, space, replace(QUIET, below=1.0), generator(seed)) for seed in range(40)]
    assert not any(liv.operator.differential for genome in mutants for liv in genome.livs)
    assert any(genome != start for genome in mutants)


LEVELS = [("backbone",), ("operator",), ("featurizer",), ("backbone", "featurizer")]


@pytest.mark.parametrize("levels", LEVELS, ids="+".join)
def test_mutation_stays_on_the_open_levels(levels: tuple[str, ...]) -> None:
    space = replace(SPACE, levels=levels)
    for seed in range(60):
        rng = generator(seed)
        start = sample(space, rng)
        found = changed_genes_on_equal_kinds(start, mutate(start, space, WILD, rng))
        if "backbone" not in levels:
            assert not any(name.startswith("backbone") for name in found)
        if levels == ("featurizer",):
            assert not any(name.startswith("operator") for name in found)


def changed_genes_on_equal_kinds(before: Genome, after: Genome) -> set[str]:
    """Changed genes of the layers whose kind of operator has stayed."""
    pairs = [
        (old, new)
        for old, new in zip(before.livs, after.livs, strict=True)
        if old.operator.token_mixing == new.operator.token_mixing
    ]
    return changed_genes(Genome(tuple(a for a, _ in pairs)), Genome(tuple(b for _, b in pairs)))


@pytest.mark.parametrize("classes", [(1, 4, 9), tuple(OPERATORS), (10, 15)], ids=str)
def test_with_the_backbone_level_alone_operators_stay_in_the_table(classes: tuple[int, ...]) -> None:
    space = replace(OPEN, levels=("backbone",), classes=classes)
    for seed in range(15):
        for genome in propose(space, seed, generations=10):
            assert {class_number(liv.operator) for liv in genome.livs} <= set(classes)


@settings(max_examples=60)
@given(st.sampled_from(SPACES), st.integers(0, 2**32))
def test_offspring_fit_their_space(space: SearchSpace, seed: int) -> None:
    for genome in propose(space, seed, generations=6):
        assert space.contains(genome)
        operators = {liv.operator for liv in genome.livs}
        assert {operator.token_mixing for operator in operators if not operator.layer} <= {1, 2, 3, 4}
        offered = {CLASSES[number] for number in space.classes}
        assert {operator for operator in operators if operator.layer} <= offered


@settings(max_examples=60)
@given(wild_genomes(), wild_genomes(), st.sampled_from(SPACES), st.integers(0, 2**32))
def test_equal_generators_give_equal_offspring(
    first: Genome, second: Genome, space: SearchSpace, seed: int
) -> None:
    ours, theirs = generator(seed), generator(seed)
    assert vary(first, second, space, WILD, ours) == vary(first, second, space, WILD, theirs)
    assert ours.random() == theirs.random()
    assert sample(space, generator(seed)) == sample(space, generator(seed))


def test_depth_changes_by_one_layer_in_three_ways() -> None:
    start = marked(4, 1)
    names = Counter()
    for seed in range(600):
        child, name = change_depth(start, OPEN, generator(seed))
        names[name] += 1
        if name == "delete":
            assert any(child.livs == start.livs[:i] + start.livs[i + 1 :] for i in range(4))
        elif name == "duplicate":
            assert any(child.livs == start.livs[: i + 1] + start.livs[i:] for i in range(4))
        else:
            assert any(child.livs[:i] + child.livs[i + 1 :] == start.livs for i in range(5))
    assert set(names) == {"insert", "delete", "duplicate"}
    assert all(within(count, 600, 1 / 3) for count in names.values())


def test_depth_stays_within_its_bounds() -> None:
    assert {change_depth(marked(6, 1), OPEN, generator(seed))[1] for seed in range(20)} == {"delete"}
    assert {change_depth(marked(2, 1), OPEN, generator(seed))[1] for seed in range(40)} == {
        "insert",
        "duplicate",
    }
    assert change_depth(marked(8, 1), SPACE, generator()) == (marked(8, 1), "copy")
    rates = replace(WILD, depth=1.0)
    rng, seen, depths = generator(3), Counter(), Counter()
    genome = marked(4, 1)
    for _ in range(300):
        offspring = vary(genome, marked(5, 2), OPEN, rates, rng)
        genome = offspring.genome
        depths[genome.depth] += 1
        seen.update(offspring.operator.split("+"))
    assert set(depths) == {2, 3, 4, 5, 6}
    assert min(seen[name] for name in ("insert", "delete", "duplicate", "crossover", "mutation")) > 20


def test_the_name_says_what_was_done_in_order() -> None:
    rates = VariationRates(crossover=1.0, mutation=1.0, depth=1.0)
    names = {vary(marked(4, 1), marked(4, 2), OPEN, rates, generator(seed)).operator for seed in range(40)}
    assert names == {f"crossover+{change}+mutation" for change in ("insert", "delete", "duplicate")}


def test_a_sample_is_of_its_space() -> None:
    space = replace(OPEN, classes=(1, 7, 9), groups=2, sharing=0.5)
    drawn = [sample(space, generator(seed)) for seed in range(500)]
    depths = Counter(genome.depth for genome in drawn)
    assert set(depths) == {2, 3, 4, 5, 6}
    assert all(within(count, 500, 1 / 5) for count in depths.values())
    livs = [liv for genome in drawn for liv in genome.livs]
    classes = Counter(class_number(liv.operator) for liv in livs)
    assert set(classes) == {1, 7, 9}
    assert all(within(count, len(livs), 1 / 3) for count in classes.values())
    assert {liv.feature_group for liv in livs} == {liv.featurizer_group for liv in livs} == {1, 2}
    assert within(sum(liv.featurizer_strategy == 2 for liv in livs), len(livs), 0.5)
    assert within(sum(liv.feature_strategy > 1 for liv in livs), len(livs), 0.5)
    assert all(liv.feature_strategy in SHARED_ROLES[liv.operator.token_mixing] for liv in livs)
    alone = [sample(replace(space, sharing=0.0), generator(seed)) for seed in range(20)]
    assert all(liv.featurizer_strategy == liv.feature_strategy == 1 for g in alone for liv in g.livs)
    assert not any(problem for genome in alone for problem in problems(genome))
