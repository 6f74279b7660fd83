"""The strategies by name."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ConfigurationError
from ...genome import Genome, SearchSpace
from ...genome.variation import VariationRates
from .contract import Strategy
from .local import LocalSearch
from .nsga2 import NSGA2
from .random_search import RandomSearch
from .regularised import RegularisedEvolution
from .screened import Screen, ScreenedSearch
from .seeded import Seeded

STRATEGIES = ("nsga2", "regularised", "local", "random", "screened")


def make_strategy(
    name: str,
    space: SearchSpace,
    seed: int,
    *,
    rates: VariationRates,
    population: int = 16,
    elitism: int = 2,
    generational: bool = False,
    top_rung: int = 0,
    screen: Screen | None = None,
    seeds: Sequence[tuple[str, Genome]] = (),
) -> Strategy:
    """The strategy of that name, beginning with `seeds` where there are any.

    `elitism` and `generational` concern nsga2 alone, `top_rung` (counted from 0) and `screen`
    screened alone. Local search begins with half a population. Raises ConfigurationError for a name
    that is not in STRATEGIES.
    """
    inner: Strategy
    if name == "nsga2":
        inner = NSGA2(
            space, seed, rates=rates, population=population, elitism=elitism, generational=generational
        )
    elif name == "regularised":
        inner = RegularisedEvolution(space, seed, rates=rates, population=population)
    elif name == "local":
        inner = LocalSearch(space, seed, initial=max(2, population // 2))
    elif name == "random":
        inner = RandomSearch(space, seed)
    elif name == "screened":
        inner = ScreenedSearch(
            space, seed, rates=rates, population=population, top_rung=top_rung, screen=screen
        )
    else:
        raise ConfigurationError(f"strategy '{name}': choose one of {', '.join(STRATEGIES)}")
    return Seeded(inner, seeds) if seeds else inner
