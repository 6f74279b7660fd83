"""Promotion from rung to rung: successive halving without waiting (ASHA, Li et al., arXiv 1810.05934).

Of the candidates measured at a rung, the best share goes on, as soon as it is among the best. With
several objectives "best" is the order of NSGA-II at that rung.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from .ranking import Standing, order_at


def promotable(
    standings: Iterable[Standing], rung: int, share: float, started: Collection[tuple[int, int]]
) -> list[int]:
    """Candidates of the best `share` at a rung that have not started on the next, best first."""
    cohort = order_at([s for s in standings if rung in s.costs], rung)
    chosen = cohort[: math.floor(len(cohort) * share + 1e-9)]
    return [s.index for s in chosen if (s.index, rung + 1) not in started]


def next_in_line(standings: Iterable[Standing], rung: int, started: Collection[tuple[int, int]]) -> list[int]:
    """All candidates at a rung that have not started on the next, best first.

    For the end of a run, when there is time for one more promotion but not for another candidate.
    """
    cohort = order_at([s for s in standings if rung in s.costs], rung)
    return [s.index for s in cohort if (s.index, rung + 1) not in started]
