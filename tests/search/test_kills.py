"""A worker and coordinators are killed: nothing finished is lost or done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_kills_lose_nothing(tmp_path: Path) -> None:
    # A worker and then the coordinator, and the coordinator of the next session.
    arguments = ("--kills", "3", "--seed", "1", "--modes", "generational", "--print", "--home", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.survival", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["generational"]
    runs, kills, _ = measured.pop("runs"), measured.pop("kills"), measured.pop("tries_lost")
    assert sum(kills.values()) == 3
    assert len(kills) == 2
    assert not any(measured.values()), measured
    for run in runs:
        assert (run["status"], run["equal"], set(run["evaluations"])) == ("finished", True, {"ok"})
