"""Generating a task's training examples: vectorised, against a plain loop over examples.

    python -m benchmarks.generation

Each task at its published baseline. The vectorised form draws all examples, several times, and the loop
draws a share of them each time, whose time is scaled up. One thread; seconds of the processor, system time
included. Both forms take turns, so that the machine's other work falls on both. About a minute.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from madstar.tasks.mechanistic import TASKS, Setting, generate, task_settings

from .generation_loops import LOOPS
from .machine import keep

ROUNDS, LOOPED = 7, 256
LONG = ("in-context-recall", "length=1024")


def vectorised_seconds(setting: Setting, seed: int) -> float:
    """All examples of the training split."""
    started = time.process_time()
    generate(setting, "train", seed)
    return time.process_time() - started


def loop_seconds(setting: Setting, seed: int) -> float:
    """All examples of the training split, projected from some."""
    count = min(LOOPED, setting.train_examples)
    rng = np.random.default_rng(seed)
    loop = LOOPS[setting.task]
    started = time.process_time()
    drawn = [loop(setting, True, rng) for _ in range(count)]
    np.array([inputs for inputs, _ in drawn]), np.array([targets for _, targets in drawn])
    return (time.process_time() - started) * setting.train_examples / count


def measure(setting: Setting) -> dict[str, object]:
    """Seconds of each round in both forms."""
    generate(setting, "train", 0)  # warm: imports, settings, memory
    vectorised, loop = [], []
    for number in range(ROUNDS):
        vectorised.append(vectorised_seconds(setting, number))
        loop.append(loop_seconds(setting, number))
    return {
        "task": setting.task,
        "setting": setting.name,
        "examples": setting.train_examples,
        "length": setting.length,
        "vectorised_seconds": vectorised,
        "loop_seconds": loop,
        "speed_up": statistics.median(loop) / statistics.median(vectorised),
    }


def main() -> None:
    settings = [task_settings(task)[0] for task in TASKS]
    settings.append(next(each for each in task_settings(LONG[0]) if each.name == LONG[1]))
    print("| task | examples | length | vectorised CPU s (min - max) | loop CPU s (min - max) | speed-up |")
    print("|---|---|---|---|---|---|")
    rows = []
    for setting in settings:
        row = measure(setting)
        rows.append(row)
        cells = [setting.task, f"{setting.train_examples:,}", str(setting.length)]
        for name in ("vectorised_seconds", "loop_seconds"):
            seconds = row[name]
            assert isinstance(seconds, list)
            cells.append(f"{statistics.median(seconds):.4f} ({min(seconds):.4f} - {max(seconds):.4f})")
        print(f"| {' | '.join(cells)} | {row['speed_up']:.0f} |", flush=True)
    print("\nkept in", keep("generation", {"rounds": ROUNDS, "looped": LOOPED, "rows": rows}))


if __name__ == "__main__":
    main()
