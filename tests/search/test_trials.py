"""A fixed list of trainings: each once, in order, resumable, whatever ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tests.workers.conftest import all_gone

from madstar.archive import Archive, EvaluationRow, RunRow
from madstar.errors import OutputError
from madstar.search import make_settings, trials
from madstar.search.settings import SearchSettings
from madstar.search.trials import SilentTrials, Trial, TrialProgress, budget_ratio, run_trials
from madstar.tasks import TextTask, prepare_text
from madstar.workers import Outcome

GENOMES = ("71111-91111", "31111-91111")
LIST = [
    Trial(index, genome, "validation", 0, "5", seed)
    for seed in (1000, 1001)
    for index, genome in enumerate(GENOMES)
]


@pytest.fixture(scope="module")
def settings(tiny: dict) -> SearchSettings:
    return make_settings(**{**tiny, "window": 8}, candidates=2)


@pytest.fixture(scope="module")
def task(settings: SearchSettings, tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    return prepare_text(settings.data, directory=tmp_path_factory.mktemp("task") / "data", length=32)


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    with Archive.open(tmp_path / "archive.sqlite") as opened:
        yield opened


@pytest.fixture
def run_row(archive: Archive) -> RunRow:
    row = archive.create_run("r", {})
    for index, genome in enumerate(GENOMES):
        archive.add_candidate(row.id, index=index, genome=genome, architecture=f"{index}", operator="random")
    return row


class Notes(SilentTrials):
    """Remembers what it was told; interrupts after `most` trainings, if given."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.beginnings, self.endings = most, [], []
        self.looks: list[TrialProgress] = []

    def began(self, total: int, done: int) -> None:
        self.beginnings.append((total, done))

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        self.endings.append((trial, row))
        if len(self.endings) == self.most:
            raise KeyboardInterrupt

    def tick(self, progress: TrialProgress) -> None:
        self.looks.append(progress)


def keys(archive: Archive, run_row: RunRow) -> list[tuple[int, int]]:
    return [(row.candidate, row.seed) for row in archive.evaluations(run_row.id)]


def test_each_is_trained_once_in_order_also_over_an_interrupt(
    archive: Archive, run_row: RunRow, task: TextTask, settings: SearchSettings, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"task": task, "settings": settings, "checkpoints": tmp_path / "weights"}
    first, second, third = Notes(most=2), Notes(), Notes()
    with pytest.raises(KeyboardInterrupt):
        run_trials(archive, run_row, LIST, watcher=first, **given)
    assert keys(archive, run_row)[:2] == [(0, 1000), (1, 1000)]
    kept = archive.evaluations(run_row.id)
    assert psutil.Process().children(recursive=True) == []

    run_trials(archive, run_row, LIST, watcher=second, **given)
    rows = archive.evaluations(run_row.id)
    assert rows[: len(kept)] == kept
    assert keys(archive, run_row) == [(trial.candidate, trial.seed) for trial in LIST]
    assert {(row.stage, row.rung, row.steps, row.status) for row in rows} == {("validation", 0, 5, "ok")}
    assert (first.beginnings, second.beginnings) == ([(4, 0)], [(4, len(kept))])
    assert [row for _, row in second.endings] == list(rows[len(kept) :])
    assert all((trial.candidate, trial.seed) == (row.candidate, row.seed) for trial, row in second.endings)
    assert second.looks[-1].done == second.looks[-1].total == 4
    assert second.looks[-1].fraction == 1
    assert second.looks[-1].seconds_left == 0

    run_trials(archive, run_row, LIST, watcher=third, **given)
    assert (third.beginnings, third.endings) == ([(4, 4)], [])
    assert archive.evaluations(run_row.id) == rows
    # The first seed's weights are kept, of every candidate.
    weights = {path.name for path in (tmp_path / "weights").iterdir()}
    assert weights == {"0-validation-0.safetensors", "1-validation-0.safetensors"}


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import psutil
from madstar.archive import Archive
from madstar.search import make_settings
from madstar.search.trials import SilentTrials, Trial, run_trials
from madstar.tasks import TextTask
home, settings, trials, task = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4]), sys.argv[4]
class Killed(SilentTrials):  # says which workers there are and dies once a training has ended
    def ended(self, trial, row):
        print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
with Archive.open(home / "archive.sqlite") as archive:
    run_trials(
        archive, archive.run("r"), [Trial(*t) for t in trials], task=TextTask.open(task),
        settings=make_settings(**settings), checkpoints=home / "weights",
        watcher=Killed(),
    )
"""


def test_nothing_is_lost_or_done_twice_when_it_is_killed(
    archive: Archive, run_row: RunRow, task: TextTask, settings: SearchSettings, tmp_path: Path
) -> None:
    arguments = [json.dumps(settings.model_dump(mode="json")), json.dumps(LIST[:3]), str(task.directory)]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), *arguments],
        check=False,
        stdout=subprocess.PIPE,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (workers := [int(pid) for pid in killed.stdout.split()])
    assert all_gone(workers)
    kept = archive.evaluations(run_row.id)
    assert 1 <= len(kept) < 3

    run_trials(archive, run_row, LIST[:3], task=task, settings=settings, checkpoints=tmp_path / "weights")
    rows = archive.evaluations(run_row.id)
    assert rows[: len(kept)] == kept
    assert keys(archive, run_row) == [(trial.candidate, trial.seed) for trial in LIST[:3]]


# What workers answer ------------------------------------------------------------------------


class Pool:
    """Stands in for a pool of workers: answers each job at once, as `answers` say, by candidate."""

    jobs: list[Any]

    def __init__(self, answers: dict[int, Any]) -> None:
        self.answers, self.jobs, self.ready, self.closed = answers, [], [], False

    def __call__(self, target: str, workers: int, **options: Any) -> Pool:
        self.workers, self.setup = workers, options["setup"]
        return self

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *failure: object) -> None:
        self.closed = True

    @property
    def idle(self) -> int:
        return self.workers - len(self.ready)

    def submit(self, job: Any) -> None:
        self.jobs.append(job)
        status, value = self.answers.get(job.payload["index"], ("ok", {"status": "ok", "steps": 5}))
        error = None if status == "ok" else f"{status}!"
        self.ready.append(Outcome(job.id, status, value, error, 0, 2.0, 100.0, 102.0))

    def wait(self, timeout: float) -> list[Outcome]:
        taken, self.ready = self.ready, []
        return taken

    def progress(self) -> dict[str, dict[str, Any]]:
        return {}


def pretend(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Pool:
    pool = Pool({int(index[1:]): answer for index, answer in answers.items()})
    monkeypatch.setattr(trials, "WorkerPool", pool)
    return pool


@pytest.fixture
def given(settings: SearchSettings, tmp_path: Path) -> dict[str, Any]:
    task: Any = SimpleNamespace(directory=tmp_path, vocabulary_size=256)
    return {"task": task, "settings": settings, "checkpoints": tmp_path}


def test_a_failure_is_a_row_and_is_not_tried_again(
    archive: Archive, run_row: RunRow, given: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = ("ok", {"status": "diverged", "error": "diverged at step 3"})
    pool = pretend(monkeypatch, _0=diverged, _1=("timeout", None))
    notes = Notes()
    run_trials(archive, run_row, LIST, watcher=notes, **given)
    rows = archive.evaluations(run_row.id)
    assert [(row.status, row.error) for row in rows] == [
        ("diverged", "diverged at step 3"),
        ("timeout", "timeout!"),
    ] * 2
    assert notes.looks[-1].failed == 4
    run_trials(archive, run_row, LIST, **given)
    assert len(pool.jobs) == 4


def test_a_full_disk_ends_it_and_blames_nobody(
    archive: Archive, run_row: RunRow, given: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ("ok", {"status": "full", "error": "weights cannot be written to (the disk is full)"})
    pool = pretend(monkeypatch, _1=full)
    with pytest.raises(OutputError, match=r"^weights .*\(the disk is full\): free some room, then go on$"):
        run_trials(archive, run_row, LIST, **given)
    assert pool.closed
    assert keys(archive, run_row) == [(0, 1000)]
    pretend(monkeypatch)
    run_trials(archive, run_row, LIST, **given)
    assert {row.status for row in archive.evaluations(run_row.id)} == {"ok"}
    assert len(keys(archive, run_row)) == 4


def test_jobs_are_fresh_unconstrained_and_have_time_for_their_budget(
    archive: Archive, run_row: RunRow, given: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pretend(monkeypatch)
    repeats = [replace_stage(trial, "repeat", 1) for trial in LIST[:1]]
    budgets = [
        trial._replace(budget=budget) for trial, budget in zip(LIST, ("12", "1k tokens"), strict=False)
    ]
    settings = given["settings"].model_copy(update={"time_limit": 10.0})
    run_trials(archive, run_row, [*budgets, *repeats, *LIST[2:]], **{**given, "settings": settings})
    assert pool.setup["constraints"] == []
    assert settings.rungs[-1] == "4 steps"
    # 1,000 tokens are 16 steps of 64; a budget below the top rung's does not shorten the limit.
    assert [job.time_limit for job in pool.jobs] == [30.0, 40.0, 12.5, 12.5, 12.5]
    wanted = [("validation", True), ("validation", True), ("repeat", False), *[("validation", False)] * 2]
    assert [(job.payload["stage"], job.payload["save"]) for job in pool.jobs] == wanted
    assert [job.payload["budget"] for job in pool.jobs] == ["12", "1k tokens", "5", "5", "5"]
    assert not any(job.payload["constrained"] for job in pool.jobs)


def replace_stage(trial: Trial, stage: str, rung: int) -> Trial:
    return trial._replace(stage=stage, rung=rung)


def test_no_more_workers_than_trainings(
    archive: Archive, run_row: RunRow, given: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pretend(monkeypatch)
    many = given["settings"].model_copy(update={"workers": 64})
    run_trials(archive, run_row, LIST[:3], **{**given, "settings": many})
    assert pool.workers == 3


@pytest.mark.parametrize(
    ("budget", "ratio"), [("4", 1.0), ("16", 4.0), ("256 tokens", 1.0), ("1024 tokens", 4.0)]
)
def test_budgets_in_steps_and_tokens_can_be_compared(
    settings: SearchSettings, budget: str, ratio: float
) -> None:
    assert budget_ratio(budget, settings) == ratio


def test_a_budget_by_the_clock_compares_only_with_its_like(settings: SearchSettings) -> None:
    seconds = settings.model_copy(update={"rungs": ("10 seconds", "20 seconds")})
    assert budget_ratio("60s", seconds) == 3
    assert budget_ratio("60s", settings) != budget_ratio("60s", settings)  # nan


def test_seconds_left_are_the_steps_left_at_each_candidates_pace(settings: SearchSettings) -> None:
    row = EvaluationRow(
        *(0, 0, 0, 0, 0, 10, 0, 0, "ok", None, {}, {}, (), {"train": 5.0, "total": 9.0}, 0, 0.0, 0.0)
    )
    pace = trials._Pace(settings, [row, replace(row, candidate=1, timings={"train": 20.0})])
    first, second, unknown = LIST[0], LIST[1], LIST[0]._replace(candidate=9)
    # 5 steps each: 2.5 s, 10 s, and for an unknown one the median pace of 1.25 s a step.
    assert pace.seconds_left([first, second], [], 1) == pytest.approx(12.5)
    assert pace.seconds_left([first, second, unknown], [], 2) == pytest.approx((12.5 + 6.25) / 2)
    assert pace.seconds_left([], [(second, 1, 5)], 2) == pytest.approx(8)
    assert pace.seconds_left([first], [(second, 0, 0)], 2) == pytest.approx(10)  # the longest one's
    pace.learn(replace(row, stage="validation", steps=3))
    assert pace.seconds_left([first], [], 1) == pytest.approx(15)
    pace.learn(replace(row, status="crash", steps=1))
    pace.learn(replace(row, timings={"train": 1.0, "resumed": 1.0}))
    assert pace.seconds_left([first], [], 1) == pytest.approx(15)
    assert trials._Pace(settings, []).seconds_left([first], [], 1) is None
    assert pace.seconds_left([first._replace(budget="7s")], [], 1) == pytest.approx(7)
