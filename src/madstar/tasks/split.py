"""What is trained on and what is held out, decided by document and by content.

The unit of the split is a document, or a piece of a long one. Units are put in the order of a
seeded hash of their text and taken from the front for validation and for test, until each has its
share; so copies of a text always land together, and the order of the files decides nothing.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from madstar.tasks.readers import Fragment

SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)

HELD_OUT_SHARE = 0.05
"""The share of all tokens that goes to validation, and again to test."""
HELD_OUT_WINDOWS = 10
"""Windows that validation and test hold at least, where 5% of the text would be fewer."""
MINIMUM_WINDOWS = 4 * HELD_OUT_WINDOWS
"""Windows that a text must have, so that at least a quarter of the shortest is for training."""
PIECE_BYTES = 1 << 16
"""The longest unit of the split; a longer document is cut."""
PEEK_BYTES = 50 * PIECE_BYTES
"""How much has to be seen to choose the length of the pieces."""


class Piece(NamedTuple):
    """A unit of the split; `continues` when the next piece goes on with the same document."""

    text: bytes
    continues: bool


def piece_bytes(total: int | None, length: int) -> int:
    """Return the longest unit of the split, in bytes, for `total` bytes of text (None: very many).

    A piece is at most 1/50 of the text, so that a share of 5% can be met, but no shorter than two
    windows of `length` tokens, so that little of a held-out part is seams.
    """
    share = PIECE_BYTES if total is None else min(PIECE_BYTES, total // 50)
    return max(share, 2 * (length + 1))


def cut(fragments: Iterable[Fragment], limit: int) -> Iterator[Piece]:
    """Yield documents whole, or in pieces of at most `limit` bytes that end where a line ends.

    A line too long for a piece is cut at a space or, failing that, between two characters. Where
    a document is cut does not depend on how it came in fragments. Empty documents are left out.
    """
    buffer = bytearray()
    for fragment in fragments:
        buffer += fragment.text
        start = 0
        while len(buffer) - start > limit:
            end = _cut_at(buffer, start, limit)
            yield Piece(bytes(buffer[start:end]), continues=True)
            start = end
        del buffer[:start]
        if fragment.last:
            if buffer:
                yield Piece(bytes(buffer), continues=False)
            buffer.clear()


def _cut_at(buffer: bytearray, start: int, limit: int) -> int:
    for mark in (b"\n", b" "):
        found = buffer.rfind(mark, start + limit // 2, start + limit)
        if found >= 0:
            return found + 1
    end = start + limit
    while buffer[end] & 0xC0 == 0x80:  # the middle of a character
        end -= 1
    return end


def held_out_target(total: int, length: int) -> int:
    """Return the tokens wanted in each held-out split of `total` tokens."""
    return max(int(total * HELD_OUT_SHARE), HELD_OUT_WINDOWS * (length + 1))


def assign(keys: np.ndarray, tokens: np.ndarray, target: int) -> np.ndarray:
    """Return each unit's split: 0 training, 1 validation, 2 test.

    `keys` are the units' seeded hashes (uint64), `tokens` their lengths. Units with equal keys are
    one group. A group goes to a held-out split only if it brings it nearer to `target` and is at
    most half of it, so that one text copied a thousand times does not become the validation set.
    """
    groups, member = np.unique(keys, return_inverse=True)
    sizes = np.bincount(member, weights=tokens).astype(np.int64)
    of_group = np.zeros(len(groups), dtype=np.uint8)
    held = {VALID: 0, TEST: 0}
    for group, size in enumerate(sizes.tolist()):
        if min(held.values()) >= target:
            break
        if size > target // 2:
            continue
        split = next((split for split in held if size <= 2 * (target - held[split])), None)
        if split is not None:
            of_group[group] = split
            held[split] += size
    return of_group[member]
