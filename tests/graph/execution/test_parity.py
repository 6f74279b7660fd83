"""A built module computes, and learns, as the module that was traced."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.graph.execution import build
from madstar.graph.model import Node
from madstar.graph.trace import trace
from madstar.liv.layers.choice import LayerChoice

from ..interpreter import module_of
from .parity import agree, check


def floats(batch, length):
    torch.manual_seed(7)
    return (torch.randn(batch, length, 8),)


def test_mlp():
    _, built = check(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)), floats)
    assert type(built).__name__ == "Sequential"
    assert list(dict(built.named_children())) == ["0", "1", "2"]


def test_attention_of_torch():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            return self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]

    check(Attends(), floats)


def test_convolutions_and_batch_norm():
    parts = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1)]
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].running_mean.uniform_(-1, 1)
    _, built = check(
        net,
        lambda batch, length: (
            torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch)),
        ),
        ({"batch": 2, "length": 1}, {"batch": 5, "length": 1}),
    )
    assert set(dict(built.named_buffers())) == set(dict(net.named_buffers()))


def test_batch_norm_trains():
    """In training it takes the statistics of the batch, and keeps a running mean of them."""
    net = nn.Sequential(nn.Conv1d(8, 8, 1), nn.BatchNorm1d(8))
    graph = trace(net.eval(), lambda batch, length: (torch.randn(batch, 8, length),))
    built = build(graph, net)
    net.train(), built.train()
    x = torch.randn(3, 8, 5)
    torch.testing.assert_close(built(x), net(x))
    torch.testing.assert_close(built.state_dict()["1.running_mean"], net.state_dict()["1.running_mean"])
    built.eval()
    assert not torch.allclose(built(x), net(x))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent(kind):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = kind(8, 8, num_layers=2, batch_first=True, bidirectional=True)

        def forward(self, x):
            return self.cell(x)[0]

    check(Whole(), floats)


def test_weights_that_are_a_length_and_a_direction():
    net = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(8, 6)),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 8), dim=1),
    )
    graph, _ = check(net, floats)
    found = [n.op for block in graph.definitions.values() for n in block.items if isinstance(n, Node)]
    assert found.count("weight_norm") == 2


def test_writes_subscripts_and_lists():
    def function(self, x):
        made = torch.zeros_like(x)
        made[:, ::2] = x[:, ::2] * 2
        made[..., 0] = 1.0
        a, b = self.lin(made).chunk(2, -1)
        places = torch.arange(x.shape[1])
        picked = torch.stack([a, b], 2)[:, places.flip(0), 1]
        return {"whole": torch.cat([a, b, picked], -1), "parts": [1 / (a.exp() + 1), 2**b, 1 - a]}

    _, built = check(module_of(function, lin=nn.Linear(8, 8)), floats, again=False)
    result = built(*floats(2, 5))
    assert result.whole is result["whole"]
    assert len(result.parts) == 3


def test_a_module_called_twice_and_weights_used_outside():
    def function(self, x):
        y = self.block(self.block(x))
        return F.linear(y, self.block[0].weight)

    check(module_of(function, block=nn.Sequential(nn.Linear(8, 8), nn.ReLU())), floats)


def test_embedding_tied_to_the_head():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(self.embed(ids))

    make = lambda batch, length: {"ids": torch.arange(batch * length).reshape(batch, length) % 20}  # noqa: E731
    _, built = check(Tied(), make)
    assert built.embed.weight is built.head.weight
    assert len(list(built.parameters())) == 1
    twin = copy.deepcopy(built)
    assert twin.embed.weight is twin.head.weight
    with torch.no_grad():
        twin.embed.weight.zero_()
    inputs = make(2, 3)
    assert twin(**inputs).abs().sum() == 0
    assert built(**inputs).abs().sum() > 0


def test_what_draws_draws_the_same():
    check(module_of(lambda self, x: self.lin(x) + torch.randn_like(x), lin=nn.Linear(8, 8)), floats)


def test_hooks_see_blocks_and_operations():
    net = nn.Sequential(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), nn.Linear(4, 8)).eval()
    built = build(trace(net, floats), net)
    seen = {}
    for name in ("0", "0.1", "1"):
        built.get_submodule(name).register_forward_hook(
            lambda m, args, out, name=name: seen.__setitem__(name, (args[0], out))
        )
    (x,) = floats(2, 3)
    y = built(x)
    assert set(seen) == {"0", "0.1", "1"}
    assert seen["1"][1] is y
    torch.testing.assert_close(seen["0"][1], net[0](x))


def test_it_trains():
    """Steps of an optimiser lead both modules to the same place."""
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)).eval()
    built = build(trace(net, floats), net)
    for module in (net, built):
        optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
        for step in range(5):
            x = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(step))
            optimiser.zero_grad()
            (module(x) - x).square().mean().backward()
            optimiser.step()
    agree(built, net, floats(2, 4), 1e-4)


def test_other_dtypes_and_devices():
    net = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8)).eval()
    graph = trace(net, floats)
    (x,) = floats(2, 4)
    lowered = build(graph, net, dtype=torch.bfloat16)
    torch.testing.assert_close(lowered(x.bfloat16()), copy.deepcopy(net).bfloat16()(x.bfloat16()))
    wide = build(graph, net).double()
    torch.testing.assert_close(wide(x.double()), copy.deepcopy(net).double()(x.double()))
    bare = build(graph, device="meta")
    assert bare(x.to("meta")).shape == x.shape
    assert all(p.device.type == "meta" for p in bare.parameters())


LAYERS = ("mh-attention", "hyena", "mamba", "gated-linear-attention", "rwkv6-time-mixer", "moe-mlp")


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_ours(name):
    torch.manual_seed(0)
    layer = LayerChoice.of(name).build(32, 64)
    size = {"batch": 2, "length": 16}
    make = lambda batch, length: (torch.randn(batch, length, 32),)  # noqa: E731
    graph = trace(layer.eval(), make)
    open_ = not graph.facts.get("unrolled_over")
    built = build(graph, layer)
    for at in (size, {"batch": 3, "length": 24} if open_ else {"batch": 3, "length": 16}):
        agree(built, layer, make(**at), 1e-4)


def test_tensors_made_of_numbers_and_of_tensors():
    def function(self, x):
        length = torch.tensor([x.shape[1], 2])
        both = torch.tensor([1.0, x.detach().sum(), 3.0])
        return x * both.mean() + length.sum() + torch.zeros(x.shape[0], length[1], 8).sum()

    check(module_of(function), floats, again=False)
