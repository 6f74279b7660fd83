"""What begins a design run and what takes it up again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..archive import Archive, RunRow
from ..archive.lock import RunLock
from ..archive.naming import check_name
from ..errors import ArchiveError, ConfigurationError, MadstarError, OutputError
from ..tasks import DATA_NAME, TextTask
from .asking import TARGET
from .ledger import KIND, STOP, Folder, Ledger
from .limits import Limits
from .loop import Approve, Loop, News, Told
from .settings import DesignSettings, make_settings

ARCHIVE_NAME = "archive.sqlite"


class DesignInterrupted(KeyboardInterrupt):
    """Ctrl-C: what was finished is kept. `run` can be resumed by its name."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


@dataclass(frozen=True)
class Design:
    """A run as it stands: its row, why it stopped, its best, and where it lies."""

    name: str
    reason: str
    directory: Path
    settings: DesignSettings
    rounds: tuple[dict[str, Any], ...]
    best: dict[str, Any] | None
    test: float | None
    agreement: dict[str, Any]
    trained: int
    seconds: float
    held: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            **{
                name: value
                for name, value in asdict(self).items()
                if name not in ("settings", "directory", "name")
            },
            "run": self.name,
            "directory": str(self.directory),
            "settings": self.settings.model_dump(mode="json"),
        }


def _silent(news: News) -> None:
    """Say nothing."""


def begin(
    settings: DesignSettings,
    limits: Limits,
    *,
    home: str | Path = "runs",
    name: str | None = None,
    told: Told = _silent,
    approve: Approve | None = None,
    held: dict[str, bool] | None = None,
    handler: str = TARGET,
    import_paths: Sequence[str] = (),
) -> Design:
    """Begin a run within limits, and go on until something ends it.

    `held` says how this process itself is confined, for the record. Raises the errors of `madstar.errors`,
    before anything is written where that can be known, and DesignInterrupted on Ctrl-C.
    """
    home = Path(home)
    _check_name(home, name)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{home} cannot be made ({error.strerror}): choose another home") from None
    task = settings.text.reopen(home)
    with Archive.open(home / ARCHIVE_NAME) as archive:
        config = {
            "settings": settings.model_dump(mode="json"),
            "limits": limits.to_dict(),
            "task": {"fingerprint": task.fingerprint, "description": task.description},
            "vocabulary_size": task.vocabulary_size,
            "held": held or {},
            "rounds": [],
        }
        row = archive.create_run(name, config, kind=KIND)
        with RunLock(home / row.name, row.name):
            return _go_on(archive, row, settings, limits, task, home, told, approve, handler, import_paths)


def resume(
    name: str = "latest",
    *,
    home: str | Path = "runs",
    minutes: float | None = None,
    rounds: int | None = None,
    approve_each: bool | None = None,
    told: Told = _silent,
    approve: Approve | None = None,
    held: dict[str, bool] | None = None,
    handler: str = TARGET,
    import_paths: Sequence[str] = (),
) -> Design:
    """Go on with a run where it stopped; `minutes` and `rounds` give it a new total, and so the trainings in
    all. The other limits stay.

    Raises ArchiveError for an unknown run, one whose data have changed, one that another process is at work
    on, and one in whose folder a file STOP stands.
    """
    home = Path(home)
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(Archive.open(home / ARCHIVE_NAME, create=False))
        row = archive.run(name, kind=KIND)
        directory = home / row.name
        stack.enter_context(RunLock(directory, row.name))
        row = archive.run(row.id)
        if (directory / STOP).exists():
            raise ArchiveError(f"a file {STOP} stands in {directory}: remove it to go on")
        settings, limits = read_config(row)
        given = {"rounds": rounds, "approve": approve_each}
        settings = make_settings(
            **{**settings.model_dump(), **{name: value for name, value in given.items() if value is not None}}
        )
        if minutes is not None:
            limits = replace(limits, seconds=minutes * 60)
        if rounds is not None:
            limits = replace(limits, candidates=max(limits.candidates, rounds * settings.candidates))
        task = settings.text.reopen(home)
        if task.fingerprint != row.config["task"]["fingerprint"]:
            raise ArchiveError(
                f"the data of run {row.name} have changed since it began ({settings.data}): "
                "restore them, or begin a new run"
            )
        config = {
            **row.config,
            "settings": settings.model_dump(mode="json"),
            "limits": limits.to_dict(),
            "held": held or {},
        }
        row = archive.update_run(row.id, status="running", config=config)
        return _go_on(archive, row, settings, limits, task, home, told, approve, handler, import_paths)


def seconds_of(name: str, home: Path) -> tuple[str, float, float]:
    """A run's name, its wall time so far and its limit. Raises ArchiveError."""
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(name, kind=KIND)
        return row.name, row.seconds, read_config(row)[1].seconds


def read_config(row: RunRow) -> tuple[DesignSettings, Limits]:
    """The settings and limits of a run's row. Raises ArchiveError for those of another version."""
    try:
        return DesignSettings(**row.config["settings"]), Limits.of(row.config["limits"])
    except (KeyError, TypeError, ValueError):
        raise ArchiveError(f"run {row.name} was begun by another version: begin a new one") from None


def _go_on(
    archive: Archive,
    row: RunRow,
    settings: DesignSettings,
    limits: Limits,
    task: TextTask,
    home: Path,
    told: Told,
    approve: Approve | None,
    handler: str,
    import_paths: Sequence[str],
) -> Design:
    folder = Folder(home / row.name)
    try:
        folder.make()
    except OSError as error:
        raise OutputError(f"{folder.directory} cannot be written to ({error.strerror})") from None
    ledger = Ledger(archive, row, settings, folder)
    status = "failed"
    try:
        ledger.log.write("began", version=row.version, settings=settings.model_dump(mode="json"))
        loop = Loop(
            ledger, limits, task, told=told, approve=approve, handler=handler, import_paths=import_paths
        )
        reason = loop.run()
        status = "interrupted" if reason in ("stop", "approval", "declined") else "finished"
        ledger.keep(stopped=reason)
        ledger.log.write("ended", reason=reason, seconds=ledger.seconds)
    except KeyboardInterrupt:
        status = "interrupted"
        with contextlib.suppress(MadstarError):
            ledger.log.write("interrupted")
        raise DesignInterrupted(row.name) from None
    finally:
        with contextlib.suppress(MadstarError):
            ledger.book(status=status)
        ledger.close()
    return _found(ledger, reason, folder)


def _found(ledger: Ledger, reason: str, folder: Folder) -> Design:
    best, config = ledger.best, ledger.row.config
    return Design(
        name=ledger.row.name,
        reason=reason,
        directory=folder.directory,
        settings=ledger.settings,
        rounds=tuple(ledger.rounds),
        best=None if best is None else best.to_dict(),
        test=None if best is None else config.get("tested", {}).get(str(best.index)),
        agreement=config.get("agreement", {"tau": None, "n": 0}),
        trained=ledger.trained,
        seconds=ledger.row.seconds,
        held={"loop": config.get("held", {}), "workers": config.get("workers_held", {})},
    )


def _check_name(home: Path, name: str | None) -> None:
    if name is None:
        return
    check_name(name)
    if name != Path(name).name or name == DATA_NAME or name.startswith((".", ARCHIVE_NAME)):
        raise ConfigurationError(
            f"the run name {name!r} cannot be a folder's in {home}: write it without slashes, without a dot "
            f"in front, and not as {DATA_NAME} or {ARCHIVE_NAME}"
        )
    if (home / ARCHIVE_NAME).exists():
        with Archive.open(home / ARCHIVE_NAME) as archive:
            if name in {run.name for run in archive.runs()}:
                raise ArchiveError(f"{home / ARCHIVE_NAME} has a run named {name!r} already: choose another")
