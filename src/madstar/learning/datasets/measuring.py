"""Splits of measured architectures.

All of them come of one space and share its blocks, so that no split keeps blocks apart as the splits of
models do. `random` holds out architectures; `family` holds out groups of those whose neighbourhoods are most
alike, so that what is predicted is less like what was seen; `size` trains on the smaller ones.
An architecture is in one part with all that was measured of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from ...errors import DataError
from ..corpus.splits import PARTS, SHARES, SPLITS, Member
from .examples import Example


def measured_split(
    examples: Sequence[Example], members: Sequence[Member], name: str, seed: int
) -> dict[str, tuple[str, ...]]:
    """The entries in train, valid and test. `members` are those that were measured.

    Raises DataError for an unknown split, or fewer than four architectures.
    """
    if name not in SPLITS:
        raise DataError(f"there is no split {name!r}; the splits are {', '.join(SPLITS)}")
    if len(members) < 4:
        raise DataError(
            f"{len(members)} architectures were measured, too few to split: run madstar search or "
            "madstar benchmark, then madstar learn dataset --archive HOME"
        )
    rng = random.Random(f"measured {name} {seed}")
    groups = _groups(members, name)
    rng.shuffle(groups)
    if name == "size":
        groups.sort(key=lambda group: -max(m.unfolded for m in group))
    found: dict[str, tuple[str, ...]] = {}
    total = len(members)
    rest = list(groups)
    for part, share in (("test", SHARES[2]), ("valid", SHARES[1])):
        goal = max(1, round(share * total))
        taken: list[str] = []
        for group in list(rest):
            if len(taken) + len(group) <= goal or not taken:
                taken += [member.key for member in group]
                rest.remove(group)
            if len(taken) >= goal:
                break
        found[part] = tuple(taken)
    found["train"] = tuple(member.key for group in rest for member in group)
    if not found["train"]:
        raise DataError(f"split {name!r} leaves no measured architecture to train on; take --split random")
    return {part: found[part] for part in PARTS}


def _groups(members: Sequence[Member], name: str) -> list[list[Member]]:
    """What must stay together: architectures alone, or those that hold the same rarest larger block."""
    if name not in ("family", "strict", "generated"):
        return [[member] for member in sorted(members, key=lambda m: m.key)]
    held = {member.key: member.bare if name == "strict" else member.blocks for member in members}
    often = Counter(block for blocks in held.values() for block in blocks)
    most = max(2, len(members) // 10)
    groups: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda m: m.key):
        shared = [block for block in held[member.key] if 1 < often[block] <= most]
        kind = min(shared, key=lambda block: (-often[block], block), default=member.key)
        groups.setdefault(kind, []).append(member)
    return list(groups.values())
