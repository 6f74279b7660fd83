"""What the loop and its workers say to each other: names, and what is asked of a worker that proposes.

The process that holds the limits imports this and nothing that learns or proposes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .candidates import Candidate
from .settings import DesignSettings

TARGET = "madstar.design.worker:make_handler"
QUALITY, TEST = "bits_per_byte", "test_bits_per_byte"
CORPUS, GENERATOR, PREDICTOR = "corpus.json", "generator", "predictor"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Asked:
    """What is wanted of a worker that proposes.

    `free` many are made by chance alone, `pool` many by the models, to be chosen from. `parents` are genomes
    with their indices, best first; `known` keys of what was proposed before. `seconds` bound it.
    """

    free: int
    pool: int
    seconds: float
    seed: int
    known: frozenset[str]
    parents: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Asked:
        """From JSON data."""
        parents = tuple((int(index), str(text)) for index, text in data["parents"])
        return cls(
            int(data["free"]),
            int(data["pool"]),
            float(data["seconds"]),
            int(data["seed"]),
            frozenset(map(str, data["known"])),
            parents,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "free": self.free,
            "pool": self.pool,
            "seconds": self.seconds,
            "seed": self.seed,
            "known": sorted(self.known),
            "parents": [list(pair) for pair in self.parents],
        }


def free_share(count: int, share: float) -> int:
    """How many of a number are proposed without a model's help: at least one where any are."""
    return min(count, max(1, round(count * share))) if share > 0 and count else 0


def split(settings: DesignSettings) -> tuple[int, int]:
    """How many blocks and how many genomes a round has."""
    blocks = round(settings.candidates * settings.graphs)
    return blocks, settings.candidates - blocks


def sequence(groups: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of several lists in turn, so that a round that is cut short has had of each."""
    order = []
    for place in range(max((len(group) for group in groups), default=0)):
        order += [group[place] for group in groups if place < len(group)]
    return order
