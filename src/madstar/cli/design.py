"""`madstar design`: rounds of proposing, training and learning again, within hard limits."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArchiveError, ConfigurationError, OutputError
from .app import command
from .document import print_document
from .options import AsJson, Home, spelled_out
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..design import Design, Limits
    from ..design.confinement import Held
    from ..design.loop import News

_MINUTES, _ROUNDS, _CANDIDATES = 60.0, 5, 12
_OFTEN = 20.0


@command("design")
def design(
    rounds: Annotated[int | None, typer.Option(help=f"Rounds in all [default: {_ROUNDS}].")] = None,
    minutes: Annotated[float | None, typer.Option(help=f"Minutes in all [default: {_MINUTES:g}].")] = None,
    data: Annotated[
        str, typer.Option(help="A file, a folder, or a built-in text: python-reference, stdlib.")
    ] = "python-reference",
    candidates: Annotated[
        int, typer.Option("--candidates-per-round", help="Architectures trained in a round, at most.")
    ] = _CANDIDATES,
    steps: Annotated[int, typer.Option(help="Training steps of each.")] = 100,
    graphs: Annotated[
        float, typer.Option(help="Share of blocks made by the generator; the rest genomes.")
    ] = 0.5,
    free: Annotated[
        float, typer.Option("--unguided", help="Share proposed without a model's help, to compare.")
    ] = 0.25,
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Fit the models anew in every round.")
    ] = True,
    patience: Annotated[int, typer.Option(help="End after so many rounds without a gain; 0: never.")] = 3,
    approve: Annotated[bool, typer.Option("--approve", help="Wait for a person between rounds.")] = False,
    model: Annotated[
        Path | None, typer.Option("--model", help="A generator of madstar learn generate, to begin with.")
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", help="A dataset of madstar learn dataset: more blocks to learn."),
    ] = None,
    width: Annotated[int, typer.Option(help="Channels.")] = 64,
    heads: Annotated[int, typer.Option(help="Heads of genomes.")] = 4,
    pairs: Annotated[
        int, typer.Option(help="Mixers, each with a SwiGLU after it; genomes have 2 layers each.")
    ] = 2,
    length: Annotated[int, typer.Option(help="Training length in tokens.")] = 256,
    batch: Annotated[int, typer.Option(help="Sequences a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-3,
    most_parameters: Annotated[
        float, typer.Option("--max-params", help="Limit: parameters of a candidate.")
    ] = 1e6,
    workers: Annotated[int, typer.Option(help="Limit: worker processes, one thread each.")] = 2,
    memory: Annotated[float, typer.Option("--memory-limit", help="Limit: GB for one worker.")] = 2.0,
    disk: Annotated[float, typer.Option("--disk-limit", help="Limit: GB below the run's folder.")] = 1.0,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Limit: seconds for one training.")
    ] = 300.0,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Go on with this run (its settings; --minutes, --rounds may change)."
        ),
    ] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Propose architectures, train them, learn from what came out, propose again; limits are kept outside."""
    from ..design import Limits

    limits = Limits(
        seconds=_positive("minutes", _MINUTES if minutes is None else minutes) * 60,
        workers=workers,
        memory=int(_positive("memory-limit", memory) * 1e9),
        disk=int(_positive("disk-limit", disk) * 1e9),
        parameters=int(_positive("max-params", most_parameters)),
        candidates=max(1, candidates * (rounds or _ROUNDS)),
        candidate_seconds=_positive("time-limit", time_limit),
    )
    values: dict[str, Any] = {
        "data": data,
        "rounds": _ROUNDS if rounds is None else rounds,
        "candidates": candidates,
        "steps": steps,
        "graphs": graphs,
        "free": free,
        "retrain": retrain,
        "patience": patience,
        "approve": approve,
        "generator": None if model is None else str(model),
        "dataset": None if dataset is None else str(dataset),
        "width": width,
        "heads": heads,
        "pairs": pairs,
        "seed": seed,
        "training": {"length": length, "batch": batch, "learning_rate": learning_rate},
    }
    held = _confined(limits, resume, minutes, home)
    for missing in held.missing:
        typer.echo(f"warning: {missing}", err=True)
    with _Told() as told:
        ask = _asked(told) if sys.stdin.isatty() and sys.stderr.isatty() else None
        found = _run(values, limits, held, told, ask, resume, minutes, rounds, approve, name, home)
    if as_json:
        print_document(found.to_dict())
    else:
        _print(found, home)


def _run(
    values: dict[str, Any],
    limits: Limits,
    held: Held,
    told: _Told,
    ask: Any,
    resume: str | None,
    minutes: float | None,
    rounds: int | None,
    approve: bool,
    name: str | None,
    home: Path,
) -> Design:
    import torch

    from ..design import DesignInterrupted, begin, make_settings
    from ..design import resume as go_on

    torch.set_num_threads(1)
    common: dict[str, Any] = {"home": home, "told": told.news, "approve": ask, "held": held.to_dict()}
    try:
        if resume is not None:
            return go_on(resume, minutes=minutes, rounds=rounds, approve_each=approve or None, **common)
        return begin(make_settings(**values), limits, name=name, **common)
    except DesignInterrupted as interrupt:
        told.close()
        typer.echo(
            "\nInterrupted; everything finished is kept. "
            f"Go on with: madstar design --resume {spelled_out(interrupt.run, home)}",
            err=True,
        )
        raise typer.Exit(130) from None


def _positive(option: str, value: float) -> float:
    if not 0 < value < 1e15:
        raise ConfigurationError(f"--{option} {value:g}: give a number above 0")
    return value


def _confined(limits: Limits, resume: str | None, minutes: float | None, home: Path) -> Held:
    """Confine this process, before torch makes threads of it: no network, no writing outside of home."""
    from ..design.confinement import confine_command

    if resume is not None and not (home / "archive.sqlite").exists():
        raise ArchiveError(f"there is no archive in {home}: begin a run, or give its --home")
    left = limits.seconds
    if resume is not None and minutes is None:
        left = _limit_of(resume, home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home.resolve()))
    except OSError as error:
        said = f"{home} cannot be written to ({error.strerror}): choose another --home"
        raise OutputError(said) from None
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)  # workers inherit it
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return confine_command(limits, left, [home.resolve()])


def _limit_of(run: str, home: Path) -> float:
    """The wall time that a run may have, from its row, without what needs threads."""
    import json
    import sqlite3
    from contextlib import closing

    try:
        with closing(
            sqlite3.connect(f"{(home / 'archive.sqlite').resolve().as_uri()}?mode=ro", uri=True)
        ) as found:
            asked = "SELECT config FROM runs WHERE kind = 'design' AND (name = ? OR ? = 'latest')"
            asked += " ORDER BY id DESC"
            row = found.execute(asked, (run, run)).fetchone()
        return float(json.loads(row[0])["limits"]["seconds"])
    except (sqlite3.Error, TypeError, ValueError, KeyError):
        return _MINUTES * 60  # what is wrong with it is said when it is opened


class _Told:
    """Progress: a bar on a terminal, elsewhere a line for each part, and for what takes long."""

    def __enter__(self) -> _Told:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._last, self._at = ("", -1.0), 0.0
        self._shown = shown(_mark, self._line, counted=False, tells_left=True)
        self._tell = self._shown.__enter__()

    def news(self, news: News) -> None:
        """Show how far it is."""
        self._tell(news)

    def close(self) -> None:
        """Take the bar away."""
        self._shown.__exit__(None, None, None)

    def again(self) -> None:
        """Show it again after it was closed."""
        self._open()

    def _line(self, news: News) -> str | None:
        part = f"{news.round} {news.part}"
        now = time.monotonic()
        failed = "failed" in news.words
        if not failed and part == self._last[0] and now - self._at < _OFTEN:
            return None
        self._last, self._at = (part, news.done), now
        words = f", {news.words}" if news.words else ""
        far = f"{news.part} {news.done:.0f}/{news.total:.0f}"
        return f"[round {news.round}] {far}{words}; {_minutes(news.left)} left"


def _mark(news: News) -> Mark:
    return Mark(
        news.done, news.total, f"round {news.round}, {news.part}: {news.words}; {_minutes(news.left)} left"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _asked(told: _Told) -> Any:
    """Ask at the terminal whether the next round may come."""

    def ask(record: dict[str, Any]) -> bool:
        told.close()
        typer.echo(_round_line(record), err=True)
        done = record["round"]
        # The clock of the run stands still while a person thinks.
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        answer = typer.confirm(
            f"Round {done + 1} comes next: models {'fitted to all of this' if done else 'fitted'}, then new "
            "proposals are trained. Go on?",
            default=False,
            err=True,
        )
        signal.setitimer(signal.ITIMER_REAL, left)
        told.again()
        return bool(answer)

    return ask


def _round_line(record: dict[str, Any]) -> str:
    from ..report.design_terminal import number

    tau = record["agreement"]["tau"]
    return (
        f"Round {record['round']}: {record['trained']} trained, {record['failed']} failed, best "
        f"{number(record['best'])} bits per byte, gain {number(record['gain'], sign=True)}, "
        f"predictor's tau {number(tau, 2, sign=True)}"
    )


def _print(found: Design, home: Path) -> None:
    from ..design.reading import read
    from ..report.design_terminal import print_design

    print_design(read(found.name, home))
    if found.reason in ("approval", "declined", "stop"):
        more = " --approve" if found.settings.approve else ""
        first = f"remove {found.directory / 'STOP'}, then: " if found.reason == "stop" else ""
        typer.echo(f"Go on with: {first}madstar design --resume {spelled_out(found.name, home)}{more}")
    typer.echo(f"Run: {found.directory}")
