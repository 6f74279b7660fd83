"""`madstar learn evaluate` on a small dataset on disk."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madstar.cli import learn_evaluate  # noqa: F401  it registers itself
from madstar.cli.app import app
from madstar.graph.json_format import save
from madstar.learning.datasets.building import DatasetSettings, build_dataset
from madstar.learning.datasets.dataset import Stored
from madstar.learning.features import OperationTable
from madstar.learning.pretraining.checkpoint import save_model
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.transformer.model import GraphTransformer

from ..learning.baselines.small import graph_of, wild


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "graphs").mkdir()
    for seed in range(14):
        graph = graph_of(wild(seed), f"model{seed}", "image" if seed % 2 else "text: ids")
        save(graph, folder / "graphs" / f"model{seed}.graph.json")
    build_dataset(folder / "data", DatasetSettings(own=folder / "graphs"))
    return folder / "data"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["learn", "evaluate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_table_of_a_task(data: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    wanted = ("--data", data, "--task", "link", "--seeds", 2, "--rows", rows)
    status, said, told = run(*wanted)
    assert status == 0, told
    assert "link, split family: mean over families, 2 split seeds" in said
    for name in ("previous node", "unconsumed + shape + recent", "pairs of operations"):
        assert name in said
    assert "split seed 1, link: previous node" in told
    assert len(rows.read_text().splitlines()) == 6
    again = run(*wanted, "--json")
    assert again[0] == 0
    assert again[2] == ""  # nothing was done again
    (table,) = json.loads(again[1])["tables"]
    assert table["split_seeds"] == [0, 1]
    assert len(table["learners"]) == 3
    assert table["gains"] == []


def test_a_model_is_held_against_the_best(data: Path, tmp_path: Path) -> None:
    config = TransformerConfig(width=16, layers=1, heads=2, limit=64)
    model = GraphTransformer(config, OperationTable(("relu", "linear", "add")), ("text", "vision"))
    save_model(model, tmp_path / "model", {"split": "family", "split_seed": 0})
    status, said, told = run(
        *("--data", data, "--model", tmp_path / "model", "--task", "operation"),
        *("--learner", "majority", "--learner", "parents", "--json"),
    )
    assert status == 0, told
    (table,) = json.loads(said)["tables"]
    assert [each["learner"] for each in table["learners"]] == ["majority", "parents", "graph transformer"]
    assert {each["over"] for each in table["gains"]} <= {"majority", "parents"}
    assert table["gains"][0]["measure"] == "accuracy"
    save_model(model, tmp_path / "other", {"split": "size"})
    for given, word in (
        (("--model", tmp_path / "other"), "--split size"),
        (("--model", tmp_path), "learn train"),
    ):
        status, said, told = run("--data", data, "--task", "operation", *given)
        assert (status, said) == (2, "")
        assert word in told
        assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (("--task", "cooking"), "the tasks are operation"),
        (("--seeds", "0"), "at least 1"),
        (("--split", "moon"), "the splits are"),
        (("--learner", "oracle"), "learners are majority"),
        (("--task", "performance"), "nothing was asked"),
    ],
)
def test_bad_input_is_one_line(data: Path, given: tuple[str, ...], word: str) -> None:
    status, said, told = run("--data", data, *given)
    assert (status, said) == (2, "")
    assert word in told
    assert len(told.splitlines()) == 1


def test_no_dataset(tmp_path: Path) -> None:
    status, _, told = run("--data", tmp_path)
    assert status == 2
    assert "madstar learn dataset" in told


def test_performance_is_left_out_where_nothing_was_measured(data: Path) -> None:
    assert Stored(data).examples("performance") == ()
