"""Weights of two names that are one tensor: once in a file, in the graph where each module has it."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from .interpreting import Flat, Weight, is_path
from .nesting import steps

Groups = tuple[tuple[str, ...], ...]


def tied_groups(said: Iterable[Any], weights: MutableMapping[str, Weight]) -> Groups:
    """The groups that were noted when the file was written, of which it has one; files may say anything."""
    found = []
    for group in said:
        if isinstance(group, list) and 2 <= len(group) <= 1000 and all(isinstance(p, str) for p in group):
            paths = tuple(dict.fromkeys(path for path in group if len(path) <= 1000 and is_path(path)))
            if len(paths) > 1 and sum(path in weights for path in paths) == 1:
                found.append(paths)
    return tuple(found)


def untied(flats: Sequence[Flat], weights: MutableMapping[str, Weight], groups: Groups) -> list[Flat]:
    """The operations with each weight under the name that it has in the module around them."""
    others = {path: group for group in groups for path in group if path in weights}
    made = []
    for flat in flats:
        arguments = [(slot, _own(ref, flat, others, weights)) for slot, ref in flat.arguments]
        made.append(flat if arguments == flat.arguments else replace(flat, arguments=arguments))
    return made


def _own(
    ref: str, flat: Flat, others: dict[str, tuple[str, ...]], weights: MutableMapping[str, Weight]
) -> str:
    group = others.get(ref[1:]) if ref.startswith("@") else None
    if group is None:
        return ref
    for base, _ in reversed(steps(flat.scope)):
        for path in group:
            if path.startswith(f"{base}."):
                if path not in weights:
                    weights[path] = replace(weights[ref[1:]], path=path)
                return f"@{path}"
    return ref


def tied_in(groups: Groups, held: Iterable[str]) -> Groups:
    """What of the groups is in a graph with these parameters."""
    kept = set(held)
    found = (tuple(path for path in group if path in kept) for group in groups)
    return tuple(group for group in found if len(group) > 1)
