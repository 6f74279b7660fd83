"""What an objective is, and what it is measured on.

Objectives come in three kinds, by what they cost. "static" ones follow from the genome and its
sizes and are known before anything is built; "measured" ones run the untrained model (latency and
memory do not depend on weights); "trained" ones need the candidate's training. Constraints may use
the first two, so that a candidate that breaks one is never trained (the distinction of cheap and
expensive objectives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ..genome import Genome, Sizes, compile_genome
from ..liv import Backbone, BackboneSpec

STATIC, MEASURED, TRAINED = "static", "measured", "trained"
KINDS = (STATIC, MEASURED, TRAINED)


class Measurement(NamedTuple):
    """A value and its standard error (0 where it is exact)."""

    value: float
    error: float = 0.0


@dataclass
class Subject:
    """What an objective may look at.

    `length` is the training length in tokens. `metrics` holds what training measured
    ("bits_per_byte", "perplexity" and their errors) once it has; `trained` is then the model.
    """

    genome: Genome
    sizes: Sizes
    length: int
    metrics: Mapping[str, Measurement] = field(default_factory=dict)
    trained: Backbone | None = None

    @cached_property
    def spec(self) -> BackboneSpec:
        """The backbone's spec."""
        return compile_genome(self.genome, self.sizes)

    def build(self, seed: int = 0) -> Backbone:
        """A fresh, untrained backbone."""
        return Backbone(self.spec, seed)


@dataclass(frozen=True)
class Objective:
    """A figure to optimise. `direction` is "min" or "max"; `kind` says when it can be known."""

    name: str
    direction: str
    unit: str
    kind: str
    meaning: str
    measure: Callable[[Subject], Measurement]

    def cost(self, value: float) -> float:
        """The value as something to minimise."""
        return value if self.direction == "min" else -value
