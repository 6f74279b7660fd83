"""Training step of each LIV class: milliseconds, and its share of the machine's matrix-product peak.

    python -m benchmarks.operators

A backbone of eight equal layers minus one of four, so that embedding, head and optimizer cancel:
forward and backward of one layer, batch 8, length 256, widths 64 and 256, one thread. FLOPs are the
analytic ones times three (a backward pass is two forward passes).
"""

from __future__ import annotations

import statistics
import time

import torch
import torch.nn.functional as F  # noqa: N812

from madstar.genome import Genome, Sizes, compile_genome
from madstar.genome.genes import CLASS_NAMES
from madstar.liv import Backbone, cost

from .machine import keep, peak_gflops

LENGTH, BATCH, ROUNDS, WIDTHS = 256, 8, 7, (64, 256)


def step_seconds(model: Backbone, tokens: torch.Tensor) -> float:
    """One forward and backward pass."""
    started = time.perf_counter()
    logits = model(tokens)
    F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def measure(number: int, width: int) -> tuple[list[float], int]:
    """Seconds of one layer's training step in each round, and its FLOPs."""
    sizes = Sizes(width=width)
    deep, shallow = (Genome.parse("-".join([f"{number}.1.1.1.1"] * n)) for n in (8, 4))
    models = [genome.build(sizes, 0) for genome in (deep, shallow)]
    tokens = torch.randint(0, 256, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
    for model in models:
        step_seconds(model, tokens)
    rounds = [(step_seconds(models[0], tokens) - step_seconds(models[1], tokens)) / 4 for _ in range(ROUNDS)]
    flops = [cost(compile_genome(genome, sizes), LENGTH).flops for genome in (deep, shallow)]
    return rounds, 3 * BATCH * (flops[0] - flops[1]) // 4


def main() -> None:
    torch.set_num_threads(1)
    peak = peak_gflops()
    print(f"matrix-product peak {peak:.1f} GFLOP/s (one thread, float32, 1024 x 1024)")
    rows = []
    for width in WIDTHS:
        print(f"\nwidth {width}\n\n| class | ms a layer and step (min - max) | GFLOP/s | share of peak |")
        print("|---|---|---|---|")
        for number, name in CLASS_NAMES.items():
            rounds, flops = measure(number, width)
            middle = statistics.median(rounds)
            rate = flops / middle / 1e9
            rows.append(
                {"class": name, "width": width, "seconds": rounds, "gflops": rate, "share": rate / peak}
            )
            low, high = 1e3 * min(rounds), 1e3 * max(rounds)
            print(
                f"| {name} | {1e3 * middle:.2f} ({low:.2f} - {high:.2f}) | {rate:.1f} | {rate / peak:.0%} |",
                flush=True,
            )
    print("\nkept in", keep("operators", {"peak_gflops": peak, "rows": rows}))


if __name__ == "__main__":
    main()
