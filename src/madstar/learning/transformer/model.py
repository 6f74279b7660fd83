"""The graph transformer whole: encoder and heads, for the tables of one vocabulary."""

from __future__ import annotations

from torch import nn

from ...graph.model import Graph
from ..features import OperationTable
from .config import TransformerConfig
from .encoder import GraphEncoder
from .heads import GapHead, HiddenHead, NextHead, SourceHead
from .of_graph import EncoderOfGraph


class GraphTransformer(nn.Module):
    """One encoder and a head for each task.

    `labels` are the classes that graphs are told apart by; there may be none. With `encoder`, that graph's
    computation stands where this package's own encoder would (`of_graph.py`).

    Raises ConfigurationError for a graph that is no encoder of these sizes.
    """

    def __init__(
        self,
        config: TransformerConfig,
        table: OperationTable,
        labels: tuple[str, ...] = (),
        encoder: Graph | None = None,
    ) -> None:
        super().__init__()
        self.config, self.table, self.labels = config, table, labels
        width, operations = config.width, len(table)
        self.encoder_graph = encoder
        self.encoder = (
            GraphEncoder(config, table) if encoder is None else EncoderOfGraph(encoder, config, table)
        )
        self.operation = HiddenHead(config, table.size, operations)
        self.link = SourceHead(width, config.order)
        self.gap = GapHead(config, table.size)
        self.next = NextHead(config, table.size, operations)
        self.label = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, max(1, len(labels))))

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters())
