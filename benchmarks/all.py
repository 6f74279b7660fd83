"""Every benchmark, one after the other.

python -m benchmarks.all
"""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    *("operators", "initialisation", "default_run", "table", "screens", "promotion", "transfer", "survival"),
    *("strategies pretend", "generation", "quick_protocol", "racing"),
    *("proxy mad --budget quick", "proxy mad --budget standard", "proxy text", "proxy analyse"),
)

if __name__ == "__main__":
    for name in NAMES:
        print(f"# {name}", flush=True)
        subprocess.run([sys.executable, "-m", *f"benchmarks.{name}".split()], check=True)
