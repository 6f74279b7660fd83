"""`madstar graph run`: what is shown of a graph on an example, and what is refused."""

from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from madstar.cli import graph_run  # noqa: F401  it registers itself
from madstar.graph.json_format import save
from madstar.graph.trace import trace
from madstar.graph.weights import attach

from .commands import invoke, refusal, strict_json


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.body, self.norm = nn.Embedding(20, 8), nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, ids):
        return {"hidden": self.norm(self.body(self.embed(ids)).exp())}


def make(batch, length):
    return {"ids": torch.zeros(batch, length, dtype=torch.int64)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A graph, one with weights of its own, and the weights."""
    place = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    module = Small().eval()
    graph = trace(module, make, name="small")
    save(graph, place / "small.graph.json")
    save_file(module.state_dict(), place / "small.safetensors")
    save(attach(graph, [place / "small.safetensors"], place), place / "own.graph.json")
    with torch.no_grad():
        module.body.bias[3] = 1000.0
    save_file(module.state_dict(), place / "spoilt.safetensors")
    return place


def run(folder: Path, *more: object, name: str = "small.graph.json") -> dict:
    result = invoke("graph", "run", folder / name, "--json", *more)
    assert result.status == 0, result
    return strict_json(result.stdout)


def test_values_of_every_node(folder):
    result = invoke(
        "graph", "run", folder / "small.graph.json", "--show", "values", "--size", "batch=3,length=5"
    )
    assert result.status == 0
    head, _, columns, *rows = result.stdout.splitlines()
    assert head == "small at batch = 3, length = 5; fresh weights, seed 0"
    assert columns.split() == ["place", "value", "mean", "std", "min", "max"]
    assert [row.split()[0] for row in rows[:6]] == ["ids", "embed", "body", "exp", "norm", "hidden"]
    assert rows[0].split()[1] == "i64[3,5]"
    assert rows[1].split()[1] == "f32[3,5,8]"
    assert rows[-1] == "all values are finite, or infinite where a node says so"
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_one_document(folder):
    document = run(folder, "--show", "values")
    assert document["sizes"] == {"batch": 2, "length": 16}
    assert [row["place"] for row in document["values"]] == ["ids", "embed", "body", "exp", "norm"]
    assert document["outputs"][0]["shape"] == [2, 16, 8]
    assert document["faults"] == []
    assert run(folder)["values"] == []
    assert [row["op"] for row in run(folder, "--select", "*o*")["values"]] == ["linear", "layer_norm"]


def test_a_seed_decides(folder):
    one, again, other = (run(folder, "--seed", seed)["outputs"] for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_given_inputs_and_weights(folder, tmp_path):
    ids = torch.arange(12).reshape(3, 4)
    numpy.save(tmp_path / "ids.npy", ids.numpy())
    save_file({"ids": ids, "more": torch.zeros(2)}, tmp_path / "ids.safetensors")
    torch.manual_seed(0)
    expected = Small()(ids)["hidden"]
    by_file = [
        run(folder, "--input", f"ids={tmp_path / f'ids.{end}'}", name="own.graph.json")
        for end in ("npy", "safetensors")
    ]
    assert by_file[0] == by_file[1]
    assert by_file[0]["sizes"] == {"batch": 3, "length": 4}
    assert by_file[0]["outputs"][0]["most"] == pytest.approx(float(expected.detach().max()), rel=1e-5)
    given = run(folder, "--input", f"ids={tmp_path / 'ids.npy'}", "--weights", folder / "small.safetensors")
    assert given["outputs"] == by_file[0]["outputs"]


def test_where_infinity_begins(folder):
    options = ("--weights", folder / "spoilt.safetensors", "--show", "faults")
    result = invoke("graph", "run", folder / "small.graph.json", *options)
    assert result.status == 0
    assert "exp" in result.stdout
    assert "inf from here" in result.stdout
    assert result.stdout.splitlines()[-1] == "infinity begins in exp (exp): 32 elements"
    (fault,) = run(folder, *options)["faults"]
    assert (fault["place"], fault["begins"], fault["inf"]) == ("exp", "inf", 32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", "batch"), "--size 'batch': write SYMBOL=NUMBER"),
        (("--size", "lenth=3"), "no size 'lenth'"),
        (("--size", "length=0"), "length is 0: give 1 or more"),
        (("--show", "all"), "--show all: give outputs, values or faults"),
        (("--select", "*.q_proj"), "nothing that was computed has a place like '*.q_proj'"),
        (("--input", "tokens=x.npy"), "has no input 'tokens'"),
        (("--input", "ids=none.npy"), "none.npy is no file"),
        (("--weights", "none.safetensors"), "there is no such file"),
    ],
)
def test_refusals(folder, options, said):
    assert said in refusal(invoke("graph", "run", folder / "small.graph.json", *options))


def test_bad_files(folder, tmp_path):
    graph = folder / "small.graph.json"
    (tmp_path / "ids.npy").write_text("nothing")
    assert "cannot be read" in refusal(
        invoke("graph", "run", graph, "--input", f"ids={tmp_path / 'ids.npy'}")
    )
    numpy.save(tmp_path / "object.npy", numpy.array([object()]), allow_pickle=True)
    assert "cannot be read" in refusal(
        invoke("graph", "run", graph, "--input", f"ids={tmp_path / 'object.npy'}")
    )
    numpy.save(tmp_path / "float.npy", numpy.zeros((2, 3), dtype=numpy.float32))
    said = refusal(invoke("graph", "run", graph, "--input", f"ids={tmp_path / 'float.npy'}"))
    assert said == "input 'ids': expected int64, found float32; convert it with .to()"
    numpy.save(tmp_path / "large.npy", numpy.full((2, 3), 25))
    assert "embed: embedding: IndexError" in refusal(
        invoke("graph", "run", graph, "--input", f"ids={tmp_path / 'large.npy'}")
    )
    (tmp_path / "ids.txt").write_text("1 2 3")
    assert "give a .npy or .safetensors" in refusal(
        invoke("graph", "run", graph, "--input", f"ids={tmp_path / 'ids.txt'}")
    )
