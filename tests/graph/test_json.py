"""Graphs as JSON: exact both ways, and every bad file one line."""

import gzip
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import GraphError, OutputError
from madstar.graph import json_format
from madstar.graph.folding import fold
from madstar.graph.json_format import from_json, load, save, to_json
from madstar.graph.runs_of_paths import packed, unpacked

from . import graphs as cases
from . import random_graphs

ODD = float("-inf")


@settings(max_examples=40)
@given(random_graphs.graphs())
def test_round_trip_is_exact(graph):
    text = to_json(graph)
    again = from_json(text)
    assert again == graph
    assert to_json(again) == text
    json.loads(text, parse_constant=pytest.fail)


@given(
    st.lists(st.sampled_from(["a", "", "a.1", "a.2", "a.03", "x.{1}", "0|1", "1|2"]) | st.text(max_size=5))
)
def test_paths_round_trip(paths):
    assert unpacked(json.loads(json.dumps(packed(paths))), "here") == tuple(paths)


@given(st.integers(0, 12), st.integers(1, 3), st.integers(1, 30))
def test_runs_of_paths_are_short(start, step, count):
    paths = [f"layers.{start + i * step}.x|tail.{i}" for i in range(count)]
    assert len(packed(paths)) == 1
    assert unpacked(packed(paths), "here") == tuple(paths)


def test_folded_model_is_small():
    text = to_json(fold(cases.llama(80)))
    assert '"model.layers.{0..79}"' in text
    assert len(text) < 10_000


def test_numbers_that_json_lacks():
    block = cases.Block("M")
    x = block.input("x", "batch")
    graph = cases.graph_of("g", [block.done(block.node("masked_fill", {"input": x}, ("batch",), value=ODD))])
    assert from_json(to_json(graph)) == graph


@pytest.mark.parametrize("name", ["g.json", "g.json.gz"])
def test_files(tmp_path, name):
    graph = fold(cases.llama())
    save(graph, tmp_path / name)
    assert load(tmp_path / name) == graph
    before = (tmp_path / name).read_bytes()
    save(graph, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_writing_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "g.json"
    save(cases.bert(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("madstar.whole_files.os.replace", fail)
    with pytest.raises(OutputError, match="No space"):
        save(cases.llama(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["g.json"]


def document() -> dict:
    return json.loads(to_json(fold(cases.llama())))


def block(made: dict, kind: str) -> dict:
    return next(entry for entry in made["blocks"] if entry["kind"] == kind)


def refused(made, match: str) -> None:
    with pytest.raises(GraphError, match=match) as caught:
        from_json(made if isinstance(made, str) else json.dumps(made), "file.json")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("file.json: ")
    assert len(str(caught.value)) < 400


def test_text_that_is_no_graph():
    text = to_json(cases.bert())
    refused(text[: len(text) // 2], "cut off")
    refused("", "cut off")
    refused("[1]", "not an object")
    refused("{}", "schema")
    refused("[" * 100_000, "nested too deeply")
    refused('{"a": 1, "a": 2}', "twice")
    refused('{"a": NaN}', "NaN")
    refused('{"a": ' + "9" * 10_000 + "}", "file.json")


def test_newer_schema():
    refused(document() | {"schema": "madstar.graph/2"}, "update madstar")
    refused(document() | {"schema": "other/1"}, "no graph")


@pytest.mark.parametrize("key", ["name", "root", "inputs", "symbols", "tied", "guesses", "facts", "blocks"])
def test_wrong_types_of_parts(key):
    refused(document() | {key: 7}, ".")


def test_unknown_key():
    refused(document() | {"extra": 1}, "'extra'")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"in": ["%nothing"]}, "inputs, 1 are given|not known"),
        ({"paths": ["model.layers.{0..999999999}"]}, "at most"),
        ({"paths": [{"path": "a", "times": 10**9}]}, "count"),
        ({"paths": ["a{b"]}, "brace"),
        ({"paths": 3}, "list"),
        ({"carried": [[0, 9]]}, "carried"),
        ({"carried": []}, "carries nothing"),
        ({"call": "Nothing"}, "no block 'Nothing'"),
        ({"call": "LlamaForCausalLM"}, "contains itself"),
        ({"out": ["x: float32[batch"]}, "should be as"),
        ({"out": ["x: float32[2**length]"]}, "no canonical size"),
        ({"out": ["x: float32[length*2]"]}, "no canonical size"),
    ],
)
def test_bad_calls_are_named(change, match):
    made = document()
    call = next(item for item in block(made, "LlamaForCausalLM")["items"] if "call" in item)
    call.update(change)
    refused(made, match)


def looped() -> dict:
    """A block that leaves something open, in a run of eight with own inputs, settings and all outputs."""
    return json.loads(to_json(fold(cases.counting())))


def test_what_differs_is_short():
    text = to_json(fold(cases.counting(200)))
    for part in ('"i": "0..199"', '"other": "1..399:2"', '["%piece.{0..199}"]', '{"varying": "i"}'):
        assert part in text
    assert max(len(line) for line in text.splitlines() if '"call"' in line) < 500


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"own": [[1, ["%piece.{0..6}"]]]}, "gives 7 references for input 1.*8 turns"),
        ({"own": [[1, ["%piece.{0..8}"]]]}, "more than 8 names"),
        ({"own": [[1, ["%piece.{1..8}"]]]}, "first as among the arguments"),
        ({"own": [[1, ["%piece.0", "%piece.{0..6}"]]], "in": ["%nothing", "%piece.0"]}, "not known here"),
        ({"own": [[9, ["%piece.{0..7}"]]]}, "`own` must name inputs by position"),
        ({"own": [[0, [{"path": "%state", "times": 8}]]]}, "input 0 is carried and each turn's own"),
        ({"own": [[1, ["%piece.{0..6}", "%other"]]]}, "another shape or dtype|of another shape"),
        ({"own": 3}, "own: must be a list"),
        ({"own": [["a", []]]}, "position, names"),
        ({"own": [[1, ["%piece.{0..999999999}"]]]}, "at most"),
        ({"settings": {}}, "leaves other, i open"),
        ({"settings": {"i": "0..7", "other": [1] * 8, "k": "0..7"}}, "leaves other, i open"),
        ({"settings": {"i": "0..6", "other": [1] * 8}}, "a value for each of the 8 turns"),
        ({"settings": {"i": "0..999999999999", "other": [1] * 8}}, "a value for each of the 8 turns"),
        ({"settings": {"i": "0..7:0", "other": [1] * 8}}, "a value for each of the 8 turns"),
        ({"settings": {"i": "many", "other": [1] * 8}}, "a range such as"),
        ({"settings": {"i": {"every": 1}, "other": [1] * 8}}, "a range such as"),
        ({"settings": {"i": [1], "other": [1] * 8}}, "gives 1 values for 'i'.*8 turns"),
        ({"settings": {"i": {"same": {"varying": "k"}}, "other": [1] * 8}}, "'k' is open"),
        ({"settings": {"i": [{"a": 1}] * 8, "other": [1] * 8}}, "an object here"),
        ({"settings": 3}, "must be an object"),
        ({"gathered": [[0, ["s{1..6}"]]]}, "gives 6 names for output 0.*8 turns"),
        ({"gathered": [[5, ["s{1..7}"]]]}, "`gathered` must name outputs by position"),
        ({"gathered": [[0, ["s{1..7}"]], [0, ["t{1..7}"]]]}, "each once"),
        ({"gathered": [[0, ["s{1..6}", "piece.0"]]]}, "given before"),
        ({"carried": [], "own": [], "settings": {}, "gathered": []}, "carries nothing|leaves i"),
    ],
)
def test_bad_turns_are_named(change, match):
    made = looped()
    call = next(item for item in block(made, "Counting")["items"] if "call" in item)
    call.update(change)
    refused(made, match)


def test_what_is_open_must_be_said():
    made = looped()
    del block(made, "Sequence")["varying"]
    refused(made, "leaves nothing open|is open")
    made = looped()
    block(made, "Sequence")["varying"] = ["i", "i"]
    refused(made, "each once")
    made = looped()
    block(made, "Counting")["varying"] = ["k"]
    refused(made, "leaves 'k' open and is the whole")
    made = looped()
    one = next(item for item in block(made, "Counting")["items"] if "call" in item)
    one |= {"paths": ["only"], "settings": {"i": [0], "other": [1]}, "gathered": [], "carried": []}
    one["own"] = [[1, ["%piece.0"]]]
    refused(made, "are of runs, and this is one call")


def test_values_by_the_billion():
    made = looped()
    inside = block(made, "Counting")
    call = next(item for item in inside["items"] if "call" in item)
    call |= {"paths": [{"path": "", "times": 10**6}], "settings": {"i": "0..999999", "other": {"same": 1}}}
    call |= {"own": [[1, [{"path": "%piece.0", "times": 10**6}]]], "gathered": []}
    inside["items"] += [dict(call, name=f"more{i}", out=[]) for i in range(9)]
    refused(made, "more than 10,000,000")


def test_order_must_be_that_of_computation():
    made = document()
    block(made, "LlamaMLP")["items"].reverse()
    refused(made, "LlamaMLP.*not known here")


def test_unused_block():
    made = document()
    made["blocks"].append({"name": "Alone", "kind": "Alone", "inputs": [], "outputs": []})
    refused(made, "never called")


def test_paths_by_the_billion():
    head = {"schema": "madstar.graph/1", "name": "bomb", "root": "b0"}
    blocks = [
        {
            "name": f"b{i}",
            "kind": "B",
            "items": [{"call": f"b{i + 1}", "name": f"c{j}", "paths": [f"p{j}"]} for j in range(10)],
        }
        for i in range(9)
    ]
    refused(head | {"blocks": [*blocks, {"name": "b9", "kind": "B"}]}, "stands for more than")


def test_blocks_nested_without_end():
    head = {"schema": "madstar.graph/1", "name": "deep", "root": "b0"}
    items = [[{"call": f"b{i + 1}", "name": "c", "paths": ["p"]}] for i in range(5000)]
    blocks = [{"name": f"b{i}", "kind": "B", "items": inner} for i, inner in enumerate([*items, []])]
    refused(head | {"blocks": blocks}, "nested more than")


@pytest.mark.parametrize(
    "reference",
    ["../w.safetensors", "/etc/w.safetensors", "a/../../w.safetensors", "C:\\w.safetensors", "w.bin"],
)
def test_weights_stay_in_the_folder(reference):
    refused(document() | {"weights": [reference]}, "own folder")
    with pytest.raises(GraphError, match="own folder"):
        to_json(replace(cases.bert(), weights=(reference,)))


def test_bad_files(tmp_path, monkeypatch):
    path = tmp_path / "g.json.gz"
    with pytest.raises(GraphError, match="cannot read"):
        load(path)
    path.write_bytes(gzip.compress(to_json(cases.bert()).encode())[:200])
    with pytest.raises(GraphError, match=r"cut off|damaged"):
        load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphError, match="not text"):
        load(path)
    monkeypatch.setattr(json_format, "MAX_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(b" " * (1 << 22)))
    with pytest.raises(GraphError, match="larger than"):
        load(path)
