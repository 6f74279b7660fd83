"""Selective copying: say the content tokens again in their order, without the blanks between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .drawing import in_blocks
from .setting import Setting, Value
from .task import IGNORE, Examples, Task, check_vocabulary, refuse


class SelectiveCopying(Task):
    """Content tokens among blanks, a copy marker, then as many blanks, at which the content is asked.

    The tokens are content (0 .. vocabulary_size - 3), the blank, the copy marker. Content is drawn
    uniformly; each blank falls into one of the gaps around the content tokens, all equally likely.
    mad-lab leaves out the gap after the last content token, which therefore always stands right before
    the copy marker: `compatible` does so too.
    """

    name = "selective-copying"
    summary = "repeat the content tokens in order, leaving out the blanks"
    source = "arXiv 2403.17844, section 3.1"
    fields: ClassVar[Mapping[str, Value]] = {"tokens_to_copy": 16}
    varied = ("vocabulary_size", "length", "train_examples", "tokens_to_copy")

    def check(self, setting: Setting) -> None:
        """At least one token to copy and one blank between."""
        copied = setting.whole("tokens_to_copy")
        if copied < 1:
            raise refuse(setting, f"tokens_to_copy is {copied}; give at least 1")
        if setting.length < 2 * copied + 2:
            raise refuse(
                setting,
                f"{copied} tokens to copy do not fit into length {setting.length}; "
                f"give a length of at least {2 * copied + 2}",
            )
        check_vocabulary(setting, 3, "a content token, a blank and a copy marker are needed")

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`."""
        return in_blocks(count, setting.length, lambda rows: _draw(setting, rows, rng, compatible))

    def chance(self, setting: Setting) -> float:
        """One of the content tokens."""
        return 1.0 / (setting.vocabulary_size - 2)


def _draw(setting: Setting, rows: int, rng: np.random.Generator, compatible: bool) -> Examples:
    copied, length = setting.whole("tokens_to_copy"), setting.length
    blank, marker = setting.vocabulary_size - 2, setting.vocabulary_size - 1
    content = rng.integers(0, blank, size=(rows, copied))
    gaps = copied if compatible else copied + 1
    blanks = length - 2 * copied - 1
    fallen = rng.integers(0, gaps, size=(rows, blanks)) + gaps * np.arange(rows)[:, None]
    in_gap = np.bincount(fallen.ravel(), minlength=rows * gaps).reshape(rows, gaps)
    # A content token stands after the content before it and the blanks of all gaps up to it.
    place = np.arange(copied) + np.cumsum(in_gap, axis=1)[:, :copied]
    inputs = np.full((rows, length), blank, dtype=np.int64)
    np.put_along_axis(inputs, place, content, axis=1)
    inputs[:, length - copied - 1] = marker
    targets = np.full((rows, length), IGNORE, dtype=np.int64)
    targets[:, length - copied :] = content
    return Examples(inputs, targets)
