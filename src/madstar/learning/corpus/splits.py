"""Splits of entries into train, valid and test; no larger block of a test graph stands in training.

    random      entries at random: near copies of test graphs are trained on; for reference only
    family      whole families; the two largest families of models are always trained on
    strict      as family, with families by operations and wiring alone (attributes may differ)
    size        train on models of at most 500 nodes, written out, test on those of more than 1,000
    generated   train on models, test on genomes, layers and edits

What a test graph shares a block with is left out of training and validation, in all but random. In the
splits by family, generated entries are trained on, unless they are akin to what is held out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import DataError
from .collecting import REAL

SPLITS = ("random", "family", "strict", "size", "generated")
PARTS = ("train", "valid", "test")

SHARES = (0.60, 0.15, 0.25)
"""Of the models, in train, valid and test; the two largest families may make the first share larger."""
FORCED = 2
SMALL, LARGE = 500, 1000


@dataclass(frozen=True)
class Member:
    """What a split looks at: an entry's key, source, families, larger blocks and size written out."""

    key: str
    source: str
    family: str
    strict: str
    blocks: frozenset[str]
    bare: frozenset[str]
    unfolded: int


def split(members: Sequence[Member], name: str = "family", seed: int = 0) -> dict[str, tuple[str, ...]]:
    """The keys in train, valid and test, each in the order given. Entries may be in none.

    Raises DataError for an unknown split, and for one that leaves nothing to train or to test on.
    """
    if name not in SPLITS:
        raise DataError(f"there is no split {name!r}; the splits are {', '.join(SPLITS)}")
    rng = random.Random(f"{name} {seed}")
    parts = {
        "random": _at_random,
        "family": _by_family,
        "strict": _by_family,
        "size": _by_size,
        "generated": _generated,
    }[name](members, rng, name == "strict")
    if name != "random":
        parts = _apart(members, parts, name)
    made = {part: tuple(m.key for m in members if parts.get(m.key) == part) for part in PARTS}
    for part in ("train", "test"):
        if not made[part]:
            raise DataError(
                f"split {name!r} leaves nothing in {part}: {len(members)} entries are too few, or too much "
                "alike; give more sources, or --split random"
            )
    return made


def shared_blocks(members: Sequence[Member], parts: dict[str, tuple[str, ...]], bare: bool = False) -> int:
    """How many larger blocks of test graphs stand in training or validation."""
    part_of = {key: part for part, keys in parts.items() for key in keys}
    held: dict[str, set[str]] = {part: set() for part in PARTS}
    for member in members:
        if member.key in part_of:
            held[part_of[member.key]] |= member.bare if bare else member.blocks
    return len(held["test"] & (held["train"] | held["valid"]))


def _at_random(members: Sequence[Member], rng: random.Random, strict: bool) -> dict[str, str]:
    keys = [member.key for member in members]
    rng.shuffle(keys)
    train, valid = (round(share * len(keys)) for share in (SHARES[0], SHARES[0] + SHARES[1]))
    return {k: PARTS[(i >= train) + (i >= valid)] for i, k in enumerate(keys)}


def _by_family(members: Sequence[Member], rng: random.Random, strict: bool) -> dict[str, str]:
    """Families in random order go to test, then to validation, until each has its share of the models."""
    kind = {member.key: member.strict if strict else member.family for member in members}
    sizes: dict[str, int] = defaultdict(int)
    for member in members:
        sizes[kind[member.key]] += member.source in REAL
    models = sum(sizes.values())
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:FORCED]
    # What is generated and like no model is trained on, whatever the draw.
    free = sorted(name for name in sizes if name not in largest and sizes[name])
    rng.shuffle(free)
    part: dict[str, str] = {}
    for goal, share in (("test", SHARES[2]), ("valid", SHARES[1])):
        wanted, held = share * models, 0
        for name in free:
            if name not in part and held + sizes[name] <= max(wanted, 1):
                part[name] = goal
                held += sizes[name]
    found = {}
    for member in members:
        goal = part.get(kind[member.key], "train")
        if goal == "train" or member.source in REAL:
            found[member.key] = goal
    return found


def _by_size(members: Sequence[Member], rng: random.Random, strict: bool) -> dict[str, str]:
    """By size alone; a seed draws which of the small ones validate."""
    found = {}
    for member in sorted(members, key=lambda m: m.key):
        if member.unfolded <= SMALL:
            found[member.key] = "valid" if rng.random() < SHARES[1] else "train"
        elif member.unfolded > LARGE:
            found[member.key] = "test"
    return found


def _generated(members: Sequence[Member], rng: random.Random, strict: bool) -> dict[str, str]:
    """Models as in the split by family, their test families left out; of what is generated, all is tested.

    What is akin to the models that are trained on is then left out (see `_apart`), so that edits are tested
    whose originals were held out.
    """
    found = {key: part for key, part in _by_family(members, rng, False).items() if part != "test"}
    for member in members:
        if member.source not in REAL:
            found[member.key] = "test"
    return found


def _apart(members: Sequence[Member], parts: dict[str, str], name: str) -> dict[str, str]:
    """Leave out what shares a block across the split: on the training side, or where all tests are akin
    to models (generated), on the side of the tests.
    """
    strict = name == "strict"
    sides: dict[str, set[str]] = {"test": set(), "valid": set(), "train": set()}
    for member in members:
        if member.key in parts:
            sides[parts[member.key]] |= member.bare if strict else member.blocks

    def meets(member: Member, others: Iterable[str]) -> bool:
        own = member.bare if strict else member.blocks
        return any(own & sides[other] for other in others)

    found = {}
    for member in members:
        part = parts.get(member.key)
        if part is None:
            continue
        if name == "generated":
            clash = part == "test" and meets(member, ("train", "valid"))
        else:
            clash = part != "test" and meets(member, ("test",))
        if not clash:
            found[member.key] = part
    return found
