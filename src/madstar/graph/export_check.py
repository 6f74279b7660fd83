"""torch.export as a second witness: the same ATen operations and the same products, or what differs.

Export has a machinery of its own: it makes a program of the module, and that program is run here beneath a
counter of ATen operations. So both sides are compared on the same level, that of the dispatcher: composite
functions opened, nothing decomposed further.

What is set right before they are compared: aliases (`detach`, `alias`, the `lift_fresh` of a constant), which
compute nothing; asserts, which only export writes. Attention is compared by query, key and value.

What may still differ is what the model computes otherwise when it is exported. The attention of transformers
leaves a mask away where it is merely causal (and asks the positions whether it is), but not under export: a
program has some 50 operations more, those that make masks, and repeats the heads of keys where they are
fewer, which without a mask attention does itself. Experts multiply there by a function of their own
(`grouped_mm_fallback`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from madstar.errors import GraphError, in_one_line
from madstar.graph.examples import Examples
from madstar.graph.recording import Recording
from madstar.graph.trace import record

_NO_MATTER = frozenset(
    (
        "aten.detach",
        "aten.detach_",
        "aten.alias",
        "aten.lift_fresh",
        "aten.lift_fresh_copy",
        "aten._assert_async",
        "aten._assert_scalar",
        "aten._assert_tensor_metadata",
        "aten.sym_size",
        "aten.sym_constrain_range_for_size",
    )
)
_PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "convolution", "_grouped_mm", "mv", "dot")

Product = tuple[str, tuple[tuple[int, ...], ...]]
"""An operation that multiplies, with the shapes of its first result and of its factors."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """How a recording and torch.export agree: counts of operations, products with all their shapes.

    `agreement` is the share of operations that both have, of those that either has (1.0: the same multiset).
    `products_agree` says whether matrix products, convolutions and attention are the same, shape by shape.
    `only_recorded` and `only_exported` are what is left over, with counts. `error` is the message of an
    export that failed; then nothing was compared.
    """

    agreement: float
    products_agree: bool
    only_recorded: tuple[tuple[str, int], ...] = ()
    only_exported: tuple[tuple[str, int], ...] = ()
    error: str = ""


def check_against_export(module: nn.Module, example_inputs: Any) -> ExportCheck:
    """Record a module and export it (strict=False) at the same sizes, and compare. Inputs as for `trace`."""
    examples = Examples(module, example_inputs, ("batch", "length"))
    args, kwargs = examples.at(examples.base())
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        mine, my_products = _recorded(record(module, (args, kwargs), type(module).__name__))
        theirs, their_products = _exported(module, args, kwargs)
    except GraphError as error:
        return ExportCheck(0.0, False, error=str(error))
    finally:
        for part in training:
            part.training = True
    both = sum((mine & theirs).values())
    either = sum((mine | theirs).values())
    return ExportCheck(
        both / either if either else 1.0,
        my_products == their_products,
        tuple(sorted((mine - theirs).items())),
        tuple(sorted((theirs - mine).items())),
    )


class _Tally:
    """Counts operations and products; `add` takes an operation's name, what it gives and what it takes."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.products: Counter[Product] = Counter()

    def add(self, name: str, given: tuple[int, ...], taken: Callable[[], list[tuple[int, ...]]]) -> None:
        base = name.rpartition(".")[0]
        if base in _NO_MATTER:
            return
        self.operations[name] += 1
        bare = base.removeprefix("aten.")
        if bare in _PRODUCTS:
            self.products[name, (given, *taken())] += 1
        elif "scaled_dot_product" in bare:
            self.products[name, (given, *taken()[:3])] += 1


def _recorded(recording: Recording) -> tuple[Counter[str], Counter[Product]]:
    tally = _Tally()
    for found in recording.records:
        shapes: dict[str, tuple[int, ...]] = {
            f"${slot}": recording.values[value].shape for slot, value in found.arguments
        }
        for number, step in enumerate(found.body):
            tally.add(
                step.op,
                step.shapes[0] if step.shapes else (),
                lambda step=step, shapes=shapes: [shapes.get(a, ()) for a in step.arguments],  # type: ignore[misc]
            )
            shapes[f"%{number}"] = step.shapes[0] if step.shapes else ()
            shapes |= {f"%{number}.{k}": shape for k, shape in enumerate(step.shapes)}
    return tally.operations, tally.products


class _Counting(TorchDispatchMode):
    def __init__(self, tally: _Tally) -> None:
        super().__init__()
        self.tally = tally

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        given = tuple(first.shape) if isinstance(first, Tensor) else ()
        taken = [tuple(part.shape) for part in (*args, *(kwargs or {}).values()) if isinstance(part, Tensor)]
        self.tally.add(str(func), given, lambda: taken)
        return result


def _exported(module: nn.Module, args: Any, kwargs: Any) -> tuple[Counter[str], Counter[Product]]:
    tally = _Tally()
    try:
        with torch.no_grad():
            program = torch.export.export(module, args, kwargs, strict=False).module()
            with _Counting(tally):
                program(*args, **kwargs)
    except Exception as error:
        raise GraphError(f"torch.export fails: {in_one_line(error, 220)}") from error
    return tally.operations, tally.products
