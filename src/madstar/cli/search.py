"""`madstar search`: evolve architectures on a text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigurationError, GenomeError
from .app import command
from .document import print_document
from .options import AsJson, Home, spelled_out
from .validate import DEFAULT_SEEDS, run_validation, show_validation

DEFAULT_MINUTES = 8.0


@command("search")
def search(
    data: Annotated[
        str, typer.Option(help="A file, a folder, or a built-in text: python-reference, stdlib.")
    ] = "python-reference",
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer.json; bytes without one.")] = None,
    field: Annotated[str, typer.Option(help="The text's field in .jsonl or column in .parquet.")] = "text",
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="quality, parameters, cache@N, flops, prefill@N, decode@N, memory@N, mad@STEPS, "
            "one of MAD's tasks (compression@STEPS), file.py:function. Repeat for more."
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Such as params<=300000 or cache@4096<=1MB. Repeat for more.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of search [default: 8].")] = None,
    candidates: Annotated[int | None, typer.Option(help="End after so many candidates.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="End after so many training steps of candidates: a budget no clock decides."),
    ] = None,
    generations: Annotated[
        int | None, typer.Option(help="End after so many generations (generational mode).")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="screened, guided, nsga2, regularised, local, random, another package's, or "
            "file.py:Class [default: screened; by generations nsga2]."
        ),
    ] = None,
    knowledge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="HOME",
            help="The --home of earlier runs, from whose measurements the strategy learns before it "
            "begins (guided). Repeat for more.",
        ),
    ] = None,
    unguided: Annotated[
        float,
        typer.Option(help="Share of proposals made without the model, to measure its worth (guided)."),
    ] = 0.2,
    seeds: Annotated[
        str, typer.Option(help="What the search begins with: none, or known good motifs.")
    ] = "none",
    mode: Annotated[
        str, typer.Option(help="async keeps workers busy; generational is exactly reproducible.")
    ] = "async",
    depth: Annotated[str, typer.Option(help="Layers, or LEAST:MOST for a depth that varies.")] = "8",
    width: Annotated[int, typer.Option(help="Channels.")] = 64,
    heads: Annotated[int, typer.Option(help="Heads.")] = 4,
    window: Annotated[int, typer.Option(help="Tokens a banded operator sees.")] = 64,
    tied: Annotated[bool, typer.Option(help="Reuse the embedding as output.")] = False,
    classes: Annotated[
        str | None, typer.Option(help="Classes to use, numbers or names of layers: 1,9,mamba.")
    ] = None,
    levels: Annotated[str, typer.Option(help="Levels that mutate.")] = "backbone,operator,featurizer",
    invalid: Annotated[
        str, typer.Option(help="What becomes of invalid offspring: repair or reject.")
    ] = "repair",
    cuts: Annotated[
        str, typer.Option(help="Crossover cuts between whole LIVs (liv) or genes (gene).")
    ] = "liv",
    population: Annotated[int, typer.Option(help="Population of the evolution.")] = 16,
    elitism: Annotated[int, typer.Option(help="Parents that survive a generation.")] = 2,
    crossover: Annotated[float, typer.Option(help="Chance of crossover.")] = 0.9,
    mutation: Annotated[float, typer.Option(help="Chance of each backbone gene to mutate.")] = 0.1,
    rungs: Annotated[
        str, typer.Option(help="Rising budgets: steps, such as 100,200,400; or 1M tokens; or 30s.")
    ] = "50,100,200,400",
    promote: Annotated[float, typer.Option(help="Share promoted from each rung.")] = 1 / 2,
    reevaluate: Annotated[
        float, typer.Option(help="Share of the budget that trains finalists again, with other seeds.")
    ] = 0.15,
    length: Annotated[int, typer.Option(help="Training length in tokens.")] = 256,
    batch: Annotated[int, typer.Option(help="Sequences a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-3,
    workers: Annotated[int, typer.Option(help="Worker processes, one thread each.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Train the baselines too.")] = True,
    time_limit: Annotated[float, typer.Option(help="Seconds for one evaluation.")] = 600.0,
    memory_limit: Annotated[float, typer.Option(help="GB for one evaluation.")] = 4.0,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Go on with this run (its settings; --minutes may change)."),
    ] = None,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Then train front and baselines again from scratch, and compare."),
    ] = False,
    validation_budget: Annotated[
        str | None, typer.Option(help="Its training [default: 4 times the largest rung].")
    ] = None,
    validation_seeds: Annotated[int, typer.Option(help="Its seeds.")] = DEFAULT_SEEDS,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Evolve sequence-model architectures on a text; prints the front beside the baselines."""
    from ..search import Run, SearchInterrupted, begin, make_settings
    from ..search import resume as resume_run

    if validation_budget is not None and not validate:
        raise ConfigurationError("a validation budget is given, but no validation: add --validate")
    watcher = _watcher()
    try:
        if resume is not None:
            if validate:
                _check_validation(Run.open(resume, home).settings, validation_budget, validation_seeds)
            run = resume_run(resume, home=home, minutes=minutes, watcher=watcher)
        else:
            least, most = _depth(depth)
            ends = any(end is not None for end in (minutes, steps, candidates, generations))
            settings = make_settings(
                data=data,
                tokenizer=None if tokenizer is None else str(tokenizer),
                field=field,
                objectives=tuple(objective or ("quality", "cache")),
                constraints=tuple(constraint or ()),
                minutes=minutes if ends else DEFAULT_MINUTES,
                candidates=candidates,
                generations=generations,
                steps=steps,
                seeds=seeds,
                mode=mode,
                min_depth=least,
                max_depth=most,
                width=width,
                heads=heads,
                window=window,
                tied=tied,
                levels=tuple(levels.split(",")),
                invalid=invalid,
                cuts=cuts,
                population=population,
                elitism=elitism,
                crossover=crossover,
                mutation=mutation,
                rungs=tuple(part.strip() for part in rungs.split(",")),
                promote=promote,
                reevaluate=reevaluate,
                training={"length": length, "batch": batch, "learning_rate": learning_rate},
                workers=workers,
                seed=seed,
                baselines=baselines,
                time_limit=time_limit,
                memory_limit=_bytes(memory_limit),
                **({} if classes is None else {"classes": _numbers(classes)}),
                knowledge=tuple(map(str, knowledge or ())),
                unguided=unguided,
                **({} if strategy is None else {"strategy": strategy}),
            )
            if validate:
                _check_validation(settings, validation_budget, validation_seeds)
            run = begin(settings, home=home, name=name, watcher=watcher)
    except SearchInterrupted as interrupt:
        watcher.close()
        typer.echo(
            "\nInterrupted; everything finished is kept. "
            f"Go on with: madstar search --resume {spelled_out(interrupt.run, home)}",
            err=True,
        )
        raise typer.Exit(130) from None
    finally:
        watcher.close()
    if not (validate and as_json and run.front):
        _show(run, as_json)
    if validate:
        validation = run_validation(run, budget=validation_budget, seeds=validation_seeds)
        _show_validated(run, validation, as_json)


def _watcher() -> Any:
    """Live where stderr is a terminal, plain lines elsewhere."""
    import sys

    from rich.console import Console

    from ..report import LiveWatcher, PlainWatcher

    if sys.stderr.isatty():
        return LiveWatcher(Console(stderr=True))
    return PlainWatcher(sys.stderr)


def _check_validation(settings: Any, budget: str | None, seeds: int) -> None:
    """Refuse now what would be refused once the search is over."""
    from ..studies.validation import check_wanted

    check_wanted(settings, budget, seeds)


def _show(run: Any, as_json: bool) -> None:
    from rich.console import Console

    from ..report import gather, print_summary
    from ..report.findings import PAGE_NAME

    found = gather(run)
    page = found.write(run.directory / PAGE_NAME)
    if as_json:
        print_document({**found.to_dict(), "report": str(page)})
        return
    print_summary(found.summary, Console())
    typer.echo(f"Report: {page}")
    if found.summary.front:
        typer.echo(f"Export the best: madstar export {spelled_out(run.name, run.home)} --out my-model/")


def _show_validated(run: Any, validation: Any, as_json: bool) -> None:
    """The report once more, with the validation in it; as JSON the first and only document."""
    from ..report import gather
    from ..report.findings import PAGE_NAME

    found = gather(run)
    page = found.write(run.directory / PAGE_NAME)
    if as_json:
        print_document({**found.to_dict(), "validation": validation.to_dict(), "report": str(page)})
        return
    typer.echo()
    show_validation(validation)


def _depth(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    try:
        return int(least), int(most or least)
    except ValueError:
        raise ConfigurationError(f"depth '{text}': write a number of layers, or LEAST:MOST") from None


def _bytes(gigabytes: float) -> int:
    if not math.isfinite(gigabytes):
        raise ConfigurationError(f"memory limit {gigabytes:g}: give a number of GB, such as 4")
    return round(gigabytes * 10**9)


def _numbers(text: str) -> tuple[int, ...]:
    from ..genome import class_numbers

    try:
        return class_numbers(text)
    except GenomeError as error:
        raise ConfigurationError(f"classes '{text}': {error}") from None
