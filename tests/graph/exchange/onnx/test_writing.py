"""A graph as an ONNX file, and back: names, sizes, blocks, weights and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
from torch import Tensor, nn

import madstar
from madstar.errors import GraphError
from madstar.graph import check
from madstar.graph.exchange.onnx import OnnxReport, onnx_weights, read_onnx, write_onnx, writing
from madstar.graph.exchange.onnx.capturing import capture, open_sizes
from madstar.graph.exchange.onnx.translating import translate
from madstar.graph.model import Call, Graph, Node

from .onnx_files import in_runtime, ops


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (f(x).view(batch, length, 2, width // 2).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(50, 16), nn.Embedding(64, 16)
        self.layers = nn.ModuleList(Layer(16) for _ in range(2))
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.full((16,), 0.5))

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens) + self.positions(places)
        for layer in self.layers:
            x = layer(x)
        return {"hidden": x * self.scale, "logits": self.head(x)}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture(scope="module")
def graph(model: nn.Module) -> Graph:
    def inputs(batch: int, length: int) -> dict[str, Tensor]:
        return {"tokens": torch.arange(batch * length).reshape(batch, length) % 50}

    return madstar.trace(model, inputs, name="small")


Written = tuple[OnnxReport, Path]


@pytest.fixture(scope="module")
def written(model: nn.Module, graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Written:
    path = tmp_path_factory.mktemp("written") / "model.onnx"
    return write_onnx(graph, path, weights=model), path


@pytest.fixture(scope="module")
def proto(written: Written) -> Any:
    return onnx.load(written[1])


@pytest.fixture(scope="module")
def back(written: Written) -> Graph:
    return read_onnx(written[1])


def test_the_report_says_what_was_compared(written: Written) -> None:
    report, path = written
    assert report.open == ("batch", "length")
    assert not report.fixed
    assert report.checked
    assert len(report.compared) == 2
    assert report.compared[0].sizes != report.compared[1].sizes
    assert report.difference is not None
    assert report.difference < 1e-4
    assert report.bytes == path.stat().st_size
    assert not report.external
    assert not report.fresh
    assert "batch open, length open" in report.text()
    assert report.to_dict()["opset"] == 20


def test_nothing_but_the_file_is_left(written: Written) -> None:
    assert [each.name for each in written[1].parent.iterdir()] == ["model.onnx"]


def test_names_and_sizes_are_the_graphs(proto: Any) -> None:
    (tokens,) = proto.graph.input
    assert tokens.name == "tokens"
    assert [dim.dim_param for dim in tokens.type.tensor_type.shape.dim] == ["batch", "length"]
    assert [output.name for output in proto.graph.output] == ["hidden", "logits"]
    dims = proto.graph.output[1].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", "length", 50]


def test_initializers_have_the_names_and_values_of_the_state_dict(proto: Any, model: nn.Module) -> None:
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    state = model.state_dict()
    assert set(state) - set(held) <= {"head.weight", "embed.weight"}
    assert len(set(state) - set(held)) == 1
    for name in set(state) & set(held):
        assert numpy.array_equal(held[name], state[name].numpy())


def test_blocks_are_noted_and_nothing_of_the_machine(proto: Any, written: Written) -> None:
    noted = {
        each.value for node in proto.graph.node for each in node.metadata_props if each.key == "namespace"
    }
    assert any("layers.1.attention: " in text and "Attention/layers.1.attention.q" in text for text in noted)
    assert b"site-packages" not in written[1].read_bytes()
    assert b".py" not in written[1].read_bytes()


@pytest.mark.parametrize(("batch", "length"), [(2, 16), (5, 9), (1, 1), (1, 33)])
def test_the_file_computes_what_the_model_does(
    written: Written, model: nn.Module, batch: int, length: int
) -> None:
    tokens = torch.randint(0, 50, (batch, length), generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        wanted = model(tokens)
    found = in_runtime(written[1], {"tokens": tokens.numpy()})
    for tensor, array in zip(wanted.values(), found, strict=True):
        numpy.testing.assert_allclose(array, tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_read_back_is_the_graph(back: Graph, graph: Graph) -> None:
    assert not check(back).errors
    assert (back.input_names, back.output_names) == (graph.input_names, graph.output_names)
    assert back.symbols == graph.symbols
    assert back.main.inputs[0].shape == ("batch", "length")
    assert {d.kind for d in back.definitions.values()} == {"Model", "Layer", "Attention", "Sequential"}
    found = ops(back)
    assert found.count("linear") == 7
    assert found.count("layer_norm") == 2
    assert found.count("embedding") == 2
    assert "scaled_dot_product_attention" in found
    assert "gelu" in found
    assert "matmul" not in found
    assert set(back.tied) == {("embed.weight", "head.weight")}
    (run,) = (item for item in back.main.items if isinstance(item, Call))
    assert run.paths == ("layers.0", "layers.1")
    named = {item.path for d in back.definitions.values() for item in d.items if isinstance(item, Node)}
    assert {"q", "k", "v", "out", "norm1", "norm2", "0", "1", "2", "head"} <= named


def test_what_is_read_back_computes_the_same(back: Graph, written: Written, model: nn.Module) -> None:
    built = back.build(weights=onnx_weights(written[1]))
    assert set(built.state_dict()) == set(model.state_dict())
    for batch, length in ((2, 16), (3, 5)):
        tokens = torch.randint(0, 50, (batch, length), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            mine, theirs = built(tokens), model(tokens)
        for name in ("hidden", "logits"):
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_weights_go_to_a_file_that_the_graph_names(
    written: Written, model: nn.Module, tmp_path: Path
) -> None:
    graph = read_onnx(written[1], weights_to=tmp_path / "weights.safetensors")
    assert graph.weights == ("weights.safetensors",)
    built = graph.build(beside=tmp_path)
    assert torch.equal(
        built.state_dict()["layers.1.mlp.0.weight"], model.state_dict()["layers.1.mlp.0.weight"]
    )


def test_sizes_are_found_alone_or_in_an_expression_of_one() -> None:
    stated = [("batch", "2*length+3"), ("batch*width", 7)]
    assert open_sizes(stated, [(3, 23), (12, 7)], ("batch", "length", "width")) == {"batch": 3, "length": 10}


# What goes wrong, with a graph that is quickly exported.


@pytest.fixture(scope="module")
def tiny() -> Graph:
    return madstar.trace(
        nn.Linear(4, 3), lambda batch: torch.zeros(batch, 4), name="tiny", symbols=("batch",)
    )


@pytest.fixture(scope="module")
def captured(tiny: Graph) -> Any:
    found = capture(tiny.build(), [torch.zeros(2, 4)])
    return found, translate(tiny, found, 20)


def test_fresh_weights_are_those_of_the_seed_and_large_ones_go_beside(
    tiny: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "EXTERNAL", 20)
    path = tmp_path / "tiny.onnx"
    report = write_onnx(tiny, path, seed=7)
    assert report.fresh
    assert "seed 7" in report.text()
    assert report.external == "tiny.onnx.data"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tiny.onnx", "tiny.onnx.data"]
    wanted = tiny.build(generator=torch.Generator().manual_seed(7)).state_dict()
    found = onnx_weights(path)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def _differs(*_: Any) -> Any:
    from madstar.graph.exchange.onnx.agreement import Comparison

    return Comparison({}, 0.5, False)


def _fails(*_: Any) -> Any:
    raise RuntimeError("no disk")


@pytest.mark.parametrize(("what", "fault"), [("compare", _differs), ("_save", _fails)])
def test_where_it_fails_nothing_is_written(
    what: str,
    fault: Callable[..., Any],
    tiny: Graph,
    captured: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"as before")
    monkeypatch.setattr(writing, "capture", lambda *_: captured[0])
    monkeypatch.setattr(writing, "translate", lambda *_, **__: captured[1])
    monkeypatch.setattr(writing, what, fault)
    with pytest.raises(GraphError, match="nothing was written"):
        write_onnx(tiny, path)
    assert path.read_bytes() == b"as before"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_is_said_before_anything_is_done(tiny: Graph, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="there is no folder"):
        write_onnx(tiny, tmp_path / "nowhere" / "tiny.onnx")
    with pytest.raises(GraphError, match="is a folder"):
        write_onnx(tiny, tmp_path)
    with pytest.raises(GraphError, match="opset 3"):
        write_onnx(tiny, tmp_path / "tiny.onnx", opset=3)
    only = tiny.main.items[0]
    assert isinstance(only, Node)
    unknown = replace(tiny.main, items=(replace(only, op="opaque:no_such_thing"),))
    with pytest.raises(GraphError, match="no function"):
        write_onnx(replace(tiny, definitions={tiny.root: unknown}), tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tiny: Graph, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(GraphError, match=r"pip install 'madstar\[onnx\]'"):
        write_onnx(tiny, tmp_path / "tiny.onnx")
