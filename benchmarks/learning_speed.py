"""How fast the graph transformer trains: nodes and steps a second, by size and number of processes.

    python -m benchmarks.learning_speed --data DIR [--sizes small base] [--processes 1 2] [--steps 12]
        [--rounds 3]

DIR is what `madstar learn dataset --out DIR` wrote. Every size is trained by each number of processes in
turn, round after round, some steps each time, the first two of which do not count. Nodes are those that the
whole model is asked about (what the local parts alone are asked comes on top). Every process has one thread.
The medians over the rounds are told, and how many steps the 15 minutes of `madstar learn train` hold.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

import torch

from madstar.learning.datasets.dataset import Stored
from madstar.learning.pretraining.data import TrainingData
from madstar.learning.pretraining.reading import from_dataset
from madstar.learning.pretraining.settings import TrainingSettings
from madstar.learning.pretraining.sharing import sharing
from madstar.learning.pretraining.training import Trainer
from madstar.learning.transformer.config import find_size

from .machine import keep

WARM = 2
DEFAULT_SECONDS = 15 * 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", nargs="*", default=["small", "base"])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stored = Stored(asked.data)
    data = from_dataset(stored)
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for number in range(asked.rounds):
        for size in asked.sizes:
            for processes in asked.processes:
                found[size, processes].append(speed(data, size, processes, asked.steps, number))
    rows = []
    print(
        "| size | parameters | processes | steps a second | nodes a second | steps in 15 minutes |\n|"
        + "---|" * 6
    )
    for (size, processes), speeds in found.items():
        steps, nodes = (statistics.median(each) for each in zip(*speeds, strict=True))
        parameters = Trainer(data, find_size(size), TrainingSettings()).model.parameter_count
        rows.append(
            {"size": size, "parameters": parameters, "processes": processes, "steps_a_second": steps}
            | {"nodes_a_second": nodes, "rounds": speeds}
        )
        many = f"{steps * DEFAULT_SECONDS:,.0f}"
        print(f"| {size} | {parameters:,} | {processes} | {steps:.2f} | {nodes:,.0f} | {many} |", flush=True)
    print("kept in", keep("learning_speed", {"data": stored.hash, "steps": asked.steps, "rows": rows}))


def speed(data: TrainingData, size: str, processes: int, steps: int, seed: int) -> tuple[float, float]:
    """Steps and nodes a second. The same seed asks the same questions."""
    trainer = Trainer(data, find_size(size), TrainingSettings(seed=seed))
    with sharing(trainer, processes):
        trainer.advance(WARM)
        nodes, begun = trainer.nodes, time.monotonic()
        trainer.advance(WARM + steps)
        seconds = time.monotonic() - begun
    return steps / seconds, (trainer.nodes - nodes) / seconds


if __name__ == "__main__":
    main()
