"""Draws that several tasks need, for many examples at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .task import Examples

BLOCK_TOKENS = 1 << 17
"""Examples are drawn in blocks of about so many tokens: working memory is small and stays in the cache."""


def in_blocks(count: int, length: int, draw: Callable[[int], Examples]) -> Examples:
    """`count` examples from draws of at most a block each, one after the other."""
    rows = max(1, BLOCK_TOKENS // length)
    if count <= rows:
        return draw(count)
    inputs = np.empty((count, length), dtype=np.int64)
    targets = np.empty((count, length), dtype=np.int64)
    for begin in range(0, count, rows):
        end = min(begin + rows, count)
        inputs[begin:end], targets[begin:end] = draw(end - begin)
    return Examples(inputs, targets)


def first_occurrence(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """For each entry of a row the column at which its value stands for the first time in that row."""
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    begins = np.ones(ids.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    columns = np.arange(ids.shape[1])
    group = np.maximum.accumulate(np.where(begins, columns, 0), axis=1)
    first = np.empty(ids.shape, dtype=np.intp)
    np.put_along_axis(first, order, np.take_along_axis(order, group, axis=1), axis=1)
    return first


def choose(rng: np.random.Generator, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """One column for each row, uniformly among those allowed. Each row must allow at least one."""
    rank = (rng.random(len(allowed)) * allowed.sum(axis=1)).astype(np.intp)
    found: npt.NDArray[np.intp] = np.argmax(
        np.cumsum(allowed, axis=1, dtype=np.int32) > rank[:, None], axis=1
    )
    return found


def distinct(rng: np.random.Generator, rows: int, size: int, upper: int) -> npt.NDArray[np.int64]:
    """Ordered draws without replacement: (rows, size) numbers below `upper`, distinct in each row.

    The j-th draw is one of the `upper - j` numbers left, counted past those already taken.
    """
    drawn = np.empty((rows, size), dtype=np.int64)
    taken = np.empty((rows, 0), dtype=np.int64)  # ascending in each row
    for j in range(size):
        number = rng.integers(0, upper - j, size=rows)
        for i in range(j):
            number += number >= taken[:, i]
        drawn[:, j] = number
        if j + 1 < size:
            taken = np.sort(np.concatenate([taken, number[:, None]], axis=1), axis=1)
    return drawn
