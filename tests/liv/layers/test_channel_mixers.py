"""Channel mixers against their formulas, token by token."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from madstar.errors import LayerError
from madstar.liv.layers.contract import SequenceLayer
from madstar.liv.layers.mlp import Mlp, SwiGLU
from madstar.liv.layers.moe import MoeMlp

from .forms import built, check_layer, counted_flops, sequences

WIDTH, MAX_LENGTH = 24, 40
CLOSE = {"rtol": 1e-9, "atol": 1e-9}

MAKES: dict[str, tuple[type[SequenceLayer], dict]] = {
    "mlp": (Mlp, {}),
    "narrow mlp": (Mlp, {"inner": 7}),
    "swiglu": (SwiGLU, {}),
    "narrow swiglu": (SwiGLU, {"inner": 7}),
    "mixture": (MoeMlp, {}),
    "mixture of one": (MoeMlp, {"experts": 1, "active": 1, "inner": 5}),
    "mixture of few": (MoeMlp, {"experts": 5, "active": 3, "inner": 3}),
    "mixture as in mad-lab": (MoeMlp, {"compatible": True}),
    "mixture of few as in mad-lab": (MoeMlp, {"experts": 5, "active": 3, "inner": 3, "compatible": True}),
}
every_make = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


def layer_of(make: tuple[type[SequenceLayer], dict], seed: int = 0) -> SequenceLayer:
    kind, chosen = make
    return built(kind, WIDTH, MAX_LENGTH, seed=seed, **chosen)


@pytest.mark.parametrize("length", [1, 19, 40])
@every_make
def test_forms_causality_state_and_gradients(make: tuple[type[SequenceLayer], dict], length: int) -> None:
    # With one expert its weight is always 1: the router learns nothing.
    unused = ("router.weight", "router.bias") if make[1].get("experts") == 1 else ()
    # In bfloat16 a token may choose another expert than in float32.
    check_layer(layer_of(make), WIDTH, length, unused=unused, autocast=make[0] is not MoeMlp)


@pytest.mark.parametrize("name", [name for name in MAKES if "mixture" in name])
def test_autocast_of_mixtures_is_finite(name: str) -> None:
    layer = layer_of(MAKES[name])
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(sequences(WIDTH, 20))
    y.float().square().mean().backward()
    assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@every_make
def test_stated_operations_are_those_that_run(make: tuple[type[SequenceLayer], dict]) -> None:
    layer = layer_of(make)
    assert layer.flops(13) == counted_flops(layer, WIDTH, 13)
    assert layer.state_elements(13) == layer.tail_elements() == 0


def gelu(value: Tensor) -> Tensor:
    """The tanh approximation (arXiv 1606.08415, section 2)."""
    return 0.5 * value * (1 + torch.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)))


@torch.no_grad()
def test_mlp_is_its_formula() -> None:
    layer = layer_of(MAKES["mlp"]).double()
    x = sequences(WIDTH, 5).double()
    expected = gelu(x @ layer.up.weight.T) @ layer.output.weight.T
    torch.testing.assert_close(layer(x), expected, **CLOSE)
    assert layer.up.out_features == 4 * WIDTH


@torch.no_grad()
def test_swiglu_is_its_formula() -> None:
    layer = layer_of(MAKES["swiglu"]).double()
    x = sequences(WIDTH, 5).double()
    gate = x @ layer.gate.weight.T
    expected = (gate / (1 + torch.exp(-gate)) * (x @ layer.up.weight.T)) @ layer.output.weight.T
    torch.testing.assert_close(layer(x), expected, **CLOSE)


@pytest.mark.parametrize(("width", "inner"), [(128, 352), (64, 176), (24, 64), (96, 256), (6, 16), (1, 16)])
def test_swiglus_inner_width(width: int, inner: int) -> None:
    # int(2 * 128 * 4 / 3) = 341, and the next multiple of 16 is 352.
    assert SwiGLU(width, 10).output.in_features == inner


def reference_mixture(layer: MoeMlp, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    inner, width = layer.inner, x.shape[-1]
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            token = x[b, t]
            scores = (layer.router.weight @ token + layer.router.bias).tolist()
            chosen = sorted(range(layer.experts), key=lambda e: -scores[e])[: layer.active]
            if layer.compatible:
                logits = [scores[e] if e in chosen else 0.0 for e in range(layer.experts)]
            else:
                logits = [scores[e] if e in chosen else -math.inf for e in range(layer.experts)]
            total = sum(math.exp(logit) for logit in logits)
            hidden = (layer.up.weight @ token) * gelu(layer.gate.weight @ token)
            for e, logit in enumerate(logits):
                own = slice(e * inner, (e + 1) * inner)
                if layer.compatible:
                    # Rows are (channel, expert); every expert reads all inner channels.
                    output = layer.output.weight.reshape(width, layer.experts, -1)[:, e] @ hidden
                else:
                    output = layer.output.weight[:, own] @ hidden[own]
                y[b, t] += math.exp(logit) / total * output
    return y


@settings(max_examples=25)
@given(
    experts=st.integers(1, 9),
    inner=st.integers(1, 6),
    compatible=st.booleans(),
    data=st.data(),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_a_mixture_is_its_formula(
    experts: int, inner: int, compatible: bool, data: st.DataObject, seed: int
) -> None:
    active = data.draw(st.integers(1, experts))
    settings = {"experts": experts, "inner": inner, "active": active, "compatible": compatible}
    layer = built(MoeMlp, WIDTH, MAX_LENGTH, seed=seed, **settings).double()
    x = sequences(WIDTH, 4, seed=seed).double()
    torch.testing.assert_close(layer(x), reference_mixture(layer, x), **CLOSE)


def test_experts_not_chosen_learn_nothing() -> None:
    layer = layer_of(MAKES["mixture"])
    x = sequences(WIDTH, 1, batch=1)
    weights = layer.weights(x)[0, 0]
    assert int((weights > 0).sum()) == 2
    layer(x).square().sum().backward()
    learned = layer.up.weight.grad.unflatten(0, (8, 16)).abs().amax((1, 2)) > 0
    assert torch.equal(learned, weights > 0)


def test_in_mad_labs_scores_every_expert_weighs_something() -> None:
    assert (layer_of(MAKES["mixture as in mad-lab"]).weights(sequences(WIDTH, 9)) > 0).all()


def test_sizes_of_mads_mixtures() -> None:
    def size(layer: MoeMlp) -> int:
        return sum(p.numel() for p in layer.parameters())

    router = 8 * 128 + 8
    assert size(MoeMlp(128, 64)) == 3 * 128 * 128 + router
    # mad-lab's, without the (8, 16) gates that it draws and never uses.
    assert size(MoeMlp(128, 64, compatible=True)) == 2 * 128 * 128 + 8 * 128 * 128 + router


@pytest.mark.parametrize(
    ("kind", "chosen", "named"),
    [
        (Mlp, {"inner": 0}, "mlp: an inner width of 0"),
        (SwiGLU, {"inner": -1}, "swiglu: an inner width of -1"),
        (MoeMlp, {"inner": 0}, "moe-mlp: an inner width of 0"),
        (MoeMlp, {"experts": 4, "active": 5}, "5 active experts of 4"),
        (MoeMlp, {"active": 0}, "0 active experts of 8"),
    ],
)
def test_impossible_sizes_are_named(kind: type[SequenceLayer], chosen: dict, named: str) -> None:
    with pytest.raises(LayerError, match=named) as raised:
        kind(WIDTH, MAX_LENGTH, **chosen)
    assert "\n" not in str(raised.value)
