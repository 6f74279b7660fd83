"""Chunked scan for semi-separable token mixing: h_t = a_t h_{t-1} + v_t b_t, y_t = c_t h_t.

Within a chunk the scan is two matrix products; between chunks it is a doubling scan of log depth.
Nothing loops over time. `exp(-cumsum(log a))` over a whole sequence would overflow, so decays are
taken relative to the middle of each chunk: with chunks of `CHUNK` tokens and log-decays of at
least `-MAX_LOG_DECAY` a token, no exponent exceeds CHUNK / 2 * MAX_LOG_DECAY = 40.

The scan is split in what is written and what is read, because layers that share features share
what is written: `write` is done once, `read` by each layer with its own c.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

CHUNK = 16
MAX_LOG_DECAY = 5.0
CHUNK_WITHOUT_DECAY = 64


class Memory(NamedTuple):
    """What a scan has written: everything a reader needs beside its own c.

    `n` chunks of `k` tokens, state size `s`, channels `d`. `states` is the state before each
    chunk, `final` the state after the last token. The decays are None where nothing decays.
    """

    keys: Float[Tensor, "batch n k s"]
    values: Float[Tensor, "batch n k d"]
    decay_from_middle: Float[Tensor, "batch n k d"] | None
    decay_from_start: Float[Tensor, "batch n k d"] | None
    states: Float[Tensor, "batch n s d"]
    final: Float[Tensor, "batch s d"]
    length: int


def chunked(x: Float[Tensor, "batch length d"], chunk: int) -> Float[Tensor, "batch n chunk d"]:
    """The sequence in chunks; the last one is filled up with zeros."""
    missing = -x.shape[1] % chunk
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(x.shape[0], -1, chunk, x.shape[-1])


def write(
    b: Float[Tensor, "batch length s"],
    v: Float[Tensor, "batch length d"],
    log_decay: Float[Tensor, "batch length d"] | None,
) -> Memory:
    """Write a sequence into memory. `log_decay` is log a_t in [-MAX_LOG_DECAY, 0], or None for a_t = 1."""
    length = b.shape[1]
    if log_decay is None:
        chunk = min(_plain_chunk(b.shape[-1]), length)
        keys, values = chunked(b, chunk), chunked(v, chunk)
        after = torch.cumsum(keys.transpose(-1, -2) @ values, dim=1)
        states = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
        return Memory(keys, values, None, None, states, after[:, -1], length)
    keys, values, log_decay = chunked(b, CHUNK), chunked(v, CHUNK), chunked(log_decay, CHUNK)
    total = torch.cumsum(log_decay, dim=2)
    middle, end = total[:, :, CHUNK // 2 - 1 : CHUNK // 2], total[:, :, -1:]
    added = keys.transpose(-1, -2) @ (torch.exp(end - total) * values)  # (batch, n, s, d)
    after = _accumulate(torch.exp(end), added)
    states = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
    return Memory(
        keys=keys,
        values=torch.exp(middle - total) * values,
        decay_from_middle=torch.exp(total - middle),
        decay_from_start=torch.exp(total),
        states=states,
        final=after[:, -1],
        length=length,
    )


def read(c: Float[Tensor, "batch length s"], memory: Memory) -> Float[Tensor, "batch length d"]:
    """y_t = c_t h_t for every t, from what `write` has written."""
    queries = chunked(c, memory.keys.shape[2])
    inside = torch.tril(queries @ memory.keys.transpose(-1, -2)) @ memory.values
    before = queries @ memory.states
    if memory.decay_from_middle is not None and memory.decay_from_start is not None:
        inside = memory.decay_from_middle * inside
        before = memory.decay_from_start * before
    return (inside + before).flatten(1, 2)[:, : memory.length]


def _accumulate(
    decay: Float[Tensor, "batch n 1 d"], added: Float[Tensor, "batch n s d"]
) -> Float[Tensor, "batch n s d"]:
    """State after each chunk, by doubling: log2(n) element-wise steps, no division."""
    shift = 1
    while shift < added.shape[1]:
        earlier = F.pad(added[:, :-shift], (0, 0, 0, 0, shift, 0))
        added = added + decay * earlier
        decay = decay * F.pad(decay[:, :-shift], (0, 0, 0, 0, shift, 0), value=1.0)
        shift *= 2
    return added


def _plain_chunk(state: int) -> int:
    """The fastest chunk without decay, measured on a CPU: small states want small chunks."""
    return max(CHUNK, min(CHUNK_WITHOUT_DECAY, 2 * state))


def scan_flops(length: int, state: int, channels: int, *, decays: bool, writes: bool = True) -> int:
    """Floating-point operations of the scan's matrix products (2 per multiply-add) for one sequence."""
    chunk = CHUNK if decays else min(_plain_chunk(state), length)
    chunks = -(-length // chunk)
    reading = chunk * chunk * state + chunk * chunk * channels + chunk * state * channels
    writing = chunk * state * channels if writes else 0
    return 2 * chunks * (reading + writing)
