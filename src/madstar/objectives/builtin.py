"""The objectives that come with madstar.

`cache` and the measured ones take a length in tokens after an @, as in `cache@4096` or
`decode@1024`; without one they use DEFAULT_LENGTH, and `flops` the training length. `mad@400` is
the score after 400 training steps, as is `compression@400` for that task alone.
"""

from __future__ import annotations

import torch

from ..liv import cost
from .latency import decode_latency, prefill_latency
from .mad import SETTINGS, mad, task_objective
from .memory import peak_memory
from .objective import MEASURED, STATIC, TRAINED, Measurement, Objective, Subject

DEFAULT_LENGTH = 4096
CACHE_DTYPE = torch.bfloat16


def quality(length: int | None) -> Objective:
    """Bits per byte on held-out text."""
    del length
    return Objective(
        "quality",
        "min",
        "bits per byte",
        TRAINED,
        "bits per byte on held-out text, after training",
        lambda subject: subject.metrics["bits_per_byte"],
    )


def perplexity(length: int | None) -> Objective:
    """Perplexity per token on held-out text."""
    del length
    return Objective(
        "perplexity",
        "min",
        "per token",
        TRAINED,
        "perplexity per token on held-out text, after training",
        lambda subject: subject.metrics["perplexity"],
    )


def parameters(length: int | None) -> Objective:
    """Number of weights, shared ones once."""
    del length
    return Objective(
        "parameters",
        "min",
        "",
        STATIC,
        "number of weights, shared ones counted once",
        lambda subject: Measurement(cost(subject.spec, subject.length).parameters),
    )


def cache(length: int | None) -> Objective:
    """Bytes held per sequence while decoding."""
    at = length or DEFAULT_LENGTH
    return Objective(
        f"cache@{at}",
        "min",
        "bytes",
        STATIC,
        f"bytes held per sequence after decoding {at} tokens, in bfloat16",
        lambda subject: Measurement(cost(subject.spec, at, CACHE_DTYPE).cache_bytes),
    )


def flops(length: int | None) -> Objective:
    """Operations per token of a forward pass."""

    def measure(subject: Subject) -> Measurement:
        at = length or subject.length
        return Measurement(cost(subject.spec, at).flops / at)

    name = "flops" if length is None else f"flops@{length}"
    return Objective(
        name,
        "min",
        "FLOPs per token",
        STATIC,
        f"operations per token of a forward pass over {length or 'as many tokens as in training'}",
        measure,
    )


def prefill(length: int | None) -> Objective:
    """Seconds to read a prompt."""
    at = length or DEFAULT_LENGTH
    return Objective(
        f"prefill@{at}",
        "min",
        "s",
        MEASURED,
        f"measured seconds to read a prompt of {at} tokens on this machine, one thread",
        lambda subject: prefill_latency(subject, at),
    )


def decode(length: int | None) -> Objective:
    """Seconds per generated token."""
    at = length or DEFAULT_LENGTH
    return Objective(
        f"decode@{at}",
        "min",
        "s",
        MEASURED,
        f"measured seconds per token after a prompt of {at} tokens on this machine, one thread",
        lambda subject: decode_latency(subject, at),
    )


def memory(length: int | None) -> Objective:
    """Peak bytes of inference."""
    at = length or DEFAULT_LENGTH
    return Objective(
        f"memory@{at}",
        "min",
        "bytes",
        MEASURED,
        f"measured peak bytes while reading {at} tokens, weights included, float32",
        lambda subject: peak_memory(subject, at),
    )


BUILTIN = {
    "quality": quality,
    "perplexity": perplexity,
    "parameters": parameters,
    "cache": cache,
    "flops": flops,
    "prefill": prefill,
    "decode": decode,
    "memory": memory,
    "mad": mad,
    **{task: task_objective(task) for task in SETTINGS},
}
TAKES_LENGTH = frozenset({"cache", "flops", "prefill", "decode", "memory", "mad", *SETTINGS})
SHORT_NAMES = {"params": "parameters"}
