"""Every operator against its matrix T, written out entry by entry from the formulas."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from madstar.liv import OperatorSpec
from madstar.liv.attention import Attention
from madstar.liv.convolution import GatedConvolution
from madstar.liv.differential import Differential
from madstar.liv.featurizer import ShortConvolution
from madstar.liv.memoryless import GatedMemoryless
from madstar.liv.operator import LIV
from madstar.liv.recurrence import Recurrence

from .cases import SINGLE, SMALL, build, spec

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SIGMA = {"none": lambda x: x, "relu": lambda x: x.clamp(min=0), "swish": lambda x: x / (1 + torch.exp(-x))}

# Differential operators are two of these; see the last test.
PLAIN = {name: genome for name, genome in SINGLE.items() if not spec(genome).layers[0].operator.differential}


def named(token_mixing: str) -> dict[str, str]:
    return {
        name: genome
        for name, genome in PLAIN.items()
        if spec(genome).layers[0].operator.token_mixing == token_mixing
    }


def operator_and_input(genome: str, length: int) -> tuple[LIV, Tensor]:
    """An operator in double precision, and what a norm could have given it."""
    operator = build(genome).double().layers[0].operator
    x = torch.randn(1, length, SMALL.width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return operator, x


def attention_matrix(structure: OperatorSpec, q: Tensor, k: Tensor, window: int) -> Tensor:
    """T of one head from its queries and keys (length, head): one row after the other."""
    length, head = q.shape
    T = torch.zeros(length, length, dtype=q.dtype)
    for i in range(length):
        seen = range(max(0, i + 1 - window) if structure.banded else 0, i + 1)
        scores = [torch.dot(q[i], k[j]) / math.sqrt(head) for j in seen]
        if structure.nonlinearity == "softmax":
            whole = sum(torch.exp(score) for score in scores)
            row = [torch.exp(score) / whole for score in scores]
        else:
            row = [SIGMA[structure.nonlinearity](score) / len(seen) for score in scores]
        for j, entry in zip(seen, row, strict=True):
            T[i, j] = entry
    return T


@pytest.mark.parametrize("genome", named("low-rank").values(), ids=named("low-rank"))
@torch.no_grad()
def test_attention(genome: str) -> None:
    structure = spec(genome).layers[0].operator
    # Past the window of 20, or past a chunk of 64 where there is a scan.
    length = 70 if structure.nonlinearity == "none" and not structure.banded else 27
    operator, x = operator_and_input(genome, length)
    assert isinstance(operator, Attention)
    heads = SMALL.heads if structure.channel_mixing == "grouped" else 1
    head, repeat = SMALL.width // heads, structure.group("k").repeat
    features = operator.featurize(x, {})
    q, k, v = (features[role][0] for role in "qkv")
    assert q.shape == (heads, length, head)
    assert k.shape == v.shape == (heads // repeat, length, head)
    parts = []
    for h in range(heads):
        T = attention_matrix(structure, q[h], k[h // repeat], SMALL.window)
        parts.append(T @ v[h // repeat])
    expected = torch.cat(parts, dim=-1)
    torch.testing.assert_close(operator.mix(features)[0], expected, **EXACT)
    torch.testing.assert_close(operator(x)[0][0], expected @ operator.output.weight.T, **EXACT)


@pytest.mark.parametrize("genome", ["11111", "31111", "101.1.1.1.1/o101=12112"])
@torch.no_grad()
def test_queries_and_keys_are_turned_by_their_place_and_values_are_not(genome: str) -> None:
    operator, x = operator_and_input(genome, 12)
    assert isinstance(operator, Attention)
    features = operator.featurize(x, {})
    for role in "qkv":
        plain = operator.groups[role](x).unflatten(-1, (-1, operator.head))
        half = operator.head // 2
        pairs = torch.complex(plain[..., :half], plain[..., half:])
        for place in range(12 if role != "v" else 0):
            for pair in range(half):
                angle = place * 10_000.0 ** (-pair / half)
                pairs[:, place, :, pair] *= complex(math.cos(angle), math.sin(angle))
        expected = torch.cat([pairs.real, pairs.imag], -1).transpose(1, 2)
        torch.testing.assert_close(features[role], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("genome", named("semi-separable").values(), ids=named("semi-separable"))
@torch.no_grad()
def test_recurrence(genome: str) -> None:
    length, width = 35, SMALL.width
    operator, x = operator_and_input(genome, length)
    assert isinstance(operator, Recurrence)
    features = operator.featurize(x, {})
    state = operator.spec.group("b").expansion
    c = SIGMA[operator.spec.nonlinearity](operator.groups["c"](x)[0]) / math.sqrt(state)
    b, v = features["b"][0], features["v"][0]
    decay = torch.exp(features["a"][0])
    if operator.spec.channel_mixing == "grouped":
        assert decay.shape == (length, SMALL.heads)
        decay = torch.stack([decay[:, channel // (width // SMALL.heads)] for channel in range(width)], 1)
    T = torch.zeros(length, length, width, dtype=x.dtype)
    for i in range(length):
        for j in range(i + 1):
            between = torch.ones(width, dtype=x.dtype)
            for step in range(j + 1, i + 1):
                between = between * decay[step]
            T[i, j] = torch.dot(c[i], b[j]) * between * torch.sqrt(1 - decay[j] ** 2)
    expected = torch.einsum("ijd,jd->id", T, v)
    torch.testing.assert_close(operator.mix(features)[0], expected, **EXACT)
    torch.testing.assert_close(operator(x)[0][0], expected @ operator.output.weight.T, **EXACT)


@pytest.mark.parametrize("genome", named("toeplitz").values(), ids=named("toeplitz"))
@torch.no_grad()
def test_convolution(genome: str) -> None:
    length, width = 43, SMALL.width
    operator, x = operator_and_input(genome, length)
    assert isinstance(operator, GatedConvolution)
    structure, kernel = operator.spec, operator.groups["kernel"]
    c, b, v = (operator.groups[role](x)[0] for role in ("c", "b", "v"))
    copies = width // SMALL.heads if structure.channel_mixing == "grouped" else 1
    K = torch.zeros(length, width, dtype=x.dtype)
    for channel in range(width):
        if isinstance(kernel, ShortConvolution):
            taps = kernel.weight[channel // copies, 0].flip(0)
            assert len(taps) == structure.group("kernel").expansion
        else:
            taps = kernel(SMALL.window if structure.banded else length)[channel]
        K[: len(taps), channel] = taps
    if copies > 1:
        assert torch.equal(K[:, 0], K[:, copies - 1])
        assert not torch.equal(K[:, 0], K[:, copies])
    T = torch.zeros(length, length, width, dtype=x.dtype)
    for i in range(length):
        for j in range(i + 1):
            T[i, j] = SIGMA[structure.nonlinearity](c[i]) * K[i - j] * b[j]
    expected = torch.einsum("ijd,jd->id", T, v)
    torch.testing.assert_close(operator.mix(operator.featurize(x, {}))[0], expected, **EXACT)
    torch.testing.assert_close(operator(x)[0][0], expected @ operator.output.weight.T, **EXACT)


@pytest.mark.parametrize("genome", named("diagonal").values(), ids=named("diagonal"))
@torch.no_grad()
def test_memoryless(genome: str) -> None:
    operator, x = operator_and_input(genome, 9)
    assert isinstance(operator, GatedMemoryless)
    gate, value = (operator.groups[role](x)[0] for role in ("gate", "value"))
    expected = SIGMA[operator.spec.nonlinearity](gate) * value
    assert expected.shape[-1] == SMALL.width * operator.spec.group("value").expansion
    weight = operator.output.weight
    if operator.spec.channel_mixing == "grouped":
        weight = torch.block_diag(*weight).T
    torch.testing.assert_close(operator(x)[0][0], expected @ weight.T, **EXACT)


@pytest.mark.parametrize("number", range(10, 18))
@torch.no_grad()
def test_a_differential_operator_is_the_difference_of_two_of_its_class(number: int) -> None:
    operator, x = operator_and_input(f"{number}.1.1.1.1", 23)
    assert isinstance(operator, Differential)
    assert type(operator.first) is type(operator.second)
    plain, _ = operator_and_input(f"{number - 9}1111", 1)
    assert operator.first.spec.groups == plain.spec.groups
    assert not torch.equal(operator.first.output.weight, operator.second.output.weight)
    expected = operator.first(x)[0] - operator.second(x)[0]
    torch.testing.assert_close(operator(x)[0], expected, **EXACT)


@torch.no_grad()
def test_a_backbone_is_norm_operator_residual_and_norm_head() -> None:
    backbone = build("91111-11111").double()
    for part in backbone.modules():
        if isinstance(part, torch.nn.RMSNorm):
            part.weight.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(3))

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * weight

    text = torch.tensor([[3, 1, 4, 1, 5]])
    x = backbone.embedding.weight[text]
    memoryless, attention = backbone.layers
    groups = memoryless.operator.groups
    normed = norm(x, memoryless.norm.weight)
    gate, value = (normed @ groups[role].mixing.weight.T for role in ("gate", "value"))
    x = x + (F.silu(gate) * value) @ memoryless.operator.output.weight.T
    x = x + attention.operator(norm(x, attention.norm.weight))[0]
    expected = norm(x, backbone.norm.weight) @ backbone.head.weight.T
    torch.testing.assert_close(backbone(text), expected, **EXACT)
