from hypothesis import given
from hypothesis import strategies as st

from madstar.archive import CandidateRow, EvaluationRow
from madstar.genome import Genome
from madstar.objectives import Measurement, Objective
from madstar.report.comparison import beaten
from madstar.search import Entry

from .runs import PLAIN, Book

OBJECTIVES = tuple(
    Objective(name, direction, "", "trained", "", lambda subject: Measurement(0.0))
    for name, direction in (("small", "min"), ("large", "max"))
)


def entry(values: tuple[float, float], error: float = 0.0, rung: int = 1) -> Entry:
    candidate = CandidateRow(
        0, 0, 0, "search", None, PLAIN, "", "random", (), "valid", (), "pending", None, {}, 0, 0, 0.0
    )
    evaluation = EvaluationRow(
        0, 0, 0, 0, rung, 1, 1, 0, "ok", None, dict(zip(("small", "large"), values, strict=True)),
        {"small": error} if error else {}, (), {}, 0, 0.0, 1.0,
    )  # fmt: skip
    return Entry(candidate, evaluation, Genome.parse(PLAIN))


pairs = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (float(pair[0]), float(pair[1])))


@given(pairs, pairs)
def test_dominance_in_both_directions(one: tuple[float, float], other: tuple[float, float]) -> None:
    expected = one[0] <= other[0] and one[1] >= other[1] and one != other
    assert bool(beaten(entry(one), [entry(other)], OBJECTIVES)) == expected


def test_sure_only_beyond_twice_the_error_of_the_difference() -> None:
    def sure(margin: float) -> bool:
        (found,) = beaten(entry((1.0, 2.0), 0.3), [entry((1.0 + margin, 1.0), 0.4)], OBJECTIVES)
        return found.sure

    assert sure(1.01)
    assert not sure(0.99)
    assert not sure(0.0)


def test_never_across_rungs_nor_without_figures() -> None:
    assert not beaten(entry((0.0, 9.0)), [entry((1.0, 1.0), rung=2)], OBJECTIVES)
    assert not beaten(entry((float("nan"), 9.0)), [entry((1.0, 1.0))], OBJECTIVES)


def test_on_a_run(book: Book) -> None:
    summary = book.summary()
    won = {e.label: beaten(e, summary.baselines, summary.objectives) for e in summary.front}
    assert {label: len(found) for label, found in won.items()} == {"#4": 0, "#5": 4, "#6": 4}
    assert all(b.sure for b in won["#5"])
    assert not any(b.sure for b in won["#6"])  # of the same quality, and better in cache only
