"""Motifs known to do well, as genomes of any depth: what a search may begin with.

Sources: the motifs that emerge in STAR's searches (arXiv 2411.17800, section 5: gated short
convolutions, grouped-query attention, differential recurrences, SwiGLU, and pairs of differential
short convolutions tied by featurizer sharing), and the winners of our own runs at width 64 and a few
hundred steps (docs/benchmarks.md), where differential short convolutions come first, attention comes
last, and gated linear units are few. A search that begins with them no longer finds them by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigurationError
from .classes import CLASSES, OPERATORS
from .genome import Genome, LIVGenes
from .space import SearchSpace

_ATTENTION, _GROUPED_QUERY, _CONVOLUTION, _SWIGLU, _RECURRENCE, _DIFFERENTIAL = 1, 4, 7, 9, 15, 16
_LEAST_DEPTH = 2
# As many pairs as a space has sharing groups by default, so that variation can reach them all.
_PAIRS = 4


def known_motifs(depth: int) -> dict[str, Genome]:
    """Four genomes of a depth, by name. Raises ConfigurationError below two layers.

    "convolutions, attention last": differential short convolutions, every fourth layer SwiGLU.
    "convolution hybrid": gated short convolutions and SwiGLU in turn, the middle mixer attention
    (CMCMAMCM at depth 8). "tied convolutions, shared keys": differential convolutions tied in pairs,
    then grouped-query attention, two layers with one cache from depth 6 on. "recurrence hybrid":
    convolutions and (from depth 3 on) differential recurrences in turn, SwiGLU between, next to no cache.
    """
    if depth < _LEAST_DEPTH:
        raise ConfigurationError(f"known motifs need {_LEAST_DEPTH} layers, not {depth}: give more depth")
    return {
        "convolutions, attention last": _of([*_body(depth - 1), _ATTENTION]),
        "convolution hybrid": _hybrid(depth),
        "tied convolutions, shared keys": _tied(depth),
        "recurrence hybrid": _of(
            [_SWIGLU if layer % 2 else (_CONVOLUTION, _RECURRENCE)[layer // 2 % 2] for layer in range(depth)]
        ),
    }


def motifs_of(space: SearchSpace) -> tuple[tuple[str, Genome], ...]:
    """The known motifs at the greatest depth of a space that are made of its classes and fit its sizes.

    Raises ConfigurationError where there is none.
    """
    allowed = {CLASSES[number] for number in space.classes}
    found = tuple(
        (name, genome)
        for name, genome in known_motifs(space.max_depth).items()
        if space.contains(genome) and {liv.operator for liv in genome.livs} <= allowed
    )
    if not found:
        raise ConfigurationError(
            "no known motif is made of the classes and sizes of this space: "
            "search without seeds, or allow classes 1, 7, 9 and 16"
        )
    return found


def _body(depth: int) -> list[int]:
    """Differential short convolutions, every fourth layer SwiGLU."""
    return [_SWIGLU if layer % 4 == 3 else _DIFFERENTIAL for layer in range(depth)]


def _hybrid(depth: int) -> Genome:
    middle = 2 * ((depth + 1) // 2 // 2)
    return _of(
        [
            _SWIGLU if layer % 2 else (_ATTENTION if layer == middle else _CONVOLUTION)
            for layer in range(depth)
        ]
    )


def _tied(depth: int) -> Genome:
    """Neighbouring differential convolutions use one set of weights; the attention layers one cache."""
    heads = 2 if depth >= 6 else 1
    livs: list[LIVGenes] = []
    pairs = 0
    for number in _body(depth - heads):
        free = livs and livs[-1].operator == OPERATORS[number] and livs[-1].featurizer_strategy == 1
        if number == _DIFFERENTIAL and free and pairs < _PAIRS:
            pairs += 1
            livs[-1] = tied = LIVGenes(OPERATORS[number], featurizer_group=pairs, featurizer_strategy=2)
            livs.append(tied)
        else:
            livs.append(LIVGenes(OPERATORS[number]))
    attention = LIVGenes(OPERATORS[_GROUPED_QUERY], feature_strategy=2 if heads == 2 else 1)
    return Genome((*livs, *[attention] * heads))


def _of(classes: Sequence[int]) -> Genome:
    return Genome(tuple(LIVGenes(OPERATORS[number]) for number in classes))
