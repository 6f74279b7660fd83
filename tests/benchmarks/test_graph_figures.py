"""The figures of graphs: what is counted and compared, on models and corpora where the answer is known."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from benchmarks.forks import in_fork
from torch import nn
from torch.nn import functional as F  # noqa: N812

from benchmarks import fidelity, folding, graph_peers, vocabulary
from madstar.graph import json_format
from madstar.graph.model import Graph, Node
from madstar.graph.trace import trace


class Small(nn.Module):
    """Two equal blocks, attention, normalisation by batches."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(2))
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        heads = x.unsqueeze(1)
        x = F.scaled_dot_product_attention(heads, heads, heads)[:, 0]
        return self.norm(x.transpose(1, 2))


def traced() -> tuple[Graph, nn.Module]:
    """A graph without weights, and the module with them."""
    torch.manual_seed(0)
    with torch.device("meta"):
        bare = Small().eval()
    graph = trace(bare, lambda batch, length: {"x": torch.empty(batch, length, 8, device="meta")})
    return graph, Small().eval()


def changed(graph: Graph, named: str, /, **changes: object) -> Graph:
    """The graph with the first node of an operation changed."""
    for name, block in graph.definitions.items():
        for place, item in enumerate(block.items):
            if isinstance(item, Node) and item.op == named:
                items = (
                    *block.items[:place],
                    dataclasses.replace(item, **changes),
                    *block.items[place + 1 :],
                )  # type: ignore[arg-type]
                other = dataclasses.replace(block, items=items)
                return dataclasses.replace(graph, definitions={**graph.definitions, name: other})
    raise AssertionError(named)


def test_a_graph_is_faithful_and_a_fault_is_seen() -> None:
    graph, module = traced()
    at, other = fidelity.sizes_of(graph)
    assert (at, other) == ({"batch": 2, "length": 16}, {"batch": 4, "length": 25})

    def compared(graph: Graph) -> dict:
        inputs = {"x": torch.randn(at["batch"], at["length"], 8)}
        return fidelity.operations(graph, module, inputs, at) | {
            "values": fidelity.values(graph, module, inputs, at)
        }

    good = compared(graph)
    assert good["equal"]
    assert good["shared"] == 1
    assert good["values"]["good"]
    body = next(n.body for b in graph.definitions.values() for n in b.items if getattr(n, "op", "") == "gelu")
    wrong_body = compared(changed(graph, "gelu", body=(*body, *body)))
    assert not wrong_body["equal"]
    assert [op for op, _, _ in wrong_body["only_graph"]] == ["aten.gelu.default"]
    wrong_op = compared(changed(graph, "gelu", op="relu", attributes=()))
    assert wrong_op["equal"]  # bodies are as they were
    assert not wrong_op["values"]["good"]
    wrong_shape = changed(
        graph, "gelu", body=(dataclasses.replace(body[0], shapes=(("batch", "length", 9),)),)
    )
    assert not compared(wrong_shape)["equal"]
    assert compared(wrong_shape)["equal_names"]


def test_values_are_compared_at_another_size_too() -> None:
    graph, module = traced()
    whole = ("slice", None, None, None)
    fixed = changed(graph, "getitem", attributes=(("index", (whole, 0, ("slice", None, 16, None))),))
    right = []
    for at in fidelity.sizes_of(graph):
        inputs = {"x": torch.randn(at["batch"], at["length"], 8)}
        assert fidelity.values(graph, module, inputs, at)["good"]
        right.append(fidelity.values(fixed, module, inputs, at).get("good", False))
    assert right == [True, False]


def test_repeated_blocks_count_as_often_as_they_are_computed() -> None:
    graph, _ = traced()
    found = fidelity.written_out(graph, {"batch": 2, "length": 16})
    assert found["aten.gelu.default", ((2, 16, 8),)] == 2
    assert not any(op.startswith("aten.detach") for op, _ in found)


def test_summary_of_fidelity_counts_and_names_what_differs() -> None:
    good = {"at": {"batch": 2}, "difference": 1e-7, "good": True}
    bad = {"at": {"batch": 2}, "difference": 0.5, "good": False}
    row = {"state": "compared", "equal": True, "equal_names": True, "values": [good, good]}
    left = {"only_graph": [["aten.mm.default", [[2]], 3]], "only_run": []}
    rows = [
        row | {"type": "fine"},
        row | {"type": "other", "equal": False, **left},
        row | {"type": "wrong", "values": [good, bad]},
        {"type": "big", "state": "too large"},
        {"type": "gone", "state": "cannot run", "error": "ValueError: no"},
    ]
    lines = fidelity.summary(rows).splitlines()
    assert "shapes equal 2 of 3" in lines[1]
    assert "traced 3 of 3, at another 2 of 3" in lines[2]
    assert [line.split()[0] for line in lines[3:]] == ["other", "wrong", "gone"]
    assert "graph {'mm.default': 3}" in lines[3]


def test_inputs_without_values_are_filled_and_others_stay() -> None:
    ids = torch.arange(6)
    given = {"ids": ids, "image": torch.empty(2, 3, device="meta", dtype=torch.bfloat16), "flag": True}
    made = fidelity.real_inputs(given)
    assert made["ids"] is ids
    assert (made["image"].device.type, made["image"].dtype) == ("cpu", torch.bfloat16)
    assert torch.equal(made["image"], fidelity.real_inputs(given)["image"])


def museum(folder: Path) -> Path:
    """A corpus of two graphs, one of them twice, and a failure."""
    graph, _ = traced()
    (folder / "graphs").mkdir()
    other = trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.zeros(2, 4))
    rows = []
    for number, (made, name) in enumerate(((graph, "a"), (graph, "a"), (other, "b"))):
        json_format.save(made, folder / f"graphs/{number}.json.gz")
        row = {"key": f"k{number}", "status": "ok", "size": "shrunk", "hash": name}
        rows.append(row | {"file": f"graphs/{number}.json.gz"})
    rows.append({"key": "f", "status": "failed", "size": "full", "error": "no"})
    (folder / "index.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def test_the_vocabulary_of_a_corpus(tmp_path: Path) -> None:
    found = vocabulary.count(museum(tmp_path))
    assert (found["graphs"], found["different"]) == (3, 2)
    functions = found["functions"]["counts"]
    assert functions["linear"] == 3  # twice in a run of two, once in the other model
    assert functions["relu"] == 1
    assert found["primitives"]["counts"]["aten.gelu.default"] == 2
    written = vocabulary.count(tmp_path, folded=True)
    assert written["functions"]["counts"]["linear"] == 2
    assert vocabulary.count(tmp_path, "full")["graphs"] == 0
    assert "cover 90 %" in vocabulary.table(found)
    bases = found["primitives by base name"]
    assert bases["nodes"] == found["primitives"]["nodes"]
    assert "aten.gelu" in bases["counts"]


def test_how_many_operations_cover_a_share() -> None:
    counts = Counter({"a": 90, "b": 9, "c": 1})
    assert [vocabulary.covered(counts, share) for share in (0.5, 0.9, 0.91, 0.99, 1.0)] == [1, 1, 2, 2, 3]
    assert vocabulary.covered(Counter(), 0.9) == 0
    assert vocabulary.base("aten.add.Tensor") == "aten.add"


def test_folding_measures_a_model() -> None:
    sizes = "num_hidden_layers=6&hidden_size=16&intermediate_size=16&num_attention_heads=2&vocab_size=20"
    row = folding.measure(f"hf:llama?{sizes}&num_key_value_heads=1")
    assert row["folded"] < row["nodes"] / 3
    assert row["json_bytes"] < 40_000
    said = folding.line({"model": "hf:llama", **row})
    assert said.startswith("| hf:llama | ")
    assert "1,627 to 73" in said
    assert "no" in folding.line({"model": "hf:x", "error": "no"})


def test_a_fork_answers_fails_or_is_stopped() -> None:
    assert in_fork(lambda: {"a": 1}, 10) == {"a": 1}
    assert in_fork(lambda: {}[0], 10)["error"].startswith("KeyError")
    assert "no answer" in in_fork(lambda: os.kill(os.getpid(), 9), 10)["error"]  # type: ignore[arg-type, return-value]
    assert "MemoryError" in in_fork(lambda: {"a": len(bytes(2**32))}, 10, 2**28)["error"]

    def burn() -> dict:
        while True:
            time.process_time()

    assert "no answer" in in_fork(burn, 1)["error"]


def row(model: str, tracer: str, *cpu: float, **more: object) -> dict:
    beside = {"seconds": list(cpu), "peak": 1000, "above": 10}
    return {"model": model, "size": "shrunk", "tracer": tracer, "cpu": list(cpu), **beside, **more}


def test_tracers_are_compared_on_the_models_that_both_can() -> None:
    rows = [
        row("m", "madstar", 1.0, 0.5),
        row("m", "madstar", 2.0, 0.7),
        row("m", "torch.export", 6.0, 3.0),
        row("n", "madstar", 1.0, 0.5),
        {"model": "n", "size": "shrunk", "tracer": "torch.export", "error": "no"},
    ]
    found = graph_peers.per_model(rows, "madstar", "shrunk")
    assert (found["m"]["first"], found["m"]["again"]) == (1.5, pytest.approx(0.6))
    lines = graph_peers.summary(rows).splitlines()
    assert "| torch.export | 1 of 2 |" in "\n".join(lines)
    ratio = next(line for line in lines if line.startswith("madstar against torch.export"))
    assert "1 models" in ratio
    assert "first call 4.0, 4.0, 4.0, again 5.0, 5.0, 5.0 times" in ratio
    assert graph_peers.quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert graph_peers.quantile([7.0], 0.9) == 7.0
