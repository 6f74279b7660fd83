"""Validation from the command line: after a search, by itself, interrupted, and refused."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from madstar.archive import Archive, EvaluationRow

from .commands import ENVIRONMENT, TINY, FinishedRun, Result, as_process, invoke, refusal, words_in
from .test_search import BASELINES

VALIDATION = ("--validate", "--validation-budget", "8", "--validation-seeds", "2")


@pytest.fixture(scope="module")
def validated(text: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A search of two candidates with a validation at its end."""
    home = tmp_path_factory.mktemp("validated") / "home"
    options = ("--candidates", "2", "--reevaluate", "0", *VALIDATION, "--home", str(home), "--json")
    arguments = ("search", "--data", str(text), *TINY, *options)
    result = as_process(*arguments)
    assert result.status == 0, result.stderr
    return FinishedRun(home, arguments, result)


def validation_rows(home: Path) -> tuple[EvaluationRow, ...]:
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        rows = archive.evaluations(archive.run("latest").id)
    return tuple(row for row in rows if row.stage == "validation")


def test_a_search_is_validated_at_its_end(validated: FinishedRun) -> None:
    document = validated.document
    found = document["validation"]
    assert (found["budget"], found["seeds"], found["complete"]) == ("8 steps", 2, True)
    members = [each["index"] for each in found["architectures"] if each["role"] == "search"]
    assert sorted(members) == sorted(entry["index"] for entry in document["front"])
    names = {each["name"] for each in found["architectures"] if each["role"] == "baseline"}
    assert names == set(BASELINES)
    assert len(found["comparisons"]) == len(members) * len(BASELINES)
    rows = validation_rows(validated.home)
    assert len(rows) == found["trainings"]["done"] == 2 * len(found["architectures"])
    test = {(row.candidate, row.seed): row.values["test_bits_per_byte"] for row in rows}
    for each in found["architectures"]:
        told = {one["seed"]: one["test"] for one in each["seeds"]}
        assert told == {seed: value for (index, seed), value in test.items() if index == each["index"]}
        assert each["test"]["mean"] == pytest.approx(sum(told.values()) / 2)
    for compared in found["comparisons"]:
        gaps = [test[compared["member"], s] - test[compared["baseline"], s] for s in (1000, 1001)]
        assert compared["difference"]["mean"] == pytest.approx(sum(gaps) / 2)
        assert compared["verdict"] in ("better", "worse", "tie")
    # The search's own count has no validations in it.
    assert document["evaluations"] + len(rows) == len(all_rows(validated.home))


def all_rows(home: Path) -> tuple[EvaluationRow, ...]:
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        return archive.evaluations(archive.run("latest").id)


def test_progress_is_told_in_plain_lines_on_stderr(validated: FinishedRun) -> None:
    stderr = validated.result.stderr
    total = validated.document["validation"]["trainings"]["wanted"]
    assert f"validation: {total} trainings\n" in stderr
    told = re.findall(rf"^\[(\d+)/{total}\] .+  seed 100[01]  8 steps  test \d", stderr, re.MULTILINE)
    assert [int(number) for number in told] == list(range(1, total + 1))
    assert "\x1b" not in stderr


def test_what_is_there_is_told_and_not_trained_again(validated: FinishedRun) -> None:
    before = validation_rows(validated.home)
    result = invoke("validate", "--home", validated.home, "--budget", "8", "--seeds", "2")
    assert result.status == 0
    assert validation_rows(validated.home) == before
    assert words_in(result.stdout, ["Trained again from scratch: 8 steps, 2 seeds each", *BASELINES])
    words = ["test", "95 % interval", "verdict", "final population", "every baseline", "stays"]
    assert words_in(result.stdout, words)
    assert words_in(result.stderr, ["10 done before" if len(before) == 10 else "done before"])


def test_an_interrupted_validation_goes_on_as_it_says(validated: FinishedRun, tmp_path: Path) -> None:
    home = validated.copy(tmp_path / "a home")
    command = ["validate", validated.name, "--budget", "12", "--seeds", "2", "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, "-m", "madstar", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.daemon = True
    watchdog.start()
    assert process.stderr is not None
    assert any(line.startswith("[1/") for line in process.stderr), "no training ended"
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate()
    watchdog.cancel()

    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    told = re.search(r"every training that ended is kept. Go on with: madstar (.*)\n$", stderr)
    assert told is not None
    again = shlex.split(told[1])
    assert again == ["validate", validated.name, "--home", str(home), "--budget", "12", "--seeds", "2"]
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []

    kept = [row for row in validation_rows(home) if row.rung == 1]
    assert kept
    assert invoke(*again, "--json").status == 0
    rows = [row for row in validation_rows(home) if row.rung == 1]
    assert rows[: len(kept)] == kept
    assert {row.steps for row in rows} == {12}
    pairs = [(row.candidate, row.seed) for row in rows]
    assert len(set(pairs)) == len(pairs) == validated.document["validation"]["trainings"]["wanted"]


REFUSED = {
    "--seeds 1": ["1 seeds", "at least 2"],
    "--budget 4": ["budget 4 steps is not larger", "largest of 4 steps", "such as 16 steps"],
    "--budget 30s": ["30 seconds cannot be compared", "give it in steps"],
    "--budget much": ["budget 'much'", "write it as"],
    "--workers 0": ["0 workers", "at least 1"],
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_cannot_be_is_refused(validated: FinishedRun, options: str) -> None:
    before = all_rows(validated.home)
    result: Result = invoke("validate", "latest", "--home", validated.home, *options.split())
    assert words_in(refusal(result), REFUSED[options])
    assert all_rows(validated.home) == before


def test_an_unknown_run_is_refused(validated: FinishedRun) -> None:
    told = refusal(invoke("validate", "nosuch", "--home", validated.home))
    assert words_in(told, ["no run 'nosuch'", validated.name])


def test_a_home_without_runs_is_refused(tmp_path: Path) -> None:
    assert words_in(refusal(invoke("validate", "--home", tmp_path)), ["does not exist", "start a search"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--validate", "--validation-seeds", "1"), ["1 seeds", "at least 2"]),
        (("--validate", "--validation-budget", "3"), ["3 steps is not larger", "largest of 4 steps"]),
        (("--validation-budget", "9"), ["no validation", "add --validate"]),
        (("--seeds", "flowers"), ["seeds", "none", "motifs"]),
        (("--reevaluate", "1"), ["reevaluate", "less than 1"]),
        (("--strategy", "prayer"), ["strategy", "nsga2", "screened"]),
    ],
)
def test_a_search_refuses_before_it_begins(
    text: Path, tmp_path: Path, options: tuple[str, ...], told: list[str]
) -> None:
    home = tmp_path / "home"
    result = invoke("search", "--data", text, *TINY, "--home", home, *options)
    assert words_in(refusal(result), told)
    assert not home.exists()


def test_a_run_without_a_front_is_refused(validated: FinishedRun, tmp_path: Path) -> None:
    home = validated.copy(tmp_path / "home")
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        config = archive.run("latest").config
        archive.create_run("empty", {"settings": config["settings"], "task": config["task"]})
    told = refusal(invoke("validate", "empty", "--home", home))
    assert words_in(told, ["empty has no front", "madstar search --resume empty"])
