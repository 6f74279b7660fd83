"""Strategies: who is tried next. Each keeps the contract of three verbs."""

from .choice import STRATEGIES, Surroundings, check_strategy, make_strategy, strategy_names
from .contract import (
    Event,
    Generational,
    Measured,
    Proposal,
    Proposed,
    Strategy,
    proposal_rng,
    random_proposal,
)
from .local import LocalSearch
from .nsga2 import NSGA2
from .random_search import RandomSearch
from .regularised import RegularisedEvolution
from .screened import ScreenedSearch, Screening
from .seeded import Seeded

__all__ = [
    "NSGA2",
    "STRATEGIES",
    "Event",
    "Generational",
    "LocalSearch",
    "Measured",
    "Proposal",
    "Proposed",
    "RandomSearch",
    "RegularisedEvolution",
    "ScreenedSearch",
    "Screening",
    "Seeded",
    "Strategy",
    "Surroundings",
    "check_strategy",
    "make_strategy",
    "proposal_rng",
    "random_proposal",
    "strategy_names",
]
