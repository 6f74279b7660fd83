"""Strategies at equal cost: real searches side by side, or pretended ones on a model of the table.

    python -m benchmarks.strategies pretend --minutes 10 60 --seeds 8
    python -m benchmarks.strategies real --steps 3000 --seeds 5 --strategies random screened

"pretend" runs the real coordinator on `landscape` (2 workers, the strategies' own time counted), so the
truth about what was chosen is known without noise: that is "after retraining". Two settings: quality
alone, with parameters held between 90 and 100 % of a cap, so that filling the cap gains nothing; and
quality with cache. "real" runs `madstar search` with budgets in training steps, which the load of the
machine does not change, one worker each, parameters held to a band, and trains the best of each again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madstar.search import Run, make_settings
from madstar.search.ranking import hypervolume
from madstar.search.simulation import simulate
from madstar.search.summary import RunSummary, costs_of
from madstar.studies.statistics import mean_interval, paired_difference, verdict
from madstar.tasks import TextTask, prepare_text
from madstar.training import Trainer, evaluate

from .landscape import CACHE, Landscape, static_figures
from .machine import keep
from .table import read_table

STRATEGIES = ("random", "nsga2", "regularised", "local", "screened")
CONTROL = "random"
# Hypervolume's corner: bits per byte of a poor candidate, and the cache of eight attention layers.
CORNER = (2.6, 9e6)
REAL = "quality and cache, parameters in a band"
REAL_OPTIONS = ("--constraint", "params<=260000", "--constraint", "params>=225000")
RETRAINED = 2
CASES: dict[str, dict[str, Any]] = {
    "quality, equal parameters": {
        "objectives": ("quality",),
        "constraints": ("params<=260000", "params>=234000"),
    },
    "quality and cache": {"objectives": ("quality", "cache"), "constraints": ()},
}


def pretend(arguments: argparse.Namespace) -> None:
    rows = read_table()
    landscape = Landscape(rows)
    explained = {rung: round(part.explained, 3) for rung, part in landscape.parts.items()}
    print(f"table of {len(rows)} trainings; explained of left-out genomes: {explained}", flush=True)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        task = prepare_text(directory=Path("runs") / "table-text-0")
        for minutes in arguments.minutes:
            for case in arguments.cases:
                for strategy in arguments.strategies:
                    for seed in range(arguments.seeds):
                        found.append(
                            pretend_one(case, strategy, seed, minutes, landscape, task, Path(folder))
                        )
                    scores = [f["truth"] for f in found[-arguments.seeds :]]
                    print(case, minutes, strategy, [round(s, 3) for s in scores], flush=True)
    table = [
        row
        for minutes in arguments.minutes
        for case in arguments.cases
        for row in tabulate(found, case, minutes)
    ]
    for row in table:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    result = {"trainings": len(rows), "explained": explained, "runs": found, "table": table}
    print("kept in", keep(arguments.out or "strategies_pretended", result))


def pretend_one(
    case: str,
    strategy: str,
    seed: int,
    minutes: float,
    landscape: Landscape,
    task: TextTask,
    folder: Path,
    **more: Any,
) -> dict[str, Any]:
    """One pretended search, and the truth about what it chose."""
    name = f"{case}-{strategy}-{seed}-{minutes}-{len(more)}".replace(" ", "").replace(",", "")
    values = {"workers": 2, "baselines": False, **CASES[case], **more}
    settings = make_settings(strategy=strategy, seed=seed, minutes=minutes, **values)
    began = time.process_time()
    run = simulate(settings, task, landscape.evaluate, folder, name)
    return {
        "case": case,
        "strategy": strategy,
        "seed": seed,
        "minutes": minutes,
        "own_seconds": round(time.process_time() - began, 2),
        **more,
        **judge(run.summary(), landscape),
    }


def judge(summary: RunSummary, landscape: Landscape) -> dict[str, Any]:
    """The truth about the best that a run selected, and about its front."""
    front = [str(entry.genome) for entry in summary.front]
    best = min(summary.front, key=lambda entry: entry.values["quality"])
    points = np.array([[landscape.truth(g), static_figures(g)[CACHE]] for g in front])
    searched = [row for row in summary.candidates if row.status == "pending"]
    return {
        "selected": best.values["quality"],
        "truth": landscape.truth(str(best.genome)),
        "hypervolume": hypervolume(points, CORNER) / (CORNER[0] * CORNER[1]),
        "parameters": static_figures(str(best.genome))["parameters"],
        "candidates": len(searched),
        "evaluations": len(summary.evaluations),
        "repeats": sum(row.stage == "repeat" for row in summary.evaluations),
    }


def tabulate(found: list[dict[str, Any]], case: str, minutes: float) -> list[dict[str, Any]]:
    """A row for each strategy: means, and differences to the control paired by seed."""
    chosen = [f for f in found if f["case"] == case and f["minutes"] == minutes]
    rows = []
    for strategy in dict.fromkeys(f["strategy"] for f in chosen):
        own = [f for f in chosen if f["strategy"] == strategy]
        control = [f for f in chosen if f["strategy"] == CONTROL]
        row: dict[str, Any] = {"case": case, "minutes": minutes, "strategy": strategy}
        for figure in ("truth", "hypervolume"):
            row[figure] = round(mean_interval([f[figure] for f in own]).mean, 4)
            row[f"{figure} - random"] = "-"
            if strategy != CONTROL and len(control) == len(own):
                gap = paired_difference([f[figure] for f in own], [f[figure] for f in control])
                better = "lower" if figure == "truth" else "higher"
                told = f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
                row[f"{figure} - random"] = f"{told} {verdict(gap, better=better)}"
        for figure in ("parameters", "candidates", "own_seconds"):
            row[figure] = round(statistics.fmean(f[figure] for f in own), 1)
        rows.append(row)
    return rows


def real(arguments: argparse.Namespace) -> None:
    """Searches of equal training cost one after another, seed by seed; each ends as a line of JSON.

    The best of each, as its search selected it, is trained again from scratch with `RETRAINED` fresh seeds
    to the largest rung, and scored on test text. What has a line already is not done again.
    """
    file = arguments.folder / f"real-{arguments.steps}-steps.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for strategy in arguments.strategies:
            done = [json.loads(line) for line in file.open()] if file.exists() else []
            if not any((row["strategy"], row["seed"]) == (strategy, seed) for row in done):
                row = real_one(strategy, seed, arguments)
                with file.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
                print(row["strategy"], row["seed"], row["valid"], row["retrained"], flush=True)
    rows = [json.loads(line) for line in file.open()]
    found = [row | {"case": REAL, "minutes": arguments.steps, "truth": row["retrained"]} for row in rows]
    for line in tabulate(found, REAL, arguments.steps):
        print("| " + " | ".join(str(value) for value in line.values()) + " |")


def real_one(strategy: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One search, as a user types it, and what became of its best."""
    name = f"study-{strategy}-{arguments.steps}-{seed}"
    home: Path = arguments.home
    command = [sys.executable, "-m", "madstar", "search", "--home", str(home)]
    if (home / name).exists():
        command += ["--resume", name]
    else:
        command += ["--name", name, "--seed", str(seed), "--strategy", strategy, "--no-baselines"]
        command += ["--steps", str(arguments.steps), "--workers", "1", *REAL_OPTIONS]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = Run.open(name, home)
    summary = run.summary()
    best = min(summary.front, key=lambda entry: entry.values["quality"])
    task = TextTask.open(run.task_directory)
    settings, top = run.settings, run.settings.budgets[-1]
    scores = []
    for fresh in range(1000, 1000 + RETRAINED):
        model = best.genome.build(settings.sizes(task.vocabulary_size), fresh)
        trained = Trainer(model, task, settings.training, fresh).train_to(top)
        scores.append(evaluate(trained.model, task, "test", batch=16, limit=1024).bits_per_byte)
    points = [list(costs_of(entry.values, summary.objectives)) for entry in summary.front]
    rows = summary.evaluations
    return {
        "strategy": strategy,
        "seed": seed,
        "steps": arguments.steps,
        "genome": str(best.genome),
        "trainings": best.seeds,
        "valid": best.values["quality"],
        "retrained": statistics.fmean(scores),
        "retrained_seeds": scores,
        "hypervolume": hypervolume(np.array(points), CORNER) / (CORNER[0] * CORNER[1]),
        "front": points,
        "parameters": best.candidate.values["parameters"],
        "cache": best.candidate.values[CACHE],
        "candidates": len({row.candidate for row in rows}),
        "evaluations": len(rows),
        "train_seconds": sum(row.timings.get("train", 0.0) for row in rows),
        "own_seconds": summary.run.config.get("strategy_seconds", 0.0),
        "wall_seconds": summary.run.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("pretend", "real"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--home", type=Path, default=Path("runs/study"))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "results" / "study")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (pretend if arguments.how == "pretend" else real)(arguments)


if __name__ == "__main__":
    main()
