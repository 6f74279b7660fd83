"""`madstar train`: one architecture on one setting of one task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigurationError
from .app import command
from .benchmark import (
    Device,
    Dim,
    Genome,
    IsoState,
    Layers,
    MoreLayers,
    Name,
    Protocol,
    TimeLimit,
    Workers,
    gathered,
    tell_failures,
    watched,
)
from .document import print_document
from .options import AsJson, Home, spelled_out

_LOOKS, _LOOKED = 16, 256
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


@command("train")
def train(
    task: Annotated[str, typer.Option(help="A task that madstar tasks lists, or file.py:Name.")],
    more: MoreLayers = None,
    layers: Layers = None,
    genome: Genome = None,
    vocabulary_size: Annotated[int | None, typer.Option(help="Tokens [default: the task's].")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence [default: the task's].")] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="Training sequences [default: the task's].")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any field of the task's setting. Repeat for more."),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 0.1,
    steps: Annotated[int, typer.Option(help="Training steps at most.")] = 800,
    batch: Annotated[int, typer.Option(help="Sequences a step.")] = 32,
    protocol: Protocol = "sound",
    seeds: Annotated[int, typer.Option(help="Seeds.")] = 1,
    dim: Dim = 128,
    iso_state: IsoState = False,
    workers: Workers = 2,
    device: Device = "auto",
    time_limit: TimeLimit = 7200.0,
    name: Name = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Train an architecture on one setting of a task; prints its learning curve and accuracies."""
    from rich.console import Console

    from ..protocol import Resources, SweepPoint, find_protocol, run_plan
    from ..protocol.api import find_architecture, find_device, make_plan
    from ..report.benchmark_terminal import print_training

    fields = {"vocabulary_size": vocabulary_size, "length": length, "train_examples": train_examples}
    how = find_protocol(protocol)
    setting = _setting(task, fields, change or ())
    plan = make_plan(
        find_architecture(
            gathered(layers, more) or None,
            genome=genome,
            dim=dim,
            iso_state=iso_state,
            protocol=how,
        ),
        how,
        _budget(steps, batch, _point(SweepPoint, learning_rate, weight_decay)),
        settings=[setting],
        seeds=seeds,
    )
    resources = Resources(workers=workers, device=find_device(device), time_limit=time_limit)
    scores = watched(lambda watcher: run_plan(plan, home, resources=resources, watcher=watcher, name=name))
    if as_json:
        print_document({**scores.to_dict(), "trainings": [_training(row) for row in scores.rows]})
    else:
        print_training(scores, Console(markup=False, highlight=False))
        typer.echo(f"Run: {scores.run.name}")
        typer.echo(f"Report: madstar report {spelled_out(scores.run.name, home)}")
    tell_failures(scores)


def _setting(task: str, fields: dict[str, int | None], changes: Sequence[str]) -> Any:
    """The task's baseline with what is given. Raises TaskError, ConfigurationError."""
    from ..tasks.mechanistic import check_setting, task_settings

    baseline = task_settings(task)[0]
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    for text in changes:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise ConfigurationError(f"--set {text}: write NAME=VALUE, such as --set noise_fraction=0.4")
        if name in given:
            raise ConfigurationError(f"--set {text}: {name} is given twice")
        given[name] = _value(text, value.strip())
    return check_setting(baseline.changed(**given) if given else baseline)


def _value(text: str, value: str) -> int | float | bool:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise ConfigurationError(f"--set {text}: the value is no number, true or false")


def _point(kind: Any, learning_rate: float, weight_decay: float) -> Any:
    if not 0 < learning_rate < float("inf"):
        raise ConfigurationError(f"learning rate {learning_rate:g}: give more than 0")
    if not 0 <= weight_decay < float("inf"):
        raise ConfigurationError(f"weight decay {weight_decay:g}: give 0 or more")
    return kind(learning_rate, weight_decay)


def _budget(steps: int, batch: int, point: Any) -> Any:
    """One training at one sweep point, to its end."""
    from ..protocol import BenchmarkBudget
    from ..protocol.budgets import EVERY

    for name, value in (("steps", steps), ("batch", batch)):
        if value < 1:
            raise ConfigurationError(f"{name} {value}: give at least 1")
    return BenchmarkBudget(
        name="train",
        level=EVERY,
        steps=steps,
        batch=batch,
        points=(point,),
        rungs=(1,),
        evaluations=_LOOKS,
        looked=_LOOKED,
        scored=1280,
        warmup=50,
        seeds=1,
    )


def _training(row: Any) -> dict[str, Any]:
    return {
        "seed": row.seed,
        "status": row.status,
        "error": row.error,
        "steps": row.steps,
        "values": row.values,
        "errors": row.errors,
        "curve": [list(pair) for pair in row.curve],
    }
