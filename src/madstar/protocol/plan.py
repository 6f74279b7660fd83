"""What a benchmark trains: an architecture, a protocol, a budget and settings, as a value with an identity.

Benchmarks of one identity are one run of the archive: asked for again, with more seeds or more tasks, it
goes on from what is there, and nothing is trained twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import ConfigurationError
from ..tasks.mechanistic import TASKS, Setting, find_task, task_settings
from ..training import ExampleSettings, rungs_of
from .architecture import Architecture, from_dict, short_label
from .budgets import EPOCHS, EVERY, BenchmarkBudget
from .protocols import SOLVED, Protocol, SweepPoint, find_protocol


@dataclass(frozen=True)
class Plan:
    """A benchmark before it has begun.

    `data` maps a setting's key to its directory in mad-lab's layout; empty where examples are generated.
    `own_settings` says that they are the user's and not those that the budget's level names.
    """

    architecture: Architecture
    protocol: Protocol
    budget: BenchmarkBudget
    settings: tuple[Setting, ...]
    seeds: int
    data: tuple[tuple[str, str], ...] = ()
    own_settings: bool = False

    def __post_init__(self) -> None:
        if not self.settings:
            raise ConfigurationError("no settings to train on: name at least one task")
        if self.seeds < 1:
            raise ConfigurationError(f"{self.seeds} seeds: give at least 1")

    @property
    def points(self) -> tuple[SweepPoint, ...]:
        """The sweep."""
        return self.budget.sweep(self.protocol)

    def total_steps(self, setting: Setting) -> int:
        """Steps of one whole training on a setting."""
        return self.training(setting, self.points[0]).total_steps(setting.train_examples)

    def rungs(self, setting: Setting) -> tuple[int, ...]:
        """The steps at which sweep points are compared; the last is the end."""
        return rungs_of(self.total_steps(setting), self.budget.rungs)

    def training(self, setting: Setting, point: SweepPoint) -> ExampleSettings:
        """How a model is trained on a setting at a point."""
        budget, protocol = self.budget, self.protocol
        epochs = EPOCHS if budget.steps is None else None
        whole = ExampleSettings(batch=budget.batch, max_steps=budget.steps, epochs=epochs)
        total = whole.total_steps(setting.train_examples)
        return ExampleSettings(
            batch=budget.batch,
            epochs=None,
            max_steps=total,
            learning_rate=point.learning_rate,
            weight_decay=point.weight_decay,
            schedule=protocol.schedule,
            warmup=min(budget.warmup, total // 4),
            clip=protocol.clip,
            stop_at=SOLVED,
            accuracy=protocol.metric,
            evaluate_every=max(1, total // budget.evaluations),
            evaluate_unit="steps",
        )

    @property
    def identity(self) -> str:
        """A hash of all that scores depend on, but for how many seeds and which tasks of a level are wanted.

        What the level's settings are belongs to it: a run never mixes those of two versions.
        """
        settings = self.settings if self.own_settings else level_settings(TASKS, self.budget)
        facts: list[Any] = [
            self.architecture.key,
            self.protocol.name,
            asdict(replace(self.budget, seeds=None)),
            list(map(str, self.points)),
            self.data,
            sorted(setting.key for setting in settings),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def run_name(self) -> str:
        """The name of its run."""
        label = short_label(self.architecture)
        return f"mad-{self.protocol.name}-{self.budget.name}-{label}-{self.identity[:6]}"

    def config(self) -> dict[str, Any]:
        """What the run's row says of it; `from_config` reads it back."""
        return {
            "identity": self.identity,
            "architecture": self.architecture.to_dict(),
            "label": self.architecture.label,
            "protocol": self.protocol.name,
            "budget": asdict(self.budget),
            "settings": [setting.to_dict() for setting in self.settings],
            "own_settings": self.own_settings,
            "seeds": self.seeds,
            "data": [list(pair) for pair in self.data],
        }

    def extended(self, earlier: Mapping[str, Any]) -> Plan:
        """This plan with the settings and seeds that the same run had before."""
        known = {setting.key: setting for setting in map(Setting.from_dict, earlier["settings"])}
        known |= {setting.key: setting for setting in self.settings}
        return replace(self, settings=tuple(known.values()), seeds=max(self.seeds, int(earlier["seeds"])))


def from_config(config: Mapping[str, Any]) -> Plan:
    """The plan that `Plan.config` wrote."""
    budget = dict(config["budget"])
    points = budget.pop("points")
    rungs = tuple(budget.pop("rungs"))
    return Plan(
        architecture=from_dict(config["architecture"]),
        protocol=find_protocol(config["protocol"]),
        budget=BenchmarkBudget(
            **budget, rungs=rungs, points=None if points is None else tuple(SweepPoint(**p) for p in points)
        ),
        settings=tuple(Setting.from_dict(each) for each in config["settings"]),
        seeds=int(config["seeds"]),
        data=tuple((key, place) for key, place in config["data"]),
        own_settings=bool(config["own_settings"]),
    )


def level_settings(tasks: Iterable[str], budget: BenchmarkBudget) -> tuple[Setting, ...]:
    """The settings that a budget uses of some tasks. Raises TaskError for an unknown task."""
    level = None if budget.level == EVERY else budget.level
    return tuple(setting for task in tasks for setting in task_settings(task, level))


def chance(setting: Setting) -> float:
    """The accuracy of guessing."""
    return find_task(setting.task).chance(setting)
