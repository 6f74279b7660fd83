"""Does torch.compile pay for a benchmark's trainings on the CPU? When it has paid for itself, and where.

    python -m benchmarks.compiling [--mixers mh-attention mh-hyena mamba] [--budgets quick standard]

One training step (forward, backward, clip, AdamW) of two mixers with a channel mixer after each, width 64, on
the first in-context-recall setting of the budget, with one thread: as a benchmark's workers run it, and
compiled by Inductor with shapes fixed. "once" is what compiling took, of this process and of the compilers
that it started, less the step itself; "pays after" how many steps make up for it. The first compilation of
all, which reads half of torch, is done before on another model and is not counted. Seconds are the
processor's, the median over --steps steps of each, taken in turn.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

# One compiler process: its seconds are to be counted, and workers share the machine with others.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# What an earlier run has compiled would look like nothing to compile.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import torch
from torch import Tensor, nn

from madstar.protocol import LayerStack, find_budget, find_protocol, level_settings
from madstar.tasks.mechanistic import Setting, find_task, generate
from madstar.training.example_settings import ExampleSettings
from madstar.training.examples import make_example_optimizer
from madstar.training.metrics import probed_loss

from .machine import keep

TASK, WIDTH = "in-context-recall", 64
MIXERS = ("mh-attention", "mh-hyena", "mamba", "gated-deltanet")
_WARM = 3


@dataclass(frozen=True)
class Compiled:
    """Milliseconds of a step either way, seconds to compile, and the steps after which compiling has paid.

    `pays_after` is None where the compiled step is no faster. `apart` is the largest difference of the losses
    of the first steps between the two, as a share.
    """

    mixer: str
    budget: str
    shape: tuple[int, int]
    eager_ms: float
    compiled_ms: float
    once_seconds: float
    pays_after: int | None
    apart: float
    error: str = ""


def measured(mixer: str, budget: str, steps: int) -> Compiled:
    """One architecture at the shape of one budget."""
    chosen = find_budget(budget)
    setting = level_settings((TASK,), chosen)[0]
    inputs, targets = (torch.from_numpy(part[: chosen.batch]) for part in generate(setting, "train", 0))
    model, other = (build(mixer, setting) for _ in range(2))
    eager = step_of(model, model, inputs, targets)
    losses = [eager() for _ in range(1 + _WARM)]
    torch.compiler.reset()
    compiled = step_of(torch.compile(other, dynamic=False), other, inputs, targets)
    shape, began = (chosen.batch, setting.length), spent()
    try:
        again = [compiled()]
    except Exception as error:  # Inductor raises many kinds; each is a result here.
        told = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        return Compiled(mixer, budget, shape, math.nan, math.nan, spent() - began, None, math.nan, told)
    once = spent() - began
    again += [compiled() for _ in range(_WARM)]
    plain, fast = medians(eager, compiled, steps)
    once -= fast
    return Compiled(
        mixer=mixer,
        budget=budget,
        shape=shape,
        eager_ms=1e3 * plain,
        compiled_ms=1e3 * fast,
        once_seconds=once,
        pays_after=math.ceil(once / (plain - fast)) if fast < plain else None,
        apart=max(abs(a - b) / abs(a) for a, b in zip(losses, again, strict=True)),
    )


def build(mixer: str, setting: Setting) -> nn.Module:
    """The architecture for a setting; the same weights each time."""
    stack = LayerStack.of((mixer, "swiglu") * 2, WIDTH, embedding_std=find_protocol("sound").embedding_std)
    backbone = find_task(setting.task).backbone
    return stack.build(setting.task, backbone, setting.vocabulary_size, setting.length, 0).train()


def step_of(
    run: Callable[[Tensor], Tensor], model: nn.Module, inputs: Tensor, targets: Tensor
) -> Callable[[], float]:
    """A training step on one batch, which gives its loss; `run` is the model or what it was compiled to."""
    optimizer = make_example_optimizer(model, ExampleSettings())

    def step() -> float:
        loss = probed_loss(run(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def medians(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Median seconds of the processor of two steps, taken in turn, for the machine's load changes."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for seconds, step in zip(found, (first, second), strict=True):
            began = time.process_time()
            step()
            seconds.append(time.process_time() - began)
    return statistics.median(found[0]), statistics.median(found[1])


def spent() -> float:
    """Seconds of the processor so far, those of ended children too."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS))
    parser.add_argument("--budgets", nargs="+", default=["quick", "standard"])
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.compile(nn.Linear(2, 2))(torch.zeros(1, 2)).sum().backward()
    rows = []
    print("| mixer | budget | batch x length | ms a step | compiled | once, s | pays after, steps |")
    for mixer in given.mixers:
        for budget in given.budgets:
            one = measured(mixer, budget, given.steps)
            rows.append(asdict(one))
            pays = one.error or one.pays_after or "never"
            print(
                f"| {mixer} | {budget} | {one.shape[0]} x {one.shape[1]} | {one.eager_ms:.1f} "
                f"| {one.compiled_ms:.1f} | {one.once_seconds:.0f} | {pays} |",
                flush=True,
            )
            kept = keep("compiling", {"steps": given.steps, "rows": rows})
    print("kept in", kept)


if __name__ == "__main__":
    main()
