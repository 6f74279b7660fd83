"""Benchmarks written by hand: rows as a training would have left them, without the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from madstar.archive import Archive, EvaluationRow
from madstar.protocol import (
    BenchmarkBudget,
    Plan,
    Scores,
    find_budget,
    find_protocol,
    level_settings,
    read_scores,
)
from madstar.protocol.api import find_architecture
from madstar.protocol.plan import chance
from madstar.protocol.protocols import SOLVED
from madstar.protocol.race import next_wanted, races
from madstar.protocol.session import ARCHIVE_NAME
from madstar.tasks.mechanistic import Setting, catalogue

STRIPED = ("mh-hyena", "swiglu", "mh-attention", "swiglu")
ERROR = 0.012
Top = Callable[[Setting], float | None]
# Chosen here, so that these tests do not depend on what the quick budget uses.
CHOSEN = {
    "in-context-recall": ("baseline", "vocabulary_size=64", "train_examples=3200"),
    "compression": ("baseline", "vocabulary_size=64", "length=64"),
    "memorization": ("baseline", "vocabulary_size=512", "vocabulary_size=1024"),
}


def steady(setting: Setting) -> float:
    """An accuracy at the end that falls with the vocabulary and the length."""
    return max(chance(setting), 1.02 - 0.05 * math.log2(setting.vocabulary_size) * setting.length / 400)


def plan(
    layers: Sequence[str] = STRIPED,
    *,
    protocol: str = "sound",
    budget: str = "quick",
    tasks: Sequence[str] = ("in-context-recall", "memorization"),
    settings: Sequence[Setting] | None = None,
    seeds: int = 1,
) -> Plan:
    chosen = find_budget(budget)
    return Plan(
        find_architecture(list(layers)),
        find_protocol(protocol),
        chosen,
        tuple(settings or chosen_settings(tasks, chosen)),
        seeds,
        own_settings=settings is not None,
    )


def chosen_settings(tasks: Sequence[str], budget: BenchmarkBudget) -> tuple[Setting, ...]:
    known = [task for task in tasks if task in CHOSEN]
    others = level_settings([task for task in tasks if task not in CHOSEN], budget)
    return (*(catalogue(task).named(name) for task in known for name in CHOSEN[task]), *others)


def write(
    home: Path, wanted: Plan, *, name: str | None = None, top: Top = steady, most: int | None = None
) -> Scores:
    """A benchmark in the archive: each setting rises to `top`, None being one where every training crashes.

    With `most` it is left after so many trainings, as an interrupt would.
    """
    with Archive.open(home / ARCHIVE_NAME) as archive:
        run = archive.create_run(name or wanted.run_name, wanted.config(), kind="benchmark")
        archive.add_candidate(
            run.id,
            index=0,
            genome=wanted.architecture.label,
            architecture=wanted.architecture.key,
            operator="given",
            name=wanted.architecture.label,
        )
        rows: list[EvaluationRow] = []
        while todo := next_wanted(races(wanted, rows), ()):
            if len(rows) == most:
                break
            rows.append(archive.add_evaluation(run.id, **_training(wanted, todo[0], top)))
        status = "interrupted" if todo else "finished"
        archive.update_run(run.id, status=status, add_seconds=10.0 * len(rows))
    return read_scores(run.name, home)


def _training(wanted: Plan, todo: Any, top: Top) -> dict[str, Any]:
    setting = next(each for each in wanted.settings if each.key == todo.setting)
    point = next(each for each in wanted.points if str(each) == todo.point)
    stop = wanted.rungs(setting)[todo.rung]
    row = {
        "candidate": 0,
        "stage": "benchmark",
        "setting": todo.setting,
        "point": todo.point,
        "rung": todo.rung,
        "seed": todo.seed,
        "started_at": 0.0,
        "finished_at": 10.0,
        "timings": {"total": 10.0},
    }
    highest = top(setting)
    if highest is None:
        return {**row, "status": "crash", "error": "died\x1b[2J\nof it", "steps": 0, "tokens": 0}
    low = chance(setting)
    every = max(1, wanted.total_steps(setting) // 16)

    def at(step: float) -> float:
        risen = 1 - math.exp(-step * point.learning_rate / (0.1 * wanted.total_steps(setting) * 1e-3))
        return round(min(1.0, low + (highest - low) * risen + 0.003 * todo.seed), 4)

    values = {}
    # As a worker does: test examples are looked at only once a training is over.
    over = stop == wanted.rungs(setting)[-1] or at(stop) >= SOLVED
    splits = dict.fromkeys((wanted.protocol.selection, "test") if over else (wanted.protocol.selection,))
    for split in splits:
        values |= {f"{split}_{kind}": at(stop) for kind in ("micro", "macro", "batch_macro")}
        values[f"{split}_loss"] = 2.0 * (1 - at(stop)) + 0.01
    return {
        **row,
        "status": "ok",
        "steps": stop,
        "tokens": stop,
        "values": values,
        "errors": {f"{split}_micro": ERROR for split in splits},
        "curve": [(float(step), at(step)) for step in range(every, stop + 1, every)],
    }
