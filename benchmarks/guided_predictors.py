"""How well models of measured genomes rank others: part of `benchmarks.guided`.

"genes" is the model of a guided search. "traced" is the same process over what the graphs of the layers
hold, each distinct operator traced once (as `madstar.learning.predictor` describes graphs). "ridge" is the
surrogate of the strategy screened, "forest" a random forest over the genes' counts, fitted to what is left
of costs once the levels of rungs are taken out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, expm1, log1p
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import numpy as np

from madstar.genome import Genome, LIVGenes, OperatorGenes, SearchSpace
from madstar.learning.corpus.measured import read_archives
from madstar.learning.corpus.tracing import genome_graph
from madstar.learning.guided import model as guided_model
from madstar.learning.guided.description import describe as describe_genes
from madstar.learning.guided.model import Model, Result, learn_scales, levels
from madstar.learning.predictor import describe as describe_graph
from madstar.learning.predictor.description import THIRDS
from madstar.search.strategies.features import CHANGING, features
from madstar.search.strategies.surrogate import Results, default_noise, fit

from .machine import keep

SIZES = (25, 50, 100, 200)
# Fewer genomes left over than this rank too poorly to be asked.
_LEAST = 20
Groups = dict[str, dict[str, float]]


def predictors(homes: Sequence[Path], draws: int) -> None:
    """A table for each archive: at one rung, and, of several, at the last from all."""
    rows: list[dict[str, Any]] = []
    for home in homes:
        data = measured(home)
        rungs = sorted({rung for _, by_rung in data for rung in by_rung})
        for case in [[rungs[0]], rungs] if len(rungs) > 1 else [rungs]:
            rows += compare(f"{home.name}, {'-'.join(map(str, case))} steps", data, case, draws)
    print("kept in", keep("guided_predictors", {"table": rows}))


def measured(home: Path) -> list[tuple[Genome, dict[int, float]]]:
    """Genomes and their quality by steps, from a copy: the archive may be at work."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / home.name
        copytree(home, copy, ignore=ignore_patterns("data", "checkpoints", "*.safetensors"))
        return [
            (Genome.parse(c.facts["genome"]), {int(f.budget.split()[0]): f.value for f in c.figures})
            for c in read_archives([copy])
        ]


def compare(
    name: str, data: list[tuple[Genome, dict[int, float]]], rungs: list[int], draws: int
) -> list[dict[str, Any]]:
    """Tau at the last rung, of genomes left out, by model and number of genomes fitted to."""
    traced = Traced()
    models: dict[str, Callable[..., np.ndarray]] = {
        "genes": process,
        "traced": lambda *a: process(*a, describe=traced),
        "ridge": ridge,
        "forest": forest,
    }
    data = [(genome, by) for genome, by in data if rungs[0] in by]
    for genome, _ in data:
        traced(genome)
    found: list[dict[str, Any]] = []
    for size in SIZES:
        taus: dict[str, list[float]] = {kind: [] for kind in models}
        seconds: dict[str, list[float]] = {kind: [] for kind in models}
        for draw in range(draws):
            order = np.random.default_rng([size, draw]).permutation(len(data)).tolist()
            train = [data[i] for i in sorted(order[:size])]
            test = [data[i] for i in order[size:] if rungs[-1] in data[i][1]]
            if len(test) < _LEAST:
                continue
            truth = [by[rungs[-1]] for _, by in test]
            for kind, predict in models.items():
                began = time.process_time()
                told = predict(train, [genome for genome, _ in test], rungs)
                seconds[kind].append(time.process_time() - began)
                taus[kind].append(tau(told, truth))
        for kind in models:
            if len(taus[kind]) > 1:
                row = {"case": name, "fitted to": size, "model": kind, "draws": len(taus[kind])}
                row |= {"tau": round(statistics.fmean(taus[kind]), 3)}
                row |= {"sd": round(statistics.stdev(taus[kind]), 3)}
                row |= {"seconds": round(statistics.fmean(seconds[kind]), 2)}
                found.append(row)
                print("| " + " | ".join(map(str, row.values())) + " |", flush=True)
    return found


def tau(told: np.ndarray, truth: list[float]) -> float:
    """Kendall's tau."""
    from scipy.stats import kendalltau

    return float(kendalltau(told, truth).statistic)


Train = list[tuple[Genome, dict[int, float]]]


def process(
    train: Train, asked: list[Genome], rungs: list[int], describe: Callable[[Genome], Any] = describe_genes
) -> np.ndarray:
    """The Gaussian process of a guided search, over genes or over another description."""
    kept = guided_model.describe, guided_model.GROUPS
    guided_model.describe = describe  # type: ignore[assignment]
    guided_model.GROUPS = tuple(describe(train[0][0]))  # type: ignore[assignment]
    try:
        results = [Result(g, rungs.index(r), by[r]) for g, by in train for r in rungs if r in by]
        return Model(results, len(rungs), learn_scales(results, len(rungs))).predict(asked, len(rungs) - 1)[0]
    finally:
        guided_model.describe, guided_model.GROUPS = kept


def ridge(train: Train, asked: list[Genome], rungs: list[int]) -> np.ndarray:
    """The surrogate of the strategy screened."""
    costs = [{rungs.index(r): by[r] for r in rungs if r in by} for _, by in train]
    fitted = fit(
        np.stack([features(genome) for genome, _ in train]),
        Results.of(costs),
        noise=default_noise(len(rungs)) if len(rungs) > 1 else (0.05,),
        changing=CHANGING,
        draws=2,
        rng=np.random.default_rng(0),
    )
    return fitted.predict(np.stack([features(genome) for genome in asked]))


def forest(train: Train, asked: list[Genome], rungs: list[int]) -> np.ndarray:
    """A random forest over counts of genes; its target is what a genome is worth beside the rungs' levels."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.feature_extraction import DictVectorizer

    triples = [(n, rungs.index(r), by[r]) for n, (_, by) in enumerate(train) for r in rungs if r in by]
    rows, of, costs = (np.array(column) for column in zip(*triples, strict=True))
    left = costs - levels(rows, of, costs.astype(float), len(rungs))[of]
    worth = np.bincount(rows, left) / np.bincount(rows)
    flat = [{f"{g} {k}": v for g, e in describe_genes(x).items() for k, v in e.items()} for x, _ in train]
    table = DictVectorizer(sparse=False)
    fitted = RandomForestRegressor(200, random_state=0, n_jobs=1).fit(table.fit_transform(flat), worth)
    flat = [{f"{g} {k}": v for g, e in describe_genes(x).items() for k, v in e.items()} for x in asked]
    told: np.ndarray = fitted.predict(table.transform(flat))
    return told


class Traced:
    """What a genome's graph holds, as the sum of what its layers add; each operator is traced once."""

    def __init__(self) -> None:
        self.sizes = SearchSpace().sizes
        self._parts: dict[OperatorGenes, tuple[Groups, str]] = {}
        self._described: dict[Genome, Groups] = {}

    def __call__(self, genome: Genome) -> Groups:
        if genome not in self._described:
            self._described[genome] = self._describe(genome)
        return self._described[genome]

    def _describe(self, genome: Genome) -> Groups:
        parts = [self._part(liv.operator) for liv in genome.livs]
        found: dict[str, Counter[str]] = {
            group: Counter() for group in ("size", "operations", "pairs", "places", "blocks", "sequence")
        }
        for layer, (counts, form) in enumerate(parts):
            third = THIRDS[layer * 3 // len(parts)]
            for group in ("size", "operations", "pairs"):
                found[group].update(counts[group])  # type: ignore[arg-type]
            for op, count in counts["operations"].items():
                found["places"][f"{op} {third}"] += count  # type: ignore[assignment]
            found["blocks"].update((form, f"{form} {third}"))
        found["sequence"].update(f"{a[1]} {b[1]}" for a, b in pairwise(parts))
        return {group: {k: log1p(max(0.0, v)) for k, v in each.items()} for group, each in found.items()}

    def _part(self, operator: OperatorGenes) -> tuple[Groups, str]:
        """The difference that a second layer of the same kind makes, and the form of the layer."""
        if operator not in self._parts:
            alone = LIVGenes(operator)
            one, two = (
                describe_graph(genome_graph(str(Genome((alone,) * n)), self.sizes)).groups for n in (1, 2)
            )
            groups: Groups = {
                group: {k: expm1(v) - expm1(one[group].get(k, 0.0)) for k, v in two[group].items()}
                for group in ("operations", "pairs")
            }
            groups["size"] = {k: exp(v) - exp(one["size"].get(k, 0.0)) for k, v in two["size"].items()}
            form = " ".join(sorted(name for name in one["blocks"] if not name.endswith(THIRDS)))
            self._parts[operator] = groups, form
        return self._parts[operator]
