"""Guided search beside NSGA-II, random search and screened evolution, at equal cost, on pretended trainings.

    python -m benchmarks.guided --minutes 10 --seeds 5
    python -m benchmarks.guided --whole 60 --seeds 5
    python -m benchmarks.guided predictors --archive runs/labels runs/study

The first runs the real coordinator on `landscape` (2 workers; a strategy's own processor time counts as
time of the search) for quality and cache, and asks after how many evaluations, and after how many training
steps, the candidates at the top rung span the hypervolume that NSGA-II's span at its end, in the
landscape's truth. "guided, knowing" begins with what one random search of the same length has measured.

With `--whole` there is one rung, of 400 steps, and so many candidates: what the strategies are worth where no
promotion decides who is seen.

The last asks how well the model of a guided search ranks measured genomes that it was not fitted to, beside
others (Kendall's tau; as many draws as `--seeds`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madstar.search import Run, make_settings
from madstar.search.ranking import hypervolume
from madstar.search.simulation import Pretended, simulate
from madstar.studies.statistics import mean_interval
from madstar.tasks import TextTask, prepare_text

from .landscape import CACHE, Landscape, static_figures
from .machine import RESULTS, keep
from .strategies import CASES, CORNER
from .table import RUNGS, read_table

CASE = "quality and cache"
TARGET = "nsga2"
KNOWING = "guided, knowing"
RUNS = ("nsga2", "random", "screened", "guided", KNOWING)
# Share of a rung's training that a promotion does not repeat.
_TRUNK = 0.8


def searches(arguments: argparse.Namespace) -> None:
    """Every strategy with every seed; each run ends as a line of JSON, and is not done again."""
    landscape = Landscape(read_table())
    label = f"{arguments.whole}-whole" if arguments.whole else f"{arguments.minutes:g}-minutes"
    lines = RESULTS / f"guided-{label}.jsonl"
    lines.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for name in arguments.runs:
            done = [json.loads(line) for line in lines.open()] if lines.exists() else []
            if any((row["run"], row["seed"]) == (name, seed) for row in done):
                continue
            with tempfile.TemporaryDirectory() as folder:
                task = prepare_text(directory=Path(folder) / "text")
                row = search_once(name, seed, settings_of(arguments), landscape, task, Path(folder))
            with lines.open("a") as file:
                file.write(json.dumps(row) + "\n")
            shown = {key: row[key] for key in ("evaluations", "hypervolume", "own_seconds")}
            print(name, seed, shown, flush=True)
    rows = [json.loads(line) for line in lines.open()]
    table = tabulate(rows)
    for line in table:
        print("| " + " | ".join(str(value) for value in line.values()) + " |")
    print("kept in", keep(f"guided-{label}", {"table": table, "runs": rows}))


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that all runs have."""
    values: dict[str, Any] = {"workers": 2, "baselines": False, **CASES[CASE]}
    if arguments.whole:
        return {**values, "candidates": arguments.whole, "rungs": (str(RUNGS[-1]),), "reevaluate": 0.0}
    return {**values, "minutes": arguments.minutes}


def search_once(
    name: str, seed: int, values: dict[str, Any], landscape: Landscape, task: TextTask, folder: Path
) -> dict[str, Any]:
    """One pretended search; before it, for one that is to know something, a random search of its own."""
    first = RUNGS.index(int(values["rungs"][0])) if "rungs" in values else 0

    def evaluate(payload: dict[str, Any]) -> Pretended:
        return landscape.evaluate({**payload, "rung": payload["rung"] + first})

    if name == KNOWING:
        before = make_settings(strategy="random", seed=1000 + seed, **values)
        simulate(before, task, evaluate, folder / "before", "before")
        values = {**values, "knowledge": (str(folder / "before"),)}
    strategy = name.partition(",")[0]
    began = time.process_time()
    settings = make_settings(strategy=strategy, seed=seed, **values)
    run = simulate(settings, task, evaluate, folder / "home", "run")
    own = time.process_time() - began
    found = curve(run, landscape, first)
    summary = run.summary()
    return {
        "run": name,
        "seed": seed,
        "own_seconds": round(own, 1),
        "candidates": len({row.candidate for row in summary.evaluations}),
        "evaluations": len(found),
        "steps": found[-1][0],
        "hypervolume": found[-1][1],
        "guiding": summary.guiding and summary.guiding.to_dict(),
        "curve": found,
    }


def curve(run: Run, landscape: Landscape, first: int = 0) -> list[tuple[float, float]]:
    """After each evaluation: training steps spent, and the true hypervolume of those at the top rung."""
    summary = run.summary()
    genome = {row.index: row.genome for row in summary.candidates}
    points: dict[int, tuple[float, float]] = {}
    spent, volume = 0.0, 0.0
    found = []
    for row in summary.evaluations:
        resumed, rung = row.stage == "search" and row.rung > 0, row.rung + first
        spent += RUNGS[rung] - (_TRUNK * RUNGS[rung - 1] if resumed else 0.0)
        if rung == len(RUNGS) - 1 and row.candidate not in points:
            text = genome[row.candidate]
            points[row.candidate] = (landscape.truth(text), static_figures(text)[CACHE])
            volume = hypervolume(np.array(list(points.values())), CORNER) / (CORNER[0] * CORNER[1])
        found.append((round(spent, 1), round(volume, 5)))
    return found


def tabulate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each strategy: hypervolume at the end, and what it took to reach the target's.

    Of a run that did not reach it, all that it spent counts, and `reached` says how many did.
    """
    target = statistics.fmean(row["hypervolume"] for row in rows if row["run"] == TARGET)
    found = []
    for name in dict.fromkeys(row["run"] for row in rows):
        own = [row for row in rows if row["run"] == name]
        reached = [_reach(row["curve"], target) for row in own]
        evaluations, steps = ([each[place] for each in reached] for place in (0, 1))
        end = mean_interval([row["hypervolume"] for row in own])
        found.append(
            {
                "run": name,
                "hypervolume": f"{end.mean:.4f} ({end.low:.4f} to {end.high:.4f})",
                "reached": f"{sum(each[2] for each in reached)} of {len(own)}",
                "evaluations to target": _told(evaluations),
                "steps to target": _told(steps),
                "mean curve reaches target after": _mean_curve(own, target),
                "evaluations in all": round(statistics.fmean(row["evaluations"] for row in own), 1),
                "candidates": round(statistics.fmean(row["candidates"] for row in own), 1),
                "own seconds": round(statistics.fmean(row["own_seconds"] for row in own), 1),
            }
        )
    return found


def _reach(points: list[list[float]], target: float) -> tuple[int, float, bool]:
    for number, (steps, volume) in enumerate(points, 1):
        if volume >= target:
            return number, steps, True
    return len(points), points[-1][0], False


def _told(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _mean_curve(rows: list[dict[str, Any]], target: float) -> int | None:
    """The evaluations after which the mean over seeds of the hypervolume is the target; None if never."""
    longest = max(len(row["curve"]) for row in rows)
    for number in range(1, longest + 1):
        volumes = [row["curve"][min(number, len(row["curve"])) - 1][1] for row in rows]
        if statistics.fmean(volumes) >= target:
            return number
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("searches", "predictors"), nargs="?", default="searches")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--whole", type=int, default=0, help="candidates, each trained whole")
    parser.add_argument("--runs", nargs="+", default=list(RUNS))
    parser.add_argument("--archive", type=Path, nargs="+", default=[Path("runs/labels"), Path("runs/study")])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.how == "searches":
        searches(arguments)
    else:
        from .guided_predictors import predictors

        predictors(arguments.archive, arguments.seeds)


if __name__ == "__main__":
    main()
