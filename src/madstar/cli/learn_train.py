"""`madstar learn train` and `madstar learn similar`: the graph transformer, and what it finds alike."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .addresses import Inputs, Shrunk, opened
from .app import command
from .document import print_document
from .learn import learning
from .options import AsJson
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..learning.pretraining.running import Told

Data = Annotated[Path, typer.Option("--data", help="A dataset's folder, of madstar learn dataset.")]
_MINUTES = 15.0
_WORDS = {
    "operation": "operations",
    "link": "links",
    "incomplete": "gaps",
    "completion": "next",
    "classification": "classes",
}


@command("train", within=learning)
def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model.")] = Path("graph-transformer"),
    minutes: Annotated[
        float | None, typer.Option(help=f"Time to train [default: {_MINUTES:g}, without --steps].")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of minutes, steps.")] = None,
    size: Annotated[
        str, typer.Option(help="tiny, small, base or large, with changes such as base,layers=6,width=120.")
    ] = "base",
    encoder: Annotated[
        Path | None,
        typer.Option(help="A graph to train in the encoder's place: an edited madstar:graph-encoder."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    split: Annotated[str, typer.Option(help="random, family, strict, size or generated.")] = "family",
    split_seed: Annotated[int, typer.Option("--split-seed", help="Seed of the split.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    processes: Annotated[
        int | None, typer.Option(help="That share the training [default: one a core, 2 at most; 1 on a GPU].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a graph transformer on all tasks of a dataset; it can be stopped and resumed at any time."""
    if minutes is not None and steps is not None:
        raise ConfigurationError("--minutes and --steps: give one of them")
    if processes is not None and processes < 1:
        raise ConfigurationError(f"--processes {processes}: give at least 1")
    from ..graph.json_format import load
    from ..learning.datasets.dataset import Stored
    from ..learning.pretraining.reading import from_dataset
    from ..learning.pretraining.running import train as trained
    from ..learning.pretraining.settings import TrainingSettings
    from ..learning.transformer.config import find_size

    if resume and encoder is not None:
        raise ConfigurationError("--resume goes on with the encoder that is there: leave out --encoder")
    config = find_size(size)
    graph = None if encoder is None else load(encoder)
    settings = TrainingSettings(seed=seed) if steps is None else TrainingSettings(steps=steps, seed=seed)
    if steps is None and minutes is None:
        minutes = _MINUTES
    _check_place(out, resume)
    place = _device(device)
    stored = Stored(data)
    typer.echo(f"Reading {len(stored.keys)} graphs of {data}", err=True)
    material = from_dataset(stored, split, split_seed)
    with shown(lambda told: Mark(told.step, told.steps, _losses(told)), _line) as watcher:
        facts = trained(
            material,
            out,
            config,
            settings,
            minutes=minutes,
            resume=resume,
            told={"split": split, "split_seed": split_seed},
            device=place,
            watcher=watcher,
            processes=_usual_processes(place) if processes is None else processes,
            encoder=graph,
        )
    if as_json:
        print_document({"out": str(out), **facts})
        return
    typer.echo(f"{facts['parameters']:,} parameters, best at step {facts['step']:,}; on validation graphs:")
    for name, value in facts["validation"].items():
        typer.echo(f"  {_WORDS.get(name, name):<12} {value:.3f}")
    typer.echo(f"Model: {out}")


@command("similar", within=learning)
def similar(
    graph: Annotated[str, typer.Argument(metavar="GRAPH", help="A graph file, or what madstar trace takes.")],
    data: Data,
    model: Annotated[Path, typer.Option("--model", help="Folder of the model.")] = Path("graph-transformer"),
    n: Annotated[int, typer.Option("--n", help="How many.")] = 10,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
    as_json: AsJson = False,
) -> None:
    """List the graphs of a dataset that a trained graph transformer finds most like this one."""
    if n < 1:
        raise ConfigurationError(f"--n {n}: give at least 1")
    from ..learning.datasets.dataset import Stored
    from ..learning.pretraining.checkpoint import load_model
    from ..learning.pretraining.similar import index_of, nearest
    from ..learning.view import view

    transformer, _ = load_model(model)
    stored = Stored(data)
    asked = view(opened(graph, inputs, shrunk))
    index = index_of(transformer, model, stored, _told)
    found = nearest(transformer, index, asked, n)
    rows: list[dict[str, Any]] = [
        {
            "entry": each.entry,
            "similarity": round(each.similarity, 4),
            "family": stored.row(each.entry)["family"],
            "nodes": stored.row(each.entry)["nodes"],
        }
        for each in found
    ]
    if as_json:
        print_document({"graph": graph, "nearest": rows})
        return
    longest = max(len(row["entry"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['similarity']:6.3f}  {row['entry']:<{longest}}  {row['nodes']} nodes")


def _check_place(out: Path, resume: bool) -> None:
    from ..learning.pretraining.checkpoint import MODEL, TRAINING, saved_settings

    if resume:
        saved_settings(out)
        return
    if (out / TRAINING).is_file():
        raise ConfigurationError(
            f"{out} holds a training that was stopped: --resume it, or give another --out"
        )
    if (out / MODEL).is_file():
        raise ConfigurationError(f"{out} holds a model: give another --out")


def _usual_processes(device: str) -> int:
    """As many as have a core each, two at most: what each draws anew grows with their number."""
    forks = "fork" in multiprocessing.get_all_start_methods() and sys.platform == "linux"
    return min(2, len(os.sched_getaffinity(0))) if forks and device == "cpu" else 1


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ConfigurationError(f"there is no device {name!r}; give cpu, cuda or auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("there is no CUDA device here: give --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _line(told: Told) -> str | None:
    if told.step % max(1, told.steps // 8) and told.step < told.steps:
        return None
    left = told.seconds / max(1, told.step) * (told.steps - told.step)
    return (
        f"[{told.step}/{told.steps}] {_losses(told)}, "
        f"{told.nodes / max(told.seconds, 1e-9):.0f} nodes/s, {left / 60:.1f} minutes left"
    )


def _losses(told: Told) -> str:
    return ", ".join(f"{_WORDS[name]} {loss:.2f}" for name, loss in sorted(told.losses.items()))


def _told(done: int, total: int) -> None:
    if done == total or done % 128 == 0:
        typer.echo(f"[{done}/{total}] vectors of the dataset's graphs", err=True)
