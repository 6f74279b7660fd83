"""What the rows of `benchmarks.proxy` say: pure functions from rows to figures.

Every figure is larger where better: bits per byte are negated. Intervals are percentile bootstraps over
architectures, 95 %. Architectures of which a figure is missing are left out of what compares that figure.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from .rank_correlation import Estimate, draw_weights, tau


def lean(budget: str) -> str:
    """The name under which less of a budget is kept: the first setting of each task, one rate."""
    return f"{budget}, lean"


SCORED = (lean("quick"), "quick", lean("standard"), "standard")
BUDGETS = (*SCORED, "full")
LEAST = 4
"""Architectures from which a correlation is told."""
SURE = 2.0
"""Standard errors from which a difference counts as one."""
SHARES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Shares of the cost of all tasks at which sets of tasks are compared."""

Known = Sequence[Mapping[str, Any]]
Rows = Sequence[Mapping[str, Any]]
Figure = dict[str, float]
Vector = np.ndarray


def spearman(x: Vector, y: Vector, weights: np.ndarray) -> Estimate:
    """Spearman's rho in each bootstrap draw, ties at mean ranks; the first row of weights is the data."""
    a, b = _ranks(x, weights), _ranks(y, weights)
    count = weights.sum(1, keepdims=True)
    a, b = (ranks - (weights * ranks).sum(1, keepdims=True) / count for ranks in (a, b))
    both, first, second = ((weights * product).sum(1) for product in (a * b, a * a, b * b))
    whole = np.sqrt(first * second)
    found = np.divide(both, whole, out=np.full(len(weights), np.nan), where=whole > 1e-9)
    return Estimate(float(found[0]), found[1:])


def _ranks(values: Vector, weights: np.ndarray) -> np.ndarray:
    """Mean ranks of each value in each draw, where architecture i is there w_i times."""
    below = np.less.outer(values, values).astype(float)
    equal = np.equal.outer(values, values).astype(float)
    return weights @ below + weights @ equal / 2


# From rows to figures ------------------------------------------------------------------------


def mad_figure(rows: Rows, budget: str, tasks: Iterable[str] | None = None) -> Figure:
    """The MAD score by architecture, or the mean over some tasks, where each has a score."""
    found = {}
    for row in rows:
        if row["kind"] != "mad" or row["budget"] != budget:
            continue
        wanted = tuple(row["tasks"] if tasks is None else tasks)
        values = [row["tasks"].get(task, {}).get("score", math.nan) for task in wanted]
        if values and not any(map(math.isnan, values)):
            found[row["architecture"]] = statistics.fmean(values)
    return found


def text_runs(rows: Rows, width: int) -> dict[str, list[float]]:
    """Bits per byte over seeds by architecture, at its best rate; those that diverged are left out."""
    by_rate: dict[str, dict[float, list[float | None]]] = {}
    for row in sorted((r for r in rows if r["kind"] == "text"), key=lambda r: r["seed"]):
        if row["width"] == width:
            own = by_rate.setdefault(row["architecture"], {})
            own.setdefault(row["rate"], []).append(row["bits_per_byte"])
    found = {}
    for name, rates in by_rate.items():
        whole = [[s for s in scores if s is not None] for scores in rates.values() if None not in scores]
        if whole:
            found[name] = min(whole, key=statistics.fmean)
    return found


def text_figure(rows: Rows, width: int) -> Figure:
    """Mean bits per byte over seeds, negated."""
    return {name: -statistics.fmean(scores) for name, scores in text_runs(rows, width).items()}


def text_error(runs: Mapping[str, Sequence[float]]) -> float:
    """Standard error of an architecture's mean over seeds, one for all; nan with one seed.

    The variance is the median of the architectures' own, each over its chi-squared's median: of one whose
    training is unstable nothing is learned about the others.
    """
    several = [scores for scores in runs.values() if len(scores) > 1]
    if not several:
        return math.nan
    own = [statistics.variance(scores) * _correction(len(scores) - 1) for scores in several]
    return math.sqrt(statistics.median(own) / statistics.fmean(map(len, several)))


def _correction(freedom: int) -> float:
    """By how much the median of variances with so many degrees of freedom is below the variance."""
    return float(freedom / chi2.ppf(0.5, freedom))


def task_seconds(rows: Rows, budget: str) -> dict[str, float]:
    """CPU seconds of each task for one architecture, the mean over those scored."""
    scored = {r["architecture"] for r in rows if r["kind"] == "mad" and r["budget"] == budget}
    spent: dict[str, float] = {}
    for row in rows:
        if row["kind"] == "spent" and row["budget"] == budget and row["architecture"] in scored:
            spent[row["task"]] = spent.get(row["task"], 0.0) + row["cpu_seconds"]
    return {task: seconds / len(scored) for task, seconds in spent.items()}


def figures(rows: Rows) -> dict[str, Figure]:
    """Everything that ranks architectures: MAD at each budget, text at each width, size."""
    found = {}
    for budget in BUDGETS:
        found[budget] = mad_figure(rows, budget)
    for width in widths(rows):
        found[f"text {width}"] = text_figure(rows, width)
        found[f"parameters {width}"] = {
            row["architecture"]: float(row["parameters"])
            for row in rows
            if row["kind"] == "text" and row["width"] == width
        }
        runs = text_runs(rows, width).items()
        for seed in range(2):
            own = {name: -scores[seed] for name, scores in runs if len(scores) > 1}
            found[f"text {width}, seed {seed}"] = own
    return {name: figure for name, figure in found.items() if figure}


def widths(rows: Rows) -> list[int]:
    """The widths on text."""
    return sorted({row["width"] for row in rows if row["kind"] == "text"})


# Correlations --------------------------------------------------------------------------------


def correlation(one: Figure, other: Figure, names: Iterable[str], draws: int) -> dict[str, Any] | None:
    """Rank correlations over the architectures that both have; None for too few to tell."""
    shared = [name for name in names if name in one and name in other]
    if len(shared) < LEAST:
        return None
    x, y = (np.array([figure[name] for name in shared]) for figure in (one, other))
    weights = draw_weights(len(shared), draws, np.random.default_rng(0))
    return {
        "architectures": len(shared),
        "kendall": tau(x, y, weights).to_list(),
        "spearman": spearman(x, y, weights).to_list(),
    }


def classes(known: Known) -> dict[str, list[str]]:
    """Architectures by class: all, by order, by share of attention, by mixer, by depth."""
    found: dict[str, list[str]] = {"all": [each["name"] for each in known]}
    for each in known:
        own = (
            each["order"],
            f"{each['share']:.0%} attention",
            f"with {each['mixer']}",
            f"{len(each['layers'])} layers",
        )
        for name in own:
            found.setdefault(name, []).append(each["name"])
    return {name: members for name, members in found.items() if len(members) >= LEAST}


def correlations(known: Known, rows: Rows, draws: int) -> list[dict[str, Any]]:
    """Each budget against the next and against text, text against text, by class."""
    by_name = figures(rows)
    budgets: list[str] = [name for name in BUDGETS if name in by_name]
    texts = [f"text {width}" for width in widths(rows) if f"text {width}" in by_name]
    pairs: list[tuple[str, str]] = list(itertools.combinations(budgets, 2))
    pairs += itertools.product(budgets, texts)
    pairs += itertools.combinations(texts, 2)
    pairs += [(f"parameters {width}", f"text {width}") for width in widths(rows)]
    pairs += [(f"{text}, seed 0", f"{text}, seed 1") for text in texts]
    found = []
    for one, other in pairs:
        if one not in by_name or other not in by_name:
            continue
        for group, members in classes(known).items():
            own = correlation(by_name[one], by_name[other], members, draws)
            if own is not None:
                found.append({"one": one, "other": other, "class": group, **own})
    return found


# Which tasks earn their cost -----------------------------------------------------------------


def task_worth(known: Known, rows: Rows, draws: int) -> list[dict[str, Any]]:
    """Each task, and all together, against text: correlation, CPU seconds, spread over architectures."""
    names = [each["name"] for each in known]
    found = []
    for budget, width in itertools.product(SCORED, widths(rows)):
        seconds, text = task_seconds(rows, budget), text_figure(rows, width)
        tasks = tasks_of(rows, budget)
        for label, wanted in [*((task, (task,)) for task in tasks), ("all", tasks)]:
            figure = mad_figure(rows, budget, wanted)
            own = correlation(figure, text, names, draws)
            if own is not None and wanted:
                cost = sum(seconds.get(task, math.nan) for task in wanted)
                spread = statistics.pstdev(figure.values())
                about = {"budget": budget, "width": width, "task": label, "cpu_seconds": cost}
                found.append({**about, "spread": spread, **own})
    return found


def task_agreement(known: Known, rows: Rows, draws: int) -> list[dict[str, Any]]:
    """Each task at the quick budget against itself at a larger one."""
    names = [each["name"] for each in known]
    found = []
    larger = BUDGETS[BUDGETS.index("quick") + 1 :]
    for task, budget in itertools.product(tasks_of(rows, "quick"), larger):
        one, other = (mad_figure(rows, each, (task,)) for each in ("quick", budget))
        own = correlation(one, other, names, draws)
        if own is not None:
            found.append({"task": task, "budget": budget, **own})
    return found


def tasks_of(rows: Rows, budget: str) -> tuple[str, ...]:
    """The tasks that a budget's rows have."""
    own = (row["tasks"] for row in rows if row["kind"] == "mad" and row["budget"] == budget)
    return tuple(dict.fromkeys(task for tasks in own for task in tasks))


def task_sets(known: Known, rows: Rows, budget: str, width: int) -> list[dict[str, Any]]:
    """The set of tasks that predicts best within each share of the cost, and what choosing it is worth.

    "tau" is fitted: the best of many. "left_out" is not: each pair of architectures is ordered by the set
    chosen on all others. (With one architecture left out, the pairs would still know its rivals, which
    flatters.)
    """
    seconds, tasks = task_seconds(rows, budget), tasks_of(rows, budget)
    text = text_figure(rows, width)
    by_task = {task: mad_figure(rows, budget, (task,)) for task in tasks}
    names = [e["name"] for e in known if e["name"] in text and all(e["name"] in f for f in by_task.values())]
    if len(names) <= LEAST or any(task not in seconds for task in tasks):
        return []
    target = np.array([text[name] for name in names])
    sets = [s for size in range(1, len(tasks) + 1) for s in itertools.combinations(tasks, size)]
    values = {s: np.mean([[by_task[t][name] for name in names] for t in s], axis=0) for s in sets}
    whole = sum(seconds.values())
    found = []
    for share in SHARES:
        allowed = [s for s in sets if sum(seconds[t] for t in s) <= share * whole * (1 + 1e-9)]
        if not allowed:
            continue
        best, left_out, chosen = chosen_set(allowed, values, target)
        found.append(
            {
                "share": share,
                "tasks": list(best),
                "cpu_seconds": sum(seconds[t] for t in best),
                "tau": tau(values[best], target, np.ones((1, len(names)))).value,
                "left_out": left_out,
                "chosen": chosen,
                "architectures": len(names),
            }
        )
    return found


def chosen_set(
    sets: Sequence[tuple[str, ...]], values: Mapping[tuple[str, ...], Vector], target: Vector
) -> tuple[tuple[str, ...], float, float]:
    """The set with the highest tau, of equal ones the smaller; tau over pairs, each by the set that is
    highest without the two; and the share of pairs without which the same set is chosen.
    """
    ordered = sorted(sets, key=len)
    pairs = list(itertools.combinations(range(len(target)), 2))
    seen = np.ones((1 + len(pairs), len(target)))
    for row, pair in enumerate(pairs, start=1):
        seen[row, pair] = 0
    found = [tau(values[each], target, seen) for each in ordered]
    taus = np.array([[each.value, *each.draws] for each in found])
    places = np.round(np.nan_to_num(taus, nan=-2.0), 9).argmax(0)
    a = np.array(
        [values[ordered[k]][i] - values[ordered[k]][j] for k, (i, j) in zip(places[1:], pairs, strict=True)]
    )
    b = np.array([target[i] - target[j] for i, j in pairs])
    whole = math.sqrt(np.count_nonzero(a) * np.count_nonzero(b))
    left_out = float((np.sign(a) * np.sign(b)).sum() / whole) if whole else math.nan
    return ordered[places[0]], left_out, float((places[1:] == places[0]).mean())


# Findings ------------------------------------------------------------------------------------


def findings(known: Known, rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """Differences that the paper tells of: striped against others, and by share of attention."""
    measures = _measures(rows)
    return {
        "striped": [row for name, own in measures.items() for row in striped_differences(known, name, *own)],
        "share": [row for name, own in measures.items() for row in by_share(known, name, *own)],
    }


def _measures(rows: Rows) -> dict[str, tuple[Figure, dict[str, float]]]:
    """By name: figure and standard errors; nan for one seed, whose error is of the test examples alone."""
    found: dict[str, tuple[Figure, dict[str, float]]] = {}
    for budget in SCORED:
        own = [row for row in rows if row["kind"] == "mad" and row["budget"] == budget]
        figure = mad_figure(rows, budget)
        errors = dict.fromkeys(figure, math.nan)
        errors |= {r["architecture"]: float(r["error"]) for r in own if r.get("seeds", 1) > 1}
        if figure:
            found[f"MAD {budget}"] = figure, errors
    for width in widths(rows):
        runs = text_runs(rows, width)
        error = text_error(runs)
        found[f"text {width}"] = text_figure(rows, width), dict.fromkeys(runs, error)
    return found


def striped_differences(
    known: Known, measure: str, figure: Figure, errors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Each striped hybrid less those of its family that have one mixer of the two, or the same in order."""
    found = []
    for each in known:
        if each["order"] != "striped":
            continue
        for other in known:
            if other["family"] != each["family"] or other["order"] == "striped":
                continue
            same = other["mixer"] == each["mixer"] or other["mixer"] == "mh-attention"
            if same and each["name"] in figure and other["name"] in figure:
                against = "not striped" if other["order"] == "not striped" else "one mixer"
                found.append(
                    {"measure": measure, "striped": each["name"], "other": other["name"], "against": against}
                    | _difference(figure, errors, each["name"], other["name"])
                )
    return found


def by_share(known: Known, measure: str, figure: Figure, errors: Mapping[str, float]) -> list[dict[str, Any]]:
    """In families with a quarter of attention: each share less that quarter."""
    found = []
    for quarter in known:
        if quarter["share"] != 0.25 or quarter["name"] not in figure:
            continue
        for other in known:
            same = other["mixer"] == quarter["mixer"] or other["share"] == 1.0
            if other["family"] == quarter["family"] and same and other["name"] in figure:
                found.append(
                    {"measure": measure, "mixer": quarter["mixer"], "share": other["share"]}
                    | {"value": figure[other["name"]], "error": errors[other["name"]]}
                    | {"less_quarter": _difference(figure, errors, other["name"], quarter["name"])}
                )
    return sorted(found, key=lambda row: (row["mixer"], row["share"]))


def _difference(figure: Figure, errors: Mapping[str, float], one: str, other: str) -> dict[str, Any]:
    value = figure[one] - figure[other]
    error = math.hypot(errors[one], errors[other])
    verdict = "tie" if math.isnan(error) or abs(value) <= SURE * error else "better" if value > 0 else "worse"
    return {"value": value, "error": error, "verdict": "unknown" if math.isnan(error) else verdict}


# Everything ----------------------------------------------------------------------------------


def analyse(known: Known, rows: Rows, draws: int = 2000) -> dict[str, Any]:
    """All figures of whatever rows there are."""
    rows = latest(rows)
    scored = {(r["budget"], r["architecture"]) for r in rows if r["kind"] == "mad"}
    read = {(r["width"], r["architecture"]) for r in rows if r["kind"] == "text"}
    sets = [
        {"budget": budget, "width": width, **each}
        for budget, width in itertools.product(SCORED, widths(rows))
        for each in task_sets(known, rows, budget, width)
    ]
    return {
        "counts": {
            "architectures": len(known),
            "mad": {b: sum(one == b for one, _ in scored) for b in sorted({b for b, _ in scored})},
            "text": {str(w): sum(one == w for one, _ in read) for w in widths(rows)},
            "text_trainings": sum(r["kind"] == "text" for r in rows),
            "diverged": sum(r["kind"] == "text" and r["bits_per_byte"] is None for r in rows),
        },
        "scores": {name: figure for name, figure in figures(rows).items() if "seed" not in name},
        "correlations": correlations(known, rows, draws),
        "tasks": task_worth(known, rows, draws),
        "agreement": task_agreement(known, rows, draws),
        "sets": sets,
        **findings(known, rows),
    }


def latest(rows: Rows) -> list[Mapping[str, Any]]:
    """The last of rows that say the same thing twice, as two parts of different cuts may have done."""
    kept: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    fields = ("kind", "architecture", "budget", "dim", "width", "seed", "rate", "setting", "point", "rung")
    for row in rows:
        kept[tuple(row.get(field) for field in fields)] = row
    return list(kept.values())
