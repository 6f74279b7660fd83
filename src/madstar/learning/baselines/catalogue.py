"""Which learners a task has. Each call makes them anew."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import ConfigurationError
from ..datasets.examples import TASKS
from .classification import HistogramForest, MajorityLabel
from .completion import ForestNext, MajorityNext, NgramNext
from .forest import Forest
from .incomplete import Arity, ByRule, Chains, GapForest, UnseenPairs
from .learner import Learner
from .links import Combined, Pairs, Previous
from .lookup import NEAR, PARENTS, WIDE, Lookup
from .ngrams import NgramFiller
from .performance import predictors


def _operation() -> list[Learner]:
    return [
        Lookup("majority"),
        Lookup("parents", PARENTS),
        Lookup("parents + children", NEAR),
        Lookup("two hops with back-off", WIDE),
        NgramFiller(),
        Forest("forest on two hops"),
        Forest("forest + trace order", reach=4),
        Forest("forest + trace order + shapes", reach=4, shapes=True),
        Forest("forest + trace order + shapes + echoes", reach=4, shapes=True, echoes=True),
    ]


def _link() -> list[Learner]:
    return [Previous(), Combined(), Pairs()]


def _incomplete() -> list[Learner]:
    return [
        ByRule("unseen pairs", UnseenPairs()),
        ByRule("trigrams of edges", Chains()),
        ByRule("arity", Arity()),
        GapForest(),
        GapForest("forest + echoes", echoes=True),
    ]


def _completion() -> list[Learner]:
    return [
        MajorityNext(),
        NgramNext("n-grams + previous node", pairs=False),
        NgramNext("n-grams + pairs", pairs=True),
        ForestNext(),
        ForestNext("forest + echoes", echoes=True),
    ]


def _classification() -> list[Learner]:
    return [MajorityLabel(), HistogramForest()]


_OF_TASK: dict[str, Callable[[], list[Learner]]] = {
    "operation": _operation,
    "link": _link,
    "incomplete": _incomplete,
    "completion": _completion,
    "classification": _classification,
    "performance": lambda: list(predictors()),
}


def learners(task: str) -> list[Learner]:
    """The baselines of a task that are no networks, from the simplest to the strongest.

    Raises:
        ConfigurationError: there is no such task.
    """
    if task not in _OF_TASK:
        raise ConfigurationError(f"there is no task {task!r}; the tasks are {', '.join(TASKS)}")
    return _OF_TASK[task]()
