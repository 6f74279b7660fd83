"""The chunked delta rules against loops over the papers' formulas, in double precision."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from madstar.liv.delta_rule import (
    CHUNK,
    DIAGONAL_CHUNK,
    MAX_LOG_DECAY,
    delta_rule_flops,
    diagonal_delta_rule,
    diagonal_delta_step,
    gated_delta_rule,
    gated_delta_step,
)

BATCH, HEADS, KEY, VALUE = 2, 2, 5, 3
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
GATED, DIAGONAL = "gated", "diagonal"
RULE = {GATED: gated_delta_rule, DIAGONAL: diagonal_delta_rule}
STEP = {GATED: gated_delta_step, DIAGONAL: diagonal_delta_step}
LENGTHS = (1, 2, DIAGONAL_CHUNK, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7)


def gated_loop(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """arXiv 2412.06464, equation 10, for one head: S is (value, key)."""
    S = v.new_zeros(v.shape[1], k.shape[1])
    outputs = []
    for t in range(len(q)):
        kept = torch.eye(k.shape[1], dtype=k.dtype) - beta[t] * torch.outer(k[t], k[t])
        S = log_decay[t].exp() * S @ kept + beta[t] * torch.outer(v[t], k[t])
        outputs.append(S @ q[t])
    return torch.stack(outputs), S.T


def diagonal_loop(
    r: Tensor, k: Tensor, v: Tensor, kappa: Tensor, a: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor]:
    """arXiv 2503.14456, the weighted key value state of section 4.1, for one head: S is (value, key)."""
    S = v.new_zeros(v.shape[1], k.shape[1])
    outputs = []
    for t in range(len(r)):
        S = S @ (torch.diag(log_decay[t].exp()) - torch.outer(kappa[t], a[t] * kappa[t]))
        S = S + torch.outer(v[t], k[t])
        outputs.append(S @ r[t])
    return torch.stack(outputs), S.T


LOOP = {GATED: gated_loop, DIAGONAL: diagonal_loop}


def looped(kind: str, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The loop over every sequence and head, in double."""
    ys, states = [], []
    for i in range(inputs[0].shape[0]):
        for j in range(inputs[0].shape[1]):
            y, state = LOOP[kind](*(each[i, j].double() for each in inputs))
            ys.append(y)
            states.append(state)
    shape = inputs[0].shape[:2]
    return torch.stack(ys).unflatten(0, shape), torch.stack(states).unflatten(0, shape)


def drawn(kind: str, length: int, seed: int = 0, strongest: float = 2.0) -> list[Tensor]:
    """Inputs of a rule: unit keys, rates in (0, 1), log decays down to -strongest."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*last: int) -> Tensor:
        return torch.randn(BATCH, HEADS, length, *last, generator=generator)

    def uniform(*last: int) -> Tensor:
        return torch.rand(BATCH, HEADS, length, *last, generator=generator)

    if kind == GATED:
        return [
            normal(KEY),
            F.normalize(normal(KEY), dim=-1),
            normal(VALUE),
            uniform(),
            -strongest * uniform() ** 2,
        ]
    kappa = F.normalize(normal(KEY), dim=-1)
    return [normal(KEY), normal(KEY), normal(VALUE), kappa, uniform(KEY), -strongest * uniform(KEY) ** 2]


def check(kind: str, inputs: list[Tensor], **settings: int) -> None:
    y, final = RULE[kind](*inputs, **settings)
    expected_y, expected_final = looped(kind, inputs)
    scale = max(1.0, float(expected_y.abs().max()))
    torch.testing.assert_close(y.double(), expected_y, rtol=1e-4, atol=2e-5 * scale)
    torch.testing.assert_close(final.double(), expected_final, rtol=1e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", RULE)
def test_the_chunks_say_what_the_loop_says(kind: str, length: int) -> None:
    check(kind, drawn(kind, length))


@settings(max_examples=25)
@given(st.sampled_from(list(RULE)), st.integers(1, 40), st.integers(1, 16), st.integers(0, 99))
def test_any_chunk_will_do(kind: str, length: int, chunk: int, seed: int) -> None:
    check(kind, drawn(kind, length, seed), chunk=chunk)


@pytest.mark.parametrize("kind", RULE)
def test_gradients_are_the_loops(kind: str) -> None:
    inputs = [each.double().requires_grad_() for each in drawn(kind, CHUNK + 5)]
    direction = torch.randn(BATCH, HEADS, CHUNK + 5, VALUE, generator=torch.Generator().manual_seed(1))

    def gradients(run: object) -> tuple[Tensor, ...]:
        y, final = run(inputs)  # type: ignore[operator]
        return torch.autograd.grad((y * direction).sum() + final.square().sum(), inputs)

    chunked = gradients(lambda given: RULE[kind](*given))
    for ours, expected in zip(chunked, gradients(lambda given: looped(kind, given)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", RULE)
def test_the_step_form_goes_on_where_the_chunks_end(kind: str) -> None:
    inputs = drawn(kind, CHUNK + 3)
    expected, last = RULE[kind](*inputs)
    _, state = RULE[kind](*(each[:, :, :CHUNK] for each in inputs))
    for t in range(CHUNK, CHUNK + 3):
        y, state = STEP[kind](*(each[:, :, t] for each in inputs), state)
        torch.testing.assert_close(y, expected[:, :, t], **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)


@pytest.mark.parametrize("strength", [0.0, 30.0, 1000.0])
def test_no_decay_of_a_head_overflows(strength: float) -> None:
    inputs = drawn(GATED, 70)
    inputs[4] = torch.full_like(inputs[4], -strength)
    check(GATED, inputs)
    inputs[4][..., ::3] = 0.0  # strong and none side by side
    check(GATED, inputs)
    check_finite_gradients(GATED, inputs)


@pytest.mark.parametrize("strength", [0.0, 0.6, MAX_LOG_DECAY])
def test_no_decay_of_a_channel_overflows(strength: float) -> None:
    inputs = drawn(DIAGONAL, 70)
    inputs[4] = inputs[4] * 0.1  # at strong decays the rule's own matrix would grow without bound
    inputs[5] = torch.full_like(inputs[5], -strength)
    check(DIAGONAL, inputs)
    inputs[5][..., ::2, 1:] = 0.0
    check(DIAGONAL, inputs)
    check_finite_gradients(DIAGONAL, inputs)


def test_decays_of_a_channel_beyond_the_bound_act_as_the_bound() -> None:
    inputs = drawn(DIAGONAL, 40)
    beyond, bound = (torch.full_like(inputs[5], -limit) for limit in (1e4, MAX_LOG_DECAY))
    torch.testing.assert_close(
        diagonal_delta_rule(*inputs[:5], beyond).y, diagonal_delta_rule(*inputs[:5], bound).y
    )
    state = torch.ones(BATCH, HEADS, KEY, VALUE)
    first = [each[:, :, 0] for each in inputs[:5]]
    steps = [diagonal_delta_step(*first, decay[:, :, 0], state)[1] for decay in (beyond, bound)]
    torch.testing.assert_close(*steps)


def check_finite_gradients(kind: str, inputs: list[Tensor]) -> None:
    given = [each.clone().requires_grad_() for each in inputs]
    y, final = RULE[kind](*given)
    for gradient in torch.autograd.grad(y.sum() + final.sum(), given):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", RULE)
def test_equal_keys_written_in_full_stay_exact(kind: str) -> None:
    """The triangular system is all ones: powers of it, in place of substitution, would lose every digit."""
    inputs = drawn(kind, 100, strongest=0.0)
    for place in (1, 3) if kind == DIAGONAL else (1,):
        inputs[place] = inputs[place][:, :, :1].expand_as(inputs[place]).contiguous()
    rate = 4 if kind == DIAGONAL else 3
    inputs[rate] = torch.ones_like(inputs[rate])
    check(kind, inputs)


@pytest.mark.parametrize("kind", RULE)
def test_autocast_does_not_touch_the_rule(kind: str) -> None:
    inputs = drawn(kind, 40)
    expected = RULE[kind](*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = RULE[kind](*inputs)
        of_half = RULE[kind](*(each.bfloat16() for each in inputs))
    assert found.y.equal(expected.y)
    assert found.final.equal(expected.final)
    assert of_half.y.dtype == torch.float32


@pytest.mark.parametrize("length", [1, 20, 70])
@pytest.mark.parametrize("kind", RULE)
def test_operations_are_those_counted(kind: str, length: int) -> None:
    inputs = [each[:1, :1] for each in drawn(kind, length)]
    counter = FlopCounterMode(display=False)
    with counter:
        RULE[kind](*inputs)
    chunk = min(length, CHUNK if kind == GATED else DIAGONAL_CHUNK)
    inverses = -(-length // chunk) * 2 * (chunk**3 // 3)  # not counted by torch
    stated = delta_rule_flops(length, KEY, VALUE, diagonal=kind == DIAGONAL)
    assert stated - inverses == counter.get_total_flops()
