"""Quality against the number of workers: what acting on stale knowledge costs, at equal training.

    python -m benchmarks.staleness [--seeds 8] [--steps 12000]

With many workers a strategy proposes before it has heard of what is under way. Searches on `landscape`
with 1 to 16 workers and the same number of training steps in all; the truth about what each selected,
differences to one worker paired by seed, and the mean staleness (evaluations under way at a proposal).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from madstar.search import make_settings
from madstar.search.simulation import simulate
from madstar.studies.statistics import mean_interval, paired_difference, verdict
from madstar.tasks import prepare_text

from .landscape import Landscape
from .machine import keep
from .strategies import CASES, judge
from .table import read_table

WORKERS = (1, 2, 4, 8, 16)
STRATEGIES = ("nsga2", "screened")
CASE = "quality, equal parameters"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    landscape = Landscape(read_table())
    task = prepare_text(directory=Path("runs") / "table-text-0")
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for strategy in STRATEGIES:
            for workers in WORKERS:
                for seed in range(arguments.seeds):
                    settings = make_settings(
                        strategy=strategy,
                        seed=seed,
                        steps=arguments.steps,
                        workers=workers,
                        baselines=False,
                        **CASES[CASE],
                    )
                    name = f"{strategy}-{workers}-{seed}"
                    run = simulate(settings, task, landscape.evaluate, Path(folder), name, own_time=False)
                    summary = run.summary()
                    stale = [row.staleness for row in summary.candidates if row.status == "pending"]
                    judged = judge(summary, landscape) | {"staleness": statistics.fmean(stale)}
                    found.setdefault((strategy, workers), []).append(judged)
                print(strategy, workers, [round(f["truth"], 3) for f in found[strategy, workers]], flush=True)
    rows = []
    for (strategy, workers), runs in found.items():
        truths = [run["truth"] for run in runs]
        alone = [run["truth"] for run in found[strategy, 1]]
        row = {
            "strategy": strategy,
            "workers": workers,
            "truth": round(mean_interval(truths).mean, 4),
            "staleness": round(statistics.fmean(run["staleness"] for run in runs), 2),
            "less one worker": "-",
        }
        if workers > 1:
            gap = paired_difference(truths, alone)
            row["less one worker"] = f"{gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) {verdict(gap)}"
        rows.append(row)
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    runs_of = {f"{strategy}-{workers}": runs for (strategy, workers), runs in found.items()}
    print("kept in", keep("staleness", {"steps": arguments.steps, "table": rows, "runs": runs_of}))


if __name__ == "__main__":
    main()
