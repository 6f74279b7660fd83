"""Memorization: what value each key has, the same in all sequences, so that only weights can know it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .setting import Setting, Value
from .task import IGNORE, Examples, Task, check_even_length, check_noise, check_vocabulary

_MAP_SEED = 2403_17844


class Memorization(Task):
    """Pairs of a key and an insert token, at which the key's value is asked. No value stands in the input.

    Tokens in order: keys, values, noise, the insert token. The map is a permutation that depends on the
    vocabulary alone: it is the same in all splits, since it is what is to be learnt.

    mad-lab draws the training keys with replacement, and some of them never: with vocabulary 8192 and
    256 examples of length 32 a model can know 63 % of the map (`ceiling`). Here the training split
    deals the keys as from a shuffled deck, again and again, so that each comes before any comes twice
    more than another. `compatible` draws as mad-lab does. Evaluation draws uniformly in both forms.
    """

    name = "memorization"
    summary = "learn by heart which value belongs to which key"
    source = "arXiv 2403.17844, section 3.1"
    fields: ClassVar[Mapping[str, Value]] = {"noise_vocabulary": 0, "noise_fraction": 0.0}
    varied = ("vocabulary_size",)

    def check(self, setting: Setting) -> None:
        """Whole pairs, a key and a value, noise that can be drawn."""
        check_even_length(setting, 2)
        check_noise(setting)
        noise = setting.whole("noise_vocabulary")
        check_vocabulary(setting, noise + 3, "a key, a value and the insert token are needed")

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`. Training and evaluation ask alike."""
        pairs = setting.length // 2
        values = value_of_key(setting)
        if setting["noise_fraction"] > 0:
            noise = rng.random((count, pairs)) < setting["noise_fraction"]
            noise[np.arange(count), rng.integers(0, pairs, size=count)] = False
        else:
            noise = np.zeros((count, pairs), dtype=bool)
        keys = np.zeros((count, pairs), dtype=np.int64)
        asked = int((~noise).sum())
        if split == "train" and not compatible:
            keys[~noise] = _deal(rng, len(values), asked)
        else:
            keys[~noise] = rng.integers(0, len(values), size=asked)

        inputs = np.full((count, setting.length), setting.vocabulary_size - 1, dtype=np.int64)
        inputs[:, 0::2] = keys
        targets = np.full((count, setting.length), IGNORE, dtype=np.int64)
        targets[:, 1::2] = values[keys]
        both = np.repeat(noise, 2, axis=1)
        begin = setting.vocabulary_size - 1 - setting.whole("noise_vocabulary")
        inputs[both] = rng.integers(begin, max(begin + 1, setting.vocabulary_size - 1), size=int(both.sum()))
        targets[both] = IGNORE
        return Examples(inputs, targets)

    def chance(self, setting: Setting) -> float:
        """One of the values."""
        tokens = _mapped_tokens(setting)
        return 1.0 / (tokens - tokens // 2)

    def ceiling(self, setting: Setting, compatible: bool = False) -> float:
        """Expected share of keys that the training split presents, and chance for the others."""
        keys = _mapped_tokens(setting) // 2
        shown = setting.train_examples * (setting.length // 2) * (1 - float(setting["noise_fraction"]))
        known = (
            1 - math.exp(shown * math.log1p(-1 / keys)) if compatible and keys > 1 else min(1.0, shown / keys)
        )
        return known + (1 - known) * self.chance(setting)


def value_of_key(setting: Setting) -> npt.NDArray[np.int64]:
    """The value token of each key token, a function of the vocabulary alone."""
    tokens = _mapped_tokens(setting)
    rng = np.random.default_rng([_MAP_SEED, tokens])
    return rng.permutation(np.arange(tokens // 2, tokens))[: tokens // 2]


def _mapped_tokens(setting: Setting) -> int:
    return setting.vocabulary_size - 1 - setting.whole("noise_vocabulary")


def _deal(rng: np.random.Generator, keys: int, count: int) -> npt.NDArray[np.int64]:
    """`count` keys of which none comes more than once oftener than another, in random order."""
    decks = [rng.permutation(keys) for _ in range(-(-count // keys))]
    return rng.permutation(np.concatenate(decks)[:count])
