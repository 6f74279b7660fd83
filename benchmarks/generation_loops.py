"""The tasks' definitions as plain loops, one example at a time: slow, and easy to check by eye.

The tests compare the vectorised generation with them; `benchmarks.generation` times both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TypeAlias

import numpy as np

from madstar.tasks.mechanistic import IGNORE, Setting
from madstar.tasks.mechanistic.memorization import value_of_key

Example: TypeAlias = tuple[list[int], list[int]]


def recall(setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False) -> Example:
    """In-context recall, with noise or without."""
    single = not setting["multi_query"]
    noise, fraction = int(setting["noise_vocabulary"]), setting["noise_fraction"]
    tokens = setting.vocabulary_size - noise - single
    half = tokens // 2
    pairs = setting.length // 2 - 1
    kept = rng.integers(pairs)
    value: dict[int, int] = {}
    sequence, asked = [], []
    for pair in range(pairs):
        if pair != kept and rng.random() < fraction:
            sequence += [int(rng.integers(tokens, tokens + noise)) for _ in range(2)]
            asked += [IGNORE, IGNORE]
            continue
        key = int(rng.integers(half))
        seen = key in value
        if not seen:
            value[key] = int(rng.integers(half, tokens))
        sequence += [key, value[key]]
        asked += [IGNORE, value[key] if seen and not single else IGNORE]
    probe = int(rng.choice(sorted(value)))
    if single:
        sequence.append(setting.vocabulary_size - 1)
        asked.append(IGNORE)
    sequence += [probe, value[probe]]
    asked += [IGNORE, value[probe]]
    return _shifted(sequence, asked, train, setting.length)


def fuzzy(setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False) -> Example:
    """Fuzzy in-context recall."""
    single = not setting["multi_query"]
    noise, fraction = int(setting["noise_vocabulary"]), setting["noise_fraction"]
    tokens = setting.vocabulary_size - noise - 1 - single
    half = tokens // 2
    longest_key, longest_value = int(setting["key_motif"]), int(setting["value_motif"])

    def draw_key() -> tuple[int, ...]:
        size = int(rng.integers(1, longest_key + 1)) if train else longest_key
        return _motif(rng, range(half), size)

    def draw_value() -> tuple[int, ...]:
        return _motif(rng, range(half, tokens), int(rng.integers(1, longest_value + 1)))

    probe, answer = draw_key(), draw_value()
    size, longest = len(probe) + len(answer), longest_key + longest_value
    bound = setting.length - size - longest
    position = int(rng.integers(setting.length - 2 * size if compatible else bound - longest + 1))
    value: dict[tuple[int, ...], tuple[int, ...]] = {}
    sequence: list[int] = []
    asked: list[int] = []
    while len(sequence) < bound:
        if len(sequence) >= position and probe not in value:
            value[probe] = answer
            sequence += [*probe, *answer]
            asked += [IGNORE] * size
            continue
        key, fresh = draw_key(), draw_value()
        if rng.random() < fraction:
            sequence += rng.integers(tokens, tokens + noise, size=len(key) + len(fresh)).tolist()
            asked += [IGNORE] * (len(key) + len(fresh))
            continue
        seen = key in value
        if not seen:
            value[key] = answer if key == probe else fresh
        sequence += [*key, *value[key]]
        asked += [IGNORE] * len(key)
        asked += value[key] if seen and not single else [IGNORE] * len(value[key])
    if single:
        sequence.append(setting.vocabulary_size - 1)
        asked.append(IGNORE)
    sequence += [*probe, *answer]
    asked += [IGNORE] * len(probe) + list(answer)
    missing = setting.length + 1 - len(sequence)
    sequence, asked = [tokens + noise] * missing + sequence, [IGNORE] * missing + asked
    return _shifted(sequence, asked, train, setting.length)


def copying(setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False) -> Example:
    """Selective copying: blanks are put one by one into the gaps."""
    copied, blank = int(setting["tokens_to_copy"]), setting.vocabulary_size - 2
    content = rng.integers(blank, size=copied).tolist()
    gaps: list[int] = [0] * (copied + 1)
    for _ in range(setting.length - 2 * copied - 1):
        gaps[int(rng.integers(copied if compatible else copied + 1))] += 1
    sequence = []
    for token, gap in zip(content, gaps, strict=False):
        sequence += [blank] * gap + [token]
    sequence += [blank] * gaps[-1] + [blank + 1]
    return sequence + [blank] * copied, [IGNORE] * len(sequence) + content


def compression(setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False) -> Example:
    """Compression, with noise or without."""
    marker = setting.vocabulary_size - 1
    content = marker - int(setting["noise_vocabulary"])
    sequence, asked = [], []
    for _ in range(setting.length - 1):
        if rng.random() < setting["noise_fraction"]:
            sequence.append(int(rng.integers(content, marker)))
            asked.append(sequence[-1] if compatible else IGNORE)
        else:
            sequence.append(int(rng.integers(content)))
            asked.append(sequence[-1])
    return [*sequence, marker], [*asked, marker if train or compatible else IGNORE]


def memorization(
    setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False
) -> Example:
    """Memorization with keys drawn uniformly: evaluation, and training where it is compatible."""
    values = value_of_key(setting)
    insert = setting.vocabulary_size - 1
    noise = int(setting["noise_vocabulary"])
    kept = rng.integers(setting.length // 2)
    sequence, asked = [], []
    for pair in range(setting.length // 2):
        if pair != kept and rng.random() < setting["noise_fraction"]:
            sequence += rng.integers(insert - noise, insert, size=2).tolist()
            asked += [IGNORE, IGNORE]
            continue
        key = int(rng.integers(len(values)))
        sequence += [key, insert]
        asked += [IGNORE, int(values[key])]
    return sequence, asked


def mqar(setting: Setting, train: bool, rng: np.random.Generator, compatible: bool = False) -> Example:
    """Multi-query associative recall: places are drawn one after the other among those left."""
    pairs, half = int(setting["pairs"]), setting.vocabulary_size // 2
    keys = rng.choice(np.arange(1, half), size=pairs, replace=False).tolist()
    values = rng.choice(np.arange(half, setting.vocabulary_size), size=pairs, replace=False).tolist()
    sequence = [token for pair in zip(keys, values, strict=True) for token in pair]
    rest = setting.length - len(sequence)
    fill = rng.integers(setting.vocabulary_size, size=rest) if setting["random_fill"] else [0] * rest
    sequence += [int(token) for token in fill]
    asked = [IGNORE] * setting.length
    left = {place: (place + 1) ** (float(setting["power"]) - 1) for place in range(rest // 2)}
    for key, value in zip(keys, values, strict=True):
        weights = np.array(list(left.values()))
        place = int(rng.choice(list(left), p=weights / weights.sum()))
        del left[place]
        sequence[2 * pairs + 2 * place] = key
        asked[2 * pairs + 2 * place] = value
    return sequence, asked


def _motif(rng: np.random.Generator, tokens: range, size: int) -> tuple[int, ...]:
    """One of all motifs of that size, by listing them all if they are few."""
    if len(tokens) ** size > 10_000:
        return tuple(rng.permutation(np.array(tokens))[:size].tolist())
    every = list(permutations(tokens, size))
    return every[int(rng.integers(len(every)))]


def _shifted(sequence: list[int], asked: list[int], train: bool, length: int) -> Example:
    """Inputs of the given length, and what follows each of them, nothing after the last."""
    following = (sequence if train else asked)[1:]
    return sequence[:length], [*following, IGNORE][:length]


LOOPS: dict[str, Callable[..., Example]] = {
    "in-context-recall": recall,
    "fuzzy-in-context-recall": fuzzy,
    "noisy-in-context-recall": recall,
    "selective-copying": copying,
    "compression": compression,
    "memorization": memorization,
    "mqar": mqar,
}
