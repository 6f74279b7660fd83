"""Runs to compare, written by hand into a real archive: no training, any figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from madstar.archive import Archive
from madstar.search import Run, make_settings

GENOME = "71111-91111-11111-91111"
RUNGS = ("10", "20")


def write(
    home: Path,
    name: str,
    points: Sequence[tuple[float, float]],
    *,
    seed: int = 0,
    cost: float = 10.0,
    references: Sequence[tuple[float, float]] = (),
    tests: Sequence[float] = (),
    parameters: Sequence[float] = (),
    repeats: Sequence[tuple[int, float, float]] = (),
    validations: Sequence[tuple[str, Sequence[tuple[int, float, float]]]] = (),
    status: str = "finished",
    fingerprint: str = "text",
    config: dict[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """A run whose candidates end at `points` (quality, cache) of the top rung, one after the other.

    Each candidate takes `cost` worker seconds, half of them at either rung, on one worker without a
    break; `references` are baselines' points. `tests` are bits per byte on test text. `repeats` are
    (candidate, quality, cache), and each validation is a budget with its (candidate, validation, test)
    rows; candidates are counted from 0.
    """
    chosen = make_settings(
        **{
            **{"rungs": RUNGS, "minutes": 1.0, "width": 32, "baselines": False, "seed": seed},
            "strategy": "nsga2",
            **settings,
        }
    )
    task = {"fingerprint": f"{fingerprint}-{seed}", "description": "a text of tests", "vocabulary_size": 256}
    document = {"settings": chosen.model_dump(mode="json"), "task": task, **(config or {})}
    document["validations"] = [{"budget": budget, "seeds": 2} for budget, _ in validations]
    with Archive.open(home / "archive.sqlite") as archive:
        row = archive.create_run(name, document)
        clock = 1000.0

        def add(index: int, rung: int, seconds: float, values: dict[str, float], **fields: Any) -> None:
            nonlocal clock
            archive.add_evaluation(
                row.id,
                candidate=index,
                rung=rung,
                **{"steps": 10, "tokens": 0, "seed": seed, "status": "ok", **fields},
                values=values,
                timings={"train": 0.8 * seconds, "total": seconds},
                started_at=clock,
                finished_at=clock + seconds,
            )
            clock += seconds

        def figures(quality: float, cache: float) -> dict[str, float]:
            return {"quality": quality, "bits_per_byte": quality, "cache@4096": cache}

        for index, _ in enumerate((*points, *references)):
            role = "search" if index < len(points) else "baseline"
            values = {"parameters": parameters[index]} if index < len(parameters) else {}
            archive.add_candidate(
                row.id,
                index=index,
                role=role,
                name=None if role == "search" else f"baseline {index}",
                genome=GENOME,
                architecture=f"{index:x}",
                operator="random",
                values=values,
            )
        for index, (quality, cache) in enumerate(references, start=len(points)):
            add(index, len(RUNGS) - 1, 5.0, figures(quality, cache))
        for index, (quality, cache) in enumerate(points):
            add(index, 0, cost / 2, figures(quality + 1, cache))
            more = {"test_bits_per_byte": tests[index]} if index < len(tests) else {}
            add(index, 1, cost / 2, figures(quality, cache) | more)
        for number, (index, quality, cache) in enumerate(repeats):
            add(index, 1, cost, figures(quality, cache), seed=100 + number, stage="repeat")
        for number, (_, rows) in enumerate(validations):
            for other, (index, valid, test) in enumerate(rows):
                values = {"bits_per_byte": valid, "test_bits_per_byte": test}
                add(index, number, 500.0, values, seed=200 + other, stage="validation")
        archive.update_run(row.id, status=status)
    return Run.open(name, home)
