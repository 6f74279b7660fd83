"""Is the rule of racing right? Every sweep point carried to its end, and the rule replayed on the curves.

    python -m benchmarks.racing [--architectures 3] [--part 0/2] [--sweep quick|published]

Trains the quick budget's settings (sound protocol, width 64) at every sweep point to the last step, whatever
they score, and looks at the same examples as a benchmark does, sixteen times. Then it replays rules on the
curves: that of `madstar.training.racing`, as benchmarks use it (judged at the rungs, solved at any
look); successive halving by accuracy at the same rungs, the better half going on; stopping at nothing but a
solved setting; and none. All but the last stop where a setting is solved.

"lost" is the test accuracy of the point chosen at the end of all trainings, less that of the point which the
rule leaves to choose, both by validation accuracy. "published" sweeps MAD's six points, at which the rule has
more to drop. Each training that has ended is a line in benchmarks/results/racing/, and is not done again;
--report trains nothing.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from madstar.protocol import (
    LayerStack,
    Plan,
    Protocol,
    SweepPoint,
    find_budget,
    find_protocol,
    level_settings,
)
from madstar.protocol.plan import chance
from madstar.protocol.protocols import SOLVED
from madstar.tasks.mechanistic import PROTOCOL_TASKS, Setting, find_task, generate
from madstar.training import DivergedError, Evaluation, ExampleTrainer, replay

from .machine import RESULTS, keep
from .proxy import add_row, is_there, read_rows

ARCHITECTURES = ("mh-attention", "mh-hyena", "mamba", "gated-deltanet")
LOOKS = 16
NEVER = 2.0
RULES = ("the rule", "halving", "solved only", "none")


@dataclass(frozen=True)
class Run:
    """One training carried to its end. Curve: (step, accuracy, standard error, loss) of each look.

    `valid` and `test` are accuracies at the end, `solved_test` that on the test split at the first look
    that solved the setting, None where none did.
    """

    architecture: str
    task: str
    setting: str
    point: str
    dim: int
    total: int
    chance: float
    curve: tuple[tuple[float, float, float, float], ...]
    valid: float
    test: float
    solved_test: float | None
    diverged: bool
    cpu_seconds: float

    def evaluations(self) -> list[Evaluation]:
        return [Evaluation(int(step), *rest) for step, *rest in self.curve]


# Training ------------------------------------------------------------------------------------


def planned(arguments: argparse.Namespace) -> list[tuple[str, Plan, Setting, SweepPoint]]:
    """Every training, tasks in turn, so that an interrupt leaves something of each."""
    protocol, budget = find_protocol("sound"), find_budget("quick")
    points = protocol.points if arguments.sweep == "published" else budget.sweep(protocol)
    settings = level_settings(arguments.tasks or PROTOCOL_TASKS, budget)
    found = []
    for mixer in ARCHITECTURES[: arguments.architectures]:
        stack = LayerStack.of((mixer, "swiglu") * 2, arguments.dim, embedding_std=protocol.embedding_std)
        plan = Plan(stack, protocol, budget, settings, 1)
        found += [(mixer, plan, setting, point) for setting in settings for point in points]
    return found


def work_off(arguments: argparse.Namespace) -> None:
    """Train this part's share of what is missing."""
    part, parts = map(int, arguments.part.split("/"))
    path = arguments.results / f"part-{part}-of-{parts}.jsonl"
    for mixer, plan, setting, point in planned(arguments)[part::parts]:
        total = min(plan.total_steps(setting), arguments.steps or plan.total_steps(setting))
        key = {"architecture": mixer, "setting": setting.key, "point": str(point), "dim": arguments.dim}
        key["total"] = total
        if is_there(read_rows(arguments.results), **key):
            continue
        run = carried_to_the_end(mixer, plan, setting, point, total)
        add_row(path, asdict(run))
        print(f"| {mixer} | {setting.task} {setting.name} | {point} | {run.test:.3f} |", flush=True)


def carried_to_the_end(mixer: str, plan: Plan, setting: Setting, point: SweepPoint, total: int) -> Run:
    """Train at a point for `total` steps, whatever it scores on the way."""
    began = time.process_time()
    assert isinstance(plan.architecture, LayerStack)
    settings = plan.training(setting, point)
    settings = settings.model_copy(update={"max_steps": total, "warmup": min(settings.warmup, total // 4)})
    backbone = find_task(setting.task).backbone
    model = plan.architecture.build(setting.task, backbone, setting.vocabulary_size, setting.length, 0)
    trainer = ExampleTrainer(model, *generate(setting, "train", 0), settings, 0)
    valid, test = (tuple(map(torch.from_numpy, generate(setting, split, 0))) for split in ("valid", "test"))
    looked, scored = plan.budget.looked, plan.budget.scored
    curve: list[tuple[float, float, float, float]] = []
    ends, solved_test, diverged = (math.nan, math.nan), None, False
    try:
        for step in looks(trainer.total_steps):
            trainer.advance_to(step)
            seen = trainer.score(valid[0][:looked], valid[1][:looked])
            curve.append((float(step), seen.micro, seen.standard_error, seen.loss))
            if solved_test is None and seen.micro >= SOLVED:
                solved_test = trainer.score(test[0][:scored], test[1][:scored]).micro
        first, second = (trainer.score(x[:scored], y[:scored]).micro for x, y in (valid, test))
        ends = first, second
    except DivergedError:
        diverged = True
    return Run(
        architecture=mixer,
        task=setting.task,
        setting=setting.key,
        point=str(point),
        dim=plan.architecture.dim,
        total=trainer.total_steps,
        chance=chance(setting),
        curve=tuple(curve),
        valid=ends[0],
        test=ends[1],
        solved_test=solved_test,
        diverged=diverged,
        cpu_seconds=round(time.process_time() - began, 2),
    )


def looks(total: int) -> list[int]:
    """Sixteen rising steps, the last of which is the end."""
    return sorted({max(1, round(total * place / LOOKS)) for place in range(1, LOOKS + 1)})


# Replaying -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a rule did with the sweep points of one setting."""

    rule: str
    task: str
    spent: int
    full: int
    lost: float
    dropped: bool
    solved: bool


def judge(rule: str, runs: Sequence[Run], shares: Sequence[float]) -> Outcome:
    """Replay a rule on one setting's sweep points; of those that diverged all rules spend what they took."""
    total = runs[0].total
    rungs = [step for step in sorted({round(total * share) for share in shares}) if step > 0]
    sound = {run.point: run for run in runs if not run.diverged}
    curves = {point: run.evaluations() for point, run in sound.items()}
    stops = stopping_steps(rule, curves, rungs, runs[0].chance)
    first = None if rule == "none" else solved_at(curves, stops)
    if first is not None:
        stops = {point: min(step, first) for point, step in stops.items()}
    wasted = sum(int(run.curve[-1][0]) if run.curve else 0 for run in runs if run.diverged)
    spent = wasted + sum(stops.values())
    full = wasted + total * len(sound)
    if not sound:
        return Outcome(rule, runs[0].task, spent, full, 0.0, False, False)
    wanted = max(sound.values(), key=lambda run: run.valid)
    if first is not None:
        winners = [run for point, run in sound.items() if solved_at({point: curves[point]}, stops) == first]
        reached = statistics.fmean(run.solved_test for run in winners if run.solved_test is not None)
    else:
        left = [run for run in sound.values() if stops[run.point] >= total]
        reached = max(left, key=lambda run: run.valid).test
    dropped = first is None and stops[wanted.point] < total
    return Outcome(rule, runs[0].task, spent, full, wanted.test - reached, dropped, first is not None)


def stopping_steps(
    rule: str, curves: Mapping[str, Sequence[Evaluation]], rungs: Sequence[int], chance: float
) -> dict[str, int]:
    """At which step each point stops, if the setting is never solved."""
    if rule == "halving":
        return halving(curves, rungs)
    if rule == "the rule":
        # A benchmark judges by what is scored at rungs; the looks between them only say what is solved.
        shown = {point: [one for one in past if one.step in rungs] for point, past in curves.items()}
        stopped = replay(shown, rungs, solved=NEVER, chance=chance).stopped
        return {point: stopped[point][0] for point in curves}
    return dict.fromkeys(curves, rungs[-1])


def halving(curves: Mapping[str, Sequence[Evaluation]], rungs: Sequence[int]) -> dict[str, int]:
    """Successive halving: of those at a rung the better half by accuracy, rounded up, goes on."""
    left, stops = list(curves), dict[str, int]()
    for rung in rungs[:-1]:
        at = {point: _accuracy_at(curves[point], rung) for point in left}
        ordered = sorted(left, key=lambda point: -at[point])
        kept = ordered[: -(-len(left) // 2)]
        stops |= {point: rung for point in left if point not in kept}
        left = kept
    return stops | dict.fromkeys(left, rungs[-1])


def solved_at(curves: Mapping[str, Sequence[Evaluation]], stops: Mapping[str, int]) -> int | None:
    """The first look at which a point that has not stopped before solves the setting."""
    steps = [
        one.step
        for point, past in curves.items()
        for one in past
        if one.accuracy >= SOLVED and one.step <= stops[point]
    ]
    return min(steps, default=None)


def _accuracy_at(past: Sequence[Evaluation], step: int) -> float:
    return max((one for one in past if one.step <= step), key=lambda one: one.step).accuracy


def outcomes(rows: Sequence[Mapping[str, Any]], shares: Sequence[float], points: int) -> list[Outcome]:
    """Every rule on every setting all of whose sweep points are there."""
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for row in rows:
        run = Run(**{**row, "curve": tuple(map(tuple, row["curve"]))})
        groups.setdefault((run.architecture, run.setting, run.total), []).append(run)
    whole = [runs for runs in groups.values() if len(runs) == points]
    return [judge(rule, runs, shares) for runs in whole for rule in RULES]


def summary(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """By rule and task, and over all tasks: shares of steps, accuracy lost, best points dropped."""
    tasks = list(dict.fromkeys(each.task for each in found))
    lines = []
    for rule in RULES:
        for task in (*tasks, "all"):
            own = [each for each in found if each.rule == rule and task in (each.task, "all")]
            if not own:
                continue
            lost = [each.lost for each in own]
            lines.append(
                {
                    "rule": rule,
                    "task": task,
                    "races": len(own),
                    "saved": 1 - sum(each.spent for each in own) / max(1, sum(each.full for each in own)),
                    "lost": statistics.fmean(lost),
                    "lost_most": max(lost),
                    "dropped": sum(each.dropped for each in own),
                    "solved": sum(each.solved for each in own),
                }
            )
    return lines


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """A table for docs/benchmarks.md."""
    rows = [
        "| rule | task | races | solved | steps saved | accuracy lost, mean | most | best point dropped |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {x['rule']} | {x['task']} | {x['races']} | {x['solved']} | {x['saved']:.0%} | {x['lost']:+.3f} | "
        f"{x['lost_most']:+.3f} | {x['dropped']} |"
        for x in lines
    ]
    return "\n".join(rows)


def sweep(name: str) -> Sequence[SweepPoint]:
    """The points of a sweep."""
    protocol: Protocol = find_protocol("sound")
    return protocol.points if name == "published" else find_budget("quick").sweep(protocol)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", type=int, default=3, help="the first so many")
    parser.add_argument("--sweep", choices=("quick", "published"), default="quick")
    parser.add_argument("--tasks", nargs="*", help="fewer tasks than MAD's six")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--steps", type=int, help="fewer steps than the quick budget's, for a trial")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--results", type=Path, default=RESULTS / "racing")
    parser.add_argument("--report", action="store_true", help="train nothing; replay what is there")
    parser.add_argument("--name", default="racing", help="of the result; empty to keep none")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    if not arguments.report:
        work_off(arguments)
    points = {str(point) for point in sweep(arguments.sweep)}
    rows = [row for row in read_rows(arguments.results) if row["point"] in points]
    rows = [row for row in rows if row["dim"] == arguments.dim]
    budget = find_budget("quick")
    lines = summary(outcomes(rows, budget.rungs, len(points)))
    seconds = sum(row["cpu_seconds"] for row in rows)
    print(f"\n{len(rows)} trainings, {seconds:.0f} CPU seconds; rungs at {budget.rungs} of the steps\n")
    print(markdown(lines))
    if arguments.name:
        kept = {"sweep": arguments.sweep, "dim": arguments.dim, "trainings": len(rows), "rules": lines}
        print("\nkept in", keep(arguments.name, {**kept, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main()
