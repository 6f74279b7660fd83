"""How the embedding's scale and the residual branches' scale change who looks good at short budgets.

    python -m benchmarks.initialisation [--steps 100] [--seeds 2]

The four baselines and four other architectures at width 64, length 256, batch 8, on the default text;
validation bits per byte, mean and spread over seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from scipy.stats import kendalltau

from madstar.genome import Genome, Sizes, baselines
from madstar.tasks import prepare_text
from madstar.training import Budget, Trainer, TrainingSettings, evaluate

from .machine import keep

# (standard deviation of token embeddings, factor on the residual branches' output)
SETTINGS = ((0.02, 1.0), (0.125, 1.0), (0.5, 1.0), (1.0, 1.0), (0.5, 0.35))
DEFAULT = (0.5, 1.0)
OTHERS = {
    "conv + SwiGLU": "71111-91111-71111-91111-71111-91111-71111-91111",
    "differential conv, attention last": "16.1.1.1.1-71111-16.1.1.1.1-91111-16.1.1.1.1-71111-11111-91111",
    "attention with short convolutions": "21111-91111-21111-91111-21111-91111-21111-91111",
    "recurrences": "-".join(["51111"] * 8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    genomes = {**baselines(8), **{name: Genome.parse(text) for name, text in OTHERS.items()}}
    training = TrainingSettings()
    rows, means = [], {}
    with tempfile.TemporaryDirectory() as directory:
        task = prepare_text(directory=Path(directory) / "text")
        for std, scale in SETTINGS:
            for name, genome in genomes.items():
                scores = []
                for seed in range(arguments.seeds):
                    model = genome.build(Sizes(embedding_std=std, residual_scale=scale), seed)
                    trained = Trainer(model, task, training, seed).train_to(Budget(arguments.steps))
                    scores.append(evaluate(trained.model, task, "valid", batch=16).bits_per_byte)
                means[std, scale, name] = statistics.fmean(scores)
                rows.append({"embedding_std": std, "residual_scale": scale, "model": name, "scores": scores})
                print(f"| {std} | {scale} | {name} | {', '.join(f'{s:.3f}' for s in scores)} |", flush=True)
    print("\nKendall tau of the ranking to the ranking at the default (0.5, 1.0):")
    taus = []
    for std, scale in SETTINGS:
        ranks = [[means[s, r, name] for name in genomes] for s, r in ((std, scale), DEFAULT)]
        tau = kendalltau(*ranks).statistic
        taus.append({"embedding_std": std, "residual_scale": scale, "tau": tau})
        mean = statistics.fmean(ranks[0])
        print(f"| {std} | {scale} | mean {mean:.3f} | tau {tau:.2f} |")
    print("kept in", keep("initialisation", {"steps": arguments.steps, "rows": rows, "tau_to_default": taus}))


if __name__ == "__main__":
    main()
