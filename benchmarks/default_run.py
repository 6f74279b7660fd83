"""What one default run of 8 minutes finds against the four baselines, and how well it used the time.

    python -m benchmarks.default_run [--seeds 3] [--minutes 8] [--home DIR]

Each run is the command a user types, as a process. From its archive: the front and the baselines at
the highest rung, scored on the test split that the search never sees, with paired standard errors of
the differences over test windows; worker time spent training; evaluations per hour; seconds from
command to first result.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from madstar.search import Run
from madstar.search.run import FrontEntry
from madstar.tasks import TextTask
from madstar.training import window_losses

from .machine import keep


def run_once(seed: int, minutes: float, home: Path, extra: list[str]) -> dict[str, Any]:
    """One search as a process; returns its figures."""
    name = f"default-{seed}"
    command = [sys.executable, "-m", "madstar", "search", "--minutes", str(minutes), "--seed", str(seed)]
    started = time.time()
    output = subprocess.run(
        [*command, "--home", str(home), "--name", name, "--json", *extra],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    wall = time.time() - started
    document = json.loads(output)
    run = Run.open(name, home)
    return {
        "seed": seed,
        "use": use_of_time(run, started, wall),
        "failed": document["failures"],
        "validity": document["offspring_validity"],
        "hypervolume": document["hypervolume"],
        "hypervolume_reference": document["hypervolume_reference"],
        "entries": compare(run),
    }


def use_of_time(run: Run, started: float, wall: float) -> dict[str, float]:
    """How the workers' time went."""
    rows = run.summary().evaluations
    workers = run.settings.workers
    training = sum(row.timings.get("train", 0.0) for row in rows)
    busy = sum(row.timings["total"] for row in rows)
    first, last = min(row.started_at for row in rows), max(row.finished_at for row in rows)
    return {
        "wall_seconds": wall,
        "seconds_to_first_result": min(row.finished_at for row in rows) - started,
        "seconds_to_first_job": first - started,
        "training_share_of_worker_time": training / (workers * (last - first)),
        "busy_share_of_worker_time": busy / (workers * (last - first)),
        "training_share_of_whole_command": training / (workers * wall),
        "evaluations": len(rows),
        "evaluations_per_hour": len(rows) / (last - first) * 3600,
        "training_steps": sum(row.steps for row in rows),
    }


def compare(run: Run) -> list[dict[str, Any]]:
    """Front and baselines on the test split; differences to each baseline are paired by window."""
    task = TextTask.open(run.task_directory)
    to_bits = 1 / (math.log(2) * task.bytes_per_token)
    baselines = [b for b in run.baselines if b.entry.rung == run.summary().rung]
    losses = {b.entry.label: _losses(b, task) for b in baselines}
    rows = []
    for member in (*run.front, *baselines):
        own = _losses(member, task)
        rows.append(
            {
                "label": member.entry.label,
                "role": member.entry.candidate.role,
                "genome": str(member.genome),
                "steps": member.entry.evaluation.steps,
                "valid": member.values["bits_per_byte"],
                "test": own.mean().item() * to_bits,
                "test_error": own.std().item() / math.sqrt(len(own)) * to_bits,
                "minus": {
                    label: [
                        (own - theirs).mean().item() * to_bits,
                        (own - theirs).std().item() / math.sqrt(len(own)) * to_bits,
                    ]
                    for label, theirs in losses.items()
                },
                **member.entry.candidate.values,
            }
        )
    return rows


def _losses(member: FrontEntry, task: TextTask) -> torch.Tensor:
    return window_losses(member.build(), task, "test", batch=16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--home", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--name", default="default_run")
    arguments, extra = parser.parse_known_args()
    torch.set_num_threads(1)
    runs = []
    for seed in range(arguments.seeds):
        runs.append(run_once(seed, arguments.minutes, arguments.home, extra))
        print_run(runs[-1])
        keep(arguments.name, {"minutes": arguments.minutes, "options": extra, "runs": runs})


def print_run(run: dict[str, Any]) -> None:
    """One run as Markdown."""
    use = ", ".join(f"{key} {value:.3g}" for key, value in run["use"].items())
    print(f"\nseed {run['seed']}: {use}; failed {run['failed']}; validity {run['validity']}")
    print("| architecture | test bits per byte | parameters | cache@4096 | minus Transformer++ |")
    print("|---|---|---|---|---|")
    for row in run["entries"]:
        gain, error = row["minus"].get("Transformer++", (math.nan, math.nan))
        print(
            f"| {row['label']} `{row['genome']}` | {row['test']:.3f} ± {row['test_error']:.3f} | "
            f"{row['parameters']:,.0f} | {row['cache@4096']:,.0f} | {gain:+.3f} ± {error:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
