"""Multi-query associative recall: all pairs first, then their keys again, soon or late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .drawing import distinct, in_blocks
from .setting import Setting, Value
from .task import IGNORE, Examples, Task, check_even_length, check_vocabulary, refuse


class MultiQueryAssociativeRecall(Task):
    """`pairs` pairs of different keys and different values, then each key once more among blanks.

    Tokens: 0 is the blank, then keys up to half of the vocabulary, then values. The places of the
    queries are every second position after the pairs; place x (from 1) is drawn with probability
    proportional to x ** (power - 1), each at most once, for one key after the other, so that early pairs
    return sooner. The value is asked at the query. Training and evaluation ask alike.

    The published experiments leave blanks between the queries; with random_fill tokens drawn from the
    whole vocabulary stand there instead.
    """

    name = "mqar"
    summary = "recall many pairs from a large vocabulary, at gaps that follow a power law"
    source = "arXiv 2312.04927, section 3 and appendix"
    fields: ClassVar[Mapping[str, Value]] = {"pairs": 4, "power": 0.01, "random_fill": False}
    varied = ("length", "pairs")

    def check(self, setting: Setting) -> None:
        """Pairs that fit twice, and different keys and values for them."""
        check_even_length(setting, 4)
        pairs = setting.whole("pairs")
        if pairs < 1:
            raise refuse(setting, f"pairs is {pairs}; give at least 1")
        if setting.length < 4 * pairs:
            raise refuse(
                setting,
                f"{pairs} pairs and their queries do not fit into length {setting.length}; "
                f"give a length of at least {4 * pairs}",
            )
        check_vocabulary(setting, 2 * (pairs + 1), f"{pairs} pairs need as many keys and values")
        if not 0 <= setting["power"] <= 8:
            raise refuse(setting, f"power is {setting['power']}; give 0 to 8 (1 is uniform)")

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`. mad-lab does not have this task: `compatible` changes nothing."""
        return in_blocks(count, setting.length, lambda rows: _draw(setting, rows, rng))

    def chance(self, setting: Setting) -> float:
        """One of the values."""
        return 1.0 / (setting.vocabulary_size - setting.vocabulary_size // 2)


def _draw(setting: Setting, rows: int, rng: np.random.Generator) -> Examples:
    pairs, half = setting.whole("pairs"), setting.vocabulary_size // 2
    keys = 1 + distinct(rng, rows, pairs, half - 1)
    values = half + distinct(rng, rows, pairs, setting.vocabulary_size - half)
    places = (setting.length - 2 * pairs) // 2
    weight = np.arange(1, places + 1) ** (float(setting["power"]) - 1.0)
    # Exponential clocks: the order in which they ring is that of weighted draws without replacement.
    rings = rng.standard_exponential((rows, places)) / weight
    query = 2 * pairs + 2 * np.argsort(rings, axis=1)[:, :pairs]

    inputs = np.zeros((rows, setting.length), dtype=np.int64)
    if setting["random_fill"]:
        inputs[:] = rng.integers(0, setting.vocabulary_size, size=inputs.shape)
    inputs[:, 0 : 2 * pairs : 2] = keys
    inputs[:, 1 : 2 * pairs : 2] = values
    np.put_along_axis(inputs, query, keys, axis=1)
    targets = np.full((rows, setting.length), IGNORE, dtype=np.int64)
    np.put_along_axis(targets, query, values, axis=1)
    return Examples(inputs, targets)
