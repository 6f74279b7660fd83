"""In-context recall: pairs of keys and values, whose values are to be recalled when keys return.

Also the form with noise between the pairs, which noisy in-context recall is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .drawing import choose, first_occurrence, in_blocks
from .setting import Setting, Value
from .task import IGNORE, Examples, Task, check_even_length, check_noise, check_vocabulary


class Vocabulary(NamedTuple):
    """Tokens in order: keys, values, noise, and the copy marker last where only one key is probed."""

    keys: int
    values: int
    noise: int

    @classmethod
    def of(cls, setting: Setting) -> Vocabulary:
        """Half of the tokens that are neither noise nor special are keys, rounded down."""
        noise = setting.whole("noise_vocabulary")
        pairs = setting.vocabulary_size - noise - (0 if setting["multi_query"] else 1)
        return cls(pairs // 2, pairs - pairs // 2, noise)


class InContextRecall(Task):
    """Pairs `key value`; at each return of a key its value is asked, at the key's position.

    Keys are drawn uniformly for each pair; a key has one value in a sequence, drawn uniformly when the
    key first comes. The last pair's key is drawn uniformly from the distinct keys already presented.
    With multi_query every key seen before is probed, else only the last one, after a copy marker.
    """

    name = "in-context-recall"
    summary = "recall the value that a key had earlier in the sequence"
    source = "arXiv 2403.17844, section 3.1"
    fields: ClassVar[Mapping[str, Value]] = {
        "multi_query": True,
        "noise_vocabulary": 0,
        "noise_fraction": 0.0,
    }
    varied: ClassVar[tuple[str, ...]] = ("vocabulary_size", "length", "train_examples")

    def check(self, setting: Setting) -> None:
        """Whole pairs, noise that can be drawn, at least one key and one value."""
        check_even_length(setting, 4)
        check_noise(setting)
        special = 2 if setting["multi_query"] else 3
        check_vocabulary(
            setting, setting.whole("noise_vocabulary") + special, "a key and a value are needed beside noise"
        )

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`. Without defects that change scores."""
        return in_blocks(count, setting.length, lambda rows: _draw(setting, split, rows, rng))

    def chance(self, setting: Setting) -> float:
        """One of the values."""
        return 1.0 / Vocabulary.of(setting).values


def _draw(setting: Setting, split: str, rows: int, rng: np.random.Generator) -> Examples:
    vocabulary = Vocabulary.of(setting)
    pairs = setting.length // 2 - 1  # before the last one
    # Numbers of 16 bits are sorted by radix, which is faster.
    smallest: type[np.int16] | type[np.int64] = np.int16 if vocabulary.keys + pairs < 2**15 else np.int64
    keys: npt.NDArray[np.signedinteger] = rng.integers(0, vocabulary.keys, (rows, pairs)).astype(smallest)
    noise = _noise_pairs(setting, rows, pairs, rng)
    if noise is not None:
        # Each noise pair counts as a key of its own, which never returns.
        keys = np.where(noise, vocabulary.keys + np.arange(pairs, dtype=smallest), keys)
    first = first_occurrence(keys)
    fresh = rng.integers(vocabulary.keys, vocabulary.keys + vocabulary.values, size=(rows, pairs))
    values = np.take_along_axis(fresh, first, axis=1)
    is_first = first == np.arange(pairs)

    last = choose(rng, is_first if noise is None else is_first & ~noise)[:, None]
    special = 0 if setting["multi_query"] else 1
    tokens = np.empty((rows, setting.length + special), dtype=np.int64)
    tokens[:, 0 : 2 * pairs : 2] = keys
    tokens[:, 1 : 2 * pairs : 2] = values
    if noise is not None:
        begin = vocabulary.keys + vocabulary.values
        drawn = rng.integers(begin, begin + vocabulary.noise, size=(rows, 2 * pairs))
        both = np.repeat(noise, 2, axis=1)
        tokens[:, : 2 * pairs][both] = drawn[both]
    if special:
        tokens[:, -3] = setting.vocabulary_size - 1
    tokens[:, -2] = np.take_along_axis(keys, last, axis=1)[:, 0]
    tokens[:, -1] = np.take_along_axis(values, last, axis=1)[:, 0]

    inputs = tokens[:, : setting.length]
    targets = np.full((rows, setting.length), IGNORE, dtype=np.int64)
    following = tokens.shape[1] - 1
    if split == "train":
        targets[:, :following] = tokens[:, 1:]
        return Examples(inputs, targets)
    if setting["multi_query"]:
        targets[:, 0 : 2 * pairs : 2] = np.where(is_first, IGNORE, values)
    targets[:, following - 1] = tokens[:, -1]
    return Examples(inputs, targets)


def _noise_pairs(
    setting: Setting, rows: int, pairs: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_] | None:
    """Which pairs are noise; one of each sequence, drawn uniformly, never is."""
    if setting["noise_fraction"] == 0:
        return None
    noise = rng.random((rows, pairs)) < setting["noise_fraction"]
    noise[np.arange(rows), rng.integers(0, pairs, size=rows)] = False
    return noise
