"""A predictor of what a dataset's graphs were measured at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import DataError
from ..datasets.dataset import Stored
from ..datasets.examples import Measured
from .description import Description, describe
from .predictor import Figure, Predictor, fit

Told = Callable[[int, int], None]
"""How many graphs have been described, of how many."""


def fit_dataset(stored: Stored, *, seed: int = 0, told: Told | None = None) -> Predictor:
    """Describe every measured graph of a dataset and learn all figures that were measured often enough.

    Raises DataError where the dataset has no measurements, or too few.
    """
    measured = [each for each in stored.examples("performance") if isinstance(each, Measured)]
    if not measured:
        raise DataError(
            f"{stored.folder} has no measurements: run madstar search, then madstar learn dataset with "
            "--archive and the search's --home"
        )
    entries = sorted({each.entry for each in measured})
    described: dict[str, Description] = {}
    for number, entry in enumerate(entries, 1):
        described[entry] = describe(stored.graph(entry))
        if told is not None:
            told(number, len(entries))
    return fit(described, measured, rng=np.random.default_rng(seed))


def find_figure(predictor: Predictor, words: str) -> Figure:
    """The figure that words name: `str(figure)`, its beginning, or its task, where that is enough.

    Raises DataError that lists what was measured.
    """
    exact = [figure for figure in predictor.figures if str(figure) == words]
    found = exact or [figure for figure in predictor.figures if str(figure).startswith(words)]
    if len(found) != 1:
        known = "; ".join(map(str, predictor.figures))
        what = "was never measured" if not found else "is the beginning of several figures"
        raise DataError(f"{words!r:.80} {what}; give one of: {known}")
    return found[0]
