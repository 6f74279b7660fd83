"""The strategies by name: those of this room, those of others, and your own.

A strategy from elsewhere is a class or function that is called with `Surroundings` and gives a `Strategy`.
It is found by an entry point in the group `madstar.strategies`, or is named as `file.py:Class`. It may have
an attribute `learn(homes, settings, space)`, which reads other archives when a run begins: what it gives
(plain JSON) is kept beside the run and handed to it as `Surroundings.knowledge`, in this session and in
every later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ...errors import ConfigurationError, MadstarError, in_one_line
from ...genome import Genome, SearchSpace
from ...genome.variation import VariationRates
from ...plugins import entry_point, entry_point_names, is_reference, load_attribute, nearest
from .contract import Strategy
from .local import LocalSearch
from .nsga2 import NSGA2
from .random_search import RandomSearch
from .regularised import RegularisedEvolution
from .screened import Screen, ScreenedSearch
from .seeded import Seeded

STRATEGIES = ("nsga2", "regularised", "local", "random", "screened")
ENTRY_POINTS = "madstar.strategies"
# Of rooms above this one; also where the installed package's entry points are older than the source.
_OFFERED = {"guided": "madstar.learning.guided:Guided"}


@dataclass(frozen=True)
class Surroundings:
    """What a strategy from elsewhere is made with; see `make_strategy`.

    `screen` gives a genome's costs in the order of `objectives`, None for those that only training tells;
    None altogether where it breaks a static constraint. `unguided` is the share of proposals in which a
    strategy that is guided by a model is to do without. `knowledge` is what its `learn` has read, if it has.
    """

    space: SearchSpace
    seed: int
    rates: VariationRates
    population: int
    top_rung: int
    screen: Screen | None
    objectives: tuple[str, ...]
    unguided: float
    knowledge: Mapping[str, Any] | None


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
    objectives: Sequence[str] = (),
    unguided: float = 0.2,
    knowledge: Mapping[str, Any] | None = None,
) -> Strategy:
    """The strategy of that name, beginning with `seeds` where there are any.

    `elitism` and `generational` concern nsga2 alone, `top_rung` (counted from 0) and `screen`
    screened and those from elsewhere, to which all else is handed too. Local search begins with half a
    population. Raises ConfigurationError for a name that is not known, and for what a strategy from
    elsewhere raises when it is made.
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
        around = Surroundings(
            space, seed, rates, population, top_rung, screen, tuple(objectives), unguided, knowledge
        )
        inner = _made(name, around)
    return Seeded(inner, seeds) if seeds else inner


def strategy_names() -> tuple[str, ...]:
    """Every strategy known by name: this room's, madstar's others, then other packages'. Loads nothing."""
    known = dict.fromkeys((*STRATEGIES, *_OFFERED))
    return (*known, *(name for name in entry_point_names(ENTRY_POINTS) if name not in known))


def check_strategy(name: str) -> None:
    """Raise ConfigurationError for a strategy that is not known, or cannot be loaded."""
    if name not in STRATEGIES:
        find_strategy(name)


def find_strategy(name: str) -> Callable[[Surroundings], Strategy]:
    """What makes the strategy of that name, of those from elsewhere. Raises ConfigurationError."""
    if is_reference(name):
        made: object | None = load_attribute(name, "strategy", ConfigurationError)
    elif name in _OFFERED:
        made = load_attribute(_OFFERED[name], "strategy", ConfigurationError)
    else:
        made = entry_point(ENTRY_POINTS, name, "strategy", ConfigurationError)
    if made is None:
        known = strategy_names()
        raise ConfigurationError(
            f"strategy '{name}'{nearest(name, known)}: choose one of {', '.join(known)}, "
            "or name your own as file.py:Class"
        )
    if not callable(made):
        raise ConfigurationError(f"strategy '{name}': this is no class or function that makes a strategy")
    return cast("Callable[[Surroundings], Strategy]", made)


def _made(name: str, around: Surroundings) -> Strategy:
    make = find_strategy(name)
    try:
        strategy = make(around)
    except MadstarError:
        raise
    except Exception as error:
        raise ConfigurationError(f"strategy '{name}': making it failed with {in_one_line(error)}") from error
    missing = [
        verb for verb in ("propose", "observe", "replay") if not callable(getattr(strategy, verb, None))
    ]
    if missing:
        raise ConfigurationError(
            f"strategy '{name}' gives a {type(strategy).__name__} without {', '.join(missing)}: "
            "give it the three verbs of madstar.search.strategies.contract"
        )
    return strategy
