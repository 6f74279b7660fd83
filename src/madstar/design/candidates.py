"""A candidate as a value: a genome, or a block made by the generator in MAD's language model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import GraphError, MadstarError
from ..genome import Genome, Sizes, architecture_hash, compile_genome
from ..graph.json_format import from_json, to_json
from ..graph.model import Graph
from ..liv import Backbone, LanguageModel
from ..liv.stack import LayerLike, seeded
from ..protocol.architecture import LayerStack
from .limits import LARGEST_GRAPH, MOST_NODES

GRAPH, GENOME = "graph", "genome"
CHANNELS = "swiglu"
EMBEDDING_STD = 0.5
"""Of the language model around a block: that of the genomes' backbone, so that both start alike."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the predictor said before training, in bits per byte; `model` is the hash of the predictor."""

    value: float
    low: float
    high: float
    deviation: float
    model: str


@dataclass(frozen=True)
class Candidate:
    """An architecture that is proposed.

    `text` is a genome, or the JSON of a block's graph. `origin` says by whom: "random", "variation" or
    "generator"; `guided` whether a model had a word in choosing it. `parents` are indices of the run.
    """

    kind: str
    text: str
    key: str
    origin: str
    guided: bool = False
    parents: tuple[int, ...] = ()
    prediction: Prediction | None = None
    description: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def genome(self) -> str:
        """What stands in the archive's column of genomes: a graph by its hash."""
        return self.text if self.kind == GENOME else f"graph:{self.key}"

    @property
    def group(self) -> str:
        """Origin and guidance in words, by which rounds are summed up."""
        return f"{self.kind} {'guided' if self.guided else 'free'}"

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        told = self.prediction
        return {
            "kind": self.kind,
            "text": self.text,
            "key": self.key,
            "origin": self.origin,
            "guided": self.guided,
            "parents": list(self.parents),
            "prediction": None
            if told is None
            else {name: getattr(told, name) for name in Prediction.__dataclass_fields__},
            "description": {group: dict(facts) for group, facts in self.description.items()},
        }

    def chosen(self, guided: bool) -> Candidate:
        """The candidate as it was chosen."""
        return replace(self, guided=guided)


def of_dict(data: Any) -> Candidate:
    """The candidate that `to_dict` wrote, every field checked: it may come from anywhere.

    Raises GraphError for what is none.
    """
    try:
        kind, text, key = data["kind"], data["text"], data["key"]
        told = data["prediction"]
        if kind not in (GRAPH, GENOME) or not all(isinstance(each, str) for each in (text, key)):
            raise ValueError
        if len(text) > LARGEST_GRAPH or not (key.isalnum() and len(key) <= 64):
            raise ValueError
        prediction = None
        if told is not None:
            numbers = [float(told[name]) for name in ("value", "low", "high", "deviation")]
            value, low, high, deviation = numbers
            prediction = Prediction(value, low, high, deviation, str(told["model"])[:64])
        description = {
            str(group): {str(name): float(value) for name, value in facts.items()}
            for group, facts in data["description"].items()
        }
        parents = tuple(int(parent) for parent in data["parents"])
        origin, guided = str(data["origin"])[:32], bool(data["guided"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise GraphError("a proposal is no candidate: its fields are not what they must be") from None
    return Candidate(kind, text, key, origin, guided, parents, prediction, description)


def of_genome(genome: Genome, origin: str, parents: tuple[int, ...] = ()) -> Candidate:
    """A genome as a candidate."""
    return Candidate(GENOME, str(genome), architecture_hash(genome), origin, parents=parents)


def of_graph(graph: Graph, origin: str = "generator") -> Candidate:
    """A block as a candidate; its key is that of its structure."""
    from ..graph.hashing import structural_hash

    plain = replace(graph, facts={})
    key = hashlib.sha256(structural_hash(plain).encode()).hexdigest()[:16]
    return Candidate(GRAPH, to_json(plain), key, origin)


def graph_of(candidate: Candidate) -> Graph:
    """The block of a candidate. Raises GraphError for one that is no graph, or too large."""
    from ..graph.soundness import unfolded_sizes

    graph = from_json(candidate.text, f"block {candidate.key}")
    nodes = unfolded_sizes(graph)[graph.root]
    if nodes > MOST_NODES:
        raise GraphError(f"block {candidate.key} has {nodes:,} nodes, at most {MOST_NODES:,} are allowed")
    return graph


def parameters_of(candidate: Candidate, sizes: Sizes, pairs: int, length: int) -> int:
    """How many numbers the candidate's model trains, from the spec or the graph: nothing is built of values.

    Raises MadstarError where that cannot be said.
    """
    if candidate.kind == GENOME:
        from ..objectives import Subject, find_objective

        subject = Subject(Genome.parse(candidate.text), sizes, length)
        return int(find_objective("parameters").measure(subject).value)
    from ..graph.statistics import statistics

    block = statistics(graph_of(candidate)).parameters
    layers: list[Any] = []
    for _ in range(pairs):
        layers += [_nothing, CHANNELS]
    with torch.device("meta"):
        around = LanguageModel(sizes.vocabulary_size, length, layers, dim=sizes.width)
    return block * pairs + sum(parameter.numel() for parameter in around.parameters())


def _nothing(dim: int, max_length: int) -> nn.Module:
    return nn.Identity()


def build(candidate: Candidate, sizes: Sizes, pairs: int, length: int, seed: int) -> nn.Module:
    """The candidate's model with fresh weights. Raises GenomeError, GraphError, LayerError."""
    if candidate.kind == GENOME:
        return Backbone(compile_genome(Genome.parse(candidate.text), sizes), seed)
    from ..graph.execution.as_layer import GraphLayer

    graph = graph_of(candidate)

    def mixer(dim: int, max_length: int) -> nn.Module:
        return GraphLayer(graph, dim, max_length)

    layers: list[LayerLike] = [mixer, CHANNELS] * pairs
    return seeded(
        lambda: LanguageModel(
            sizes.vocabulary_size, length, layers, dim=sizes.width, embedding_std=EMBEDDING_STD
        ),
        seed,
    )


def whole_graph(candidate: Candidate, sizes: Sizes, pairs: int, folder: Path) -> Graph:
    """The graph of the candidate's whole model, traced; a block is written to `folder` for that.

    Raises GraphError, GenomeError, LayerError.
    """
    from ..learning.corpus.tracing import genome_graph, stack_graph

    if candidate.kind == GENOME:
        return genome_graph(candidate.text, sizes)
    stack = stack_of(write_block(candidate, folder), sizes.width, pairs)
    return stack_graph(stack.to_dict(), sizes.vocabulary_size)


def stack_of(file: Path, width: int, pairs: int) -> LayerStack:
    """The model of a block's file as layers by name, which `madstar benchmark` takes too."""
    return LayerStack.of([f"graph:{file}", CHANNELS] * pairs, width, embedding_std=EMBEDDING_STD)


def write_block(candidate: Candidate, folder: Path) -> Path:
    """Write a block's file to a folder, where it is not there yet. Raises OutputError."""
    from ..whole_files import write_whole

    file = folder / f"{candidate.key}.graph.json"
    if not file.exists():
        write_whole(file, candidate.text.encode())
    return file


def why_not(error: BaseException) -> str:
    """What an error says of a candidate, in one line."""
    from ..errors import in_one_line

    return str(error) if isinstance(error, MadstarError) else in_one_line(error)
