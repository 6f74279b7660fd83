"""The page's head and its foot: what the run is, and all its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...archive import RunRow
from ...search import RunSummary
from ..measures import heading
from ..method import method
from ..quantities import duration, plural


@dataclass(frozen=True)
class Head:
    """The run, its facts and settings as (name, value), and its objectives as (name, meaning, direction)."""

    run: RunRow
    task: str
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    budgets: tuple[str, ...]
    objectives: list[tuple[str, str, str]]


def head(summary: RunSummary) -> Head:
    """The head of a run's page."""
    return Head(
        run=summary.run,
        task=summary.task,
        facts=_facts(summary),
        settings=_flat(summary.settings.model_dump(mode="json")),
        budgets=summary.settings.rungs,
        objectives=[(heading(o), o.meaning, o.direction) for o in summary.objectives],
    )


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    settings, run = summary.settings, summary.run
    depth = f"{settings.min_depth}"
    if settings.max_depth > settings.min_depth:
        depth += f" to {settings.max_depth}"
    searched = sum(c.role == "search" for c in summary.candidates)
    front = f"{len(summary.front)} at rung {summary.rung + 1}" if summary.front else "none"
    return [
        ("status", f"{run.status} after {duration(run.seconds)}"),
        ("begun", f"{run.created:%Y-%m-%d %H:%M} UTC"),
        ("front", front),
        ("proposals", f"{searched:,}"),
        ("evaluations", f"{len(summary.evaluations):,}, {summary.failed} failed"),
        ("hypervolume", f"{summary.hypervolume:.4g}" if summary.hypervolumes else "none yet"),
        ("models", f"{depth} layers, width {settings.width}, {plural(settings.heads, 'head')}"),
        ("constraints", ", ".join(settings.constraints) or "none"),
        *method(settings).items(),
        ("version", f"madstar {run.version}"),
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as (name, value), those within others with a dot."""
    rows: list[tuple[str, str]] = []
    for key, setting in settings.items():
        if isinstance(setting, dict):
            rows += _flat(setting, f"{prefix}{key}.")
        elif isinstance(setting, list):
            rows.append((prefix + key, ", ".join(map(str, setting)) or "none"))
        else:
            rows.append((prefix + key, "none" if setting is None else f"{setting}"))
    return rows
