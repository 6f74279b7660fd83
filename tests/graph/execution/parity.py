"""What a built module has to agree in with the module whose graph it was built from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from madstar.graph.execution import BuiltModule, build
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Graph, Node
from madstar.graph.structures import leaves
from madstar.graph.trace import trace

SIZES = ({"batch": 2, "length": 16}, {"batch": 3, "length": 9})


def called(module: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """A module's outputs by name."""
    result = module(**inputs) if isinstance(inputs, Mapping) else module(*inputs)
    return {path or "output": tensor for path, tensor in leaves(result)}


def agree(mine: nn.Module, theirs: nn.Module, inputs: Any, tolerance: float = 1e-5) -> None:
    """Outputs and gradients are equal."""
    torch.manual_seed(3)
    a = called(mine, inputs)
    torch.manual_seed(3)
    b = called(theirs, inputs)
    assert list(a) == list(b)
    for name in b:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance)
    expected, found = gradients(theirs, b), gradients(mine, a)
    assert set(found) == set(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4, msg=name)


def gradients(module: nn.Module, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the outputs, each multiplied by fixed numbers."""
    module.zero_grad(set_to_none=True)
    source = torch.Generator().manual_seed(5)
    total = sum(
        (t.float() * torch.randn(t.shape, generator=source)).sum()
        for t in outputs.values()
        if t.requires_grad
    )
    if isinstance(total, Tensor):
        total.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def plain(graph: Graph) -> Graph:
    """The graph without the note that a value was written in place, which a built module does not do."""

    def noted(item: Any) -> Any:
        if not isinstance(item, Node):
            return item
        return replace(item, attributes=tuple(a for a in item.attributes if a[0] != "in_place"))

    definitions = {
        name: replace(d, items=tuple(noted(item) for item in d.items))
        for name, d in graph.definitions.items()
    }
    return replace(graph, definitions=definitions)


def check(
    module: nn.Module,
    make: Callable[..., Any],
    sizes: Any = SIZES,
    again: bool = True,
    tolerance: float = 1e-5,
    **options: Any,
) -> tuple[Graph, BuiltModule]:
    """Trace, build, compare at several sizes; the built module is traced to the same graph."""
    module = module.eval()
    graph = trace(module, make, **options)
    built = build(graph, module)
    assert set(built.state_dict()) == set(module.state_dict())
    assert {n for n, _ in built.named_parameters()} == {n for n, _ in module.named_parameters()}
    for at in sizes:
        agree(built, module, make(**at), tolerance)
    if again:
        assert structural_hash(plain(trace(built, make, **options))) == structural_hash(plain(graph))
    return graph, built
