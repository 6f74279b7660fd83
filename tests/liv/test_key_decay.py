"""The scan of a state that decays by key channel or as a whole, against a loop in double precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from madstar.liv.key_decay import (
    BLOCK,
    HEAD_DECAY_CHUNK,
    LONGEST_CHUNK,
    MAX_LOG_DECAY,
    Scanned,
    advance,
    join_heads,
    key_decay_chunk,
    scan_head_decay,
    scan_key_decay,
    split_heads,
)

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SINGLE = {"rtol": 2e-4, "atol": 2e-4}
seeds = st.integers(0, 2**31)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def decays(*shape: int, seed: int) -> Tensor:
    """Log-decays from none at all to the strongest that is not clamped, most of them weak."""
    uniform = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return -MAX_LOG_DECAY * uniform**6


def looped(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, bonus: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The recurrence, in double; log_decay (batch or 1, heads, length, key or 1)."""
    q, k, v, log_decay = (each.double() for each in (q, k, v, log_decay))
    state = torch.zeros(v.shape[0], v.shape[1], k.shape[3], v.shape[3], dtype=torch.float64)
    y = []
    for t in range(v.shape[2]):
        added = k[:, :, t, :, None] * v[:, :, t, None, :]
        before, state = state, torch.exp(log_decay[:, :, t, :, None]) * state + added
        read = state if bonus is None else before + bonus.double()[:, :, None] * added
        y.append((q[:, :, t, :, None] * read).sum(2))
    return torch.stack(y, 2), state


def assert_same(found: Scanned, expected: tuple[Tensor, Tensor], tolerance: dict[str, float]) -> None:
    torch.testing.assert_close(found.y.double(), expected[0], **tolerance)
    torch.testing.assert_close(found.final.double(), expected[1], **tolerance)


@given(
    length=st.integers(1, 150),
    key=st.sampled_from([1, 3, 20, 40]),
    bonus=st.booleans(),
    constant=st.booleans(),
    chunk=st.sampled_from([None, 1, 4, 16, 32, 64, 128]),
    seed=seeds,
)
def test_decay_by_key_channel_is_the_loop(
    length: int, key: int, bonus: bool, constant: bool, chunk: int | None, seed: int
) -> None:
    q, k = random(2, 2, 3, length, key, seed=seed)
    v = random(2, 3, length, 2, seed=seed + 1)
    log_decay = decays(1 if constant else 2, 3, length, key, seed=seed + 2)
    u = random(3, key, seed=seed + 3) if bonus else None
    assert_same(scan_key_decay(q, k, v, log_decay, u, chunk), looped(q, k, v, log_decay, u), EXACT)


@given(
    length=st.integers(1, 150),
    shared=st.booleans(),
    constant=st.booleans(),
    chunk=st.sampled_from([HEAD_DECAY_CHUNK, 1, 7, 64]),
    seed=seeds,
)
def test_decay_by_head_is_the_loop(length: int, shared: bool, constant: bool, chunk: int, seed: int) -> None:
    q, k = random(2, 2, 1 if shared else 3, length, 4, seed=seed)
    v = random(2, 3, length, 2, seed=seed + 1)
    log_decay = decays(1 if constant else 2, 3, length, seed=seed + 2)
    expected = looped(q.expand(2, 3, -1, -1), k.expand(2, 3, -1, -1), v, log_decay[..., None])
    assert_same(scan_head_decay(q, k, v, log_decay, chunk), expected, EXACT)


@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("key", [BLOCK, 3 * BLOCK, LONGEST_CHUNK])
def test_gradients_are_those_of_the_loop(bonus: bool, key: int) -> None:
    length = key + 5  # Two chunks; from the second width on, of several blocks.
    q, k, v = random(3, 2, 2, length, key, seed=0).requires_grad_().unbind(0)
    log_decay = decays(2, 2, length, key, seed=1).requires_grad_()
    u = random(2, key, seed=2).requires_grad_() if bonus else None
    of_y, of_final = random(2, 2, length, key, seed=3), random(2, 2, key, key, seed=4)
    wanted = [q, k, v, log_decay] if u is None else [q, k, v, log_decay, u]

    def gradients(result: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad((result[0] * of_y).sum() + (result[1] * of_final).sum(), wanted)

    found = gradients(scan_key_decay(q, k, v, log_decay, u))
    for one, other in zip(found, gradients(looped(q, k, v, log_decay, u)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_gradients_of_decays_by_head_are_those_of_the_loop() -> None:
    length = 2 * HEAD_DECAY_CHUNK + 5
    q, k, v = random(3, 2, 2, length, 4, seed=0).requires_grad_().unbind(0)
    log_decay = decays(2, 2, length, seed=1).requires_grad_()
    of_y, of_final = random(2, 2, length, 4, seed=3), random(2, 2, 4, 4, seed=4)

    def gradients(result: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            (result[0] * of_y).sum() + (result[1] * of_final).sum(), [q, k, v, log_decay]
        )

    expected = gradients(looped(q, k, v, log_decay[..., None]))
    for one, other in zip(gradients(scan_head_decay(q, k, v, log_decay)), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def extremes(length: int, key: int) -> dict[str, Tensor]:
    """Log-decays (1, 1, length, key) that would overflow, underflow or lose digits in a careless scan."""
    strongest = torch.full((1, 1, length, key), -MAX_LOG_DECAY)
    gap = torch.zeros(1, 1, length, key)
    gap[:, :, ::LONGEST_CHUNK] = -MAX_LOG_DECAY
    first_half = strongest * (torch.arange(length) % BLOCK < BLOCK // 2)[:, None]
    return {
        "none": torch.zeros(1, 1, length, key),
        "tiny": torch.full((1, 1, length, key), -1e-6),
        "strongest": strongest,
        "beyond": torch.full((1, 1, length, key), -1e30),
        "forgets everything now and then": gap,
        "strong, then weak": first_half - 1e-3,
        "weak, then strong": strongest - first_half - 1e-3,
        "by channel": strongest * torch.linspace(0, 1, key),
    }


@pytest.mark.parametrize("name", extremes(1, 1))
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("key", [4, LONGEST_CHUNK])
def test_extreme_decays_in_single_precision(name: str, bonus: bool, key: int) -> None:
    length = 2 * LONGEST_CHUNK + 3
    # Numbers small enough that a factor of e^-64 could push them out of float32's range.
    q, k = random(2, 2, 1, length, key, seed=0, dtype=torch.float32) * 1e-3
    v = random(2, 1, length, 3, seed=1, dtype=torch.float32)
    log_decay = extremes(length, key)[name]
    u = random(1, key, seed=2, dtype=torch.float32) if bonus else None
    leaves = [each.requires_grad_() for each in (q, k, v, log_decay)]
    found = scan_key_decay(*leaves, u)
    expected = looped(q, k, v, log_decay.clamp(min=-MAX_LOG_DECAY), u)
    torch.testing.assert_close(found.y.detach().double(), expected[0].detach(), rtol=2e-4, atol=1e-9)
    gradients = torch.autograd.grad(found.y.sum() + found.final.sum(), leaves)
    references = torch.autograd.grad(expected[0].sum() + expected[1].sum(), leaves)
    for gradient, reference in zip(gradients, references, strict=True):
        scale = float(reference.abs().max()) + 1e-12
        torch.testing.assert_close(gradient, reference, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("name", extremes(1, 1))
def test_extreme_decays_by_head_in_single_precision(name: str) -> None:
    length = 2 * LONGEST_CHUNK + 3
    q, k = random(2, 2, 1, length, 4, seed=0, dtype=torch.float32)
    v = random(2, 1, length, 3, seed=1, dtype=torch.float32)
    log_decay = extremes(length, 4)[name][..., -1]
    leaves = [each.requires_grad_() for each in (q, k, v, log_decay)]
    found = scan_head_decay(*leaves)
    expected = looped(q, k, v, log_decay.clamp(min=-MAX_LOG_DECAY)[..., None])
    assert_same(Scanned(*(each.detach() for each in found)), tuple(e.detach() for e in expected), SINGLE)
    gradients = torch.autograd.grad(found.y.sum() + found.final.sum(), leaves)
    references = torch.autograd.grad(expected[0].sum() + expected[1].sum(), leaves)
    for gradient, reference in zip(gradients, references, strict=True):
        scale = float(reference.abs().max()) + 1e-12
        torch.testing.assert_close(gradient, reference, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("bonus", [False, True])
def test_steps_are_the_scan(bonus: bool) -> None:
    q, k, v = random(3, 2, 3, 20, 4, seed=0)
    log_decay = 3 * decays(2, 3, 20, 4, seed=1)  # Some are clamped, in both.
    assert (log_decay < -MAX_LOG_DECAY).any()
    u = random(3, 4, seed=2) if bonus else None
    state, y = torch.zeros(2, 3, 4, 4, dtype=torch.float64), []
    for t in range(20):
        read, state = advance(state, q[:, :, t], k[:, :, t], v[:, :, t], log_decay[:, :, t], u)
        y.append(read)
    assert_same(scan_key_decay(q, k, v, log_decay, u), (torch.stack(y, 2), state), EXACT)


def test_computed_in_float32_whatever_comes_in() -> None:
    q, k, v = random(3, 2, 3, 50, 4, seed=0).bfloat16()
    log_decay = decays(2, 3, 50, 4, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        by_key = scan_key_decay(q, k, v, log_decay)
        by_head = scan_head_decay(q, k, v, log_decay[..., 0])
        state = torch.zeros(2, 3, 4, 4)
        read, _ = advance(state, q[:, :, 0], k[:, :, 0], v[:, :, 0], log_decay[:, :, 0])
    assert by_key.y.dtype == by_head.y.dtype == read.dtype == torch.float32
    assert_same(by_key, looped(q, k, v, log_decay), SINGLE)
    assert_same(by_head, looped(q, k, v, log_decay[..., :1]), SINGLE)


def test_heads_are_split_and_joined() -> None:
    x = random(2, 5, 12, seed=0)
    heads = split_heads(x, 3)
    assert heads.shape == (2, 3, 5, 4)
    torch.testing.assert_close(heads[:, 1], x[..., 4:8], rtol=0, atol=0)
    torch.testing.assert_close(join_heads(heads), x, rtol=0, atol=0)


@given(length=st.integers(1, 300), key=st.integers(1, 300))
def test_chunks_are_no_longer_than_they_need_be(length: int, key: int) -> None:
    chunk = key_decay_chunk(length, key)
    assert chunk.bit_count() == 1
    assert chunk <= LONGEST_CHUNK
    assert chunk < 2 * length
