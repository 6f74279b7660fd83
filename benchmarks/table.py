"""A table of architectures that were all carried to the largest budget: what studies of search stand on.

    python -m benchmarks.table --count 60 [--part 0/2] [--again 14]
    python -m benchmarks.table --random --rungs 50,100 --count 250 --again 0 --folder FOLDER [--part 0/2]

Default sizes, data and training (width 64, 8 layers, 2,048 tokens a step, rungs 50, 100, 200, 400).
Three in five are random genomes of the space; the others are offspring of the best in the table so
far, so that it is dense where a search goes; with `--random` all are random. `--again` trains the first
architectures (every part its own) with a second seed. One line of JSON for each training, appended as it
ends; what is there already is not trained again. `--part` lets processes share the work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madstar.genome import Genome, SearchSpace, baselines, sample, vary
from madstar.genome.variation import VariationRates, settle
from madstar.liv.cost import cost
from madstar.objectives import Subject
from madstar.tasks import TextTask, prepare_text
from madstar.training import Budget, Trainer, TrainingSettings, evaluate

TABLE = Path(__file__).parent / "results" / "table"
RUNGS = (50, 100, 200, 400)
_RANDOM = 3 / 5
_BEST = 12


def read_table(folder: Path = TABLE) -> list[dict[str, Any]]:
    """All trainings in the table, by part and in the order in which they ended."""
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.open()]


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Validation bits per byte by genome and budget, over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for rung, score in row["scores"].items():
            found.setdefault(row["genome"], {}).setdefault(rung, []).append(score)
    return {g: {rung: float(np.mean(s)) for rung, s in by.items()} for g, by in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="architectures of this part")
    parser.add_argument("--again", type=int, default=14, help="trained with a second seed, of this part")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--random", action="store_true", help="no baselines and no offspring, no curves kept")
    parser.add_argument(
        "--rungs", type=lambda text: tuple(map(int, text.split(","))), default=RUNGS, help="training steps"
    )
    parser.add_argument("--folder", type=Path, default=TABLE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    part, parts = map(int, arguments.part.split("/"))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    task = prepare_text(directory=Path("runs") / f"table-text-{part}")
    file = arguments.folder / f"part-{part}-of-{parts}.jsonl"
    known = [] if arguments.random else list(baselines(8).items())[part::parts]
    rungs, curves = arguments.rungs, not arguments.random
    for number in range(arguments.count):
        if number < len(known):
            origin, genome = known[number][0], known[number][1]
        else:
            table = {} if arguments.random else means(read_table(arguments.folder))
            origin, genome = propose(number, part, table)
        train(genome, origin, number, 0, task, file, rungs=rungs, curves=curves)
    own = [json.loads(line) for line in file.open()]
    for row in [row for row in own if row["seed"] == 0][: arguments.again]:
        again = Genome.parse(row["genome"])
        train(again, row["origin"], row["number"], 1, task, file, rungs=rungs, curves=curves)


def propose(number: int, part: int, table: Mapping[str, Mapping[str, float]]) -> tuple[str, Genome]:
    """Random, or an offspring of two of the best in the table; parts draw from generators of their own."""
    rng = np.random.default_rng([part, number])
    space = SearchSpace()
    if rng.random() < _RANDOM or len(table) < _BEST:
        return "random", settle(sample(space, rng), "random", space, rng).genome
    best = sorted(table, key=lambda genome: table[genome][str(RUNGS[-1])])[:_BEST]
    first, second = (Genome.parse(best[int(i)]) for i in rng.choice(len(best), size=2, replace=False))
    child = vary(first, second, space, VariationRates(), rng)
    return child.operator, child.genome


def train(
    genome: Genome,
    origin: str,
    number: int,
    seed: int,
    task: TextTask,
    file: Path,
    *,
    rungs: Sequence[int] = RUNGS,
    curves: bool = True,
) -> None:
    """Train one architecture through all rungs and append what came of it, unless it is there."""
    done = [json.loads(line) for line in file.open()] if file.exists() else []
    if any((row["number"], row["seed"]) == (number, seed) for row in done):
        return
    settings, sizes = TrainingSettings(), SearchSpace().sizes
    costs = cost(Subject(genome, sizes, settings.length).spec, 4096)
    trainer = Trainer(genome.build(sizes, seed), task, settings, seed)
    row: dict[str, Any] = {"number": number, "seed": seed, "origin": origin, "genome": str(genome)}
    row |= {"parameters": costs.parameters, "cache": costs.cache_bytes, "scores": {}, "seconds": {}}
    for rung in rungs:
        begun, before = time.perf_counter(), trainer.step
        trained = trainer.train_to(Budget(rung))
        row["seconds"][str(rung)] = round((time.perf_counter() - begun) / (rung - before), 5)
        quality = evaluate(trained.model, task, "valid", batch=16, limit=settings.validation_windows)
        row["scores"][str(rung)] = round(quality.bits_per_byte, 5)
    if curves:
        test = evaluate(trained.model, task, "test", batch=16, limit=4 * settings.validation_windows)
        row["test"] = round(test.bits_per_byte, 5)
        row["curve"] = [[int(step), round(bits, 3)] for step, bits in trained.curve]
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")
    print(f"{number} seed {seed} {origin} {row['genome']}: {row['scores']}", flush=True)


if __name__ == "__main__":
    main()
