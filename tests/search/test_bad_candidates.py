"""Candidates that crash, hang, eat memory or break a constraint fail alone; the search goes on."""

from __future__ import annotations

from pathlib import Path

import madstar

OBJECTIVES = '''
import os, time

def crashes(subject):
    """Kills its process for one class of candidate."""
    if subject.genome.livs[0].operator.token_mixing == 3:
        os.abort()
    if subject.genome.livs[0].operator.token_mixing == 2:
        return "no number"
    return float("nan") if subject.genome.livs[0].operator.token_mixing == 4 else 1.0

def hangs(subject):
    """Never returns for candidates that begin with attention, and eats memory for those with convolutions."""
    if subject.genome.livs[0].operator.token_mixing == 2:
        time.sleep(3600)
    hoard = []
    while subject.genome.livs[0].operator.token_mixing == 3:
        hoard.append(bytearray(50_000_000))
    return 2.0

def measured(subject):
    return float(subject.genome.livs[0].operator.token_mixing)

measured.kind = "measured"
'''


def test_bad_candidates_fail_alone_and_the_run_goes_on(tiny: dict, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OBJECTIVES)
    run = madstar.search(
        **{**tiny, "workers": 2, "classes": (1, 5, 7, 9), "groups": 1, "levels": ("backbone",)},
        objectives=["quality", f"{path}:crashes", f"{path}:hangs"],
        # One candidate of each kind, the good one last: whoever kills its worker costs two of them.
        candidates=4,
        seed=21,
        strategy="random",
        baselines=False,
        time_limit=8.0,
        memory_limit=800_000_000,
        home=tmp_path / "home",
    )
    summary = run.summary()
    assert summary.run.status == "finished"
    by_mixing: dict[int, set[str]] = {}
    for row in summary.evaluations:
        candidate = summary.candidates[row.candidate]
        mixing = madstar.Genome.parse(candidate.genome).livs[0].operator.token_mixing
        by_mixing.setdefault(mixing, set()).add(row.status)
    assert by_mixing.pop(3) == {"crash"}
    assert by_mixing.pop(2) == {"error"}
    assert by_mixing.pop(4) == {"error"}
    assert set().union(*by_mixing.values()) == {"ok"}
    assert summary.failures["crash"] >= 1
    reasons = " ".join(row.error or "" for row in summary.evaluations)
    assert "'no number': return a number" in reasons
    assert "is nan: return a finite number" in reasons
    assert summary.front


def test_a_hanging_and_a_greedy_candidate_are_stopped(tiny: dict, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OBJECTIVES)
    run = madstar.search(
        **{**tiny, "workers": 2, "classes": (1, 7, 9), "groups": 1, "levels": ("backbone",)},
        objectives=["quality", f"{path}:hangs"],
        # One that hangs, a greedy one, and one that is good.
        candidates=3,
        seed=28,
        strategy="random",
        baselines=False,
        time_limit=5.0,
        memory_limit=600_000_000,
        home=tmp_path / "home",
    )
    statuses = {row.status for row in run.summary().evaluations}
    assert statuses == {"ok", "timeout", "memory"}


def test_a_measured_constraint_is_checked_before_training(tiny: dict, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OBJECTIVES)
    run = madstar.search(
        **tiny,
        constraints=(f"{path}:measured<=1",),
        candidates=5,
        baselines=False,
        home=tmp_path / "home",
    )
    summary = run.summary()
    for row in summary.evaluations:
        genome = madstar.Genome.parse(summary.candidates[row.candidate].genome)
        kept = genome.livs[0].operator.token_mixing == 1
        assert row.status == ("ok" if kept else "infeasible")
        assert (row.steps > 0) == kept
    assert "infeasible" in {row.status for row in summary.evaluations}
