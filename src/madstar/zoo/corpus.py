"""The museum as a corpus on disk: every model's graph, an index, the package's prose; resumable at any point.

A folder holds

    index.jsonl          one line for each model and size that was tried, traced or not, in order of ending
    graphs/NAME.json.gz  its graph
    prose/NAME.txt       what the package says about it

A line is written after its graph and is whole or absent: a corpus that was killed goes on where it stopped,
and what its index has is not done again. One process builds a corpus at a time. Prose and graphs belong to
the packages' authors and stay on the machine that made them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madstar.errors import ConfigurationError, GraphError, OutputError
from madstar.whole_files import write_whole
from madstar.workers import Job, Outcome, WorkerPool

SIZES = ("full", "shrunk")
_INDEX = "index.jsonl"


@dataclass(frozen=True)
class CorpusSettings:
    """How a corpus is built.

    Args:
        folder: Where it stands.
        workers: Processes, one thread each.
        time_limit: Seconds for one model.
        memory_limit: Bytes for one model, beyond what its process takes by itself.
        retry: Try again what the index says has failed.
        redo: Do again what is there.
    """

    folder: Path
    workers: int = 2
    time_limit: float = 300.0
    memory_limit: int = 4 * 2**30
    retry: bool = False
    redo: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a corpus has come: models done now and before, failed, in all; seconds left, if known."""

    done: int
    failed: int
    total: int
    seconds_left: float | None
    last: str = ""


@dataclass(frozen=True)
class Task:
    """A model to trace, at a size."""

    address: str
    size: str

    @property
    def key(self) -> str:
        """Its name in the index."""
        return f"{self.address}@{self.size}"


def museum(
    *, sizes: Iterable[str] = SIZES, timm: int | None = None, seed: int = 0, only: Iterable[str] = ()
) -> tuple[Task, ...]:
    """Return what the corpus shall hold: all types of transformers that reach an AutoModel, and timm models.

    Args:
        sizes: "full" and "shrunk"; timm models are always taken as they are.
        timm: How many timm models, drawn with the seed; None for all, 0 for none.
        seed: Of the draw.
        only: Addresses to take instead of all.

    Raises:
        ConfigurationError: an unknown size.
        GraphError: transformers or timm is not installed.
    """
    from madstar.zoo.timm_models import timm_names
    from madstar.zoo.transformers_models import model_types

    sizes = tuple(sizes)
    for size in sizes:
        if size not in SIZES:
            raise ConfigurationError(f"size {size!r}: there are {' and '.join(SIZES)}")
    chosen = list(only)
    if not chosen:
        chosen = [f"hf:{name}" for name in model_types()]
        if timm != 0:
            names = list(timm_names())
            picked = (
                names if timm is None else sorted(random.Random(seed).sample(names, min(timm, len(names))))
            )
            chosen += [f"timm:{name}" for name in picked]
    tasks = [
        Task(address, size)
        for size in reversed(SIZES)  # shallow ones first: they are quick, and show what cannot be traced
        if size in sizes
        for address in chosen
        if address.startswith("hf:")
    ]
    tasks += [Task(address, "full") for address in chosen if address.startswith("timm:")]
    return tuple(tasks)


def build_corpus(
    tasks: Iterable[Task],
    settings: CorpusSettings,
    on_progress: Callable[[Progress], None] | None = None,
    target: str = "madstar.zoo.corpus:make_handler",
) -> Progress:
    """Trace what the folder lacks. An interrupt leaves everything that was done.

    Args:
        tasks: What the corpus shall hold, in this order.
        settings: Where and under which limits.
        on_progress: Called after each model.
        target: What runs in the workers.

    Returns:
        The last progress.

    Raises:
        OutputError: the folder cannot be written to, or another process builds it.
    """
    wanted = list(dict.fromkeys(tasks))
    with _alone(settings.folder) as index:
        known = {row["key"]: row for row in read_index(settings.folder)}
        if settings.retry:
            known = {key: row for key, row in known.items() if row["status"] == "ok"}
        if settings.redo:
            known = {}
        waiting = [task for task in wanted if task.key not in known]
        before = [known[task.key] for task in wanted if task.key in known]
        state = _State(len(wanted), len(before), sum(row["status"] != "ok" for row in before))
        if on_progress is not None:
            on_progress(state.progress(""))
        if waiting:
            setup = {"folder": str(settings.folder)}
            with WorkerPool(
                target, min(settings.workers, len(waiting)), setup=setup, memory_limit=settings.memory_limit
            ) as pool:
                for task, outcome in _run(pool, waiting, settings.time_limit):
                    row = _row(task, outcome)
                    _append(index, row)
                    state.count(row)
                    if on_progress is not None:
                        on_progress(state.progress(task.key))
        return state.progress("")


class _State:
    def __init__(self, total: int, done: int, failed: int) -> None:
        self.total, self.done, self.failed, self.begun_with = total, done, failed, done
        self.begun = time.monotonic()

    def count(self, row: dict[str, Any]) -> None:
        self.done += 1
        self.failed += row["status"] != "ok"

    def progress(self, last: str) -> Progress:
        now = self.done - self.begun_with
        left = None
        if now:
            left = (time.monotonic() - self.begun) / now * (self.total - self.done)
        return Progress(self.done, self.failed, self.total, left, last)


def _run(pool: WorkerPool, tasks: list[Task], limit: float) -> Iterator[tuple[Task, Outcome]]:
    """Give every task to a worker and yield each with its outcome, as they end."""
    waiting = list(reversed(tasks))
    running: dict[str, Task] = {}
    while waiting or running:
        while waiting and pool.idle:
            task = waiting.pop()
            running[task.key] = task
            pool.submit(Job(task.key, {"address": task.address, "size": task.size}, time_limit=limit))
        for outcome in pool.wait(timeout=1.0):
            yield running.pop(outcome.id), outcome


def _row(task: Task, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"key": task.key, "name": task.address, "size": task.size, "status": outcome.status}
    row |= {"seconds": round(outcome.seconds, 3), "error": outcome.error}
    row |= outcome.value or {}
    return row


def _append(index: int, row: dict[str, Any]) -> None:
    """Write one line and see it on the disk before the next model begins."""
    line = (json.dumps(row, sort_keys=True) + "\n").encode()
    written = os.write(index, line)
    if written != len(line):
        raise OutputError("the corpus's index cannot be written: the disk is full")
    os.fsync(index)


def read_index(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a corpus, the last one of each key; an empty list if there is none yet.

    A last line that a kill cut short is left out.

    Raises:
        GraphError: another line is damaged.
    """
    path = folder / _INDEX
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            rows[row["key"]] = row
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                break
            raise GraphError(f"{path}: line {number} is damaged; remove the line and go on") from None
    return list(rows.values())


def failures(rows: Iterable[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """Group what was not traced by reason: (status, error without names and numbers, keys), most first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            said = str(row.get("error") or row["status"])
            said = re.sub(r"(hf|timm):[^\s:]+:?\s*", "", said)
            said = re.sub(r"\d+", "N", said)
            groups.setdefault((row["status"], said[:120]), []).append(row["key"])
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [(status, said, keys) for (status, said), keys in ordered]


def file_name(key: str) -> str:
    """A name for a model's files: readable, and different for different keys."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:80].strip("._")
    return f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Open the index for one process; mend a last line that was cut short."""
    try:
        for part in ("graphs", "prose"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _INDEX, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"{folder}: another process is building this corpus; wait for it") from None
        content = (folder / _INDEX).read_bytes()
        if content and not content.endswith(b"\n"):
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        yield descriptor
    finally:
        os.close(descriptor)


# In a worker.


def make_handler(setup: dict[str, Any]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return what traces one model and writes its files; see `madstar.workers`."""
    from madstar.graph.hashing import structural_hash
    from madstar.graph.json_format import save
    from madstar.graph.statistics import statistics
    from madstar.zoo.prose import prose
    from madstar.zoo.tracing import trace_address

    folder = Path(setup["folder"])

    def handle(payload: dict[str, Any], report: Any) -> dict[str, Any]:
        traced = trace_address(payload["address"], shrunk=payload["size"] == "shrunk", seconds=25.0)
        graph, model = traced.graph, traced.model
        cost = statistics(graph)
        name = file_name(f"{payload['address']}@{payload['size']}")
        text = prose(model)
        if text:
            write_whole(folder / "prose" / f"{name}.txt", text.encode())
        save(graph, folder / "graphs" / f"{name}.json.gz")
        return {
            "class": model.facts.get("class"),
            "type": model.type,
            "file": f"graphs/{name}.json.gz",
            "prose": f"prose/{name}.txt" if text else None,
            "nodes": cost.unfolded,
            "folded_nodes": cost.nodes,
            "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
            "parameter_tensors": graph.facts.get("parameter_tensors"),
            "share_touched": round(traced.share, 6),
            "untouched": list(traced.untouched[:50]),
            "guesses": len(graph.guesses),
            "symbols": list(graph.symbols),
            "inputs": traced.inputs,
            "hash": structural_hash(graph),
            "family": None,
            "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "changes": list(model.changes),
        }

    return handle
