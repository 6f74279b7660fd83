"""Layers with a decaying matrix state, against loops written from their papers' formulas."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from madstar.errors import LayerError
from madstar.liv.layers.contract import SequenceLayer
from madstar.liv.layers.gated_linear_attention import GatedLinearAttention
from madstar.liv.layers.mamba2 import Mamba2
from madstar.liv.layers.retention import Retention
from madstar.liv.layers.rwkv5 import Rwkv5TimeMix
from madstar.liv.layers.rwkv6 import Rwkv6TimeMix
from madstar.liv.layers.rwkv_channel import RwkvChannelMix

from .forms import built, check_forms, check_layer, check_state, counted_flops, sequences

WIDTH = 24
EXACT = {"rtol": 1e-9, "atol": 1e-9}

LAYERS: dict[str, tuple[type[SequenceLayer], dict[str, Any]]] = {
    "gla, 1 head": (GatedLinearAttention, {"heads": 1, "gate_rank": 4}),
    "gla, 3 heads": (GatedLinearAttention, {"heads": 3, "gate_rank": 4}),
    "gla, unequal": (
        GatedLinearAttention,
        {"heads": 2, "expand_k": 0.5, "expand_v": 1.5, "gate_normalizer": 2},
    ),
    "retention": (Retention, {"heads": 3}),
    "retention, wide values": (Retention, {"heads": 2, "expand_v": 2.0}),
    "mamba2": (Mamba2, {"state": 4, "head": 16}),
    "mamba2, one head": (Mamba2, {"state": 3, "head": 24, "expand": 1, "taps": 2}),
    "rwkv5": (Rwkv5TimeMix, {"head": 8}),
    "rwkv6": (Rwkv6TimeMix, {"head": 8, "mix_rank": 3, "decay_rank": 5}),
    "rwkv5 channel": (RwkvChannelMix, {"inner": 20, "version": 5}),
    "rwkv6 channel": (RwkvChannelMix, {"inner": 20, "version": 6}),
}


def disturbed(layer: SequenceLayer, seed: int = 1) -> SequenceLayer:
    """The layer in double, every parameter moved: initial values hide mistakes (ones, zeros, tiny maps)."""
    generator = torch.Generator().manual_seed(seed)
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return layer


def make(name: str, **more: Any) -> SequenceLayer:
    kind, settings = LAYERS[name]
    return built(kind, WIDTH, 128, **{**settings, **more})


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("length", [5, 37])
def test_the_contract_holds(name: str, length: int) -> None:
    check_layer(make(name), WIDTH, length)


@pytest.mark.parametrize("name", LAYERS)
def test_one_token_is_enough(name: str) -> None:
    check_forms(make(name), WIDTH, 1)
    check_state(make(name), WIDTH, 1)


@pytest.mark.parametrize("name", LAYERS)
def test_operations_are_those_torch_counts(name: str) -> None:
    layer = make(name)
    for length in (1, 20, 70):
        assert layer.flops(length) == counted_flops(layer, WIDTH, length)


# The papers' formulas, one token after the other ----------------------------------------------


def centred(y: Tensor, epsilon: float) -> Tensor:
    """Group norm of each head, (batch, heads, head)."""
    return (y - y.mean(-1, keepdim=True)) / torch.sqrt(y.var(-1, unbiased=False, keepdim=True) + epsilon)


def shifted(x: Tensor, t: int) -> Tensor:
    return x[:, t - 1] if t else torch.zeros_like(x[:, 0])


def gla(m: GatedLinearAttention, x: Tensor) -> Tensor:
    """arXiv 2312.06635, equations 3 and 4 and section 4.4."""
    state, out = 0.0, []
    for t in range(x.shape[1]):
        q, k, v = (f(x[:, t]).unflatten(-1, (m.heads, -1)) for f in (m.query, m.key, m.value))
        low, up = m.decay[0].weight, m.decay[1]
        a = torch.sigmoid(x[:, t] @ low.T @ up.weight.T + up.bias) ** (1 / m.gate_normalizer)
        state = a.unflatten(-1, (m.heads, -1))[..., None] * state + torch.einsum("bhk,bhv->bhkv", k, v)
        y = torch.einsum("bhk,bhkv->bhv", q / math.sqrt(m.head_k), state)
        y = y / torch.sqrt((y**2).mean(-1, keepdim=True) + 1e-5) * m.norm_scale
        gate = m.gate(x[:, t])
        out.append((y.flatten(1) * gate * torch.sigmoid(gate)) @ m.output.weight.T)
    return torch.stack(out, 1)


def retention(m: Retention, x: Tensor) -> Tensor:
    """arXiv 2307.08621, equations 5 and 6 summed over all pairs, with complex rotations."""
    length, half = x.shape[1], m.head_k // 2
    q, k, v = (f(x).unflatten(-1, (m.heads, -1)) for f in (m.query, m.key, m.value))
    theta = 10_000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = torch.arange(length)[:, None] * theta
    # In single precision, as the layer's are.
    turn = torch.complex(angle.cos().double(), angle.sin().double())[None, :, None]
    q, k = (torch.complex(e[..., :half], e[..., half:]) * turn for e in (q, k))
    gamma = 1 - 2.0 ** (-5 - torch.arange(m.heads, dtype=torch.float64))
    out = []
    for t in range(length):
        y = torch.zeros_like(v[:, 0])
        for s in range(t + 1):
            score = (q[:, t] * k[:, s].conj()).real.sum(-1) * gamma ** (t - s) / math.sqrt(m.head_k)
            y = y + score[..., None] * v[:, s]
        y = centred(y, 1e-5).flatten(1) * m.norm_scale + m.norm_shift
        out.append((F.silu(m.gate(x[:, t])) * y) @ m.output.weight.T)
    return torch.stack(out, 1)


def mamba2(m: Mamba2, x: Tensor) -> Tensor:
    """arXiv 2405.21060, equation 1 with scalar A and figure 6."""
    state, out = 0.0, []
    taps, n = m.convolution.taps, m.state
    projected = x @ m.input.weight.T
    z, xbc, raw = projected[..., : m.inner], projected[..., m.inner : -m.heads], projected[..., -m.heads :]
    for t in range(x.shape[1]):
        mixed = m.convolution.bias
        for back in range(min(taps, t + 1)):
            mixed = mixed + m.convolution.weight[:, 0, taps - 1 - back] * xbc[:, t - back]
        mixed = F.silu(mixed)
        u = mixed[:, : m.inner].unflatten(-1, (m.heads, m.head))
        b, c = mixed[:, m.inner : m.inner + n], mixed[:, m.inner + n :]
        dt = torch.log(1 + torch.exp(raw[:, t] + m.dt_bias))
        a = torch.exp(dt * -torch.exp(m.log_a))
        state = a[..., None, None] * state + torch.einsum("bh,bhp,bn->bhpn", dt, u, b)
        y = torch.einsum("bn,bhpn->bhp", c, state) + m.skip[:, None] * u
        y = y.flatten(1) * F.silu(z[:, t])
        y = y / torch.sqrt((y**2).mean(-1, keepdim=True) + 1e-5) * m.norm_scale
        out.append(y @ m.output.weight.T)
    return torch.stack(out, 1)


def eagle_read(m: Rwkv5TimeMix, r: Tensor, k: Tensor, v: Tensor, state: Any, g: Tensor) -> Tensor:
    added = torch.einsum("bhk,bhv->bhkv", k, v)
    y = torch.einsum("bhk,bhkv->bhv", r, state + m.bonus[..., None] * added)
    # The authors divide by 8 before a norm with 1e-5.
    y = centred(y / 8, 1e-5).flatten(1) * m.norm_scale + m.norm_shift
    return (F.silu(g) * y) @ m.output.weight.T


def eagle(m: Rwkv5TimeMix, x: Tensor) -> Tensor:
    """arXiv 2404.05892, equations 3 to 9."""
    state, out = 0.0, []
    w = torch.exp(-torch.exp(m.decay)).unflatten(0, (m.heads, -1))
    for t in range(x.shape[1]):
        mixed = [x[:, t] * mu + shifted(x, t) * (1 - mu) for mu in m.mix.weight]
        r, k, v, g = (f(e) for f, e in zip((m.receptance, m.key, m.value, m.gate), mixed, strict=True))
        r, k, v = (e.unflatten(-1, (m.heads, -1)) for e in (r, k, v))
        out.append(eagle_read(m, r, k, v, state, g))
        state = w[..., None] * state + torch.einsum("bhk,bhv->bhkv", k, v)
    return torch.stack(out, 1)


def finch(m: Rwkv6TimeMix, x: Tensor) -> Tensor:
    """arXiv 2404.05892, equations 10 to 17."""
    state, out = 0.0, []
    for t in range(x.shape[1]):
        present, away = x[:, t], shifted(x, t) - x[:, t]
        z = present + away * m.mix.weight[0]
        mixed = []
        for i, inward in enumerate(m.mix_inward.split(m.mix_rank, 1)):
            mixed.append(present + away * (m.mixes[i] + torch.tanh(z @ inward) @ m.mix_outward[i]))
        maps = (m.receptance, m.key, m.value, m.gate)
        r, k, v, g = (f(e) for f, e in zip(maps, mixed[1:], strict=True))
        d = m.decay + torch.tanh(mixed[0] @ m.decay_inward) @ m.decay_outward
        r, k, v, w = (e.unflatten(-1, (m.heads, -1)) for e in (r, k, v, torch.exp(-torch.exp(d))))
        out.append(eagle_read(m, r, k, v, state, g))
        state = w[..., None] * state + torch.einsum("bhk,bhv->bhkv", k, v)
    return torch.stack(out, 1)


def rwkv_channel(present_weights: bool) -> Callable[[RwkvChannelMix, Tensor], Tensor]:
    def loop(m: RwkvChannelMix, x: Tensor) -> Tensor:
        out = []
        for t in range(x.shape[1]):
            weights = m.mix.weight if present_weights else 1 - m.mix.weight
            of_k, of_r = (x[:, t] * mu + shifted(x, t) * (1 - mu) for mu in weights)
            k = torch.clamp(of_k @ m.key.weight.T, min=0) ** 2
            out.append(torch.sigmoid(of_r @ m.receptance.weight.T) * (k @ m.output.weight.T))
        return torch.stack(out, 1)

    return loop


LOOPS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "gla": gla,
    "retention": retention,
    "mamba2": mamba2,
    "rwkv5": eagle,
    "rwkv6": finch,
    "rwkv5 channel": rwkv_channel(True),
    "rwkv6 channel": rwkv_channel(False),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("length", [1, 7, 33, 70])
def test_a_layer_is_its_papers_loop(name: str, length: int) -> None:
    layer = disturbed(make(name))
    x = sequences(WIDTH, length).double()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), LOOPS[name.split(",")[0]](layer, x), **EXACT)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_the_loop(name: str) -> None:
    layer, x = disturbed(make(name)), sequences(WIDTH, 35).double().requires_grad_()
    direction = sequences(WIDTH, 35, seed=3).double()
    wanted = [x, *layer.parameters()]
    found = torch.autograd.grad((layer(x) * direction).sum(), wanted)
    expected = torch.autograd.grad((LOOPS[name.split(",")[0]](layer, x) * direction).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


# What is particular -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "settings", "state", "tail"),
    [
        (GatedLinearAttention, {"heads": 1}, 16_384, 0),
        (GatedLinearAttention, {"heads": 4}, 4096, 0),
        (GatedLinearAttention, {"heads": 8}, 2048, 0),
        (Retention, {}, 4096, 0),
        (Mamba2, {}, 4096, 3 * (256 + 32)),
        (Rwkv5TimeMix, {}, 2048, 128),
        (Rwkv5TimeMix, {"head": 32}, 4096, 128),
        (Rwkv6TimeMix, {}, 2048, 128),
        (Rwkv6TimeMix, {"head": 32}, 4096, 128),
        (RwkvChannelMix, {}, 0, 128),
    ],
)
def test_state_sizes_at_width_128(
    layer: type[SequenceLayer], settings: dict[str, Any], state: int, tail: int
) -> None:
    instance = built(layer, 128, 128, **settings)
    assert (instance.state_elements(1), instance.state_elements(500)) == (state, state)
    assert instance.tail_elements() == tail


@pytest.mark.parametrize(
    ("layer", "settings", "words"),
    [
        (GatedLinearAttention, {"heads": 5}, "5 heads do not divide keys of 24"),
        (GatedLinearAttention, {"heads": 8, "expand_v": 0.5}, "8 heads do not divide values of 12"),
        (GatedLinearAttention, {"heads": 0}, "0 heads"),
        (GatedLinearAttention, {"heads": 2, "gate_rank": 0}, "gate_rank"),
        (Retention, {"heads": 5}, "5 heads do not divide a width of 24"),
        (Retention, {"heads": 8}, "heads of width 3 are odd"),
        (Retention, {"heads": 4, "expand_v": 0.25 + 1 / 24}, "4 heads do not divide values of 7"),
        (Mamba2, {"head": 36}, "heads of width 36 do not divide expand * dim, 48"),
        (Mamba2, {"head": 16, "taps": 0}, "taps is 0"),
        (Rwkv5TimeMix, {"head": 7}, "heads of width 7 do not divide a width of 24"),
        (Rwkv6TimeMix, {"head": 7}, "rwkv6-time-mixer: heads of width 7"),
        (Rwkv6TimeMix, {"head": 8, "mix_rank": 0}, "mix_rank is 0"),
        (RwkvChannelMix, {"version": 7}, "version is 7"),
        (RwkvChannelMix, {"inner": 0}, "inner is 0"),
    ],
)
def test_impossible_settings(layer: type[SequenceLayer], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LayerError, match=words.replace("*", r"\*")):
        layer(WIDTH, 128, **settings)


def test_decays_begin_as_the_papers_say() -> None:
    mamba = built(Mamba2, 512, 128, head=4)
    assert isinstance(mamba, Mamba2)
    dt, a = F.softplus(mamba.dt_bias), mamba.log_a.exp()
    assert 0.001 * 0.999 <= dt.min() < 0.002
    assert 0.05 < dt.max() <= 0.1 * 1.001
    assert 1 <= a.min() < 2
    assert 15 < a.max() <= 16
    gamma = Retention(128, 128).log_decay(torch.zeros(1)).exp()
    torch.testing.assert_close(gamma, torch.tensor([31 / 32, 63 / 64, 127 / 128, 255 / 256]))
    for layer in (Rwkv5TimeMix(128, 128), Rwkv6TimeMix(128, 128)):
        assert (layer.decay[0], layer.decay[-1]) == (-6, -1)
        assert layer.bonus.unique().tolist() == pytest.approx([-0.1, 0.0, 0.1])


def test_finch_begins_as_eagle() -> None:
    finch, eagle = built(Rwkv6TimeMix, WIDTH, 64, head=8), built(Rwkv5TimeMix, WIDTH, 64, head=8)
    shared = {name: value for name, value in eagle.state_dict().items() if not name.startswith("mix")}
    missing, _ = finch.load_state_dict(shared, strict=False)
    assert all(name.startswith(("mix", "decay_")) for name in missing)
    x = sequences(WIDTH, 40)
    with torch.no_grad():
        torch.testing.assert_close(finch(x), eagle(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gla, 1 head", "gla, 3 heads", "mamba2", "rwkv5", "rwkv6"])
def test_decays_however_strong_train(name: str) -> None:
    layer = make(name)
    with torch.no_grad():
        if isinstance(layer, GatedLinearAttention):
            layer.decay[1].bias.fill_(-1e4)
        elif isinstance(layer, Mamba2):
            layer.dt_bias.fill_(1e3)
        elif isinstance(layer, Rwkv5TimeMix):
            layer.decay.fill_(50.0)
    x = sequences(WIDTH, 70).requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in [x, *layer.parameters()])
    single, _ = layer.step(x[:, 0].detach(), layer.initial_state(2, x.device, x.dtype))
    torch.testing.assert_close(single, y[:, 0].detach(), rtol=1e-4, atol=1e-4)
