"""Patterns against a slow reading of the same genomes, letter by letter."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import Genome, SearchSpace, Sizes, class_name, compile_genome, sample, vary
from madstar.genome.variation import VariationRates, settle
from madstar.studies.patterns import (
    CLASS,
    MIXING,
    Pattern,
    complement,
    generalisations,
    mixing_of,
    mixing_token,
    patterns,
)

SPACE = SearchSpace(min_depth=1, max_depth=7, sharing=0.6, groups=2)
KINDS = {"SA": "attention", "Rec": "recurrence", "GConv": "convolution", "GMemless": "memoryless"}


@st.composite
def genomes(draw: st.DrawFn) -> Genome:
    """Random genomes and children of two, which have own operators."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    first, second = (settle(sample(SPACE, rng), "", SPACE, rng).genome for _ in range(2))
    if draw(st.booleans()):
        return first
    return vary(first, second, SPACE, VariationRates(mutation=0.3, below=0.6), rng).genome


def words(genome: Genome, alphabet: str) -> list[str]:
    names = [class_name(liv.operator) for liv in genome.livs]
    if alphabet == CLASS:
        return names
    found = []
    for name in names:
        plain = name.replace("Diff", "").split("-")[0].rstrip("*")
        found.append(("differential " if name.startswith("Diff") else "") + KINDS[plain])
    return found


def holds(genome: Genome, pattern: Pattern) -> bool:
    """By definition, without any cleverness."""
    kind, alphabet, parts = pattern
    tokens = words(genome, alphabet or CLASS)
    depth = len(tokens)
    if kind == "run":
        return any(tokens[i : i + len(parts)] == list(parts) for i in range(depth))
    if kind == "place":
        place, token = parts
        inside = {
            "first layer": lambda i: i == 0,
            "last layer": lambda i: i == depth - 1,
            "first third": lambda i: 3 * i < depth,
            "last third": lambda i: 3 * (depth - 1 - i) < depth,
        }[place]
        return any(inside(i) and tokens[i] == token for i in range(depth))
    if kind == "count":
        bound, number, token = parts
        held = sum(token in name.split() for name in words(genome, MIXING))
        return {"exactly": held == int(number), "at least": held >= int(number)}.get(
            bound, held <= int(number)
        )
    layers = compile_genome(genome, Sizes()).layers
    for i, j in itertools.combinations(range(depth), 2):
        if kind == "weights":
            shares = (
                layers[i].featurizer_pool is not None
                and layers[i].featurizer_pool == layers[j].featurizer_pool
            )
        else:
            shares = layers[j].features_from == i
        said = (tokens[j], ", ".join(layers[j].shared) if kind == "features" else "")
        said = (*said, "adjacent" if j == i + 1 else "distant")
        if shares and all(part in ("", mine) for part, mine in zip(parts, said, strict=True)):
            return True
    return False


@settings(max_examples=40)
@given(genomes(), genomes())
def test_a_genome_has_what_it_holds_and_nothing_else(one: Genome, other: Genome) -> None:
    mine, its = patterns(one), patterns(other)
    assert all(holds(one, pattern) for pattern in mine)
    assert all(holds(one, pattern) == (pattern in mine) for pattern in its)
    deepest = max(len(p.parts) for p in mine if p.kind == "run")
    assert deepest == min(4, one.depth)


@given(genomes())
def test_what_follows_from_a_pattern_is_held_too(genome: Genome) -> None:
    found = patterns(genome)
    for pattern in found:
        assert generalisations(pattern) <= found, pattern
        assert pattern not in generalisations(pattern)
        other = complement(pattern)
        assert other is None or (other not in found and complement(other) == pattern)


@given(genomes())
def test_class_tokens_say_their_mixing(genome: Genome) -> None:
    for liv in genome.livs:
        assert mixing_of(class_name(liv.operator)) == mixing_token(liv.operator)


def test_expressed_sharing_counts_not_genes() -> None:
    # Both ask to share, but only within one group is there another to share with.
    alone = patterns(Genome.parse("11212-91111-11122"))
    assert not any(pattern.kind in ("weights", "features") for pattern in alone)
    pair = patterns(Genome.parse("11212-91111-11212"))
    assert Pattern("weights", CLASS, ("SA-1", "", "distant")) in pair
    assert Pattern("features", MIXING, ("attention", "k, v", "distant")) in pair
    assert not any("adjacent" in pattern.parts for pattern in pair)


@pytest.mark.parametrize(
    ("kind", "alphabet", "parts", "name"),
    [
        ("run", CLASS, ("DiffGConv-1", "SA-4"), "DiffGConv-1 → SA-4"),
        ("run", MIXING, ("attention",), "attention in any layer"),
        ("place", CLASS, ("last layer", "SA-4"), "SA-4 in the last layer"),
        ("count", MIXING, ("exactly", "0", "attention"), "no attention layer"),
        ("count", MIXING, ("at most", "1", "attention"), "at most one attention layer"),
        ("weights", CLASS, ("DiffGConv-1", "", "adjacent"), "two adjacent DiffGConv-1 layers share weights"),
        ("features", MIXING, ("attention", "k, v", ""), "two attention layers share k, v"),
        ("features", "", ("", "", "distant"), "two distant layers share features"),
    ],
)
def test_names(kind: str, alphabet: str, parts: tuple[str, ...], name: str) -> None:
    assert Pattern(kind, alphabet, parts).name == name
