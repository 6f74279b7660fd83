"""The whole MAD protocol: how long it would take as a plain loop, and as stacked programs, on one machine.

    python -m benchmarks.full_protocol --device cuda
    python -m benchmarks.full_protocol --device cuda --layers mamba swiglu mamba swiglu --compile

The protocol is 66 settings x 6 sweep points x 200 epochs for one architecture. At each shape that its
settings have (backbone, vocabulary, length) this measures, in turns in one process,

(a) a plain loop as mad-lab trains: one model, one sweep point, batches of 128 made by a DataLoader without
    workers, bf16 autocast, torch's AdamW, and an evaluation each epoch with accuracy taken per batch. It is
    written here, without Lightning, its logging and its metrics while training, so it is faster than
    mad-lab itself. Its layers are ours, and so are its kernels: what is compared is the training alone;
(b) `madstar.training.StackedTrainer`: all 6 sweep points as one program, on a GPU with a captured step.

From seconds a step and seconds an evaluated batch it projects hours without any early stop, racing or solved
settings; a smaller last batch of an epoch counts as a whole one for both. Where the six do not fit into
memory, fewer go together and the row says how many. `--tiny` runs all of it on toy sizes and keeps nothing.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from madstar.liv import AutoEncoder, LanguageModel
from madstar.tasks.mechanistic import (
    AUTO_ENCODER,
    IGNORE,
    Setting,
    find_task,
    generate,
    protocol_settings,
)
from madstar.training import (
    ExampleSettings,
    ExampleTrainer,
    SeparateTrainers,
    StackedTrainer,
    together,
)

from .machine import keep

EPOCHS = 200
SWEEP = [(rate, decay) for rate in (1e-4, 5e-4, 1e-3) for decay in (0.0, 0.1)]
ARCHITECTURES = [[mixer, "swiglu"] * 2 for mixer in ("mh-attention", "mh-hyena", "mamba")]


class Shape(NamedTuple):
    """What the cost of a step depends on, beside the layers."""

    backbone: str
    vocabulary_size: int
    length: int

    @classmethod
    def of(cls, setting: Setting) -> Shape:
        return cls(find_task(setting.task).backbone, setting.vocabulary_size, setting.length)

    def build(self, layers: Sequence[str], width: int, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kind = AutoEncoder if self.backbone == AUTO_ENCODER else LanguageModel
            return kind(self.vocabulary_size, self.length, layers, dim=width)


class Sizes(NamedTuple):
    """How much is measured, and on what."""

    device: torch.device
    batch: int = 128
    width: int = 128
    steps: int = 20
    rounds: int = 5
    warmup: int = 5
    compiled: bool = False


class Seconds(NamedTuple):
    """Medians over rounds of a step and of an evaluated batch, and the slowest and fastest step."""

    step: float
    evaluated: float
    fastest: float
    slowest: float


class PlainLoop:
    """One model at one sweep point, trained and evaluated as mad-lab does."""

    def __init__(self, model: nn.Module, inputs: Tensor, targets: Tensor, sizes: Sizes) -> None:
        self.model, self.device = model.to(sizes.device), sizes.device
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-4, weight_decay=0.0)
        data = TensorDataset(inputs, targets)
        self.loader = DataLoader(data, batch_size=sizes.batch, shuffle=True, num_workers=0)
        self._batches = self._endless()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader

    def train(self, steps: int) -> None:
        self.model.train()
        for _ in range(steps):
            x, y = (part.to(self.device) for part in next(self._batches))
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = self.model(x)
                loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=IGNORE)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: int) -> float:
        self.model.eval()
        values = []
        for _ in range(batches):
            x, y = (part.to(self.device) for part in next(self._batches))
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = self.model(x)
            values.append(macro_accuracy(logits, y))
        return torch.stack(values).mean().item()


def macro_accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """mad-lab's accuracy of one batch."""
    classes, probed = logits.shape[-1], targets != IGNORE
    wanted, guessed = targets[probed], logits.argmax(-1)[probed]
    support = torch.bincount(wanted, minlength=classes)
    counted = (support + torch.bincount(guessed, minlength=classes)) > 0
    hits = torch.bincount(wanted[wanted == guessed], minlength=classes)
    return (hits / support.clamp(min=1)).sum() / counted.sum()


def sample_of(setting: Setting, examples: int) -> tuple[Tensor, Tensor]:
    """A few examples of a setting."""
    fewer = setting.changed(train_examples=min(examples, setting.train_examples))
    inputs, targets = generate(fewer, "train", 0)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def stacks(
    shape: Shape, layers: Sequence[str], data: tuple[Tensor, Tensor], sizes: Sizes
) -> tuple[StackedTrainer | SeparateTrainers, int]:
    """As many sweep points together as go into memory, and into how many programs all six make."""
    for count in (6, 3, 2):
        try:
            return warmed_up(shape, layers, data, sizes, count), len(SWEEP) // count
        except torch.OutOfMemoryError:
            pass
        # Out of the handler, so that what the failed attempt held is let go.
        gc.collect()
        torch.cuda.empty_cache()
    return warmed_up(shape, layers, data, sizes, 1), len(SWEEP)


def warmed_up(
    shape: Shape, layers: Sequence[str], data: tuple[Tensor, Tensor], sizes: Sizes, count: int
) -> StackedTrainer | SeparateTrainers:
    """`count` sweep points as one program that has trained and scored once."""
    inputs, targets = data
    trainers = [
        ExampleTrainer(
            shape.build(layers, sizes.width, place),
            inputs,
            targets,
            ExampleSettings(
                batch=sizes.batch,
                epochs=None,
                max_steps=10**6,
                learning_rate=rate,
                weight_decay=decay,
                precision="bf16",
            ),
            place,
            device=sizes.device,
        )
        for place, (rate, decay) in enumerate(SWEEP[:count])
    ]
    stack = together(trainers, stacked=True, compiled=sizes.compiled)
    stack.advance_to(sizes.warmup)
    stack.scores([data] * count)
    return stack


def measure(setting: Setting, layers: Sequence[str], sizes: Sizes) -> dict[str, Any]:
    """Both forms at a setting's shape, in turns."""
    shape = Shape.of(setting)
    inputs, targets = sample_of(setting, 4 * sizes.batch)
    data = (inputs, targets)
    batches = -(-len(data[0]) // sizes.batch)
    loop = PlainLoop(shape.build(layers, sizes.width, 0), *data, sizes)
    loop.train(sizes.warmup)
    loop.evaluate(1)
    shared = (inputs.to(sizes.device), targets.to(sizes.device))
    stack, programs = stacks(shape, layers, shared, sizes)
    held_out = [shared] * len(stack)
    rounds: dict[str, list[float]] = {"plain": [], "plain_eval": [], "stacked": [], "stacked_eval": []}

    def advance() -> None:
        stack.advance_to(stack.step + sizes.steps)

    for _ in range(sizes.rounds):
        rounds["plain"].append(timed(lambda: loop.train(sizes.steps), sizes.device) / sizes.steps)
        rounds["plain_eval"].append(timed(lambda: loop.evaluate(batches), sizes.device) / batches)
        rounds["stacked"].append(timed(advance, sizes.device) * programs / sizes.steps)
        rounds["stacked_eval"].append(
            timed(lambda: stack.scores(held_out), sizes.device) * programs / batches
        )
    return {
        "shape": shape._asdict(),
        "together": len(stack),
        "one_by_one": stack.reason if isinstance(stack, SeparateTrainers) else "",
        "plain": seconds(rounds["plain"], rounds["plain_eval"])._asdict(),
        "stacked": seconds(rounds["stacked"], rounds["stacked_eval"])._asdict(),
    }


def seconds(steps: list[float], evaluated: list[float]) -> Seconds:
    return Seconds(statistics.median(steps), statistics.median(evaluated), min(steps), max(steps))


def hours(setting: Setting, found: dict[str, float], runs: int, batch: int) -> float:
    """Hours of all epochs of a setting, `runs` times what was measured."""
    steps, evaluated = -(-setting.train_examples // batch), -(-setting.test_examples // batch)
    return runs * EPOCHS * (steps * found["step"] + evaluated * found["evaluated"]) / 3600


def architecture(layers: Sequence[str], settings: Sequence[Setting], sizes: Sizes) -> dict[str, Any]:
    """Measure one architecture at every shape once, and project all its settings."""
    measured: dict[Shape, dict[str, Any]] = {}
    print(f"\n{' '.join(layers)}\n")
    print("| backbone | vocabulary | length | plain, ms a step (min - max) | six together, ms | times |")
    print("|---|---|---|---|---|---|")
    for setting in settings:
        shape = Shape.of(setting)
        if shape not in measured:
            measured[shape] = measure(setting, layers, sizes)
            print(table_row(shape, measured[shape]), flush=True)
    plain = {s.task: 0.0 for s in settings}
    stacked = dict(plain)
    for setting in settings:
        found = measured[Shape.of(setting)]
        plain[setting.task] += hours(setting, found["plain"], len(SWEEP), sizes.batch)
        # The stacked seconds are those of all six sweep points.
        stacked[setting.task] += hours(setting, found["stacked"], 1, sizes.batch)
    print("\n| task | plain loop, hours | stacked, hours | times |\n|---|---|---|---|")
    for task in plain:
        print(hours_row(task, plain[task], stacked[task]))
    total, ours = sum(plain.values()), sum(stacked.values())
    print(hours_row("all", total, ours), flush=True)
    return {
        "layers": list(layers),
        "settings": len(settings),
        "plain_hours": plain,
        "stacked_hours": stacked,
        "plain_total_hours": total,
        "stacked_total_hours": ours,
        "times": total / ours,
        "shapes": list(measured.values()),
    }


def table_row(shape: Shape, found: dict[str, Any]) -> str:
    def words(times: Seconds) -> str:
        return f"{1e3 * times.step:.2f} ({1e3 * times.fastest:.2f} - {1e3 * times.slowest:.2f})"

    plain, stacked = Seconds(**found["plain"]), Seconds(**found["stacked"])
    note = "" if found["together"] == len(SWEEP) else f", {found['together']} at a time"
    note += f"; one by one: {found['one_by_one']}" if found["one_by_one"] else ""
    times = len(SWEEP) * plain.step / stacked.step
    return (
        f"| {shape.backbone} | {shape.vocabulary_size} | {shape.length} | {words(plain)} "
        f"| {words(stacked)}{note} | {times:.1f} |"
    )


def hours_row(task: str, plain: float, stacked: float) -> str:
    return f"| {task} | {plain:.2f} | {stacked:.2f} | {plain / stacked:.1f} |"


def tiny_settings() -> list[Setting]:
    """A setting of each backbone that takes no time."""
    recall, compression = (
        next(s for s in protocol_settings() if s.task == name)
        for name in ("in-context-recall", "compression")
    )
    small = {"train_examples": 12, "test_examples": 8}
    return [recall.changed(length=16, **small), compression.changed(length=8, **small)]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Projected hours of the full MAD protocol.")
    parser.add_argument("--layers", nargs="+", action="append", help="an architecture; may be repeated")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the stacked step too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="steps in a round")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that it runs; keeps nothing")
    given = parser.parse_args(arguments)
    sizes = Sizes(torch.device(given.device), steps=given.steps, rounds=given.rounds, compiled=given.compile)
    settings: Sequence[Setting] = protocol_settings()
    if given.tiny:
        sizes = sizes._replace(batch=4, width=32, steps=2, rounds=1, warmup=1)
        settings = tiny_settings()
    torch.set_float32_matmul_precision("high")
    rows = [architecture(layers, settings, sizes) for layers in given.layers or ARCHITECTURES]
    name = torch.cuda.get_device_name(sizes.device) if sizes.device.type == "cuda" else "cpu"
    result = {"device": name, "sizes": {**sizes._asdict(), "device": str(sizes.device)}, "rows": rows}
    if not given.tiny:
        print("\nkept in", keep("full_protocol", result))
    return result


if __name__ == "__main__":
    main()
