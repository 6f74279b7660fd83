"""A benchmark, or several side by side, as one page that opens anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..protocol import Scores, SettingScore, TaskScore
from ..protocol.compare import SURE, ComparedLine, Comparison
from ..protocol.protocols import SOLVED
from ..protocol.race import OK
from .benchmark_figures import COLOURS, comparison_plots, curve_plots, run_plots
from .benchmark_terminal import budget_words, chance_of_task, facts, metric_words, notes, score_words, solved
from .filled import filled_page
from .html import write_atomically
from .quantities import duration, one_line, plural

_RUN, _COMPARISON = "benchmark.html.j2", "benchmark_comparison.html.j2"


def write_benchmark(scores: Scores, path: str | Path) -> Path:
    """Write a benchmark's page and return where it is; a page that is there is replaced at once.

    Raises OutputError where the page cannot be written.
    """
    path = Path(path)
    write_atomically(path, render_benchmark(scores))
    return path


def write_comparison(found: Comparison, path: str | Path) -> Path:
    """The same of several benchmarks."""
    path = Path(path)
    write_atomically(path, render_comparison(found))
    return path


def render_benchmark(scores: Scores) -> str:
    """A benchmark's page as text."""
    by_task, by_difficulty = run_plots(scores)
    curves = curve_plots(scores)
    plots = [by_task, *by_difficulty, *(plot for _, group in curves for plot in group)]
    page = {
        "title": scores.label,
        "run": scores.run.name,
        "facts": _facts(scores),
        "score": score_words(scores.mean, scores.error),
        "scored": any(task.scored for task in scores.tasks),
        "notes": list(notes(scores)),
        "tasks": [_task(task) for task in scores.tasks],
        "by_task": by_task,
        "by_difficulty": by_difficulty,
        "curves": curves,
        "settings": [_setting(each) for task in scores.tasks for each in task.settings],
        "spent": _spent(scores),
        "failures": _failures(scores),
        "method": method(scores),
    }
    return filled_page(_RUN, page, plots)


def render_comparison(found: Comparison) -> str:
    """A comparison's page as text."""
    labels = [f"{_mark(place)} {scores.label}" for place, scores in enumerate(found.runs)]
    by_task, by_difficulty = comparison_plots(found, labels, [_mark(p) for p in range(len(labels))])
    page = {
        "title": "MAD scores of " + ", ".join(scores.label for scores in found.runs),
        "facts": [
            ("protocol", found.protocol),
            ("budget", budget_words(found.runs[0])),
            ("runs", f"{len(found.runs)}"),
        ],
        "metric": metric_words(found.runs[0].plan.protocol.metric),
        "sure": f"{SURE:g}",
        "runs": [
            {
                "mark": _mark(place),
                "colour": COLOURS[place % len(COLOURS)],
                "label": scores.label,
                "name": scores.run.name,
                "seeds": scores.plan.seeds,
                "steps": f"{scores.steps:,}",
                "time": duration(scores.seconds),
            }
            for place, scores in enumerate(found.runs)
        ],
        "lines": [_compared(line) for line in (*found.tasks, found.overall)],
        "differences": _differences(found),
        "notes": found.notes,
        "by_task": by_task,
        "by_difficulty": by_difficulty,
        "method": method(found.runs[0]),
    }
    return filled_page(_COMPARISON, page, [by_task, *by_difficulty])


def method(scores: Scores) -> list[tuple[str, str]]:
    """How a benchmark was made: its protocol, its budget, and the rule of the race, in words."""
    plan = scores.plan
    protocol, budget = plan.protocol, plan.budget
    chosen = (
        "validation examples, which are drawn apart"
        if protocol.selection == "valid"
        else ("the test examples themselves, as the published code does, which flatters every score")
    )
    kept = "its best evaluation" if protocol.best_epoch else "its last step"
    rate = "falls as a cosine" if protocol.schedule == "cosine" else "stays constant"
    said = [
        (
            "Protocol",
            f"{protocol.name}. Each setting is trained at {plural(len(plan.points), 'sweep point')} "
            f"({'; '.join(map(str, plan.points))}) with AdamW; the learning rate {rate}. The point with the "
            f"best accuracy on {chosen} is the setting’s; a training counts with {kept}. The score is the "
            f"{metric_words(protocol.metric)}, on the test split, the mean over "
            f"{plural(plan.seeds, 'seed')}. A task’s score is the mean over its settings, "
            "the MAD score the mean over tasks (arXiv 2403.17844). Scores of different "
            "protocols or budgets are not compared.",
        ),
        (
            "Budget",
            f"{budget_words(scores)}. A setting counts as solved from an accuracy of {SOLVED} on the split "
            f"that selects, and is then trained no further. On the way {budget.looked:,} examples are "
            f"scored, at the end at most {budget.scored:,} of each split.",
        ),
    ]
    if len(budget.rungs) == 1 or len(plan.points) == 1:
        said.append(("Race", "None: every sweep point is trained to its end, unless the setting is solved."))
    else:
        shares = ", ".join(f"{share:.3g}" for share in budget.rungs)
        said.append(
            (
                "Race",
                f"Sweep points are compared after {shares} of the steps. One stops as beaten if its "
                "optimistic forecast is below a rival’s accuracy: its own best accuracy, two standard "
                "errors, and an allowance for late risers (in each doubling of steps left, errors may shrink "
                "by twice the share by which its loss fell in the last doubling). One that has not left "
                "chance is not stopped in the first half; after that it stops as flat if it is beaten, or "
                "if none has left chance and another has a lower loss. At least one point is trained to the "
                "end.",
            )
        )
    said.append(
        (
            "Errors",
            "± is one standard error: over seeds where there are several, but never below what the test’s "
            "size leaves open; with one seed over test sequences alone, and another seed may then lie "
            "further away. Errors of settings and tasks are taken as independent.",
        )
    )
    return said


def _facts(scores: Scores) -> list[tuple[str, str]]:
    told = {name.lower(): text for name, text in facts(scores).items() if name != "Architecture"}
    told["status"] = f"{scores.run.status}{'' if scores.complete else ', not complete'}"
    if scores.plan.data:
        told["data"] = "read from disk, in mad-lab’s layout"
    return list(told.items())


def _task(task: TaskScore) -> dict[str, str]:
    return {
        "task": task.task,
        "score": score_words(task.value, task.error),
        "chance": f"{chance_of_task(task):.3f}",
        "settings": str(len(task.settings)),
        "solved": str(solved(task)),
        "failed": str(len(task.failed)),
        "steps": f"{sum(each.steps for each in task.settings):,}",
        "time": duration(sum(each.seconds for each in task.settings)),
    }


def _setting(each: SettingScore) -> dict[str, str]:
    finite = each.value == each.value
    ended = each.failure.partition(":")[0] if each.failure else each.reason or "not trained"
    return {
        "task": each.setting.task,
        "setting": each.setting.name,
        "score": score_words(each.value, each.error),
        "order": repr(each.value) if finite else "",
        "chance": f"{each.chance:.4f}",
        "seeds": str(each.seeds),
        "point": each.point,
        "reason": ended if each.complete else f"{ended} (not finished)",
        "steps": str(each.steps),
        "steps_words": f"{each.steps:,}",
        "seconds": f"{each.seconds:.1f}",
        "time": duration(each.seconds),
    }


def _spent(scores: Scores) -> list[tuple[str, str]]:
    plan = scores.plan
    trainings = len(plan.points) + plan.seeds - 1
    whole = sum(plan.total_steps(setting) for setting in plan.settings) * trainings
    share = f"{scores.steps / whole:.0%}" if whole else ""
    ok = sum(row.status == OK for row in scores.rows)
    return [
        ("training steps", f"{scores.steps:,}"),
        ("of all steps, had nothing stopped early", share),
        (
            "trainings, by rung",
            f"{ok:,}" + (f", {len(scores.rows) - ok} failed" if ok < len(scores.rows) else ""),
        ),
        ("seconds of all processes", f"{scores.seconds:,.0f} ({duration(scores.seconds)})"),
        ("on the clock", duration(scores.run.seconds)),
    ]


def _failures(scores: Scores) -> list[dict[str, str]]:
    names = {setting.key: setting for setting in scores.plan.settings}
    return [
        {
            "task": names[row.setting].task if row.setting in names else row.setting,
            "setting": names[row.setting].name if row.setting in names else "",
            "point": row.point,
            "seed": str(row.seed),
            "status": row.status,
            "error": one_line(row.error),
        }
        for row in scores.rows
        if row.status != OK
    ]


def _compared(line: ComparedLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "count": len(line.settings),
        "cells": [
            (score_words(score.value, score.error), line.best == place)
            for place, score in enumerate(line.scores)
        ],
    }


def _differences(found: Comparison) -> list[tuple[str, list[tuple[str, str]]]]:
    """By pair of runs a cell for each line: the difference, and the verdict."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for line in (*found.tasks, found.overall):
        for each in line.differences:
            pair = f"{_mark(each.one)} − {_mark(each.other)}"
            known = each.value == each.value
            sign = "+" if known and each.value >= 0 else ""
            words = sign + score_words(each.value, each.error).replace("-", "−")
            rows.setdefault(pair, []).append((words, each.verdict if known else ""))
    return list(rows.items())


def _mark(place: int) -> str:
    turn, letter = divmod(place, 26)
    return chr(ord("A") + letter) + (str(turn + 1) if turn else "")
