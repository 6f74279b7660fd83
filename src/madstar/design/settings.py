"""What a design run does: what stands in its row, and what a resumed run goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import ConfigurationError
from ..genome import SearchSpace, Sizes
from ..tasks import BUILT_IN, HomeText
from ..training import TrainingSettings

Kind = Literal["graph", "genome"]


class DesignSettings(BaseModel):
    """Everything that decides what the loop does within its limits.

    Each of `rounds` rounds proposes `candidates` architectures and trains each for `steps`. A share `free`
    of them is proposed without a model's help, so that the model's worth is measured in every round; a share
    `graphs` are blocks made by the generator, in MAD's language model with `pairs` of mixer and SwiGLU; the
    others are genomes of twice as many layers. With `retrain` False the models of the first round
    stay. `patience` is how many rounds without a gain end the run; 0 for none. `shares` of a round's time go
    into fitting the generator and into proposing. `approve` waits for a person between rounds. `generator` is
    a fitted one, `dataset` one of `madstar learn dataset` whose blocks are learned beside the built-in ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = "python-reference"
    rounds: int = Field(5, ge=1, le=10_000)
    candidates: int = Field(12, ge=2, le=1000)
    steps: int = Field(100, ge=1)
    free: float = Field(0.25, ge=0, le=1)
    graphs: float = Field(0.5, ge=0, le=1)
    retrain: bool = True
    patience: int = Field(3, ge=0)
    fitting: float = Field(0.15, gt=0, lt=0.5)
    proposing: float = Field(0.2, gt=0, lt=0.5)
    pairs: int = Field(2, ge=1, le=32)
    width: int = Field(64, ge=4, le=8192)
    heads: int = Field(4, ge=1)
    most_items: int = Field(56, ge=4, le=100)
    pool: int = Field(6, ge=1, le=1000)
    sources: int = Field(24, ge=2, le=5000)
    seed: int = Field(0, ge=0, lt=2**31)
    approve: bool = False
    generator: str | None = None
    dataset: str | None = None
    training: TrainingSettings = TrainingSettings()

    @field_validator("data", "generator", "dataset")
    @classmethod
    def _whole_path(cls, path: str | None) -> str | None:
        """Paths are kept whole, so that a run can be resumed from any folder."""
        if path is None or path in BUILT_IN or not Path(path).exists():
            return path
        return str(Path(path).resolve())

    @model_validator(mode="after")
    def _consistent(self) -> DesignSettings:
        if self.generator is not None and self.dataset is not None:
            raise ConfigurationError("a generator and a dataset to fit one to: give one of them")
        for what, given in (("generator", self.generator), ("dataset", self.dataset)):
            if given is not None and not Path(given).is_dir():
                raise ConfigurationError(f"there is no folder {given}: give that of a {what}")
        if self.width % self.heads:
            raise ConfigurationError(f"width {self.width} is not divided by {self.heads} heads: change one")
        _ = self.space(256)
        return self

    def sizes(self, vocabulary_size: int) -> Sizes:
        """The sizes at which genomes are built."""
        return Sizes(vocabulary_size=vocabulary_size, width=self.width, heads=self.heads)

    def space(self, vocabulary_size: int) -> SearchSpace:
        """The genomes that may be proposed: as many layers as the graphs' models have, or down to half."""
        depth = 2 * self.pairs
        return SearchSpace(sizes=self.sizes(vocabulary_size), min_depth=max(2, depth // 2), max_depth=depth)

    @property
    def text(self) -> HomeText:
        """What is read, prepared once for searches with the same text and this."""
        return HomeText(self.data, None, self.training.length, self.seed, "text")

    @property
    def budget(self) -> str:
        """A candidate's training in words, equal where budgets are."""
        return f"{self.steps} steps, {self.steps * self.training.tokens_per_step} tokens"


def make_settings(**values: Any) -> DesignSettings:
    """Settings from plain values; a wrong one is a ConfigurationError of one line."""
    try:
        return DesignSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{where}: {said} (given: {first['input']!r:.80})") from None
