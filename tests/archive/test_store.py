"""Order, uniqueness, and looking up."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from madstar.archive import Archive, EvaluationRow, RunRow
from madstar.errors import ArchiveError


def add(archive: Archive, run_id: int, index: int, **fields: Any) -> None:
    archive.add_candidate(
        run_id, index=index, **{"genome": f"g{index}", "architecture": "", "operator": "random", **fields}
    )


def evaluate(archive: Archive, run_id: int, candidate: int, rung: int = 0, **fields: Any) -> EvaluationRow:
    given = {"steps": 1, "tokens": 2, "seed": 0, "status": "ok", "started_at": 1.0, "finished_at": 2.0}
    return archive.add_evaluation(run_id, candidate=candidate, rung=rung, **{**given, **fields})


def test_candidates_come_in_index_order(archive: Archive, run: RunRow) -> None:
    for index in (3, 0, 2):
        add(archive, run.id, index)
    assert [row.index for row in archive.candidates(run.id)] == [0, 2, 3]


def test_evaluations_come_in_order_of_observation_per_run(archive: Archive, run: RunRow) -> None:
    other = archive.create_run("second", {})
    for index in range(3):
        add(archive, run.id, index)
        add(archive, other.id, index)
    wanted = [(2, 0), (0, 0), (2, 1), (1, 0)]
    for number, (candidate, rung) in enumerate(wanted):
        assert evaluate(archive, run.id, candidate, rung).sequence == number
        assert evaluate(archive, other.id, number % 3, rung=number).sequence == number
    assert [(row.candidate, row.rung) for row in archive.evaluations(run.id)] == wanted
    assert [row.sequence for row in archive.evaluations(other.id)] == [0, 1, 2, 3]


def test_nothing_is_proposed_twice(archive: Archive, run: RunRow) -> None:
    add(archive, run.id, 0)
    with pytest.raises(ArchiveError, match="'first' has a candidate 0 already"):
        add(archive, run.id, 0, genome="other", architecture="aa")
    assert [row.genome for row in archive.candidates(run.id)] == ["g0"]
    with pytest.raises(ArchiveError, match="no architecture"):  # the whole proposal was undone
        archive.architecture("aa")
    add(archive, archive.create_run("second", {}).id, 0)


def test_nothing_runs_twice(archive: Archive, run: RunRow) -> None:
    add(archive, run.id, 0)
    first = evaluate(archive, run.id, 0, rung=1, seed=5)
    with pytest.raises(ArchiveError, match="rung 1 with seed 5 already: nothing runs twice"):
        evaluate(archive, run.id, 0, rung=1, seed=5, status="crash")
    assert archive.evaluations(run.id) == (first,)
    evaluate(archive, run.id, 0, rung=1, seed=6)
    evaluate(archive, run.id, 0, rung=2, seed=5)
    for stage in ("repeat", "validation"):
        assert evaluate(archive, run.id, 0, rung=1, seed=5, stage=stage).stage == stage
        with pytest.raises(ArchiveError, match=f"seed 5 in stage {stage} already: nothing runs twice"):
            evaluate(archive, run.id, 0, rung=1, seed=5, stage=stage)
    for setting, point in (("a", "x"), ("a", "y"), ("b", "x")):
        where = {"rung": 1, "seed": 5, "stage": "benchmark", "setting": setting, "point": point}
        row = evaluate(archive, run.id, 0, **where)
        assert (row.setting, row.point) == (setting, point)
        with pytest.raises(
            ArchiveError, match=f"of setting {setting} at {point} already: nothing runs twice"
        ):
            evaluate(archive, run.id, 0, **where)
    with pytest.raises(ArchiveError, match="setting may have 64 characters at most"):
        evaluate(archive, run.id, 0, setting="s" * 65)
    with pytest.raises(ArchiveError, match="stage 'dream' is unknown: use one of search, repeat, validation"):
        evaluate(archive, run.id, 0, rung=1, seed=5, stage="dream")


def test_the_latest_run_of_a_kind_passes_over_the_others(archive: Archive, run: RunRow) -> None:
    benchmark = archive.create_run("mad", {}, kind="benchmark")
    assert archive.run("latest") == benchmark == archive.run("latest", kind="benchmark")
    assert archive.run("latest", kind="search") == run
    with pytest.raises(ArchiveError, match="run 'mad' is a benchmark, not a search: name another run"):
        archive.run("mad", kind="search")
    with pytest.raises(ArchiveError, match="run kind 'dream' is unknown"):
        archive.create_run("other", {}, kind="dream")


def test_companions_must_exist(archive: Archive, run: RunRow) -> None:
    add(archive, run.id, 0)
    with pytest.raises(ArchiveError, match="no candidate 4, which candidate 1 names as a parent"):
        add(archive, run.id, 1, parents=(0, 4))
    with pytest.raises(ArchiveError, match="no candidate 1"):
        add(archive, run.id, 1, parents=(1,))
    with pytest.raises(ArchiveError, match="no candidate 1: add it before evaluating"):
        evaluate(archive, run.id, 1)
    with pytest.raises(ArchiveError, match="no candidate 1: add it first"):
        archive.set_candidate_status(run.id, 1, "rejected")
    assert [row.index for row in archive.candidates(run.id)] == [0]


def test_unknown_words_and_impossible_numbers_are_refused(archive: Archive, run: RunRow) -> None:
    add(archive, run.id, 0)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("status 'ok' is unknown: use one of pending, rejected", {"status": "ok"}),
        ("role 'x' is unknown", {"role": "x"}),
        ("validity 'x' is unknown", {"validity": "x"}),
        ("proposed_at is nan", {"proposed_at": float("nan")}),
        ("values must all be numbers", {"values": {"a": None}}),
        ("values: names must be strings", {"values": {1: 1.0}}),
        ("not valid Unicode", {"genome": "\ud800"}),
        ("64 bits", {"generation": 2**70}),
        ("128 characters", {"architecture": "a" * 129}),
    ]
    for message, fields in refused:
        with pytest.raises(ArchiveError, match=message):
            add(archive, run.id, 1, **fields)
    with pytest.raises(ArchiveError, match="index must be 0 or more"):
        add(archive, run.id, -1)
    with pytest.raises(ArchiveError, match="status 'done' is unknown: use one of ok"):
        evaluate(archive, run.id, 0, status="done")
    with pytest.raises(ArchiveError, match="curve must be pairs"):
        evaluate(archive, run.id, 0, curve=[(1.0,)])
    with pytest.raises(ArchiveError, match="status 'ok' is unknown"):
        archive.set_candidate_status(run.id, 0, "ok")
    with pytest.raises(ArchiveError, match="status 'done' is unknown"):
        archive.update_run(run.id, status="done")
    with pytest.raises(ArchiveError, match="add_seconds nan"):
        archive.update_run(run.id, add_seconds=float("nan"))
    assert len(archive.candidates(run.id)) == 1
    assert archive.evaluations(run.id) == ()


def test_candidate_status_changes_alone(archive: Archive, run: RunRow) -> None:
    add(archive, run.id, 0, reason="old")
    add(archive, run.id, 1)
    archive.set_candidate_status(run.id, 0, "infeasible", "cache 12 is above 10")
    first, second = archive.candidates(run.id)
    assert (first.status, first.reason) == ("infeasible", "cache 12 is above 10")
    assert (second.status, second.reason) == ("pending", None)


def test_update_run_changes_what_is_given(archive: Archive) -> None:
    run = archive.create_run("first", {"minutes": 1})
    other = archive.create_run("second", {})
    archive.update_run(run.id, add_seconds=1.5)
    updated = archive.update_run(run.id, add_seconds=2, status="interrupted")
    assert (updated.seconds, updated.status, updated.config) == (3.5, "interrupted", {"minutes": 1})
    assert archive.update_run(run.id) == updated == archive.run(run.id)
    assert archive.update_run(run.id, config={}).config == {}
    assert archive.run("second") == other


def test_runs_are_found_by_name_id_and_age(archive: Archive) -> None:
    first, second = archive.create_run("alpha", {}), archive.create_run("beta", {})
    assert archive.run("alpha") == archive.run(first.id) == archive.run(str(first.id)) == first
    assert archive.run("latest") == second
    assert archive.runs() == (first, second)


def test_unknown_run_offers_near_then_recent_names(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match="holds no runs yet"):
        archive.run("latest")
    for name in ["baseline-small", "a1", "b2", "c3", "d4", "e5"]:
        archive.create_run(name, {})
    with pytest.raises(ArchiveError) as caught:
        archive.run("baseline-smal")
    assert str(caught.value).endswith("choose one of baseline-small, e5, d4, c3, b2")
    with pytest.raises(ArchiveError, match=f"has no run '{10**30}'"):
        archive.run(str(10**30))
    for call in (archive.candidates, archive.evaluations, archive.known_architectures, archive.update_run):
        with pytest.raises(ArchiveError, match="has no run 99"):
            call(99)


@pytest.mark.parametrize("name", ["", "  ", "latest", "12", "a\nb", "x" * 129])
def test_names_that_cannot_be_looked_up_are_refused(archive: Archive, name: str) -> None:
    with pytest.raises(ArchiveError, match="run name"):
        archive.create_run(name, {})


def test_made_up_names_are_dated_unique_and_repeatable(archive: Archive) -> None:
    def token(length: int) -> str:
        return "a3" * length

    names = [archive.create_run(None, {}, token=token).name for _ in range(3)]
    day = datetime.now(UTC).date().isoformat()
    assert names[0].removeprefix(day) == "-a3a3"
    assert names[1].removeprefix(day) == "-a3a3a3"
    assert len(set(names)) == 3
    with pytest.raises(ArchiveError, match="choose another name"):
        archive.create_run(names[0], {})


def test_a_closed_archive_says_so(path: Path) -> None:
    archive = Archive.open(path)
    archive.close()
    archive.close()
    with pytest.raises(ArchiveError, match="has been closed"):
        archive.runs()


def test_a_fork_must_open_its_own(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(ArchiveError, match="opened by another process"):
        archive.runs()


def test_memory_archives_work_and_vanish() -> None:
    with Archive.open("sqlite://") as archive:
        run = archive.create_run("only", {})
        add(archive, run.id, 0)
        assert len(archive.candidates(run.id)) == 1
    with Archive.open("sqlite:///:memory:") as archive:
        assert archive.runs() == ()
