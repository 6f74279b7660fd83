"""Predictors of scores at several numbers of measured architectures, beside one another.

    python -m benchmarks.learning_predictor --data DIR [--figure "quality after 50 steps"] [--seeds 5]
        [--transfer]

DIR is a dataset of `madstar learn dataset --archive`. Architectures with the figure (by default the one
measured most often; the beginning of its name is enough) are shuffled by seed; a fifth are asked, at most
150, and the predictors are fitted to 50, 100, 200 and 400 of the others, as far as there are so many. The
graph process is that of `madstar.learning.predictor`; the others are the baselines of `madstar learn
evaluate`, retrained on the same architectures. Kendall's tau against what was measured: mean and standard
deviation over seeds; of the graph process also how often intervals of 90 % held. One line of JSON for each
fit goes to results/learning_predictor.jsonl.

With `--transfer` the genomes that hold an operator class are asked, at most 150, of predictors fitted to 200
that do not hold it: for each class that leaves so many, mean and standard deviation over classes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from madstar.genome import Genome, class_name
from madstar.learning.baselines.performance import predictors
from madstar.learning.datasets.dataset import Stored
from madstar.learning.predictor.learner import GraphProcess
from madstar.learning.predictor.predictor import Figure

ROWS = Path(__file__).parent / "results" / "learning_predictor.jsonl"
SIZES = (50, 100, 200, 400)
_MOST_ASKED = 150
_TRANSFER = 200
_FEWEST_ASKED = 20
_GENOME = "genome:"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--figure", help="by default what was measured most often")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--transfer", action="store_true", help="to operator classes that were not seen")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.summary:
        if given.data is None:
            parser.error("--data is needed")
        measured = Measurements.of(Stored(given.data), given.figure)
        if given.transfer:
            measured.transfer()
        else:
            measured.sizes(given.seeds)
    summary()


@dataclass(frozen=True)
class Measurements:
    """A figure of the architectures of a dataset, by entry."""

    stored: Stored
    figure: str
    found: dict[str, Any]

    @classmethod
    def of(cls, stored: Stored, wanted: str | None) -> Measurements:
        examples = stored.examples("performance")
        often = Counter(str(Figure(e.task, e.budget)) for e in examples)
        named = [name for name in often if wanted and name.startswith(wanted)]
        figure = named[0] if len(named) == 1 else wanted or often.most_common(1)[0][0]
        found = {e.entry: e for e in examples if str(Figure(e.task, e.budget)) == figure}
        if not found:
            raise SystemExit(f"{figure!r} was never measured; what was: {', '.join(often)}")
        print(f"{figure}: {len(found)} architectures, dataset {stored.hash}", flush=True)
        return cls(stored, figure, {entry: found[entry] for entry in sorted(found)})

    def sizes(self, seeds: int) -> None:
        """Fitted to more and more, asked of a fifth."""
        every, process = list(self.found.values()), GraphProcess(self.stored.graph)
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(every))
            asked = [every[i] for i in order[: min(_MOST_ASKED, len(every) // 5)]]
            rest = [every[i] for i in order[len(asked) :]]
            for size in [s for s in SIZES if s <= len(rest)]:
                self._all(process, rest[:size], asked, seed, "")

    def transfer(self) -> None:
        """Fitted to genomes without an operator class, asked of those with it."""
        process = GraphProcess(self.stored.graph)
        classes = {entry: classes_of(entry) for entry in self.found if entry.startswith(_GENOME)}
        for name in sorted(set().union(*classes.values())):
            asked = [self.found[entry] for entry, held in classes.items() if name in held]
            rest = [self.found[entry] for entry, held in classes.items() if name not in held]
            if len(rest) < _TRANSFER or len(asked) < _FEWEST_ASKED:
                continue
            rng = np.random.default_rng(0)
            few = [rest[i] for i in rng.permutation(len(rest))[:_TRANSFER]]
            some = [asked[i] for i in rng.permutation(len(asked))[:_MOST_ASKED]]
            self._all(process, few, some, 0, name)

    def _all(
        self, process: GraphProcess, train: list[Any], asked: list[Any], seed: int, held_out: str
    ) -> None:
        views, truth = self.stored.views, [example.value for example in asked]
        for learner in [process, *predictors()]:
            begun = time.process_time()
            learner.fit(train, [], views, seed)
            seconds = time.process_time() - begun
            told = learner.predict(asked, views)
            row: dict[str, Any] = {
                "figure": self.figure,
                "dataset": self.stored.hash,
                "architectures": len(self.found),
                "learner": learner.name,
                "size": len(train),
                "seed": seed,
                "held_out": held_out,
                "asked": len(asked),
                "tau": tau(told, truth),
                "mae": float(np.mean(np.abs(np.subtract(told, truth)))),
                "cpu_seconds": round(seconds, 2),
            }
            if learner is process:
                row["held"] = held(process, asked)
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(learner.name, len(train), held_out or seed, round(row["tau"], 3), seconds, flush=True)


def classes_of(entry: str) -> set[str]:
    """The names of the operator classes that a genome's entry holds."""
    text = entry.removeprefix(_GENOME).partition("?")[0]
    return {class_name(liv.operator) for liv in Genome.parse(text).livs}


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
    rows = [{"held_out": "", **json.loads(line)} for line in lines]
    names = ("figure", "dataset", "learner", "size", "seed", "held_out")
    last = {tuple(row[name] for name in names): row for row in rows}
    tables: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for row in last.values():
        tables.setdefault((row["figure"], row["dataset"], bool(row["held_out"])), []).append(row)
    for (figure, dataset, transfer), chosen in tables.items():
        over = "classes held out" if transfer else "seeds"
        print(f"\n{figure}, {chosen[0]['architectures']} architectures, dataset {dataset}")
        print(f"tau, mean ± sd over {over}")
        sizes = sorted({r["size"] for r in chosen})
        print(f"{'':38}" + "".join(f"{size:>16}" for size in sizes))
        for name in dict.fromkeys(r["learner"] for r in chosen):
            cells = []
            for size in sizes:
                taus = [r["tau"] for r in chosen if r["learner"] == name and r["size"] == size]
                cells.append(f"{np.mean(taus):.3f} ± {np.std(taus, ddof=1 if len(taus) > 1 else 0):.3f}")
            print(f"{name:38}" + "".join(f"{cell:>16}" for cell in cells))
        for size in sizes:
            shares = [r["held"] for r in chosen if r["size"] == size and "held" in r]
            print(f"intervals of 90 % held at {size}: {np.mean(shares):.3f} over {len(shares)} {over}")


if __name__ == "__main__":
    main()
