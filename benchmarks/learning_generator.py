"""The generator: what share of what it makes is valid, builds, runs, takes a step, is unique and novel.

    python -m benchmarks.learning_generator --museum runs/museum [--models N] [--genomes N] [--steps N]
        [--n N] [--seed S ...] [--out FOLDER] [--resume]

cuts the graphs of a museum, random genomes and MAD's layers to blocks of 4 to 56 items, fits a generator to
them, and draws graphs by the network, at two temperatures, and by trigrams of the same decisions, each with
what does not fit left out (masks) and with nothing left out (the grammar alone). Valid is what `madstar
graph check` finds no error in and nothing dead. What is valid, and of at most 10^8 parameters and 1 GiB of
activations, is built with fresh weights and run at the sizes of its symbols; a step of gradient descent is
taken on the sum of squares of its outputs, which must stay finite. Unique: among those drawn. Novel: not
among the graphs that it was fitted to. Both by structural hash. Rejected: the share of drawn decisions that
were refused or undone. Causal blocks and mixers are drawn with masks, told to stand where a layer stands and
to be causal, mixers to bring tokens together too: of those whole, the shares that are and that do (of the
causal). Seconds are of the process, on one thread.

Each seed's figures are kept once they are there; `--resume` goes on from those of the same graphs and steps.

Distances to the graphs that it was fitted to: of operations and of how often values are taken, half the sum
of differences of shares (total variation); of items and of depth, the largest difference of cumulative shares
(Kolmogorov and Smirnov). 0 is the same, 1 is apart. Beside them those of blocks of other random genomes, and
of as many of the training graphs themselves, which is as close as a sample comes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from madstar.errors import MadstarError
from madstar.graph import build, check
from madstar.graph.execution import drawn_inputs
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Definition, Graph, Node
from madstar.graph.statistics import statistics
from madstar.graph.wiring import given, sources
from madstar.learning.corpus.generated import mad_layers, random_genomes
from madstar.learning.corpus.labels import domain
from madstar.learning.corpus.museum import of_museum
from madstar.learning.generator import Conditions, Generator, Tally, blocks_of, distinct
from madstar.learning.generator.decisions import SYMBOLS, is_mixer
from madstar.learning.generator.draft import Limits
from madstar.learning.generator.examples import Examples, examples_of
from madstar.learning.generator.generator import fitted
from madstar.learning.generator.network import NetworkSizes
from madstar.learning.generator.ngram import Trigrams
from madstar.learning.generator.search import Scorer, Settings, draw
from madstar.learning.generator.state import State

from .machine import RESULTS, keep

NAME = "learning_generator"
COOL = 0.7
"""The other temperature at which is drawn: scores are divided by it."""
MOST_PARAMETERS = 100_000_000
MOST_ACTIVATIONS = 1 << 30
"""What is larger is not built: weights, gradients and activations of a step must fit into memory."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--museum", type=Path, required=True)
    parser.add_argument("--models", type=int, help="so many models of the museum; all if not given")
    parser.add_argument("--genomes", type=int, default=60)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, help="keep the generator of the first seed in this folder")
    parser.add_argument("--resume", action="store_true", help="go on from the seeds that are kept")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    graphs, domains = corpus(asked.museum, asked.models, asked.genomes)
    begun = time.process_time()
    examples = examples_of(graphs, domains, NetworkSizes().context)
    fitted_to = [graphs[number] for number in examples.kept]
    known = Looks.of(fitted_to)
    same = {
        "graphs": len(graphs), "examples": len(fitted_to), "decisions": len(examples.space),
        "steps": asked.steps, "n": asked.n,
    }  # fmt: skip
    result: dict[str, Any] = same | {"seconds of examples": time.process_time() - begun}
    genomes = [block for g in other_genomes(asked.genomes) for block in blocks_of(g)]
    some = random.Random(0).sample(fitted_to, min(asked.n, len(fitted_to)))
    result["random genomes"] = Looks.of(distinct(genomes)).away(known)
    result["training graphs"] = Looks.of(some).away(known)
    print(result, flush=True)
    rows = seeds_kept(same) if asked.resume else []
    for seed in asked.seed:
        if any(row["seed"] == seed for row in rows):
            continue
        out = asked.out if not rows else None
        rows.append(measured(examples, graphs, domains, known, seed, asked.steps, asked.n, out))
        keep(NAME, result | {"seeds": rows, "mean": together(rows)})
    print(together(rows))


def seeds_kept(same: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of seeds that were measured before with the same graphs and steps."""
    path = RESULTS / f"{NAME}.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    return kept["seeds"] if all(kept.get(name) == value for name, value in same.items()) else []


def corpus(museum: Path, models: int | None, genomes: int) -> tuple[list[Graph], list[str]]:
    """Blocks, each structure once, and what each is for."""
    wanted = of_museum(museum)
    random.Random(0).shuffle(wanted)
    wholes = []
    for each in [*random_genomes(genomes, 0, (2, 4)), *mad_layers(), *wanted[:models]]:
        if (entry := each.make()) is not None:
            graph, own = entry.graph, entry.source in ("genome", "layer")
            wholes.append((graph, entry.source if own else domain(graph, entry.facts)))
    found: dict[str, tuple[Graph, str]] = {}
    for graph, what in wholes:
        for block in blocks_of(graph):
            found.setdefault(structural_hash(block), (block, what))
    return [graph for graph, _ in found.values()], [what for _, what in found.values()]


def other_genomes(genomes: int) -> list[Graph]:
    """As many genomes as were learned from, of another seed."""
    made = [each.make() for each in random_genomes(genomes, 1, (2, 4))]
    return [entry.graph for entry in made if entry is not None]


def measured(
    examples: Examples,
    graphs: list[Graph],
    domains: list[str],
    known: Looks,
    seed: int,
    steps: int,
    n: int,
    out: Path | None,
) -> dict[str, Any]:
    """One generator, and the ways to draw."""
    begun = time.process_time()
    told = 0.0

    def tell(done: float, loss: float) -> None:
        nonlocal told
        if done >= told + 0.05:
            told = done
            print(
                f"seed {seed}: {done:.0%}, {time.process_time() - begun:.0f} s, loss {loss:.3f}", flush=True
            )

    generator = fitted(examples, graphs, domains, NetworkSizes(), seed, None, steps, tell)
    trained = time.process_time() - begun
    if out is not None:
        generator.save(out)
    space = generator.space
    trigrams = Trigrams([example.numbers for example in examples.examples], len(space))
    row: dict[str, Any] = {
        "seed": seed, "parameters": sum(p.numel() for p in generator.network.parameters()),
        "seconds": trained, "loss": generator.facts.losses[-1],
    }  # fmt: skip
    ways: list[tuple[str, Scorer, bool, float, int]] = [
        ("network, no masks", generator.steps(), False, 1.0, n),
        (f"network, no masks, at {COOL}", generator.steps(), False, COOL, n),
        ("network, masks", generator.steps(), True, 1.0, n),
        (f"network, masks, at {COOL}", generator.steps(), True, COOL, n),
        ("trigrams, no masks", trigrams.steps(), False, 1.0, n),
        ("trigrams, masks", trigrams.steps(), True, 1.0, max(1, n // 10)),
    ]
    for way, scorer, checked, temperature, many in ways:
        row[way] = drawn(generator, scorer, known, checked, many, seed, temperature)
        print(way, row[way], flush=True)
    for what, mixing in (("causal", False), ("mixers", True)):
        row[what] = placed(generator, n // 4, seed, mixing)
        print(what, row[what], flush=True)
    return row


def placed(generator: Generator, n: int, seed: int, mixing: bool) -> dict[str, float]:
    """What asking for causal graphs in a layer's place gave, all of one width; with `mixing` for mixers."""
    tally, begun = Tally(), time.process_time()
    asked = Conditions(width=128, most_parameters=1_000_000, causal=True, mixes=mixing)
    graphs: list[Graph] = []
    with suppress(MadstarError):  # too few were found: none is what it gave
        graphs = generator.generate(n, seed, asked, distinct=True, tally=tally)
    seconds = time.process_time() - begun
    many = max(1, len(graphs))
    mixed = sum(map(is_mixer, graphs))
    whole = len(graphs) + tally.apart
    return {
        "found": len(graphs) / n,
        "causal": whole / max(1, whole + tally.leaking),
        "mixing": mixed / max(1, whole),
        "valid": sum(map(valid, graphs)) / many,
        "trained": sum(stepped(graph)[2] for graph in graphs) / many,
        "items": mean([items(graph) for graph in graphs] or [0]),
        "rejected": tally.rejection_rate,
        "seconds per graph": seconds / many,
    }


def drawn(
    generator: Generator,
    scorer: Scorer,
    known: Looks,
    checked: bool,
    n: int,
    seed: int,
    temperature: float,
) -> dict[str, float]:
    """What `n` draws gave."""
    tally, chooser = Tally(), torch.Generator().manual_seed(seed)
    begun = time.process_time()
    found: list[Graph] = []
    for _ in range(n):
        start = State(generator.space, Limits(checked=checked), Inference(SYMBOLS))
        state = draw(scorer, start, [("begin",)], chooser, Settings(temperature), tally)
        if state is not None:
            found.append(state.graph("drawn"))
    seconds = time.process_time() - begun
    sound = [graph for graph in found if valid(graph)]
    hashes = [structural_hash(graph) for graph in sound]
    steps = [stepped(graph) for graph in sound if is_small(graph)]
    many, tried = max(1, len(sound)), max(1, len(steps))
    return {
        "valid": len(sound) / n,
        "too large to try": 1 - len(steps) / many,
        "built": sum(s[0] for s in steps) / tried,
        "ran": sum(s[1] for s in steps) / tried,
        "trained": sum(s[2] for s in steps) / tried,
        "unique": len(set(hashes)) / many,
        "novel": sum(hashed not in generator.facts.known for hashed in hashes) / many,
        "rejected": tally.rejection_rate,
        "begun per graph": tally.begun / n,
        "items": mean([items(graph) for graph in sound] or [0]),
        "blocks": mean([len(graph.definitions) for graph in sound] or [0]),
        "seconds per graph": seconds / n,
        **{f"distance of {name}": far for name, far in Looks.of(sound).away(known).items()},
    }


def items(graph: Graph) -> int:
    """Nodes and calls of all blocks, each block once."""
    return sum(len(definition.items) for definition in graph.definitions.values())


@dataclass(frozen=True)
class Looks:
    """What a set of graphs looks like: shares of operations and of degrees, all sizes and depths."""

    operations: Counter[str]
    degrees: Counter[int]
    items: list[int]
    depths: list[int]

    @classmethod
    def of(cls, graphs: Iterable[Graph]) -> Looks:
        """Each block of a graph counts once; a value's degree is how often it is taken, up to 6."""
        looks = cls(Counter(), Counter(), [], [])
        for graph in graphs:
            looks.items.append(items(graph))
            looks.depths.append(max(map(looks.add, graph.definitions.values())))
        return looks

    def add(self, definition: Definition) -> int:
        """Counts a block; gives its longest chain of items."""
        taken: Counter[str] = Counter()
        depth: dict[str, int] = {}
        for item in definition.items:
            refs = [ref for ref in sources(item) if ref.startswith("%")]
            taken.update(refs)
            here = 1 + max((depth.get(ref, 0) for ref in refs), default=0)
            depth |= {f"%{value.name}": here for value in given(item)}
            self.operations[item.op if isinstance(item, Node) else "call"] += 1
        self.degrees.update(min(6, taken[ref]) for ref in depth)
        return max(depth.values(), default=0)

    def away(self, other: Looks) -> dict[str, float]:
        """Distances, each between 0 and 1; 1 where there is nothing to compare."""
        if not self.items:
            return dict.fromkeys(("operations", "degree", "size", "depth"), 1.0)
        return {
            "operations": apart(self.operations, other.operations),
            "degree": apart(self.degrees, other.degrees),
            "size": between(self.items, other.items),
            "depth": between(self.depths, other.depths),
        }


def apart(a: Counter[Any], b: Counter[Any]) -> float:
    """Total variation of two sets of counts."""
    return sum(abs(a[key] / a.total() - b[key] / b.total()) for key in a | b) / 2


def between(a: list[int], b: list[int]) -> float:
    """The largest difference of cumulative shares."""
    places = sorted({*a, *b})
    one, two = sorted(a), sorted(b)
    return max(abs(bisect_right(one, x) / len(one) - bisect_right(two, x) / len(two)) for x in places)


def valid(graph: Graph) -> bool:
    """Whether it is sound, fits everywhere, and holds nothing dead or unused."""
    report = check(graph, causal=False)
    return not any(f.severity == "error" or f.kind in ("dead", "unused parameter") for f in report.findings)


def is_small(graph: Graph) -> bool:
    """Whether a machine of 16 GiB can take a step of it."""
    costs = statistics(graph)
    sizes = {name: size for name, (size, *_) in graph.symbols.items()}
    return costs.parameters <= MOST_PARAMETERS and costs.at(sizes)["activation_bytes"] <= MOST_ACTIVATIONS


def stepped(graph: Graph) -> tuple[bool, bool, bool]:
    """Whether it builds, runs, and takes a step that leaves its weights finite."""
    built = ran = False
    try:
        module = build(graph, generator=torch.Generator().manual_seed(0)).train()
        built = True
        found = module(**drawn_inputs(graph))
        outputs = [found] if isinstance(found, torch.Tensor) else list(found.values())
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
        if isinstance(figures, dict):
            for name in figures:
                values = [row[way][name] for row in rows]
                found[f"{way}: {name}"] = [mean(values), stdev(values) if len(values) > 1 else 0.0]
    return found


if __name__ == "__main__":
    main()
