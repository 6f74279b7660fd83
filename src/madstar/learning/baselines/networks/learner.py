"""Networks as learners: the graph transformer's training, with its encoder or another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ....errors import ConfigurationError
from ...datasets.examples import Classified
from ...features import OperationTable
from ...pretraining.answering import Masked, predict
from ...pretraining.data import training_data
from ...pretraining.settings import TrainingSettings
from ...pretraining.training import Trainer, optimizer_of
from ...transformer.config import TransformerConfig
from ...transformer.model import GraphTransformer
from ..learner import Views
from .encoders import MessageEncoder, SequenceEncoder

Encoder = Callable[[TransformerConfig, OperationTable], nn.Module]
Progress = Callable[[int, int], None]


def gin(config: TransformerConfig, table: OperationTable) -> nn.Module:
    """A graph isomorphism network."""
    return MessageEncoder(config, table, attention=False)


def gat(config: TransformerConfig, table: OperationTable) -> nn.Module:
    """A graph attention network."""
    return MessageEncoder(config, table, attention=True)


ENCODERS: Mapping[str, Encoder | None] = {
    "graph transformer": None,
    "sequence transformer": SequenceEncoder,
    "GIN": gin,
    "GAT": gat,
}
"""By name; None is the graph transformer's own."""


class Network:
    """One network for all tasks but performance, trained once on all of them together.

    Args:
        name: One of `ENCODERS`.
        config: Sizes; the same for all networks.
        settings: The budget; its seed is replaced by that of `fit`.
        device: Where it is trained and asked.
        families: The family of each entry; those with many entries are drawn less often.
        progress: Is told steps done and in all.
    """

    def __init__(
        self,
        name: str,
        config: TransformerConfig | None = None,
        settings: TrainingSettings | None = None,
        device: torch.device | str = "cpu",
        families: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if name not in ENCODERS:
            raise ConfigurationError(f"there is no network {name!r}; networks are {', '.join(ENCODERS)}")
        self.name = name
        self.config, self.settings = config or TransformerConfig(), settings or TrainingSettings()
        self.device, self.families, self.progress = device, families, progress

    def fit(self, train: Sequence[Any], valid: Sequence[Any], views: Views, seed: int) -> None:
        """Learn from the graphs of these examples, all tasks; labels are those of `Classified` among them."""
        entries = tuple(dict.fromkeys(example.entry for example in train))
        labels = {e.entry: e.label for e in train if isinstance(e, Classified)}
        data = training_data({e: views[e] for e in entries}, entries, {}, "", self.families, labels)
        settings = TrainingSettings.from_dict({**self.settings.to_dict(), "seed": seed})
        trainer = Trainer(data, self.config, settings, self.device)
        if (encoder := ENCODERS[self.name]) is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                trainer.model.encoder = encoder(self.config, data.table).to(self.device)  # type: ignore[assignment]
            _without_pairs(trainer.model)
            _wired(trainer.model, encoder is not SequenceEncoder)
            trainer.optimizer = optimizer_of(trainer.model, settings)
        trainer.advance(settings.steps, self.progress)
        self.model, self.seconds = trainer.model, trainer.seconds

    def predict(self, examples: Sequence[Any], views: Views) -> list[Any]:
        """An answer for each example, of any task."""
        return _answers(self.model, examples, views)

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


class Trained:
    """A graph transformer that was trained before, as a learner that has nothing more to learn."""

    name = "graph transformer"

    def __init__(self, model: GraphTransformer) -> None:
        self.model = model

    def fit(self, train: Sequence[Any], valid: Sequence[Any], views: Views, seed: int) -> None:
        """Nothing."""

    def predict(self, examples: Sequence[Any], views: Views) -> list[Any]:
        """An answer for each example, of any task but performance."""
        return _answers(self.model, examples, views)


def _answers(model: GraphTransformer, examples: Sequence[Any], views: Views) -> list[Any]:
    """The transformer's answers in the form that is judged: of masked operations the likeliest alone."""
    return [each.operations if isinstance(each, Masked) else each for each in predict(model, examples, views)]


def _without_pairs(model: GraphTransformer) -> None:
    """Leave the heads for sources bilinear: what two nodes are to one another belongs to the transformer.

    Distances in the order of computation stay for all, shapes too.
    """
    for head in (model.link, model.next.sources):
        head.pair.weight.requires_grad_(False).zero_()


def _wired(model: GraphTransformer, wired: bool) -> None:
    """Whether the heads may read what a node is joined to."""
    for local in (model.next.local, model.gap.near.around, model.operation.local.around):
        local.wired = wired
