"""A dataset made of a small museum: whole, repeatable, resumable, read back, or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madstar.errors import ConfigurationError, DataError, OutputError
from madstar.learning.corpus.splits import SPLITS, shared_blocks
from madstar.learning.datasets import DatasetSettings, Evaluator, Stored, build_dataset, load
from madstar.learning.datasets.arrays import EDGE_FEATURES, NODE_FEATURES
from madstar.learning.datasets.building import Progress
from madstar.learning.datasets.examples import TASKS

from ..corpus.made_museum import write_museum


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_museum(tmp_path_factory.mktemp("museum"))


@pytest.fixture(scope="module")
def made(museum: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "data"
    build_dataset(folder, DatasetSettings(museum=museum, edits=3))
    return folder


class StopError(Exception):
    """What a kill is here."""


def test_the_same_settings_give_the_same_bytes_even_when_it_was_stopped(museum, made, tmp_path) -> None:
    settings = DatasetSettings(museum=museum, edits=3)

    def stop(now: Progress) -> None:
        if now.done == 9:
            raise StopError

    with pytest.raises(StopError):
        build_dataset(tmp_path, settings, stop)
    kept = sorted((tmp_path / ".entries").iterdir())
    assert len(kept) == 9
    with pytest.raises(DataError, match="holds no dataset"):
        load(tmp_path, "link")
    seen: list[Progress] = []
    build_dataset(tmp_path, settings, seen.append)
    assert tables(tmp_path) == tables(made)
    assert [now.seconds_left is None for now in seen[:10]] == [True] * 9 + [False]
    assert (seen[-1].done, seen[-1].total) == (16, 16)


def test_another_seed_asks_other_questions_of_the_same_graphs(museum, made, tmp_path) -> None:
    build_dataset(tmp_path, DatasetSettings(museum=museum, seed=1))
    one, other = Stored(made), Stored(tmp_path)
    assert set(other.keys) <= set(one.keys)
    shared = {e.entry: e for e in one.examples("link")}
    assert any(shared[e.entry] != e for e in other.examples("link"))
    assert one.hash != other.hash


def test_what_stands_there_is_not_written_over(museum, made, tmp_path) -> None:
    before = tables(made)
    with pytest.raises(OutputError, match="other settings or seed: choose another place, or --redo"):
        build_dataset(made, DatasetSettings(museum=museum, seed=5))
    assert tables(made) == before
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="other things"):
        build_dataset(tmp_path, DatasetSettings(museum=museum))
    with pytest.raises(OutputError, match="is no folder"):
        build_dataset(tmp_path / "thesis.tex", DatasetSettings(museum=museum))
    with pytest.raises(ConfigurationError, match="nothing to make a dataset of"):
        DatasetSettings()
    with pytest.raises(ConfigurationError, match="edits of nothing"):
        DatasetSettings(genomes=1, edits=2)


def test_each_graph_is_there_once_with_its_kin(made: Path) -> None:
    stored = Stored(made)
    hashes = [stored.row(key)["hash"] for key in stored.keys]
    assert len(set(hashes)) == len(hashes)
    assert stored.row("hf:llama-copy@shrunk")["aliases"] == ["hf:llama@shrunk"]
    families = stored.families()
    assert families["hf:llama-copy@shrunk"] == families["hf:llama-wide@shrunk"]
    assert families["hf:made-0@shrunk"] != families["hf:made-1@shrunk"]
    edits = [key for key in stored.keys if key.startswith("edit:")]
    assert edits
    for key in edits:
        (parent,) = stored.row(key)["parents"]
        known = {alias: k for k in stored.keys for alias in (k, *stored.row(k)["aliases"])}
        assert families[key] == families[known[parent]]
    assert stored.row("hf:made-1@shrunk")["domain"] == "vision"
    assert stored.schema["counts"]["entries"] == len(stored.keys)


@pytest.mark.parametrize("name", SPLITS)
def test_no_block_of_a_test_graph_is_trained_on(made: Path, name: str) -> None:
    stored = Stored(made)
    for seed in range(3):
        try:
            parts = stored.entry_split(name, seed)
        except DataError:
            assert name in ("size", "generated")
            return
        if name != "random":
            assert shared_blocks(stored._members, parts, bare=name == "strict") == 0
        numbers = stored.split("operation", name, seed)
        examples = stored.examples("operation")
        for part in ("train", "valid", "test"):
            assert {examples[i].entry for i in numbers[part]} <= set(parts[part])
        held = set(parts["train"]) & {"hf:llama-copy@shrunk", "hf:llama-wide@shrunk"}
        assert name != "family" or len(held) == 2


@pytest.mark.parametrize("task", [task for task in TASKS if task != "performance"])
def test_examples_as_arrays(made: Path, task: str) -> None:
    dataset = load(made, task)
    assert len(dataset) > 5
    parts = dataset.get_idx_split(split="family", seed=0)
    assert set(parts) == {"train", "valid", "test"}
    for number in (0, len(dataset) // 2, len(dataset) - 1):
        graph, label = dataset[number]
        nodes = graph["num_nodes"]
        assert graph["node_feat"].shape == (nodes, len(NODE_FEATURES))
        assert graph["edge_index"].shape == (2, len(graph["edge_feat"]))
        assert graph["edge_feat"].shape[1] == len(EDGE_FEATURES)
        assert graph["edge_index"].max() < nodes
        asked, example, whole = graph["asked"], dataset.example(number), dataset.view(number)
        if task == "operation":
            assert (graph["node_feat"][asked, 0] == 0).all()
            assert [dataset.vocabulary.operation(i) for i in label] == [
                whole.nodes[i].op for i in example.masked
            ]
        elif task == "link":
            assert (label[: len(example.removed)] >= 0).all()
            assert (label[len(example.removed) :] == -1).all()
            pairs = {(e.target, e.position) for e in whole.edges if e.source in label.tolist()}
            assert {tuple(a) for a in asked[: len(example.removed)]} <= pairs
        elif task == "incomplete":
            assert nodes == len(whole) - int(label[0])
            assert (label[1] >= 0) == bool(label[0])
        elif task == "completion":
            assert nodes == asked[0]
            assert dataset.vocabulary.operation(int(label[0])) == whole.nodes[nodes].op
            assert (label[1:] < nodes).all()
        else:
            assert dataset.classes(example)[int(label)] == example.label
    assert len(dataset[[0, 1]]) == len(dataset[:2]) == 2


def test_answers_that_are_right_have_the_best_figures(made: Path) -> None:
    dataset = load(made, "operation")
    true, family = [], []
    for number in dataset.get_idx_split()["test"]:
        ops = [dataset.view(number).nodes[i].op for i in dataset.example(number).masked]
        true += ops
        family += [dataset.family(number)] * len(ops)
    found = Evaluator("operation").eval({"y_true": true, "y_pred": true, "family": family})
    assert (found["accuracy"], found["macro_f1/family"]) == (1, 1)


def test_measurements_are_split_by_architecture(made: Path) -> None:
    dataset = load(made, "performance")
    assert len(dataset) == 0
    with pytest.raises(DataError, match=r"0 architectures were measured.*--archive HOME"):
        dataset.get_idx_split()


def test_without_torch_geometric_the_package_is_named(made: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(DataError, match="pip install torch_geometric"):
        load(made, "link").to_pyg(0)


def test_with_torch_geometric_a_data_is_made(made: Path, monkeypatch) -> None:
    class Data:
        def __init__(self, **given: Any) -> None:
            self.given = given

    module = type(sys)("torch_geometric.data")
    module.Data = Data  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_geometric", type(sys)("torch_geometric"))
    monkeypatch.setitem(sys.modules, "torch_geometric.data", module)
    data = load(made, "classification").to_pyg(0).given
    graph, label = load(made, "classification")[0]
    assert (data["edge_index"].numpy() == graph["edge_index"]).all()
    assert data["num_nodes"] == len(data["x"])
    assert data["y"].numpy().tolist() == np.atleast_1d(label).tolist()


def test_what_is_no_dataset_of_this_schema_is_told(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"madstar learn dataset --out .* makes one"):
        load(tmp_path, "link")
    with pytest.raises(DataError, match="no task 'links'"):
        load(made, "links")
    for name, content in tables(made).items():
        (tmp_path / name).write_bytes(content)
    schema = json.loads((tmp_path / "schema.json").read_text())
    (tmp_path / "examples-link.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="was not finished: run the same"):
        load(tmp_path, "link")
    (tmp_path / "examples-link.parquet").unlink()
    with pytest.raises(DataError, match="is missing"):
        load(tmp_path, "link")
    for broken, said in (
        (schema | {"schema": "madstar.learning.dataset/2"}, "is of schema madstar.learning.dataset/2, this"),
        ({"schema": schema["schema"]}, "lacks its tables"),
        ([], "is of schema None"),
    ):
        (tmp_path / "schema.json").write_text(json.dumps(broken))
        with pytest.raises(DataError, match=said):
            load(tmp_path, "link")
    (tmp_path / "schema.json").write_text("[" * 10**5)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path, "link")


def test_the_card_says_what_is_in_it(made: Path) -> None:
    text = (made / "README.md").read_text()
    for said in ("| transformers | 11 |", "Apache-2.0", "stay on the machine", "| family |", "| link |"):
        assert said in text
    assert str(made) not in text
