"""What starts a search and what takes it up again."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..archive.lock import RunLock
from ..archive.naming import check_name
from ..errors import (
    ArchiveError,
    ConfigurationError,
    MadstarError,
    ObjectiveError,
    OutputError,
)
from ..genome import CLASSES, Genome, LIVGenes, sample
from ..genome.variation import settle
from ..objectives import STATIC, Subject, processor, reference
from ..tasks import DATA_NAME, TextTask
from . import knowledge
from .coordinator import Coordinator, Snapshot, Watcher
from .run import ARCHIVE_NAME, DEFAULT_HOME, Run
from .settings import SearchSettings
from .strategies import proposal_rng
from .strategies.choice import check_strategy

_SAMPLED = 200
# The vocabulary without a tokenizer; with one it is known only once the data are prepared.
_BYTES = 256


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C: what was finished is kept. `run` can be resumed by its name."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


class Silent:
    """A watcher that says nothing."""

    def began(self, run: RunRow, settings: SearchSettings, task: TextTask, resumed: bool) -> None:
        """Say nothing."""

    def evaluated(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Say nothing."""

    def tick(self, snapshot: Snapshot) -> None:
        """Say nothing."""


def search(
    data: str | Path = "python-reference",
    objectives: Sequence[str | Callable[[Subject], Any]] = ("quality", "cache"),
    minutes: float | None = None,
    *,
    home: str | Path = DEFAULT_HOME,
    name: str | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Evolve architectures on a text, and return the run.

    `objectives` are names or functions of a `Subject`; `settings` are those of `SearchSettings`.
    Without `minutes`, `candidates`, `generations` or `steps` it runs 8 minutes. Raises the errors of
    `madstar.errors` for what cannot be, before anything is written, and `SearchInterrupted` on Ctrl-C.
    """
    named = tuple(o if isinstance(o, str) else reference(o) for o in objectives)
    if minutes is None and not {"candidates", "generations", "steps"} & set(settings):
        minutes = 8.0
    chosen = make_settings(data=str(data), objectives=named, minutes=minutes, **settings)
    return begin(chosen, home=home, name=name, watcher=watcher)


def make_settings(**values: Any) -> SearchSettings:
    """Settings from plain values; a wrong one is a ConfigurationError of one line."""
    try:
        settings = SearchSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise ConfigurationError(f"{where}: {first['msg']} (given: {first['input']!r})") from None
    check_strategy(settings.strategy)
    return settings


def begin(
    settings: SearchSettings,
    *,
    home: str | Path = DEFAULT_HOME,
    name: str | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Begin a search with given settings, and run it to its end.

    What can be refused is refused before anything is written, and before minutes go into preparing data.
    """
    torch.set_num_threads(1)
    check_strategy(settings.strategy)
    check_feasible(settings)
    home = Path(home)
    _check_run(home, name)
    known = knowledge.learn(settings, _BYTES)
    with _without_trace(home):
        _make_directory(home)
        task = settings.text.prepare(home)
    if task.vocabulary_size != _BYTES:
        known = knowledge.learn(settings, task.vocabulary_size)
    with Archive.open(home / ARCHIVE_NAME) as archive:
        row = archive.create_run(
            name,
            {
                "settings": settings.model_dump(mode="json"),
                "task": {
                    "fingerprint": task.fingerprint,
                    "description": task.description,
                    "vocabulary_size": task.vocabulary_size,
                },
                "processor": processor(),
                **({} if known is None else {"knowledge": known.get("says", "")}),
            },
        )
        with RunLock(home / row.name, row.name):
            knowledge.keep(known, home / row.name)
            return _carry_on(archive, row, settings, task, home, watcher or Silent(), resumed=False)


def resume(
    name: str = "latest",
    *,
    home: str | Path = DEFAULT_HOME,
    minutes: float | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Go on with a run where it stopped; `minutes` gives it a new total.

    Raises ArchiveError for an unknown run, one whose data have changed since, and one that another
    process is at work on.
    """
    torch.set_num_threads(1)
    home = Path(home)
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(Archive.open(home / ARCHIVE_NAME, create=False))
        row = archive.run(name, kind="search")
        if "scaled" in row.config:
            raise ArchiveError(
                f"run {row.name} holds the winner of another at a larger size, and no search: "
                "the madstar scale command that began it goes on with it"
            )
        stack.enter_context(RunLock(home / row.name, row.name))
        row = archive.run(row.id)  # as it was left by the process that may just have let go of it
        settings = SearchSettings(**row.config["settings"])
        if minutes is not None:
            settings = make_settings(**{**settings.model_dump(), "minutes": minutes})
        task = settings.text.reopen(home)
        if task.fingerprint != row.config["task"]["fingerprint"]:
            raise ArchiveError(
                f"the data of run {row.name} have changed since it began ({settings.data}): "
                "restore them, or begin a new run"
            )
        config = {**row.config, "settings": settings.model_dump(mode="json")}
        row = archive.update_run(row.id, status="running", config=config)
        return _carry_on(archive, row, settings, task, home, watcher or Silent(), resumed=True)


def check_feasible(settings: SearchSettings) -> None:
    """Raise ObjectiveError if none of many random genomes keeps the constraints that need no measuring.

    The error says what the sampled genomes had, and which classes, stacked alone, keep the constraints.
    """
    constraints = [c for c in settings.parsed_constraints if c.objective.kind == STATIC]
    if not constraints:
        return
    space = settings.space(256)

    def figures(genome: Genome) -> dict[str, float]:
        subject = Subject(genome, space.sizes, settings.training.length)
        return {c.objective.name: c.objective.measure(subject).value for c in constraints}

    def kept(values: dict[str, float]) -> bool:
        return all(c.holds(values[c.objective.name]) for c in constraints)

    sampled = []
    for index in range(_SAMPLED):
        rng = proposal_rng(settings.seed, index)
        sampled.append(figures(settle(sample(space, rng), "random", space, rng).genome))
        if kept(sampled[-1]):
            return
    seen = "; ".join(
        f"{name} ran from {min(v[name] for v in sampled):,.6g} to {max(v[name] for v in sampled):,.6g}"
        for name in sampled[0]
    )
    stacks = {n: Genome((LIVGenes(CLASSES[n]),) * space.min_depth) for n in space.classes}
    alone = ",".join(str(number) for number, genome in stacks.items() if kept(figures(genome)))
    advice = f"search the classes that keep them alone (classes {alone})" if alone else "relax them"
    raise ObjectiveError(
        f"impossible constraints: 0 of {_SAMPLED} sampled genomes kept "
        f"{', '.join(c.text for c in constraints)} ({seen}): {advice}, or change depth or width"
    )


def _carry_on(
    archive: Archive,
    row: RunRow,
    settings: SearchSettings,
    task: TextTask,
    home: Path,
    watcher: Watcher,
    *,
    resumed: bool,
) -> Run:
    run = Run(home, row)
    _make_directory(run.checkpoints)
    _sweep(run.checkpoints)
    try:
        coordinator = Coordinator(
            settings,
            archive,
            row,
            task,
            run.checkpoints,
            import_paths=[os.getcwd()],
            knowledge=knowledge.recall(settings, run.directory),
        )
    except KeyboardInterrupt:
        _book(lambda: archive.update_run(row.id, status="interrupted"))
        raise SearchInterrupted(row.name) from None
    try:
        watcher.began(row, settings, task, resumed)
        coordinator.run(watcher)
    except KeyboardInterrupt:
        _book(lambda: coordinator.book_time("interrupted"))
        raise SearchInterrupted(row.name) from None
    except BaseException:
        _book(lambda: coordinator.book_time("failed"))
        raise
    coordinator.book_time("finished")
    return run


def _book(write: Callable[[], object]) -> None:
    """Write how a session ended; what ended it is the thing to tell, also where this cannot be written."""
    with contextlib.suppress(MadstarError):
        write()


def _sweep(checkpoints: Path) -> None:
    """Remove what workers that were killed had half written; no one else is at work on the run."""
    for partial in checkpoints.glob(".*.safetensors.*"):
        with contextlib.suppress(OSError):
            partial.unlink()


def _check_run(home: Path, name: str | None) -> None:
    """Raise ArchiveError where a run of that name could not be begun."""
    if name is not None:
        check_name(name)
        if name != Path(name).name or name == DATA_NAME or name.startswith((".", ARCHIVE_NAME)):
            raise ArchiveError(
                f"the run name {name!r} cannot be a directory's in {home}: write it without slashes, "
                f"without a dot in front, and not as {DATA_NAME} or {ARCHIVE_NAME}, which are taken"
            )
    path = home / ARCHIVE_NAME
    if os.path.lexists(path):
        with Archive.open(path) as archive:
            if name in {run.name for run in archive.runs()}:
                raise ArchiveError(
                    f"the archive {path} has a run named {name!r} already: choose another name"
                )


@contextlib.contextmanager
def _without_trace(home: Path) -> Iterator[None]:
    """Where the block fails, remove what directories it has made on the way to the prepared data."""
    missing = [path for path in (home / DATA_NAME, home, *home.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _make_directory(path: Path) -> None:
    """Make a directory that can be written to; raise OutputError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"madstar")
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{path} cannot be written to: the disk is full: make room there") from None
        raise OutputError(
            f"{path} cannot be written to ({error.strerror}): choose another directory"
        ) from None
