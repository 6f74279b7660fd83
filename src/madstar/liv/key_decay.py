"""Chunked scan of a matrix state that decays by key channel or as a whole, over all tokens at once.

    S_t = diag(a_t) S_{t-1} + k_t^T v_t        S of (key, value)
    y_t = q_t S_t                              or, with RWKV's bonus u for the present token,
    y_t = q_t (S_{t-1} + diag(u) k_t^T v_t)

`scan_key_decay` has one a_t for each key channel (gated linear attention, RWKV-5 and -6),
`scan_head_decay` one for each head (retention, Mamba-2). Between chunks a state is carried; within
a chunk nothing loops over time. `scan.py` decays by value channel instead.

Within a chunk, y = ((q k^T) * D) v where D_ts = a_{s+1} ... a_t. One decay a head makes D a plain mask.
With one a key channel, D must go into q and k. Dividing by a product of many decays would overflow,
so it is done for blocks of `BLOCK` tokens only, from the block's middle, and neighbouring blocks are
then joined two by two: the later block's queries, decayed since its start, meet the earlier block's
keys, decayed until its end. Every factor is at most one there, and a chunk may be as long as is fast.

A log-decay below -MAX_LOG_DECAY is taken for -MAX_LOG_DECAY, in the scan and in the step: of a token
so strongly forgotten there remains less than bfloat16 can tell from nothing beside the next token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from . import kernels

BLOCK = 16
MAX_LOG_DECAY = 8.0  # No exponent exceeds BLOCK / 2 * MAX_LOG_DECAY = 64; float32 has room up to 88.
LONGEST_CHUNK = 128
HEAD_DECAY_CHUNK = 32


class Scanned(NamedTuple):
    """What was read at every token, and the state after the last one."""

    y: Float[Tensor, "batch heads length value"]
    final: Float[Tensor, "batch heads key value"]


def scan_key_decay(
    q: Float[Tensor, "batch heads length key"],
    k: Float[Tensor, "batch heads length key"],
    v: Float[Tensor, "batch heads length value"],
    log_decay: Float[Tensor, "#batch heads length key"],
    bonus: Float[Tensor, "heads key"] | None = None,
    chunk: int | None = None,
) -> Scanned:
    """The scan with one decay for each key channel; log_decay is log a_t <= 0.

    A log_decay of batch size 1 is that of all sequences, and then cheap. With a bonus, y_t reads
    S_{t-1} and the present token through the bonus; without, it reads S_t. `chunk` is a power
    of two. Computed in float32 (float64 if q is), whatever autocast says; on a GPU by a published
    kernel where there is one (`kernels.py`).
    """
    if bonus is None and kernels.usable(v):
        return Scanned(*kernels.key_decay(q, k, v, log_decay.clamp(min=-MAX_LOG_DECAY)))
    with torch.autocast(q.device.type, enabled=False):
        q, k, v, log_decay = (_wide(each) for each in (q, k, v, log_decay))
        length, chunk = q.shape[2], chunk or key_decay_chunk(q.shape[2], q.shape[3])
        q, k, v, log_decay = (chunked(each, chunk) for each in (q, k, v, log_decay))
        y, queries, keys, total = _within(q, k, v, log_decay.clamp(min=-MAX_LOG_DECAY), bonus)
        return _between(y, queries, keys, v, total.transpose(-1, -2), length)


def scan_head_decay(
    q: Float[Tensor, "batch groups length key"],
    k: Float[Tensor, "batch groups length key"],
    v: Float[Tensor, "batch heads length value"],
    log_decay: Float[Tensor, "#batch heads length"],
    chunk: int = HEAD_DECAY_CHUNK,
) -> Scanned:
    """The scan with one decay for each head; log_decay is log a_t <= 0, y_t reads S_t.

    q and k have as many groups as heads, or one for all heads (Mamba-2); log_decay may be that of all
    sequences (retention). Computed in float32 (float64 if q is), whatever autocast says; on a GPU by a
    published kernel where there is one (`kernels.py`).
    """
    if kernels.usable(v):
        return Scanned(*kernels.head_decay(q, k, v, log_decay.clamp(min=-MAX_LOG_DECAY)))
    with torch.autocast(q.device.type, enabled=False):
        q, k, v, log_decay = (_wide(each) for each in (q, k, v, log_decay))
        length, chunk = q.shape[2], min(chunk, q.shape[2])
        q, k, v = (chunked(each, chunk) for each in (q, k, v))
        log_decay = chunked(log_decay.clamp(min=-MAX_LOG_DECAY)[..., None], chunk)
        since = torch.cumsum(log_decay, dim=-2)  # (batch, heads, n, chunk, 1): from the chunk's start
        end = since[..., -1:, :]
        future = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).triu(1)
        decay = torch.exp((since - since.transpose(-1, -2)).masked_fill(future, -torch.inf))
        y = ((q @ k.transpose(-1, -2)) * decay) @ v
        return _between(y, q * torch.exp(since), k * torch.exp(end - since), v, torch.exp(end), length)


def advance(
    state: Float[Tensor, "batch heads key value"],
    q: Float[Tensor, "batch groups key"],
    k: Float[Tensor, "batch groups key"],
    v: Float[Tensor, "batch heads value"],
    log_decay: Float[Tensor, "#batch heads #key"],
    bonus: Float[Tensor, "heads key"] | None = None,
) -> tuple[Float[Tensor, "batch heads value"], Float[Tensor, "batch heads key value"]]:
    """One token: what is read, and the next state, in the state's dtype."""
    with torch.autocast(q.device.type, enabled=False):
        q, k, v, log_decay, before = (_wide(each) for each in (q, k, v, log_decay, state))
        added = k[..., None] * v[:, :, None]
        after = log_decay.clamp(min=-MAX_LOG_DECAY).exp()[..., None] * before + added
        read = after if bonus is None else before + bonus[..., None] * added
        return (q[:, :, None] @ read)[:, :, 0], after.to(state.dtype)


def split_heads(x: Float[Tensor, "... length width"], heads: int) -> Float[Tensor, "... heads length head"]:
    """The channels of each head as a sequence of their own."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def join_heads(x: Float[Tensor, "batch heads length head"]) -> Float[Tensor, "batch length width"]:
    """The reverse of `split_heads`."""
    return x.transpose(1, 2).flatten(2)


def chunked(x: Float[Tensor, "batch heads length d"], chunk: int) -> Float[Tensor, "batch heads n {chunk} d"]:
    """The sequence in chunks; the last one is filled up with zeros: no key, and no decay."""
    missing = -x.shape[2] % chunk
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    # Contiguous at once, or each product of matrices makes its own copy.
    return x.unflatten(2, (-1, chunk)).contiguous()


def key_decay_chunk(length: int, key: int) -> int:
    """The chunk of `scan_key_decay`: about as long as a head is wide, where states cost what scores do."""
    chunk = 1
    while chunk < min(length, max(key, BLOCK), LONGEST_CHUNK):
        chunk *= 2
    return chunk


def key_decay_flops(length: int, key: int, value: int) -> int:
    """Operations of the matrix products of one head over one sequence, 2 per multiply-add."""
    chunk = key_decay_chunk(length, key)
    chunks, block = -(-length // chunk), min(BLOCK, chunk)
    pairs = chunk * block  # Scores: of each block with itself, then of joined blocks with each other.
    while block < chunk:
        pairs += chunk * block // 2
        block *= 2
    states = (2 if chunks > 1 else 1) * chunk * key * value
    return 2 * chunks * (pairs * (key + value) + states)


def head_decay_flops(length: int, key: int, value: int, heads: int, shared_keys: bool = False) -> int:
    """Operations of the matrix products of all heads over one sequence, 2 per multiply-add."""
    chunk = min(HEAD_DECAY_CHUNK, length)
    chunks = -(-length // chunk)
    scores = (1 if shared_keys else heads) * chunk * chunk * key
    states = (2 if chunks > 1 else 1) * chunk * key * value
    return 2 * chunks * (scores + heads * (chunk * chunk * value + states))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _within(
    q: Float[Tensor, "batch heads n chunk key"],
    k: Float[Tensor, "batch heads n chunk key"],
    v: Float[Tensor, "batch heads n chunk value"],
    log_decay: Float[Tensor, "#batch heads n chunk key"],
    bonus: Float[Tensor, "heads key"] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What tokens read within their chunk; q decayed since its start, k until its end; the whole decay."""
    chunk = q.shape[3]
    q, k, values, log_decay = (each.unflatten(3, (-1, min(BLOCK, chunk))) for each in (q, k, v, log_decay))
    since = torch.cumsum(log_decay, dim=-2)  # (batch, heads, n, blocks, block, key)
    middle = log_decay.sum(-2, keepdim=True) / 2
    keys = k * torch.exp(middle - since)
    if bonus is None:
        queries = q * torch.exp(since - middle)
        y = torch.tril(queries @ keys.transpose(-1, -2)) @ values
    else:
        queries = q * torch.exp(since - log_decay - middle)
        present = (q * k * bonus[:, None, None, None]).sum(-1, keepdim=True)
        y = torch.tril(queries @ keys.transpose(-1, -2), -1) @ values + present * values
    half = torch.exp(middle)
    queries, keys, total = queries * half, keys * half, half * half
    while y.shape[4] < chunk:
        y, queries, keys, values, total = _joined(y, queries, keys, values, total)
    # One block is left in each chunk.
    return y.squeeze(3), queries.squeeze(3), keys.squeeze(3), total.squeeze(3)


def _joined(
    y: Tensor, queries: Tensor, keys: Tensor, values: Tensor, total: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Neighbouring blocks as one: the later reads the earlier. All (batch, heads, n, blocks, block, d)."""
    (y0, y1), (q0, q1), (k0, k1), (v0, v1), (a0, a1) = (
        each.unflatten(3, (-1, 2)).unbind(4) for each in (y, queries, keys, values, total)
    )
    y1 = y1 + (q1 @ k0.transpose(-1, -2)) @ v0
    return (
        torch.cat([y0, y1], -2),
        torch.cat([q0, q1 * a0], -2),
        torch.cat([k0 * a1, k1], -2),
        torch.cat([v0, v1], -2),
        a0 * a1,
    )


def _between(
    y: Float[Tensor, "batch heads n chunk value"],
    queries: Float[Tensor, "batch heads n chunk key"],
    keys: Float[Tensor, "batch groups n chunk key"],
    values: Float[Tensor, "batch heads n chunk value"],
    decay: Float[Tensor, "#batch heads n #key 1"],
    length: int,
) -> Scanned:
    """Add what each chunk reads from the chunks before it, by carrying the state from chunk to chunk."""
    added = keys.transpose(-1, -2) @ values  # (batch, heads, n, key, value)
    states = [torch.zeros_like(added[:, :, 0])]
    for gained, kept in zip(added.unbind(2), decay.unbind(2), strict=True):
        states.append(kept * states[-1] + gained)
    if y.shape[2] > 1:
        y = y + queries @ torch.stack(states[:-1], 2)
    return Scanned(y.flatten(2, 3)[:, :, :length], states[-1])
