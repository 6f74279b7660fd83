"""Descriptions as matrices: which columns there are, centred and scaled as in the training graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...errors import DataError
from .description import GROUPS, Description

_CLIP = 4.0
"""No fact counts for more than so many standard deviations: a graph unlike all others stays comparable."""


@dataclass(frozen=True)
class Columns:
    """The columns of a group: names, means and standard deviations over the training graphs."""

    names: tuple[str, ...]
    mean: Float[np.ndarray, " columns"]
    scale: Float[np.ndarray, " columns"]


@dataclass(frozen=True)
class Table:
    """The columns of every group that has any."""

    groups: Mapping[str, Columns]

    @classmethod
    def of(cls, descriptions: Sequence[Description], least: int = 2) -> Table:
        """The columns that at least `least` of the graphs have and that are not the same in all.

        Raises DataError where nothing differs between the graphs.
        """
        groups = {}
        for group in GROUPS:
            present = Counter(name for d in descriptions for name in d.groups.get(group, {}))
            names = sorted(name for name, count in present.items() if count >= least)
            raw = _raw(descriptions, group, names)
            spread = raw.std(axis=0)
            kept = spread > 1e-9
            if kept.any():
                groups[group] = Columns(
                    tuple(n for n, k in zip(names, kept, strict=True) if k),
                    raw[:, kept].mean(axis=0),
                    spread[kept],
                )
        if not groups:
            raise DataError(
                "the measured graphs are all alike: measure other architectures, as madstar search does"
            )
        return cls(groups)

    def matrices(self, descriptions: Sequence[Description]) -> dict[str, Float[np.ndarray, "graphs columns"]]:
        """Every group of these graphs, centred and scaled as the training graphs were."""
        found = {}
        for group, columns in self.groups.items():
            raw = _raw(descriptions, group, columns.names)
            found[group] = np.clip((raw - columns.mean) / columns.scale, -_CLIP, _CLIP)
        return found


def _raw(
    descriptions: Sequence[Description], group: str, names: Sequence[str]
) -> Float[np.ndarray, "graphs columns"]:
    raw = np.zeros((len(descriptions), len(names)))
    for row, description in enumerate(descriptions):
        facts = description.groups.get(group, {})
        for column, name in enumerate(names):
            raw[row, column] = facts.get(name, 0.0)
    return raw
