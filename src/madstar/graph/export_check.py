# ruff: noqa: E501
"""torch.export as a second witness: the same ATen operations and the same products, or what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from madstar.errors import GraphError
from madstar.graph.examples import Examples
from madstar.graph.recording import Recording
from madstar.graph.trace import record

# Operations that one side has and the other does not need: aliases, and asserts that only export writes.
_NO_MATTER = frozenset(
    "aten.detach.default aten.alias.default aten.lift_fresh_copy.default aten.lift_fresh.default "  # noqa: SIM905
    "aten._assert_tensor_metadata.default aten._assert_scalar.default aten.sym_size.int "
    "aten.sym_constrain_range_for_size.default".split()
)
_PRODUCTS = ("aten.mm.default", "aten.bmm.default", "aten.addmm.default", "aten.convolution.default")


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """How a recording and torch.export agree: counts of operations, shapes of what products give.

    `agreement` is the share of operations that both have, of those that either has (1.0: the same multiset).
    `only_recorded` and `only_exported` are what is left over, with counts. `error` is the message of an
    export that failed; then nothing was compared.
    """

    agreement: float
    products_agree: bool
    only_recorded: tuple[tuple[str, int], ...] = ()
    only_exported: tuple[tuple[str, int], ...] = ()
    error: str = ""


def check_against_export(module: nn.Module, example_inputs: Any) -> ExportCheck:
    """Trace a module and export it (strict=False) at the same sizes, and compare. Inputs as those of `trace`."""
    examples = Examples(module, example_inputs, ("batch", "length"))
    args, kwargs = examples.at(examples.base())
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        mine, my_products = _recorded(record(module, (args, kwargs), type(module).__name__))
        try:
            with torch.no_grad():
                program = torch.export.export(module, args, kwargs, strict=False).run_decompositions()
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            return ExportCheck(0.0, False, error=f"{type(error).__name__}: {said}")
    except GraphError as error:
        return ExportCheck(0.0, False, error=str(error))
    finally:
        for part in training:
            part.training = True
    theirs, their_products = _exported(program)
    both = sum((mine & theirs).values())
    either = sum((mine | theirs).values())
    return ExportCheck(
        both / either if either else 1.0,
        my_products == their_products,
        tuple(sorted((mine - theirs).items())),
        tuple(sorted((theirs - mine).items())),
    )


# One thing under several names, as export's decompositions have it.
_ONE_NAME = {
    "aten.t.default": "aten.permute.default",
    "aten.transpose.int": "aten.permute.default",
    "aten._unsafe_view.default": "aten.view.default",
}


def _recorded(recording: Recording) -> tuple[Counter[str], Counter[tuple[int, ...]]]:
    steps = [step for found in recording.records for step in found.body]
    return (
        Counter(_ONE_NAME.get(step.op, step.op) for step in steps if step.op not in _NO_MATTER),
        Counter(step.shapes[0] for step in steps if step.op in _PRODUCTS),
    )


def _exported(program: Any) -> tuple[Counter[str], Counter[tuple[int, ...]]]:
    operations: Counter[str] = Counter()
    products: Counter[tuple[int, ...]] = Counter()
    for node in program.graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        name = str(node.target)
        if name not in _NO_MATTER:
            operations[_ONE_NAME.get(name, name)] += 1
        if name in _PRODUCTS:
            products[tuple(int(size) for size in node.meta["val"].shape)] += 1
    return operations, products
