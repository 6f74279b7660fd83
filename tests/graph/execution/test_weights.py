"""Where weights come from: state dicts, modules, files, and fresh ones."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from madstar.errors import GraphError
from madstar.graph.execution import build
from madstar.graph.json_format import from_json, load, save, to_json
from madstar.graph.trace import trace
from madstar.graph.weights import attach


class Model(nn.Module):
    """Has tied weights, a frozen one, a buffer that is saved and one that is not."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.norm = nn.LayerNorm(8)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.full((8,), 2.0), requires_grad=False)
        self.register_buffer("offset", torch.arange(8.0))
        self.register_buffer("angles", torch.arange(8.0) / 8, persistent=False)

    def forward(self, ids):
        x = self.norm(self.body(self.embed(ids)) * self.scale + self.offset + self.angles.cos())
        return self.head(x)


def make(batch, length):
    return {"ids": torch.arange(batch * length).reshape(batch, length) % 20}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture(scope="module")
def graph(model):
    return trace(model, make)


def same(built, model):
    torch.testing.assert_close(built(**make(3, 5)), model(**make(3, 5)))


def test_of_a_module(graph, model):
    built = build(graph, model)
    same(built, model)
    assert list(built.state_dict().keys() ^ model.state_dict().keys()) == []
    assert [n for n, p in built.named_parameters() if not p.requires_grad] == ["scale"]
    built.body.weight.data.zero_()
    assert model.body.weight.abs().sum() > 0, "the values are copies"


def test_of_a_state_dict(graph, model):
    """It lacks what the model does not save; the graph has recorded that, where it had values."""
    built = build(from_json(to_json(graph)), model.state_dict())
    same(built, model)
    assert set(built.state_dict()) == set(model.state_dict())
    with torch.device("meta"):
        bare = trace(Model().eval(), lambda batch, length: {"ids": make(batch, length)["ids"].to("meta")})
    assert bare.facts["buffers"] == {"angles": {"saved": False}}
    with pytest.raises(GraphError, match=r"the weights lack angles; .*give the module"):
        build(bare, model.state_dict())
    same(build(bare, {**model.state_dict(), "angles": model.angles}), model)


def test_with_a_prefix_and_under_the_other_name(graph, model):
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state["model.angles"] = model.angles
    del state["model.embed.weight"]
    same(build(graph, state), model)


def test_of_files(graph, model, tmp_path):
    state = {name: value.contiguous() for name, value in model.state_dict().items() if name != "head.weight"}
    state["angles"] = model.angles
    first = {name: state.pop(name) for name in list(state)[:3]}
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for part, file in zip((first, state), files, strict=True):
        save_file(part, file)
    same(build(graph, files), model)
    save(attach(graph, files, tmp_path), tmp_path / "model.graph.json")
    same(build(load(tmp_path / "model.graph.json"), beside=tmp_path), model)


def test_bad_weights(graph, model, tmp_path):
    state = dict(model.state_dict(), angles=model.angles)
    wrong = dict(state, **{"body.weight": torch.zeros(8, 9)})
    with pytest.raises(GraphError, match=r"body\.weight: expected \[8, 8\], found \[8, 9\]"):
        build(graph, wrong)
    with pytest.raises(GraphError, match=r"lack body\.bias"):
        build(graph, {name: value for name, value in state.items() if name != "body.bias"})
    with pytest.raises(GraphError, match="there is no such file"):
        build(graph, tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(GraphError, match="no safetensors file"):
        build(graph, tmp_path / "text.safetensors")
    with pytest.raises(GraphError, match="names no files"):
        build(graph, beside=tmp_path)
    with pytest.raises(GraphError, match="give one of them"):
        build(graph, model, torch.Generator())
    with pytest.raises(GraphError, match="no values"), torch.device("meta"):
        build(graph, Model())


def test_fresh_ones():
    net = nn.Sequential(
        nn.Embedding(500, 64), nn.Linear(64, 256), nn.LayerNorm(256), nn.Linear(256, 4)
    ).eval()
    graph = trace(net, lambda batch, length: (torch.zeros(batch, length, dtype=torch.int64),))
    a, b = (build(graph, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = build(graph, generator=torch.Generator().manual_seed(4))
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name])
    assert not torch.equal(a.state_dict()["1.weight"], other.state_dict()["1.weight"])
    state = a.state_dict()
    assert abs(float(state["0.weight"].std()) - 1) < 0.02
    for name, width in (("1.weight", 64), ("1.bias", 64), ("3.weight", 256)):
        bound = 1 / math.sqrt(width)
        assert state[name].abs().max() <= bound
        assert state[name].abs().max() > 0.9 * bound
    assert torch.equal(state["2.weight"], torch.ones(256))
    assert torch.equal(state["2.bias"], torch.zeros(256))
    before = torch.random.get_rng_state()
    build(graph)
    assert torch.equal(before, torch.random.get_rng_state()), "no global randomness"


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ("zeros", 0, 0),
        ("ones", 1, 1),
        ("constant(3)", 3, 3),
        ("uniform(2, 3)", 2, 3),
        ("normal(9, 0.1)", 8, 10),
    ],
)
def test_what_an_initialisation_says(said, low, high):
    net = nn.Linear(8, 8).eval()
    graph = trace(net, (torch.zeros(2, 8),))
    block = graph.main
    parameters = tuple(replace(p, initialisation=said) for p in block.parameters)
    graph = replace(graph, definitions={graph.root: replace(block, parameters=parameters)})
    weight = build(graph).state_dict()["weight"]
    assert low <= weight.min() <= weight.max() <= high
    assert said.startswith(("uniform", "normal")) == (weight.std() > 0)


def test_a_buffer_that_nothing_is_known_of(graph):
    with pytest.raises(GraphError, match=r"buffers .*offset.* hold; give weights"):
        build(graph)
