"""One run of a model without weights, to see whether inputs fit and what they reach."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from madstar.zoo.inputs.facts import Inputs
from madstar.zoo.values import KnownValues


@dataclass(frozen=True)
class Trial:
    """Which parameter tensors a run reached, of how many; what came out, or the error."""

    touched: frozenset[str]
    total: int
    output: Any = None
    error: str = ""
    guesses: int = 0

    @property
    def share(self) -> float:
        """Share of parameter tensors reached, 0 to 1; 1 of none."""
        return len(self.touched) / self.total if self.total else 1.0


def attempt(module: nn.Module, inputs: Inputs, method: str = "forward") -> Trial:
    """Run a module, or another of its methods, on the meta device.

    Args:
        module: A model without weights.
        inputs: Arguments by name; tensors on the CPU keep their values.
        method: Such as "get_image_features".
    """
    known = KnownValues(module)
    given = known.known(inputs)
    called = module if method == "forward" else getattr(module, method)
    output, error = None, ""
    try:
        with torch.no_grad(), warnings.catch_warnings(), known:
            warnings.simplefilter("ignore")
            output = called(**given)
    except Exception as problem:
        error = f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]
    return Trial(frozenset(known.touched), known.total, output, error, len(known.guesses))
