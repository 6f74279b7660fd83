"""What a table has measured comes out of an archive as it went in."""

from pathlib import Path

import pytest
from benchmarks.table_archive import to_archive

from madstar.learning.corpus.measured import read_archives

ROWS = [
    {"genome": "71111-91111", "origin": "random", "seed": 0, "scores": {"50": 2.5, "100": 2.25}},
    {"genome": "11111-91111", "origin": "random", "seed": 0, "scores": {"50": 3.0, "100": 2.75}},
    {"genome": "71111-91111", "origin": "random", "seed": 1, "scores": {"50": 2.7, "100": 2.05}},
]


def test_a_table_becomes_measurements(tmp_path: Path) -> None:
    assert to_archive(ROWS, tmp_path / "home") == 2
    second, first = read_archives([tmp_path / "home"])
    assert [one.facts["genome"] for one in (first, second)] == ["71111-91111", "11111-91111"]
    told = {figure.budget.split(",")[0]: (figure.value, figure.seeds) for figure in first.figures}
    assert told == {"50 steps": (pytest.approx(2.6), 2), "100 steps": (pytest.approx(2.15), 2)}
    assert {figure.task for figure in second.figures} == {"quality/python-reference"}
    with pytest.raises(SystemExit, match="is there already"):
        to_archive(ROWS, tmp_path / "home")


def test_amounts_stand_beside_what_training_gave(tmp_path: Path) -> None:
    amounts = [{"genome": "71111-91111", "processor": "P", "values": {"decode@64": 0.002}, "errors": {}}]
    to_archive(ROWS, tmp_path, amounts)
    second, first = read_archives([tmp_path])
    (found,) = [figure for figure in first.figures if figure.task.startswith("decode")]
    assert (found.task, found.budget, found.value) == ("decode@64 on P", "", 0.002)
    assert all(figure.task.startswith("quality") for figure in second.figures)
    with pytest.raises(SystemExit, match="several processors: P, Q"):
        to_archive(ROWS, tmp_path / "other", [*amounts, {**amounts[0], "processor": "Q"}])
