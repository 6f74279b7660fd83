"""The laboratory's own model, edited: encoders that rewrites make of the graph transformer's, trained alike.

    python -m benchmarks.own_encoders --data DIR [--size small] [--steps 300] [--splits 3] [--part K/N]
        [--change NAME ...] [--rows FILE] [--summary]

DIR is what `madstar learn dataset --out DIR` wrote. For each split seed of the family split the traced
encoder is trained as it is and with each change, for as many steps, on the same draws, without dropout (which
a traced graph has not), each starting with the same weights wherever the change left them. A row for each
change and split seed goes to results/own_encoders.jsonl; what stands there is not done again. Printed are the
mean of the validation figures, by which a change would be chosen, and the figures of the test part (means
over families), each as a difference to the unchanged encoder: mean and standard deviation over split seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from madstar.graph.editing import edit
from madstar.graph.model import Graph
from madstar.learning.baselines.networks.learner import Trained
from madstar.learning.datasets.dataset import Stored
from madstar.learning.evaluation.running import Division, tried
from madstar.learning.pretraining.reading import from_dataset
from madstar.learning.pretraining.settings import TrainingSettings
from madstar.learning.pretraining.training import Trainer
from madstar.learning.pretraining.validation import validate
from madstar.learning.transformer.config import TransformerConfig, find_size
from madstar.learning.transformer.traceable import traced

from .machine import RESULTS

ROWS = RESULTS / "own_encoders.jsonl"
UNCHANGED = "as it is"
CHANGES: Mapping[str, list[dict[str, Any]]] = {
    UNCHANGED: [],
    "a layer more": [{"rewrite": "deeper", "times": 1}],
    "parallel": [{"rewrite": "parallel"}],
    "shared keys and values": [{"rewrite": "share_kv"}],
    "one key for all heads": [{"rewrite": "grouped_query", "groups": 1}],
    "ReLU": [{"rewrite": "swap_activation", "to": "relu"}],
    "a norm after each block": [
        {"rewrite": "add_norm", "select": "blocks[*]", "kind": "rms", "where": "after"}
    ],
}
FIGURES = {
    "operation": "accuracy",
    "link": "MRR",
    "incomplete": "place MRR",
    "completion": "accuracy",
    "classification": "accuracy",
}


def changed(config: TransformerConfig, name: str) -> Graph:
    """The encoder of these sizes with a change."""
    graph = traced("graph-encoder", config)
    return edit(graph).apply(CHANGES[name]).graph if CHANGES[name] else graph


def trained(corpus: Stored, name: str, config: TransformerConfig, split: int, steps: int) -> dict[str, Any]:
    """A row: a change trained on the training part of a split, and what it answers."""
    data = from_dataset(corpus, "family", split)
    trainer = Trainer(data, config, TrainingSettings(steps=steps), encoder=changed(config, name))
    begun = time.monotonic()
    trainer.advance(
        steps, lambda done, of: None if done % 100 else print(name, split, f"{done}/{of}", flush=True)
    )
    seconds = time.monotonic() - begun
    found = validate(trainer.model, data.valid, data.views)
    division, learner = Division(corpus, "family", split), Trained(trainer.model)
    told = {
        task: tried(learner, task, division, 0, seconds) for task in FIGURES if division.part(task, "test")
    }
    return {
        "data": corpus.hash,
        "change": name,
        "split_seed": split,
        "config": config.to_dict(),
        "steps": steps,
        "parameters": trainer.model.parameter_count,
        "seconds": round(seconds, 1),
        "validation": {key: round(value, 5) for key, value in found.items()},
        "test": {task: row["families"] for task, row in told.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", default="small")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--change", nargs="*", default=list(CHANGES), choices=CHANGES)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(find_size(given.size), dropout=0.0)
    if not given.summary:
        corpus = Stored(given.data)
        first, of = map(int, given.part.split("/"))
        wanted = [(name, split) for split in range(given.splits) for name in given.change][first::of]
        done = {(r["change"], r["split_seed"]) for r in _rows(given.rows, config, given.steps)}
        for name, split in wanted:
            if (name, split) not in done:
                row = trained(corpus, name, config, split, given.steps)
                with given.rows.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(row) + "\n")
    print(table(_rows(given.rows, config, given.steps)))


def _rows(file: Path, config: TransformerConfig, steps: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in file.open()] if file.exists() else []
    return [row for row in rows if (row["config"], row["steps"]) == (config.to_dict(), steps)]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each change against the unchanged encoder on the same splits."""
    plain = {row["split_seed"]: _figures(row) for row in rows if row["change"] == UNCHANGED}
    heads = ["validation", *FIGURES]
    lines = [f"{'':26}{'parameters':>12}{'seconds':>9}" + "".join(f"{head:>18}" for head in heads)]
    for name in CHANGES:
        own = [row for row in rows if row["change"] == name and row["split_seed"] in plain]
        if not own:
            continue
        cells = []
        for head in heads:
            values = [
                _figures(row)[head] - (0.0 if name == UNCHANGED else plain[row["split_seed"]][head])
                for row in own
            ]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{fmean(values):{'' if name == UNCHANGED else '+'}.3f}{spread}")
        seconds = fmean(row["seconds"] for row in own)
        lines.append(
            f"{name:26}{own[0]['parameters']:12,}{seconds:9.0f}" + "".join(f"{cell:>18}" for cell in cells)
        )
    return "\n".join(lines)


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    test = {task: row["test"][task][figure] for task, figure in FIGURES.items() if task in row["test"]}
    return {"validation": row["validation"]["mean"], **test}


if __name__ == "__main__":
    main()
