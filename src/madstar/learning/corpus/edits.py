"""Random edits of other entries: rewrites and small edits, each checked by the room of editing.

An edit that does not apply, or would leave no sound graph, is drawn anew; what comes out is a graph that
passed all checks, and its facts say what was done to which entry.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from ...errors import GraphError
from ...graph.model import Graph
from .entries import Entry, entry_of
from .wanted import Wanted

LARGEST = 400
"""Nodes, written out, of what is edited."""
_TRIES = 8

Draw = Callable[[random.Random], dict[str, Any]]

_ACTIVATIONS = ("relu", "gelu", "silu")


def _swap(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "swap_activation", "to": rng.choice(_ACTIVATIONS)}


def _norm(rng: random.Random) -> dict[str, Any]:
    kind, where = rng.choice(("rms", "layer")), rng.choice(("before", "after"))
    return {"rewrite": "add_norm", "select": "blocks[*]", "kind": kind, "where": where}


def _no_norm(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "remove_norm", "select": f"blocks[{rng.choice((0, -1))}].**"}


def _window(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "windowed_attention", "window": rng.choice((4, 8, 32))}


def _lora(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "lora", "select": "**:linear", "rank": rng.choice((2, 4, 8))}


def _deeper(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "deeper", "times": rng.choice((1, 2))}


def _prune(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "prune_layer", "select": f"blocks[{rng.choice((0, -1))}]"}


def _grouped(rng: random.Random) -> dict[str, Any]:
    return {"rewrite": "grouped_query", "groups": rng.choice((1, 2, 4))}


def _simple(name: str) -> Draw:
    return lambda rng: {"rewrite": name}


def _delete(rng: random.Random) -> dict[str, Any]:
    op = rng.choice(("dropout", "layer_norm", "rms_norm", "gelu", "silu", "relu", "tanh", "add", "mul"))
    return {"edit": "delete", "select": f"blocks[{rng.choice((0, -1))}].**:{op}"}


DRAWS: tuple[Draw, ...] = (
    _swap,
    _norm,
    _no_norm,
    _window,
    _lora,
    _deeper,
    _prune,
    _grouped,
    _simple("parallel"),
    _simple("share_kv"),
    _simple("tie_weights"),
    _simple("rotary"),
    _delete,
)


def random_edits(entries: Sequence[Entry], count: int, seed: int) -> list[Wanted]:
    """Edited entries: each one to three edits of an entry drawn at random.

    Entries larger than `LARGEST` are not edited. Some come to nothing, where no edit applies.
    """
    pool = [entry for entry in sorted(entries, key=lambda e: e.key) if entry.unfolded <= LARGEST]
    held = sha256(" ".join(f"{entry.key} {entry.hash}" for entry in pool).encode()).hexdigest()
    numbers = range(count if pool else 0)
    return [Wanted(f"edit:{seed}.{n}", held, partial(_entry, pool, seed, n)) for n in numbers]


def _entry(pool: Sequence[Entry], seed: int, number: int) -> Entry | None:
    rng = random.Random(f"edits {seed} {number}")
    for _ in range(_TRIES):
        parent = rng.choice(pool)
        if (made := _edited(parent.graph, rng)) is not None:
            graph, program = made
            facts = {"edits": program, "inputs": parent.facts.get("inputs")}
            key = f"edit:{seed}.{number}:{parent.key}"
            return entry_of(graph, key, "edit", parents=(parent.key,), facts=facts)
    return None


def _edited(graph: Graph, rng: random.Random) -> tuple[Graph, list[dict[str, Any]]] | None:
    from ...graph.editing import edit

    wanted = rng.choice((1, 1, 2, 3))
    edited = edit(replace(graph, weights=()))
    program: list[dict[str, Any]] = []
    for _ in range(_TRIES):
        drawn = rng.choice(DRAWS)(rng)
        try:
            edited = edited.apply([drawn])
        except GraphError:
            continue
        program.append(drawn)
        if len(program) == wanted:
            break
    return (edited.graph, program) if program else None
