"""A Gaussian process over graphs and figures: several tasks and budgets at once.

The covariance of figure t of graph x and figure u of graph y is

    k((x, t), (y, u)) = B[t, u] * sum over groups g of a_g^2 exp(-d_g(x, y)^2 / (2 l_g^2)),

with d_g^2 the mean squared difference of the group's columns, and a linear kernel for the sizes. B = v v' +
diag(d) is learned (intrinsic coregionalisation, Bonilla et al. 2008): a figure with few measurements leans on
those that go with it. Each figure has noise of its own. Scales are the maximum of the marginal likelihood
with weak priors (Rasmussen and Williams 2006, section 5.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_JITTER = 1e-6
_STEPS = 50
_RATE = 0.12
LINEAR = "size"
"""The group that also has a linear kernel."""


@dataclass(frozen=True)
class Observations:
    """Standardised figures: the graph (a row of the matrices), the figure's number, the value."""

    rows: Int[np.ndarray, " observations"]
    figures: Int[np.ndarray, " observations"]
    values: Float[np.ndarray, " observations"]


@dataclass(frozen=True)
class Scales:
    """What is learned of the covariance, as logarithms but for `loading` (v)."""

    amplitude: Float[Tensor, " groups"]
    length: Float[Tensor, " groups"]
    linear: Float[Tensor, ""]
    loading: Float[Tensor, " figures"]
    own: Float[Tensor, " figures"]
    noise: Float[Tensor, " figures"]

    def parts(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the fields."""
        return (self.amplitude, self.length, self.linear, self.loading, self.own, self.noise)


Matrices = Mapping[str, Float[np.ndarray, "graphs columns"]]


def first_scales(groups: int, figures: int) -> Scales:
    """Where the search for scales begins: all groups alike, figures that go together, a little noise."""
    zeros = torch.zeros(groups, dtype=torch.float64)
    return Scales(
        zeros - 1.0,
        zeros + 0.3,
        torch.tensor(-1.0, dtype=torch.float64),
        torch.ones(figures, dtype=torch.float64),
        torch.full((figures,), -1.5, dtype=torch.float64),
        torch.full((figures,), -1.0, dtype=torch.float64),
    )


class Process:
    """The process given its observations, with fixed scales."""

    def __init__(self, matrices: Matrices, observed: Observations, scales: Scales) -> None:
        self.matrices, self.observed, self.scales = matrices, observed, scales
        with torch.no_grad():
            covariance = _covariance(_distances(matrices, matrices), observed, observed, scales)
            covariance += torch.diag(_noise(observed, scales))
            self._factor = torch.linalg.cholesky(covariance)
            values = torch.from_numpy(observed.values)[:, None]
            self._weights = torch.cholesky_solve(values, self._factor)[:, 0]

    def predict(
        self, matrices: Matrices, figure: int
    ) -> tuple[Float[np.ndarray, " graphs"], Float[np.ndarray, " graphs"]]:
        """Mean and standard deviation (without the noise of a measurement) of a figure of other graphs."""
        count = len(next(iter(matrices.values())))
        asked = Observations(np.arange(count), np.full(count, figure), np.zeros(count))
        with torch.no_grad():
            across = _covariance(_distances(matrices, self.matrices), asked, self.observed, self.scales)
            mean = across @ self._weights
            solved = torch.linalg.solve_triangular(self._factor, across.T, upper=False)
            variance = _prior(matrices, figure, self.scales) - (solved**2).sum(dim=0)
        return mean.numpy(), variance.clamp(min=1e-12).sqrt().numpy()

    def noise(self, figure: int) -> float:
        """The standard deviation of a measurement of the figure."""
        return float(self.scales.noise[figure].exp())

    def similarity(self, matrices: Matrices) -> Float[np.ndarray, "graphs known"]:
        """The correlation that the covariance sees between other graphs and the known ones."""
        with torch.no_grad():
            across = _kernel(_distances(matrices, self.matrices), self.scales)
            own = _kernel(_own_distances(matrices), self.scales)[:, 0]
            known = _kernel(_own_distances(self.matrices), self.scales)[:, 0]
            found: np.ndarray = (across / (own[:, None] * known[None]).sqrt()).numpy()
        return found


def fit_scales(
    matrices: Matrices, observed: Observations, figures: int, steps: int = _STEPS, start: Scales | None = None
) -> Scales:
    """The scales that make the observations most likely, under weak priors; deterministic."""
    first = start or first_scales(len(matrices), figures)
    parts = [part.clone().requires_grad_(True) for part in first.parts()]
    distances = _distances(matrices, matrices)
    values = torch.from_numpy(observed.values)[:, None]
    optimiser = torch.optim.Adam(parts, lr=_RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        scales = Scales(*parts)
        covariance = _covariance(distances, observed, observed, scales)
        covariance = covariance + torch.diag(_noise(observed, scales))
        factor = torch.linalg.cholesky(covariance)
        fitted = 0.5 * (values * torch.cholesky_solve(values, factor)).sum()
        loss = fitted + factor.diagonal().log().sum() + _prior_loss(scales, first)
        loss.backward()
        optimiser.step()
    return Scales(*(part.detach() for part in parts))


def _prior_loss(scales: Scales, first: Scales) -> Tensor:
    """Log-normal priors around the beginning, two thirds within a factor of e; of v, normal."""
    deviations = zip(scales.parts(), first.parts(), strict=True)
    return sum((0.5 * ((a - b) ** 2).sum() for a, b in deviations), torch.zeros((), dtype=torch.float64))


def _distances(a: Matrices, b: Matrices) -> dict[str, Float[Tensor, "left right"]]:
    """Mean squared differences by group; for the linear kernel, mean products under "linear"."""
    found = {}
    for group in a:
        left, right = torch.from_numpy(a[group]), torch.from_numpy(b[group])
        found[group] = (
            torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") ** 2 / left.shape[1]
        )
        if group == LINEAR:
            found["linear"] = left @ right.T / left.shape[1]
    return found


def _own_distances(a: Matrices) -> dict[str, Float[Tensor, "graphs 1"]]:
    """Each graph beside itself."""
    found = {}
    for group, matrix in a.items():
        found[group] = torch.zeros(len(matrix), 1, dtype=torch.float64)
        if group == LINEAR:
            found["linear"] = torch.from_numpy((matrix**2).mean(axis=1, keepdims=True))
    return found


def _kernel(distances: Mapping[str, Tensor], scales: Scales) -> Tensor:
    groups = [group for group in distances if group != "linear"]
    total = torch.zeros(())
    for number, group in enumerate(groups):
        decay = torch.exp(-0.5 * distances[group] * torch.exp(-2 * scales.length[number]))
        total = total + torch.exp(2 * scales.amplitude[number]) * decay
    if "linear" in distances:
        total = total + torch.exp(2 * scales.linear) * distances["linear"]
    return total


def _between(scales: Scales) -> Float[Tensor, "figures figures"]:
    return scales.loading[:, None] * scales.loading[None] + torch.diag(torch.exp(2 * scales.own))


def _covariance(
    distances: Mapping[str, Tensor], left: Observations, right: Observations, scales: Scales
) -> Float[Tensor, "left right"]:
    graphs = _kernel(distances, scales)[left.rows][:, right.rows]
    return graphs * _between(scales)[left.figures][:, right.figures]


def _prior(matrices: Matrices, figure: int, scales: Scales) -> Float[Tensor, " graphs"]:
    return _kernel(_own_distances(matrices), scales)[:, 0] * _between(scales)[figure, figure]


def _noise(observed: Observations, scales: Scales) -> Float[Tensor, " observations"]:
    return torch.exp(2 * scales.noise)[observed.figures] + _JITTER
