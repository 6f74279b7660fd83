"""Who of many would add most to the front: models of what training tells, and expected hypervolume
improvement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from ...genome import Genome
from ...search.ranking import Costs
from ...search.strategies.acquisition import expected_improvements, reference_point
from ...search.strategies.choice import Surroundings
from ..predictor.process import Scales
from .knowledge import Known
from .model import Model, Result, learn_scales

# Scales are learned anew when the run has so many results, and at no other moment.
_FIRST, _GROWTH = 10, 1.5
StaticCosts = Sequence[float | None]


class Forecasts:
    """A model of each objective that only training tells, from results of this run and of other archives.

    What it gives is a function of the results alone: scales come from as many of the first results as the
    last milestone had, as these results stand now. They are kept between calls only to save time.
    """

    def __init__(self, around: Surroundings, known: Sequence[Known]) -> None:
        self.around = around
        self.top = around.top_rung
        self._prior: list[list[Result]] = []
        self._figures: list[int] = []
        for objective in around.objectives:
            own = [each for each in known if each.objective == objective]
            others = sorted({each.figure for each in own if isinstance(each.figure, str)})
            number = {name: self.top + 1 + place for place, name in enumerate(others)}
            self._figures.append(self.top + 1 + len(others))
            self._prior.append(
                [
                    Result(e.genome, number[e.figure] if isinstance(e.figure, str) else e.figure, e.cost)
                    for e in own
                ]
            )
        self._scales: dict[int, tuple[tuple[Result, ...], Scales]] = {}

    def models(
        self, results: Sequence[tuple[Genome, int, Costs]], failed: Sequence[Genome], objectives: int
    ) -> list[_Objective | None]:
        """A model of each objective; None where there is nothing to learn from.

        Genomes whose training failed count as bad as the worst result at the first rung.
        """
        return [self._model(objective, results, failed) for objective in range(objectives)]

    def _model(
        self, objective: int, results: Sequence[tuple[Genome, int, Costs]], failed: Sequence[Genome]
    ) -> _Objective | None:
        prior = self._prior[objective] if objective < len(self._prior) else []
        figures = self._figures[objective] if objective < len(self._figures) else self.top + 1
        own = [Result(genome, rung, costs[objective]) for genome, rung, costs in results]
        lowest = [result.cost for result in own if result.figure == 0]
        bad = [Result(genome, 0, max(lowest)) for genome in failed] if lowest else []
        if not prior and not own:
            return None
        learned = [*prior, *own[: _milestone(len(own))]]
        scales = self._learned(objective, learned, figures) if len(learned) >= _FIRST else None
        return _Objective(Model([*prior, *own, *bad], figures, scales), self.top)

    def _learned(self, objective: int, results: list[Result], figures: int) -> Scales:
        key = tuple(results)
        kept = self._scales.get(objective)
        if kept is None or kept[0] != key:
            kept = key, learn_scales(results, figures)
            self._scales[objective] = kept
        return kept[1]


class _Objective:
    """The model of one objective at the top rung."""

    def __init__(self, model: Model, top: int) -> None:
        self.model, self.top = model, top

    def predict(self, genomes: Sequence[Genome]) -> tuple[np.ndarray, np.ndarray]:
        return self.model.predict(genomes, self.top)


class Judge:
    """Ranks genomes by what they are expected to add to the front that `known` ones make.

    `known` are genomes measured or under way, with their static costs; those under way are taken at their
    word, lest the next proposal is another of their kind.
    """

    def __init__(
        self,
        models: Sequence[_Objective | None],
        *,
        known: Sequence[tuple[Genome, StaticCosts]],
        objectives: int,
        draws: int,
        rng: np.random.Generator,
    ) -> None:
        self.models, self.objectives = models, objectives
        # Quantiles of the normal distribution, in another order for each objective.
        quantiles = norm.ppf((np.arange(draws) + 0.5) / draws)
        self._deviates = np.stack([rng.permutation(quantiles) for _ in range(objectives)], axis=1)
        self.front = self.expected([genome for genome, _ in known], [costs for _, costs in known])
        self._means = np.empty((0, objectives))
        self._expected = np.empty(0)
        self._reference: np.ndarray | None = reference_point(self.front) if len(self.front) > 1 else None

    def expected(
        self, genomes: Sequence[Genome], costs: Sequence[StaticCosts]
    ) -> Float[np.ndarray, "genomes objectives"]:
        """Expected costs at the top rung."""
        return self._forecast(genomes, costs)[0]

    def add(self, genomes: Sequence[Genome], costs: Sequence[StaticCosts]) -> list[int]:
        """Take genomes into the pool; the numbers of all in it, best first.

        By expected improvement, then by mean cost over the range of what is known.
        """
        if genomes:
            mean, deviation = self._forecast(genomes, costs)
            if self._reference is None:
                self._reference = reference_point(np.vstack([self.front, mean]))
            draws = mean[None] + deviation[None] * self._deviates[:, None]
            gains = expected_improvements(draws, self.front, self._reference)
            self._means = np.vstack([self._means, mean])
            self._expected = np.concatenate([self._expected, gains])
        everyone = np.vstack([self.front, self._means])
        spread = np.ptp(everyone, axis=0) if len(everyone) else np.ones(self.objectives)
        plain = (self._means / np.where(spread > 0, spread, 1.0)).sum(axis=1)
        return [int(i) for i in np.lexsort((plain, -self._expected))]

    def _forecast(
        self, genomes: Sequence[Genome], costs: Sequence[StaticCosts]
    ) -> tuple[np.ndarray, np.ndarray]:
        mean = np.zeros((len(genomes), self.objectives))
        deviation = np.zeros_like(mean)
        if not genomes:
            return mean, deviation
        for objective in range(self.objectives):
            static = [each[objective] if objective < len(each) else None for each in costs]
            if all(cost is not None for cost in static):
                mean[:, objective] = [float(cost or 0.0) for cost in static]
                continue
            model = self.models[objective]
            if model is not None:
                mean[:, objective], deviation[:, objective] = model.predict(genomes)
        return mean, deviation


def _milestone(count: int) -> int:
    """The largest of 10, 15, 22, 33... that is no more than the count; 0 below the first."""
    at, last = _FIRST, 0
    while at <= count:
        last, at = at, int(at * _GROWTH)
    return last
