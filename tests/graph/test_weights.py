"""Files of weights are named only where they hold what the graph needs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from madstar.errors import GraphError
from madstar.graph.json_format import load, save
from madstar.graph.model import Graph
from madstar.graph.walk import parameters
from madstar.graph.weights import attach, shapes_in

from .graphs import llama

MODEL = llama()


def held(graph: Graph = MODEL, prefix: str = "") -> dict[str, np.ndarray]:
    """One array for each trained parameter."""
    return {
        prefix + path: np.zeros(p.shape, np.float16) for path, p in parameters(graph).items() if p.trained
    }


def written(folder: Path, arrays: dict[str, np.ndarray], name: str = "model.safetensors") -> Path:
    save_file(arrays, folder / name)
    return folder / name


def test_files_that_hold_all_are_named_relative_to_the_graph(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    arrays = held()
    names = sorted(arrays)
    first = written(tmp_path, {n: arrays[n] for n in names[::2]}, "a.safetensors")
    second = written(tmp_path / "deep", {n: arrays[n] for n in names[1::2]}, "b.safetensors")
    found = attach(MODEL, [first, second], tmp_path)
    assert found.weights == ("a.safetensors", "deep/b.safetensors")
    save(found, tmp_path / "model.graph.json")
    assert load(tmp_path / "model.graph.json") == found
    assert shapes_in(first) == {n: arrays[n].shape for n in names[::2]}


def test_a_prefix_of_all_paths_is_found(tmp_path: Path) -> None:
    file = written(tmp_path, {**held(prefix="model."), "lm_head.weight": np.zeros((3, 2), np.float32)})
    found = attach(MODEL, [file], tmp_path)
    assert found.facts["weights_prefix"] == "model."
    assert "weights_prefix" not in attach(found, [written(tmp_path, held())], tmp_path).facts


def test_one_of_two_that_are_tied_is_enough(tmp_path: Path) -> None:
    ((one, other),) = MODEL.tied
    arrays = held()
    del arrays[other]
    file = written(tmp_path, arrays)
    assert one in arrays
    assert attach(MODEL, [file], tmp_path).weights == ("model.safetensors",)
    with pytest.raises(GraphError, match=f"lack {other}; give all files"):
        attach(replace(MODEL, tied=()), [file], tmp_path)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    path = next(iter(held()))
    wrong = held() | {path: np.zeros((7, 5), np.float16)}
    with pytest.raises(GraphError, match=rf"weights of {path} are \[7, 5\] in the files"):
        attach(MODEL, [written(tmp_path, wrong)], tmp_path)
    with pytest.raises(GraphError, match="there is no such file"):
        attach(MODEL, [tmp_path / "none.safetensors"], tmp_path)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\xff" * 40)
    with pytest.raises(GraphError, match="no safetensors file"):
        attach(MODEL, [damaged], tmp_path)
    (tmp_path / "inner").mkdir()
    with pytest.raises(GraphError, match="outside of"):
        attach(MODEL, [written(tmp_path, held())], tmp_path / "inner")
    file = tmp_path / "model.safetensors"
    file.rename(tmp_path / "model.bin")
    with pytest.raises(GraphError, match=r"must be a \.safetensors file"):
        attach(MODEL, [tmp_path / "model.bin"], tmp_path)
