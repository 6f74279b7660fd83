"""A few small graphs to learn from."""

from __future__ import annotations

import random

from tests.graph.graphs import alternating, bert, llama, unrolled

from madstar.graph.folding import fold
from madstar.learning.datasets import drawing
from madstar.learning.datasets.examples import Classified
from madstar.learning.pretraining.data import TrainingData, training_data
from madstar.learning.pretraining.settings import TrainingSettings
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.view import GraphView, view

TINY = TransformerConfig(width=16, layers=2, heads=2, limit=64)
SHORT = TrainingSettings(steps=12, graphs=5, warmup=2, seed=3)


def made_views() -> dict[str, GraphView]:
    made = {
        "llama": fold(llama()),
        "llama-wide": llama(3, 64),
        "bert": fold(bert()),
        "alternating": alternating(),
        "unrolled": unrolled(),
    }
    return {name: view(graph) for name, graph in made.items()}


def made_data() -> TrainingData:
    """The first four to learn from, the last to validate with."""
    views, rng = made_views(), random.Random(0)
    shown = views["bert"]
    valid = {
        "operation": [found] if (found := drawing.operations(shown, rng, "bert")) else [],
        "link": [found] if (found := drawing.links(shown, rng, "bert")) else [],
        "incomplete": drawing.incomplete(shown, rng, "bert"),
        "completion": drawing.completions(shown, rng, "bert"),
        "classification": [Classified("bert", "text")],
    }
    train = [name for name in views if name != "bert"]
    labels = {
        "llama": ("domain:text", "role:decoder"),
        "llama-wide": ("domain:text",),
        "alternating": ("domain:audio", "role:encoder"),
    }
    return training_data(views, train, valid, "made", labels=labels)
