"""An ancestry as a picture: founders on the left, the candidate on the right, a line from parent to child.

Columns are generations. A line that spans several has a row of its own in each of them, so that it
passes no box; within a column rows stand near those they lead to, so that lines cross little.
Colours are the page's (its style sheet).
"""

from __future__ import annotations

from html import escape

from ..studies.ancestry import Ancestor, Ancestry

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 132, 34, 44, 12, 2
_MOST = 40
_CHARACTERS = 18

# A candidate's line in a column: its box in its own, a mere line in the later ones.
_Slot = tuple[int, int]
_Places = dict[_Slot, tuple[float, float]]


def draw_pedigree(ancestry: Ancestry, most: int = _MOST) -> tuple[str, int]:
    """The SVG of an ancestry, and how many ancestors were left out.

    Of more than `most` candidates those nearest to the member are drawn.
    """
    drawn = _nearest(ancestry, most)
    column = _columns(drawn)
    places = _places(_slots(drawn, column))
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    edges = [_edge(a, p, places, column) for a in drawn.values() for p in a.parents if p in drawn]
    boxes = [_box(a, ancestry.member, places[a.index, column[a.index]]) for a in drawn.values()]
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    title = f"The ancestry of candidate {ancestry.member}"
    content = f"<title>{title}</title>{''.join(edges)}{''.join(boxes)}"
    drawing = f'<svg class="pedigree" role="img" {size}>{content}</svg>'
    return drawing, len(ancestry.ancestors) - len(drawn)


def _nearest(ancestry: Ancestry, most: int) -> dict[int, Ancestor]:
    """The member and the ancestors the fewest steps from it, by number; steps that are even go by share."""
    by_index = {a.index: a for a in ancestry.ancestors}
    chosen, ring = [ancestry.member], [ancestry.member]
    while ring and len(chosen) < most:
        parents = dict.fromkeys(p for index in ring for p in by_index[index].parents if p not in chosen)
        ring = sorted(parents, key=lambda index: (-by_index[index].share, index))
        chosen += ring[: most - len(chosen)]
    return {index: by_index[index] for index in sorted(chosen)}


def _columns(drawn: dict[int, Ancestor]) -> dict[int, int]:
    """Each candidate's column; the earliest generation that is drawn is 0, and no column is empty."""
    generations = sorted({a.generation for a in drawn.values()})
    return {a.index: generations.index(a.generation) for a in drawn.values()}


def _slots(drawn: dict[int, Ancestor], column: dict[int, int]) -> dict[_Slot, list[_Slot]]:
    """Every slot with those it leads to in the next column."""
    slots: dict[_Slot, list[_Slot]] = {(index, column[index]): [] for index in drawn}
    for child in drawn.values():
        for parent in child.parents:
            if parent not in drawn:
                continue
            last = column[child.index] - 1
            for at in range(column[parent], last):
                following = slots.setdefault((parent, at), [])
                if (parent, at + 1) not in following:
                    following.append((parent, at + 1))
            slots.setdefault((parent, last), []).append((child.index, last + 1))
    return slots


def _places(slots: dict[_Slot, list[_Slot]]) -> _Places:
    """The upper left corner of each slot, column by column from the right, each sorted by what follows."""
    columns = [[s for s in slots if s[1] == at] for at in range(1 + max(at for _, at in slots))]
    tallest = max(map(len, columns))
    rows: dict[_Slot, float] = {}
    for members in reversed(columns):
        wanted = {
            slot: sum(rows[each] for each in slots[slot]) / len(slots[slot]) if slots[slot] else tallest / 2
            for slot in members
        }
        first = (tallest - len(members)) / 2
        for place, slot in enumerate(sorted(members, key=lambda slot: (wanted[slot], slot))):
            rows[slot] = first + place
    return {
        slot: (_MARGIN + slot[1] * (_WIDTH + _ACROSS), _MARGIN + row * (_HEIGHT + _DOWN))
        for slot, row in rows.items()
    }


def _edge(child: Ancestor, parent: int, places: _Places, column: dict[int, int]) -> str:
    """A line from the parent's box through its slots to the child's box."""
    x, y = places[parent, column[parent]]
    path = f"M{x + _WIDTH:g} {y + _HEIGHT / 2:g}"
    slots = [(parent, at) for at in range(column[parent] + 1, column[child.index])]
    for slot in (*slots, (child.index, column[child.index])):
        end, at = places[slot]
        start, at = end - _ACROSS, at + _HEIGHT / 2
        path += f"C{start + _ACROSS / 2:g} {y + _HEIGHT / 2:g} {end - _ACROSS / 2:g} {at:g} {end:g} {at:g}"
        path += f"H{end + _WIDTH:g}" if slot in slots else ""
        y = places[slot][1]
    told = escape(f"#{child.index} from #{parent} by {child.operator}")
    return f'<path class="descent {_kind(child)}" d="{path}"><title>{told}</title></path>'


def _box(ancestor: Ancestor, member: int, place: tuple[float, float]) -> str:
    x, y = place
    operator = ancestor.operator
    short = operator if len(operator) <= _CHARACTERS else f"{operator[: _CHARACTERS - 1]}…"
    role = " member" if ancestor.index == member else ""
    told = escape(f"#{ancestor.index} by {operator}, {ancestor.share:.0%} of the ancestry")
    return (
        f'<g class="relative {_kind(ancestor)}{role}"><title>{told}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="4"/>'
        f'<text class="name" x="{x + 9:g}" y="{y + 14:g}">#{ancestor.index}</text>'
        f'<text class="share" x="{x + _WIDTH - 8:g}" y="{y + 14:g}">{ancestor.share:.0%}</text>'
        f'<text class="operator" x="{x + 9:g}" y="{y + 27:g}">{escape(short)}</text></g>'
    )


def _kind(ancestor: Ancestor) -> str:
    if not ancestor.parents:
        return "founder"
    return "crossed" if len(ancestor.parents) > 1 else "mutated"
