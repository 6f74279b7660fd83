"""Genomes to test with: any in-range genes, any legal ones, and what sampling and variation propose."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from madstar.genome import (
    CLASSES,
    OPERATORS,
    FeatureGenes,
    Genome,
    LIVGenes,
    OperatorGenes,
    SearchSpace,
    Sizes,
    named_layer,
    repair,
    sample,
    vary,
)
from madstar.genome.genes import BACKBONE, FEATURIZER, OPERATOR, gene, genes
from madstar.genome.genome import ROLES
from madstar.genome.repair import with_gene, with_layer
from madstar.genome.validity import problems
from madstar.genome.variation import VariationRates

STRUCTURE = ("token_mixing", "sparsity", "nonlinearity", "channel_mixing")
SHARING = ("featurizer_group", "featurizer_strategy", "feature_group", "feature_strategy")
FEATURE = tuple(found.name.replace(" ", "_") for found in genes(FEATURIZER))
WITHOUT_SA3 = tuple(number for number in OPERATORS if number not in (3, 12))
"""The classes that two heads allow: four query heads cannot share one key head."""
WITHOUT_NUMBER = ("attention", "hyena", "rwkv5-channel-mixer")
"""Layers by name that only an own class can say."""

SPACES = (
    SearchSpace(sizes=Sizes(width=64, heads=4), min_depth=1, max_depth=8),
    SearchSpace(sizes=Sizes(width=40, heads=4), min_depth=2, max_depth=6, groups=2, sharing=0.8),
    SearchSpace(sizes=Sizes(width=32, heads=2), min_depth=3, max_depth=3, classes=WITHOUT_SA3),
    SearchSpace(sizes=Sizes(width=64, heads=8), min_depth=1, max_depth=12, groups=1, sharing=1.0),
    SearchSpace(
        sizes=Sizes(width=32, heads=4),
        min_depth=1,
        max_depth=8,
        classes=tuple(CLASSES),
        groups=2,
        sharing=0.6,
    ),
)
WILD = VariationRates(crossover=0.9, mutation=0.5, below=0.7, depth=0.5, cuts="gene")


def values(level: str, name: str) -> list[int]:
    return sorted(gene(level, name.replace("_", " ")).values)


def any_of(level: str, name: str) -> st.SearchStrategy[int]:
    return st.sampled_from(values(level, name))


def wild_features() -> st.SearchStrategy[FeatureGenes]:
    return st.builds(FeatureGenes, *(any_of(FEATURIZER, name) for name in FEATURE))


@st.composite
def wild_operators(draw: st.DrawFn) -> OperatorGenes:
    """Any genes in range; most do not go together."""
    structure = {name: draw(any_of(OPERATOR, name)) for name in STRUCTURE}
    features = tuple(draw(wild_features()) for _ in ROLES[structure["token_mixing"]])
    return OperatorGenes(features, **structure, differential=draw(st.booleans()))


@st.composite
def wild_genomes(draw: st.DrawFn, groups: int = 3) -> Genome:
    """Any genes in range, on all three levels; layers repeat operators, so that some may share."""
    known = st.sampled_from(list(CLASSES.values()) + [named_layer(name) for name in WITHOUT_NUMBER])
    palette = draw(st.lists(wild_operators() | known, min_size=1, max_size=3))
    livs = []
    for _ in range(draw(st.integers(1, 6))):
        sharing = {
            name: draw(st.sampled_from(values(BACKBONE, name)[: groups if "group" in name else None]))
            for name in SHARING
        }
        livs.append(LIVGenes(draw(st.sampled_from(palette)), **sharing))
    return Genome(tuple(livs))


@st.composite
def legal_genomes(draw: st.DrawFn, sizes: Sizes | None = None) -> Genome:
    """Genomes drawn over legal values: each wild gene that does not go with the others is drawn again."""
    genome = draw(wild_genomes())
    while (problem := next(problems(genome, sizes), None)) is not None:
        liv = genome.livs[problem.layer]
        if problem.level == "backbone":
            # A group that does not fit has no legal value of its own here: such a layer shares nothing.
            name = problem.gene if problem.legal else problem.gene.replace("group", "strategy")
            changed = replace(liv, **{name: draw(st.sampled_from(problem.legal or (1,)))})
        else:
            value = draw(st.sampled_from(problem.legal))
            operator = with_gene(liv.operator, problem.gene, value, problem.role)
            changed = replace(liv, operator=operator)
        genome = with_layer(genome, problem.layer, changed)
    return genome


def propose(space: SearchSpace, seed: int, generations: int = 4) -> list[Genome]:
    """A short evolution: repaired samples, and offspring of them at high rates."""
    rng = np.random.default_rng(seed)
    found = [repair(sample(space, rng), space, rng)[0] for _ in range(3)]
    for _ in range(generations):
        first, second = (found[int(rng.integers(len(found)))] for _ in range(2))
        found.append(vary(first, second, space, WILD, rng).genome)
    return found


def proposed_genomes() -> st.SearchStrategy[Genome]:
    """What a search proposes, from a drawn seed."""
    return st.builds(
        lambda space, seed, which: propose(space, seed)[which],
        st.sampled_from(SPACES),
        st.integers(0, 2**32),
        st.integers(0, 6),
    )


def genomes() -> st.SearchStrategy[Genome]:
    return legal_genomes() | proposed_genomes()


def changed_genes(before: Genome, after: Genome) -> set[str]:
    """The genes that differ between two genomes of one depth, named as problems name them."""
    found = set()

    def compare(level: str, names: tuple[str, ...], first: object, second: object) -> None:
        found.update(
            f"{level} {name.replace('_', ' ')}"
            for name in names
            if getattr(first, name) != getattr(second, name)
        )

    for old, new in zip(before.livs, after.livs, strict=True):
        compare("backbone", SHARING, old, new)
        compare("operator", (*STRUCTURE, "differential"), old.operator, new.operator)
        for first, second in zip(old.operator.features, new.operator.features, strict=True):
            compare("featurizer", FEATURE, first, second)
    return found
