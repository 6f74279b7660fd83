"""The graph transformer whole: encoder and heads, for the tables of one vocabulary."""

from __future__ import annotations

from torch import nn

from ..features import OperationTable
from .config import TransformerConfig
from .encoder import GraphEncoder
from .heads import GapHead, HiddenHead, NextHead, SourceHead


class GraphTransformer(nn.Module):
    """One encoder and a head for each task.

    `labels` are the classes that graphs are told apart by; there may be none.
    """

    def __init__(
        self, config: TransformerConfig, table: OperationTable, labels: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.config, self.table, self.labels = config, table, labels
        width, operations = config.width, len(table)
        self.encoder = GraphEncoder(config, table)
        self.operation = HiddenHead(config, table.size, operations)
        self.link = SourceHead(width, config.order)
        self.gap = GapHead(config, table.size)
        self.next = NextHead(config, table.size, operations)
        self.label = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, max(1, len(labels))))

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters())
