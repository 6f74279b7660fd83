"""What a run has on disk: its rows in the archive, its folder, its log. Resuming is reading it again."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..archive import Archive, EvaluationRow, RunRow
from ..archive.rows import EVALUATION_STATUSES
from ..errors import ArchiveError, GraphError
from ..whole_files import write_whole
from ..workers import Outcome, row_fields
from .admission import Admission
from .asking import QUALITY
from .candidates import GRAPH, Candidate, of_dict, write_block
from .log import LOG, Log, plain
from .rounds import Tried
from .settings import DesignSettings

KIND = "design"
STOP = "STOP"
_BOOKED = 5.0
_MOST_ENTRIES = 100_000


class Folder:
    """The places below a run's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work, self.models = directory / "work", directory / "models"
        self.rounds, self.graphs = directory / "rounds", directory / "graphs"
        self.weights, self.stop = directory / "weights", directory / STOP

    def make(self) -> None:
        """Make them, and empty what workers have left."""
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.directory, self.work, self.models, self.rounds, self.graphs, self.weights):
            folder.mkdir(parents=True, exist_ok=True)

    def plan(self, number: int) -> Path:
        """Where a round's proposals stand from when they are settled."""
        return self.rounds / f"{number:04}.plan.json"

    def record(self, number: int) -> Path:
        """Where a round's record stands once it is over."""
        return self.rounds / f"{number:04}.json"

    def used(self) -> int:
        """Bytes that all files take on disk; more than any limit where there are too many files to count."""
        return size_of(self.directory)


def size_of(folder: Path) -> int:
    """Bytes on disk below a folder. Links are not followed."""
    total = entries = 0
    waiting = [folder]
    while waiting:
        with suppress(OSError):
            for path in waiting.pop().iterdir():
                entries += 1
                if entries > _MOST_ENTRIES:
                    return 1 << 62
                with suppress(OSError):
                    found = path.lstat()
                    total += max(found.st_blocks * 512, found.st_size if not path.is_symlink() else 0)
                    if path.is_dir() and not path.is_symlink():
                        waiting.append(path)
    return total


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's fields, or those of a failure where a worker has answered with what is none."""
    wrong = ""
    try:
        numbers = [*fields["values"].values(), *fields["errors"].values(), *fields["timings"].values()]
        numbers += [
            fields["steps"],
            fields["tokens"],
            *(number for point in fields["curve"] for number in point),
        ]
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            wrong = "its score is no finite number"
        elif fields["status"] not in EVALUATION_STATUSES:
            wrong = "it ended in no known way"
        elif fields["status"] == "ok" and not fields["values"]:
            wrong = "it has no score"
    except (TypeError, AttributeError, KeyError):
        wrong = "its answer is none"
    if not wrong:
        return fields
    nothing: dict[str, Any] = {
        "values": {},
        "errors": {},
        "curve": (),
        "timings": {},
        "steps": 0,
        "tokens": 0,
    }
    return {**fields, **nothing, "status": "error", "error": wrong}


def clear(folder: Path, besides: Collection[str] = ()) -> None:
    """Take away what stands in a folder, but for some names; links are removed, never followed."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name in besides:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


class Ledger:
    """Reads and writes what a run knows. Rows are written before anything is told of them."""

    def __init__(self, archive: Archive, row: RunRow, settings: DesignSettings, folder: Folder) -> None:
        self.archive, self.row, self.settings, self.folder = archive, row, settings, folder
        self.log = Log(folder.directory / LOG)
        self._began = self._booked = time.monotonic()
        self.tried: dict[int, Tried] = {}
        self.scores: dict[str, float] = {}
        self.candidates: dict[int, Candidate] = {}
        self.next_index = 0
        self._read()

    # Time

    @property
    def seconds(self) -> float:
        """Wall time of the run, all its sessions together."""
        return self.row.seconds + time.monotonic() - self._booked

    def book(self, *, status: str | None = None, now: bool = False) -> None:
        """Add the time that has passed to the run's row, every few seconds, or now."""
        passed = time.monotonic() - self._booked
        if passed >= _BOOKED or now or status is not None:
            self._booked += passed
            self.row = self.archive.update_run(self.row.id, add_seconds=passed, status=status)

    def skip(self) -> None:
        """Leave out the time since the last booking: a person was waited for."""
        self._booked = time.monotonic()

    # Rounds

    def plan(self, number: int) -> dict[str, Any] | None:
        """The plan of a round that was settled before; None where there is none that can be read."""
        try:
            found = json.loads(self.folder.plan(number).read_bytes())
            return found if isinstance(found, dict) else None
        except (OSError, ValueError):
            return None

    def settle(self, number: int, admissions: Sequence[Admission], **facts: Any) -> dict[str, Any]:
        """Keep a round's proposals, whole or not at all: from here on they are what is tried."""
        plan = {
            "round": number,
            "first": self.next_index,
            "proposals": [
                {
                    "candidate": each.candidate.to_dict(),
                    "status": each.status,
                    "reason": each.reason,
                    "parameters": each.parameters,
                }
                for each in admissions
            ],
            **plain(facts),
        }
        write_whole(self.folder.plan(number), json.dumps(plan).encode())
        return plan

    def enter(self, plan: Mapping[str, Any]) -> list[int]:
        """Give every proposal of a plan its row, if it has none yet; returns their indices."""
        had = {row.index for row in self.archive.candidates(self.row.id)}
        indices = []
        for place, each in enumerate(plan["proposals"]):
            index = plan["first"] + place
            candidate = self._candidate(each["candidate"])
            indices.append(index)
            if candidate is None:
                continue
            self.candidates[index] = candidate
            if index not in had:
                self._add(index, plan["round"], candidate, each)
            if index not in self.tried:
                reason = str(each["reason"])
                self.tried[index] = Tried(index, candidate, each["status"], reason, None, each["parameters"])
        self.next_index = max(self.next_index, plan["first"] + len(plan["proposals"]))
        return indices

    def _candidate(self, data: Any) -> Candidate | None:
        try:
            return of_dict(data)
        except GraphError:
            return None

    def _add(self, index: int, number: int, candidate: Candidate, each: Mapping[str, Any]) -> None:
        told = candidate.prediction
        values = {} if told is None else {"predicted": told.value, "low": told.low, "high": told.high}
        if each["parameters"] is not None:
            values["parameters"] = float(each["parameters"])
        kept = each["status"] not in ("rejected", "duplicate")
        if kept and candidate.kind == GRAPH:
            write_block(candidate, self.folder.graphs)
        known = {row.index for row in self.archive.candidates(self.row.id)}
        self.archive.add_candidate(
            self.row.id,
            index=index,
            genome=candidate.genome,
            architecture=candidate.key if kept else "",
            operator=candidate.origin + (" guided" if candidate.guided else ""),
            parents=tuple(parent for parent in candidate.parents if parent in known),
            validity="rejected" if each["status"] == "rejected" else "valid",
            status=each["status"],
            reason=each["reason"] or None,
            values=values,
            generation=number,
            spec=self._spec(candidate) if kept else None,
        )
        self.log.write(
            "proposal",
            round=number,
            index=index,
            kind=candidate.kind,
            key=candidate.key,
            genome=candidate.genome,
            origin=candidate.origin,
            guided=candidate.guided,
            prediction=None if told is None else told.value,
            status=each["status"],
            reason=each["reason"],
            parameters=each["parameters"],
        )

    def _spec(self, candidate: Candidate) -> dict[str, Any] | None:
        if candidate.kind != GRAPH:
            return None
        return {"block": candidate.text, "pairs": self.settings.pairs, "width": self.settings.width}

    def keep_round(self, record: Mapping[str, Any]) -> None:
        """Keep a round's record as a file and in the run's config."""
        write_whole(self.folder.record(record["round"]), json.dumps(plain(record), indent=1).encode())
        short = {name: value for name, value in record.items() if name != "proposals"}
        rounds = [each for each in self.rounds if each["round"] != record["round"]]
        config = {**self.row.config, "rounds": [*rounds, plain(short)]}
        self.row = self.archive.update_run(self.row.id, config=config)
        self.log.write("round", **short)

    def keep(self, **facts: Any) -> None:
        """Keep facts in the run's config."""
        self.row = self.archive.update_run(self.row.id, config={**self.row.config, **plain(facts)})

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """The records of the rounds that are over, without their proposals."""
        return list(self.row.config.get("rounds", ()))

    # Evaluations

    def evaluated(self, index: int, outcome: Outcome, *, stage: str = "search") -> Tried:
        """Keep how a candidate's training ended; a score that is no number is a failure."""
        fields = _checked(row_fields(outcome))
        status, error, values = fields["status"], fields["error"], fields["values"]
        self.archive.add_evaluation(
            self.row.id,
            candidate=index,
            rung=0,
            seed=self.settings.seed,
            stage=stage,
            **fields,
        )
        self.log.write("trained", index=index, stage=stage, status=status, error=error, values=values)
        if stage == "search":
            self._note(index, status, error, values)
        return self.tried[index]

    def _note(self, index: int, status: str, error: str | None, values: Mapping[str, float]) -> None:
        before = self.tried[index]
        score = values.get(QUALITY) if status == "ok" else None
        self.tried[index] = Tried(index, before.candidate, status, error or "", score, before.parameters)
        if score is not None:
            self.scores[before.candidate.key] = score

    def leave_out(self, index: int, reason: str) -> None:
        """Note that a candidate will not be trained."""
        self.archive.set_candidate_status(self.row.id, index, "rejected", reason)
        before = self.tried[index]
        self.tried[index] = Tried(index, before.candidate, "rejected", reason, None, before.parameters)
        self.log.write("left out", index=index, reason=reason)

    @property
    def best(self) -> Tried | None:
        """The best so far."""
        scored = [each for each in self.tried.values() if each.score is not None]
        return min(scored, key=lambda each: (each.score, each.index), default=None)

    @property
    def trained(self) -> int:
        """How many trainings there were, failed ones included."""
        return sum(
            each.status not in ("pending", "rejected", "infeasible", "duplicate")
            for each in self.tried.values()
        )

    # Reading

    def _read(self) -> None:
        """What former sessions have left."""
        number = 1
        while (plan := self.plan(number)) is not None:
            self._check(plan, number)
            self.enter(plan)
            number += 1
        rows: dict[int, EvaluationRow] = {}
        for row in self.archive.evaluations(self.row.id):
            if row.stage == "search":
                rows[row.candidate] = row
        for index, row in rows.items():
            if index in self.tried:
                self._note(index, row.status, row.error, row.values)
        for candidate in self.archive.candidates(self.row.id):
            held = self.tried.get(candidate.index)
            if held is not None and held.status == "pending" and candidate.status != "pending":
                reason = candidate.reason or ""
                self.tried[candidate.index] = Tried(
                    held.index, held.candidate, candidate.status, reason, None, held.parameters
                )

    def _check(self, plan: Mapping[str, Any], number: int) -> None:
        try:
            good = plan["round"] == number and isinstance(plan["first"], int)
            good = good and all(
                {"candidate", "status", "reason", "parameters"} <= set(p) for p in plan["proposals"]
            )
        except (KeyError, TypeError):
            good = False
        if not good:
            raise ArchiveError(f"{self.folder.plan(number)} is damaged: restore it, or begin a new run")

    def close(self) -> None:
        """Let go of the log."""
        self.log.close()
