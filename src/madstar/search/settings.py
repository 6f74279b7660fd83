"""The settings of a search: what stands in a run's row, and what a resumed run goes on with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..errors import ConfigurationError
from ..genome import OPERATORS, SearchSpace, Sizes
from ..genome.genes import LEVELS
from ..genome.variation import VariationRates
from ..objectives import (
    Constraint,
    Objective,
    absolute_constraint,
    find_objective,
    parse_constraint,
)
from ..plugins import absolute
from ..tasks import BUILT_IN, HomeText
from ..training import Budget, TrainingSettings


class SearchSettings(BaseModel):
    """Everything that decides what a search does.

    It ends after `minutes`, after `candidates` trained, after `generations`, or after so many training
    `steps` of candidates in all, whichever is set and comes first. `rungs` are rising budgets; the most
    promising `promote` share of each goes on to the next. `reevaluate` is the share of the budget in which
    finalists are trained again with other seeds. `strategy` is a name of `strategies.choice` or your own as
    `file.py:Class`; `knowledge` are homes of archives that it may learn from before it begins, `unguided`
    is the share of proposals in which a strategy guided by a model does without. `seeds` says whether the
    first proposals are known good motifs ("motifs") or not ("none"). Mode "async" keeps every worker busy;
    "generational" waits for whole generations, is reproducible, and is for strategy "nsga2" alone.
    `time_limit` (seconds) and `memory_limit` (bytes beyond an idle worker) are for one evaluation. Raises
    ConfigurationError or ObjectiveError for what cannot be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = "python-reference"
    tokenizer: str | None = None
    field: str = "text"
    objectives: tuple[str, ...] = ("quality", "cache")
    constraints: tuple[str, ...] = ()

    min_depth: int = 8
    max_depth: int = 8
    width: int = 64
    heads: int = 4
    window: int = 64
    tied: bool = False
    embedding_std: float = Field(0.5, gt=0)
    residual_scale: float = Field(0.1, gt=0)
    classes: tuple[int, ...] = tuple(OPERATORS)
    levels: tuple[str, ...] = LEVELS
    groups: int = 4
    sharing: float = Field(0.25, ge=0, le=1)
    invalid: Literal["repair", "reject"] = "repair"

    training: TrainingSettings = TrainingSettings()
    rungs: tuple[str, ...] = ("50", "100", "200", "400")
    promote: float = Field(1 / 2, gt=0, le=1)
    reevaluate: float = Field(0.15, ge=0, lt=1)

    strategy: str = "screened"
    knowledge: tuple[str, ...] = ()
    unguided: float = Field(0.2, ge=0, le=1)
    seeds: Literal["none", "motifs"] = "none"
    mode: Literal["async", "generational"] = "async"
    population: int = Field(16, ge=2)
    elitism: int = Field(2, ge=0)
    crossover: float = Field(0.9, ge=0, le=1)
    mutation: float = Field(0.1, ge=0, le=1)
    below: float = Field(0.05, ge=0, le=1)
    cuts: Literal["liv", "gene"] = "liv"

    minutes: float | None = None
    candidates: int | None = Field(None, ge=1)
    generations: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    workers: int = Field(2, ge=1)
    seed: int = Field(0, ge=0)
    baselines: bool = True
    time_limit: float = Field(600.0, gt=0)
    memory_limit: int = Field(4 * 10**9, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _strategy_of_generations(cls, values: Any) -> Any:
        """Generations are NSGA-II's: asked for without a strategy, they mean that one."""
        if isinstance(values, dict) and values.get("mode") == "generational":
            return {"strategy": "nsga2", **values}
        return values

    @field_validator("data", "tokenizer")
    @classmethod
    def _whole_path(cls, path: str | None) -> str | None:
        """Paths are kept whole, so that a run can be resumed from any folder."""
        if path is None or path in BUILT_IN or not Path(path).exists():
            return path
        return str(Path(path).resolve())

    @field_validator("strategy")
    @classmethod
    def _whole_reference(cls, name: str) -> str:
        return absolute(name)

    @field_validator("knowledge")
    @classmethod
    def _whole_homes(cls, homes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(Path(home).resolve()) for home in homes)

    @field_validator("objectives")
    @classmethod
    def _whole_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(absolute(name) for name in names)

    @field_validator("constraints")
    @classmethod
    def _whole_constraints(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(absolute_constraint(text) for text in texts)

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: tuple[str, ...]) -> tuple[str, ...]:
        budgets = [Budget.parse(rung) for rung in rungs]
        if not budgets:
            raise ConfigurationError("no rungs: give at least one budget, such as 200")
        if len({budget.unit for budget in budgets}) > 1:
            raise ConfigurationError(
                f"rungs {', '.join(rungs)} mix units: give all in steps, tokens or seconds"
            )
        amounts = [budget.amount for budget in budgets]
        if sorted(set(amounts)) != amounts:
            raise ConfigurationError(
                f"rungs {', '.join(rungs)} do not rise: give each budget larger than the last"
            )
        return tuple(str(budget) for budget in budgets)

    @model_validator(mode="after")
    def _consistent(self) -> SearchSettings:
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ConfigurationError(f"{self.minutes:g} minutes is no time to search: give more than 0")
        ends = (self.minutes, self.candidates, self.generations, self.steps)
        if all(end is None for end in ends):
            raise ConfigurationError(
                "a search without an end: give minutes, steps, candidates or generations"
            )
        if self.steps is not None:
            self._check_steps()
        if self.generations is not None and self.mode != "generational":
            raise ConfigurationError(
                "generations are counted in generational mode only: add mode generational"
            )
        if self.mode == "generational" and self.strategy != "nsga2":
            raise ConfigurationError(
                "generational mode is nsga2's; random search is repeatable with candidates"
            )
        if self.elitism > self.population:
            raise ConfigurationError(
                f"elitism {self.elitism} is more than the population of {self.population}"
            )
        if not self.objectives:
            raise ConfigurationError("no objectives: give at least one, such as quality")
        names = [objective.name for objective in self.parsed_objectives]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"objectives {', '.join(names)} name one twice: give each once")
        _ = self.parsed_constraints, self.space(256)
        return self

    def _check_steps(self) -> None:
        """Steps can be counted, and are enough for one candidate to climb all rungs."""
        top = self.budgets[-1].steps(self.training.tokens_per_step)
        if top is None:
            raise ConfigurationError(
                f"steps {self.steps} with rungs in seconds ({', '.join(self.rungs)}): give rungs in steps"
            )
        least = math.ceil(2 * top / (1 - self.reevaluate))
        if self.steps is not None and self.steps < least:
            raise ConfigurationError(
                f"steps {self.steps} are too few for rungs up to {top}: give at least {least}"
            )

    @property
    def text(self) -> HomeText:
        """What is read, prepared once for a home."""
        return HomeText(self.data, self.tokenizer, self.training.length, self.seed, self.field)

    @property
    def parsed_objectives(self) -> tuple[Objective, ...]:
        """The objectives themselves, in order."""
        return tuple(find_objective(name) for name in self.objectives)

    @property
    def parsed_constraints(self) -> tuple[Constraint, ...]:
        """The constraints themselves."""
        return tuple(parse_constraint(text) for text in self.constraints)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The rungs' budgets, rising."""
        return tuple(Budget.parse(rung) for rung in self.rungs)

    @property
    def rates(self) -> VariationRates:
        """How offspring are made."""
        return VariationRates(self.crossover, self.mutation, self.below, cuts=self.cuts)

    def sizes(self, vocabulary_size: int) -> Sizes:
        """The sizes candidates are built at."""
        return Sizes(
            vocabulary_size=vocabulary_size,
            width=self.width,
            heads=self.heads,
            window=self.window,
            tied=self.tied,
            embedding_std=self.embedding_std,
            residual_scale=self.residual_scale,
        )

    def space(self, vocabulary_size: int) -> SearchSpace:
        """The search space."""
        return SearchSpace(
            sizes=self.sizes(vocabulary_size),
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            classes=self.classes,
            levels=self.levels,
            groups=self.groups,
            sharing=self.sharing,
            invalid=self.invalid,
        )
