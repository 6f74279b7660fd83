"""The two protocols by which an architecture is scored on MAD's tasks. Their scores are never compared.

"mad-lab" does what the published code does, so that scores can be set beside published ones: constant
learning rate, accuracy averaged over classes within each batch, and the sweep point as well as the
epoch chosen on the very test data whose accuracy is reported. "sound" is what a score should be:
the sweep point is chosen on validation data, the rate decays, what is reported is the share of right
answers on test data that chose nothing, and the trainings are repeated with other seeds.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..training.example_settings import Accuracy, Schedule


@dataclass(frozen=True, order=True)
class SweepPoint:
    """One point of the sweep; its text is how the archive names it."""

    learning_rate: float
    weight_decay: float

    def __str__(self) -> str:
        return f"lr={self.learning_rate:g},wd={self.weight_decay:g}"


@dataclass(frozen=True)
class Protocol:
    """How models are trained and scored.

    `metric` is the accuracy reported, on the test split: "micro" (share of probed tokens that are right)
    or "batch_macro" (averaged over classes within a batch, then over batches). `selection` is the split
    that chooses among sweep points. With `best_epoch` a training's score is that of its best
    evaluation, not of its last. `compatible` data have the published generator's defects. `seeds` is
    how often a setting's chosen sweep point is trained. `embedding_std` is that of fresh embeddings of
    architectures given by layers.
    """

    name: str
    metric: Accuracy
    selection: str
    schedule: Schedule
    best_epoch: bool
    compatible: bool
    points: tuple[SweepPoint, ...]
    clip: float | None
    seeds: int
    embedding_std: float

    @property
    def selection_metric(self) -> str:
        """The value of a row by which sweep points are compared."""
        return f"{self.selection}_{self.metric}"

    @property
    def test_metric(self) -> str:
        """The value of a row that is the score."""
        return f"test_{self.metric}"


_RATES, _DECAYS = (1e-4, 5e-4, 1e-3), (0.0, 0.1)
_PUBLISHED = tuple(SweepPoint(rate, decay) for rate in _RATES for decay in _DECAYS)

MAD_LAB = Protocol(
    name="mad-lab",
    metric="batch_macro",
    selection="test",
    schedule="constant",
    best_epoch=True,
    compatible=True,
    points=_PUBLISHED,
    clip=None,
    seeds=1,
    embedding_std=0.02,
)
SOUND = Protocol(
    name="sound",
    metric="micro",
    selection="valid",
    schedule="cosine",
    best_epoch=False,
    compatible=False,
    points=_PUBLISHED,
    clip=1.0,
    seeds=3,
    embedding_std=1.0,
)
PROTOCOLS = {protocol.name: protocol for protocol in (SOUND, MAD_LAB)}
SOLVED = 0.999
"""The accuracy on the selecting split from which a setting counts as solved (arXiv 2403.17844, B.1)."""


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises ConfigurationError for an unknown one."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigurationError(f"unknown protocol {name!r}{hint}: choose {' or '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
