"""A pattern as a small picture: a strip of layers from input to output, as one SVG.

Colours are the page's, by family, as in the pictures of architectures; a difference has a double edge.
"""

from __future__ import annotations

from html import escape

from ..studies.patterns import (
    ADJACENT,
    AT_LEAST,
    AT_MOST,
    CLASS,
    COUNT,
    DIFFERENTIAL,
    DISTANT,
    EARLY,
    FEATURES,
    FIRST,
    LATE,
    PLACE,
    RUN,
    Pattern,
    mixing_of,
)
from .words import FAMILIES

_LETTER, _PADDING, _HEIGHT, _GAP, _TOP = 6.6, 9, 26, 10, 18
_CELL, _CELL_GAP = 20, 3
_MOST_CELLS = 12


def strip(pattern: Pattern, depth: int) -> str:
    """The SVG of a pattern in architectures of that depth."""
    drawn = {RUN: _run, PLACE: _place, COUNT: _count}.get(pattern.kind, _sharing)
    body, width, top = drawn(pattern, min(depth, _MOST_CELLS))
    height = top + _HEIGHT + 2
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
    return f'<svg class="strip" role="img" {size}><title>{escape(pattern.name)}</title>{body}</svg>'


Drawn = tuple[str, float, int]


def _run(pattern: Pattern, depth: int) -> Drawn:
    parts, x = [], 1.0
    for place, token in enumerate(pattern.parts):
        if place:
            parts.append(_arrow(x, 1))
            x += _GAP
        width = _width(token, pattern.alphabet)
        parts.append(_box(token, pattern.alphabet, x, 1, width))
        x += width
    return "".join(parts), x + 1, 1


def _sharing(pattern: Pattern, depth: int) -> Drawn:
    token, roles, distance = pattern.parts
    word = token or "any"
    width = _width(word, pattern.alphabet)
    label = roles or ("features" if pattern.kind == FEATURES else "weights")
    apart = 44.0 if distance == DISTANT else _GAP if distance else 26.0
    apart = max(apart, _LETTER * len(label) + 12 - width)  # the label stands under the arc
    second = 1 + width + apart
    ends = 1 + width / 2, second + width / 2
    dots = (
        f'<text class="dots" x="{1 + width + apart / 2}" y="{_TOP + 17}">…</text>'
        if distance != ADJACENT
        else ""
    )
    head = "m-3.5 -5l3.5 5l3.5 -5" if pattern.kind == FEATURES else ""
    arc = (
        f'<path class="arc {pattern.kind}" d="M{ends[0]} {_TOP}V8Q{ends[0]} 3 {ends[0] + 5} 3H{ends[1] - 5}'
        f'Q{ends[1]} 3 {ends[1]} 8V{_TOP - 1}{head}"/>'
    )
    middle = (ends[0] + ends[1]) / 2
    words = f'<text class="roles {pattern.kind}" x="{middle}" y="14">{escape(label)}</text>'
    boxes = "".join(_box(word, pattern.alphabet, x, _TOP, width) for x in (1.0, second))
    return boxes + dots + arc + words, second + width + 1, _TOP


def _place(pattern: Pattern, depth: int) -> Drawn:
    place, token = pattern.parts
    third = -(-depth // 3)
    if place in (EARLY, LATE):
        marked = range(third) if place == EARLY else range(depth - third, depth)
    else:
        marked = range(1) if place == FIRST else range(depth - 1, depth)
    loose = "" if len(marked) == 1 else " loose"
    width = _width(token, pattern.alphabet)
    cells = [_cell(i, _family(token, pattern.alphabet) + loose if i in marked else "") for i in range(depth)]
    x = 1 + depth * (_CELL + _CELL_GAP) + 5
    return "".join(cells) + _box(token, pattern.alphabet, x, 1, width), x + width + 1, 1


def _count(pattern: Pattern, depth: int) -> Drawn:
    bound, number, token = pattern.parts
    family = _family(token, pattern.alphabet)
    some = {AT_LEAST: "≥", AT_MOST: "≤"}.get(bound, "=")
    cells = [_cell(i, family if i < int(number) else "") for i in range(depth)]
    x = 1 + depth * (_CELL + _CELL_GAP) + 5
    words = f"{some} {number} {token}"
    width = 1.15 * _LETTER * len(words) + 2
    text = f'<text class="tally" x="{x}" y="18">{escape(words)}</text>'
    return "".join(cells) + text, x + width, 1


def _cell(place: int, family: str) -> str:
    x = 1 + place * (_CELL + _CELL_GAP)
    style = f"cell {family}" if family else "cell"
    return f'<rect class="{style}" x="{x}" y="4" width="{_CELL}" height="{_HEIGHT - 6}" rx="3"/>'


def _box(token: str, alphabet: str, x: float, y: float, width: float) -> str:
    family = _family(token, alphabet)
    doubled = _differential(token, alphabet)
    inner = (
        f'<rect class="inner" x="{x + 2.5}" y="{y + 2.5}" width="{width - 5}" height="{_HEIGHT - 5}" rx="2"/>'
        if doubled
        else ""
    )
    return (
        f'<g class="{family}">'
        f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{_HEIGHT}" rx="4"/>{inner}'
        f'<text x="{x + width / 2}" y="{y + 17}">{escape(_label(token, alphabet))}</text></g>'
    )


def _arrow(x: float, y: float) -> str:
    return f'<path class="flow" d="M{x + 1} {y + _HEIGHT / 2}H{x + _GAP - 1}m-3 -3l3 3l-3 3"/>'


def _width(token: str, alphabet: str) -> float:
    return _LETTER * len(_label(token, alphabet)) + 2 * _PADDING


def _label(token: str, alphabet: str) -> str:
    return (
        token
        if alphabet == CLASS
        else token.replace(f"{DIFFERENTIAL} ", "diff. ").replace("convolution", "conv.")
    )


def _differential(token: str, alphabet: str) -> bool:
    return token.startswith("Diff") if alphabet == CLASS else token.startswith(DIFFERENTIAL)


def _family(token: str, alphabet: str) -> str:
    """The letter of a token's family, by which the style sheet colours it; "any" where it has none."""
    word = mixing_of(token) if alphabet == CLASS else token
    for letter, family in FAMILIES.items():
        if word and family.split()[-1] == word.split()[-1]:
            return letter
    return "any"
