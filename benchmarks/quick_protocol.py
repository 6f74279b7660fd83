"""What the quick budget costs, against the whole protocol in a loop as mad-lab's.

    python -m benchmarks.quick_protocol [--layers mamba swiglu mamba swiglu] [--workers 2]

Measured: `madstar benchmark --budget quick` from a new archive, wall time and seconds of the processor of
all its processes, start-up included. Measured too: one training step and one evaluated batch of a plain loop
(one model, torch's AdamW, float32, one thread) at every shape that the 66 published settings have, at width
128. The loop takes --batch sequences and not 128, and its seconds are scaled up in proportion.

Projected from that: the protocol's 66 settings x 6 sweep points x 200 epochs with batches of 128 and an
evaluation each epoch. "all" lets nothing stop early. "unless solved" counts as free, for each task, the share
of settings that the quick benchmark has solved: mad-lab stops there too, and this leaves out all that it had
trained until then, so the truth lies between the two. mad-lab's own loop, in bfloat16 and with its metrics,
is slower than this one on a CPU. Seconds of the processor hardly change with other work on the machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from madstar.tasks.mechanistic import IGNORE, Setting, protocol_settings

from .full_protocol import EPOCHS, SWEEP, Shape, macro_accuracy, sample_of, tiny_settings
from .machine import keep

MIXERS = ("mh-attention", "mh-hyena", "mamba", "gated-deltanet")
PUBLISHED_BATCH, WIDTH = 128, 128
TINY = """task = "memorization"
[baseline]
vocabulary_size = 16
length = 8
train_examples = 256
test_examples = 128
"""


# Quick ---------------------------------------------------------------------------------------


def quick(layers: Sequence[str], workers: int, tiny: bool) -> dict[str, Any]:
    """One benchmark in processes of its own, from a new archive."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "madstar", "benchmark", "--json", "--home", home]
        command += ["--budget", "quick", "--workers", str(workers)]
        if tiny:
            (Path(home) / "tiny.toml").write_text(TINY)
            command += ["--dim", "32", "--settings", f"{home}/tiny.toml"]
        command += ["--layers", *layers]
        before, begun = _children_seconds(), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall, spent = time.monotonic() - begun, _children_seconds() - before
    if done.returncode:
        raise SystemExit(f"madstar benchmark ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout)
    return {
        "wall_seconds": wall,
        "cpu_seconds": spent,
        "score": found["score"],
        "error": found["error"],
        "steps": found["spent"]["steps"],
        "solved": {task["task"]: solved_share(task["settings"]) for task in found["tasks"]},
    }


def solved_share(settings: Sequence[Mapping[str, Any]]) -> float:
    """The share of a task's settings that were solved."""
    return statistics.fmean(setting["reason"] == "solved" for setting in settings)


def _children_seconds() -> float:
    """Seconds of the processor of all processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# The loop ------------------------------------------------------------------------------------


def loop_seconds(
    shape: Shape, layers: Sequence[str], data: tuple[Tensor, Tensor], rounds: int
) -> dict[str, float]:
    """Seconds of the processor of a training step and of an evaluated batch of 128: medians over rounds."""
    inputs, targets = data
    model = shape.build(layers, WIDTH, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)

    def step() -> None:
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def evaluate() -> None:
        with torch.no_grad():
            macro_accuracy(model(inputs), targets)

    scale = PUBLISHED_BATCH / len(inputs)
    return {"step": scale * _median(step, rounds), "evaluated": scale * _median(evaluate, rounds)}


def _median(work: Callable[[], None], rounds: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def setting_seconds(setting: Setting, found: Mapping[str, float]) -> float:
    """Seconds of all epochs of all sweep points of a setting."""
    batches = (-(-count // PUBLISHED_BATCH) for count in (setting.train_examples, setting.test_examples))
    steps, evaluated = batches
    return len(SWEEP) * EPOCHS * (steps * found["step"] + evaluated * found["evaluated"])


def projected(
    layers: Sequence[str], settings: Sequence[Setting], batch: int, rounds: int
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Seconds of the whole protocol by task, and what was measured at each shape."""
    measured: dict[Shape, dict[str, float]] = {}
    by_task: dict[str, float] = {}
    for setting in settings:
        shape = Shape.of(setting)
        if shape not in measured:
            measured[shape] = loop_seconds(shape, layers, sample_of(setting, batch), rounds)
        by_task[setting.task] = by_task.get(setting.task, 0.0) + setting_seconds(setting, measured[shape])
    return by_task, [{**shape._asdict(), **found} for shape, found in measured.items()]


def unless_solved(by_task: Mapping[str, float], solved: Mapping[str, float]) -> float:
    """The projection without the share of each task's settings that quick has solved."""
    return sum(seconds * (1 - solved.get(task, 0.0)) for task, seconds in by_task.items())


# Both ----------------------------------------------------------------------------------------


def compare(layers: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """One architecture's row."""
    settings = tiny_settings() if arguments.tiny else protocol_settings()
    own = quick(layers, arguments.workers, arguments.tiny)
    by_task, shapes = projected(layers, settings, arguments.batch, arguments.rounds)
    whole, least = sum(by_task.values()), unless_solved(by_task, own["solved"])
    row = {
        "layers": list(layers),
        "quick": own,
        "projected_seconds": by_task,
        "projected_total": whole,
        "projected_unless_solved": least,
        "times_less": whole / own["cpu_seconds"],
        "times_less_unless_solved": least / own["cpu_seconds"],
        "shapes": shapes,
    }
    print(
        f"| {' '.join(layers)} | {own['score']:.3f} | {own['wall_seconds'] / 60:.1f} | "
        f"{own['cpu_seconds'] / 60:.1f} | {whole / 86400:.2f} | {least / 86400:.2f} | "
        f"{row['times_less']:,.0f} | {row['times_less_unless_solved']:,.0f} |",
        flush=True,
    )
    return row


def main(given: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", nargs="+", action="append", help="an architecture; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="sequences of the measured loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that it runs; keeps nothing")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    print(
        "| architecture | MAD quick | measured: wall, min | CPU, min | projected: all, core-days | "
        "unless solved | times less compute | unless solved |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows = [compare(layers, arguments) for layers in arguments.layers or [[m, "swiglu"] * 2 for m in MIXERS]]
    sizes = {"workers": arguments.workers, "batch": arguments.batch, "rounds": arguments.rounds}
    result = {**sizes, "width": WIDTH, "rows": rows}
    if not arguments.tiny:
        print("\nkept in", keep("quick_protocol", result))
    return result


if __name__ == "__main__":
    main()
