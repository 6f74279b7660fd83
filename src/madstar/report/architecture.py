"""An architecture as a picture: layers from input to output, and what they share, as one SVG.

Arcs on the left join layers that draw from one pool of weights; arcs on the right lead from the
layer that computes features to those that take them. Colours are the page's (its style sheet).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..genome import Genome
from ..liv.spec import BackboneSpec
from .words import FAMILIES, describe, letter, name

_BOX_WIDTH, _GAP, _TITLE, _LINE, _END = 232, 12, 23, 13, 20
_CHARACTERS = 37
_LANE, _LEFT, _RIGHT = 13, 26, 46
_FEWEST_LANES = 1


@dataclass(frozen=True)
class Sharing:
    """One relation between two layers, counted from 0: `target` takes from, or shares with, `source`.

    `group` tells relations apart that have nothing in common; `roles` are the features taken, empty
    for weights.
    """

    source: int
    target: int
    group: int
    roles: tuple[str, ...] = ()


def shared_weights(spec: BackboneSpec) -> tuple[Sharing, ...]:
    """Each layer of a pool of weights with the layer of the pool before it."""
    last: dict[int, int] = {}
    relations = []
    for index, layer in enumerate(spec.layers):
        pool = layer.featurizer_pool
        if pool is None:
            continue
        if pool in last:
            relations.append(Sharing(last[pool], index, pool))
        last[pool] = index
    return tuple(relations)


def shared_features(spec: BackboneSpec) -> tuple[Sharing, ...]:
    """Each layer that takes features, with the layer that computes them."""
    return tuple(
        Sharing(layer.features_from, index, layer.features_from, layer.shared)
        for index, layer in enumerate(spec.layers)
        if layer.features_from is not None
    )


def draw(genome: Genome, spec: BackboneSpec, title: str) -> str:
    """The SVG of a genome and the spec it compiles to. `title` is for those who cannot see it."""
    weights, features = shared_weights(spec), shared_features(spec)
    lanes_left, lanes_right = _lanes(weights), _lanes(features)
    left = _LEFT + _LANE * max(_FEWEST_LANES, len(lanes_left))
    right = left + _BOX_WIDTH
    width = right + _RIGHT + _LANE * max(_FEWEST_LANES, len(lanes_right))
    parts = [_end("input: token embedding", left, 1)]
    top, middles = 1 + _END + _GAP, []
    for number, liv in enumerate(genome.livs, start=1):
        operator = liv.operator
        lines = textwrap.wrap(describe(operator), _CHARACTERS)
        height = _TITLE + _LINE * len(lines) + 4
        parts += [_arrow(left, top), _box(number, letter(operator), name(operator), lines, left, top, height)]
        middles.append(top + height / 2)
        top += height + _GAP
    parts += [_arrow(left, top), _end("norm, output: next token", left, top)]
    parts += [_weights_arc(relation, middles, left, lanes_left) for relation in weights]
    parts += [_features_arc(relation, middles, right, lanes_right) for relation in features]
    height = top + _END + 1
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="architecture" role="img" {size}><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _lanes(relations: Sequence[Sharing]) -> dict[int, int]:
    """A lane of its own for each group, in order of appearance."""
    return {group: lane for lane, group in enumerate(dict.fromkeys(r.group for r in relations))}


def _box(number: int, family: str, title: str, lines: Sequence[str], left: int, top: int, height: int) -> str:
    words = "".join(
        f'<text class="words" x="{left + 12}" y="{top + _TITLE + 9 + _LINE * row}">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    return (
        f'<g class="layer {family}">'
        f'<rect class="box" x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{height}" rx="4"/>'
        f'<rect class="stripe" x="{left}" y="{top}" width="5" height="{height}" rx="2"/>'
        f'<text class="name" x="{left + 12}" y="{top + 16}">{number}&#160;&#160;{escape(title)}</text>'
        f'<text class="family" x="{left + _BOX_WIDTH - 8}" y="{top + 16}">{FAMILIES[family]}</text>'
        f"{words}</g>"
    )


def _end(words: str, left: int, top: int) -> str:
    return (
        f'<rect class="end" x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_END}" rx="{_END / 2}"/>'
        f'<text class="end-words" x="{left + _BOX_WIDTH / 2}" y="{top + 14}">{words}</text>'
    )


def _arrow(left: int, top: int) -> str:
    x = left + _BOX_WIDTH / 2
    return f'<path class="flow" d="M{x} {top - _GAP}V{top - 1}m-3 -4l3 4l3 -4"/>'  # a line with a head


def _weights_arc(relation: Sharing, middles: Sequence[float], left: int, lanes: dict[int, int]) -> str:
    lane = left - _LEFT - _LANE * lanes[relation.group]
    start, end = middles[relation.source] - 4, middles[relation.target] - 4
    label = f"layers {relation.source + 1} and {relation.target + 1} share their weights"
    return (
        f'<path class="arc weights" d="M{left} {start}H{lane + 5}Q{lane} {start} {lane} {start + 5}'
        f'V{end - 5}Q{lane} {end} {lane + 5} {end}H{left}"><title>{label}</title></path>'
    )


def _features_arc(relation: Sharing, middles: Sequence[float], right: int, lanes: dict[int, int]) -> str:
    lane = right + _RIGHT + _LANE * lanes[relation.group]
    start, end = middles[relation.source] + 5, middles[relation.target] - 5
    roles = ", ".join(relation.roles)
    label = f"layer {relation.target + 1} takes {roles} from layer {relation.source + 1}"
    return (
        f'<path class="arc features" d="M{right} {start}H{lane - 5}Q{lane} {start} {lane} {start + 5}'
        f"V{end - 5}Q{lane} {end} {lane - 5} {end}H{right + 1}m5 -3.5l-5 3.5l5 3.5"
        f'"><title>{label}</title></path>'
        f'<text class="roles" x="{right + 8}" y="{end - 4}">{escape(roles)}</text>'
    )
