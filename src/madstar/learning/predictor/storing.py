"""A predictor on disk: a folder with words in JSON and numbers in safetensors."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...errors import DataError
from ...whole_files import whole, write_whole
from .predictor import MOST, Calibration, Figure, Predictor
from .process import Observations, Process, Scales
from .table import Columns, Table

SCHEMA = "madstar.predictor/1"
_WORDS, _NUMBERS = "predictor.json", "predictor.safetensors"
_MOST_BYTES = 256 * 2**20


def save(predictor: Predictor, folder: Path) -> None:
    """Write a predictor into a folder, which is made. Raises OutputError where that cannot be written."""
    process = predictor.process
    numbers = {f"matrix.{group}": torch.from_numpy(matrix) for group, matrix in process.matrices.items()}
    for group, columns in predictor.table.groups.items():
        numbers[f"mean.{group}"] = torch.from_numpy(columns.mean)
        numbers[f"scale.{group}"] = torch.from_numpy(columns.scale)
    for field in fields(Observations):
        numbers[f"observed.{field.name}"] = torch.from_numpy(getattr(process.observed, field.name))
    for field in fields(Scales):
        numbers[f"scales.{field.name}"] = getattr(process.scales, field.name)
    words = {
        "schema": SCHEMA,
        "entries": predictor.entries,
        "figures": [asdict(figure) for figure in predictor.figures],
        "calibrations": [asdict(calibration) for calibration in predictor.calibrations],
        "columns": {group: columns.names for group, columns in predictor.table.groups.items()},
    }
    # Numbers first: a folder whose words are there is whole.
    with whole(folder / _NUMBERS) as partial:
        save_file({name: tensor.contiguous() for name, tensor in numbers.items()}, partial)
    write_whole(folder / _WORDS, (json.dumps(words) + "\n").encode())


def load(folder: Path) -> Predictor:
    """Read a predictor. Raises DataError where there is none, or one of another schema."""
    try:
        if (folder / _NUMBERS).stat().st_size > _MOST_BYTES:
            raise DataError(f"{folder / _NUMBERS} is larger than a predictor can be")
        words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
        if not isinstance(words, dict) or words.get("schema") != SCHEMA:
            found = words.get("schema") if isinstance(words, dict) else None
            raise DataError(
                f"{folder} has the schema {found!r:.60} and {SCHEMA} is read: fit the predictor anew"
            )
        return _read(words, load_file(folder / _NUMBERS))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder} holds no predictor ({type(error).__name__}): give what predict --save wrote"
        ) from None
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise DataError(f"{folder} is damaged ({type(error).__name__}): fit the predictor anew") from None


def _read(words: dict[str, Any], numbers: dict[str, torch.Tensor]) -> Predictor:
    table = Table(
        {
            group: Columns(tuple(names), numbers[f"mean.{group}"].numpy(), numbers[f"scale.{group}"].numpy())
            for group, names in words["columns"].items()
        }
    )
    matrices = {group: numbers[f"matrix.{group}"].numpy() for group in words["columns"]}
    observed = Observations(*(numbers[f"observed.{field.name}"].numpy() for field in fields(Observations)))
    scales = Scales(*(numbers[f"scales.{field.name}"] for field in fields(Scales)))
    figures = [Figure(**figure) for figure in words["figures"]]
    calibrations = [
        Calibration(float(c["mean"]), float(c["scale"]), tuple(map(float, c["errors"])))
        for c in words["calibrations"]
    ]
    _check(words, matrices, observed, scales, figures, calibrations, table)
    return Predictor(words["entries"], table, figures, Process(matrices, observed, scales), calibrations)


def _check(
    words: dict[str, Any],
    matrices: dict[str, np.ndarray],
    observed: Observations,
    scales: Scales,
    figures: list[Figure],
    calibrations: list[Calibration],
    table: Table,
) -> None:
    """Raise ValueError unless sizes fit together, numbers are in range and no cost is absurd."""
    graphs, count = len(words["entries"]), len(observed.values)
    sound = (
        0 < graphs <= MOST
        and bool(matrices)
        and all(m.shape == (graphs, len(table.groups[g].names)) for g, m in matrices.items())
        and all(len(c.names) == len(c.mean) == len(c.scale) for c in table.groups.values())
        and 0 < count <= graphs * len(figures)
        and len(observed.rows) == len(observed.figures) == count
        and int(observed.rows.min()) >= 0
        and int(observed.rows.max()) < graphs
        and int(observed.figures.min()) >= 0
        and int(observed.figures.max()) < len(figures) == len(calibrations)
        and len(scales.amplitude) == len(scales.length) == len(matrices)
        and len(scales.loading) == len(scales.own) == len(scales.noise) == len(figures)
        and all(c.errors and np.isfinite(c.errors).all() for c in calibrations)
        and all(bool(torch.isfinite(part).all()) for part in scales.parts())
        and all(np.isfinite(m).all() for m in matrices.values())
        and bool(np.isfinite(observed.values).all())
    )
    if not sound:
        raise ValueError("sizes do not fit together")
