"""Delta rules in chunks: a state matrix that replaces what it holds under a key, not only adds to it.

A token's write depends on what the earlier tokens of its chunk have written, which is a triangular
system: solved once per chunk, it gives every write as a function of the state S at the chunk's start
(the WY form of DeltaNet, arXiv 2406.06484, section 3; with decay arXiv 2412.06464, section 3.3). A chunk
then maps S to M S + N, so the only loop is one small matrix product a chunk; all else is done for every
chunk at once. Computed in float32 at least. State matrices are (key, value): the transpose of the papers'.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from . import kernels

CHUNK = 32
DIAGONAL_CHUNK = 16
MAX_LOG_DECAY = 5.0


class DeltaResult(NamedTuple):
    """What is read at every token, and the state after the last."""

    y: Float[Tensor, "batch heads length value"]
    final: Float[Tensor, "batch heads key value"]


def gated_delta_rule(
    q: Float[Tensor, "batch heads length key"],
    k: Float[Tensor, "batch heads length key"],
    v: Float[Tensor, "batch heads length value"],
    beta: Float[Tensor, "batch heads length"],
    log_decay: Float[Tensor, "batch heads length"],
    chunk: int = CHUNK,
) -> DeltaResult:
    """S_t = a_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T, y_t = S_t^T q_t, from S_0 = 0.

    `log_decay` is log a_t <= 0, of any size: decays between two tokens are taken as exponentials of
    differences, which are never positive. Keys should have a norm of at most sqrt(2 / beta).
    On a GPU a published kernel computes it where there is one (`kernels.py`).
    Source: arXiv 2412.06464, equation 10.
    """
    if kernels.usable(v):
        return DeltaResult(*kernels.gated_delta(q, k, v, beta, log_decay))
    length = q.shape[2]
    with torch.autocast(q.device.type, enabled=False):
        y, final = _gated(q, k, v, beta, log_decay, min(chunk, length))
    return DeltaResult(y.flatten(2, 3)[:, :, :length], final)


def _gated(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """The rule in chunks: y (batch, heads, n, chunk, value) and the final state."""
    q, k, v = (_chunked(_precise(x), chunk) for x in (q, k, v))  # (batch, heads, n, chunk, d)
    beta, log_decay = (_chunked(_precise(x)[..., None], chunk) for x in (beta, log_decay))
    total = torch.cumsum(log_decay, dim=-2)  # log of the decay since the chunk's start, (..., chunk, 1)
    end = total[..., -1:, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).triu(1)
    between = torch.exp((total - total.mT).masked_fill(future, -torch.inf))  # (..., chunk, chunk)

    # Token t adds k_t u_t^T, and (I + L) U = beta V - beta e^total K S with the S of the chunk's start.
    from_start = torch.exp(total)
    system = torch.tril(beta * between * (k @ k.mT), -1)
    written = _inverse(system) @ torch.cat([beta * from_start * k, beta * v], -1)
    read = between * (q @ k.mT)
    kept = torch.exp(end - total) * k
    from_state, of_itself = (read @ written).split([k.shape[-1], v.shape[-1]], -1)
    removed, added = (kept.mT @ written).split([k.shape[-1], v.shape[-1]], -1)
    transition = torch.diag_embed(torch.exp(end[..., 0, :]).expand(*k.shape[:3], k.shape[-1])) - removed
    states, final = _across(transition, added)
    return (from_start * q - from_state) @ states + of_itself, final


def gated_delta_step(
    q: Float[Tensor, "batch heads key"],
    k: Float[Tensor, "batch heads key"],
    v: Float[Tensor, "batch heads value"],
    beta: Float[Tensor, "batch heads"],
    log_decay: Float[Tensor, "batch heads"],
    state: Float[Tensor, "batch heads key value"],
) -> tuple[Float[Tensor, "batch heads value"], Float[Tensor, "batch heads key value"]]:
    """One token of `gated_delta_rule`: what it reads, and the next state."""
    state = log_decay.exp()[..., None, None] * state
    held = (k[..., None] * state).sum(-2)
    state = state + k[..., None] * (beta[..., None] * (v - held))[..., None, :]
    return (q[..., None] * state).sum(-2), state


def diagonal_delta_rule(
    r: Float[Tensor, "batch heads length key"],
    k: Float[Tensor, "batch heads length key"],
    v: Float[Tensor, "batch heads length value"],
    removal: Float[Tensor, "batch heads length key"],
    rate: Float[Tensor, "batch heads length key"],
    log_decay: Float[Tensor, "batch heads length key"],
    chunk: int = DIAGONAL_CHUNK,
) -> DeltaResult:
    """S_t = (diag(w_t) - (rate_t * removal_t) removal_t^T) S_{t-1} + k_t v_t^T, y_t = S_t^T r_t, S_0 = 0.

    `log_decay` is log w_t <= 0, one per key channel. Decays are taken relative to the middle of each
    chunk, so that no exponent exceeds chunk / 2 * MAX_LOG_DECAY = 40; a log decay below -MAX_LOG_DECAY
    acts as that. Source: arXiv 2503.14456, section 4 (RWKV-7), whose decay is never below -0.61.
    """
    length = r.shape[2]
    with torch.autocast(r.device.type, enabled=False):
        y, final = _diagonal(r, k, v, removal, rate, log_decay, min(chunk, length))
    return DeltaResult(y.flatten(2, 3)[:, :, :length], final)


def _diagonal(
    r: Tensor, k: Tensor, v: Tensor, removal: Tensor, rate: Tensor, log_decay: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """The rule in chunks: y (batch, heads, n, chunk, value) and the final state."""
    log_decay = log_decay.clamp(min=-MAX_LOG_DECAY)
    r, k, v, removal, rate, log_decay = (
        _chunked(_precise(x), chunk) for x in (r, k, v, removal, rate, log_decay)
    )  # (batch, heads, n, chunk, d)
    total = torch.cumsum(log_decay, dim=-2)
    before, end = total - log_decay, total[..., -1:, :]
    middle = total[..., (chunk - 1) // 2 : (chunk - 1) // 2 + 1, :]
    replaced = rate * removal
    since, until = torch.exp(total - middle), torch.exp(middle - total)
    k_until, replaced_until = until * k, until * replaced

    # z_t = S_{t-1}^T removal_t is what token t takes out:
    # (I + L) Z = A V + e^before removal S with the S of the chunk's start.
    removal_since = torch.exp(before - middle) * removal
    overlaps = removal_since @ torch.cat([replaced_until, k_until], -2).mT
    system, fresh = (torch.tril(part, -1) for part in overlaps.split(chunk, -1))
    taken = _inverse(system) @ torch.cat([torch.exp(before) * removal, fresh @ v], -1)
    read = (since * r) @ torch.cat([replaced_until, k_until], -2).mT
    read_replaced, read_fresh = (torch.tril(part) for part in read.split(chunk, -1))
    left = torch.exp(end - total)
    from_state, of_taken = (read_replaced @ taken).split([k.shape[-1], v.shape[-1]], -1)
    removed, withdrawn = ((left * replaced).mT @ taken).split([k.shape[-1], v.shape[-1]], -1)
    transition = torch.diag_embed(torch.exp(end[..., 0, :])) - removed
    states, final = _across(transition, (left * k).mT @ v - withdrawn)
    return (torch.exp(total) * r - from_state) @ states + read_fresh @ v - of_taken, final


def diagonal_delta_step(
    r: Float[Tensor, "batch heads key"],
    k: Float[Tensor, "batch heads key"],
    v: Float[Tensor, "batch heads value"],
    removal: Float[Tensor, "batch heads key"],
    rate: Float[Tensor, "batch heads key"],
    log_decay: Float[Tensor, "batch heads key"],
    state: Float[Tensor, "batch heads key value"],
) -> tuple[Float[Tensor, "batch heads value"], Float[Tensor, "batch heads key value"]]:
    """One token of `diagonal_delta_rule`: what it reads, and the next state."""
    held = (removal[..., None] * state).sum(-2)
    state = log_decay.clamp(min=-MAX_LOG_DECAY).exp()[..., None] * state
    state = state - (rate * removal)[..., None] * held[..., None, :] + k[..., None] * v[..., None, :]
    return (r[..., None] * state).sum(-2), state


def delta_rule_flops(length: int, key: int, value: int, *, diagonal: bool = False) -> int:
    """Operations of one head's matrix products over one sequence, 2 per multiply-add.

    The triangular inverse counts chunk^3 / 3 multiply-adds; element-wise work counts none.
    """
    chunk = min(DIAGONAL_CHUNK if diagonal else CHUNK, length)
    chunks = -(-length // chunk)
    square, both = chunk * chunk, key + value
    inside = square * both * 2 + chunk**3 // 3  # the inverse applied, then read
    inside += square * (4 * key + 2 * value) if diagonal else square * 2 * key
    states = chunk * key * (both + value) if diagonal else chunk * key * both
    carry = key * key * value + chunk * key * value
    return 2 * chunks * (inside + states + carry)


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _chunked(x: Float[Tensor, "batch heads length d"], chunk: int) -> Tensor:
    """The sequence in chunks, filled up with zeros: tokens that write, take and decay nothing."""
    missing = -x.shape[2] % chunk
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(*x.shape[:2], -1, chunk, x.shape[-1])


def _inverse(
    system: Float[Tensor, "batch heads n chunk chunk"],
) -> Float[Tensor, "batch heads n chunk chunk"]:
    """(I + L)^-1 of a strictly lower triangular L, by substitution: exact however large L is."""
    identity = torch.eye(system.shape[-1], dtype=system.dtype, device=system.device).expand_as(system)
    return torch.linalg.solve_triangular(system, identity, upper=False, unitriangular=True)


def _across(
    transition: Float[Tensor, "batch heads n key key"], added: Float[Tensor, "batch heads n key value"]
) -> tuple[Float[Tensor, "batch heads n key value"], Float[Tensor, "batch heads key value"]]:
    """States before each chunk, and after the last: one product a chunk."""
    state = torch.zeros_like(added[:, :, 0])
    states = []
    for each, new in zip(transition.unbind(2), added.unbind(2), strict=True):
        states.append(state)
        state = each @ state + new
    return torch.stack(states, 2), state
