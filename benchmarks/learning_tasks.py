"""Every learner of every task, retrained on the same data: baselines beside the graph transformer.

    python -m benchmarks.learning_tasks --data DIR [--splits 5] [--split family] [--seeds 0 ...]
        [--task T ...] [--learner L ...] [--steps N] [--size base] [--device cpu] [--part K/N] [--rows FILE]
        [--without-networks] [--summary] [--alike HASH ...]

DIR is what `madstar learn dataset --out DIR` wrote. For each of the split seeds each learner is made anew,
trained on the training examples and asked the test examples. Networks (graph transformer, sequence
transformer, GIN, GAT) learn all tasks together, with the same features, heads, steps and draws, once for each
split and seed. A row for each task, learner, split seed and seed is added to
benchmarks/results/learning_tasks.jsonl; what stands there is not done again. The summary is kept in
learning_tasks.json: for each task mean and standard deviation over split seeds, over all questions and as
means over families, in seen and unseen contexts, and the transformer's gain over the best of the others with
an interval of 95 % (paired over families, bootstrap). `--alike` takes in rows about another making of the
same dataset, by its hash; that the two are the same but for a few graphs is for you to know.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

from madstar.learning.datasets.dataset import Stored
from madstar.learning.datasets.examples import TASKS
from madstar.learning.evaluation.rows import of_data, read_rows
from madstar.learning.evaluation.session import Step, Wanted, evaluate
from madstar.learning.evaluation.table import document, text
from madstar.learning.pretraining.settings import TrainingSettings

from .machine import RESULTS, keep

ROWS = RESULTS / "learning_tasks.jsonl"


def main() -> None:
    given = _arguments()
    corpus = Stored(given.data)
    if not given.summary:
        torch.set_num_threads(1)
        first, of = map(int, given.part.split("/"))
        wanted = Wanted(
            tasks=tuple(given.task),
            split=given.split,
            split_seeds=tuple(range(given.splits)[first::of]),
            seeds=tuple(given.seeds),
            learners=tuple(given.learner),
            networks=not given.without_networks,
            settings=TrainingSettings(steps=given.steps),
            size=given.size,
            device=given.device,
            file=given.rows,
        )
        evaluate(corpus, wanted, on_step=Told(), on_row=said)
    kept = read_rows(given.rows)
    rows = [row for data in (corpus.hash, *given.alike) for row in of_data(kept, data)]
    print(text(rows, width=150))
    print(text(rows, plain=True, width=150))
    if rows and given.rows == ROWS:
        told = {"command": "python -m benchmarks.learning_tasks", "data": corpus.hash, "alike": given.alike}
        print("kept in", keep("learning_tasks", told | document(rows)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a dataset's folder")
    parser.add_argument("--splits", type=int, default=5, help="how many split seeds, from 0")
    parser.add_argument("--split", default="family")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="seeds of learning on each split")
    parser.add_argument("--task", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--learner", nargs="*", default=[], help="these alone, by name")
    parser.add_argument("--without-networks", action="store_true")
    parser.add_argument("--steps", type=int, default=TrainingSettings().steps, help="of networks")
    parser.add_argument("--size", default="base", help="of networks, as of madstar learn train")
    parser.add_argument("--device", default="cpu", help="of networks")
    parser.add_argument("--part", default="0/1", help="every n-th split seed from the k-th on: k/n")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--alike", nargs="*", default=[], metavar="HASH", help="datasets like it")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    return parser.parse_args()


class Told:
    """Says every minute how far a network's training is."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, step: Step) -> None:
        if step.seconds_left is not None and time.monotonic() - self.last > 60:
            self.last = time.monotonic()
            left = f"{step.done} of {step.total} steps, {step.seconds_left / 60:.0f} minutes left"
            print(f"split {step.split_seed}, {step.learner}: {left}", file=sys.stderr, flush=True)


def said(row: dict[str, Any]) -> None:
    figures = "  ".join(f"{name} {value:.3f}" for name, value in row["families"].items())
    seconds = f"{row['seconds']:.0f} s"
    print(f"{row['split_seed']} {row['task']} {row['learner']}: {figures}  ({seconds})", flush=True)


if __name__ == "__main__":
    main()
