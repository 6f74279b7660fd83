"""Measured peak memory of inference."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from .objective import Measurement, Subject


@torch.inference_mode()
def peak_memory(subject: Subject, length: int) -> Measurement:
    """Most bytes held at once while a prompt of `length` tokens is read, weights and decoding state included.

    Batch 1, float32. Counted from the allocator's own events, so other processes, Python and
    libraries are not in it.
    """
    backbone = subject.build().eval()
    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    tokens = torch.zeros(1, length, dtype=torch.long)
    backbone.prefill(tokens)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        kept = backbone.prefill(tokens)
    del kept
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    held = peak = 0
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return Measurement(float(weights + peak))
