"""Compression: the whole sequence is to be told from what the last token's output holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from .setting import Setting, Value
from .task import AUTO_ENCODER, IGNORE, Examples, Task, check_noise, check_vocabulary, refuse


class Compression(Task):
    """Tokens drawn uniformly, then a compression token; all are asked, each at its own position.

    Noise tokens may take the place of content, and are not asked. In evaluation the compression token
    is not asked, since it is the same in every sequence. mad-lab asks for it and throws the mask of the
    noise away: `compatible` does so too.
    """

    name = "compression"
    summary = "tell the whole sequence from the state after its last token"
    source = "arXiv 2403.17844, section 3.1"
    backbone = AUTO_ENCODER
    fields: ClassVar[Mapping[str, Value]] = {"noise_vocabulary": 0, "noise_fraction": 0.0}
    varied = ("vocabulary_size", "length", "train_examples")

    def check(self, setting: Setting) -> None:
        """At least one content token, and noise that can be drawn."""
        if setting.length < 2:
            raise refuse(setting, f"length is {setting.length}; give at least 2")
        check_noise(setting)
        noise = setting.whole("noise_vocabulary")
        check_vocabulary(setting, noise + 2, "a content token and the compression token are needed")

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """See `Task.draw`."""
        marker = setting.vocabulary_size - 1
        content = marker - setting.whole("noise_vocabulary")
        inputs = np.full((count, setting.length), marker, dtype=np.int64)
        inputs[:, :-1] = rng.integers(0, content, size=(count, setting.length - 1))
        targets = inputs.copy()
        if setting["noise_fraction"] > 0:
            noise = rng.random((count, setting.length - 1)) < setting["noise_fraction"]
            inputs[:, :-1][noise] = rng.integers(content, marker, size=int(noise.sum()))
            targets[:, :-1][noise] = IGNORE
        if compatible:
            return Examples(inputs, inputs.copy())
        if split != "train":
            targets[:, -1] = IGNORE
        return Examples(inputs, targets)

    def chance(self, setting: Setting) -> float:
        """One of the content tokens."""
        return 1.0 / (setting.vocabulary_size - 1 - setting.whole("noise_vocabulary"))
