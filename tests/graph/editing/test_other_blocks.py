"""Blocks of other forms: norms behind the sums, three sums, an MLP among other things, frozen weights."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import edit
from madstar.graph.editing.weights import transfer
from madstar.graph.execution import build
from madstar.graph.json_format import from_json, to_json
from madstar.graph.trace import trace
from madstar.graph.walk import parameters

from ..interpreter import weights_of
from . import models


class Layer(nn.Module):
    """Self-attention, a second mixer and an MLP written into the layer; norms before or behind the sums."""

    def __init__(self, behind):
        super().__init__()
        self.behind = behind
        self.attn, self.cross = models.Attention(16, 4), models.Attention(16, 4)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(16) for _ in range(3))
        self.fc1, self.fc2 = nn.Linear(16, 24), nn.Linear(24, 16)

    def mlp(self, x):
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x):
        if self.behind:
            x = self.norm1(x + self.attn(x))
            x = self.norm2(x + self.cross(x))
            return self.norm3(x + self.mlp(x))
        x = x + self.attn(self.norm1(x))
        x = x + self.cross(self.norm2(x))
        return x + self.mlp(self.norm3(x))


class Model(nn.Module):
    def __init__(self, behind):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.layers = nn.ModuleList(Layer(behind) for _ in range(2))

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


@cache
def traced(behind):
    torch.manual_seed(0)
    module = Model(behind).eval()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module, trace(module, models.tokens, name="behind" if behind else "before")


def compare(edited, weights, module):
    report = check(edited.graph)
    assert not report.errors, report.text()
    for sizes in models.SIZES:
        with torch.no_grad():
            expected = module(**models.tokens(**sizes))
        torch.testing.assert_close(
            models.computed(edited.graph, weights, sizes), expected, rtol=1e-4, atol=1e-5
        )


def test_a_block_with_norms_behind_the_sums_becomes_deeper_by_a_gate():
    module, graph = traced(True)
    edited = edit(graph, [{"rewrite": "deeper", "select": "blocks[0]", "times": 2}])
    known = parameters(edited.graph)
    gates = {path: p for path, p in known.items() if path.endswith("gate")}
    assert set(gates) == {"layers.2.gate", "layers.3.gate"}
    assert all(p.trained and p.initialisation == "zeros" for p in gates.values())
    weights = transfer(weights_of(module), edited)
    assert torch.equal(weights["layers.3.fc1.weight"], module.layers[0].fc1.weight)
    compare(edited, weights, module)
    weights["layers.2.gate"].fill_(1.0)
    layers = [module.layers[0], module.layers[0], module.layers[1]]
    module.layers = nn.ModuleList(layers)
    try:
        compare(edited, weights, module)  # an open gate: the block itself
    finally:
        module.layers = nn.ModuleList([layers[0], layers[2]])


def test_a_block_with_sums_needs_no_gate():
    module, graph = traced(False)
    edited = edit(graph, [{"rewrite": "deeper"}])
    assert not any(path.endswith("gate") for path in parameters(edited.graph))
    compare(edited, transfer(weights_of(module), edited), module)


def test_three_layers_side_by_side():
    module, graph = traced(False)
    edited = edit(graph, [{"rewrite": "parallel"}])

    def beside(layer, given, _):
        (x,) = given
        mixed = layer.attn(layer.norm1(x)) + layer.cross(layer.norm2(x))
        return x + mixed + layer.mlp(layer.norm3(x))

    hooks = [layer.register_forward_hook(beside) for layer in module.layers]
    try:
        compare(edited, transfer(weights_of(module), edited), module)
    finally:
        for hook in hooks:
            hook.remove()
    with pytest.raises(EditError, match="Layer is not so"):
        edit(traced(True)[1], [{"rewrite": "parallel"}])


@pytest.mark.parametrize("behind", [True, False])
def test_experts_of_layers_that_are_no_block(behind):
    module, graph = traced(behind)
    edited = edit(graph, [{"rewrite": "experts", "select": "blocks[1]", "experts": 2, "top_k": 1}])
    weights = transfer(weights_of(module), edited)
    own = {path for path in weights if path.startswith("layers.1.") and "fc" in path}
    assert own == {
        f"layers.1.mlp.experts.{n}.fc{i}.{kind}"
        for n in (0, 1)
        for i in (1, 2)
        for kind in ("weight", "bias")
    }
    assert "layers.1.mlp.router.weight" in weights
    compare(edited, weights, module)
    for n in (0, 1):
        weights[f"layers.1.mlp.experts.{n}.fc2.bias"][0] += 1
    with pytest.raises(AssertionError, match="not close"):
        compare(edited, weights, module)


class Looked(nn.Module):
    """An MLP whose hidden numbers are used by something else too."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, x):
        hidden = self.fc1(x).relu()
        return self.fc2(hidden) * hidden.mean(-1, keepdim=True)


def test_what_others_take_is_not_widened():
    graph = trace(Looked().eval(), lambda batch, length: (torch.zeros(batch, length, 16),), name="looked")
    with pytest.raises(EditError, match="goes to mean too"):
        edit(graph, [{"rewrite": "wider", "select": "fc2"}])


def test_frozen_weights_are_parameters_that_can_be_trained_again():
    _, graph = traced(False)
    edited = edit(
        graph, [{"edit": "freeze", "params": "blocks[0].**"}, {"rewrite": "deeper", "select": "blocks[0]"}]
    )
    whole = from_json(to_json(edited.graph))
    built = build(whole)
    tensors = dict(built.named_parameters())
    assert {path for path, tensor in tensors.items() if not tensor.requires_grad} == {
        path for path, p in parameters(whole).items() if not p.trained
    }
    copies = {path for path, p in parameters(whole).items() if path.startswith("layers.2.") and not p.trained}
    assert any("fc1" in path for path in copies)
    assert bool(tensors["layers.0.fc1.weight"].any())
    again = edited.apply([{"edit": "unfreeze", "params": "**"}])
    assert all(p.trained for p in parameters(again.graph).values())
    assert "frozen" not in again.graph.facts


def test_unfreezing_leaves_buffers():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(16, 16)
            self.register_buffer("shift", torch.ones(16))

        def forward(self, x):
            return self.proj(x) + self.shift

    graph = trace(Shifted().eval(), lambda batch, length: (torch.zeros(batch, length, 16),), name="shifted")
    frozen = edit(graph, [{"edit": "freeze", "params": "proj.weight"}])
    assert {path for path, p in parameters(frozen.graph).items() if not p.trained} == {"proj.weight", "shift"}
    again = frozen.apply([{"edit": "unfreeze", "params": "**"}])
    assert {path for path, p in parameters(again.graph).items() if not p.trained} == {"shift"}


class Stage(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(models.Layer(16, 4) for _ in range(2))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Stages(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Stage() for _ in range(2))
        self.scale = nn.Parameter(torch.tensor(0.5))  # no table, though it is added

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x + self.scale + (self.scale + x.mean())


def test_copies_within_copies_take_their_weights_of_the_first():
    module = Stages()
    graph = trace(module, lambda batch, length: (torch.zeros(batch, length, 16),), name="stages")
    edited = edit(graph, [{"rewrite": "deeper"}])
    found = transfer(weights_of(module), edited)
    assert any(path.startswith("blocks.2.blocks.2.") for path in found)
    given = torch.randn(2, 7, 16)
    with torch.no_grad():
        torch.testing.assert_close(build(edited.graph, found)(given), module(given))


def test_a_number_that_is_added_is_no_table_of_positions():
    graph = trace(Stages(), lambda batch, length: (torch.zeros(batch, length, 16),), name="stages")
    with pytest.raises(EditError, match="no table of learned positions"):
        edit(graph, [{"rewrite": "rotary"}])
