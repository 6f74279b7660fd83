"""`madstar graph edit`: what it says and writes, and what it refuses with one line, the inputs untouched."""

import json
from pathlib import Path

import pytest

from madstar.cli import graph_edit  # noqa: F401  it registers itself
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import load, save
from madstar.graph.unfolding import unfold

from ..graph import graphs
from .commands import contents, invoke, refusal, strict_json

DELETE = {"edit": "delete", "select": "blocks[-1]"}
SET = {"edit": "set_attr", "select": "**.act", "set": {"approximate": "tanh"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(graphs.bert(), tmp_path / "g.graph.json")
    document = {"schema": "madstar.edits/1", "edits": [SET, DELETE]}
    (tmp_path / "p.json").write_text(json.dumps(document))
    return tmp_path


def test_a_program(folder: Path) -> None:
    before = (folder / "g.graph.json").read_bytes()
    result = invoke(
        "graph", "edit", folder / "g.graph.json", folder / "p.json", "--out", folder / "h.graph.json"
    )
    assert result.status == 0, result.stderr
    assert result.stdout.splitlines() == [
        "1 set_attr: encoder.layer.{0..2}.intermediate.act (x3)",
        "2 delete: encoder.layer.2",
        "- encoder.layer.2: block BertLayer_2",
        "~ encoder.layer.{0..1}.intermediate.act (x2): gelu: approximate 'none' -> 'tanh'",
        f"written to {folder / 'h.graph.json'}",
    ]
    assert (folder / "g.graph.json").read_bytes() == before
    (history,) = load(folder / "h.graph.json").facts["edits"]
    assert history["original"] == {"name": "bert", "file": "g.graph.json"}


def test_undo_on_the_command_line(folder: Path) -> None:
    (folder / "far").mkdir()
    out = folder / "far" / "h.graph.json"
    assert invoke("graph", "edit", folder / "g.graph.json", folder / "p.json", "--out", out).status == 0
    one = folder / "one.graph.json"
    result = invoke("graph", "edit", out, "--undo", "--out", one)
    assert result.status == 0, result.stderr
    assert result.stdout.startswith("undone: delete\n")
    assert invoke("graph", "edit", one, "--undo", "--out", folder / "none.graph.json").status == 0
    assert structural_hash(unfold(load(folder / "none.graph.json"))) == structural_hash(unfold(graphs.bert()))
    assert "nothing to undo" in refusal(
        invoke("graph", "edit", folder / "none.graph.json", "--undo", "--dry-run")
    )


def test_undo_without_the_original(folder: Path) -> None:
    out = folder / "h.graph.json"
    invoke("graph", "edit", folder / "g.graph.json", folder / "p.json", "--out", out)
    (folder / "g.graph.json").rename(folder / "moved.graph.json")
    assert "give it with --original" in refusal(invoke("graph", "edit", out, "--undo", "--dry-run"))
    result = invoke("graph", "edit", out, "--undo", "--original", folder / "moved.graph.json", "--dry-run")
    assert result.status == 0
    save(graphs.bert(layers=2), folder / "g.graph.json")
    assert "give the original as it was" in refusal(invoke("graph", "edit", out, "--undo", "--dry-run"))


def test_edits_on_the_command_line_and_one_document(folder: Path) -> None:
    before = contents(folder)
    edits = ("--edit", json.dumps(DELETE), "--edit", json.dumps({"edit": "freeze", "params": "**.bias"}))
    result = invoke("graph", "edit", folder / "g.graph.json", *edits, "--dry-run", "--json")
    assert result.status == 0, result.stderr
    document = strict_json(result.stdout)
    assert [each["edit"]["edit"] for each in document["edits"]] == ["delete", "freeze"]
    assert document["edits"][0]["paths"] == ["encoder.layer.2"]
    assert document["out"] is None
    assert {change["sort"] for change in document["changes"]} == {"removed", "changed"}
    assert contents(folder) == before


def test_a_rewrite_with_its_options(folder: Path) -> None:
    words = ("--rewrite", "lora", "--select", "blocks[-1].**:linear", "--rank", 2, "--alpha=8", "--dry-run")
    result = invoke("graph", "edit", folder / "g.graph.json", *words)
    assert result.status == 0, result.stderr
    first, *_, last = result.stdout.splitlines()
    assert first.startswith(
        "1 lora: encoder.layer.2.attention.self.value, encoder.layer.2.intermediate.dense"
    )
    assert last == "nothing was written"


def test_set(folder: Path) -> None:
    words = ("--select", "**.act", "--set", "approximate=tanh", "--dry-run")
    result = invoke("graph", "edit", folder / "g.graph.json", *words)
    assert result.stdout.splitlines()[0] == "1 set_attr: encoder.layer.{0..2}.intermediate.act (x3)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give either --undo, or what to do"),
        (("p.json", "--undo"), "give either --undo, or what to do"),
        (("p.json", "--rank", "8"), "there is no option --rank"),
        (("--rewrite", "lora", "--select", "x", "--rnk", "8"), "did you mean rank?"),
        (("--rewrite", "laro", "--select", "x"), "did you mean lora?"),
        (
            ("--rewrite", "lora", "--select", "**:linear", "--rank", "many"),
            "rank is 'many'; give a whole number",
        ),
        (("--edit", "{"), "is it cut off?"),
        (("--edit", '{"edit": "delte", "select": "x"}'), "did you mean delete?"),
        (
            ("--edit", '{"edit": "delete", "select": "blocks[7]"}'),
            "nothing in 'bert' fits 'blocks[7]'; nearest: ",
        ),
        (("--set", "a=1"), "--set needs --select"),
        (("--select", "x", "--set", "a"), "write SLOT=VALUE"),
        (("--select", "x", "p.json"), "--select goes with"),
        (("missing.json",), "cannot read missing.json"),
        (("p.json", "--original", "x.json"), "--original goes with --undo"),
        (
            (
                "--edit",
                '{"edit": "replace", "select": "blocks[0].intermediate.dense", "new": {"op": '
                '"linear", "out_features": 7}}',
            ),
            "encoder.layer.0.output.dense: linear: expected input with 96 in dimension -1 (weight "
            "float32[24,96]), "
            "found float32[batch,length,7]; set by linear",
        ),
    ],
)
def test_what_is_refused_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert said in refusal(invoke("graph", "edit", "g.graph.json", *words, "--out", "h.graph.json"))
    assert contents(folder) == before


def test_where_it_is_written(folder: Path) -> None:
    graph, program = folder / "g.graph.json", folder / "p.json"
    assert "--out, or --dry-run" in refusal(invoke("graph", "edit", graph, program))
    assert "is the graph itself" in refusal(invoke("graph", "edit", graph, program, "--out", graph))
    assert "ends in" in refusal(invoke("graph", "edit", graph, program, "--out", folder / "h.txt"))
