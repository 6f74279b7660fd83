"""What a promotion rule saves and what it loses, on architectures that were all carried to the end.

    python -m benchmarks.promotion benchmarks/results/table [--replays 100] [--sample 0.5]

Replays runs on a table (see `evaluated`): a random half of the architectures arrives one by one, in
random order, as in an asynchronous search; after each arrival a rule says who trains on. Objectives are
bits per byte and cache. Compared are successive halving in the order of NSGA-II at the rung (ASHA) at
several shares, the search's own rule (`madstar.search.promotion`), and carrying everyone to the end.

Every rule is replayed twice: over all arrivals of the sample, and at equal cost, the steps that ASHA with a
third takes for the sample: there a rule that trains its candidates longer sees fewer of the table, and
regret is to the best of the whole table. Where an architecture was trained with several seeds, a replay
sees one of them, and what is true is the mean over all. With one seed, seen and true are the same at
the largest budget, so that regret has no part from misjudging those who got there.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madstar.genome import Sizes
from madstar.objectives import find_objective
from madstar.search.forecast import forecast, traits
from madstar.search.noise import seed_noise
from madstar.search.promotion import promotable, prospects
from madstar.search.ranking import Costs, Standing, hypervolume, nondominated, order_at
from madstar.training import Budget, TrainingSettings

from .evaluated import Table, read_table
from .machine import keep

Histories = Mapping[int, Mapping[int, Costs]]
# (costs by candidate and rung, a rung, who has gone on from it) -> who goes on now, best first.
Rule = Callable[[Histories, int, Collection[int]], list[int]]
REFERENCE = "ASHA 1/3"
MODES = ALL, EQUAL = "all arrivals", "equal cost"
LEAST = 8  # architectures
_COUNTS = {"steps", "arrived", "to_the_end"}


@dataclass(frozen=True)
class Truth:
    """Of every candidate: (bits per byte, cache) at the largest budget, bits per byte at the smallest."""

    final: np.ndarray
    first: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """One replay. Shares are of the candidates of the whole sample.

    `steps` are training steps of all candidates, `to_the_end` how many got there, `regret` the true
    bits per byte of the best found (by what was measured) less the least in the sample. `front_kept`,
    `quarter_kept` and `late_kept` are the shares of the true front, the true best quarter in bits per
    byte, and its late risers (those not in the best third at the first rung) that were carried to the
    end; `late_kept` is nan where there is none. `hypervolume` is that of what was carried to the end, as
    a share of the whole sample's.
    """

    steps: float
    arrived: float
    to_the_end: float
    regret: float
    front_kept: float
    quarter_kept: float
    late_kept: float
    hypervolume: float


def successive_halving(share: float) -> Rule:
    """The best share of a rung in the order of NSGA-II, as it stands (ASHA, arXiv 1810.05934)."""

    def rule(histories: Histories, rung: int, gone_on: Collection[int]) -> list[int]:
        cohort = order_at([Standing(i, costs) for i, costs in histories.items() if rung in costs], rung)
        places = math.floor(len(cohort) * share + 1e-9)
        return [standing.index for standing in cohort[:places] if standing.index not in gone_on]

    return rule


def of_the_search(table: Table, share: float, seed: int = 0) -> Rule:
    """The rule of `madstar.search.promotion`, candidates numbered as in the table."""
    objectives = [find_objective(name) for name in ("quality", "cache")]
    budgets = [Budget(steps) for steps in table.steps]
    noise = seed_noise(objectives, budgets, TrainingSettings().tokens_per_step, {}, {})
    known = {index: traits(row.genome) for index, row in enumerate(table.rows)}

    def rule(histories: Histories, rung: int, gone_on: Collection[int]) -> list[int]:
        found = {one.index: one for one in prospects(forecast(histories, known, rung, noise, {}), seed)}
        cohort = [Standing(index, histories[index]) for index in found]
        standing = [found[one.index] for one in order_at(cohort, rung)]
        return promotable(standing, share, gone_on)

    return rule


def everyone(histories: Histories, rung: int, gone_on: Collection[int]) -> list[int]:
    """All go on."""
    return [index for index, costs in histories.items() if rung in costs and index not in gone_on]


def step_costs(steps: Sequence[int], decay_fraction: float) -> list[int]:
    """Training steps from each rung to the next: what the trunk still lacks, and the decay."""
    lower = [0, *(round((1 - decay_fraction) * done) for done in steps[:-1])]
    return [upper - done for upper, done in zip(steps, lower, strict=True)]


def replay(
    order: Sequence[int],
    seen: Sequence[Sequence[Costs]],
    rule: Rule,
    step_cost: Sequence[int],
    budget: float = math.inf,
) -> tuple[dict[int, dict[int, Costs]], int]:
    """Costs by candidate and rung as a run would have seen them, and the training steps they took.

    Candidates arrive in order; after each result the rule is asked, the higher rung first, and its first
    choice trains on, one at a time as with a single worker. A candidate arrives only while the budget has
    steps for all its rungs, as in a search with a deadline.
    """
    histories: dict[int, dict[int, Costs]] = {}
    spent, top = 0, len(step_cost) - 1
    gone_on: list[set[int]] = [set() for _ in range(top)]
    for arrived in order:
        if spent + sum(step_cost) > budget:
            break
        histories[arrived] = {0: seen[arrived][0]}
        spent += step_cost[0]
        changed = {0}
        while changed:
            rung = max(changed)
            chosen = rule(histories, rung, gone_on[rung]) if rung < top else []
            if not chosen or spent + step_cost[rung + 1] > budget:
                changed.discard(rung)
                continue
            gone_on[rung].add(chosen[0])
            histories[chosen[0]][rung + 1] = seen[chosen[0]][rung + 1]
            spent += step_cost[rung + 1]
            # A higher rung's results tell a rule about the lower ones too.
            changed |= set(range(rung + 2))
    return histories, spent


def judge(histories: Histories, spent: float, members: Sequence[int], truth: Truth, top: int) -> Outcome:
    """Compare what a replay found with what there was to be found among members."""
    ended = np.array([top in histories.get(index, {}) for index in members])
    highest = max(rung for costs in histories.values() for rung in costs)
    # The best is chosen by what the run measured, as a user would.
    best = min((costs[highest][0], index) for index, costs in histories.items() if highest in costs)[1]
    final, first = truth.final[list(members)], truth.first[list(members)]
    quality = final[:, 0]
    quarter = _best_share(quality, 1 / 4)
    late = quarter & ~_best_share(first, 1 / 3)
    corner = final.max(axis=0) + 0.01 * np.maximum(np.ptp(final, axis=0), 1e-9)
    return Outcome(
        steps=float(spent),
        arrived=float(len(histories)),
        to_the_end=float(ended.sum()),
        regret=float(truth.final[best, 0] - quality.min()),
        front_kept=_share(ended, nondominated(final)),
        quarter_kept=_share(ended, quarter),
        late_kept=_share(ended, late),
        hypervolume=hypervolume(final[ended], corner) / hypervolume(final, corner),
    )


def _best_share(values: np.ndarray, share: float) -> np.ndarray:
    """True for the least values, at least one of them."""
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(values, kind="stable")[: max(1, round(share * len(values)))]] = True
    return chosen


def _share(kept: np.ndarray, of: np.ndarray) -> float:
    return float(kept[of].mean()) if of.any() else math.nan


def replay_all(
    table: Table, rules: Mapping[str, Rule], *, replays: int, sample: float, seed: int
) -> dict[str, dict[str, list[Outcome]]]:
    """Outcomes by mode ("all arrivals", "equal cost"), rule and replay; REFERENCE must be a rule.

    Replay k has the same order and the same seeds for all rules. At equal cost the rest of the table
    arrives after the sample, and the whole table is what there was to be found.
    """
    cache = np.array([row.cache for row in table.rows])
    final = np.column_stack([[row.mean[-1] for row in table.rows], cache])
    truth = Truth(final, np.array([row.mean[0] for row in table.rows]))
    step_cost = step_costs(table.steps, TrainingSettings().decay_fraction)
    everybody, top = range(len(table.rows)), len(table.steps) - 1
    outcomes: dict[str, dict[str, list[Outcome]]] = {mode: {name: [] for name in rules} for mode in MODES}
    for number in range(replays):
        rng = np.random.default_rng([seed, number])
        order = [int(index) for index in rng.permutation(len(table.rows))]
        members = sorted(order[: max(2, round(sample * len(order)))])
        seen = [_one_seed(row.scores, cache[index], rng) for index, row in enumerate(table.rows)]
        arrivals = order[: len(members)]
        budget = replay(arrivals, seen, rules[REFERENCE], step_cost)[1]
        for name, rule in rules.items():
            found, spent = replay(arrivals, seen, rule, step_cost)
            outcomes[ALL][name].append(judge(found, spent, members, truth, top))
            found, spent = replay(order, seen, rule, step_cost, budget)
            outcomes[EQUAL][name].append(judge(found, spent, everybody, truth, top))
    return outcomes


def _one_seed(scores: np.ndarray, cache: float, rng: np.random.Generator) -> list[Costs]:
    """The costs at each rung of one of the trainings."""
    return [(float(score), float(cache)) for score in scores[int(rng.integers(len(scores)))]]


def summarise(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """Mean, and the range of the middle 95 % of replays, of each figure; nan where no replay has it."""
    found = {}
    for name in asdict(outcomes[0]):
        values = np.array([getattr(outcome, name) for outcome in outcomes])
        known = values[~np.isnan(values)]
        middle = [known.mean(), *np.quantile(known, [0.025, 0.975])] if len(known) else [math.nan] * 3
        found[name] = [float(value) for value in middle]
    return found


def differences(outcomes: Sequence[Outcome], reference: Sequence[Outcome]) -> dict[str, list[float]]:
    """As `summarise`, of each figure less the reference's in the same replay."""
    pairs = zip(outcomes, reference, strict=True)
    return summarise(
        [Outcome(**{k: v - getattr(there, k) for k, v in asdict(here).items()}) for here, there in pairs]
    )


def markdown(table: Table, outcomes: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> str:
    """The result as tables for docs/benchmarks.md."""
    rungs = "/".join(map(str, table.steps))
    lines = [f"{len(table.rows)} architectures, rungs {rungs}; mean over replays [middle 95 %]."]
    for mode, by_rule in outcomes.items():
        columns = (
            "steps | arrived | to the end | regret | front kept | best quarter kept | late risers kept | "
        )
        lines += ["", f"### {mode}", "", f"| rule | {columns}hypervolume | regret minus {REFERENCE}'s |"]
        lines.append("|---" * 10 + "|")
        for name, found in by_rule.items():
            figures = [
                _shown(triple, ".0f" if key in _COUNTS else ".3f" if key == "regret" else ".2f")
                for key, triple in summarise(found).items()
            ]
            regret = differences(found, by_rule[REFERENCE])["regret"]
            lines.append(f"| {name} | {' | '.join(figures)} | {_shown(regret, '+.3f')} |")
    return "\n".join(lines)


def _shown(triple: Sequence[float], form: str) -> str:
    middle, low, high = (format(value, form) for value in triple)
    return f"{middle} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", default=Path("benchmarks/results/table"))
    parser.add_argument("--replays", type=int, default=100)
    parser.add_argument("--sample", type=float, default=0.5, help="share of the table that arrives")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="promotion")
    arguments = parser.parse_args()
    table = read_table(arguments.table, Sizes())
    if len(table.steps) < 2 or len(table.rows) < LEAST:
        raise SystemExit(
            f"{len(table.rows)} architectures with {len(table.steps)} rungs in {arguments.table}: "
            f"give at least {LEAST} with 2"
        )
    rules: dict[str, Rule] = {"everyone": everyone}
    for words, share in (("1/4", 1 / 4), ("1/3", 1 / 3), ("1/2", 1 / 2)):
        rules[f"ASHA {words}"] = successive_halving(share)
        rules[f"of the search {words}"] = of_the_search(table, share)
    started = time.perf_counter()
    outcomes = replay_all(
        table, rules, replays=arguments.replays, sample=arguments.sample, seed=arguments.seed
    )
    print(markdown(table, outcomes))
    result: dict[str, Any] = {
        "table": str(arguments.table),
        "architectures": len(table.rows),
        "steps": table.steps,
        "replays": arguments.replays,
        "sample": arguments.sample,
        "seconds": time.perf_counter() - started,
    }
    for mode, by_rule in outcomes.items():
        result[mode] = {
            name: {
                "figures": summarise(found),
                f"minus {REFERENCE}": differences(found, by_rule[REFERENCE]),
            }
            for name, found in by_rule.items()
        }
    print("\nkept in", keep(arguments.name, result))


if __name__ == "__main__":
    main()
