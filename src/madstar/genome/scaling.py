"""An architecture at a larger size: deeper by repeating its layers, wider with heads of the same size.

STAR searches at one size and uses what it finds at others (arXiv 2411.17800, section 5): a genome
says nothing of width, so only depth needs a rule, and width only needs its heads to follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..errors import ConfigurationError, GenomeError
from .genes import MAX_GROUP
from .genome import Genome, LIVGenes
from .sizes import Sizes
from .validity import problems

STACK, STRETCH = "stack", "stretch"
HOW = (STACK, STRETCH)
# Widths are looked for so many heads away before none counts as near.
_REACH = 64

_Numbering = dict[tuple[int, int], int]


def deepen(genome: Genome, depth: int, how: str = STACK, *, across: bool = False) -> Genome:
    """The genome with each layer repeated until it is `depth` layers deep.

    "stack" repeats the whole genome (AB becomes ABAB), "stretch" each layer in its place (AABB).

    Sharing is kept within a copy, and copies share nothing with one another: layer A's second copy
    takes its features from the second copy of the layer that A takes them from, and so for weights.
    To tell copies apart each gets group numbers of its own. With `across` copies share too: all of a
    group's copies are one group, so that a stretched layer's copies use one set of weights, and all
    borrowers take the features of the first copy's owner. What shares with no one in the genome shares
    with no one in the deeper one either way. At the genome's own depth it is returned as it is.

    Raises GenomeError for a depth that is no multiple, or where copies need more than 32 groups;
    ConfigurationError for another `how`.
    """
    if how not in HOW:
        raise ConfigurationError(f"how='{how}' is no way to deepen a genome: choose {' or '.join(HOW)}")
    copies = _copies(genome, depth)
    if copies == 1:
        return genome
    weights = _numbering(_shared_weights(genome), copies, across, "weights", genome)
    features = _numbering(_shared_features(genome), copies, across, "features", genome)

    def copied(layer: int, copy: int) -> LIVGenes:
        return _renumbered(genome.livs[layer], copy, weights, features)

    layers = range(genome.depth)
    if how == STACK:
        return Genome(tuple(copied(layer, copy) for copy in range(copies) for layer in layers))
    return Genome(tuple(copied(layer, copy) for layer in layers for copy in range(copies)))


def widen(sizes: Sizes, width: int, genomes: Sequence[Genome] = ()) -> Sizes:
    """The sizes with another width and heads of as many channels as before: more heads, not larger ones.

    Raises ConfigurationError, with the nearest widths that do, where heads of that size do not divide
    the width, or where one of `genomes` is not valid at it (as where 6 heads are to share keys by 4).
    """
    channels, rest = divmod(sizes.width, sizes.heads)
    if rest:
        raise ConfigurationError(
            f"width {sizes.width} is not divisible by {sizes.heads} heads: choose a multiple of {sizes.heads}"
        )
    if width % channels or width < channels:
        near = _nearest_widths(sizes, channels, width, genomes)
        raise ConfigurationError(
            f"width {width} does not divide into heads of {channels} channels, as width {sizes.width} with "
            f"{sizes.heads} heads has them: {near}"
        )
    wider = _with_heads(sizes, width // channels, channels)
    if not _fits(wider, genomes):
        near = _nearest_widths(sizes, channels, width, genomes)
        raise ConfigurationError(
            f"width {width} has {wider.heads} heads of {channels} channels, which the genes do not allow "
            f"(heads that share keys must divide the heads): {near}"
        )
    return wider


def _copies(genome: Genome, depth: int) -> int:
    own = genome.depth
    if not own:
        raise GenomeError("a genome without LIVs: give at least one")
    copies, rest = divmod(depth, own)
    if rest or copies < 1:
        near = [own * n for n in (copies, copies + 1) if n >= 1]
        raise GenomeError(
            f"depth {depth} is no multiple of the genome's {own} layers: give {' or '.join(map(str, near))}"
        )
    return copies


def _shared_weights(genome: Genome) -> list[int]:
    """Featurizer groups whose weights more than one layer uses, in order of appearance."""
    return _shared(liv.featurizer_group for liv in genome.livs if liv.featurizer_strategy > 1)


def _shared_features(genome: Genome) -> list[int]:
    """Feature groups of more than one layer, in order of appearance."""
    return _shared(liv.feature_group for liv in genome.livs if liv.feature_strategy > 1)


def _shared(groups: Iterable[int]) -> list[int]:
    return [group for group, members in Counter(groups).items() if members > 1]


def _numbering(groups: list[int], copies: int, across: bool, what: str, genome: Genome) -> _Numbering:
    """The number of each (group, copy): the first copy keeps its numbers, others take free ones."""
    if across:
        return {(group, copy): group for copy in range(copies) for group in groups}
    if len(groups) * copies > MAX_GROUP:
        most = MAX_GROUP // len(groups)
        raise GenomeError(
            f"{copies} copies of {len(groups)} groups that share {what} need {len(groups) * copies} groups, "
            f"and there are {MAX_GROUP}: give at most depth {most * genome.depth}, or let copies share across"
        )
    free = iter(number for number in range(1, MAX_GROUP + 1) if number not in groups)
    return {(group, copy): next(free) if copy else group for copy in range(copies) for group in groups}


def _renumbered(liv: LIVGenes, copy: int, weights: _Numbering, features: _Numbering) -> LIVGenes:
    """A layer in a copy. One that asks to share but has no partner stops asking: copies are no partners."""
    if liv.featurizer_strategy > 1:
        group = weights.get((liv.featurizer_group, copy))
        liv = replace(liv, featurizer_strategy=1) if group is None else replace(liv, featurizer_group=group)
    if liv.feature_strategy > 1:
        group = features.get((liv.feature_group, copy))
        liv = replace(liv, feature_strategy=1) if group is None else replace(liv, feature_group=group)
    return liv


def _with_heads(sizes: Sizes, heads: int, channels: int) -> Sizes:
    return replace(sizes, width=heads * channels, heads=heads)


def _fits(sizes: Sizes, genomes: Sequence[Genome]) -> bool:
    return not any(True for genome in genomes for _ in problems(genome, sizes))


def _nearest_widths(sizes: Sizes, channels: int, width: int, genomes: Sequence[Genome]) -> str:
    """The next possible width below and the next above, as advice."""

    def possible(heads: int) -> bool:
        return heads >= 1 and _fits(_with_heads(sizes, heads, channels), genomes)

    below = (width - 1) // channels
    lower = next((n for n in range(below, max(0, below - _REACH), -1) if possible(n)), None)
    above = max(1, width // channels + 1)
    upper = next((n for n in range(above, above + _REACH) if possible(n)), None)
    near = [str(heads * channels) for heads in (lower, upper) if heads is not None]
    return f"give {' or '.join(near)}" if near else "no width near it does"
