"""What each pair of a graph's tokens is to one another, as one small number.

Tokens are the n nodes, then the b blocks. Row i, column j says what token j is to token i: the giver of its
first argument, what takes its result, an ancestor three steps away, a neighbour that shares an argument, the
block it is in. Pairs that no short way joins are told apart by where their blocks lie and by how much deeper
in the graph the one is. None of it depends on the order in which independent nodes are listed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..features import Features

Codes = NDArray[np.uint8]

NONE, SELF = 0, 1
GIVES = (2, 3, 4, 5)
"""j gives argument 0, 1, 2, or a later one, of i."""
TAKES = (6, 7, 8, 9)
"""j takes i as its argument 0, 1, 2, or a later one."""
TURNS = (10, 11)
"""j gives i something in a later turn or use, or takes it."""
SHARES_SOURCE, SHARES_TARGET = 12, 13
BEFORE = (14, 15, 16, 17)
"""j is 2, 3, 4, or 5 to 8 steps before i; `AFTER` the same after."""
AFTER = (18, 19, 20, 21)
OWN_BLOCK, MEMBER, OUTER_BLOCK, INNER_MEMBER, PARENT, CHILD, OTHER_BLOCK = range(22, 29)
"""Where i or j is a block: the block i is in, a node of block i, a block around that, and the other way."""
IDLE_SIBLING = 29
"""In causal graphs, instead of SHARES_SOURCE: nothing up to i takes j's result."""
FAR = 32
"""Codes from here on: FAR + 15 * (what j's block is to i's) + (bucket of the difference of depths)."""
IDLE = 4 * 15
"""What is added to these in causal graphs where nothing up to i takes j's result. What comes next takes what
is idle, and a node cannot learn that of itself later: its vector is made when it comes."""
CODES = FAR + 2 * IDLE
ORDERS = 16
"""Buckets of the distance in the order of computation; 0 where a block is."""


def relations(features: Features) -> Codes:
    """Codes of all pairs of tokens (n + b, n + b); for causal features NONE wherever j comes after i."""
    n, b = len(features), len(features.blocks)
    found = np.zeros((n + b, n + b), np.uint8)
    inside = _inside(features.blocks)
    found[:n, :n] = _far(features, inside)
    _near(features, found[:n, :n])
    if features.causal:
        _idle(features, found[:n, :n])
        found[:n, :n][np.triu_indices(n, 1)] = NONE
        found[np.arange(n, n + b), np.arange(n, n + b)] = SELF
    else:
        _with_blocks(features, inside, found)
    return found


def orders(features: Features) -> Codes:
    """Buckets of how far j is behind or ahead of i in the order of computation (n + b, n + b)."""
    n, b = len(features), len(features.blocks)
    found = np.zeros((n + b, n + b), np.uint8)
    numbers = np.arange(n)
    found[:n, :n] = 1 + _signed(numbers[None, :] - numbers[:, None])
    return found


def _signed(difference: NDArray[np.int64]) -> NDArray[np.int64]:
    """-7 to 7 by powers of two, from 0 to 14: 1, 2, 3-4, 5-8, 9-16, 17-32, more."""
    size = np.ceil(np.log2(np.maximum(np.abs(difference), 1))).astype(np.int64) + 1
    return np.sign(difference) * np.minimum(size, 7) + 7


def _inside(blocks: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(b, b): whether block i is block j or lies within it."""
    count = len(blocks)
    found = np.eye(count, dtype=bool)
    for number in range(count):  # parents come before what they hold
        if (parent := blocks[number, 0]) >= 0:
            found[number] |= found[parent]
    return found


def _far(features: Features, inside: NDArray[np.bool_]) -> Codes:
    depth = features.depths.astype(np.int64)
    nearness = _signed(depth[None, :] - depth[:, None])
    of = features.block_of
    within = inside[of][:, of]
    place = np.where(of[:, None] == of[None, :], 0, np.where(within, 1, np.where(within.T, 2, 3)))
    return (FAR + 15 * place + nearness).astype(np.uint8)


def _near(features: Features, found: Codes) -> None:
    """Write the codes of pairs that a short way joins; the nearer relation is written later."""
    n = len(features)
    data = features.edges[features.edges[:, 3] == 0]
    gives = np.zeros((n, n), np.float32)
    gives[data[:, 1], data[:, 0]] = 1  # i takes j
    step = torch.from_numpy(gives)  # torch's products keep to its number of threads
    power, reached, ways = step, step, []
    for _ in range(3):
        power = (power @ step).clamp_max(1)
        reached = reached + power
        ways.append(power.numpy())
    ways.append((power @ reached.clamp_max(1)).numpy())
    siblings, partners = (step @ step.T).numpy() > 0, (step.T @ step).numpy() > 0
    for code, way in reversed(list(enumerate(ways))):
        found[way > 0] = BEFORE[code]
        if not features.causal:
            found[way.T > 0] = AFTER[code]
    if not features.causal:
        found[partners] = SHARES_TARGET
    found[siblings] = SHARES_SOURCE
    for source, target, _, kind in features.edges:
        if kind:
            found[target, source], found[source, target] = TURNS
    for source, target, position, _ in data[::-1]:  # the first position stays
        found[target, source] = GIVES[min(position, 3)]
        found[source, target] = TAKES[min(position, 3)]
    np.fill_diagonal(found, SELF)


def _idle(features: Features, found: Codes) -> None:
    n = len(features)
    first = np.full(n, n)  # the first that takes each result
    data = features.edges[features.edges[:, 3] == 0]
    np.minimum.at(first, data[:, 0], data[:, 1])
    idle = first[None, :] > np.arange(n)[:, None]
    found[idle & (found == SHARES_SOURCE)] = IDLE_SIBLING
    found[idle & (found >= FAR)] += IDLE


def _with_blocks(features: Features, inside: NDArray[np.bool_], found: Codes) -> None:
    n, of = len(features), features.block_of
    around = inside[of]  # (n, b): node i lies within block j
    own = np.zeros_like(around)
    own[np.arange(n), of] = True
    found[:n, n:] = np.where(own, OWN_BLOCK, np.where(around, OUTER_BLOCK, OTHER_BLOCK))
    found[n:, :n] = np.where(own, MEMBER, np.where(around, INNER_MEMBER, OTHER_BLOCK)).T
    found[n:, n:] = np.where(inside, PARENT, np.where(inside.T, CHILD, OTHER_BLOCK))
    diagonal = np.arange(n, found.shape[0])
    found[diagonal, diagonal] = SELF
