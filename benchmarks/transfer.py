"""Does a small model's rank say which large model is better? Rank correlation of proxy sizes with a target.

    python -m benchmarks.transfer [--widths 64,128,256] [--thin 32x16] [--steps 200] [--seeds 2] [--part 0/2]

Fourteen architectures of 8 layers (the baselines, random ones, and such as searches end with) at each
width; the largest is the target. Thin proxies have more layers, by stacking and by stretching. Heads
have 16 channels throughout; the learning rate is divided by as much as a model is wider than 64.
Default text, sequences of 128 tokens, 8 a step, validation bits per byte.

Every training that has ended is kept under --home, and one that is there is not done again. Parts 0/2
and 1/2 share the work between two processes; whoever ends last writes the result.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madstar.genome import Genome, SearchSpace, Sizes, baselines, compile_genome, repair, sample
from madstar.genome.scaling import HOW, deepen, widen
from madstar.liv import cost
from madstar.studies.scale import transferred_rate
from madstar.studies.statistics import bootstrap_interval, kendall
from madstar.tasks import TextTask, prepare_text
from madstar.training import Budget, Trainer, TrainingSettings, evaluate
from madstar.training.trainer import DivergedError

from .machine import RESULTS, keep

DEPTH, BASE_WIDTH = 8, 64
LENGTH, BATCH, RATE = 128, 8, 5e-3
RANDOM = 5
# Classes whose heads share keys by four need four heads, which the thinnest proxies do not have.
CLASSES = tuple(n for n in range(1, 18) if n not in (3, 12))
# What searches end with: convolutions first, little attention and late, tied pairs, shared keys and values.
EVOLVED = {
    "convolutions, attention last": "16.1.1.1.1-71111-16.1.1.1.1-91111-16.1.1.1.1-71111-11111-91111",
    "tied differential convolutions": "16.1.2.1.1-91111-16.1.2.1.1-91111-71111-91111-21111-91111",
    "shared keys and values": "71111-91111-41112-91111-71111-91111-41112-91111",
    "recurrences, attention last": "14.1.1.1.1-91111-71111-91111-14.1.1.1.1-91111-21111-91111",
    "few SwiGLU": "16.1.1.1.1-16.1.1.1.1-71111-91111-71111-16.1.1.1.1-71111-41111",
}
# A pair of architectures is told apart where the target's means differ by so many standard errors.
APART = 2.0


@dataclass(frozen=True)
class Size:
    """A size to train at; `how` is how its depth is reached."""

    width: int
    depth: int
    how: str

    @property
    def name(self) -> str:
        return f"width {self.width}" + (f", depth {self.depth} by {self.how}" if self.depth != DEPTH else "")


@dataclass(frozen=True)
class Job:
    """One training."""

    size: str
    architecture: str
    genome: str
    seed: int
    steps: int


def architectures() -> dict[str, Genome]:
    """Fourteen of 8 layers, always the same."""
    space = SearchSpace(sizes=Sizes(width=32, heads=2), min_depth=DEPTH, max_depth=DEPTH, classes=CLASSES)
    rng = np.random.default_rng(11)
    drawn = {f"random {n + 1}": repair(sample(space, rng), space, rng)[0] for n in range(RANDOM)}
    return {**baselines(DEPTH), **drawn, **{name: Genome.parse(text) for name, text in EVOLVED.items()}}


def sizes(widths: list[int], thin: str) -> list[Size]:
    """Sizes to compare, the target last."""
    found = [Size(width, DEPTH, "stack") for width in sorted(widths)]
    if thin:
        width, depth = map(int, thin.split("x"))
        found[:0] = [Size(width, depth, how) for how in HOW]
    return found


def jobs(wanted: list[Size], seeds: int, steps: int) -> Iterator[tuple[Size, Job]]:
    """Seed by seed, and small sizes first, so that what is there after an interrupt can be compared."""
    for seed, size in itertools.product(range(seeds), wanted):
        for name, genome in architectures().items():
            deeper = deepen(genome, size.depth, size.how)
            yield size, Job(size.name, name, str(deeper), seed, steps)


def built_at(size: Size, genome: Genome) -> Sizes:
    """Sizes of the default text's bytes. Raises ConfigurationError for a width that no heads suit."""
    return widen(Sizes(width=BASE_WIDTH), size.width, [genome])


def train(size: Size, job: Job, task: TextTask) -> dict[str, Any]:
    """One training and its row; one that diverged has no score."""
    genome = Genome.parse(job.genome)
    built = built_at(size, genome)
    rate = transferred_rate(RATE, BASE_WIDTH, size.width)
    settings = TrainingSettings(length=LENGTH, batch=BATCH, learning_rate=rate)
    row = {
        **asdict(job),
        "learning_rate": rate,
        "parameters": cost(compile_genome(genome, built), LENGTH).parameters,
    }
    try:
        trained = Trainer(genome.build(built, job.seed), task, settings, job.seed).train_to(Budget(job.steps))
    except DivergedError as error:
        return {**row, "bits_per_byte": None, "error": str(error)}
    score = evaluate(trained.model, task, "valid", batch=16, limit=settings.validation_windows).bits_per_byte
    return {**row, "bits_per_byte": score, "seconds": round(trained.seconds, 1)}


def read_rows(directory: Path) -> dict[Job, dict[str, Any]]:
    """The rows of all parts."""
    names = Job.__dataclass_fields__
    rows = [row for path in sorted(directory.glob("part-*.json")) for row in json.loads(path.read_text())]
    return {Job(**{name: row[name] for name in names}): row for row in rows}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Under another name first, so that the other part never reads half a file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(rows, indent=1) + "\n")
    os.replace(partial, path)


def work_off(arguments: argparse.Namespace, directory: Path) -> None:
    """Train this part's share of what is missing."""
    part, parts = map(int, arguments.part.split("/"))
    path = directory / f"part-{part}-of-{parts}.json"
    own = json.loads(path.read_text()) if path.exists() else []
    task = prepare_text(directory=Path("runs") / f"transfer-text-{part}-of-{parts}", length=LENGTH)
    planned = list(jobs(sizes(arguments.widths, arguments.thin), arguments.seeds, arguments.steps))
    for size, job in planned:
        built_at(size, Genome.parse(job.genome))
    for size, job in planned[part::parts]:
        if job in read_rows(directory):
            continue
        row = train(size, job, task)
        own.append(row)
        write_rows(path, own)
        score = "diverged" if row["bits_per_byte"] is None else f"{row['bits_per_byte']:.3f}"
        print(
            f"| {job.size} | {job.architecture} | {job.seed} | {score} | {row.get('seconds')} s |", flush=True
        )


def means(rows: list[dict[str, Any]], size: str) -> dict[str, list[float]]:
    """Scores over seeds by architecture, of those that never diverged."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row["size"] == size:
            scores.setdefault(row["architecture"], []).append(row["bits_per_byte"])
    return {name: found for name, found in scores.items() if None not in found}


def seed_sd(scores: dict[str, list[float]]) -> float | None:
    """Standard deviation over seeds, pooled over architectures; None with one seed."""
    spreads = [statistics.variance(found) for found in scores.values() if len(found) > 1]
    return math.sqrt(statistics.fmean(spreads)) if spreads else None


def compare(
    proxy: dict[str, float], target: dict[str, float], noise: float, tau: Callable[[np.ndarray], float]
) -> dict[str, Any]:
    """A proxy's ranking beside the target's: tau, and agreement over pairs that the target tells apart.

    `noise` is the standard error of a difference between two of the target's means. The interval is a
    bootstrap over architectures.
    """
    names = sorted(set(proxy) & set(target))
    pairs = np.array([[proxy[name], target[name]] for name in names])
    interval = bootstrap_interval(tau, pairs, np.random.default_rng(0))
    differences = [b - a for a, b in itertools.combinations(pairs, 2)]
    told = [(p, t) for p, t in differences if abs(t) > APART * noise]
    return {
        "architectures": len(names),
        "tau": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "pairs_apart": len(told),
        "pairs_that_agree": sum(bool(p * t > 0) for p, t in told),
    }


def analyse(rows: list[dict[str, Any]], wanted: list[Size]) -> dict[str, Any]:
    """Every proxy against the target, and what there is to compare that with.

    "more parameters" ranks by their number alone, the larger the better. The target's seeds against one
    another say how well any proxy of one seed could do.
    """

    def tau(pairs: np.ndarray) -> float:
        return kendall(pairs[:, 0].tolist(), pairs[:, 1].tolist())[0]

    goal = wanted[-1].name
    scores = means(rows, goal)
    target = {name: statistics.fmean(found) for name, found in scores.items()}
    seeds = min(map(len, scores.values()), default=0)
    noise = (seed_sd(scores) or 0.0) * math.sqrt(2 / max(1, seeds))
    parameters = {r["architecture"]: -float(r["parameters"]) for r in rows if r["size"] == goal}
    proxies = {size.name: means(rows, size.name) for size in wanted[:-1]}
    found = {
        name: compare({n: statistics.fmean(s) for n, s in by_name.items()}, target, noise, tau)
        for name, by_name in proxies.items()
    }
    found["more parameters"] = compare(parameters, target, noise, tau)
    if seeds > 1:
        first, second = ({name: s[k] for name, s in scores.items()} for k in (0, 1))
        found["target, seed against seed"] = compare(first, second, noise, tau)
    return {
        "target": goal,
        "seed_sd": {size.name: seed_sd(means(rows, size.name)) for size in wanted},
        "target_means": dict(sorted(target.items(), key=lambda item: item[1])),
        "proxies": found,
    }


def report(result: dict[str, Any]) -> None:
    """The proxies as Markdown."""
    sd = result["seed_sd"][result["target"]]
    spread = "" if sd is None else f"; seed sd {sd:.3f} bits per byte"
    print(f"\nagainst {result['target']}{spread}")
    print("| proxy | Kendall tau | 95 % interval | pairs told apart that agree |\n|---|---|---|---|")
    for name, one in result["proxies"].items():
        print(
            f"| {name} | {one['tau']:.2f} | {one['low']:.2f} to {one['high']:.2f} | "
            f"{one['pairs_that_agree']} of {one['pairs_apart']} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--widths", type=lambda text: [int(w) for w in text.split(",")], default=[64, 128, 256]
    )
    parser.add_argument("--thin", default="32x16", help="WIDTHxDEPTH of the thin proxies; empty for none")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--home", type=Path, default=RESULTS / "transfer")
    parser.add_argument("--name", default="transfer")
    parser.add_argument("--report", action="store_true", help="train nothing; compare what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.home.mkdir(parents=True, exist_ok=True)
    if not arguments.report:
        work_off(arguments, arguments.home)
    wanted = sizes(arguments.widths, arguments.thin)
    planned = [job for _, job in jobs(wanted, arguments.seeds, arguments.steps)]
    known = read_rows(arguments.home)
    rows = [known[job] for job in planned if job in known]
    print(f"{len(rows)} of {len(planned)} trainings are there")
    result = analyse(rows, wanted)
    report(result)
    if len(rows) == len(planned):
        settings = {"steps": arguments.steps, "seeds": arguments.seeds, "length": LENGTH, "batch": BATCH}
        genomes = {name: str(genome) for name, genome in architectures().items()}
        kept = {**settings, "architectures": genomes, **result, "rows": rows}
        print("kept in", keep(arguments.name, kept))


if __name__ == "__main__":
    main()
