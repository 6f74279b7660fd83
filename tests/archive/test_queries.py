"""Counting and choosing among rows."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from madstar.archive import CandidateRow, EvaluationRow
from madstar.archive.queries import (
    ValidityCounts,
    by_rung,
    candidate_status_counts,
    evaluation_status_counts,
    top_rung,
    validity_counts,
)


def candidate(index: int, **fields: Any) -> CandidateRow:
    given: dict[str, Any] = {
        "validity": "valid",
        "repaired_genes": (),
        "status": "pending",
        "reason": None,
        "values": {},
        "staleness": 0,
        "generation": 0,
        "proposed_at": 0.0,
    }
    return CandidateRow(index, 1, index, "search", None, "g", "aa", "random", (), **{**given, **fields})


def evaluation(candidate: int, sequence: int, rung: int, status: str, stage: str = "search") -> EvaluationRow:
    return EvaluationRow(
        sequence, 1, candidate, sequence, rung, 1, 1, 0, status, None, {}, {}, (), {}, 0, 0.0, 1.0, stage
    )


evaluations = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["ok", "ok", "crash"])), max_size=12
).map(lambda drawn: [evaluation(c, s, r, status) for s, (c, r, status) in enumerate(drawn)])


@given(evaluations, st.randoms(use_true_random=False))
def test_top_rung_agrees_with_looking_at_every_row(rows: list[EvaluationRow], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    found = top_rung(shuffled)
    assert list(found) == sorted({row.candidate for row in rows if row.status == "ok"})
    for index, best in found.items():
        rivals = [row for row in rows if row.candidate == index and row.status == "ok"]
        highest = [row for row in rivals if row.rung == max(rival.rung for rival in rivals)]
        assert best == highest[0]


@given(evaluations, evaluations)
def test_repeats_and_validations_do_not_mix_with_the_search(
    rows: list[EvaluationRow], others: list[EvaluationRow]
) -> None:
    stages = ("repeat", "validation")
    mixed = rows + [replace(row, stage=stages[row.sequence % 2], rung=row.rung + 1) for row in others]
    assert top_rung(mixed) == top_rung(rows)
    assert by_rung(mixed) == by_rung(rows)


@given(evaluations)
def test_by_rung_keeps_every_row_in_order(rows: list[EvaluationRow]) -> None:
    found = by_rung(rows)
    assert list(found) == sorted({row.rung for row in rows})
    for rung, members in found.items():
        assert list(members) == [row for row in rows if row.rung == rung]


def test_counts_name_every_status() -> None:
    rows = [evaluation(0, 0, 0, "ok"), evaluation(1, 1, 0, "crash"), evaluation(2, 2, 0, "ok")]
    assert evaluation_status_counts(rows) == {
        "ok": 2,
        "diverged": 0,
        "timeout": 0,
        "memory": 0,
        "crash": 1,
        "error": 0,
        "infeasible": 0,
    }
    proposals = [candidate(0), candidate(1, status="infeasible"), candidate(2)]
    assert candidate_status_counts(proposals) == {
        "pending": 2,
        "rejected": 0,
        "infeasible": 1,
        "duplicate": 0,
    }


def test_validity_counts() -> None:
    rows = [
        candidate(0),
        candidate(1, status="duplicate"),
        candidate(2, validity="repaired", repaired_genes=("b", "a", "b")),
        candidate(3, validity="repaired", repaired_genes=("c", "b"), status="duplicate"),
        candidate(4, validity="rejected", status="rejected"),
    ]
    found = validity_counts(rows)
    assert found == ValidityCounts(2, 2, 1, 2, {"b": 2, "a": 1, "c": 1})
    assert list(found.repaired_genes) == ["b", "a", "c"]
    assert validity_counts([]) == ValidityCounts(0, 0, 0, 0, {})
