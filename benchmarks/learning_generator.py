"""The generator: what share of what it makes is valid, builds, runs, takes a step, is unique and novel.

    python -m benchmarks.learning_generator --museum runs/museum [--models N] [--genomes N] [--steps N]
        [--n N] [--seed S ...]

cuts the graphs of a museum, and random genomes traced, to blocks of 4 to 40 items, fits a generator to them,
and draws graphs in four ways: by the network and by trigrams of the same decisions, each with what does not
fit left out and with none of it (the grammar alone). Valid is what `madstar graph check` finds no error in
and nothing dead. What is valid is built with fresh weights and run at the sizes of its symbols; a step of
gradient descent is taken on the sum of squares of its outputs, which must stay finite. Unique: among those
drawn. Novel: not among the graphs that it was fitted to. Both by structural hash. Rejected: the share of
drawn decisions that were refused or undone. Seconds are of the process, on one thread.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from madstar.errors import MadstarError
from madstar.graph import build, check
from madstar.graph.execution import drawn_inputs
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Graph
from madstar.graph.statistics import statistics
from madstar.learning.corpus.generated import random_genomes
from madstar.learning.corpus.labels import domain
from madstar.learning.corpus.museum import of_museum
from madstar.learning.generator import Generator, Tally, blocks_of, fit
from madstar.learning.generator.decisions import SYMBOLS, encode
from madstar.learning.generator.draft import Limits
from madstar.learning.generator.ngram import Trigrams
from madstar.learning.generator.relative import Inexpressible
from madstar.learning.generator.search import Scorer, Settings, draw
from madstar.learning.generator.state import State

from .machine import keep


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--museum", type=Path, required=True)
    parser.add_argument("--models", type=int, help="so many models of the museum; all if not given")
    parser.add_argument("--genomes", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="keep the generator of the first seed in this folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    graphs, domains = corpus(given.museum, given.models, given.genomes)
    rows: list[dict[str, Any]] = []
    for seed in given.seed:
        rows.append(measured(graphs, domains, seed, given.steps, given.n, given.out if not rows else None))
        print(rows[-1], flush=True)
    print(keep("learning_generator", {"graphs": len(graphs), "seeds": rows, "mean": together(rows)}))


def corpus(museum: Path, models: int | None, genomes: int) -> tuple[list[Graph], list[str]]:
    """Blocks, each structure once, and what each is for."""
    wanted = of_museum(museum)
    random.Random(0).shuffle(wanted)
    wholes = []
    for each in [*wanted[:models], *random_genomes(genomes, 0, (2, 4))]:
        if (entry := each.make()) is not None:
            graph = entry.graph
            wholes.append((graph, "genome" if entry.source == "genome" else domain(graph, entry.facts)))
    found: dict[str, tuple[Graph, str]] = {}
    for graph, what in wholes:
        for block in blocks_of(graph):
            found.setdefault(structural_hash(block), (block, what))
    return [graph for graph, _ in found.values()], [what for _, what in found.values()]


def measured(
    graphs: list[Graph], domains: list[str], seed: int, steps: int, n: int, out: Path | None
) -> dict[str, Any]:
    """One generator, and the four ways to draw."""
    begun = time.process_time()
    generator = fit(graphs, seed, steps=steps, domains=domains)
    trained = time.process_time() - begun
    if out is not None:
        generator.save(out)
    space = generator.space
    sequences = []
    for graph, what in zip(graphs, domains, strict=True):
        try:
            numbers = [space.number(decision) for decision in encode(graph, what)]
        except Inexpressible:
            continue
        if all(numbers):
            sequences.append(numbers)
    trigrams = Trigrams(sequences, len(space))
    row: dict[str, Any] = {
        "seed": seed, "examples": generator.facts.examples, "left_out": dict(generator.facts.left_out),
        "decisions": len(space), "parameters": sum(p.numel() for p in generator.network.parameters()),
        "steps": steps, "seconds": trained, "loss": generator.facts.losses[-1],
    }  # fmt: skip
    for name, scorer in (("network", generator.steps()), ("trigrams", trigrams.steps())):
        for checked in (True, False):
            way = f"{name}, {'masks' if checked else 'no masks'}"
            row[way] = drawn(generator, scorer, checked, n, seed)
            print(way, row[way], flush=True)
    return row


def drawn(generator: Generator, scorer: Scorer, checked: bool, n: int, seed: int) -> dict[str, float]:
    """What `n` draws gave."""
    tally, chooser = Tally(), torch.Generator().manual_seed(seed)
    begun = time.process_time()
    found: list[Graph] = []
    for _ in range(n):
        start = State(generator.space, Limits(checked=checked), Inference(SYMBOLS))
        state = draw(scorer, start, [("begin",)], chooser, Settings(), tally)
        if state is not None:
            found.append(state.graph("drawn"))
    seconds = time.process_time() - begun
    sound = [graph for graph in found if valid(graph)]
    hashes = [structural_hash(graph) for graph in sound]
    steps = [stepped(graph) for graph in sound]
    many = max(1, len(sound))
    return {
        "valid": len(sound) / n,
        "built": sum(s[0] for s in steps) / many,
        "ran": sum(s[1] for s in steps) / many,
        "trained": sum(s[2] for s in steps) / many,
        "unique": len(set(hashes)) / many,
        "novel": sum(hashed not in generator.facts.known for hashed in hashes) / many,
        "rejected": tally.rejection_rate,
        "begun per graph": tally.begun / n,
        "items": mean([sum(len(d.items) for d in graph.definitions.values()) for graph in sound] or [0]),
        "seconds per graph": seconds / n,
    }


def valid(graph: Graph) -> bool:
    """Whether it is sound, fits everywhere, and holds nothing dead or unused."""
    report = check(graph, causal=False)
    return not any(f.severity == "error" or f.kind in ("dead", "unused parameter") for f in report.findings)


def stepped(graph: Graph) -> tuple[bool, bool, bool]:
    """Whether it builds, runs, and takes a step that leaves its weights finite."""
    if statistics(graph).parameters > 300_000_000:
        return False, False, False
    built = ran = False
    try:
        module = build(graph, generator=torch.Generator().manual_seed(0)).train()
        built = True
        given = module(**drawn_inputs(graph))
        outputs = [given] if isinstance(given, torch.Tensor) else list(given.values())
        ran = True
        loss = sum((v.float() ** 2).sum() for v in outputs if v.is_floating_point() and v.requires_grad)
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        optimiser = torch.optim.SGD(module.parameters(), lr=1e-6)
        optimiser.step()
        return True, True, all(bool(p.isfinite().all()) for p in module.parameters())
    except (MadstarError, RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return built, ran, False


def together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds."""
    found: dict[str, Any] = {}
    for way, figures in rows[0].items():
        if isinstance(figures, dict) and "valid" in figures:
            for name in figures:
                values = [row[way][name] for row in rows]
                found[f"{way}: {name}"] = [mean(values), stdev(values) if len(values) > 1 else 0.0]
    return found


if __name__ == "__main__":
    main()
