"""`madstar graph export` and the addresses of other programs' files."""

import json
from pathlib import Path

import pytest

from madstar.cli import graph_export  # noqa: F401  it registers itself
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import load, save

from ..graph import graphs
from .commands import contents, invoke, refusal, strict_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(fold(graphs.counting()), tmp_path / "g.json")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "begins"),
    [
        ("m.py", "", '"""'),
        ("m.dot", "", "digraph"),
        ("m.svg", "", "<"),
        ("m.json", "", "{"),
        ("m.json", "graphbook", '{"name"'),
    ],
)
def test_formats(folder: Path, name: str, kind: str, begins: str) -> None:
    options = ["--format", kind] if kind else []
    result = invoke("graph", "export", folder / "g.json", "--out", folder / name, *options, "--json")
    assert result.status == 0, result.stderr
    document = strict_json(result.stdout)
    assert document["out"] == str(folder / name)
    assert document["bytes"] == (folder / name).stat().st_size
    assert (folder / name).read_text().startswith(begins)


def test_graphbook_and_back(folder: Path) -> None:
    assert (
        invoke(
            "graph", "export", folder / "g.json", "--format", "graphbook", "--out", folder / "b.json"
        ).status
        == 0
    )
    address = f"graphbook:{folder / 'b.json'}"
    result = invoke("graph", "export", address, "--out", folder / "again.json")
    assert result.status == 0, result.stderr
    assert structural_hash(load(folder / "again.json")) == structural_hash(load(folder / "g.json"))
    assert invoke("graph", "show", address).status == 0
    assert invoke("graph", "check", address).status == 0


def test_an_onnx_file_keeps_its_weights(folder: Path) -> None:
    save(fold(graphs.alternating(1)), folder / "a.json")
    made = invoke("graph", "export", folder / "a.json", "--out", folder / "a.onnx", "--seed", "3", "--json")
    assert made.status == 0, made.stderr
    assert strict_json(made.stdout)["fresh"] is True
    run = invoke("graph", "run", f"onnx:{folder / 'a.onnx'}", "--show", "faults")
    assert run.status == 0, run.stderr
    assert "weights as given" in run.stdout
    again = invoke("graph", "export", f"onnx:{folder / 'a.onnx'}", "--out", folder / "b.onnx", "--json")
    assert again.status == 0, again.stderr
    assert strict_json(again.stdout)["fresh"] is False


def test_tensorboard(folder: Path) -> None:
    result = invoke("graph", "export", folder / "g.json", "--format", "tensorboard", "--out", folder / "logs")
    assert result.status == 0, result.stderr
    assert "tensorboard --logdir" in result.stdout
    assert len(list((folder / "logs").iterdir())) == 1


def bad(folder: Path) -> dict[str, tuple[list[object], str]]:
    g, out = folder / "g.json", ["--out", folder / "new.x"]
    (folder / "unbound.json").write_text(
        json.dumps(
            {"name": "B", "type": "COMPOSITE_OPERATION", "outputs": ["y"], "operations": [], "links": []}
        )
    )
    return {
        "no format": ([g, *out], "says no format"),
        "unknown": ([g, *out, "--format", "onx"], "onnx"),
        "weights": ([g, *out, "--format", "python", "--weights", "w"], "go with --format onnx"),
        "itself": ([g, "--format", "graphbook", "--out", g], "is the graph itself"),
        "itself by address": ([f"graphbook:{g}", "--format", "graphbook", "--out", g], "is the graph itself"),
        "a folder": ([g, "--format", "json", "--out", folder], "is a folder"),
        "a file": ([g, "--format", "tensorboard", "--out", g], "is a file"),
        "unbound": (
            [f"graphbook:{folder / 'unbound.json'}", *out, "--format", "json"],
            "nothing is linked to",
        ),
        "no file": ([f"graphbook:{folder / 'none.json'}", *out, "--format", "json"], "cannot read"),
        "own format": ([f"graphbook:{g}", *out, "--format", "json"], "no Graphbook file"),
        "no place": ([g, "--format", "dot", "--out", g / "x" / "y"], "cannot write"),
        "sizes": ([g, *out, "--format", "onnx", "--sizes", "batch"], "SYMBOL=NUMBER"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("no format", "unknown", "weights", "itself", "itself by address", "a folder", "a file"),
        *("unbound", "no file", "own format", "no place", "sizes"),
    ],
)
def test_refusals(folder: Path, name: str) -> None:
    arguments, said = bad(folder)[name]
    before = contents(folder)
    assert said in refusal(invoke("graph", "export", *arguments))
    assert contents(folder) == before
