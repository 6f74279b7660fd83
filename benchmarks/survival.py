"""What a search loses when its processes are killed at random moments.

    python -m benchmarks.survival [--kills 40] [--seed 0] [--home DIR] [--print]

Searches of a few dozen tiny candidates, as processes, half of them asynchronous and half generational.
A worker or the coordinator is sent SIGKILL at moments drawn from the seed: while it starts, between
evaluations, in their midst. After each death of the coordinator the run is resumed, until so many kills
have happened; then it may end. Counted are: evaluations that were told of, or seen in the archive, and
are missing or changed later; evaluations that were started again although they had ended; processes
left behind; whether SQLite finds the archive whole; whether the run ends; and whether a generational
run is what the same run is without kills, bit for bit. With --print the figures go to stdout instead
of benchmarks/results.

A job whose worker is killed is tried once more and then counts as crashed. So that every evaluation has
its figures, a session loses one worker at most before its coordinator goes too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .machine import keep

RUN = "survivor"
MARK = "MADSTAR_SURVIVAL"
STUCK = 180.0
# Seconds that processes may take to follow their coordinator.
PARTING = 5.0
TINY = (
    *("--length", "32", "--batch", "2", "--width", "16", "--heads", "4", "--depth", "2", "--workers", "2"),
    *("--rungs", "4,8", "--population", "4", "--elitism", "1"),
)
MODES = {
    "generational": ("--mode", "generational", "--generations", "6"),
    "async": ("--candidates", "24"),
}
# The command itself, with a note of every evaluation that is started.
NOTING = """
import os, sys
from madstar.workers import WorkerPool
submit, log = WorkerPool.submit, os.open(os.environ["MADSTAR_SURVIVAL"], os.O_WRONLY | os.O_APPEND)
def noted(pool, job):
    submit(pool, job)
    stage = job.payload.get("stage", "search")
    os.write(log, f"{job.payload['index']} {stage} {job.payload['rung']} {job.payload['seed']}\\n".encode())
WorkerPool.submit = noted
from madstar.cli import main
main()
"""
# An evaluation is known by candidate, stage, rung and seed.
Key = tuple[int, str, int, int]
Rows = dict[Key, dict[str, Any]]


@dataclass
class Losses:
    """What should not have happened, by kind, and what has."""

    kills: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    changed: int = 0
    repeated: int = 0
    orphans: int = 0
    damaged: int = 0
    stuck: int = 0
    refused: list[str] = field(default_factory=list)
    tries: int = 0


class Victim:
    """One run of a mode and a seed in a home of its own, and the process now at work on it."""

    def __init__(self, home: Path, mode: str, seed: int, losses: Losses) -> None:
        self.home, self.mode, self.seed, self.losses = home, mode, seed, losses
        self.archive = home / "archive.sqlite"
        self.notes, self.errors = home.with_suffix(".notes"), home.with_suffix(".err")
        self.kept: Rows = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, text: Path) -> None:
        """Begin the run, or resume it once it is in the archive."""
        known = ("search", "--resume", RUN)
        fresh = (
            "search",
            "--data",
            str(text),
            "--name",
            RUN,
            "--seed",
            str(self.seed),
            *TINY,
            *MODES[self.mode],
        )
        self.errors.write_bytes(b"")
        self.notes.write_bytes(b"")
        self.began = time.monotonic()
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    NOTING,
                    *(known if self._begun() else fresh),
                    "--home",
                    str(self.home),
                ],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self.home.parent,
                env={**os.environ, MARK: str(self.notes)},
                start_new_session=True,
            )

    def _begun(self) -> bool:
        if not self.archive.exists():
            return False
        with closing(sqlite3.connect(self.archive)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            return "runs" in tables and bool(database.execute("SELECT 1 FROM runs").fetchall())

    def told(self) -> list[tuple[str, int]]:
        """The evaluations that this session has told of, by candidate's name and rung."""
        lines = self.errors.read_text("utf-8", "replace").splitlines()
        found = [re.match(r"\[[ \d:]+\] (.+?)  rung (\d+)/", line) for line in lines]
        return [(match[1], int(match[2]) - 1) for match in found if match]

    def wait_until(self, due: Callable[[], bool]) -> bool:
        """Wait for a moment; False where the process has ended before."""
        assert self.process is not None
        while self.process.poll() is None:
            if due():
                return True
            if time.monotonic() - self.began > STUCK:
                self.losses.stuck += 1
                return True
            time.sleep(0.01)
        return False

    def workers(self) -> list[psutil.Process]:
        """The worker processes there are now."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.Error:
            return []

    def kill_worker(self, rng: random.Random) -> None:
        """Kill a worker, if there is one."""
        workers = self.workers()
        if workers:
            rng.choice(workers).kill()
            self.losses.kills["worker"] += 1

    def kill_coordinator(self) -> None:
        """Kill the coordinator alone; what it has started must follow it by itself."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.losses.kills["coordinator"] += 1

    def take_stock(self) -> None:
        """After a session: compare what is there with what was, and with what the session has done."""
        assert self.process is not None
        self.losses.orphans += leftovers(str(self.notes))
        started = [_key(*line.split()) for line in self.notes.read_text().splitlines()]
        self.losses.tries += len(started)
        self.losses.repeated += sum(pair in self.kept for pair in started)
        self.losses.repeated += len(started) - len(set(started))
        if self.process.returncode not in (0, -signal.SIGKILL):
            self.losses.refused.append(self.errors.read_text("utf-8", "replace").splitlines()[-1])
        if not self._begun():
            return
        rows, names = self.rows()
        told = {(names.get(label, label.lstrip("#")), rung) for label, rung in self.told()}
        there = {(candidate, rung) for candidate, _, rung, _ in rows}
        self.losses.missing += sum((int(index), rung) not in there for index, rung in told)
        self.losses.missing += sum(pair not in rows for pair in self.kept)
        self.losses.changed += sum(rows.get(pair, row) != row for pair, row in self.kept.items())
        self.kept = rows

    def rows(self) -> tuple[Rows, dict[str, int]]:
        """All evaluations by candidate and rung, and the named candidates' numbers."""
        with closing(sqlite3.connect(self.archive)) as database:
            self.losses.damaged += database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute("SELECT * FROM evaluations")]
            named = database.execute("SELECT name, candidate FROM candidates WHERE name IS NOT NULL")
            by_key = {_key(row["candidate"], row["stage"], row["rung"], row["seed"]): row for row in rows}
            return by_key, dict(named.fetchall())

    def facts(self) -> tuple[list[tuple[Any, ...]], ...]:
        """What must not depend on who was killed when: proposals, figures and curves, without clocks."""
        candidates = (
            'candidate, role, name, genome, architecture, operator, validity, status, generation, "values"'
        )
        evaluations = 'candidate, stage, rung, seed, steps, tokens, status, error, "values", errors, curve'
        with closing(sqlite3.connect(self.archive)) as database:
            return (
                database.execute(f"SELECT {candidates} FROM candidates ORDER BY candidate").fetchall(),
                database.execute("SELECT candidate, parent FROM parents ORDER BY 1, ordinal").fetchall(),
                database.execute(f"SELECT {evaluations} FROM evaluations ORDER BY 1, 2, 3, 4").fetchall(),
            )

    def status(self) -> str:
        """The run's status in the archive."""
        with closing(sqlite3.connect(self.archive)) as database:
            return str(database.execute("SELECT status FROM runs").fetchone()[0])


def _key(candidate: Any, stage: str, rung: Any, seed: Any) -> Key:
    return int(candidate), stage, int(rung), int(seed)


def leftovers(mark: str) -> int:
    """Processes that carry a session's mark and have not gone within a few seconds; they are ended."""

    def marked(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
        except psutil.Error:
            return False

    deadline = time.monotonic() + PARTING
    while left := [process for process in psutil.process_iter() if marked(process)]:
        if time.monotonic() > deadline:
            for process in left:
                process.kill()
            return len(left)
        time.sleep(0.1)
    return 0


def session(victim: Victim, text: Path, rng: random.Random, budget: int, startup: float) -> int:
    """Start the run, kill in it, and return how many kills of the budget it took; 0 where it ended first."""
    victim.start(text)
    before = sum(victim.losses.kills.values())
    plan = ["coordinator"]
    if budget > 1 and rng.random() < 0.65:
        plan.insert(0, "worker")
    for target in plan:
        if target == "coordinator" and rng.random() < 0.2:
            moment = victim.began + rng.uniform(0, startup)
            alive = victim.wait_until(lambda moment=moment: time.monotonic() >= moment)
        else:
            wanted = len(victim.told()) + rng.randrange(3)
            alive = victim.wait_until(
                lambda wanted=wanted: len(victim.told()) >= wanted and bool(victim.workers())
            )
            # From right after the row up to the middle of a later evaluation.
            pause = time.monotonic() + rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.5)))
            alive = alive and victim.wait_until(lambda pause=pause: time.monotonic() >= pause)
        if not alive:
            break
        if target == "worker":
            victim.kill_worker(rng)
        else:
            victim.kill_coordinator()
    victim.take_stock()
    return sum(victim.losses.kills.values()) - before


def finish(victim: Victim, text: Path) -> float:
    """Let a run end by itself; returns the seconds to its first evaluation."""
    victim.start(text)
    victim.wait_until(lambda: bool(victim.told()))
    first = time.monotonic() - victim.began
    victim.wait_until(lambda: False)
    assert victim.process is not None
    if victim.process.poll() is None:
        victim.kill_coordinator()
    victim.take_stock()
    return first


def measure(mode: str, kills: int, seed: int, directory: Path, text: Path) -> dict[str, Any]:
    """Runs of one mode, killed so many times in all; more than one where the first ends too early."""
    rng, losses, runs = random.Random(f"{mode} {seed}"), Losses(), []
    startup = 20.0
    while sum(losses.kills.values()) < kills:
        place = directory / f"{mode}-{seed + len(runs)}"
        equal: bool | None = None
        whole = Victim(place.with_name(place.name + "-whole"), mode, seed + len(runs), Losses())
        if mode == "generational":
            startup = finish(whole, text)
        victim = Victim(place, mode, seed + len(runs), losses)
        while (left := kills - sum(losses.kills.values())) > 0:
            if not session(victim, text, rng, left, startup) and victim.status() == "finished":
                break
            if losses.stuck or losses.refused:
                break
        finish(victim, text)
        if mode == "generational":
            equal = victim.facts() == whole.facts()
        statuses = Counter(row["status"] for row in victim.kept.values())
        runs.append({"seed": victim.seed, "status": victim.status(), "evaluations": statuses, "equal": equal})
        if losses.stuck or losses.refused:
            break
    return {
        "kills": dict(losses.kills),
        "evaluations_missing": losses.missing,
        "evaluations_changed": losses.changed,
        "evaluations_started_again_although_ended": losses.repeated,
        "tries_lost": losses.tries - sum(sum(run["evaluations"].values()) for run in runs),
        "processes_left": losses.orphans,
        "archives_damaged": losses.damaged,
        "sessions_stuck": losses.stuck,
        "sessions_refused": losses.refused,
        "runs": runs,
    }


def write_text(path: Path) -> Path:
    """A small text with enough structure to be learned from."""
    words = [f"{start}{end}" for start in "bdfgklmnprst" for end in ("a", "en", "ilo", "o", "ure")]
    rng = random.Random(7)
    sentences = (" ".join(rng.choices(words, k=rng.randrange(5, 12))).capitalize() for _ in range(900))
    path.write_text(".\n".join(sentences) + ".\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modes", nargs="+", choices=tuple(MODES), default=tuple(MODES))
    parser.add_argument("--home", type=Path, help="where to work; a folder that is removed, if not given")
    parser.add_argument("--print", action="store_true", help="print the figures instead of keeping them")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        directory = (options.home or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        text = write_text(directory / "text.txt")
        shares = {mode: options.kills // len(options.modes) for mode in options.modes}
        shares[options.modes[0]] += options.kills % len(options.modes)
        measured = {
            mode: measure(mode, share, options.seed, directory, text)
            for mode, share in shares.items()
            if share
        }
    result = {
        "kills": options.kills,
        "seed": options.seed,
        "seconds": round(time.monotonic() - begun),
        **measured,
    }
    if options.print:
        print(json.dumps(result))
    else:
        print(keep("survival", result))


if __name__ == "__main__":
    main()
