"""Gated DeltaNet, RWKV-7, Mamba and the Hyenas against loops over their papers' formulas, in double."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from madstar.errors import LayerError
from madstar.liv.layers import hyena
from madstar.liv.layers.causal_convolution import CausalConvolution
from madstar.liv.layers.contract import SequenceLayer
from madstar.liv.layers.gated_deltanet import GatedDeltaNet
from madstar.liv.layers.hyena import Hyena, convolve, direct_outer, transformed_outer
from madstar.liv.layers.hyena_experts import HyenaExperts
from madstar.liv.layers.mamba import Mamba
from madstar.liv.layers.rwkv7 import LowRank, Rwkv7TimeMix

from .forms import built, check_forms, check_layer, check_state, counted_flops, sequences

WIDTH, LENGTH, SHORT = 16, 37, 11
CASES: dict[str, tuple[type[SequenceLayer], dict[str, Any]]] = {
    "mamba": (Mamba, {}),
    "mamba-wide": (Mamba, {"state": 3, "taps": 2, "expand": 1, "dt_rank": 5}),
    "gated-deltanet": (GatedDeltaNet, {}),
    "gated-deltanet-one-tap": (GatedDeltaNet, {"heads": 1, "taps": 1}),
    "rwkv7": (Rwkv7TimeMix, {"head": 8, "rank": 3}),
    "hyena": (Hyena, {}),
    "hyena-order-3": (Hyena, {"order": 3, "inner_factor": 1, "projection_groups": 1}),
    "mh-hyena": (Hyena, {"heads": 4, "inner_factor": 1}),
    "hyena-experts": (HyenaExperts, {"experts": 4, "width": 3}),
}
LONG_CONVOLUTIONS = [name for name in CASES if "hyena" in name]


def made(name: str, max_length: int = LENGTH + 4) -> SequenceLayer:
    """The layer of a case, moved away from an initialisation in which some parameters do nothing."""
    make, settings = CASES[name]
    layer = built(make, WIDTH, max_length, **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return layer


@pytest.mark.parametrize("name", CASES)
def test_a_layer_keeps_the_contract(name: str) -> None:
    check_layer(made(name), WIDTH, LENGTH)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_sequences(name: str, length: int) -> None:
    check_forms(made(name), WIDTH, length)
    check_state(made(name), WIDTH, length)


@pytest.mark.parametrize("name", LONG_CONVOLUTIONS)
def test_beyond_max_length_a_kernel_reaches_no_further_back(name: str) -> None:
    layer = made(name, SHORT)
    check_forms(layer, WIDTH, LENGTH, [SHORT - 1, SHORT, LENGTH - 1])
    check_state(layer, WIDTH, LENGTH)
    layer = layer.double()
    x = sequences(WIDTH, LENGTH).double().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[:, -1].sum(), x)
    # The taps of each long convolution, and two more of the short one. Transforms are exact to rounding.
    reach = (getattr(layer, "order", 2) - 1) * (SHORT - 1) + 2
    assert gradient[:, : LENGTH - 1 - reach].abs().max() < 1e-14
    assert gradient[:, LENGTH - 1 - reach].abs().max() > 1e-9


@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_its_papers_formulas(name: str) -> None:
    layer = made(name).double()
    x = sequences(WIDTH, 21).double()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), oracle(layer, x), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_scale_of_inputs_does_no_harm(name: str) -> None:
    layer = made(name)
    for scale in (0.0, 1e3):
        x = (sequences(WIDTH, LENGTH) * scale).requires_grad_()
        y = layer(x)
        y.square().mean().backward()
        assert y.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", CASES)
def test_stacked_layers_are_the_layers_one_by_one(name: str) -> None:
    make, settings = CASES[name]
    layers = [built(make, WIDTH, LENGTH, seed=seed, **settings) for seed in (0, 1)]
    x = torch.stack([sequences(WIDTH, SHORT, seed=seed) for seed in (5, 6)])
    parameters, buffers = stack_module_state(layers)

    def run(weights: dict[str, Tensor], state: dict[str, Tensor], given: Tensor) -> Tensor:
        return functional_call(layers[0], (weights, state), (given,)).square().mean()

    together = torch.autograd.grad(vmap(run)(parameters, buffers, x).sum(), list(parameters.values()))
    for place, layer in enumerate(layers):
        alone = torch.autograd.grad(layer(x[place]).square().mean(), list(layer.parameters()))
        for stacked, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(stacked[place], expected, rtol=1e-4, atol=1e-6)


# --- state sizes, operations, initial values, impossible settings


def test_state_sizes_at_width_128() -> None:
    assert Mamba(128, 64, state=4).state_elements(999) == 4 * 256
    for layer in (Mamba(128, 64, state=16), GatedDeltaNet(128, 64, heads=4), Rwkv7TimeMix(128, 64, head=32)):
        assert layer.state_elements(999) == 4096
    assert Hyena(128, 64).state_elements(10) == 10 * 512
    assert Hyena(128, 64).state_elements(999) == 63 * 512
    assert Hyena(128, 64, heads=16, inner_factor=1).state_elements(10) == 10 * 2 * 128
    assert HyenaExperts(128, 64).state_elements(10) == 10 * 128


@pytest.mark.parametrize("name", ["mamba", "gated-deltanet", "rwkv7", "mh-hyena"])
@pytest.mark.parametrize("length", [1, LENGTH])
def test_operations_are_those_counted(name: str, length: int) -> None:
    layer = made(name)
    chunk = min(length, 32 if name == "gated-deltanet" else 16)
    inverses = -(-length // chunk) * 2 * (chunk**3 // 3) if name in ("gated-deltanet", "rwkv7") else 0
    heads = getattr(layer, "heads", 1)
    assert layer.flops(length) - heads * inverses == counted_flops(layer, WIDTH, length)


def test_mamba_begins_as_its_paper_says() -> None:
    layer = Mamba(64, 32, state=6)
    torch.testing.assert_close(-layer.log_a.exp(), -torch.arange(1.0, 7)[:, None].expand(6, 128))
    dt = F.softplus(layer.step_size.bias)
    assert dt.min() >= 0.001 * 0.999
    assert dt.max() <= 0.1 * 1.001
    assert (dt < 0.01).float().mean().item() == pytest.approx(0.5, abs=0.2)  # even in the logarithm
    assert layer.skip.eq(1).all()
    assert layer.step_size.weight.abs().max() <= 4**-0.5


def test_gated_deltanet_and_rwkv7_begin_with_slow_decays() -> None:
    delta = GatedDeltaNet(64, 32, heads=8)
    assert delta.log_a.exp().min() >= 1
    assert delta.log_a.exp().max() <= 16
    dt = F.softplus(delta.decay.bias)
    assert dt.min() >= 0.001 * 0.999
    assert dt.max() <= 0.1 * 1.001
    goose = Rwkv7TimeMix(64, 32)
    w = torch.exp(-math.exp(-0.5) * torch.sigmoid(goose.decay(torch.randn(3, 64))))
    assert w.min() > 0.545
    assert (w[:, 0] > 0.999).all()
    assert (w[:, -1] < 0.95).all()


@pytest.mark.parametrize(
    ("make", "settings", "named"),
    [
        (Mamba, {"state": 0}, "state"),
        (Mamba, {"dt_rank": "most"}, "dt_rank"),
        (GatedDeltaNet, {"heads": 3}, "3 heads"),
        (GatedDeltaNet, {"taps": 0}, "taps"),
        (Rwkv7TimeMix, {"head": 5}, "width 5"),
        (Rwkv7TimeMix, {"head": 8, "rank": 0}, "rank"),
        (Hyena, {"heads": 3, "inner_factor": 1}, "3 heads"),
        (Hyena, {"order": 3, "heads": 4}, "order 3"),
        (Hyena, {"order": 1}, "order 1"),
        (Hyena, {"projection_groups": 7}, "7 projection_groups"),
        (HyenaExperts, {"active": 9}, "9 active"),
        (HyenaExperts, {"width": 0}, "width"),
    ],
)
def test_impossible_settings_are_named(make: type, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(LayerError, match=named):
        make(WIDTH, LENGTH, **settings)


# --- the convolutions of Hyena


@pytest.mark.parametrize(("length", "taps"), [(1, 1), (5, 9), (9, 4), (16, 16), (17, 17)])
def test_convolution_by_transform_and_its_gradients(length: int, taps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, length, generator=generator, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, taps, generator=generator, dtype=torch.float64, requires_grad=True)
    padded = F.pad(x, (taps - 1, 0))
    expected = F.conv1d(padded, kernel.flip(-1)[:, None], groups=3)
    torch.testing.assert_close(convolve(x, kernel), expected)
    direction = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad((convolve(x, kernel) * direction).sum(), (x, kernel))
    for gradient, theirs in zip(
        ours, torch.autograd.grad((expected * direction).sum(), (x, kernel)), strict=True
    ):
        torch.testing.assert_close(gradient, theirs)


def test_outer_products_are_mixed_alike_by_products_and_by_transforms() -> None:
    generator = torch.Generator().manual_seed(0)
    for taps in (SHORT, 4):
        q, k, v = (torch.randn(2, 3, SHORT, 4, generator=generator) for _ in range(3))
        kernel = torch.randn(3, taps, generator=generator)
        torch.testing.assert_close(
            direct_outer(q, k, v, kernel), transformed_outer(q, k, v, kernel), rtol=1e-4, atol=1e-4
        )


def test_long_sequences_of_a_hyena_with_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyena, "DIRECT_LENGTH", 0)
    check_layer(made("mh-hyena"), WIDTH, SHORT)


# --- the papers' formulas, token by token


def oracle(layer: SequenceLayer, x: Tensor) -> Tensor:
    of = {
        Mamba: mamba,
        GatedDeltaNet: gated_deltanet,
        Rwkv7TimeMix: goose,
        Hyena: hierarchy,
        HyenaExperts: expert,
    }
    return of[type(layer)](layer, x)  # type: ignore[operator]


def short(convolution: CausalConvolution, x: Tensor) -> Tensor:
    """Conv1d over time, padded on the left."""
    padded = F.pad(x.mT, (convolution.taps - 1, 0))
    return F.conv1d(padded, convolution.weight, convolution.bias, groups=x.shape[-1]).mT


def mamba(layer: Mamba, x: Tensor) -> Tensor:
    """arXiv 2312.00752, algorithm 2 and figure 3."""
    u, z = (x @ layer.input.weight.T).split(layer.inner, -1)
    u = F.silu(short(layer.convolution, u))
    h, outputs = x.new_zeros(len(x), layer.inner, layer.state), []
    A = -layer.log_a.exp().T  # (channels, state)
    for t in range(x.shape[1]):
        low, B, C = layer.selection(u[:, t]).split([layer.rank, layer.state, layer.state], -1)
        dt = F.softplus(layer.step_size(low))[..., None]
        h = torch.exp(dt * A) * h + dt * B[:, None] * u[:, t, :, None]
        y = (h * C[:, None]).sum(-1) + layer.skip * u[:, t]
        outputs.append(layer.output(y * F.silu(z[:, t])))
    return torch.stack(outputs, 1)


def gated_deltanet(layer: GatedDeltaNet, x: Tensor) -> Tensor:
    """arXiv 2412.06464, equation 10 and figure 1."""
    q, k, v = F.silu(short(layer.convolution, layer.qkv(x))).split(layer.dim, -1)
    beta = torch.sigmoid(layer.beta(x))
    alpha = torch.exp(-layer.log_a.exp() * F.softplus(layer.decay(x)))
    heads, outputs = range(layer.heads), torch.zeros_like(x)
    for i in range(len(x)):
        S = [x.new_zeros(layer.head, layer.head) for _ in heads]
        for t in range(x.shape[1]):
            read = []
            for j in heads:
                q_t, k_t, v_t = (each[i, t, j * layer.head : (j + 1) * layer.head] for each in (q, k, v))
                q_t, k_t = (each / (each.square().sum() + 1e-6).sqrt() for each in (q_t, k_t))
                kept = torch.eye(layer.head, dtype=x.dtype) - beta[i, t, j] * torch.outer(k_t, k_t)
                S[j] = alpha[i, t, j] * S[j] @ kept + beta[i, t, j] * torch.outer(v_t, k_t)
                o = S[j] @ q_t
                read.append(o / (o.square().mean() + 1e-6).sqrt() * layer.scale)
            outputs[i, t] = layer.output(torch.cat(read) * F.silu(layer.gate(x[i, t])))
    return outputs


def goose(layer: Rwkv7TimeMix, x: Tensor) -> Tensor:
    """arXiv 2503.14456, section 4.1, row vectors as there."""

    def loramlp(map_: LowRank, given: Tensor, activation: Any) -> Tensor:
        y = activation(given @ map_.inward) @ map_.outward
        return y if map_.bias is None else y + map_.bias

    outputs = torch.zeros_like(x)
    for i in range(len(x)):
        wkv = [x.new_zeros(layer.head, layer.head) for _ in range(layer.heads)]
        for t in range(x.shape[1]):
            earlier = x[i, t - 1] if t else torch.zeros_like(x[i, t])
            of_r, of_d, of_k, of_v, of_a, of_g = (torch.lerp(x[i, t], earlier, mu) for mu in layer.mix.weight)
            a = torch.sigmoid(loramlp(layer.rate, of_a, lambda low: low))
            k = layer.key(of_k)
            kappa = k * layer.removal_scale
            replacement = k * torch.lerp(torch.ones_like(a), a, layer.replacement)
            v, r = layer.value(of_v), layer.receptance(of_r)
            w = torch.exp(-math.exp(-0.5) * torch.sigmoid(loramlp(layer.decay, of_d, torch.tanh)))
            g = loramlp(layer.gate, of_g, torch.sigmoid)
            p = []
            for j in range(layer.heads):
                part = slice(j * layer.head, (j + 1) * layer.head)
                unit = kappa[part] / kappa[part].norm()
                kept = torch.diag(w[part]) - torch.outer(unit, a[part] * unit)
                wkv[j] = wkv[j] @ kept + torch.outer(v[part], replacement[part])
                read = F.layer_norm(
                    wkv[j] @ r[part], (layer.head,), layer.norm_scale[part], layer.norm_shift[part], 64e-5
                )
                p.append(read + (r[part] * layer.bonus[j] * replacement[part]).sum() * v[part])
            outputs[i, t] = layer.output(g * torch.cat(p))
    return outputs


def hierarchy(layer: Hyena, x: Tensor) -> Tensor:
    """arXiv 2302.10866, section 3.2 (order N); arXiv 2310.18780, section 4 (heads)."""
    projections = layer.input(x).repeat(1, 1, layer.groups)
    *gates, v = short(layer.convolution, projections).split(layer.inner, -1)
    kernels = layer.kernel(x.shape[1]).split(layer.inner)
    if layer.heads == 1:
        for gate, kernel in zip(reversed(gates[1:]), kernels, strict=True):
            v = causal_sum(gate * v, kernel)
        return layer.output(gates[0] * v)
    y = torch.zeros_like(v)
    for h in range(layer.inner // layer.heads):
        part = slice(h * layer.heads, (h + 1) * layer.heads)
        outer = torch.einsum("bti,btj->btij", gates[1][..., part], v[..., part]).flatten(2)
        mixed = causal_sum(outer, kernels[0][h].expand(outer.shape[-1], -1))
        y[..., part] = torch.einsum(
            "bti,btij->btj", gates[0][..., part], mixed.unflatten(2, (layer.heads, -1))
        )
    return layer.output(y)


def causal_sum(u: Tensor, kernel: Tensor) -> Tensor:
    """y_t = sum over s <= t of h(t - s) u_s, for u (batch, length, channels) and h (channels, length)."""
    return torch.stack(
        [sum(kernel[:, t - s] * u[:, s] for s in range(t + 1)) for t in range(u.shape[1])],  # type: ignore[misc]
        1,
    )


def expert(layer: HyenaExperts, x: Tensor) -> Tensor:
    """Each token's two best experts, weighted by a softmax over their two scores."""
    gate, b, v = short(layer.convolution, layer.input(x)).split(layer.inner, -1)
    y = gate * causal_sum(b * v, layer.kernel(x.shape[1]))
    outputs = torch.zeros_like(x)
    for i in range(len(x)):
        for t in range(x.shape[1]):
            scores = layer.router(x[i, t])
            chosen = sorted(range(layer.experts), key=lambda e: -float(scores[e]))[: layer.active]
            weights = torch.stack([scores[e] for e in chosen]).softmax(0)
            channels = [y[i, t, e :: layer.experts] for e in chosen]  # the channels of expert e
            outputs[i, t] = layer.output(sum(w * c for w, c in zip(weights, channels, strict=True)))
    return outputs
