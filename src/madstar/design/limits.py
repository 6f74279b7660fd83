"""What a design run may take: a frozen value that a person gives and that nothing in the loop can raise.

The loop's process holds it and acts on it; workers are told it as plain numbers, so that what they do to
their copy changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ConfigurationError

MIB = 2**20
LARGEST_GRAPH = 2**20
"""Bytes of JSON that a proposed graph may have."""
MOST_NODES = 2000
"""Nodes of a proposed graph when nothing is folded."""
GRACE = 20.0
"""Seconds beyond the wall time after which the kernel ends the process, whatever it does."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one run, over all its resumptions where nothing else is said.

    Args:
        seconds: Wall time.
        workers: Worker processes; each computes in one thread.
        processes: Processes and threads that the work of one worker may start beside it.
        memory: Bytes that one worker may take beyond what it has before its first job.
        disk: Bytes below the run's directory.
        parameters: Of a candidate; counted before it is built.
        candidates: Trainings in all.
        candidate_seconds: Wall time of one training.

    Raises:
        ConfigurationError: a limit that is not above zero.
    """

    seconds: float
    workers: int
    memory: int
    disk: int
    parameters: int
    candidates: int
    candidate_seconds: float
    processes: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                what = field.name.replace("_", " ")
                raise ConfigurationError(f"limit of {what} is {value:g}: give a number above 0")

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Limits:
        """The limits that `to_dict` wrote."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})
