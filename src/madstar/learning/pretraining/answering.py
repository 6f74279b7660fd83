"""What a trained transformer answers: predictions for examples, and embeddings of graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.answers import Next, Sources, Suspicion
from ..datasets.examples import Classified, Completion, Example, Incomplete, Links, Operations
from ..features import features
from ..hiding import anonymous
from ..transformer.batch import Batch, batch_of, in_batches
from ..transformer.encoder import Encoded
from ..transformer.heads import incomplete
from ..transformer.model import GraphTransformer
from ..view import GraphView
from .losses import flat, source_rows
from .questions import Question, labels_of, questions, spans, word

Floats = Float[np.ndarray, "..."]


class Masked(NamedTuple):
    """For each masked node the log-probabilities of all operations of the model's table."""

    names: tuple[str, ...]
    scores: Float[np.ndarray, "masked operations"]

    @property
    def operations(self) -> list[str]:
        """The likeliest of each."""
        return [self.names[i] for i in self.scores.argmax(1)]


class _Raw(NamedTuple):
    """What the heads say of one question."""

    scores: Floats
    more: Floats


_FAR = -1e9


def predict(
    model: GraphTransformer, examples: Sequence[Example], views: Mapping[str, GraphView], tokens: int = 2048
) -> list[Any]:
    """An answer for each example: `Masked`, `Sources`, `Suspicion`, `Next`, or a label.

    Graphs larger than the model's limit are computed in parts that overlap by half; a source farther away
    than half the limit is not seen then.

    Raises:
        DataError: an example of a task that the transformer does not answer.
    """
    asked: list[Question] = []
    owner: list[int] = []
    bare = {entry: anonymous(views[entry]) for entry in {example.entry for example in examples}}
    for number, example in enumerate(examples):
        made = questions(example, bare[example.entry], model.table, model.labels, model.config.limit)
        asked += made
        owner += [number] * len(made)
    raw = _answers(model, asked, tokens)
    parts: dict[int, list[tuple[Question, _Raw]]] = {}
    for number, question, answer in zip(owner, asked, raw, strict=True):
        parts.setdefault(number, []).append((question, answer))
    return [_joined(model, e, bare[e.entry], parts.get(i, [])) for i, e in enumerate(examples)]


def embeddings(
    model: GraphTransformer, views: Iterable[GraphView], tokens: int = 2048
) -> Float[np.ndarray, "graphs width"]:
    """A vector for each graph; of a graph in parts, the mean over its nodes."""
    shown, owner, weights = [], [], []
    count = 0
    for count, view in enumerate(views, 1):
        whole = features(anonymous(view), model.table)
        for start, stop, low, high in spans(len(whole), model.config.limit):
            shown.append(whole.part(start, stop))
            owner.append(count - 1)
            weights.append(float(high - low))
    found = np.zeros((count, model.config.width))
    total = np.zeros(count)
    for group in in_batches([len(f) + len(f.blocks) for f in shown], tokens):
        pooled = _encoded(model, batch_of([shown[i] for i in group])).pooled.float().cpu().numpy()
        for i, vector in zip(group, pooled, strict=True):
            found[owner[i]] += weights[i] * vector
            total[owner[i]] += weights[i]
    return found / total[:, None]


def _encoded(model: GraphTransformer, batch: Batch) -> Encoded:
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        found: Encoded = model.encoder(batch.to(device))
    return found


def _answers(model: GraphTransformer, asked: Sequence[Question], tokens: int) -> list[_Raw]:
    found: list[_Raw | None] = [None] * len(asked)
    device = next(model.parameters()).device
    for group in in_batches([question.tokens for question in asked], tokens):
        few = [asked[i] for i in group]
        batch = batch_of([question.features for question in few]).to(device)
        encoded = _encoded(model, batch)
        with torch.inference_mode():
            for at, number in enumerate(group):
                found[number] = _answer(model, few[at], at, batch, encoded)
    return [each for each in found if each is not None]


def _answer(model: GraphTransformer, question: Question, at: int, batch: Batch, encoded: Encoded) -> _Raw:
    tokens, count = encoded.tokens.float(), len(question.features)
    nothing = np.zeros(0)
    own = slice(at, at + 1)
    read = (batch.operations[own], batch.relations[own], batch.nodes[own])
    if question.task == "incomplete":
        places = model.gap(tokens[own], *read)
        return _Raw(
            _array(places)[0, : 1 + count], _array(incomplete(model.gap.local(*read), batch.nodes[own]))
        )
    if question.task == "classification":
        return _Raw(_array(model.label(encoded.pooled[own].float()))[0], nothing)
    first, node, positions, _ = flat([question], [0], tokens.device)
    graph = first + at
    if question.task == "operation":
        return _Raw(_array(model.operation(tokens[own], *read)[0, node].log_softmax(-1)), nothing)
    if question.task == "link":
        rows = source_rows(batch, graph, node, positions, own=False)
        scores, missing = model.link(tokens[at, node], tokens, rows)
        return _Raw(_array(scores)[:, :count], _array(missing))
    operation = model.next.operations(batch, tokens, graph, node).log_softmax(-1)
    asking = model.next.asking(tokens[at, node], operation.argmax(-1))
    found = []
    for position in range(len(question.sources)):
        rows = source_rows(batch, graph, node, torch.full_like(node, position), own=True)
        found.append(_array(model.next.sources(asking, tokens, rows)[0])[0, :count])
    return _Raw(_array(operation)[0], np.array(found).reshape(len(found), count))


def _array(values: Tensor) -> Floats:
    return values.float().cpu().numpy()


def _joined(
    model: GraphTransformer, example: Example, view: GraphView, parts: Sequence[tuple[Question, _Raw]]
) -> Any:
    """One answer of the answers for parts of a graph."""
    names = model.table.names
    match example:
        case Operations():
            scores = [raw.scores for _, raw in parts]
            return Masked(names, np.concatenate(scores) if scores else np.zeros((0, len(names))))
        case Links():
            return _links(example, view, parts)
        case Incomplete():
            places = np.full(max(q.own[1] for q, _ in parts), _FAR)
            for question, raw in parts:
                low, high = question.own
                places[low:high] = raw.scores[1:][low - question.start : high - question.start]
            return Suspicion(max(float(raw.more[0]) for _, raw in parts), places)
        case Completion():
            ((question, raw),) = parts
            far = np.full(question.start, _FAR)
            targets = sum(e.kind == "data" and e.target == example.given for e in view.edges)
            rows = [np.concatenate([far, row]) for row in raw.more]
            rows += [np.concatenate([far, np.zeros(len(question.features))])] * (targets - len(rows))
            return Next(names[int(raw.scores.argmax())], tuple(rows))
        case Classified():
            total = np.sum([raw.scores for _, raw in parts], axis=0)
            known = labels_of(example.question, model.labels)
            return word(max(known, key=lambda name: total[model.labels.index(name)])) if known else ""


def _links(example: Links, view: GraphView, parts: Sequence[tuple[Question, _Raw]]) -> Sources:
    found: dict[tuple[int, int], tuple[Floats, float]] = {}
    for question, raw in parts:
        for row, node in enumerate(question.asked):
            target = int(node) + question.start
            scores = np.full(target, _FAR)
            scores[question.start :] = raw.scores[row][: int(node)]
            found[target, int(question.positions[row])] = scores, float(raw.more[row])
    gone = [(view.edges[i].target, view.edges[i].position) for i in example.removed]
    missing = np.array([found[key][1] for key in (*gone, *example.decoys)])
    return Sources(tuple(found[key][0] for key in gone), missing)
