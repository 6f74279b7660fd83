"""Every benchmark, one after the other; days on two cores. Those that were interrupted go on where they can.

    python -m benchmarks.all

Left out are those that need something beside the project: `graph_peers` (other tracers in a folder) and
`full_protocol` (a GPU). Those of learning want a dataset in runs/learning, of `madstar learn dataset`.
"""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    *("operators", "initialisation", "default_run", "table", "screens", "promotion", "transfer", "survival"),
    *("strategies pretend", "strategies real --steps 6000 --seeds 5", "staleness"),
    *("generation", "compiling", "quick_protocol", "racing"),
    *("proxy mad --budget quick", "proxy mad --budget standard", "proxy text", "proxy analyse"),
    *("coverage --home runs/museum", "vocabulary runs/museum", "checks runs/museum"),
    *("folding", "fidelity", "rebuild", "rebuild --large", "rewrites", "editing_speed"),
    *("exchange_onnx", "exchange_graphbook", "learning_tokens --museum runs/museum"),
    "learning_generator --museum runs/museum",
    *("learning_tasks --data runs/learning --splits 5", "learning_predictor --data runs/learning"),
    *("latencies benchmarks/results/labels", "own_encoders --data runs/learning"),
    *("guided --seeds 5", "guided --whole 60 --seeds 5"),
    *("guided predictors --archive runs/labels runs/study", "design --home runs/design"),
)

if __name__ == "__main__":
    for name in NAMES:
        print(f"# {name}", flush=True)
        subprocess.run([sys.executable, "-m", *f"benchmarks.{name}".split()], check=True)
