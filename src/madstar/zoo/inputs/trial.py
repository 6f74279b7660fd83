"""One run of a model without weights, to see whether inputs fit and what they reach."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from madstar.errors import in_one_line
from madstar.graph.restoring import restored
from madstar.zoo.inputs.facts import Inputs, has_weights
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


def attempt(
    module: nn.Module, inputs: Inputs, method: str = "forward", *, alternating: bool = False
) -> Trial:
    """Run a module, or another of its methods, on the meta device or with the weights that it has.

    Args:
        module: A model without weights.
        inputs: Arguments by name; tensors on the CPU keep their values.
        method: Such as "get_image_features".
        alternating: How to answer comparisons of unknown numbers (`KnownValues`).
    """
    if has_weights(module):
        known: KnownValues | Touched = Touched(module)
        given: Any = inputs
    else:
        known = KnownValues(module, alternating=alternating)
        given = known.known(inputs)
    called = module if method == "forward" else getattr(module, method)
    output, error = None, ""
    try:
        with torch.no_grad(), warnings.catch_warnings(), restored(module), known:
            warnings.simplefilter("ignore")
            output = called(**given)
    except Exception as problem:
        error = in_one_line(problem)
    guesses = len(known.guesses) if isinstance(known, KnownValues) else 0
    return Trial(frozenset(known.touched), known.total, output, error, guesses)


class Touched(TorchDispatchMode):
    """Notes which parameters of a model with weights an operation takes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = {id(parameter): name for name, parameter in module.named_parameters()}
        self.total = len(self._names)
        self.touched: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            name = self._names.get(id(leaf))
            if name is not None:
                self.touched.add(name)
        return func(*args, **(kwargs or {}))
