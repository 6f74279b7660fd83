"""Modules that hide their computation: scripted, compiled, checkpointed, in other precision, by hand."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from madstar.errors import GraphError
from madstar.graph.trace import trace

from .interpreter import check, floats, module_of, nodes


def test_a_scripted_part_is_what_it_computes():
    inner = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)))
    graph = check(module_of(lambda self, x: self.inner(x) + 1, inner=inner), floats)
    assert graph.facts["parameter_tensors_touched"] == 4
    with pytest.raises(GraphError, match="TorchScript"):
        trace(inner, floats)


def test_scripted_convolutions_have_the_names_that_people_use():
    inner = torch.jit.script(nn.Sequential(nn.Conv1d(8, 6, 3, 2), nn.ConvTranspose1d(6, 8, 3, padding=1)))
    graph = check(module_of(lambda self, x: self.inner(x.mT), inner=inner), floats)
    assert [node.op for node in nodes(graph) if "conv" in node.op] == ["conv1d", "conv_transpose1d"]


def test_a_compiled_part_is_traced_as_what_was_compiled():
    compiled = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.GELU()))
    graph = check(module_of(lambda self, x: self.inner(x) + 1, inner=compiled), floats)
    assert {node.op for node in nodes(graph)} == {"linear", "gelu", "add"}
    assert {node.op for node in nodes(check(compiled, floats))} == {"linear", "gelu"}


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_is_what_it_computes(reentrant):
    inner = nn.Sequential(nn.Linear(8, 8), nn.GELU())
    graph = check(
        module_of(lambda self, x: checkpoint(self.inner, x, use_reentrant=reentrant) + 1, inner=inner), floats
    )
    assert sorted(node.op for node in nodes(graph)) == ["add", "gelu", "linear"]


def test_a_function_with_a_gradient_of_its_own():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            return (x * weight).clamp(min=0)

        @staticmethod
        def backward(ctx, grad):
            return grad, None

    weight = nn.Parameter(torch.randn(8))
    graph = check(module_of(lambda self, x: Clipped.apply(x, self.weight) * 2, weight=weight), floats)
    assert [node.op for node in nodes(graph)] == ["mul", "clamp", "mul"]


def test_precision_that_a_region_decides_is_an_attribute():
    def mixed(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            y = self.lin(x)
            z = torch.softmax(y, -1) @ y.mT
        return z + self.lin(x).sum()

    graph = check(module_of(mixed, lin=nn.Linear(8, 8)), floats)
    said = {node.name: dict(node.attributes).get("autocast") for node in nodes(graph)}
    assert said["lin"] == "bfloat16"
    assert [dict(n.attributes).get("autocast") for n in nodes(graph) if n.op == "linear"] == [
        "bfloat16",
        None,
    ]


def test_a_mapped_function_is_what_it_computes():
    def mapped(self, x):
        def attend(row, other):
            return torch.softmax((row * 2) @ other.mT, -1).sum(-1) + self.lin(row).mean(-1)

        return torch.vmap(torch.vmap(attend), in_dims=(0, None))(x[:, None] + 1, x[:1, :4]) * 3

    graph = check(module_of(mapped, lin=nn.Linear(8, 8)), floats)
    assert graph.facts["parameter_tensors_touched"] == 2


def test_conversions_to_what_another_tensor_is():
    def convert(self, x):
        half = x.to(torch.bfloat16)
        return x.to(half), x.type_as(half), half.to(x), x.to(half.dtype).float()

    check(module_of(convert), floats)


def test_a_constant_made_of_a_size_follows_it():
    def scaled(self, x):
        return x / torch.tensor([x.shape[1], 3.0])[0]

    check(module_of(scaled), floats)
