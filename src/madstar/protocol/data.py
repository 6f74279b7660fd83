"""Where a setting's examples come from: the generator, or a directory in mad-lab's benchmark layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import TaskError
from ..tasks.mechanistic import Examples, Setting, generate
from ..tasks.mechanistic.layout import Stored


@dataclass(frozen=True)
class Source:
    """The examples of one setting by split.

    `directory` is the setting's in mad-lab's layout, or None: then examples are generated. That layout
    has no validation split, and its training targets are every next token, most of them unpredictable.
    So where the protocol selects on "valid" (`selecting`), the first half of its test examples are
    those that select, and the second half are the test.
    """

    setting: Setting
    compatible: bool
    selecting: bool
    directory: str | None = None

    def examples(self, split: str, seed: int) -> Examples:
        """The examples of a split; a directory's are the same whatever the seed. Raises TaskError."""
        if self.directory is None:
            return generate(self.setting, split, seed, self.compatible)
        stored = Stored(self.setting, seed, Path(self.directory))
        if split == "train" or not self.selecting:
            return stored.examples("train" if split == "train" else "test")
        test = stored.examples("test")
        half = len(test.inputs) // 2
        if half == 0:
            raise TaskError(f"{self.directory}: only one test example, and half must select: give two")
        chosen = slice(None, half) if split == "valid" else slice(half, None)
        return Examples(*(np.asarray(part[chosen]) for part in test))
