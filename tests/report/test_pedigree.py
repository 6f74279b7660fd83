from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from madstar.report.pedigree import draw_pedigree
from madstar.studies.ancestry import Ancestor, Ancestry


def family(*parents: tuple[int, ...]) -> Ancestry:
    """The last one's ancestry, where all others are its ancestors."""
    generations: list[int] = []
    for mine in parents:
        generations.append(1 + max((generations[p] for p in mine), default=-1))
    members = [
        Ancestor(i, "<crossover>" if len(mine) > 1 else "random", mine, generations[i], 0.5)
        for i, mine in enumerate(parents)
    ]
    return Ancestry(len(parents) - 1, tuple(members))


@st.composite
def families(draw: st.DrawFn) -> Ancestry:
    count = draw(st.integers(1, 25))
    parents = [tuple(draw(st.sets(st.integers(0, i - 1), max_size=2))) if i else () for i in range(count)]
    return family(*parents)


def boxes(picture: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    found = {}
    for group in picture.findall("g"):
        rect = group.find("rect")
        assert rect is not None
        x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        found[group.findtext("text[@class='name']") or ""] = (x, y, x + width, y + height)
    return found


def test_a_cross_is_drawn() -> None:
    drawing, left_out = draw_pedigree(family((), (), (0, 1), (2, 0)))
    picture = ElementTree.fromstring(drawing)
    assert left_out == 0
    assert [path.findtext("title") for path in picture.findall("path")] == [
        "#2 from #0 by <crossover>",
        "#2 from #1 by <crossover>",
        "#3 from #2 by <crossover>",
        "#3 from #0 by <crossover>",
    ]
    at = boxes(picture)
    assert at["#0"][0] == at["#1"][0] < at["#2"][0] < at["#3"][0]


@given(families())
def test_boxes_lie_apart_within_the_picture_and_lines_pass_between_them(ancestry: Ancestry) -> None:
    reachable = nearest(ancestry)
    drawing, left_out = draw_pedigree(ancestry)
    picture = ElementTree.fromstring(drawing)
    at = boxes(picture)
    assert set(at) == {f"#{index}" for index in reachable}
    assert left_out == len(ancestry.ancestors) - len(reachable)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for one, (x, y, right, bottom) in at.items():
        assert 0 <= x <= right <= width
        assert 0 <= y <= bottom <= height
        for other, (left, top, end, low) in at.items():
            assert one == other or right <= left or end <= x or bottom <= top or low <= y
    # The level parts of long lines, where they pass a column, touch no box.
    for path in picture.findall("path"):
        for x_from, y_at, x_to in re.findall(r"([\d.]+) ([\d.]+)H([\d.]+)", path.attrib["d"]):
            for x, y, right, bottom in at.values():
                crosses = float(x_from) < right and float(x_to) > x and y < float(y_at) < bottom
                assert not crosses


def nearest(ancestry: Ancestry) -> set[int]:
    """Whom a walk from the member meets."""
    met, waiting = set(), [ancestry.member]
    while waiting:
        index = waiting.pop()
        met.add(index)
        waiting += ancestry.ancestors[index].parents
    return met


def test_of_many_the_nearest_are_drawn() -> None:
    chain = family((), *((i,) for i in range(60)))
    drawing, left_out = draw_pedigree(chain, most=10)
    assert left_out == 51
    assert set(boxes(ElementTree.fromstring(drawing))) == {f"#{i}" for i in range(51, 61)}
