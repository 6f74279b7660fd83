"""A design run's page and its lines in a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from madstar.design.limits import Limits
from madstar.design.reading import DesignRun, Proposed
from madstar.design.settings import make_settings
from madstar.report.design_page import render_design, write_design
from madstar.report.design_terminal import print_design

BEST = 3


def proposed(index: int, **given) -> Proposed:
    """A proposal of round 1 for the first three, of round 2 for the others."""
    values = {
        "index": index, "round": 1 + (index > 2), "genome": f"17.4.1-{index}", "origin": "random",
        "guided": index > 3, "block": index % 2 == 0, "parameters": 1000 * (index + 1), "predicted": None,
        "low": None, "high": None, "score": 4.0 - 0.1 * index, "status": "ok", "reason": "",
    }  # fmt: skip
    return Proposed(**(values | given))


def record(number: int, best: float | None, gain: float | None) -> dict:
    return {
        "round": number, "trained": 3, "failed": 1, "best": best, "best_so_far": best, "gain": gain,
        "groups": {"guided": {"median": 3.6}, "free": {"median": 3.8}}, "agreement": {"tau": 0.5, "n": 4},
        "data": {"measured": 3, "hash": "ab12"}, "seconds": {"learning": 62.0, "training": 5.0},
        "models": {"generator": {"hash": "given"}, "predictor": {"hash": "c3", "round": number}},
    }  # fmt: skip


def run(**given) -> DesignRun:
    tried = [
        *map(proposed, range(BEST)),
        proposed(BEST, score=3.25, predicted=3.5, low=3.2, high=3.9, genome="graph:<i>77</i>"),
        proposed(4, score=None, status="timeout", reason="it took more than 5 s"),
    ]
    values = {
        "name": "slow", "directory": Path("runs/slow"), "version": "0", "status": "finished",
        "reason": "patience", "settings": make_settings(rounds=4, patience=2), "task": "a text",
        "limits": Limits(
            seconds=600, workers=2, memory=2 << 30, disk=1 << 30, parameters=10**6, candidates=48,
            candidate_seconds=60,
        ),
        "rounds": (record(1, 3.8, None), record(2, 3.25, 0.55)), "proposals": tuple(tried),
        "agreement": {"tau": 0.42, "n": 7}, "tested": {BEST: 3.3}, "seconds": 125.0,
        "held": {"loop": {"files": True, "network": False}, "workers": {"files": True}},
    }  # fmt: skip
    return DesignRun(**(values | given))


def figures(page: str) -> dict:
    found = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_page_says_what_was_found() -> None:
    page = render_design(run())
    assert "<strong>3.2500</strong> bits per byte, 3.3000 on test" in page
    assert "graph:&lt;i&gt;77&lt;/i&gt;" in page  # nothing of a proposal is markup
    assert "<i>77" not in page
    assert "No gain in 2 rounds." in page
    assert "+0.5500" in page
    assert "it took more than 5 s" in page
    assert "files; not: network" in page
    assert '="http' not in page.split("<script")[0]
    assert page.count('data-order="">–') == BEST  # those that nothing was predicted of
    drawn = figures(page)
    assert len(drawn["progress"]["layout"]["shapes"]) == 1  # between two rounds
    best = next(trace for trace in drawn["progress"]["data"] if trace["name"] == "best so far")
    assert best["y"] == sorted(best["y"], reverse=True)
    assert best["y"][-1] == 3.25
    assert drawn["predictions"]["data"][-1]["x"] == [3.5]


def test_page_of_a_run_without_scores() -> None:
    """A run that has just begun has a page too."""
    page = render_design(run(rounds=(), proposals=(), tested={}, reason=None, status="running"))
    assert "Nothing was trained to a score yet." in page
    assert "It goes on, or was interrupted." in page
    assert figures(page) == {}


def test_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_design(run())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["round", "trained", "failed"]
    assert lines[2].split() == ["2", "3", "1", "3.2500", "+0.5500", "+0.50", "3.6000", "3.8000"]
    assert lines[3].startswith(
        f"Best: #{BEST} graph:<i>77</i> (random), 3.2500 bits per byte, 3.3000 on test"
    )
    assert lines[-1] == "Stopped: no gain in 2 rounds"
    print_design(replace(run(), rounds=(), proposals=(), reason=None))
    assert capsys.readouterr().out.splitlines()[-1] == "Stopped: it goes on, or was interrupted"


def test_written_at_once(tmp_path: Path) -> None:
    page = write_design(run(), tmp_path / "a" / "report.html")
    assert page.read_text() == render_design(run())
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
