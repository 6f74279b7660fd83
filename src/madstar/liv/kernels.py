"""The published GPU kernels of flash-linear-attention, in the layout of the scans here.

They are used where the package is installed (extra `cuda`), the tensors are on a GPU, and nothing maps over
them: vmap knows no rule for them, so trainings stacked into one program keep the pure form. Both forms
compute the same; a test with a GPU compares them. Kernels work in the tensors' own precision.

The package's layout is (batch, length, heads, d), here it is (batch, heads, length, d).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

_PACKAGE = "fla"
_LEAST_LENGTH = 64
"""Shorter sequences are not worth a kernel's start."""


def usable(x: Tensor) -> bool:
    """Whether a scan over x, of (batch, heads, length, d), may be left to a kernel."""
    return x.is_cuda and x.shape[2] >= _LEAST_LENGTH and not _mapped(x) and _installed()


def key_decay(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """`scan_key_decay` without a bonus: y (batch, heads, length, value) and the final state."""
    g = log_decay.expand(k.shape)
    return _called("gla", "chunk_gla", _swapped(q), _swapped(k), _swapped(v), _swapped(g))


def head_decay(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """`scan_head_decay`: q and k for each head, log_decay (batch, heads, length)."""
    heads = v.shape[:3]
    q, k = (x.expand(*heads, x.shape[-1]) for x in (q, k))
    g = log_decay.expand(heads).transpose(1, 2).contiguous()
    return _called("simple_gla", "chunk_simple_gla", _swapped(q), _swapped(k), _swapped(v), g)


def gated_delta(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """`gated_delta_rule`: beta and log_decay (batch, heads, length)."""
    g, beta = (x.transpose(1, 2).contiguous() for x in (log_decay, beta))
    name = "chunk_gated_delta_rule"
    return _called("gated_delta_rule", name, _swapped(q), _swapped(k), _swapped(v), g, beta)


def _called(module: str, name: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    y, final = _kernel(module, name)(*tensors, scale=1.0, output_final_state=True)
    return y.transpose(1, 2), final


@cache
def _kernel(module: str, name: str) -> Callable[..., Any]:
    kernel: Callable[..., Any] = getattr(importlib.import_module(f"{_PACKAGE}.ops.{module}"), name)
    return kernel


@cache
def _installed() -> bool:
    return importlib.util.find_spec(_PACKAGE) is not None


def _mapped(x: Tensor) -> bool:
    """Whether vmap is at work on x."""
    return bool(torch._C._functorch.is_batchedtensor(x))


def _swapped(x: Tensor) -> Tensor:
    return x.transpose(1, 2).contiguous()
