"""Measurements of other archives as prior knowledge of a search: read once, as plain JSON.

A figure is what was trained for, after a budget, on a text, at certain sizes. One that is the same as a
rung of the run that begins counts as that rung; every other is a figure of its own, from which the process
learns how much it says about the rungs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, MadstarError
from ...genome import Genome, SearchSpace
from ..corpus.measured import Candidate, read_archives

if TYPE_CHECKING:
    from ...search.settings import SearchSettings

SCHEMA = "madstar.knowledge/1"
MOST = 1000
"""Results that are taken over at most; the cost of each proposal grows with the cube of their number."""


@dataclass(frozen=True)
class Known:
    """Results of other archives: of which objective, figure (a rung's number, or a name), genome and cost."""

    objective: str
    figure: int | str
    genome: Genome
    cost: float


def learn(homes: Sequence[Path], settings: SearchSettings, space: SearchSpace) -> dict[str, Any]:
    """What the archives measured that this search is for, as JSON; `says` tells in one line what it is.

    Raises DataError where there is nothing, saying what to run first.
    """
    candidates = _read(homes)
    trained = {o.name: o for o in settings.parsed_objectives if o.kind == "trained"}
    rungs = _rungs(settings, space)
    rows: list[list[Any]] = []
    sizes: Counter[str] = Counter()
    for candidate in candidates:
        if candidate.source != "genome":
            continue
        here = candidate.identity == str(space.sizes)
        for figure in candidate.figures:
            objective = trained.get(figure.task.partition("/")[0])
            if objective is not None:
                name: int | str = f"{figure.task} after {figure.budget}"
                if here and name in rungs:
                    name = rungs[str(name)]
                elif not here:
                    name = f"{name}, {candidate.identity}"
                cost = objective.cost(figure.value)
                rows.append([objective.name, name, candidate.facts["genome"], cost])
        sizes[candidate.identity] += not here
    if not rows:
        raise DataError(
            f"{', '.join(map(str, homes))} hold no genomes measured for {', '.join(trained) or 'anything'}: "
            f"run madstar search --home {homes[0]} with that objective first, or leave out --knowledge"
        )
    kept = _kept(rows)
    return {"schema": SCHEMA, "says": _says(rows, kept, sizes, homes), "results": kept}


def known(document: Mapping[str, Any] | None) -> list[Known]:
    """The results in what `learn` gave. Raises DataError for what is no such document."""
    if document is None:
        return []
    if document.get("schema") != SCHEMA:
        raise DataError(
            f"what the run knew of other archives has the schema {document.get('schema')!r:.60}, "
            f"and {SCHEMA} is read: begin a new run"
        )
    try:
        return [
            Known(str(objective), figure, Genome.parse(text), float(cost))
            for objective, figure, text, cost in document["results"]
        ]
    except (KeyError, TypeError, ValueError, MadstarError) as error:
        raise DataError(
            f"what the run knew of other archives is damaged ({type(error).__name__}): begin a new run"
        ) from None


def _read(homes: Sequence[Path]) -> list[Candidate]:
    try:
        return read_archives(homes)
    except DataError:
        where = ", ".join(map(str, homes))
        raise DataError(
            f"nothing was measured in {where} yet: run madstar search --home {homes[0]} first, "
            "or leave out --knowledge"
        ) from None


def _rungs(settings: SearchSettings, space: SearchSpace) -> dict[str, int]:
    """The run's own rungs by the names that `corpus.measured` would give them."""
    per_step, rate = settings.training.tokens_per_step, settings.training.learning_rate
    text = Path(settings.data).name or "text"
    found = {}
    for rung, budget in enumerate(settings.budgets):
        steps = budget.steps(per_step)
        if steps is not None:
            for task in (f"quality/{text}", *(o.name for o in settings.parsed_objectives)):
                found[f"{task} after {steps} steps, {steps * per_step} tokens, lr {rate:g}"] = rung
    return found


def _kept(rows: list[list[Any]]) -> list[list[Any]]:
    """All of them; of more than MOST some of each figure, evenly from the best to the worst."""
    if len(rows) <= MOST:
        return rows
    ordered = sorted(rows, key=lambda row: (row[0], str(row[1]), row[3], row[2]))
    return [ordered[i * len(ordered) // MOST] for i in range(MOST)]


def _says(
    rows: list[list[Any]], kept: list[list[Any]], sizes: Mapping[str, int], homes: Sequence[Path]
) -> str:
    genomes = len({row[2] for row in kept})
    figures = {(row[0], row[1]) for row in kept}
    same = sum(isinstance(figure, int) for _, figure in figures)
    told = f"{len(kept)} measurements of {genomes} genomes from {', '.join(map(str, homes))}"
    told += f", {same} of {len(figures)} figures the same as rungs of this run"
    if len(kept) < len(rows):
        told += f"; {len(rows) - len(kept)} more are left out"
    other = sum(sizes.values())
    if other:
        told += f"; {other} genomes were measured at other sizes, which count as other figures"
    return told
