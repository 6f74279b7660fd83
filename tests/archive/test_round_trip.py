"""What is written comes back, whatever it is."""

import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madstar.archive import Archive, RunRow
from madstar.errors import ArchiveError
from madstar.version import __version__

FRESH = count(1000)  # an index that no other example has used
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
floats = st.floats(width=64)
numbers = st.dictionaries(texts, floats, max_size=4)
naturals = st.integers(0, 2**31 - 1)
times = st.floats(0, 4e9)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def exact(value: Any) -> Any:
    """A form in which nan equals nan, -0.0 differs from 0.0, and True from 1."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(exact, value)]
    return type(value).__name__, repr(value)


@quick
@given(config=st.dictionaries(texts, documents, max_size=4))
def test_config_comes_back(archive: Archive, config: dict[str, Any]) -> None:
    written = archive.create_run(f"{next(FRESH)}a", config)
    assert exact(written.config) == exact(config)
    assert exact(asdict(archive.run(written.id))) == exact(asdict(written))
    assert exact(archive.update_run(written.id, config={"new": config}).config) == exact({"new": config})


@quick
@given(
    fields=st.fixed_dictionaries(
        {
            "genome": texts,
            "operator": texts,
            "architecture": st.text("0123456789abcdef", max_size=64),
            "role": st.sampled_from(["search", "baseline"]),
            "name": st.none() | texts,
            "validity": st.sampled_from(["valid", "repaired", "rejected"]),
            "repaired_genes": st.lists(texts, max_size=3).map(tuple),
            "status": st.sampled_from(["pending", "rejected", "infeasible", "duplicate"]),
            "reason": st.none() | texts,
            "values": numbers,
            "staleness": naturals,
            "generation": naturals,
            "proposed_at": times,
        }
    ),
    parents=st.lists(st.sampled_from([2, 0, 1]), max_size=4).map(tuple),
)
def test_candidate_comes_back(archive: Archive, fields: dict[str, Any], parents: tuple[int, ...]) -> None:
    run = archive.create_run(None, {})
    for index in range(3):
        archive.add_candidate(run.id, index=index, genome="", architecture="", operator="random")
    written = archive.add_candidate(run.id, index=7, parents=parents, **fields)
    expected = {"id": written.id, "run_id": run.id, "index": 7, "parents": parents, **fields}
    assert exact(asdict(written)) == exact({name: expected[name] for name in asdict(written)})
    assert exact(asdict(archive.candidates(run.id)[-1])) == exact(asdict(written))


@quick
@given(
    fields=st.fixed_dictionaries(
        {
            "rung": naturals,
            "steps": st.integers(0, 2**62),
            "tokens": st.integers(0, 2**62),
            "seed": st.integers(-(2**62), 2**62),
            "status": st.sampled_from(
                ["ok", "diverged", "timeout", "memory", "crash", "error", "infeasible"]
            ),
            "error": st.none() | texts,
            "values": numbers,
            "errors": numbers,
            "curve": st.lists(st.tuples(floats, floats), max_size=4).map(tuple),
            "timings": numbers,
            "worker": naturals,
            "started_at": times,
            "finished_at": times,
            "stage": st.sampled_from(["search", "repeat", "validation", "benchmark"]),
            "setting": st.text("abc=_-", max_size=64),
            "point": st.text("abc=_-", max_size=64),
        }
    )
)
def test_evaluation_comes_back(archive: Archive, fields: dict[str, Any]) -> None:
    run = archive.create_run(None, {})
    archive.add_candidate(run.id, index=0, genome="", architecture="", operator="random")
    written = archive.add_evaluation(run.id, candidate=0, **fields)
    expected = {"id": written.id, "run_id": run.id, "candidate": 0, "sequence": 0, **fields}
    assert exact(asdict(written)) == exact({name: expected[name] for name in asdict(written)})
    assert exact(asdict(archive.evaluations(run.id)[0])) == exact(asdict(written))


def test_run_is_dated_and_versioned(archive: Archive) -> None:
    before = datetime.now(UTC)
    run = archive.create_run(None, {})
    assert before <= run.created <= datetime.now(UTC)
    assert archive.run(run.id).created.utcoffset() == timedelta(0)
    assert (run.status, run.version, run.seconds) == ("running", __version__, 0.0)


def test_rows_outlive_the_archive_object(path: Any) -> None:
    with Archive.open(path) as archive:
        run = archive.create_run("kept", {"width": 64})
        candidate = archive.add_candidate(run.id, index=0, genome="g", architecture="aa", operator="random")
    with Archive.open(str(path), create=False) as archive:
        assert archive.runs() == (run,)
        assert archive.candidates(run.id) == (candidate,)


def test_numbers_of_any_kind_become_plain(archive: Archive, run: RunRow) -> None:
    numpy: Any = np
    archive.add_candidate(
        run.id,
        index=numpy.int64(0),
        genome="g",
        architecture="aa",
        operator="random",
        values={"parameters": numpy.float32(0.5), "cache": 3},
    )
    archive.add_evaluation(
        run.id,
        candidate=numpy.int64(0),
        rung=numpy.int32(1),
        steps=numpy.int64(5),
        tokens=6,
        seed=numpy.uint32(7),
        status="ok",
        curve=[(numpy.int64(1), numpy.float32("nan"))],
        started_at=1,
        finished_at=2,
    )
    (candidate,), (evaluation,) = archive.candidates(run.id), archive.evaluations(run.id)
    assert exact(candidate.values) == exact({"parameters": 0.5, "cache": 3.0})
    assert (evaluation.rung, evaluation.steps, evaluation.seed) == (1, 5, 7)
    assert evaluation.curve[0][0] == 1.0
    assert math.isnan(evaluation.curve[0][1])


def test_messages_that_no_database_holds_are_spelled_out(archive: Archive, run: RunRow) -> None:
    written = archive.add_candidate(
        run.id, index=0, genome="g", architecture="", operator="random", reason="bad\x00file \udcff"
    )
    assert written.reason == "bad\\x00file \\udcff"
    assert archive.candidates(run.id) == (written,)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"a": {1: 2}}, "config.a"),
        ({"a": [{1, 2}]}, "config.a[0]"),
        ({"a": {"$float": "x"}}, "$float"),
        ({"a": b"bytes"}, "bytes"),
    ],
)
def test_config_that_would_not_come_back_is_refused(
    archive: Archive, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(ArchiveError) as caught:
        archive.create_run(None, config)
    assert named in str(caught.value)
    assert archive.runs() == ()


def test_architectures_are_shared_between_runs(archive: Archive, run: RunRow) -> None:
    other = archive.create_run("second", {})
    archive.add_candidate(
        run.id, index=0, genome="one", architecture="aa", operator="random", spec={"layers": [1, math.inf]}
    )
    archive.add_candidate(
        run.id, index=1, genome="none", architecture="", operator="random", status="rejected"
    )
    archive.add_candidate(other.id, index=0, genome="two", architecture="aa", operator="random")
    archive.add_candidate(other.id, index=1, genome="three", architecture="bb", operator="random")
    assert archive.known_architectures(run.id) == {"aa"}
    assert archive.known_architectures(other.id) == {"aa", "bb"}
    assert (archive.architecture("aa"), archive.architecture("bb")) == ("one", "three")
    assert (archive.spec("aa"), archive.spec("bb")) == ({"layers": [1, math.inf]}, None)
    assert [row.genome for row in archive.candidates(other.id)] == ["two", "three"]
    with pytest.raises(ArchiveError, match="no architecture 'cc'"):
        archive.architecture("cc")
