"""Predictors of scores at several numbers of measured architectures, beside one another.

    python -m benchmarks.learning_predictor --data DIR [--figure "quality after 50 steps"] [--seeds 5]

DIR is a dataset of `madstar learn dataset --archive`. Architectures with the figure (by default the one
measured most often) are shuffled by seed; a fifth are asked, at most 150, and the predictors are fitted to
50, 100, 200 and 400 of the others, as far as there are so many. The graph process is that of
`madstar.learning.predictor`; the others are the baselines of `madstar learn evaluate`, retrained on the same
architectures. Kendall's tau against what was measured: mean and standard deviation over seeds; of the graph
process also how often intervals of 90 % held. One line of JSON for each fit goes to
results/learning_predictor.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from madstar.learning.baselines.performance import predictors
from madstar.learning.datasets.dataset import Stored
from madstar.learning.predictor.learner import GraphProcess
from madstar.learning.predictor.predictor import Figure

ROWS = Path(__file__).parent / "results" / "learning_predictor.jsonl"
SIZES = (50, 100, 200, 400)
_MOST_ASKED = 150


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--figure", help="by default what was measured most often")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.summary:
        if given.data is None:
            parser.error("--data is needed")
        measure(Stored(given.data), given.figure, given.seeds)
    summary()


def measure(stored: Stored, wanted: str | None, seeds: int) -> None:
    examples = stored.examples("performance")
    often = Counter(str(Figure(e.task, e.budget)) for e in examples)
    figure = wanted or often.most_common(1)[0][0]
    found = {e.entry: e for e in examples if str(Figure(e.task, e.budget)) == figure}
    entries = sorted(found)
    if not entries:
        raise SystemExit(f"{figure!r} was never measured; what was: {', '.join(often)}")
    print(f"{figure}: {len(entries)} architectures, dataset {stored.hash}", flush=True)
    process = GraphProcess(stored.graph)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(entries))
        asked = [found[entries[i]] for i in order[: min(_MOST_ASKED, len(entries) // 5)]]
        rest = [found[entries[i]] for i in order[len(asked) :]]
        truth = [example.value for example in asked]
        for size in [s for s in SIZES if s <= len(rest)]:
            for learner in [process, *predictors()]:
                begun = time.process_time()
                learner.fit(rest[:size], [], stored.views, seed)
                seconds = time.process_time() - begun
                told = learner.predict(asked, stored.views)
                row: dict[str, Any] = {
                    "figure": figure,
                    "dataset": stored.hash,
                    "architectures": len(entries),
                    "learner": learner.name,
                    "size": size,
                    "seed": seed,
                    "asked": len(asked),
                    "tau": tau(told, truth),
                    "mae": float(np.mean(np.abs(np.subtract(told, truth)))),
                    "cpu_seconds": round(seconds, 2),
                }
                if learner is process:
                    row["held"] = held(process, asked)
                with ROWS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(learner.name, size, seed, round(row["tau"], 3), row["cpu_seconds"], flush=True)


def tau(told: list[float], truth: list[float]) -> float:
    """Kendall's tau-b; 0 where all is told alike, which ranks nothing."""
    value = float(kendalltau(told, truth).statistic)
    return 0.0 if np.isnan(value) else value


def held(process: GraphProcess, asked: list[Any]) -> float:
    """How often intervals of 90 % held the measurement."""
    assert process.predictor is not None
    figure = Figure(asked[0].task, asked[0].budget)
    told = process.predictor.predict([process.describe(e.entry) for e in asked], figure, 0.9)
    return float(np.mean([p.low <= e.value <= p.high for p, e in zip(told, asked, strict=True)]))


def summary() -> None:
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    rows = [json.loads(line) for line in lines]
    last = {(r["figure"], r["dataset"], r["learner"], r["size"], r["seed"]): r for r in rows}
    for figure, dataset in dict.fromkeys((k[0], k[1]) for k in last):
        chosen = [r for k, r in last.items() if k[:2] == (figure, dataset)]
        sizes = sorted({r["size"] for r in chosen})
        print(f"\n{figure}, {chosen[0]['architectures']} architectures, dataset {dataset}; tau, mean ± sd")
        print(f"{'':38}" + "".join(f"{size:>16}" for size in sizes))
        for name in dict.fromkeys(r["learner"] for r in chosen):
            cells = []
            for size in sizes:
                taus = [r["tau"] for r in chosen if r["learner"] == name and r["size"] == size]
                cells.append(f"{np.mean(taus):.3f} ± {np.std(taus, ddof=1 if len(taus) > 1 else 0):.3f}")
            print(f"{name:38}" + "".join(f"{cell:>16}" for cell in cells))
        for size in sizes:
            shares = [r["held"] for r in chosen if r["size"] == size and "held" in r]
            print(f"intervals of 90 % held at {size}: {np.mean(shares):.3f} over {len(shares)} seeds")


if __name__ == "__main__":
    main()
