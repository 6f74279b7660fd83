"""What a graph costs: parameters, FLOPs, activations, cache; for the whole and for each block.

Costs are expressions of the graph's symbols; `at` gives them as numbers. A weight that several blocks share,
or that is tied, counts once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from .dims import add, evaluate, less, multiply, product
from .flops import node_flops
from .model import Call, Definition, Dim, Graph, Node, Shape
from .soundness import ordered_definitions, unfolded_sizes
from .unfolding import is_sequence, unfold
from .walk import parameters, producers, representatives
from .wiring import given

# What gives another view of the same memory, and so holds no activation of its own.
_VIEWS = """
    view reshape transpose permute squeeze unsqueeze expand expand_as flatten unflatten select narrow getitem
    unbind chunk split t mT movedim swapaxes view_as detach contiguous identity to dropout
"""
VIEWS = frozenset(_VIEWS.split())
# What repeats or rearranges keys and values on their way to attention: the cache holds what came before.
_REARRANGING = VIEWS | {"repeat", "repeat_interleave", "clone", "pad"}


@dataclass(frozen=True)
class Cost:
    """What a block costs each time it is computed, with all that is in it.

    `parameters` and `buffers` are numbers of elements; `flops` as torch.utils.flop_counter counts them;
    `activation_bytes` are all results that are no views; `cache_bytes` the keys and values of attention, of
    as many heads as are kept; `nodes` are those written in the folded graph, each block once, and
    `unfolded` those that are computed.
    """

    parameters: int
    buffers: int
    parameter_bytes: int
    flops: Dim
    activation_bytes: Dim
    cache_bytes: Dim
    nodes: int
    unfolded: int
    operations: Mapping[str, int]

    def at(self, bindings: Mapping[str, int]) -> dict[str, int]:
        """FLOPs and bytes with numbers for the symbols. Raises GraphError where one is missing."""
        return {
            "flops": evaluate(self.flops, bindings),
            "activation_bytes": evaluate(self.activation_bytes, bindings),
            "cache_bytes": evaluate(self.cache_bytes, bindings),
        }


def statistics(graph: Graph) -> Cost:
    """What the whole costs. Raises GraphError for a graph whose blocks contain themselves."""
    costs = block_costs(graph)
    same = representatives(graph)
    unique = {same.get(path, path): parameter for path, parameter in parameters(graph).items()}
    trained = [p for p in unique.values() if p.trained]
    whole = costs[graph.root]
    cache = whole.cache_bytes
    if any(_is_followed(definition) for definition in graph.definitions.values()):
        cache = block_costs(unfolded := unfold(graph))[unfolded.root].cache_bytes
    return Cost(
        parameters=sum(prod(p.shape) for p in trained),
        buffers=sum(prod(p.shape) for p in unique.values() if not p.trained),
        parameter_bytes=sum(prod(p.shape) * bytes_of(p.dtype) for p in unique.values()),
        flops=whole.flops,
        activation_bytes=whole.activation_bytes,
        cache_bytes=cache,
        nodes=whole.nodes,
        unfolded=whole.unfolded,
        operations=whole.operations,
    )


def _is_followed(definition: Definition) -> bool:
    """Whether a group made by folding holds attention itself, whose keys may come from outside of it."""
    return is_sequence(definition) and any(
        isinstance(item, Node) and item.op == "scaled_dot_product_attention" for item in definition.items
    )


def block_costs(graph: Graph) -> dict[str, Cost]:
    """What each definition costs, by name. Weights tied across blocks count in each of them."""
    sizes = unfolded_sizes(graph)
    costs: dict[str, Cost] = {}
    within: dict[str, frozenset[str]] = {}
    for name in ordered_definitions(graph):
        definition = graph.definitions[name]
        calls = [item for item in definition.items if isinstance(item, Call)]
        within[name] = frozenset({name}).union(*(within[call.definition] for call in calls))
        written = sum(
            sum(isinstance(item, Node) for item in graph.definitions[inner].items) for inner in within[name]
        )
        costs[name] = _cost(definition, calls, costs, written, sizes[name])
    return costs


def _cost(
    definition: Definition, calls: list[Call], costs: dict[str, Cost], nodes: int, unfolded: int
) -> Cost:
    own = definition.parameters
    # A module called several times has its weights once.
    modules = {(call.definition, path) for call in calls for path in call.paths}
    inner = [costs[name] for name, _ in modules]
    totals: dict[str, Dim] = dict.fromkeys(("flops", "activation_bytes", "cache_bytes"), 0)
    operations: Counter[str] = Counter()
    for call in calls:
        for key in totals:
            totals[key] = add(totals[key], multiply(call.count, getattr(costs[call.definition], key)))
        for op, count in costs[call.definition].operations.items():
            operations[op] += call.count * count
    shapes = shapes_of(definition)
    made = producers(definition)
    for node in definition.items:
        if isinstance(node, Node):
            operations[node.op] += 1
            filled = {argument.slot: shapes[argument.source] for argument in node.arguments}
            totals["flops"] = add(totals["flops"], node_flops(node, filled))
            totals["cache_bytes"] = add(totals["cache_bytes"], _cache(node, definition, made))
            if node.op not in VIEWS:
                for value in node.outputs:
                    size = product(bytes_of(value.dtype), *value.shape)
                    totals["activation_bytes"] = add(totals["activation_bytes"], size)
    return Cost(
        parameters=sum(prod(p.shape) for p in own if p.trained) + sum(cost.parameters for cost in inner),
        buffers=sum(prod(p.shape) for p in own if not p.trained) + sum(cost.buffers for cost in inner),
        parameter_bytes=sum(prod(p.shape) * bytes_of(p.dtype) for p in own)
        + sum(cost.parameter_bytes for cost in inner),
        nodes=nodes,
        unfolded=unfolded,
        operations=dict(operations.most_common()),
        **totals,
    )


def shapes_of(definition: Definition) -> dict[str, Shape]:
    """The shape of everything that can be referred to within a block."""
    shapes: dict[str, Shape] = {f"@{p.path}": p.shape for p in definition.parameters}
    shapes |= {f"%{value.name}": value.shape for value in definition.inputs}
    shapes |= {f"%{value.name}": value.shape for item in definition.items for value in given(item)}
    return shapes


def bytes_of(dtype: str) -> int:
    """The bytes of one element: "float32" is 4, "bfloat16" 2, "bool" 1; 4 for what is not known."""
    if dtype == "bool":
        return 1
    bits = re.search(r"(?:float|int|complex)(\d+)", dtype)
    return max(1, int(bits[1]) // 8) if bits else 4


def _cache(node: Node, definition: Definition, made: Mapping[str, tuple[object, int]]) -> Dim:
    """Bytes of key and value, followed back to where they were smallest: before heads were repeated."""
    if node.op != "scaled_dot_product_attention":
        return 0
    total: Dim = 0
    values = {f"%{v.name}": v for v in definition.inputs}
    values |= {f"%{v.name}": v for item in definition.items for v in given(item)}
    for argument in node.arguments:
        if argument.slot not in ("key", "value") or argument.source not in values:
            continue
        source = argument.source
        least = product(bytes_of(values[source].dtype), *values[source].shape)
        while source in made and isinstance(item := made[source][0], Node) and item.op in _REARRANGING:
            source = next((a.source for a in item.arguments if a.source in values), "")
            if not source:
                break
            size = product(bytes_of(values[source].dtype), *values[source].shape)
            if less(least, size) is True:
                break
            least = size
        total = add(total, least)
    return total
