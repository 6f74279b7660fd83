"""A design run as one page that opens anywhere: its rounds, its proposals, what it was held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..design.reading import DesignRun, Proposed
from .design_figures import prediction_plot, progress_plot
from .filled import filled_page
from .html import write_atomically
from .quantities import MISSING, amount, duration, one_line, plural

_TEMPLATE = "design.html.j2"
_SHOWN = 200


def write_design(found: DesignRun, path: str | Path) -> Path:
    """Write a run's page and return where it is; a page that is there already is replaced at once.

    Raises OutputError where the page cannot be written.
    """
    path = Path(path)
    write_atomically(path, render_design(found))
    return path


def render_design(found: DesignRun) -> str:
    """The page as text."""
    plots = [plot for plot in (progress_plot(found), prediction_plot(found)) if plot is not None]
    return filled_page(_TEMPLATE, {**_page(found), "plots": plots}, plots)


def _page(found: DesignRun) -> dict[str, Any]:
    best = found.best
    ranked = sorted(
        (each for each in found.proposals if each.score is not None), key=lambda each: each.score or 0.0
    )
    return {
        "title": found.name,
        "missing": MISSING,  # stands last, however a table is sorted
        "task": found.task,
        "facts": _facts(found),
        "best": None if best is None else _row(best, found),
        "test": None if best is None else found.tested.get(best.index),
        "stopped": found.stopped,
        "rounds": [_round(record) for record in found.rounds],
        "ranked": [_row(each, found) for each in ranked[:_SHOWN]],
        "more": max(0, len(ranked) - _SHOWN),
        "fates": _fates(found.proposals),
        "models": [_models(record) for record in found.rounds],
        "limits": _limits(found),
        "held": _held(found),
        "method": _method(found),
    }


def _facts(found: DesignRun) -> list[tuple[str, str]]:
    tau = found.agreement["tau"]
    trained = sum(each.score is not None for each in found.proposals)
    return [
        ("rounds", f"{len(found.rounds)} of {found.settings.rounds}"),
        ("proposed", f"{len(found.proposals):,}"),
        ("trained", f"{trained:,}"),
        ("a training", found.settings.budget),
        ("time", f"{duration(found.seconds)} of {duration(found.limits.seconds)}"),
        ("predicted against measured", "–" if tau is None else f"τ {tau:+.2f} of {found.agreement['n']}"),
        ("status", found.status),
        ("version", found.version),
    ]


def _row(each: Proposed, found: DesignRun) -> dict[str, str]:
    test = found.tested.get(each.index)
    between = "" if each.low is None else f"{_bits(each.low)} to {_bits(each.high)}"
    return {
        "index": f"{each.index}",
        "round": f"{each.round}",
        "genome": each.genome,
        "group": each.group,
        "origin": each.origin,
        "parameters": MISSING if each.parameters is None else amount(each.parameters),
        "predicted": _bits(each.predicted),
        "between": between,
        "score": _bits(each.score),
        "test": "" if test is None else _bits(test),
    }


def _round(record: dict[str, Any]) -> dict[str, str]:
    groups = record["groups"]
    return {
        "round": f"{record['round']}",
        "trained": f"{record['trained']}",
        "failed": f"{record['failed']}",
        "best": _bits(record["best"]),
        "so_far": _bits(record["best_so_far"]),
        "gain": MISSING if record["gain"] is None else f"{record['gain']:+.4f}".replace("-", "−"),
        "tau": MISSING if record["agreement"]["tau"] is None else f"{record['agreement']['tau']:+.2f}",
        "guided": _bits(groups.get("guided", {}).get("median")),
        "free": _bits(groups.get("free", {}).get("median")),
        "seconds": ", ".join(f"{name} {duration(value)}" for name, value in record["seconds"].items()),
    }


def _models(record: dict[str, Any]) -> tuple[str, str, list[str]]:
    """A round, what its models had learned from, and each with the round it is of and its hash."""
    data = record["data"]
    told = []
    for name, facts in sorted(record["models"].items()):
        of = f", fitted in round {facts['round']}" if "round" in facts else ""
        told.append(f"{name} {facts['hash']}{of}")
    return f"{record['round']}", f"{plural(data['measured'], 'architecture')}, {data['hash']}", told


def _fates(proposals: Sequence[Proposed]) -> list[tuple[str, str, str]]:
    """How proposals ended that have no score, how many, and the commonest reason."""
    lost = [each for each in proposals if each.score is None]
    rows = []
    for status, count in Counter(each.status for each in lost).most_common():
        reasons = Counter(one_line(each.reason) for each in lost if each.status == status)
        rows.append((status, f"{count}", reasons.most_common(1)[0][0]))
    return rows


def _limits(found: DesignRun) -> list[tuple[str, str]]:
    limits = found.limits
    return [
        ("wall time", duration(limits.seconds)),
        ("time of one training", duration(limits.candidate_seconds)),
        ("trainings", f"{limits.candidates:,}"),
        ("workers", f"{limits.workers}"),
        ("memory of a worker", amount(limits.memory, "bytes")),
        ("disk", amount(limits.disk, "bytes")),
        ("parameters of a candidate", f"{limits.parameters:,}"),
    ]


def _held(found: DesignRun) -> list[tuple[str, str]]:
    """Who was confined by what."""
    rows = []
    for who, layers in found.held.items():
        had = [name.replace("_", " ") for name, holds in layers.items() if holds]
        lacked = [name.replace("_", " ") for name, holds in layers.items() if not holds]
        words = ", ".join(had) or "nothing"
        rows.append((who, words + (f"; not: {', '.join(lacked)}" if lacked else "")))
    return rows


def _method(found: DesignRun) -> list[tuple[str, str]]:
    settings = found.settings
    again = "anew in every round, from the last on" if settings.retrain else "in the first rounds, and kept"
    return [
        (
            "Score",
            f"bits per byte on validation windows after {settings.budget}; lower is better.",
        ),
        ("Test", "the best alone, once, at the end. Scores that chose it are lower than what it is worth."),
        ("Unguided", f"a share of {settings.free:.0%} of each round is proposed without a model's help."),
        ("Models", f"generator and predictor are fitted {again}."),
        ("Predicted", "before the training, with an interval; τ is Kendall's against what was measured."),
    ]


def _bits(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"
