"""A small made-up museum, as `madstar zoo trace` would write it."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.graph.graphs import Block, alternating, bert, graph_of, llama, unrolled

from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import save
from madstar.graph.model import Graph

OPS = ("sin", "cos", "exp", "abs", "neg", "tanh", "relu", "sigmoid", "sqrt", "gelu", "silu", "floor")


def made_model(
    seed: int, layers: int = 3, nodes: int = 18, name: str = "pixel_values", width: int = 8
) -> Graph:
    """Layers of norms, linears, activations and residual adds, as the seed will have them."""
    rng = random.Random(seed)
    ops = rng.sample(OPS, 5)
    layer = Block(f"Layer{seed}")
    x = layer.input("x", "batch", "length", width)
    before = x
    for number in range(nodes):
        kind = rng.random()
        if kind < 0.2:
            now = layer.linear(x, f"part{number}", width)
        elif kind < 0.35:
            taken = {"input": x, "weight": layer.weight(f"norm{number}.weight", width)}
            now = layer.node("rms_norm", taken, layer.shape(x))
        elif kind < 0.6 and before != x:
            now = layer.add(before, x)
        else:
            now = layer.node(rng.choice(ops), {"input": x}, layer.shape(x))
        if rng.random() < 0.4:
            before = x
        x = now
    definition = layer.done(layer.add(before, x))
    main = Block(f"Model{seed}")
    y = main.input(name, "batch", "length", width)
    for number in range(layers):
        (y,) = main.call(definition, f"layers.{number}", y)
    return fold(graph_of(f"model{seed}", [definition, main.done(y)]))


def models() -> dict[str, tuple[Graph, str]]:
    """Graphs by key, with what the museum says of their inputs."""
    text = "text: ids"
    found = {
        "hf:llama@shrunk": (fold(llama()), text),
        "hf:llama-wide@shrunk": (fold(llama(3, 64)), text),
        "hf:llama-copy@shrunk": (fold(llama()), text),
        "hf:bert@shrunk": (fold(bert()), text),
        "hf:alternating@shrunk": (fold(alternating()), text),
        "hf:unrolled@shrunk": (fold(unrolled()), "audio: waveform"),
    }
    for seed in range(6):
        found[f"hf:made-{seed}@shrunk"] = (made_model(seed), "image: as documented")
    found["timm:made-7@full"] = (made_model(7), "image of its default_cfg")
    return found


def write_museum(folder: Path, few: int | None = None) -> Path:
    """The museum in a folder, or the first few of its models."""
    (folder / "graphs").mkdir(parents=True)
    lines = []
    for number, (key, (graph, inputs)) in enumerate(list(models().items())[:few]):
        file = f"graphs/{number}.json.gz"
        save(graph, folder / file)
        name, _, size = key.rpartition("@")
        row = {"key": key, "name": name, "size": size, "status": "ok", "file": file, "inputs": inputs}
        lines.append(json.dumps(row | {"class": graph.main.kind, "hash": structural_hash(graph)}))
    failed = {"key": "hf:bad@shrunk", "name": "hf:bad", "size": "shrunk", "status": "error", "error": "no"}
    (folder / "index.jsonl").write_text("\n".join([*lines, json.dumps(failed)]) + "\n")
    return folder
