"""Benchmarks as tables in a terminal: one's scores, several side by side, one training's curve."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..archive import EvaluationRow
from ..protocol import Scores, SettingScore, TaskScore
from ..protocol.compare import SURE, Compared, ComparedLine, Comparison
from ..protocol.race import OK
from ..protocol.worker import ACCURACIES
from .quantities import MISSING, duration, one_line, plural

SOLVED_REASON = "solved"
_METRICS = {
    "micro": "share of probed tokens that are right",
    "macro": "accuracy averaged over classes",
    "batch_macro": "accuracy averaged over classes in each batch, then over batches",
}
_BAR = 32
# Columns from which a table of scores has room for wide gaps.
_ROOMY = 90


def score_words(value: float, error: float = math.nan) -> str:
    """An accuracy with its standard error: "0.873 ± 0.012"."""
    if not math.isfinite(value):
        return MISSING
    return f"{value:.3f}" if not math.isfinite(error) else f"{value:.3f} ± {error:.3f}"


def metric_words(metric: str) -> str:
    """A protocol's metric in words."""
    return _METRICS[metric]


def solved(task: TaskScore) -> int:
    """How many settings of a task are solved."""
    return sum(each.reason == SOLVED_REASON for each in task.settings)


def failures(scores: Scores) -> Iterator[str]:
    """The settings that could not be trained, a line each."""
    for task in scores.tasks:
        for each in task.failed:
            yield f"{task.task} {each.setting.name}: {one_line(each.failure)}"


def facts(scores: Scores) -> dict[str, str]:
    """What was scored and how, in a few words each."""
    plan = scores.plan
    seeds = plural(plan.seeds, "seed")
    return {
        "Architecture": scores.label,
        "Protocol": f"{plan.protocol.name}, with {seeds}",
        "Budget": budget_words(scores),
        "Score": f"{metric_words(plan.protocol.metric)}, on the test split; ± is one standard error",
    }


def budget_words(scores: Scores) -> str:
    """A budget in words."""
    budget = scores.plan.budget
    steps = "200 epochs" if budget.steps is None else f"at most {plural(budget.steps, 'step')}"
    points = plural(len(scores.plan.points), "sweep point")
    raced = ", raced" if len(budget.rungs) > 1 and len(scores.plan.points) > 1 else ""
    return f"{budget.name}: {steps} in batches of {budget.batch}, {points}{raced}"


def print_scores(scores: Scores, console: Console) -> None:
    """Print a benchmark's scores task by task, the MAD score, and what was spent."""
    _print_lines(facts(scores), console)
    console.print()
    lost = any(task.failed for task in scores.tasks)
    table = Table(box=None, padding=(0, 2 if console.width >= _ROOMY else 1, 0, 0), header_style="dim")
    table.add_column("task", no_wrap=True)
    for heading in ("score", "chance", "solved", *(["failed"] if lost else []), "steps", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in scores.tasks:
        table.add_row(task.task, *_cells(task, lost))
    if len(scores.tasks) > 1:
        spent = f"{scores.steps:,}", duration(scores.seconds)
        blank = ("", "", *([""] if lost else []))
        table.add_row("MAD score", score_words(scores.mean, scores.error), *blank, *spent, style="bold")
    console.print(table)
    for note in notes(scores):
        console.print(Text(note, style="dim"))
    console.print()


def notes(scores: Scores) -> Iterator[str]:
    """What to keep in mind of these scores."""
    yield "Solved: of the settings. Time: seconds of all processes, summed."
    every = [each for task in scores.tasks for each in task.settings]
    if scores.plan.seeds == 1:
        yield "With one seed an error is that of the test's size: other seeds may differ more."
    undone = sum(not each.complete for each in every)
    if undone:
        yield f"Not finished: {plural(undone, 'setting')} of {len(every)} still to be trained to the end."
    lost = [row for row in scores.rows if row.status != OK]
    whole = {each.setting.key for each in every if each.failure is not None}
    beside = sum(row.setting not in whole for row in lost)
    if beside:
        yield f"{plural(beside, 'training')} failed at sweep points or seeds of settings that have a score."


def chance_of_task(task: TaskScore) -> float:
    """What guessing would score: the mean over settings, as the score is."""
    return statistics.fmean(each.chance for each in task.settings)


def _cells(task: TaskScore, lost: bool) -> tuple[str, ...]:
    failed = [str(len(task.failed)) if task.failed else ""]
    return (
        score_words(task.value, task.error),
        f"{chance_of_task(task):.3f}",
        f"{solved(task)}/{len(task.settings)}",
        *(failed if lost else []),
        f"{sum(each.steps for each in task.settings):,}",
        duration(sum(each.seconds for each in task.settings)),
    )


def print_training(scores: Scores, console: Console) -> None:
    """Print one training's learning curve and its final accuracies, seed by seed."""
    [[setting]] = [task.settings for task in scores.tasks]
    _print_lines({**facts(scores), "Setting": setting_words(setting)}, console)
    console.print()
    last = {row.seed: row for row in sorted(scores.rows, key=lambda row: row.rung)}
    _print_curves(scores, last, setting, console)
    for seed, row in last.items():
        if row.status == OK:
            _print_final(scores, row, f"Seed {seed}" if len(last) > 1 else "At the end", console)
    score = Text.assemble(("Score  ", "dim"), (score_words(setting.value, setting.error), "bold"))
    score.append(
        f"  (chance {setting.chance:.3f}; {plural(setting.steps, 'step')}, {duration(setting.seconds)}"
    )
    score.append(", solved)" if setting.reason == SOLVED_REASON else ")")
    console.print(score)


def setting_words(score: SettingScore) -> str:
    """A setting's fields in one line."""
    fields = {k: v for k, v in score.setting.to_dict().items() if k not in ("task", "name")}
    told = ", ".join(f"{name} {_plain(value)}" for name, value in fields.items())
    return f"{score.setting.task}: {told}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _print_curves(
    scores: Scores, last: Mapping[int, EvaluationRow], setting: SettingScore, console: Console
) -> None:
    curves = {seed: dict(row.curve) for seed, row in last.items()}
    steps = sorted({step for curve in curves.values() for step in curve})
    if not steps:
        return
    single = len(curves) == 1
    split = {"valid": "validation", "test": "test"}[scores.plan.protocol.selection]
    console.print(Text(f"Accuracy on {split} examples while training", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step", justify="right")
    for seed in curves:
        table.add_column("accuracy" if single else f"seed {seed}", justify="right")
    if single:
        table.add_column("")
    for step in steps:
        values = [curve.get(step, math.nan) for curve in curves.values()]
        cells: list[str | Text] = [score_words(value) for value in values]
        if single:
            cells.append(_bar(values[0], setting.chance))
        table.add_row(f"{step:,.0f}", *cells)
    console.print(table)
    if single:
        console.print(Text(f"The mark | is at chance, {setting.chance:.3f}.", style="dim"))
    console.print()


def _bar(value: float, chance: float) -> Text:
    """An accuracy as a bar of up to 32 cells, with a mark where guessing would end."""
    filled = round(_BAR * min(1.0, max(0.0, value))) if math.isfinite(value) else 0
    bar = Text("█" * filled + "·" * (_BAR - filled), style="cyan")
    mark = min(_BAR - 1, round(_BAR * chance))
    return Text.assemble(bar[:mark], Text("|", style="bold"), bar[mark + 1 :])


def _print_final(scores: Scores, row: EvaluationRow, title: str, console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (title, *(name.replace("_", " ") for name in ACCURACIES), "loss (nats)"):
        table.add_column(heading, justify="left" if heading == title else "right", no_wrap=True)
    for split in dict.fromkeys((scores.plan.protocol.selection, "test")):
        if f"{split}_loss" in row.values:
            micro = score_words(row.values[f"{split}_micro"], row.errors.get(f"{split}_micro", math.nan))
            others = [score_words(row.values[f"{split}_{name}"]) for name in ACCURACIES[1:]]
            loss = f"{row.values[f'{split}_loss']:.4f}"
            table.add_row({"valid": "validation"}.get(split, split), micro, *others, loss)
    console.print(table)
    console.print()


def print_comparison(found: Comparison, console: Console) -> None:
    """Print runs side by side; in bold what is surely above all others in its line."""
    marks = [_letter(place) for place in range(len(found.runs))]
    for mark, scores in zip(marks, found.runs, strict=True):
        console.print(Text.assemble((f"{mark}  ", "bold"), scores.label), soft_wrap=True)
        console.print(Text(f"   {scores.run.name}", style="dim"), soft_wrap=True)
    console.print()
    first = found.runs[0]
    _print_lines({name: text for name, text in facts(first).items() if name in ("Budget", "Score")}, console)
    console.print(Text(f"Protocol {found.protocol} throughout.", style="dim"))
    console.print()
    lines = [*found.tasks, found.overall]
    room = max(1, (console.width - max(len(line.name) for line in lines) - 2) // 16)
    for begin in range(0, len(marks), room):
        console.print(_compared(lines, marks, range(begin, min(begin + room, len(marks)))))
        console.print()
    closing = (
        f"* in bold: above every other run by more than {SURE:g} standard errors of the difference. "
        "Without it the highest tie."
    )
    for note in (closing, *found.notes):
        console.print(Text(note, style="dim"))


def _compared(lines: list[ComparedLine], marks: list[str], places: range) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("task", no_wrap=True)
    for place in places:
        table.add_column(f"{marks[place]}  ", justify="right", no_wrap=True)
    for number, line in enumerate(lines):
        cells = [_compared_cell(line, place, line.scores[place]) for place in places]
        table.add_row(line.name, *cells, style="" if number < len(lines) - 1 else "italic")
    return table


def _compared_cell(line: ComparedLine, place: int, score: Compared) -> Text:
    words = score_words(score.value, score.error)
    # The mark beside bold, for pipes and files have no bold.
    return Text(f"{words} *", style="bold") if line.best == place else Text(f"{words}  ")


def _letter(place: int) -> str:
    """A, B, ..., Z, A2, B2 and so on."""
    turn, letter = divmod(place, 26)
    return chr(ord("A") + letter) + (str(turn + 1) if turn else "")


def _print_lines(lines: Mapping[str, str], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    for key, text in lines.items():
        grid.add_row(Text(key, style="dim"), Text(text, overflow="fold"))
    console.print(grid)
