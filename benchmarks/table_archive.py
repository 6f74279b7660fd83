"""A table's rows as an archive, so that what was once measured can be learned from without training again.

    python -m benchmarks.table_archive benchmarks/results/table runs/table
    madstar learn dataset --archive runs/table --out runs/labelled
    python -m benchmarks.learning_predictor --data runs/labelled

The archive is that of one search named "table": each architecture a candidate, each of its budgets an
evaluation. Tables are written by `benchmarks.table`, with the default sizes, text and training. With
`--amounts` what `benchmarks.latencies` measured of its architectures is in the archive too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from madstar.archive import Archive
from madstar.genome import Genome
from madstar.search import make_settings
from madstar.search.run import ARCHIVE_NAME

from .table import read_table

RUN = "table"


def to_archive(
    rows: Sequence[Mapping[str, Any]], home: Path, amounts: Sequence[Mapping[str, Any]] = ()
) -> int:
    """Write every row into a new archive in `home`; the number of architectures.

    `amounts` are rows of `benchmarks.latencies`. Raises SystemExit where these are of several processors, and
    where there is an archive already.
    """
    if (home / ARCHIVE_NAME).exists():
        raise SystemExit(f"{home / ARCHIVE_NAME} is there already: choose another folder")
    home.mkdir(parents=True, exist_ok=True)
    settings = make_settings(candidates=max(1, len(rows)))
    training = settings.training
    known: dict[str, int] = {}
    measured = {str(Genome.parse(row["genome"])): row for row in amounts}
    if len(processors := {row["processor"] for row in amounts}) > 1:
        raise SystemExit(f"amounts of several processors: {', '.join(sorted(processors))}")
    with Archive.open(home / ARCHIVE_NAME) as archive:
        run = archive.create_run(
            RUN,
            {
                "settings": settings.model_dump(mode="json"),
                "vocabulary_size": 256,
                "processor": next(iter(processors), ""),
            },
        )
        for row in rows:
            genome = str(Genome.parse(row["genome"]))
            if genome not in known:
                index = known[genome] = len(known)
                archive.add_candidate(
                    run.id, index=index, genome=genome, architecture=genome, operator="random"
                )
            also = measured.get(genome, {"values": {}, "errors": {}})
            for rung, (steps, bits) in enumerate(row["scores"].items()):
                archive.add_evaluation(
                    run.id,
                    candidate=known[genome],
                    rung=rung,
                    steps=int(steps),
                    tokens=int(steps) * training.batch * training.length,
                    seed=row["seed"],
                    status="ok",
                    values={"quality": bits, **also["values"]},
                    errors=also["errors"],
                    started_at=0.0,
                    finished_at=0.0,
                )
    return len(known)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--amounts", type=Path, help="rows of benchmarks.latencies")
    arguments = parser.parse_args()
    amounts = [json.loads(line) for line in arguments.amounts.open()] if arguments.amounts else []
    count = to_archive(read_table(arguments.table), arguments.home, amounts)
    print(f"{count} architectures in {arguments.home / ARCHIVE_NAME}")


if __name__ == "__main__":
    main()
