"""Buffers of models built without weights hold what they hold in models built with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from madstar.graph import build
from madstar.graph.buffers import MADE
from madstar.graph.execution import drawn_inputs
from madstar.graph.trace import trace
from madstar.zoo import load
from madstar.zoo.made_values import MadeValues, made_in
from madstar.zoo.tracing import trace_model
from madstar.zoo.values import KnownValues

SMALL = "hidden_size=32&intermediate_size=48&num_attention_heads=4&num_hidden_layers=2&vocab_size=99"
TYPES = [
    f"hf:llama?{SMALL}",
    f"hf:bert?{SMALL}",
    "hf:openai-gpt?n_embd=32&n_layer=2&n_head=4&vocab_size=99",
    "hf:ctrl?n_embd=32&n_layer=2&n_head=4&dff=48&vocab_size=99",
    f"hf:roformer?{SMALL}&embedding_size=32",
    "hf:gpt_neo?hidden_size=32&num_layers=2&num_heads=4&vocab_size=99&attention_types=[[[%22global%22,%22local%22],1]]",
]


def built(made: MadeValues, module: nn.Module) -> nn.Module:
    made.label(module)
    return module


class Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        places = torch.arange(6).float()
        steps = 1.0 / 10 ** (torch.arange(0, 4, 2) / 4)
        table = torch.zeros(6, 4)
        table[:, 0::2] = torch.sin(places[:, None] * steps)
        table[:, 1::2] = torch.cos(places[:, None] * steps)
        self.register_buffer("table", table)
        self.register_buffer("mask", torch.tril(torch.ones(5, 5, dtype=torch.bool)).view(1, 5, 5))
        self.register_buffer("first", torch.linspace(0, 1, 8).split(4)[0])
        drawn = torch.zeros(3)
        drawn.normal_()
        self.register_buffer("drawn", drawn)
        self.register_buffer("part", drawn[:2])
        mixed = torch.zeros(3)
        mixed[1:] = torch.empty(2)
        self.register_buffer("mixed", mixed)
        self.stride = torch.tensor(3) - 1
        self.levels = [torch.tensor([1.0, 2.5]), {"last": torch.full((2,), 7)}]
        self.weight = nn.Parameter(torch.ones(2))


def test_what_a_constructor_computes_is_known_and_what_it_draws_is_not() -> None:
    with torch.device("meta"), MadeValues() as made:
        bare = built(made, Tables())
    real = Tables()
    known = {name: getattr(buffer, MADE, None) for name, buffer in bare.named_buffers()}
    assert [name for name, value in known.items() if value is None] == ["drawn", "part", "mixed"]
    for name in ("table", "mask", "first"):
        torch.testing.assert_close(known[name], real.get_buffer(name), rtol=0, atol=0)
    values = {id(tensor): value for tensor, value in made_in(bare)}
    for mine, theirs in (
        (bare.stride, real.stride),
        (bare.levels[0], real.levels[0]),
        (bare.levels[1]["last"], real.levels[1]["last"]),
    ):
        torch.testing.assert_close(values[id(mine)], theirs, rtol=0, atol=0)
    assert id(bare.weight) not in values


class Strides(nn.Module):
    """Reads a number that its constructor made, and writes into another."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stride", torch.tensor(3))
        self.counted = torch.zeros(4, dtype=torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        self.counted += 1
        return x[:, :: int(self.stride)] * int(self.counted[0])


def test_a_run_reads_what_the_constructor_made_and_no_run_changes_it() -> None:
    with torch.device("meta"), MadeValues() as made:
        bare = built(made, Strides())
    for _ in range(2):
        known = KnownValues(bare)
        with known:
            assert bare(known.known(torch.zeros(2, 9))).shape == (2, 3)
            assert int(bare.counted[0]) == 1
        assert not known.guesses


def test_constants_made_on_the_meta_device_have_values_in_the_graph() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels = torch.tensor([1.0, 2.5])

        def forward(self, x: Tensor) -> Tensor:
            return x + self.levels

    with torch.device("meta"), MadeValues() as made:
        bare = built(made, Adds())
    graph = trace(bare, (torch.zeros(3, 2, device="meta"),))
    torch.testing.assert_close(build(graph)(torch.ones(3, 2)), torch.tensor([[2.0, 3.5]]).expand(3, 2))


def test_channels_that_a_transposed_convolution_cannot_take_are_refused_without_weights_too() -> None:
    module = nn.ConvTranspose1d(6, 6, 4, groups=6).to("meta")
    known = KnownValues(module)
    with known, pytest.raises(RuntimeError, match="a convolution of 6 channels"):
        module(known.known(torch.zeros(1, 5, 6)))
    with known:
        assert module(known.known(torch.zeros(1, 6, 5))).shape == (1, 6, 8)


@pytest.mark.parametrize("address", TYPES)
def test_buffers_hold_what_they_hold_with_weights(address: str) -> None:
    bare, real = load(address).module, load(address, weights=0).module
    for name, buffer in real.named_buffers():
        value = getattr(bare.get_buffer(name), MADE, None)
        assert value is not None, name
        torch.testing.assert_close(value, buffer, rtol=1e-6, atol=0)


def test_a_graph_traced_without_weights_runs_with_fresh_ones() -> None:
    graph = trace_model(load(TYPES[0])).graph
    module = build(graph, generator=torch.Generator().manual_seed(0))
    assert module(**drawn_inputs(graph)).last_hidden_state.isfinite().all()
