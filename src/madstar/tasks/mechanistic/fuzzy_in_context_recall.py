"""Fuzzy in-context recall: keys and values are motifs of several adjacent tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .drawing import distinct, first_occurrence, in_blocks
from .setting import Setting, Value
from .task import IGNORE, Examples, Task, check_noise, check_vocabulary, refuse

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class FuzzyInContextRecall(Task):
    """Pairs of motifs: a key of 1 .. key_motif different key tokens, a value of 1 .. value_motif.

    Sizes are drawn uniformly, then the motif uniformly among those of its size; in evaluation keys have
    the largest size. One pair is chosen beforehand to be probed at the end. It is put at the first border of
    pairs from a random position on, unless it has come by itself. Pairs follow as long as the longest
    would fit; padding stands at the beginning. At each return of a key the tokens of its value are
    asked, each at the position before it.

    mad-lab draws that position so widely that the sequence may end before the pair was put, in which case
    the last probe cannot be answered: `compatible` does so too. Else it is drawn where this cannot be.
    """

    name = "fuzzy-in-context-recall"
    summary = "recall where keys and values are several tokens long"
    source = "arXiv 2403.17844, section 3.1"
    fields: ClassVar[Mapping[str, Value]] = {
        "multi_query": True,
        "key_motif": 3,
        "value_motif": 3,
        "noise_vocabulary": 0,
        "noise_fraction": 0.0,
    }
    varied = ("vocabulary_size", "length", "train_examples")

    def check(self, setting: Setting) -> None:
        """Motifs that have tokens enough and fit into the length three times."""
        check_noise(setting)
        key, value = setting.whole("key_motif"), setting.whole("value_motif")
        if key < 1 or value < 1:
            raise refuse(setting, f"motifs of {key} and {value} tokens; give at least 1 each")
        least = max(2 * key, 2 * value - 1)  # values are the larger half
        special = setting.vocabulary_size - _pair_tokens(setting)
        check_vocabulary(
            setting, special + least, f"motifs of {key} and {value} need as many different tokens"
        )
        if setting.length < 3 * (key + value):
            raise refuse(
                setting,
                f"motifs of {key} and {value} tokens do not fit into length {setting.length}; "
                f"give a length of at least {3 * (key + value)}",
            )
        if (_pair_tokens(setting) // 2 + 1) ** key >= 2**62:
            raise refuse(setting, f"too many motifs of {key} tokens; give a smaller key_motif")

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`."""
        return in_blocks(count, setting.length, lambda rows: _draw(setting, split, rows, rng, compatible))

    def chance(self, setting: Setting) -> float:
        """One of the tokens of which values are made."""
        pairs = _pair_tokens(setting)
        return 1.0 / (pairs - pairs // 2)


def _pair_tokens(setting: Setting) -> int:
    """Tokens of keys and values: all but noise, padding and, where one key is probed, the copy marker."""
    return setting.vocabulary_size - setting.whole("noise_vocabulary") - (1 if setting["multi_query"] else 2)


class Motifs(NamedTuple):
    """Motifs of any shape: tokens with one more axis (only the first `size` of it count), and sizes."""

    tokens: Whole
    size: Whole


class Placed(NamedTuple):
    """Where things stand, counted from the first pair: starts of slots, of the inserted probe, the end."""

    start: Whole  # (rows, slots)
    kept: Flags  # (rows, slots)
    probe: Whole  # (rows,), meaningful where inserted
    inserted: Flags  # (rows,)
    end: Whole  # (rows,)


def _draw(setting: Setting, split: str, rows: int, rng: np.random.Generator, compatible: bool) -> Examples:
    train = split == "train"
    longest_key, longest_value = setting.whole("key_motif"), setting.whole("value_motif")
    longest = longest_key + longest_value
    slots = -(-setting.length // (2 if train else longest_key + 1))
    pairs = _pair_tokens(setting)
    half = pairs // 2

    probe_key = _motifs(rng, (rows,), longest_key, 0, half, fixed=not train)
    probe_value = _motifs(rng, (rows,), longest_value, half, pairs)
    key = _motifs(rng, (rows, slots), longest_key, 0, half, fixed=not train)
    fresh = _motifs(rng, (rows, slots), longest_value, half, pairs)

    ids, probe_id = _identity(key, half + 1), _identity(probe_key, half + 1)
    noise = None
    if setting["noise_fraction"] > 0:
        noise = rng.random((rows, slots)) < setting["noise_fraction"]
        ids = np.where(noise, -1 - np.arange(slots), ids)  # never equal to another
    first = first_occurrence(ids)
    is_probe = ids == probe_id[:, None]
    value = Motifs(
        np.where(
            is_probe[..., None],
            probe_value.tokens[:, None],
            np.take_along_axis(fresh.tokens, first[..., None], 1),
        ),
        np.where(is_probe, probe_value.size[:, None], np.take_along_axis(fresh.size, first, 1)),
    )
    if noise is not None:
        key = _noise(rng, noise, key, pairs, setting.whole("noise_vocabulary"))
        value = _noise(rng, noise, value, pairs, setting.whole("noise_vocabulary"))

    probe_size = probe_key.size + probe_value.size
    bound = setting.length - probe_size - longest  # pairs begin before it
    from_position = rng.integers(0, setting.length - 2 * probe_size if compatible else bound - longest + 1)
    placed = _place(key.size + value.size, is_probe, probe_size, from_position, bound)

    buffer = _Buffer(setting, rows, placed.end + probe_size)
    at = np.nonzero(placed.kept)
    buffer.write(at[0], placed.start[at], Motifs(key.tokens[at], key.size[at]))
    probed = first < np.arange(slots)
    after = placed.inserted[:, None] & is_probe & (placed.start > placed.probe[:, None])
    asked = (probed | after) & bool(setting["multi_query"])
    buffer.write(at[0], placed.start[at] + key.size[at], Motifs(value.tokens[at], value.size[at]), asked[at])

    into = np.nonzero(placed.inserted)[0]
    buffer.write_pair(into, placed.probe[into], _rows(probe_key, into), _rows(probe_value, into), asked=False)
    every = np.arange(rows)
    last = placed.end
    if not setting["multi_query"]:
        buffer.write_marker(every, last)
        last = last + 1
    buffer.write_pair(every, last, probe_key, probe_value, asked=True)
    return buffer.examples(train)


def _motifs(
    rng: np.random.Generator, shape: tuple[int, ...], longest: int, begin: int, end: int, fixed: bool = False
) -> Motifs:
    """Motifs of tokens `begin` .. `end - 1`, of the longest size if fixed, else of sizes drawn uniformly."""
    tokens = begin + distinct(rng, int(np.prod(shape)), longest, end - begin).reshape(*shape, longest)
    if fixed:
        return Motifs(tokens, np.full(shape, longest, dtype=np.int64))
    return Motifs(tokens, rng.integers(1, longest + 1, size=shape))


def _identity(key: Motifs, base: int) -> Whole:
    """A number for each motif, the same for equal ones only."""
    number = np.zeros(key.size.shape, dtype=np.int64)
    for c in range(key.tokens.shape[-1]):
        number = number * base + np.where(c < key.size, key.tokens[..., c] + 1, 0)
    return number


def _noise(rng: np.random.Generator, noise: Flags, motifs: Motifs, begin: int, count: int) -> Motifs:
    drawn = rng.integers(begin, begin + count, size=motifs.tokens.shape)
    return Motifs(np.where(noise[..., None], drawn, motifs.tokens), motifs.size)


def _rows(motifs: Motifs, rows: npt.NDArray[np.intp]) -> Motifs:
    return Motifs(motifs.tokens[rows], motifs.size[rows])


def _place(size: Whole, is_probe: Flags, probe_size: Whole, from_position: Whole, bound: Whole) -> Placed:
    """Slots one after the other, and the probe between two of them unless it has come by itself."""
    rows, slots = size.shape
    start = np.cumsum(size, axis=1) - size
    before = (start < from_position[:, None]).sum(axis=1)  # the slot before which the probe is due
    came = np.where(is_probe.any(axis=1), is_probe.argmax(axis=1), slots)
    due = start[np.arange(rows), np.minimum(before, slots - 1)]
    inserted = (came >= before) & (before < slots) & (due < bound)
    shift = inserted[:, None] & (np.arange(slots) >= before[:, None])
    start = start + np.where(shift, probe_size[:, None], 0)
    kept = start < bound[:, None]
    end = np.where(kept, size, 0).sum(axis=1) + np.where(inserted, probe_size, 0)
    return Placed(start, kept, due, inserted, end)


class _Buffer:
    """Sequences being written: all begin after the padding that makes them end together."""

    def __init__(self, setting: Setting, rows: int, sizes: Whole) -> None:
        self.length = setting.length
        self.marker = setting.vocabulary_size - 1
        pad = self.marker if setting["multi_query"] else self.marker - 1
        self.padding = setting.length + 1 - sizes - (0 if setting["multi_query"] else 1)
        self.tokens = np.full((rows, setting.length + 1), pad, dtype=np.int64)
        self.answers = np.full((rows, setting.length + 1), IGNORE, dtype=np.int64)

    def write(
        self, rows: npt.NDArray[np.intp], start: Whole, motifs: Motifs, asked: Flags | bool = False
    ) -> None:
        """Motifs, one for each entry of `rows`; the tokens of those asked become answers."""
        for c in range(motifs.tokens.shape[-1]):
            there = c < motifs.size
            row, tokens = rows[there], motifs.tokens[there, c]
            column = self.padding[row] + start[there] + c
            self.tokens[row, column] = tokens
            if asked is not False:
                answered = there & asked
                row = rows[answered]
                self.answers[row, self.padding[row] + start[answered] + c] = motifs.tokens[answered, c]

    def write_pair(
        self, rows: npt.NDArray[np.intp], start: Whole, key: Motifs, value: Motifs, asked: bool
    ) -> None:
        self.write(rows, start, key)
        self.write(rows, start + key.size, value, asked)

    def write_marker(self, rows: npt.NDArray[np.intp], start: Whole) -> None:
        self.tokens[rows, self.padding[rows] + start] = self.marker

    def examples(self, train: bool) -> Examples:
        """Inputs, and what follows each: every token in training, else the answers."""
        following = self.tokens if train else self.answers
        return Examples(self.tokens[:, :-1].copy(), following[:, 1:].copy())
