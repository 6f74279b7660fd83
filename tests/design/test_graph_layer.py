"""A graph as a layer by name, wherever layers are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from madstar.errors import LayerError
from madstar.graph.execution.as_layer import GraphLayer, why_no_layer
from madstar.graph.json_format import save
from madstar.liv import AutoEncoder, LanguageModel
from madstar.liv.layers.choice import LayerChoice
from madstar.protocol.architecture import LayerStack, from_dict, short_label

from .made_blocks import linear_block, shift_block

WIDTH = 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "block.graph.json"
    save(linear_block(WIDTH, 24), path)
    return path


def test_it_is_a_layer_of_both_backbones(file: Path) -> None:
    for kind in (LanguageModel, AutoEncoder):
        model = kind(32, 8, [f"graph:{file}", "swiglu"], dim=WIDTH)
        tokens = torch.randint(32, (2, 8))
        model(tokens).square().sum().backward()
        assert model.layers[0].layer.module.up.weight.grad.abs().sum() > 0


def test_it_computes_what_the_graph_says(tmp_path: Path) -> None:
    layer = GraphLayer(shift_block(WIDTH, 3), WIDTH, 100)
    x = torch.randn(2, 11, WIDTH)
    shifted = torch.zeros_like(x)
    shifted[:, 3:] = x[:, :-3]
    assert torch.equal(layer(x), x + shifted)


def test_weights_are_a_function_of_the_seed(file: Path) -> None:
    stack = LayerStack.of([f"graph:{file}", "swiglu"], WIDTH)

    def weights(seed: int) -> torch.Tensor:
        return stack.build("", "language-model", 32, 8, seed).state_dict()["layers.0.layer.module.up.weight"]

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_it_is_kept_as_plain_data_and_told_apart_by_its_content(file: Path) -> None:
    stack = LayerStack.of([f"graph:{file}", "swiglu"], WIDTH)
    assert from_dict(stack.to_dict()) == stack
    assert stack.label == "graph:block.graph.json swiglu"
    assert short_label(stack).startswith("block.graph.json") or "block" in short_label(stack)
    before = stack.key
    save(linear_block(WIDTH, 8), file)
    assert LayerStack.of([f"graph:{file}", "swiglu"], WIDTH).key != before


def test_a_path_is_kept_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert LayerChoice.of("graph:block.graph.json").name == f"graph:{file.resolve()}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("graph:nowhere.graph.json", "nowhere.graph.json"),
        ("graph:{folder}/broken.graph.json", "broken"),
        ("graph:{folder}/two.graph.json", "no layer"),
    ],
)
def test_what_is_no_layer_is_refused_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "broken.graph.json").write_text("{")
    block = shift_block(WIDTH, 1)
    twice = replace(block.main, outputs=("%y", "%y"))
    save(replace(block, definitions={"Block": twice}, output_names=("a", "b")), tmp_path / "two.graph.json")
    with pytest.raises(LayerError, match=said) as raised:
        LayerChoice.of(name.format(folder=tmp_path))
    assert "\n" not in str(raised.value)


def test_another_width_is_refused(file: Path) -> None:
    with pytest.raises(LayerError, match="width 16"):
        LayerStack.of([f"graph:{file}"], 32).build("", "language-model", 32, 8, 0)


@pytest.mark.parametrize("block", [shift_block(WIDTH, 2), linear_block(WIDTH, 8)])
def test_why_no_layer(block) -> None:
    assert why_no_layer(block) == ""
    whole = block.main
    for given in (
        replace(whole.inputs[0], dtype="int64"),
        replace(whole.inputs[0], shape=("batch", "length")),
        replace(whole.inputs[0], shape=("batch", 8, WIDTH)),
        replace(whole.inputs[0], shape=("batch", "length", "width")),
    ):
        assert why_no_layer(replace(block, definitions={"Block": replace(whole, inputs=(given,))}))
