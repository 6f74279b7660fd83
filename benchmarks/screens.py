"""What can be told of an architecture before it is trained: scores as predictors of the final ranking.

    python -m benchmarks.screens benchmarks/results/table [--width 64] [--length 256]
    python -m benchmarks.screens --architectures 22 --scores compression memorization compression+memorization

Reads a table of architectures that were all trained to the largest budget (see `evaluated`), measures
each score on each, and says how its ranking agrees with that of bits per byte at the largest budget:
over all pairs, over pairs of similar parameter count, and after a linear fit on log parameters and
counts of operators is taken out of both. The shorter budgets stand beside them, for that is what a
screen has to be cheaper than. Intervals are bootstraps over architectures.

A screen earns its keep if its tau is above that of the parameter count, and if a ridge surrogate on the
genome ranks left-out architectures better with it than without; both by the whole 95 % interval of the
paired difference. "a+b" is the sum of two scores. Measured scores are kept in --cache, so that a run can be
interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madstar.genome import Sizes
from madstar.objectives import Subject, find_objective

from .evaluated import Evaluated, Table, read_table
from .machine import keep
from .operators import step_seconds
from .rank_correlation import (
    Estimate,
    draw_weights,
    genome_features,
    left_out_predictions,
    mixing_counts,
    residuals,
    tau,
    terciles,
)

STATIC = ("parameters", "flops", "cache@4096")
ZERO_COST = ("gradient-norm", "synflow", "feature-rank")
BASE = "parameters"
LEAST = 8  # architectures, for a bootstrap to mean anything


@dataclass(frozen=True)
class Score:
    """A predictor: its value for every architecture, the more the better, and seconds for each."""

    name: str
    values: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Judgement:
    """How well a score predicts. `over_base` is None for the parameter count itself."""

    score: Score
    tau: Estimate
    within_terciles: Estimate
    beyond_size: Estimate
    over_base: Estimate | None
    surrogate_gain: Estimate

    @property
    def earns(self) -> bool:
        """The rule at the head of this file."""
        return self.over_base is not None and self.over_base.above_zero and self.surrogate_gain.above_zero

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: estimates as value, low, high."""
        return {
            "name": self.score.name,
            "seconds": self.score.seconds,
            "tau": self.tau.to_list(),
            "tau_within_parameter_terciles": self.within_terciles.to_list(),
            "tau_beyond_parameters_and_mixing": self.beyond_size.to_list(),
            "tau_minus_parameters": None if self.over_base is None else self.over_base.to_list(),
            "surrogate_tau_gain": self.surrogate_gain.to_list(),
            "earns_its_keep": self.earns,
        }


def judge(
    table: Table, scores: Sequence[Score], *, draws: int, repeats: int, seed: int
) -> tuple[Estimate, list[Judgement]]:
    """The surrogate's own tau for left-out architectures, and each score's judgement.

    One of the scores must be the parameter count. `draws` of the bootstrap, `repeats` of the folds.
    """
    quality = -np.array([row.mean[-1] for row in table.rows])
    genomes = [row.genome for row in table.rows]
    parameters = np.array([row.parameters for row in table.rows], dtype=float)
    weights = draw_weights(len(quality), draws, np.random.default_rng(seed))
    thirds = terciles(parameters)
    nuisance = np.column_stack([np.log(parameters), mixing_counts(genomes)])
    features = genome_features(genomes)

    def surrogate(values: np.ndarray | None) -> Estimate:
        # The same folds with and without a score.
        predicted = left_out_predictions(features, values, quality, np.random.default_rng(seed), repeats)
        return tau(predicted, quality, weights)

    alone = surrogate(None)
    base = next(tau(score.values, quality, weights) for score in scores if score.name == BASE)
    judgements = []
    for score in scores:
        own = tau(score.values, quality, weights)
        judgements.append(
            Judgement(
                score=score,
                tau=own,
                within_terciles=tau(score.values, quality, weights, thirds),
                beyond_size=tau(residuals(score.values, nuisance), residuals(quality, nuisance), weights),
                over_base=None if score.name == BASE else own.minus(base),
                surrogate_gain=surrogate(score.values).minus(alone),
            )
        )
    return alone, judgements


def spread(table: Table, count: int | None) -> Table:
    """So many of a table's architectures, evenly from the best to the worst; all if none is said."""
    if count is None or count >= len(table.rows):
        return table
    ranked = sorted(table.rows, key=lambda row: row.mean[-1])
    places = np.linspace(0, len(ranked) - 1, count).round().astype(int)
    return Table(table.steps, tuple(ranked[place] for place in places))


def rung_scores(table: Table, sizes: Sizes, length: int, batch: int) -> list[Score]:
    """The shorter budgets as predictors; seconds from the table, else from a few timed steps."""
    timed = [row.seconds for row in table.rows if row.seconds]
    pace = 0.0 if timed else _step_pace(table.rows, sizes, length, batch)
    scores = []
    for place, steps in enumerate(table.steps[:-1]):
        seconds = statistics.median(one[place] for one in timed) if timed else pace * steps
        values = -np.array([row.mean[place] for row in table.rows])
        scores.append(Score(f"{steps} steps", values, seconds))
    return scores


def _step_pace(rows: Sequence[Evaluated], sizes: Sizes, length: int, batch: int) -> float:
    """Median seconds of a forward and backward pass over five of the architectures."""
    tokens = torch.randint(sizes.vocabulary_size, (batch, length), generator=torch.Generator().manual_seed(0))
    paces = []
    for row in rows[:: max(1, len(rows) // 5)][:5]:
        model = row.genome.build(sizes)
        step_seconds(model, tokens)
        paces.append(statistics.median(step_seconds(model, tokens) for _ in range(3)))
    return statistics.median(paces)


def measure(
    names: Sequence[str], rows: Sequence[Evaluated], sizes: Sizes, length: int, cache: Path
) -> list[Score]:
    """Every named objective on every architecture; what the cache has is not measured again."""
    setting = json.dumps({**vars(sizes), "length": length}, sort_keys=True)
    known = _read_cache(cache, setting)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a") as out:
        for row in rows:
            subject = Subject(row.genome, sizes, length)
            _ = subject.spec
            for name in names:
                if (name, row.text) in known:
                    continue
                started = time.perf_counter()
                value = find_objective(name).measure(subject).value
                known[name, row.text] = value, time.perf_counter() - started
                line = {
                    "setting": setting,
                    "name": name,
                    "genome": row.text,
                    "measured": known[name, row.text],
                }
                out.write(json.dumps(line) + "\n")
                out.flush()
    scores = []
    for name in names:
        found = [known[name, row.text] for row in rows]
        seconds = statistics.median(pair[1] for pair in found)
        scores.append(Score(name, np.array([pair[0] for pair in found]), seconds))
    return scores


def summed(name: str, measured: Sequence[Score]) -> Score:
    """A score by its name; one of several names with plus signs between them is their sum."""
    chosen = [score for part in name.split("+") for score in measured if score.name == part]
    return Score(name, np.sum([s.values for s in chosen], axis=0), sum(s.seconds for s in chosen))


def _read_cache(cache: Path, setting: str) -> dict[tuple[str, str], tuple[float, float]]:
    known: dict[tuple[str, str], tuple[float, float]] = {}
    for text in cache.read_text().splitlines() if cache.exists() else ():
        try:
            line: Mapping[str, Any] = json.loads(text)
        except ValueError:  # the line that an interrupted run did not finish
            continue
        if line["setting"] == setting and math.isfinite(line["measured"][0]):
            known[line["name"], line["genome"]] = line["measured"][0], line["measured"][1]
    return known


def markdown(table: Table, alone: Estimate, judgements: Sequence[Judgement]) -> str:
    """The result as a table for docs/benchmarks.md."""
    lines = [
        f"{len(table.rows)} architectures; Kendall tau with bits per byte at {table.steps[-1]} steps [95 %].",
        f"A ridge surrogate on the genome alone ranks left-out architectures with tau {alone}.",
        "",
        "| score | tau | within parameter thirds | beyond size and mixing | tau minus parameters' | "
        "surrogate's gain | s | earns its keep |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in judgements:
        over = "-" if one.over_base is None else str(one.over_base)
        lines.append(
            f"| {one.score.name} | {one.tau} | {one.within_terciles} | {one.beyond_size} | {over} | "
            f"{one.surrogate_gain} | {one.score.seconds:.2g} | {'yes' if one.earns else 'no'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", default=Path("benchmarks/results/table"))
    parser.add_argument("--scores", nargs="*", default=[*STATIC, *ZERO_COST])
    parser.add_argument("--architectures", type=int, help="so many only, spread evenly over the ranking")
    parser.add_argument("--width", type=int, default=Sizes().width)
    parser.add_argument("--heads", type=int, default=Sizes().heads)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=4, help="of the surrogate's folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmark/screens.jsonl"))
    parser.add_argument("--name", default="screens")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = Sizes(width=arguments.width, heads=arguments.heads)
    table = spread(read_table(arguments.table, sizes), arguments.architectures)
    if len(table.rows) < LEAST:
        raise SystemExit(f"{len(table.rows)} architectures in {arguments.table}: give at least {LEAST}")
    parts = list(dict.fromkeys([BASE, *(part for name in arguments.scores for part in name.split("+"))]))
    measured = measure(parts, table.rows, sizes, arguments.length, arguments.cache)
    wanted = [BASE, *(name for name in arguments.scores if name != BASE)]
    scores = [summed(name, measured) for name in wanted]
    scores += rung_scores(table, sizes, arguments.length, arguments.batch)
    alone, judgements = judge(
        table, scores, draws=arguments.draws, repeats=arguments.repeats, seed=arguments.seed
    )
    print(markdown(table, alone, judgements))
    result = {
        "table": str(arguments.table),
        "architectures": len(table.rows),
        "steps": table.steps,
        "sizes": vars(sizes),
        "draws": arguments.draws,
        "surrogate_tau": alone.to_list(),
        "scores": [one.to_dict() for one in judgements],
    }
    print("\nkept in", keep(arguments.name, result))


if __name__ == "__main__":
    main()
