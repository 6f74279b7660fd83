"""The attention family against its papers' formulas, written as loops over tokens."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from madstar.errors import LayerError
from madstar.liv.layers.attention import SelfAttention, attention_flops, causal_attention
from madstar.liv.layers.contract import SequenceLayer
from madstar.liv.layers.differential_attention import DifferentialAttention
from madstar.liv.layers.latent_attention import LatentAttention
from madstar.liv.layers.linear_attention import LinearAttention

from .forms import (
    built,
    check_autocast,
    check_causal,
    check_forms,
    check_gradients,
    check_state,
    counted_flops,
    reach,
    sequences,
)

WIDTH, MAX_LENGTH = 32, 80
CLOSE = {"rtol": 1e-9, "atol": 1e-9}

MAKES: dict[str, tuple[type[SequenceLayer], dict]] = {
    "attention": (SelfAttention, {"heads": 1}),
    "multi-head attention": (SelfAttention, {"heads": 4}),
    "attention without bias, another base": (
        SelfAttention,
        {"heads": 2, "bias": False, "rotary_base": 100.0},
    ),
    "sliding attention, masked": (SelfAttention, {"heads": 1, "window": 20}),
    "sliding attention, in blocks": (SelfAttention, {"heads": 4, "window": 8}),
    "sliding attention, tiny window": (SelfAttention, {"heads": 4, "window": 1}),
    "multi-query attention": (SelfAttention, {"heads": 8, "kv_heads": 1}),
    "grouped-query sliding attention": (SelfAttention, {"heads": 8, "kv_heads": 2, "window": 9}),
    "linear attention": (LinearAttention, {"heads": 1}),
    "multi-head linear attention": (LinearAttention, {"heads": 4}),
    "linear attention, elu": (LinearAttention, {"heads": 4, "feature_map": "elu"}),
    "differential attention": (DifferentialAttention, {"heads": 4}),
    "differential attention, deep": (DifferentialAttention, {"heads": 1, "depth": 9}),
    "latent attention": (LatentAttention, {"heads": 4, "kv_rank": 6}),
    "latent attention, compressed queries": (
        LatentAttention,
        {"heads": 2, "kv_rank": 5, "query_rank": 7, "rotary_dim": 6},
    ),
}
every_make = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
# Of MAD's map the divisor may come close to zero: float32 cannot decide between forms there.
EXACT_ONLY = ("linear attention", "multi-head linear attention")
INEXACT = {name: make for name, make in MAKES.items() if name not in EXACT_ONLY}
every_inexact_make = pytest.mark.parametrize("make", INEXACT.values(), ids=INEXACT)


def layer_of(make: tuple[type[SequenceLayer], dict], seed: int = 0, **others) -> SequenceLayer:
    kind, chosen = make
    return built(kind, WIDTH, MAX_LENGTH, seed=seed, **{**chosen, **others})


# The checks that hold for every layer -----------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 37, 65, 80])
@every_make
def test_forms_agree(make: tuple[type[SequenceLayer], dict], length: int) -> None:
    check_forms(layer_of(make).double(), WIDTH, length, tolerance=CLOSE)


@every_inexact_make
def test_forms_agree_in_single_precision(make: tuple[type[SequenceLayer], dict]) -> None:
    check_forms(layer_of(make), WIDTH, 67)


@pytest.mark.parametrize("length", [1, 70])
@every_make
def test_states_hold_what_is_stated(make: tuple[type[SequenceLayer], dict], length: int) -> None:
    check_state(layer_of(make), WIDTH, length)


@pytest.mark.parametrize("length", [1, 75])
@every_make
def test_nothing_comes_from_the_future(make: tuple[type[SequenceLayer], dict], length: int) -> None:
    check_causal(layer_of(make), WIDTH, length)


@every_make
def test_gradients_are_those_of_the_step_form(make: tuple[type[SequenceLayer], dict]) -> None:
    check_gradients(layer_of(make), WIDTH, 67)


@every_inexact_make
def test_autocast_trains(make: tuple[type[SequenceLayer], dict]) -> None:
    check_autocast(layer_of(make), WIDTH, 50)


@pytest.mark.parametrize("name", EXACT_ONLY)
def test_autocast_of_linear_attention_is_finite(name: str) -> None:
    layer = layer_of(MAKES[name])
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(sequences(WIDTH, 50))
    y.float().square().mean().backward()
    assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("length", [1, 37, 64, 75])
@every_make
def test_stated_operations_are_those_that_run(make: tuple[type[SequenceLayer], dict], length: int) -> None:
    layer = layer_of(make)
    assert layer.flops(length) == counted_flops(layer, WIDTH, length)


@every_make
def test_weights_come_from_the_global_generator(make: tuple[type[SequenceLayer], dict]) -> None:
    one, again, other = layer_of(make, 1), layer_of(make, 1), layer_of(make, 2)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert any(not torch.equal(w, other.state_dict()[name]) for name, w in one.state_dict().items())


# The papers' formulas ---------------------------------------------------------------------------


def turned(vector: Tensor, position: int, base: float = 10000.0) -> Tensor:
    """Rotary embedding of one vector, as products of complex numbers."""
    half = len(vector) // 2
    angles = [position * base ** (-pair / half) for pair in range(half)]
    turn = torch.tensor([complex(math.cos(a), math.sin(a)) for a in angles])
    # The layers compute angles in float32.
    pairs = torch.complex(vector[:half], vector[half:]) * turn
    return torch.cat([pairs.real, pairs.imag])


def softmax_sum(scores: list[Tensor], values: list[Tensor]) -> Tensor:
    weights = [score.exp() for score in scores]
    return sum((w * v for w, v in zip(weights, values, strict=True)), torch.zeros(1)) / sum(weights)


def part(linear: nn.Linear, token: Tensor, heads: int, head: int) -> Tensor:
    """One head of a projection of one token."""
    size = linear.out_features // heads
    rows = slice(head * size, (head + 1) * size)
    y = linear.weight[rows] @ token
    return y if linear.bias is None else y + linear.bias[rows]


def reference_attention(layer: SelfAttention, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            mixed = []
            for h in range(layer.heads):
                shared = h * layer.kv_heads // layer.heads
                query = turned(part(layer.query, x[b, t], layer.heads, h), t, layer.rotary_base)
                first = 0 if layer.window is None else max(0, t - layer.window)
                scores, values = [], []
                for i in range(first, t + 1):
                    key = turned(part(layer.key, x[b, i], layer.kv_heads, shared), i, layer.rotary_base)
                    scores.append(query @ key / math.sqrt(layer.head))
                    values.append(part(layer.value, x[b, i], layer.kv_heads, shared))
                mixed.append(softmax_sum(scores, values))
            y[b, t] = layer.output(torch.cat(mixed))
    return y


def reference_linear_attention(layer: LinearAttention, x: Tensor) -> Tensor:
    def mapped(of: nn.Module, vector: Tensor) -> Tensor:
        if not list(of.parameters()):
            return F.elu(vector) + 1
        weights = of.state_dict()
        first = weights["first.weight"] @ vector + weights["first.bias"]
        return first * (weights["second.weight"] @ vector + weights["second.bias"])

    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            mixed = []
            for h in range(layer.heads):
                query = mapped(layer.query_map, part(layer.query, x[b, t], layer.heads, h))
                total, divisor = torch.zeros(layer.head, dtype=x.dtype), torch.zeros((), dtype=x.dtype)
                for i in range(t + 1):
                    weight = query @ mapped(layer.key_map, part(layer.key, x[b, i], layer.heads, h))
                    total = total + weight * part(layer.value, x[b, i], layer.heads, h)
                    divisor = divisor + weight
                mixed.append(total / (divisor + layer.eps))
            y[b, t] = layer.output(torch.cat(mixed))
    return y


def reference_differential_attention(layer: DifferentialAttention, x: Tensor, initial: float) -> Tensor:
    (q1, k1), (q2, k2) = layer.lambdas
    strength = torch.exp(q1 @ k1) - torch.exp(q2 @ k2) + initial
    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            heads = []
            for h in range(layer.heads):
                values = [part(layer.value, x[b, i], layer.heads, h) for i in range(t + 1)]
                maps = []
                for which in (2 * h, 2 * h + 1):
                    query = turned(part(layer.query, x[b, t], 2 * layer.heads, which), t)
                    keys = [turned(part(layer.key, x[b, i], 2 * layer.heads, which), i) for i in range(t + 1)]
                    maps.append(softmax_sum([query @ key / math.sqrt(layer.head) for key in keys], values))
                mixed = maps[0] - strength * maps[1]
                normed = mixed / torch.sqrt(mixed.square().mean() + 1e-5) * layer.norm.weight
                heads.append((1 - initial) * normed)
            y[b, t] = layer.output(torch.cat(heads))
    return y


def reference_latent_attention(layer: LatentAttention, x: Tensor) -> Tensor:
    def normed(vector: Tensor, norm: nn.RMSNorm) -> Tensor:
        return vector / torch.sqrt(vector.square().mean() + 1e-6) * norm.weight

    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            heads = []
            source = x[b, t]
            if layer.query_down is not None:
                source = normed(layer.query_down.weight @ source, layer.query_norm)
            for h in range(layer.heads):
                query = part(layer.query, source, layer.heads, h)
                query = torch.cat([query[: layer.head], turned(query[layer.head :], t)])
                scores, values = [], []
                for i in range(t + 1):
                    latent = normed(layer.down.weight @ x[b, i], layer.norm)
                    rotary = turned(layer.rotary_key.weight @ x[b, i], i)
                    key = torch.cat([part(layer.key_up, latent, layer.heads, h), rotary])
                    scores.append(query @ key / math.sqrt(layer.head + layer.rotary))
                    values.append(part(layer.value_up, latent, layer.heads, h))
                heads.append(softmax_sum(scores, values))
            y[b, t] = layer.output(torch.cat(heads))
    return y


# Angles are computed in float32 by the layers, and in double here.
ROTARY = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize(
    "name", [n for n, (kind, _) in MAKES.items() if kind is SelfAttention and "blocks" not in n]
)
@torch.no_grad()
def test_attention_is_the_papers(name: str) -> None:
    layer = layer_of(MAKES[name]).double()
    x = sequences(WIDTH, 13, batch=1).double()
    torch.testing.assert_close(layer(x), reference_attention(layer, x), **ROTARY)


@torch.no_grad()
def test_attention_in_blocks_is_the_papers() -> None:
    layer = layer_of(MAKES["sliding attention, in blocks"]).double()
    x = sequences(WIDTH, 43, batch=1).double()
    torch.testing.assert_close(layer(x), reference_attention(layer, x), **ROTARY)


@pytest.mark.parametrize("name", [n for n, (kind, _) in MAKES.items() if kind is LinearAttention])
@torch.no_grad()
def test_linear_attention_is_the_papers(name: str) -> None:
    layer = layer_of(MAKES[name]).double()
    x = sequences(WIDTH, 13).double()
    torch.testing.assert_close(layer(x), reference_linear_attention(layer, x), **CLOSE)


@pytest.mark.parametrize(("depth", "initial"), [(1, 0.2), (2, 0.3555090676), (9, 0.7455692280)])
@torch.no_grad()
def test_differential_attention_is_the_papers(depth: int, initial: float) -> None:
    layer = layer_of(MAKES["differential attention"], depth=depth).double()
    layer.lambdas.mul_(5)  # so that lambda is far from where it begins
    layer.norm.weight.copy_(torch.linspace(0.5, 1.5, len(layer.norm.weight)))
    x = sequences(WIDTH, 9).double()
    torch.testing.assert_close(layer(x), reference_differential_attention(layer, x, initial), **ROTARY)


@pytest.mark.parametrize("name", [n for n, (kind, _) in MAKES.items() if kind is LatentAttention])
@torch.no_grad()
def test_latent_attention_is_the_papers(name: str) -> None:
    layer = layer_of(MAKES[name]).double()
    layer.norm.weight.copy_(torch.linspace(0.5, 1.5, len(layer.norm.weight)))
    x = sequences(WIDTH, 9).double()
    torch.testing.assert_close(layer(x), reference_latent_attention(layer, x), **ROTARY)


# Windows, states, sizes -------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "length"), [(1, 30), (8, 75), (8, 40), (20, 75), (32, 75)])
def test_a_window_reaches_that_many_tokens_back(window: int, length: int) -> None:
    layer = built(SelfAttention, WIDTH, MAX_LENGTH, heads=4, window=window)
    read_at = torch.tensor([length - 1, length // 2])
    gradient = reach(layer, WIDTH, length, read_at)
    back = read_at[:, None] - torch.arange(length)
    seen = (back >= 0) & (back <= window)
    assert (gradient[seen] > 1e-9).all()
    assert (gradient[~seen] <= 1e-12).all()


@settings(max_examples=60)
@given(
    length=st.integers(1, 70),
    window=st.none() | st.integers(1, 40),
    heads=st.integers(1, 3),
    head=st.integers(1, 9),
    value=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_causal_attention_is_a_masked_softmax(
    length: int, window: int | None, heads: int, head: int, value: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(2, heads, length, head, generator=generator) for _ in range(2))
    v = torch.randn(2, heads, length, value, generator=generator)
    back = torch.arange(length)[:, None] - torch.arange(length)
    seen = (back >= 0) & (back <= (length if window is None else window))
    scores = (q @ k.transpose(-1, -2) / math.sqrt(head)).masked_fill(~seen, -math.inf)
    torch.testing.assert_close(
        causal_attention(q, k, v, window), scores.softmax(-1) @ v, rtol=1e-4, atol=1e-5
    )


def test_blocks_make_a_window_linear_in_the_length() -> None:
    assert attention_flops(1024, 4, 8, window=32) == 2 * attention_flops(512, 4, 8, window=32)
    assert attention_flops(1024, 4, 8) == 4 * attention_flops(512, 4, 8)


@pytest.mark.parametrize(
    ("layer", "length", "elements"),
    [
        (SelfAttention(128, 64, heads=16), 100, 2 * 100 * 128),
        (SelfAttention(128, 64, heads=16, window=32), 100, 2 * 32 * 128),
        (SelfAttention(128, 64, heads=16, window=32), 7, 2 * 7 * 128),
        (SelfAttention(128, 64, heads=16, kv_heads=1), 100, 2 * 100 * 8),
        (LinearAttention(128, 64, heads=1), 100, 128 * 128 + 128),
        (LinearAttention(128, 64, heads=16), 100, 16 * (8 * 8 + 8)),
        (DifferentialAttention(128, 64, heads=8), 100, 2 * 100 * 128),
        (LatentAttention(128, 64, heads=16, kv_rank=28, rotary_dim=4), 128, 4096),
    ],
)
def test_state_sizes_by_hand(layer: SequenceLayer, length: int, elements: int) -> None:
    assert layer.state_elements(length) == elements
    assert layer.tail_elements() == 0


def test_parameters_of_mads_attention() -> None:
    # Four maps of 128 x 128 with biases, as flash-attention's multi-head attention has them.
    layer = SelfAttention(128, 64, heads=16)
    assert sum(p.numel() for p in layer.parameters()) == 4 * (128 * 128 + 128)
    linear = LinearAttention(128, 64, heads=16)
    assert sum(p.numel() for p in linear.parameters()) == 4 * 128 * 128 + 4 * (8 * 8 + 8)


@pytest.mark.parametrize(
    ("kind", "chosen", "named"),
    [
        (SelfAttention, {"heads": 3}, "3 heads"),
        (SelfAttention, {"heads": 0}, "0 heads"),
        (SelfAttention, {"heads": 32}, "pairs of channels, not 1"),
        (SelfAttention, {"heads": 4, "kv_heads": 3}, "kv_heads 3"),
        (SelfAttention, {"heads": 4, "kv_heads": 0}, "kv_heads 0"),
        (SelfAttention, {"heads": 4, "window": 0}, "window of 0"),
        (LinearAttention, {"heads": 5}, "5 heads"),
        (LinearAttention, {"heads": 4, "feature_map": "taylor"}, "'taylor'"),
        (DifferentialAttention, {"heads": 32}, "32 heads"),
        (DifferentialAttention, {"heads": 16}, "pairs of channels, not 1"),
        (DifferentialAttention, {"heads": 4, "depth": 0}, "depth 0"),
        (LatentAttention, {"heads": 3, "kv_rank": 4}, "3 heads"),
        (LatentAttention, {"heads": 4, "kv_rank": 0}, "kv_rank is 0"),
        (LatentAttention, {"heads": 4, "kv_rank": 4, "query_rank": 0}, "query_rank is 0"),
        (LatentAttention, {"heads": 4, "kv_rank": 4, "rotary_dim": 3}, "pairs of channels, not 3"),
    ],
)
def test_sizes_that_do_not_divide_are_named(kind: type[SequenceLayer], chosen: dict, named: str) -> None:
    with pytest.raises(LayerError, match=named) as raised:
        kind(WIDTH, MAX_LENGTH, **chosen)
    assert "\n" not in str(raised.value)
