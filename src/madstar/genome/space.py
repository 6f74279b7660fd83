"""The search space: which genomes may be proposed, and at which sizes they are built."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ConfigurationError, GenomeError
from ..liv.assembly import check_size
from ..liv.cost import skeleton
from ..liv.operator import Size
from .classes import CLASSES, OPERATORS, names
from .compile import compile_genome
from .genes import GIVEN_LAYERS, LEVELS, MAX_GROUP
from .genome import Genome, LIVGenes
from .sizes import Sizes
from .validity import operator_problems, problems


@dataclass(frozen=True)
class SearchSpace:
    """What a search may propose.

    Genomes have `min_depth` to `max_depth` layers of the given classes, by default the seventeen of the
    table; layers by name are among them where their numbers are given. Mutation changes genes of
    the given levels. A sampled layer asks to share weights, and features, with probability
    `sharing` each, in one of `groups` groups. `invalid` says what happens to an offspring whose
    genes do not go together: "repair" re-samples them (as the paper does), "reject" drops it.

    Raises ConfigurationError for an impossible space, naming what does not fit.
    """

    sizes: Sizes = field(default_factory=Sizes)
    min_depth: int = 8
    max_depth: int = 8
    classes: tuple[int, ...] = tuple(OPERATORS)
    levels: tuple[str, ...] = LEVELS
    groups: int = 4
    sharing: float = 0.25
    invalid: str = "repair"

    def __post_init__(self) -> None:
        if not 1 <= self.min_depth <= self.max_depth:
            raise ConfigurationError(
                f"depth {self.min_depth}:{self.max_depth} is impossible: give 1 <= least <= most layers"
            )
        if not self.classes or not set(self.classes) <= set(CLASSES):
            raise ConfigurationError(
                f"classes {list(self.classes)}: choose from 1-{max(OPERATORS)}, and for layers by name "
                f"from {min(GIVEN_LAYERS)}-{max(GIVEN_LAYERS)}"
            )
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ConfigurationError(f"levels {list(self.levels)}: choose from {', '.join(LEVELS)}")
        if not 1 <= self.groups <= MAX_GROUP:
            raise ConfigurationError(f"{self.groups} sharing groups: choose 1-{MAX_GROUP}")
        if not 0 <= self.sharing <= 1:
            raise ConfigurationError(f"sharing is {self.sharing:g}: give a probability from 0 to 1")
        if self.invalid not in ("repair", "reject"):
            raise ConfigurationError(f"invalid='{self.invalid}': choose repair or reject")
        self._check_sizes()

    def _check_sizes(self) -> None:
        sizes = self.sizes
        for name in ("vocabulary_size", "width", "heads", "window"):
            if getattr(sizes, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(sizes, name)}: give at least 1")
        try:
            check_size(Size(sizes.width, sizes.heads, sizes.window, 1.0))
        except GenomeError as error:
            raise ConfigurationError(str(error)) from None
        for number in self.classes:
            for problem in operator_problems(0, CLASSES[number], sizes):
                raise ConfigurationError(
                    f"class {number} ({names()[number]}) needs {problem.gene} {problem.value}, which "
                    f"{sizes.heads} heads at width {sizes.width} do not allow: "
                    "change heads, or leave it out of classes"
                )
            if number in GIVEN_LAYERS:
                self._check_layer(number)

    def _check_layer(self, number: int) -> None:
        """Raise ConfigurationError where a layer by name cannot be built at the sizes."""
        try:
            skeleton(compile_genome(Genome((LIVGenes(CLASSES[number]),)), self.sizes))
        except GenomeError as error:
            raise ConfigurationError(
                f"class {number}: {error}; change the width, or leave it out of classes"
            ) from None

    def contains(self, genome: Genome) -> bool:
        """Whether a genome's depth and genes fit this space (its classes may be mutated ones)."""
        return self.min_depth <= genome.depth <= self.max_depth and not any(problems(genome, self.sizes))
