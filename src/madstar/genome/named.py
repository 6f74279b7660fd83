"""Known architectures as genomes: the baselines that every run trains beside its candidates."""

from __future__ import annotations

from .classes import OPERATORS
from .genome import Genome, LIVGenes

_ATTENTION, _GROUPED_QUERY, _RECURRENCE, _CONVOLUTION, _SWIGLU = 1, 4, 5, 7, 9


def baselines(depth: int) -> dict[str, Genome]:
    """Four baselines at a depth, mixers and SwiGLU in turn.

    Transformer++ is attention with rotary positions, RMS norm and SwiGLU, as STAR uses it
    (arXiv 2411.17800, section 5). The hybrids are striped: the third of every four mixers is
    attention, the others recurrences or gated short convolutions.
    """
    return {
        "Transformer++": _striped(depth, _ATTENTION, _ATTENTION),
        "Transformer++ GQA": _striped(depth, _GROUPED_QUERY, _GROUPED_QUERY),
        "recurrence-attention hybrid": _striped(depth, _RECURRENCE, _ATTENTION),
        "convolution-attention hybrid": _striped(depth, _CONVOLUTION, _ATTENTION),
    }


def _striped(depth: int, mixer: int, every_fourth: int) -> Genome:
    classes = [
        _SWIGLU if layer % 2 else (every_fourth if layer // 2 % 4 == 2 else mixer) for layer in range(depth)
    ]
    return Genome(tuple(LIVGenes(OPERATORS[number]) for number in classes))
