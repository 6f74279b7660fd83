"""Tokens over a museum: whether graphs come back, how many tokens they take, how many words are unknown.

    python -m benchmarks.learning_tokens --museum runs/museum [--models N] [--seed S ...]

makes a vocabulary of the graphs of training families (the family split, by seed; `madstar.learning.corpus`),
tokenises every graph with it, with types that inference finds left out and with all of them, and reads the
tokens back. A graph comes back if its structural hash is the same, the read graph is sound, and its tokens
are the same again. Unknown: the share of words that are spelled in bytes, over test families, by section.
Nodes are the items written in a folded graph. Seconds are of the process, on one thread.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from madstar.graph.hashing import structural_hash
from madstar.graph.model import Graph
from madstar.learning.corpus.families import families
from madstar.learning.corpus.fingerprints import fingerprint
from madstar.learning.corpus.museum import of_museum
from madstar.learning.tokens import Vocabulary, detokenize, tokenize

from .machine import keep


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--museum", type=Path, required=True)
    parser.add_argument("--models", type=int, help="so many models; all if not given")
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = of_museum(given.museum)
    random.Random(0).shuffle(wanted)
    graphs = {each.key: entry.graph for each in wanted[: given.models] if (entry := each.make())}
    whole = Vocabulary.of(graphs.values())
    result = {"graphs": len(graphs), "vocabulary": len(whole)} | round_trips(graphs, whole)
    print(result, flush=True)
    prints = [fingerprint(graph) for graph in graphs.values()]
    found = families([each.blocks for each in prints], [each.words for each in prints])
    rows = [unknown(graphs, found, seed) for seed in given.seed]
    for row in rows:
        print(row, flush=True)
    shares = {
        section: [mean(values), stdev(values) if len(values) > 1 else 0.0]
        for section in rows[0]["unknown"]
        if (values := [row["unknown"][section] for row in rows])
    }
    print(keep("learning_tokens", {**result, "family splits": rows, "unknown": shares}))


def round_trips(graphs: dict[str, Graph], vocabulary: Vocabulary) -> dict[str, Any]:
    """Lengths and times over all graphs, and those that do not come back."""
    lengths, plain, nodes = [], [], 0
    lost = []
    writing = reading = 0.0
    for key, graph in graphs.items():
        begun = time.process_time()
        tokens = tokenize(graph, vocabulary)
        writing += time.process_time() - begun
        begun = time.process_time()
        again = detokenize(tokens, vocabulary)
        reading += time.process_time() - begun
        same = structural_hash(again) == structural_hash(graph)
        if not same or tokenize(again, vocabulary) != tokens:
            lost.append(key)
        lengths.append(len(tokens))
        plain.append(len(tokenize(graph, vocabulary, inferred=False)))
        nodes += sum(len(definition.items) for definition in graph.definitions.values())
    lengths.sort()
    return {
        "lost": lost,
        "nodes": nodes,
        "tokens per node": sum(lengths) / nodes,
        "tokens per node, all types written": sum(plain) / nodes,
        "lengths": {
            q: lengths[min(len(lengths) - 1, len(lengths) * q // 100)] for q in (0, 10, 50, 90, 99, 100)
        },
        "seconds to write": writing,
        "seconds to read": reading,
    }


def unknown(graphs: dict[str, Graph], found: list[int], seed: int) -> dict[str, Any]:
    """Shares of unknown words in the graphs of a fifth of the families, of a vocabulary of the others.

    Families of a tenth of all graphs or more are never held out.
    """
    keys, sizes = list(graphs), Counter(found)
    names = sorted(name for name, size in sizes.items() if size < max(2, len(keys) / 10))
    held = set(random.Random(seed).sample(names, max(1, len(names) // 5)))
    test = [key for key, family in zip(keys, found, strict=True) if family in held]
    vocabulary = Vocabulary.of(graphs[key] for key in keys if key not in set(test))
    missing, total = Counter[str](), Counter[str]()
    for key in test:
        for section, (lost, all_) in tokenize(graphs[key], vocabulary).unknown(vocabulary).items():
            missing[section] += lost
            total[section] += all_
    shares = {section: missing[section] / total[section] for section in total}
    return {
        "seed": seed, "families": len(sizes), "test graphs": len(test), "vocabulary": len(vocabulary),
        "unknown": shares | {"all": missing.total() / max(1, total.total())},
    }  # fmt: skip


if __name__ == "__main__":
    main()
