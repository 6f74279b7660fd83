"""The losses of all tasks over a batch of questions, from one pass of the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from ..transformer.batch import Batch, batch_of
from ..transformer.heads import SourceRows
from ..transformer.model import GraphTransformer
from .questions import NOWHERE, UNTOLD, Question

TRAINED = ("operation", "link", "incomplete", "completion", "classification")
SHARES: Mapping[str, float] = MappingProxyType(
    {"operation": 0.42, "link": 0.16, "incomplete": 0.22, "completion": 0.14, "classification": 0.06}
)
"""How many of a step's graphs are asked each task."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"operation": 1.0, "link": 0.5, "incomplete": 0.5, "completion": 0.4, "classification": 0.1}
)
"""What each task's mean loss counts in the whole."""

_SMOOTHING = 0.05
_MISSING = 0.3
_SOURCES = 48


@dataclass
class Sums:
    """Sums of losses by task, with the weight they are a sum over."""

    loss: dict[str, Tensor] = field(default_factory=dict)
    count: dict[str, float] = field(default_factory=dict)

    def add(self, task: str, loss: Tensor, count: float) -> None:
        """Count a part of a batch in."""
        self.loss[task] = self.loss[task] + loss if task in self.loss else loss
        self.count[task] = self.count.get(task, 0.0) + count


def source_rows(
    batch: Batch, graph: Int[Tensor, " k"], node: Int[Tensor, " k"], positions: Int[Tensor, " k"], own: bool
) -> SourceRows:
    """The rows of questions for sources; `own`: the node itself may be the answer too."""
    shapes = batch.shapes[graph]
    shape = batch.shapes[graph, node][:, None]
    before = torch.arange(shapes.shape[1], device=shapes.device)[None, :] < (node + own)[:, None]
    return SourceRows(
        graph,
        positions,
        batch.relations[graph, node],
        batch.orders[graph, node],
        (shapes == shape) & (shape > 0),
        before,
    )


def sums_of_losses(
    model: GraphTransformer,
    asked: Sequence[Question],
    class_weights: Float[Tensor, " operations"] | None = None,
    half: bool = False,
) -> Sums:
    """Sums of the losses of these questions by task; masked nodes count by the root of their number.

    `half`: compute in bfloat16.
    """
    device = next(model.parameters()).device
    batch = batch_of([q.features for q in asked]).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        return _sums(model, asked, batch, class_weights)


def _sums(
    model: GraphTransformer, asked: Sequence[Question], batch: Batch, class_weights: Tensor | None
) -> Sums:
    device = batch.nodes.device
    encoded = model.encoder(batch)
    tokens = encoded.tokens
    sums = Sums()
    by_task = {task: [i for i, q in enumerate(asked) if q.task == task] for task in TRAINED}
    if found := by_task["operation"]:
        _operations(model, batch, asked, found, tokens, class_weights, sums)
    if found := by_task["link"]:
        _links(model, batch, asked, found, tokens, sums)
    if found := by_task["incomplete"]:
        picked = torch.tensor(found, device=device)
        read = (batch.operations[picked], batch.relations[picked], batch.nodes[picked])
        sums.add("incomplete", *_gaps(model.gap(tokens[picked], *read), [asked[i] for i in found]))
    if found := by_task["completion"]:
        _completions(model, batch, asked, found, tokens, sums)
    if found := by_task["classification"]:
        answers = _numbers([asked[i].answers[0] for i in found], device)
        logits = model.label(encoded.pooled[torch.tensor(found, device=device)])
        known = answers != UNTOLD
        loss = F.cross_entropy(logits.float(), answers.clamp_min(0), reduction="none")
        sums.add("classification", (loss * known).sum(), float(known.sum()))
    return sums


def _numbers(values: Sequence[int] | np.ndarray, device: torch.device) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.int64), device=device)


def flat(
    asked: Sequence[Question], found: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Graph, node, position and answer of all that these questions ask, side by side."""
    graph = np.repeat(np.array(found), [len(asked[i].asked) for i in found])
    rest = [np.concatenate([getattr(asked[i], n) for i in found]) for n in ("asked", "positions", "answers")]
    return (
        _numbers(graph, device),
        _numbers(rest[0], device),
        _numbers(rest[1], device),
        _numbers(rest[2], device),
    )


def _operations(
    model: GraphTransformer,
    batch: Batch,
    asked: Sequence[Question],
    found: Sequence[int],
    tokens: Tensor,
    class_weights: Tensor | None,
    sums: Sums,
) -> None:
    graph, node, _, answers = flat(asked, found, tokens.device)
    picked = torch.tensor(found, device=tokens.device)  # rising
    read = (batch.operations[picked], batch.relations[picked], batch.nodes[picked])
    every = model.operation(tokens[picked], *read)
    logits = every[torch.searchsorted(picked, graph), node].float()
    share = np.concatenate([np.full(len(asked[i].asked), len(asked[i].asked) ** -0.5) for i in found])
    weight = torch.as_tensor(share, dtype=torch.float32, device=tokens.device) * (answers != NOWHERE)
    if class_weights is not None:
        weight = weight * class_weights[answers.clamp_min(0)]
    loss = F.cross_entropy(logits, answers.clamp_min(0), reduction="none", label_smoothing=_SMOOTHING)
    sums.add("operation", (loss * weight).sum(), float(weight.sum()))


def _links(
    model: GraphTransformer,
    batch: Batch,
    asked: Sequence[Question],
    found: Sequence[int],
    tokens: Tensor,
    sums: Sums,
) -> None:
    graph, node, positions, answers = flat(asked, found, tokens.device)
    rows = source_rows(batch, graph, node, positions, own=False)
    scores, missing = model.link(tokens[graph, node], tokens, rows)
    known = answers >= 0
    loss = F.cross_entropy(scores.float(), answers.clamp_min(0), reduction="none") * known
    judged = F.binary_cross_entropy_with_logits(missing.float(), (answers != NOWHERE).float())
    sums.add("link", loss.sum() + _MISSING * judged * known.sum(), float(known.sum()))


def local_loss(model: GraphTransformer, asked: Sequence[Question]) -> Tensor:
    """The mean loss of these questions, all of one task, as what stands close by says it alone.

    Completions are asked for the next operations, incomplete graphs for their gaps. The encoder has no part
    in it, so many more nodes can be asked for the same time.
    """
    device = next(model.parameters()).device
    batch = batch_of([q.features for q in asked]).to(device)
    if asked[0].task == "incomplete":
        loss, count = _gaps(model.gap.local(batch.operations, batch.relations, batch.nodes), asked)
        return loss / max(1.0, count)
    graph, node, _, answers = flat(asked, range(len(asked)), device)
    known = answers >= 0
    logits = model.next.local(batch, graph, node).float()
    loss = F.cross_entropy(logits, answers.clamp_min(0), reduction="none") * known
    return loss.sum() / known.sum().clamp_min(1)


def _gaps(logits: Float[Tensor, "g 1+t"], asked: Sequence[Question]) -> tuple[Tensor, float]:
    """The sum of the losses of these graphs' gaps, and over how many."""
    answers = _numbers([question.answers[0] for question in asked], logits.device)
    known = answers != UNTOLD
    loss = F.cross_entropy(logits.float(), torch.where(known, answers + 1, 0), reduction="none")
    return (loss * known).sum(), float(known.sum())


def _completions(
    model: GraphTransformer,
    batch: Batch,
    asked: Sequence[Question],
    found: Sequence[int],
    tokens: Tensor,
    sums: Sums,
) -> None:
    graph, node, _, answers = flat(asked, found, tokens.device)
    known = answers >= 0
    logits = model.next.operations(batch, tokens, graph, node).float()
    loss = F.cross_entropy(logits, answers.clamp_min(0), reduction="none") * known
    total = loss.sum() / known.sum().clamp_min(1)
    picked = []
    for i in found:  # evenly, or the pairs would fill the memory
        sources = asked[i].sources
        few = sources[:: max(1, -(-len(sources) // _SOURCES))]
        picked.append(np.concatenate([np.full((len(few), 1), i), few], axis=1))
    wanted = _numbers(np.concatenate(picked), tokens.device)
    if len(wanted):
        graph, node, positions, right, operations = wanted.unbind(1)
        rows = source_rows(batch, graph, node, positions, own=True)
        scores, _ = model.next.sources(model.next.asking(tokens[graph, node], operations), tokens, rows)
        total = total + F.cross_entropy(scores.float(), right)
    sums.add("completion", total * len(found), float(len(found)))
