"""What is said of paths from the future, against what modules do when a later input changes.

A model that is called causal must not change before the place where its input changed; one that is called
not causal must. Undecided is allowed where it is listed.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from madstar.graph.causality import CAUSAL, LEAKS, UNDECIDED, causality, route
from madstar.graph.checking import check
from madstar.graph.inference import Inference
from madstar.graph.model import Graph
from madstar.graph.trace import trace

WIDTH = 8


class Plain(nn.Module):
    """A function of (batch, length, width), with some weights at hand."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.function = function
        torch.manual_seed(0)
        self.a, self.b, self.c = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=2)
        self.centred = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.both = nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.kernel = nn.Parameter(torch.randn(64, WIDTH))
        self.register_buffer("below", torch.ones(64, 64).tril())
        self.register_buffer("above", torch.ones(64, 64, dtype=torch.bool).triu())
        self.register_buffer("noise", torch.randn(64, 64))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def graph_of(module: nn.Module) -> Graph:
    return trace(module, lambda batch, length: (torch.zeros(batch, length, WIDTH),))


def said(graph: Graph) -> str:
    return causality(graph, Inference().graph(graph)).verdict


def looks_ahead(module: nn.Module, length: int = 16) -> bool:
    """Whether any place of the output changes with a later place of the input."""
    torch.manual_seed(1)
    x = torch.randn(2, length, WIDTH)
    with torch.no_grad():
        before = module.eval()(x)
        for at in range(1, length):
            changed = x.clone()
            changed[:, at] += torch.randn(WIDTH)
            if not torch.allclose(module(changed)[:, :at], before[:, :at], atol=1e-5):
                return True
    return False


def ones(x: Tensor) -> Tensor:
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)


def scores(m: Any, x: Tensor) -> Tensor:
    return m.a(x) @ m.b(x).mT


def places(x: Tensor) -> Tensor:
    return torch.arange(x.shape[1], device=x.device)


def heads(x: Tensor) -> Tensor:
    return x.view(x.shape[0], x.shape[1], 2, -1).transpose(1, 2)


def written_out(m: Any, x: Tensor) -> Tensor:
    bias = torch.full((x.shape[1], x.shape[1]), float("-inf"), device=x.device).triu(1)
    mixed = (heads(m.a(x)) @ heads(m.b(x)).mT + bias).softmax(-1) @ heads(m.c(x))
    return mixed.transpose(1, 2).reshape(x.shape)


def compared(m: Any, x: Tensor) -> Tensor:
    mask = places(x)[None, :] <= places(x)[:, None]
    return F.scaled_dot_product_attention(m.a(x), m.b(x), m.c(x), attn_mask=mask)


def window(m: Any, x: Tensor) -> Tensor:
    t = places(x)
    mask = (t[None, :] <= t[:, None]) & (t[None, :] > t[:, None] - 4)
    return scores(m, x).masked_fill(~mask, float("-inf")).softmax(-1) @ x


def loop(m: Any, x: Tensor) -> Tensor:
    state, out = torch.zeros_like(x[:, 0]), []
    for i in range(x.shape[1]):
        state = torch.tanh(m.a(state) + x[:, i])
        out.append(state)
    return torch.stack(out, 1)


def chunked(m: Any, x: Tensor) -> Tensor:
    batch, length, width = x.shape
    parts = m.a(x).reshape(batch, length // 4, 4, width)
    totals = F.pad(parts.sum(2).cumsum(1)[:, :-1], (0, 0, 1, 0))
    return (parts.cumsum(2) + totals[:, :, None]).flatten(1, 2)


def hidden(m: Any, x: Tensor) -> Tensor:
    n = x.shape[1]
    seen = m.below[:n, :n]
    return (scores(m, x) * seen + -1e4 * (1 - seen)).softmax(-1) @ x


def spectral(m: Any, x: Tensor) -> Tensor:
    n = 2 * x.shape[1]
    wave, taps = torch.fft.rfft(x, n=n, dim=1), torch.fft.rfft(m.kernel[: x.shape[1]], n=n, dim=0)
    return torch.fft.irfft(wave * taps, n=n, dim=1)[:, : x.shape[1]]


KEEPS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "each place alone": lambda m, x: m.a(F.layer_norm(x, (WIDTH,))).relu() * x,
    "flattened and back": lambda m, x: m.a(x.reshape(-1, WIDTH)).view(x.shape),
    "attention": lambda m, x: F.scaled_dot_product_attention(m.a(x), m.b(x), m.c(x), is_causal=True),
    "attention, mask compared": compared,
    "attention written out": written_out,
    "attention in a window": window,
    "scores of a triangle": lambda m, x: scores(m, x).tril() @ m.c(x),
    "scores times a mask": lambda m, x: (scores(m, x) * ones(x).tril().float()) @ m.c(x),
    "where": lambda m, x: torch.where(ones(x).tril(), scores(m, x), -1e9).softmax(-1) @ x,
    "einsum": lambda m, x: torch.einsum("bqk,bkd->bqd", scores(m, x).tril(), x),
    "running sum": lambda m, x: m.a(x).cumsum(1) / (places(x)[:, None] + 1),
    "convolution, cut": lambda m, x: m.conv(x.mT)[..., : x.shape[1]].mT,
    "convolution, padded": lambda m, x: F.conv1d(F.pad(x.mT, (2, 0)), m.conv.weight).mT,
    "one place back": lambda m, x: F.pad(x, (0, 0, 1, 0))[:, :-1] + x,
    "joined behind zeros": lambda m, x: torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1),
    "halves turned": lambda m, x: torch.cat([-x[..., 4:], x[..., :4]], -1),
    "twice backwards": lambda m, x: m.a(x.flip(1)).flip(1),
    "recurrent layer": lambda m, x: m.lstm(x)[0],
    "recurrence, a loop": loop,
    "sums by chunks": chunked,
    "convolution by spectra": spectral,
    "mask in a buffer": hidden,
    "mask in a buffer, filled": lambda m, x: (
        scores(m, x).masked_fill(~m.below[: x.shape[1], : x.shape[1]].bool(), -1e9).softmax(-1) @ x
    ),
    "positions added": lambda m, x: x + F.embedding(places(x), m.kernel),
}
BREAKS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "attention to all": lambda m, x: F.scaled_dot_product_attention(m.a(x), m.b(x), m.c(x)),
    "softmax over all": lambda m, x: scores(m, x).softmax(-1) @ x,
    "softmax before the mask": lambda m, x: scores(m, x).softmax(-1).tril() @ x,
    "a triangle too wide": lambda m, x: scores(m, x).tril(1) @ x,
    "the other triangle": lambda m, x: scores(m, x).triu() @ x,
    "mask the wrong way round": lambda m, x: F.scaled_dot_product_attention(
        m.a(x), m.b(x), m.c(x), attn_mask=places(x)[None, :] >= places(x)[:, None]
    ),
    "mask in a buffer, the other triangle": lambda m, x: (
        scores(m, x) * m.above[: x.shape[1], : x.shape[1]].float()
    ) @ x,
    "mean over all": lambda m, x: x - x.mean(1, keepdim=True),
    "norm over all": lambda m, x: F.instance_norm(x.mT).mT,
    "convolution, centred": lambda m, x: m.centred(x.mT).mT,
    "one place ahead": lambda m, x: F.pad(x, (0, 0, 0, 1))[:, 1:],
    "backwards": lambda m, x: x.flip(1),
    "sum from behind": lambda m, x: x.flip(1).cumsum(1).flip(1),
    "moved round": lambda m, x: x.roll(1, 1),
    "both directions": lambda m, x: m.both(x)[0],
    "a sum over all": lambda m, x: x * x.sum(1, keepdim=True),
}  # fmt: skip
# Where the analysis cannot tell; what it says must never be the contrary of what is so.
HARD: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "one place for all": lambda m, x: x + x[:, 3:4],
    "a factor that cancels": lambda m, x: (x.cumsum(1) - x.cumsum(1)[:, 3:4]) + x.cumsum(1)[:, 3:4],
    "ordered and put back": lambda m, x: x.sort(1)[0].gather(1, x.argsort(1).argsort(1)),
    "a convolution that goes round": lambda m, x: torch.fft.irfft(
        torch.fft.rfft(x, dim=1) * torch.fft.rfft(m.kernel[: x.shape[1]], dim=0), n=x.shape[1], dim=1
    ),
    "a mask in a buffer of any numbers": lambda m, x: (
        (scores(m, x) * m.noise[: x.shape[1], : x.shape[1]]) @ x
    ),
    "a mask by arithmetic": lambda m, x: F.scaled_dot_product_attention(
        x, x, x, attn_mask=(places(x)[None, :] - places(x)[:, None]).clamp(min=0) == 0
    ),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_is_causal(name: str) -> None:
    module = Plain(KEEPS[name])
    assert not looks_ahead(module)
    assert said(graph_of(module)) == CAUSAL


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_not(name: str) -> None:
    module = Plain(BREAKS[name])
    assert looks_ahead(module)
    assert said(graph_of(module)) == LEAKS


@pytest.mark.parametrize("name", HARD)
def test_what_cannot_be_told(name: str) -> None:
    assert said(graph_of(Plain(HARD[name]))) == UNDECIDED


class Stack(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor], layers: int):
        super().__init__()
        self.layers = nn.ModuleList(Plain(function) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


def test_a_buffer_is_known_only_where_all_that_share_a_block_agree() -> None:
    stack = Stack(KEEPS["mask in a buffer"], 2)
    assert said(graph_of(stack)) == CAUSAL
    stack.layers[1].below.fill_(1)
    assert looks_ahead(stack)
    assert said(graph_of(stack)) == UNDECIDED


def test_many_layers() -> None:
    with torch.device("meta"):
        assert said(graph_of(Stack(KEEPS["attention"], 12))) == CAUSAL
        assert said(graph_of(Stack(BREAKS["convolution, centred"], 12))) != CAUSAL


def test_the_finding_names_the_node_and_the_way() -> None:
    module = nn.Sequential(
        nn.Linear(WIDTH, WIDTH), Plain(BREAKS["softmax over all"]), nn.Linear(WIDTH, WIDTH)
    )
    graph = graph_of(module)
    report = check(graph, causal=True)
    (found,) = [f for f in report.findings if f.kind == "causality"]
    assert found.severity == "error"
    assert found.path in ("1:softmax", "1:matmul_1")
    assert "length-1" in found.found
    assert route(graph, "1:softmax") == ("0", "1.a", "1:matmul", "1:softmax", "1:matmul_1", "2")
    assert not check(graph, causal=False).errors


def test_a_size_that_holds_for_one_length_only_is_said() -> None:
    graph = graph_of(Plain(KEEPS["sums by chunks"]))
    report = check(graph, causal=True)
    assert not report.errors


def test_a_model_without_a_sequence_is_undecided() -> None:
    graph = trace(nn.Linear(WIDTH, WIDTH), (torch.zeros(2, WIDTH),))
    report = check(graph, causal=True)
    assert report.errors == 0
    assert "undecided" in report.findings[0].line
