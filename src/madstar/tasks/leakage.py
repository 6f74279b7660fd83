"""Which held-out windows stand in the training set, exactly, in memory that does not grow with it.

Every training position gets a polynomial hash of the tokens from it on, all positions of a chunk at
once: with base B (odd, so invertible modulo 2^64) and prefix sums S of token * B^i, the window at i
hashes to (S[i + length] - S[i]) * B^-i. A position whose hash is a held-out window's is compared
token by token, so a collision costs time and never an answer.
"""

from collections.abc import Iterator

import numpy as np

from madstar.tasks.manifest import LeakageReport, SplitLeakage

NGRAM = 32
"""Tokens in the short stretches whose share in training is reported beside the windows."""
_NGRAM_SAMPLES = 2048

_CHUNK = 1 << 16
_BATCH_TOKENS = 1 << 17
_BASE = 0x9E3779B97F4A7C15
_MIX_SEED = 20_241_126


def check_leakage(
    train: np.ndarray, held_out: dict[str, np.ndarray], length: int, vocabulary_size: int
) -> LeakageReport:
    """Report which fixed windows of the held-out splits must not be evaluated on.

    A window has `length + 1` tokens, its inputs and its targets; it is excluded when either stands
    in `train` at any position. Arrays are tokens, one-dimensional, and may be memory-mapped.
    """
    splits = {}
    for name, tokens in held_out.items():
        starts = np.arange(len(tokens) // (length + 1), dtype=np.int64) * (length + 1)
        both = np.concatenate([starts, starts + 1])
        found = stands_in(train, tokens, both, length, vocabulary_size)
        leaked = found[: len(starts)] | found[len(starts) :]
        splits[name] = SplitLeakage(
            windows=len(starts),
            excluded=tuple(starts[leaked].tolist()),
            ngram_share=_ngram_share(train, tokens, vocabulary_size),
        )
    return LeakageReport(length=length, ngram=NGRAM, splits=splits)


def _ngram_share(train: np.ndarray, tokens: np.ndarray, vocabulary_size: int) -> float:
    """Return the share of a fixed sample of the split's n-grams that stand in training."""
    places = len(tokens) - NGRAM + 1
    if places < 1:
        return 0.0
    samples = min(_NGRAM_SAMPLES, places)
    starts = np.arange(samples, dtype=np.int64) * places // samples
    return float(stands_in(train, tokens, starts, NGRAM, vocabulary_size).mean())


def stands_in(
    train: np.ndarray, held: np.ndarray, starts: np.ndarray, length: int, vocabulary_size: int
) -> np.ndarray:
    """Return, for each start, whether held[start : start + length] stands anywhere in `train`."""
    if not len(starts) or len(train) < length:
        return np.zeros(len(starts), dtype=bool)
    hashing = _Hashing(length, vocabulary_size)
    index = _Index(held, starts, hashing)
    for first, hashes in hashing.every_position(train):
        index.look_up(train, first, hashes)
        if index.all_found():
            break
    return index.found()


class _Hashing:
    """The powers and the token values that hashes of windows of one length are made of."""

    def __init__(self, length: int, vocabulary_size: int) -> None:
        self.length = length
        self.chunk = max(_CHUNK, 4 * length)
        # Hashing small integers as they are would leave the hash's low bits nearly constant.
        self._values = np.random.default_rng(_MIX_SEED).integers(
            0, 1 << 64, size=vocabulary_size, dtype=np.uint64, endpoint=False
        )
        self._powers = _geometric(_BASE, self.chunk)
        self._inverse = _geometric(pow(_BASE, -1, 1 << 64), self.chunk)

    def every_position(self, tokens: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first position, hashes of the windows that start there and after), chunk by chunk."""
        step = self.chunk - self.length + 1
        for first in range(0, len(tokens) - self.length + 1, step):
            terms = self._values[tokens[first : first + self.chunk]]
            terms *= self._powers[: len(terms)]
            sums = np.zeros(len(terms) + 1, dtype=np.uint64)
            np.cumsum(terms, out=sums[1:])
            hashes = sums[self.length :] - sums[: -self.length]
            hashes *= self._inverse[: len(hashes)]
            yield first, hashes

    def at(self, tokens: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the hashes of the windows at `starts`."""
        hashes = np.empty(len(starts), dtype=np.uint64)
        for part in _batches(len(starts), self.length):
            values = self._values[gather(tokens, starts[part], self.length)]
            hashes[part] = (values * self._powers[: self.length]).sum(axis=1, dtype=np.uint64)
        return hashes


class _Index:
    """Held-out windows by their hashes; equal windows are one entry."""

    def __init__(self, held: np.ndarray, starts: np.ndarray, hashing: _Hashing) -> None:
        self._held = held
        self._length = hashing.length
        hashes = hashing.at(held, starts)
        order = np.argsort(hashes, kind="stable")
        hashes, starts = hashes[order], starts[order]
        first = self._first_of_equals(hashes, starts)
        self._entry = np.empty(len(starts), dtype=np.int64)
        self._entry[order] = np.cumsum(first) - 1
        self._hashes, self._starts = hashes[first], starts[first]
        self._found = np.zeros(len(self._starts), dtype=bool)
        # Most positions match nothing: a table of the hashes' upper bits says so at a fraction of a search.
        bits = min(24, max(16, (16 * len(starts)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, dtype=bool)
        self._table[self._hashes >> self._shift] = True

    def _first_of_equals(self, hashes: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return, over windows sorted by hash, which differ from the one before."""
        first = np.ones(len(starts), dtype=bool)
        ties = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        for part in _batches(len(ties), self._length):
            here = gather(self._held, starts[ties[part]], self._length)
            before = gather(self._held, starts[ties[part] - 1], self._length)
            first[ties[part]] = (here != before).any(axis=1)
        return first

    def all_found(self) -> bool:
        return bool(self._found.all())

    def found(self) -> np.ndarray:
        """Return, for each start the index was made of, whether its window was found."""
        return self._found[self._entry]

    def look_up(self, train: np.ndarray, first: int, hashes: np.ndarray) -> None:
        """Mark the entries that stand in `train` at the positions from `first` on."""
        offsets = np.flatnonzero(self._table[hashes >> self._shift])
        if not len(offsets):
            return
        low = np.searchsorted(self._hashes, hashes[offsets], side="left")
        high = np.searchsorted(self._hashes, hashes[offsets], side="right")
        while (hit := low < high).any():  # more than once only where different windows collide
            offsets, low, high = offsets[hit], low[hit], high[hit]
            self._confirm(train, first + offsets, low)
            low = low + 1

    def _confirm(self, train: np.ndarray, positions: np.ndarray, entries: np.ndarray) -> None:
        """Compare windows of `train` with entries; each entry until it is found once."""
        while len(entries):
            new = ~self._found[entries]
            positions, entries = positions[new], entries[new]
            _, chosen = np.unique(entries, return_index=True)
            for part in _batches(len(chosen), self._length):
                here = gather(train, positions[chosen[part]], self._length)
                there = gather(self._held, self._starts[entries[chosen[part]]], self._length)
                self._found[entries[chosen[part]]] |= (here == there).all(axis=1)
            rest = np.ones(len(entries), dtype=bool)
            rest[chosen] = False
            positions, entries = positions[rest], entries[rest]


def gather(tokens: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return tokens[start : start + length] for each start, shape (starts, length)."""
    return np.asarray(tokens[starts[:, None] + np.arange(length)])


def _batches(rows: int, length: int) -> Iterator[slice]:
    size = max(1, _BATCH_TOKENS // length)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def _geometric(ratio: int, count: int) -> np.ndarray:
    """Return ratio^0, ratio^1, ... modulo 2^64."""
    terms = np.full(count, ratio, dtype=np.uint64)
    terms[0] = 1
    return np.cumprod(terms, dtype=np.uint64)
