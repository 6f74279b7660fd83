"""Noisy in-context recall: tokens that mean nothing stand between the pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .in_context_recall import InContextRecall
from .setting import Value


class NoisyInContextRecall(InContextRecall):
    """In-context recall in which a share of the pairs is two noise tokens, drawn uniformly.

    The noise tokens are part of the vocabulary and mean nothing else. Training asks for them too, as for
    every next token. One pair before the last is never noise, so that there is a key to be probed.
    """

    name = "noisy-in-context-recall"
    summary = "recall values past tokens that mean nothing"
    source = "arXiv 2403.17844, section 3.1"
    fields: ClassVar[Mapping[str, Value]] = {
        "multi_query": True,
        "noise_vocabulary": 16,
        "noise_fraction": 0.2,
    }
    varied: ClassVar[tuple[str, ...]] = ("vocabulary_size", "length", "train_examples", "noise_fraction")
