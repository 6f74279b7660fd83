"""Latencies and memory of genomes whose quality is known: what a predictor of amounts learns from.

    python -m benchmarks.latencies benchmarks/results/labels [--count 250] [--objective decode@1024 ...]
    python -m benchmarks.table_archive benchmarks/results/labels HOME \\
        --amounts benchmarks/results/latencies.jsonl
    madstar learn dataset --archive HOME --genomes 0 --out DIR
    python -m benchmarks.learning_predictor --data DIR --figure decode@1024

The first genomes of a table (`benchmarks.table`), every part in turn, at the default sizes, untrained, as a
search measures its objectives: medians over about half a second of runs, batch 1, float32, one thread. Best
on a machine that does nothing else. One line of JSON for each genome, appended; what is there is not
measured again.
"""

from __future__ import annotations

import argparse
import json
from itertools import chain, zip_longest
from pathlib import Path

import torch

from madstar.genome import Genome, SearchSpace
from madstar.objectives import Subject, find_objective, processor
from madstar.training import TrainingSettings

from .machine import RESULTS

ROWS = RESULTS / "latencies.jsonl"
OBJECTIVES = ("decode@1024", "prefill@1024", "memory@1024")


def in_turn(folder: Path) -> list[str]:
    """The genomes of a table, the first of every part before the second of any."""
    parts = [
        dict.fromkeys(json.loads(line)["genome"] for line in file.open())
        for file in sorted(folder.glob("*.jsonl"))
    ]
    return list(dict.fromkeys(text for text in chain(*zip_longest(*parts)) if text))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--objective", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--rows", type=Path, default=ROWS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    objectives = [find_objective(name) for name in given.objective]
    done = {json.loads(line)["genome"] for line in given.rows.open()} if given.rows.exists() else set()
    sizes, length = SearchSpace().sizes, TrainingSettings().length
    for number, text in enumerate(in_turn(given.table)[: given.count], 1):
        if text in done:
            continue
        subject = Subject(Genome.parse(text), sizes, length)
        found = {objective.name: objective.measure(subject) for objective in objectives}
        row = {
            "genome": text,
            "processor": processor(),
            "values": {name: each.value for name, each in found.items()},
            "errors": {name: each.error for name, each in found.items() if each.error},
        }
        with given.rows.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        words = ", ".join(f"{name} {each.value:.4g}" for name, each in found.items())
        print(f"{number}/{given.count} {text}: {words}", flush=True)


if __name__ == "__main__":
    main()
