"""Runs as a search leaves them, written by hand, over a real text that can be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from madstar.archive import Archive
from madstar.genome import Genome
from madstar.objectives import Subject, find_objective
from madstar.search import Run, make_settings
from madstar.search.run import ARCHIVE_NAME

# Candidates 0 and 1 are the front, 2 is dominated by 0, 3 did not get to the top, 4 failed; then baselines.
GENOMES = ("71111-91111", "31111-91111", "11111-91111", "11111-71111", "31111-11111")
BASELINES = {"one baseline": "11111-11111", "another": "91111-11111"}
QUALITY = {0: 3.0, 1: 4.0, 2: 3.5, 5: 3.2, 6: 3.9}
CACHE = {0: 800.0, 1: 200.0, 2: 900.0, 5: 1000.0, 6: 100.0}
TOP = 1


def write_search(home: Path, text: Path, *, front: bool = True, **settings: Any) -> Run:
    """A finished run of five candidates and two baselines; without a front nothing has succeeded."""
    given = {
        **{"width": 16, "heads": 4, "window": 8, "min_depth": 2, "max_depth": 2, "workers": 1},
        **{"rungs": ("2", "4"), "objectives": ("quality", "cache@64"), "candidates": 5},
        "training": {"length": 32, "batch": 2, "warmup": 2, "validation_windows": 8},
        **settings,
    }
    chosen = make_settings(data=str(text), **given)
    task = chosen.text.prepare(home)
    config = {
        "settings": chosen.model_dump(mode="json"),
        "task": {
            "fingerprint": task.fingerprint,
            "description": task.description,
            "vocabulary_size": task.vocabulary_size,
        },
    }
    with Archive.open(home / ARCHIVE_NAME) as archive:
        row = archive.create_run("by-hand", config)
        named = [(None, genome) for genome in GENOMES] + list(BASELINES.items())
        for index, (name, genome) in enumerate(named):
            subject = Subject(Genome.parse(genome), chosen.sizes(task.vocabulary_size), 32)
            archive.add_candidate(
                row.id,
                index=index,
                role="search" if name is None else "baseline",
                name=name,
                genome=genome,
                architecture=f"{index}",
                operator="random",
                values={n: find_objective(n).measure(subject).value for n in ("parameters", "cache@64")},
            )
            if index == 4 or not front:
                add_row(archive, row.id, index, 0, status="diverged")
                continue
            add_row(archive, row.id, index, 0, {"quality": 5.0, "bits_per_byte": 5.0, "cache@64": 1.0})
            if index in QUALITY:
                figures = {"quality": QUALITY[index], "cache@64": CACHE[index]}
                add_row(archive, row.id, index, TOP, {**figures, "bits_per_byte": QUALITY[index]})
        archive.update_run(row.id, status="finished")
    return Run.open("by-hand", home)


def add_row(
    archive: Archive,
    run_id: int,
    candidate: int,
    rung: int,
    values: Mapping[str, float] | None = None,
    **fields: Any,
) -> None:
    """A row of a training, by default of the search and with its seed."""
    given = {"seed": 0, "status": "ok", "steps": 2 * (rung + 1), "tokens": 0, **fields}
    archive.add_evaluation(
        run_id, candidate=candidate, rung=rung, values=values, started_at=0.0, finished_at=1.0, **given
    )
