"""Measured latency: seconds to read a prompt, and seconds per generated token, and on which processor."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .objective import Measurement, Subject

_SECONDS, _LEAST, _MOST = 0.5, 5, 200
_DECODED = 16


@torch.inference_mode()
def prefill_latency(subject: Subject, length: int) -> Measurement:
    """Seconds for the parallel form over a prompt of `length` tokens, batch 1, untrained weights."""
    backbone = subject.build().eval()
    tokens = torch.zeros(1, length, dtype=torch.long)
    return _median(lambda: backbone.prefill(tokens))


@torch.inference_mode()
def decode_latency(subject: Subject, length: int) -> Measurement:
    """Seconds per token of the step form after a prompt of `length` tokens, batch 1, untrained weights."""
    backbone = subject.build().eval()
    _, states = backbone.prefill(torch.zeros(1, length, dtype=torch.long))
    token = torch.zeros(1, dtype=torch.long)

    def decode() -> None:
        following = states
        for _ in range(_DECODED):
            _, following = backbone.step(token, following)

    per_run = _median(decode)
    return Measurement(per_run.value / _DECODED, per_run.error / _DECODED)


def processor() -> str:
    """The name of this machine's processor: latencies of two machines are two figures."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _median(run: Callable[[], object]) -> Measurement:
    """Median seconds over about half a second of runs after one to warm up, and its standard error.

    The median ignores the runs that other processes disturbed; its error is taken from the
    interquartile range (1.57 IQR / sqrt(n) is the notch of a box plot, about 1.96 errors).
    """
    run()
    seconds: list[float] = []
    while len(seconds) < _LEAST or (sum(seconds) < _SECONDS and len(seconds) < _MOST):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    return Measurement(float(middle), float(1.57 / 1.96 * (high - low) / len(seconds) ** 0.5))
