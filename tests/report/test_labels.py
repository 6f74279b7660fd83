from hypothesis import given
from hypothesis import strategies as st

from madstar.report.labels import _POSITIONS, _box, _overlap, positions

shares = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.lists(shares, max_size=12), st.lists(shares, max_size=12))
def test_every_label_has_a_position_plotly_knows(points: list, others: list) -> None:
    chosen = positions(points, [f"#{n}" for n in range(len(points))], others)
    assert len(chosen) == len(points)
    assert set(chosen) <= set(_POSITIONS)


@given(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(-0.03, 0.03), st.floats(-0.03, 0.03))
def test_labels_of_two_neighbours_do_not_overlap(x: float, y: float, right: float, up: float) -> None:
    points, labels = [(x, y), (x + right, y + up)], ["#12", "#345"]
    boxes = [
        _box(point, label, _POSITIONS[name])
        for point, label, name in zip(points, labels, positions(points, labels), strict=True)
    ]
    assert _overlap(*boxes) < 1e-9


def test_labels_stay_within_the_plot() -> None:
    assert positions([(0.99, 0.99)], ["#12"]) == ["bottom left"]
    assert positions([(0.01, 0.01)], ["#12"]) == ["top right"]
