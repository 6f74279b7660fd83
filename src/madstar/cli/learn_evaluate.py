"""`madstar learn evaluate`: every learner of every task on the same splits, in one table."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from .app import command
from .document import print_document
from .learn import learning
from .options import AsJson
from .trace import width

if TYPE_CHECKING:
    from ..learning.baselines.networks.learner import Trained
    from ..learning.evaluation.session import Step


@command("evaluate", within=learning)
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="A dataset's folder, of madstar learn dataset.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="A graph transformer's folder; it is asked beside the baselines."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="This task; once for each [default: all].")
    ] = None,
    split: Annotated[str, typer.Option(help="random, family, strict, size or generated.")] = "family",
    seeds: Annotated[
        int, typer.Option(help="How many split seeds, from 0; a model is asked on the split it knows.")
    ] = 1,
    networks: Annotated[
        bool,
        typer.Option(
            "--networks",
            help="Also train a graph transformer, a sequence transformer, GIN and GAT; takes long.",
        ),
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Of networks [default: as madstar learn train].")] = None,
    size: Annotated[str, typer.Option(help="Of networks, as of madstar learn train.")] = "base",
    learner: Annotated[
        list[str] | None, typer.Option("--learner", help="This learner alone; once for each.")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help="Keep what comes out here; what stands there is not done again."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Figures over all questions, not means over families.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train and ask every baseline of every task, and say what a graph transformer gains over the best."""
    if seeds < 1:
        raise ConfigurationError(f"--seeds {seeds}: give at least 1")
    from ..learning.datasets.dataset import Stored
    from ..learning.datasets.examples import TASKS
    from ..learning.evaluation.session import Wanted
    from ..learning.evaluation.session import evaluate as evaluated
    from ..learning.evaluation.table import document, shown, text
    from ..learning.pretraining.settings import TrainingSettings

    wanted = Wanted(
        tasks=tuple(task or TASKS),
        split=split,
        split_seeds=tuple(range(seeds)),
        learners=tuple(learner or ()),
        networks=networks,
        settings=TrainingSettings() if steps is None else TrainingSettings(steps=steps),
        size=size,
        file=rows,
    )
    corpus = Stored(data)
    trained = None if model is None else _loaded(model, split, seeds)
    found = evaluated(corpus, wanted, trained, on_step=_Told())
    if as_json:
        print_document({"data": corpus.hash, **document(found)})
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(shown(found, plain))
    else:
        typer.echo(text(found, plain, max(width(), 120)), nl=False)


def _loaded(model: Path, split: str, seeds: int) -> tuple[Trained, int]:
    """A trained transformer, and the seed of the split it was trained on."""
    from ..learning.baselines.networks.learner import Trained
    from ..learning.pretraining.checkpoint import load_model

    found, facts = load_model(model)
    of, seed = str(facts.get("split", split)), int(facts.get("split_seed", 0))
    if of != split:
        raise ConfigurationError(f"{model} was trained on split {of}: give --split {of}")
    if seed >= seeds:
        raise ConfigurationError(f"{model} was trained on split seed {seed}: give --seeds {seed + 1} or more")
    return Trained(found), seed


class _Told:
    """Says on stderr what is being done; of a training every half a minute how long it still takes."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def __call__(self, step: Step) -> None:
        what = f"split seed {step.split_seed}, {step.task}: {step.learner}"
        if not step.total:
            typer.echo(what, err=True)
        elif time.monotonic() - self.said > 30 and step.seconds_left is not None:
            self.said = time.monotonic()
            minutes = step.seconds_left / 60
            typer.echo(f"{what}, {step.done:,} of {step.total:,} steps, {minutes:.0f} minutes left", err=True)
