"""An architecture as numbers: nested immutable data on STAR's three levels (arXiv 2411.17800, section 4).

A genome holds its operators and featurizers themselves, not their numbers in a table: two genomes
are equal when they say the same, wherever they come from. `text.py` writes them as numeric strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GenomeError
from .genes import GIVEN

if TYPE_CHECKING:
    from ..liv import Backbone
    from .sizes import Sizes

# The feature groups of each token mixing, in the order of the featurizer's numeric string.
ROLES: dict[int, tuple[str, ...]] = {
    1: ("gate", "value"),
    2: ("q", "k", "v"),
    3: ("c", "b", "v", "kernel"),
    4: ("c", "b", "a", "v"),
    GIVEN: (),
}
# What each feature-sharing strategy takes from the group's first layer.
SHARED_ROLES: dict[int, dict[int, tuple[str, ...]]] = {
    1: {1: (), 2: ("value",)},
    2: {1: (), 2: ("k", "v"), 3: ("k",), 4: ("v",)},
    3: {1: (), 2: ("b", "v"), 3: ("b",), 4: ("v",)},
    4: {1: (), 2: ("b", "a", "v"), 3: ("b", "a"), 4: ("v",)},
    GIVEN: {1: ()},
}
LAYER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class FeatureGenes:
    """One feature group: six genes of the featurizer level."""

    token_mixing: int = 1
    sparsity: int = 1
    nonlinearity: int = 1
    channel_mixing: int = 2
    expansion: int = 1
    repeat: int = 1


@dataclass(frozen=True)
class OperatorGenes:
    """A LIV class: four genes of the operator level, and the feature groups of its featurizer.

    `differential` operators are the difference of two such operators. With token mixing 5 the operator is
    the layer known by the name `layer`: it has no feature groups, all its other genes are 1, and it
    shares nothing. Raises GenomeError where only one of the two says so, or for a name with other characters
    than letters, digits, dots, hyphens and underscores.
    """

    features: tuple[FeatureGenes, ...]
    token_mixing: int
    sparsity: int
    nonlinearity: int
    channel_mixing: int
    differential: bool = False
    layer: str = ""

    def __post_init__(self) -> None:
        if (self.token_mixing == GIVEN) != bool(self.layer):
            raise GenomeError(
                f"token mixing {self.token_mixing} with layer '{self.layer}': "
                f"a layer by name has token mixing {GIVEN}, and only that has one"
            )
        if self.layer and LAYER_NAME.fullmatch(self.layer) is None:
            raise GenomeError(
                f"layer {self.layer!r} cannot be written in a genome: give it a name of letters, digits, "
                "dots, hyphens and underscores"
            )

    @property
    def roles(self) -> tuple[str, ...]:
        """What each feature group is for."""
        return ROLES[self.token_mixing]


@dataclass(frozen=True)
class LIVGenes:
    """One layer: its operator and the four sharing genes of the backbone level."""

    operator: OperatorGenes
    featurizer_group: int = 1
    featurizer_strategy: int = 1
    feature_group: int = 1
    feature_strategy: int = 1


@dataclass(frozen=True)
class Genome:
    """An architecture: its layers in order of depth."""

    livs: tuple[LIVGenes, ...]

    @classmethod
    def parse(cls, text: str) -> Genome:
        """The genome a numeric string says. Raises GenomeError, naming the gene and its range."""
        from .text import parse

        return parse(text)

    def __str__(self) -> str:
        from .text import write

        return write(self)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.livs)

    @property
    def architecture(self) -> str:
        """Hash of what the genome expresses: equal for genomes that differ in unused genes only."""
        from .compile import architecture_hash

        return architecture_hash(self)

    def build(self, sizes: Sizes, seed: int = 0) -> Backbone:
        """The backbone, a fresh torch module. Raises GenomeError where it is not valid at these sizes."""
        from ..liv import Backbone
        from .compile import compile_genome

        return Backbone(compile_genome(self, sizes), seed)
