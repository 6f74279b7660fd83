"""`madstar graph check`: findings as lines or as one document, and the exit status."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from madstar.cli import graph  # noqa: F401  it registers itself
from madstar.graph.json_format import save
from madstar.graph.model import Graph

from ..graph import graphs
from .commands import invoke, refusal, strict_json


def spoilt() -> Graph:
    """A layer's weight has another size than what follows takes."""
    whole = graphs.bert()
    block = whole.definitions["BertLayer_1"]
    parameters = tuple(
        replace(p, shape=(96, 20)) if p.path == "intermediate.dense.weight" else p for p in block.parameters
    )
    definitions = {**whole.definitions, block.name: replace(block, parameters=parameters)}
    return replace(whole, definitions=definitions)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    save(spoilt(), tmp_path / "faulty.graph.json")
    return tmp_path / "faulty.graph.json"


def test_a_sound_graph(tmp_path: Path) -> None:
    save(graphs.bert(), tmp_path / "bert.graph.json")
    result = invoke("graph", "check", tmp_path / "bert.graph.json")
    assert result.status == 0
    assert result.stdout == "bert: 0 errors, 0 warnings in 26 nodes\n"


def test_a_fault_is_a_line_and_status_1(faulty: Path) -> None:
    result = invoke("graph", "check", faulty)
    assert result.status == 1
    line, summary = result.stdout.splitlines()
    assert line.startswith("error (shape) encoder.layer.1.intermediate.dense: linear: expected ")
    assert "found float32[batch,length,24]" in line
    assert summary == "bert: 1 error, 0 warnings in 26 nodes"


def test_one_document(faulty: Path) -> None:
    result = invoke("graph", "check", faulty, "--json")
    assert result.status == 1
    document = strict_json(result.stdout)
    assert isinstance(document, dict)
    assert (document["errors"], document["warnings"], document["nodes"]) == (1, 0, 26)
    (finding,) = document["findings"]
    assert finding["path"] == "encoder.layer.1.intermediate.dense"
    assert finding["block"] == "BertLayer_1"
    assert finding["kind"] == "shape"
    assert document["causality"] is None


def test_paths_from_the_future(tmp_path: Path) -> None:
    path = tmp_path / "llama.graph.json"
    save(graphs.llama(), path)
    said = invoke("graph", "check", path, "--json")
    assert strict_json(said.stdout)["causality"]["verdict"] != "causal"
    without = invoke("graph", "check", path, "--json", "--no-causal")
    assert strict_json(without.stdout)["causality"] is None


def test_a_genome_is_checked_for_paths_from_the_future() -> None:
    result = invoke("graph", "check", "genome:21211-31112?width=16&heads=4&vocabulary_size=20")
    assert result.status == 0
    assert result.stdout.endswith("along length: causal\n")


def test_bad_files(tmp_path: Path, faulty: Path) -> None:
    assert "is no file" in refusal(invoke("graph", "check", tmp_path / "none"))
    cut = tmp_path / "cut.json"
    cut.write_text(faulty.read_text()[:900])
    assert "cut off" in refusal(invoke("graph", "check", cut))
    document = json.loads(faulty.read_text())
    document["blocks"][0]["items"][0]["in"] = ["%nothing"]
    hostile = tmp_path / "hostile.json"
    hostile.write_text(json.dumps(document))
    assert "%nothing" in refusal(invoke("graph", "check", hostile))
