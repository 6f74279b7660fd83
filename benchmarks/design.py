"""The design loop: gain by round with its models fitted anew, and with those of the first round.

    python -m benchmarks.design --home runs/design-study [--rounds N] [--minutes M] [--seed S ...]
        [--workers N] [--candidates N] [--steps N] [--generator DIR | --dataset DIR]

For each seed two runs of the same settings: "retrained" fits generator and predictor anew in every round,
"kept" keeps the first that there were (the generator of the first round, the predictor of the second). Both
have the same rounds, trainings and steps; the clock bounds them alike. Printed and kept: the best so far
after each round, its gain over the first round's best, the predictor's agreement before training (Kendall's
tau over all rounds), how far the median of guided proposals is ahead of that of unguided ones, seconds spent
learning and proposing. A run that is there is taken as it is, one that was cut off goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from madstar.archive import Archive
from madstar.design import Design, Limits, begin, make_settings, resume

from .machine import keep

TREATMENTS = {"retrained": True, "kept": False}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--data", default="python-reference")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--graphs", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--generator", type=Path)
    parser.add_argument("--dataset", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed in given.seed:
        for treatment, retrain in TREATMENTS.items():
            found = run(given, f"{treatment}-{seed}", seed, retrain)
            rows.append({"treatment": treatment, "seed": seed, **figures(found)})
            print(rows[-1], flush=True)
    together = {treatment: summary(rows, treatment) for treatment in TREATMENTS}
    for treatment, row in together.items():
        print(treatment, row)
    print(keep("design", {"settings": settings_of(given, 0, True), "runs": rows, "mean": together}))


def settings_of(given: argparse.Namespace, seed: int, retrain: bool) -> dict[str, Any]:
    """Settings of one run."""
    return {
        "data": given.data,
        "rounds": given.rounds,
        "candidates": given.candidates,
        "steps": given.steps,
        "width": given.width,
        "graphs": given.graphs,
        "seed": seed,
        "retrain": retrain,
        "patience": 0,
        "generator": None if given.generator is None else str(given.generator),
        "dataset": None if given.dataset is None else str(given.dataset),
    }


def run(given: argparse.Namespace, name: str, seed: int, retrain: bool) -> Design:
    """A run that is there, or a new one."""
    archive = given.home / "archive.sqlite"
    if archive.exists():
        with Archive.open(archive) as opened:
            if name in {row.name for row in opened.runs()}:
                return resume(name, home=given.home)
    limits = Limits(
        seconds=given.minutes * 60,
        workers=given.workers,
        memory=2 * 10**9,
        disk=10**9,
        parameters=10**6,
        candidates=given.rounds * given.candidates,
        candidate_seconds=600.0,
    )
    return begin(make_settings(**settings_of(given, seed, retrain)), limits, home=given.home, name=name)


def figures(found: Design) -> dict[str, Any]:
    """What is reported of a run."""
    best = [record["best_so_far"] for record in found.rounds]
    first = best[0] if best else None
    groups = [record["groups"] for record in found.rounds[1:]]
    ahead = [
        each["free"]["median"] - each["guided"]["median"]
        for each in groups
        if each.get("free", {}).get("median") and each.get("guided", {}).get("median")
    ]
    blocks = [record["groups"].get("graph guided", {}).get("trained", 0) for record in found.rounds]
    return {
        "reason": found.reason,
        "best": best,
        "gain": [None if first is None or each is None else first - each for each in best],
        "test": found.test,
        "tau": found.agreement["tau"],
        "guided_ahead": mean(ahead) if ahead else None,
        "trained": found.trained,
        "blocks_trained": sum(blocks),
        "learning_seconds": sum(record["seconds"].get("learning", 0) for record in found.rounds),
        "proposing_seconds": sum(record["seconds"].get("proposing", 0) for record in found.rounds),
        "seconds": found.seconds,
    }


def summary(rows: list[dict[str, Any]], treatment: str) -> dict[str, Any]:
    """Means and deviations over seeds."""
    mine = [row for row in rows if row["treatment"] == treatment]
    last = [row["gain"][-1] for row in mine if row["gain"] and row["gain"][-1] is not None]
    found: dict[str, Any] = {"seeds": len(mine), "gain": spread(last)}
    for name in ("tau", "guided_ahead", "test", "trained", "blocks_trained", "learning_seconds", "seconds"):
        found[name] = spread([row[name] for row in mine if row[name] is not None])
    return found


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean and standard deviation; None of nothing, and of a single value."""
    return {
        "mean": mean(values) if values else None,
        "deviation": stdev(values) if len(values) > 1 else None,
    }


if __name__ == "__main__":
    main()
