"""The selective scan against a loop over time in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from madstar.liv.selective_scan import CHUNK, selective_scan, selective_step

BATCH, CHANNELS, STATE = 2, 3, 4
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)


def loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """h[n, d] <- exp(dt_t[d] A[n, d]) h[n, d] + dt_t[d] B_t[n] x_t[d], y_t[d] = sum_n C_t[n] h[n, d]."""
    h = torch.zeros(x.shape[0], *A.shape, dtype=x.dtype)
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(torch.einsum("bd,nd->bnd", dt[:, t], A))
        h = decay * h + torch.einsum("bd,bn,bd->bnd", dt[:, t], B[:, t], x[:, t])
        outputs.append(torch.einsum("bn,bnd->bd", C[:, t], h))
    return torch.stack(outputs, 1), h


def drawn(length: int, seed: int = 0, state: int = STATE) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, dt = (torch.randn(BATCH, length, CHANNELS, generator=generator) for _ in range(2))
    B, C = (torch.randn(BATCH, length, state, generator=generator) for _ in range(2))
    A = -torch.arange(1.0, state + 1)[:, None] * torch.rand(state, CHANNELS, generator=generator)
    return [x, dt.abs(), A, B, C]


def check(inputs: list[Tensor], **settings: int) -> None:
    y, final = selective_scan(*inputs, **settings)
    expected_y, expected_final = loop(*(each.double() for each in inputs))
    torch.testing.assert_close(y.double(), expected_y, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(final.double(), expected_final, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_scan_says_what_the_loop_says(length: int) -> None:
    check(drawn(length))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 16), st.integers(1, 5), st.integers(0, 99))
def test_any_chunk_and_state_will_do(length: int, chunk: int, state: int, seed: int) -> None:
    check(drawn(length, seed, state), chunk=chunk)


def test_gradients_are_the_loops() -> None:
    inputs = [each.double().requires_grad_() for each in drawn(CHUNK + 7)]

    def gradients(result: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        y, final = result
        return torch.autograd.grad((y * torch.arange(CHANNELS)).sum() + final.square().sum(), inputs)

    for ours, expected in zip(gradients(selective_scan(*inputs)), gradients(loop(*inputs)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("strength", [0.0, 1e-4, 100.0, 1e6])
def test_no_decay_overflows_or_is_bounded(strength: float) -> None:
    inputs = drawn(3 * CHUNK + 5)
    inputs[2] = inputs[2] * strength
    check(inputs)
    inputs[1][:, ::3] = 0.0  # tokens that neither decay nor write beside those that wipe the state
    check(inputs)
    given = [each.requires_grad_() for each in inputs]
    for gradient in torch.autograd.grad(selective_scan(*given).y.sum(), given):
        assert gradient.isfinite().all()


def test_the_step_form_goes_on_where_the_scan_ends() -> None:
    inputs = drawn(CHUNK + 3)
    x, dt, A, B, C = inputs
    expected, last = selective_scan(*inputs)
    _, h = selective_scan(x[:, :CHUNK], dt[:, :CHUNK], A, B[:, :CHUNK], C[:, :CHUNK])
    for t in range(CHUNK, CHUNK + 3):
        y, h = selective_step(x[:, t], dt[:, t], A, B[:, t], C[:, t], h)
        torch.testing.assert_close(y, expected[:, t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(h, last, rtol=1e-5, atol=1e-6)


def test_autocast_does_not_touch_the_scan() -> None:
    inputs = drawn(40)
    expected = selective_scan(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = selective_scan(*inputs)
        of_half = selective_scan(*(each.bfloat16() for each in inputs))
    assert found.y.equal(expected.y)
    assert of_half.y.dtype == torch.float32
