"""The winner at a larger size: does what a search found when small hold when wider and deeper?

The chosen members of a run's front and the run's baselines are made larger, trained from scratch with
one budget and several seeds, and compared. Members are deepened by repeating their layers
(`genome.scaling`); baselines are those of `genome.baselines` at the larger depth, which for depths in
multiples of 8 is what stacking them gives. It is a run of its own in the archive, named for the run it
comes from and the size; candidates keep their numbers. The same command again goes on where it
stopped, and trains what it asks for beyond what is there: more members, more seeds, another budget.

The learning rate is divided by as much as the width is multiplied, as muP has it for the hidden
matrices under Adam (Yang et al. 2022, arXiv 2203.03466, table 3). muP leaves vectors and embeddings at
their rate, and here all parameters have one, so this errs on the careful side. At width 128 and 60
steps (8 sequences of 128 tokens, one seed) it made no difference that seeds do not make: 3.732 bits per
byte for 3.706 at the whole rate with Transformer++, 2.953 for 2.972 with the convolution-attention
hybrid; at width 256 and 40 steps it was 3.016 for 3.058 with the hybrid. It holds downwards too: at width
32 and 16 layers, 60 steps, 3.212 for 3.333. Depth does not change the rate.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from ..archive import Archive, CandidateRow, RunRow
from ..archive.lock import RunLock
from ..errors import ArchiveError, ConfigurationError, GenomeError, MadstarError
from ..genome import CLASSES, Genome, Sizes, baselines, compile_genome
from ..genome.scaling import STACK, deepen, widen
from ..genome.validity import operator_problems
from ..objectives import STATIC, Objective, Subject, find_objective
from ..search import Run, SearchSettings, make_settings
from ..search.admission import ALWAYS_KEPT
from ..search.ledger import BASELINE
from ..search.run import ARCHIVE_NAME
from ..search.summary import Entry, RunSummary
from ..search.trials import Trial, TrialWatcher, run_trials
from ..tasks import TextTask
from ..training import Budget
from .scaled import SCALED, VALIDATION, VALIDATIONS, ScaledResult, read_scaled
from .validation import FIRST_SEED

FRONT = "front"


@dataclass(frozen=True)
class _Plan:
    """What is to be trained: larger genomes by the candidates they come from, and the scaled run."""

    name: str
    settings: SearchSettings
    sizes: Sizes
    about: dict[str, Any]
    members: tuple[tuple[CandidateRow, Genome], ...]
    budget: str
    seeds: tuple[int, ...]


def scale(
    run: Run,
    *,
    width: int | None = None,
    depth: int | None = None,
    how: str = STACK,
    budget: str | None = None,
    seeds: int = 2,
    members: int | str = 1,
    learning_rate: float | None = None,
    watcher: TrialWatcher | None = None,
) -> ScaledResult:
    """Train a run's winner and its baselines at a larger size, from scratch, and compare them.

    `width` and `depth` are by default the run's own; `how` is "stack" or "stretch". `budget` is by
    default that of the run's highest rung. Seeds are those of validations, none of them the search's.
    `members` is how many of the front, best in the first objective first, or "front" for all.
    `learning_rate` is by default the run's, times its width over the new one. Objectives are measured
    at the larger size; the run's constraints, which were made for its own, are not applied. Limits of
    time grow with the work, limits of memory with the size, up to a worker's share of the machine.

    Raises, before anything is written, ArchiveError for a run without a front or one that is itself a
    scaled one, GenomeError for a depth that is no multiple, ConfigurationError for a width that heads
    of the same size do not divide and for impossible settings.
    """
    summary = run.summary()
    plan = _plan(run, summary, width, depth, how, budget, seeds, members, learning_rate)
    task = _task(run, summary.run)
    directory = run.home / plan.name
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        _check_name(archive, plan)
        with RunLock(directory, plan.name):
            row, number = _row(archive, plan, summary.run)
            _add_members(archive, row, plan)
            _train(archive, row, number, plan, task, Run(run.home, row), watcher)
        return read_scaled(archive, archive.run(row.id), number)


def transferred_rate(rate: float, width: int, new_width: int) -> float:
    """The learning rate at another width; see the module's text for the rule and what it is worth."""
    return rate * width / new_width


# What is to be trained -----------------------------------------------------------------------


def _plan(
    run: Run,
    summary: RunSummary,
    width: int | None,
    depth: int | None,
    how: str,
    budget: str | None,
    seeds: int,
    members: int | str,
    learning_rate: float | None,
) -> _Plan:
    if SCALED in summary.run.config:
        source = summary.run.config[SCALED]["from"]
        raise ArchiveError(f"run {run.name} is run {source} at a larger size: scale {source}")
    if width is None and depth is None:
        raise ConfigurationError("nothing to scale to: give a width, a depth, or both")
    if seeds < 1:
        raise ConfigurationError(f"{seeds} seeds: give at least 1")
    own = run.settings
    larger = _deepened(summary, _chosen(summary, members), depth, how)
    genomes = [genome for _, genome in larger]
    sizes = widen(run.settings.sizes(run.vocabulary_size), own.width if width is None else width, genomes)
    ruled = transferred_rate(own.training.learning_rate, own.width, sizes.width)
    rate = ruled if learning_rate is None else learning_rate
    text = str(Budget.parse(budget or own.rungs[-1]))
    deepened = any(str(genome) != candidate.genome for candidate, genome in larger)
    about = {
        "from": run.name,
        "width": sizes.width,
        "heads": sizes.heads,
        "depth": depth,
        "how": how if deepened else None,
        "learning_rate": rate,
    }
    return _Plan(
        name=_name(about, rate != ruled),
        settings=_settings(own, sizes, genomes, text, rate),
        sizes=sizes,
        about=about,
        members=larger,
        budget=text,
        seeds=tuple(own.seed + FIRST_SEED + n for n in range(seeds)),
    )


def _chosen(summary: RunSummary, members: int | str) -> tuple[Entry, ...]:
    """Members of the front. Raises where there are none, or none were asked for."""
    if not summary.front:
        raise ArchiveError(
            f"run {summary.run.name} has no front to scale: none of its candidates has been measured yet"
        )
    if members == FRONT:
        return summary.front
    if not isinstance(members, int) or members < 1:
        raise ConfigurationError(f"members is {members!r}: give a number from 1, or '{FRONT}' for all")
    return summary.front[:members]


def _deepened(
    summary: RunSummary, chosen: tuple[Entry, ...], depth: int | None, how: str
) -> tuple[tuple[CandidateRow, Genome], ...]:
    """Chosen members and baselines at the depth, by their candidates."""
    larger = []
    for entry in chosen:
        try:
            genome = deepen(entry.genome, entry.genome.depth if depth is None else depth, how)
        except GenomeError as error:
            raise GenomeError(f"candidate {entry.label}: {error}") from None
        larger.append((entry.candidate, genome))
    known = baselines(summary.settings.max_depth if depth is None else depth)
    rows = [c for c in summary.candidates if c.role == BASELINE and c.name in known]
    return (*larger, *((row, known[str(row.name)]) for row in rows))


def _settings(
    own: SearchSettings, sizes: Sizes, genomes: list[Genome], budget: str, rate: float
) -> SearchSettings:
    """The run's settings at the larger size."""
    depths = [genome.depth for genome in genomes]
    # Nothing is proposed in a scaled run, but its settings must describe a possible space.
    possible = [n for n in own.classes if not any(operator_problems(0, CLASSES[n], sizes))]
    training = {**own.training.model_dump(), "learning_rate": rate}
    wider, deeper = sizes.width / own.width, max(depths) / own.max_depth
    return make_settings(
        **{
            **own.model_dump(),
            "width": sizes.width,
            "heads": sizes.heads,
            "min_depth": min(depths),
            "max_depth": max(depths),
            "classes": tuple(possible) or own.classes,
            "constraints": (),
            "rungs": (budget,),
            "training": training,
            "time_limit": _time_limit(own, Budget.parse(budget), max(1.0, wider**2 * deeper)),
            "memory_limit": _memory_limit(own, max(1.0, wider * deeper)),
        }
    )


def _time_limit(own: SearchSettings, budget: Budget, work: float) -> float:
    """The run's limit, times the work of a step and the steps; a budget in seconds limits itself."""
    per_step = own.training.tokens_per_step
    steps, before = budget.steps(per_step), own.budgets[-1].steps(per_step)
    if steps is None:
        return own.time_limit * work + 2 * budget.amount
    return own.time_limit * work * max(1.0, steps / before if before else 1.0)


def _memory_limit(own: SearchSettings, size: float) -> int:
    """Activations grow with width and depth. What no worker could have is no limit."""
    share = psutil.virtual_memory().total // own.workers
    return min(round(own.memory_limit * size), max(own.memory_limit, share))


def _name(about: dict[str, Any], own_rate: bool) -> str:
    """A name for each size and way, so that the same command finds its run again."""
    parts = [about["from"], f"w{about['width']}"]
    if about["depth"] is not None:
        parts.append(f"d{about['depth']}")
    if about["how"] is not None:
        parts.append(about["how"])
    if own_rate:
        parts.append(f"lr{about['learning_rate']:g}")
    return "-".join(parts)


# The scaled run ------------------------------------------------------------------------------


def _check_name(archive: Archive, plan: _Plan) -> None:
    """Raise ArchiveError where another run has the name."""
    for row in archive.runs():
        if row.name == plan.name and row.config.get(SCALED) != plan.about:
            raise ArchiveError(
                f"a run named {plan.name!r} is there already and is no such scaling of {plan.about['from']}: "
                "give another size or learning rate"
            )


def _row(archive: Archive, plan: _Plan, source: RunRow) -> tuple[RunRow, int]:
    """The scaled run, made or found, and the number of this command's validation in it."""
    found = [row for row in archive.runs() if row.name == plan.name]
    known = found[0].config if found else {}
    validations = [dict(one) for one in known.get(VALIDATIONS, ())]
    number = next((n for n, one in enumerate(validations) if one["budget"] == plan.budget), len(validations))
    if number == len(validations):
        validations.append({"budget": plan.budget, "seeds": 0, "candidates": []})
    chosen = validations[number]
    chosen["seeds"] = max(chosen["seeds"], len(plan.seeds))
    indices = [candidate.index for candidate, _ in plan.members]
    chosen["candidates"] = list(dict.fromkeys([*chosen["candidates"], *indices]))
    config = {
        "settings": plan.settings.model_dump(mode="json"),
        "task": source.config["task"],
        SCALED: plan.about,
        VALIDATIONS: validations,
    }
    if found:
        return archive.update_run(found[0].id, status="running", config=config), number
    return archive.create_run(plan.name, config), number


def _add_members(archive: Archive, row: RunRow, plan: _Plan) -> None:
    """A candidate for each member and baseline that the run has not, under the number it had."""
    known = {candidate.index for candidate in archive.candidates(row.id)}
    named = [*plan.settings.parsed_objectives, *map(find_objective, ALWAYS_KEPT)]
    static = {o.name: o for o in named if o.kind == STATIC}
    for candidate, genome in plan.members:
        if candidate.index not in known:
            archive.add_candidate(
                row.id,
                index=candidate.index,
                role=candidate.role,
                name=candidate.name,
                genome=str(genome),
                architecture=genome.architecture,
                operator=SCALED,
                values=_values(Subject(genome, plan.sizes, plan.settings.training.length), static),
                spec=compile_genome(genome, plan.sizes).to_dict(),
            )


def _values(subject: Subject, static: dict[str, Objective]) -> dict[str, float]:
    return {name: objective.measure(subject).value for name, objective in static.items()}


def _train(
    archive: Archive,
    row: RunRow,
    number: int,
    plan: _Plan,
    task: TextTask,
    run: Run,
    watcher: TrialWatcher | None,
) -> None:
    """Train what has no row yet. Seed by seed, so that an interrupt leaves whole comparisons."""
    trials = [
        Trial(candidate.index, str(genome), VALIDATION, number, plan.budget, seed)
        for seed in plan.seeds
        for candidate, genome in plan.members
    ]
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def book(status: str) -> None:
        archive.update_run(row.id, status=status, add_seconds=time.monotonic() - begun)

    try:
        run_trials(
            archive,
            row,
            trials,
            task=task,
            settings=plan.settings,
            checkpoints=run.checkpoints,
            watcher=watcher,
            import_paths=[os.getcwd()],
        )
    except BaseException as error:
        # What ended it is the thing to tell, also where this cannot be written.
        with suppress(MadstarError):
            book("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    book("finished")


def _task(run: Run, row: RunRow) -> TextTask:
    """The data the run was searched on. Raises ArchiveError where they have changed since."""
    settings = run.settings
    task = settings.text.reopen(run.home)
    if task.fingerprint != row.config["task"]["fingerprint"]:
        raise ArchiveError(
            f"the data of run {run.name} have changed since it began ({settings.data}): restore them"
        )
    return task
