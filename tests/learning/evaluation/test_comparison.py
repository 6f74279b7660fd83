from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madstar.errors import DataError
from madstar.learning.baselines.lookup import NEAR, Lookup
from madstar.learning.evaluation.comparison import best, gain, lines
from madstar.learning.evaluation.rows import add_row, read_rows
from madstar.learning.evaluation.running import Division, tasks_with_examples, tried
from madstar.learning.evaluation.table import MODEL, document, gains, text

from ..baselines.small import Small


def row(
    learner: str, split_seed: int, figures: dict[str, float], measure: str = "accuracy", **more: Any
) -> dict:
    over = {measure: float(np.mean(list(figures.values())))}
    return {
        "data": "d",
        "task": "operation" if measure == "accuracy" else "performance",
        "learner": learner,
        "split": "family",
        "split_seed": split_seed,
        "seed": 0,
        "seconds": 1.0,
        "plain": over,
        "families": over,
        "by_family": {family: {measure: value} for family, value in figures.items()},
        "counts": {"questions": 10},
    } | more


def test_means_and_deviations_are_over_split_seeds() -> None:
    rows = [row("x", 0, {"f": 0.5}), row("x", 0, {"f": 0.7}, seed=1), row("x", 1, {"g": 0.8})]
    (line,) = lines(rows, "operation", "family")
    spread = line.families["accuracy"]
    assert spread.mean == pytest.approx(0.7)
    assert spread.deviation == pytest.approx(np.std([0.6, 0.8], ddof=1))
    assert spread.count == 2
    assert str(spread) == "0.700 ± 0.141"
    assert str(line.families["macro-F1"]) == "-"


def test_gain_is_paired_over_families() -> None:
    rng = np.random.default_rng(0)
    base = {f"f{i}": float(v) for i, v in enumerate(rng.random(30))}
    better = {family: value + 0.05 + 0.01 * float(rng.normal()) for family, value in base.items()}
    found = gain([row("x", 0, better), row("y", 0, base)], "operation", "family", "accuracy", "x", "y")
    assert found is not None
    assert 0.04 < found.low < found.gain < found.high < 0.06
    assert found.families == 30
    # A family of several splits counts once, with its mean.
    twice = [row("x", 0, {"f": 1.0, "g": 0.0}), row("y", 0, {"f": 0.0, "g": 0.0})]
    twice += [row("x", 1, {"f": 0.0}), row("y", 1, {"f": 0.0})]
    found = gain(twice, "operation", "family", "accuracy", "x", "y")
    assert found is not None
    assert (found.gain, found.families) == (0.25, 2)


def test_where_lower_is_better_a_gain_is_what_is_less() -> None:
    rows = [row("x", 0, {"f": 1.0}, "MAE"), row("y", 0, {"f": 3.0}, "MAE")]
    found = gain(rows, "performance", "family", "MAE", "x", "y")
    assert found is not None
    assert found.gain == 2
    assert best(rows, "performance", "family", "MAE", ()) == "x"


def test_the_best_of_the_others_and_no_common_families() -> None:
    rows = [row("x", 0, {"f": 0.5}), row("y", 0, {"f": 0.7}), row(MODEL, 0, {"g": 0.9})]
    assert best(rows, "operation", "family", "accuracy", (MODEL,)) == "y"
    assert gains(rows, "operation", "family") == []


def test_a_gain_is_told_with_its_interval() -> None:
    figures = {f"f{i}": 0.1 * i for i in range(8)}
    better = {family: value + 0.1 for family, value in figures.items()}
    for one, other, word in (
        (better, figures, "better"),
        (figures, better, "worse"),
        (figures, figures, "no diff"),
    ):
        shown = text([row(MODEL, 0, one), row("y", 0, other)])
        assert f"against y (8 families): {word}" in shown


def test_rows_of_a_learner_are_kept_and_shown(tmp_path: Path) -> None:
    small, file = Small(12), tmp_path / "deep" / "rows.jsonl"
    for seed in (0, 1):
        division = Division(small, "family", seed)
        assert list(tasks_with_examples(division, ["operation"])) == ["operation"]
        for learner in (Lookup("majority"), Lookup(MODEL, NEAR)):
            add_row(file, tried(learner, "operation", division, 0))
    with open(file, "a", encoding="utf-8") as opened:
        opened.write('{"cut')
    again = Division(small, "family", 1)
    add_row(file, tried(Lookup("majority"), "operation", again, 0))
    rows = read_rows(file)
    assert len(rows) == 4
    shown = text(rows)
    assert "operation, split family: mean over families, 2 split seeds" in shown
    assert f"{MODEL}, accuracy: +" in shown
    assert "too few families to tell" in shown
    assert f"{MODEL}, accuracy" not in text(rows, plain=True)
    (table,) = document(rows)["tables"]
    assert table["split_seeds"] == [0, 1]
    assert [each["learner"] for each in table["learners"]] == ["majority", MODEL]
    assert table["gains"][0]["interval_95"][0] > 0


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("not rows\n")
    with pytest.raises(DataError, match="line 1"):
        read_rows(file)
    assert read_rows(tmp_path / "none.jsonl") == []
