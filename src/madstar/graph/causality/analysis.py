"""Whether a model's outputs look into the future: positions followed through the graph, block by block.

Said of an output whose axis is that of the sequence: *causal* where place t provably depends on positions up
to t only; *not causal* where operations read further; *undecided* where the analysis cannot follow. It looks
at operations, not at weights: what is multiplied by a weight that happens to be zero counts as read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...errors import GraphError
from ..dims import evaluate, less, symbols
from ..inference import BlockTypes, Type
from ..model import Call, Definition, Graph, Node
from ..paths import join
from ..varying import Binding, bindings, bound_item, differs, key_of
from ..wiring import given as values_of
from . import forms, joining, mixing, pointwise, slices, windows
from .reach import Linear, Reach, State, axis_index, highest, plain
from .tables import Tables
from .taken import Taken, Transfer, Unknown

_PARTS = (pointwise, forms, slices, joining, mixing, windows)
TRANSFERS: Mapping[str, Transfer] = {op: step for part in _PARTS for op, step in part.TRANSFERS.items()}

CAUSAL, LEAKS, UNDECIDED = "causal", "not causal", "undecided"
_TURNS = 4
_MAYBE = re.compile("[a-z]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one output: `verdict`, the node that looked ahead or could not be followed, and how far in words.

    `only_at` is the size of the symbol at which that was found, where nothing is said of others.
    """

    output: str
    verdict: str
    cause: str = ""
    reaches: str = ""
    only_at: int | None = None


@dataclass(frozen=True)
class Causality:
    """What is said along one symbol of each output with such an axis; `inputs` are those followed."""

    symbol: str
    inputs: tuple[str, ...]
    outputs: tuple[Verdict, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "symbol": self.symbol,
            "inputs": list(self.inputs),
            "verdict": self.verdict,
            "outputs": [asdict(verdict) for verdict in self.outputs],
        }

    @property
    def words(self) -> str:
        """The verdict, with the size at which alone it was found."""
        sizes = {verdict.only_at for verdict in self.outputs if verdict.only_at is not None}
        return self.verdict + (f" (at {max(sizes)} only)" if sizes and self.verdict == CAUSAL else "")

    @property
    def verdict(self) -> str:
        """Of the whole: the worst of the outputs; undecided without any."""
        said = {verdict.verdict for verdict in self.outputs}
        return LEAKS if LEAKS in said else UNDECIDED if UNDECIDED in said or not said else CAUSAL


def causality(graph: Graph, types: Mapping[str, BlockTypes], symbol: str = "length") -> Causality:
    """Follow the positions of all inputs that have an axis of this size; of a decoder's, if there is one.

    What is undecided in symbols is looked at again at the first of the traced sizes.
    """
    found = _at(graph, types, symbol, {})
    sizes = {name: given[0] for name, given in graph.symbols.items() if given}
    if all(verdict.verdict != UNDECIDED for verdict in found.outputs) or symbol not in sizes:
        return found
    again = _at(graph, types, symbol, sizes)
    better = [
        replace(second, only_at=sizes[symbol]) if first.verdict == UNDECIDED != second.verdict else first
        for first, second in zip(found.outputs, again.outputs, strict=True)
    ]
    return replace(found, outputs=tuple(better))


def _at(graph: Graph, types: Mapping[str, BlockTypes], symbol: str, sizes: Mapping[str, int]) -> Causality:
    entries = list(zip(graph.input_names, graph.main.inputs, strict=True))
    followed = [name for name, value in entries if symbol in value.shape]
    followed = [name for name in followed if name.startswith("decoder_")] or followed
    follower = _Follower(graph, types, sizes)
    states = []
    for name, value in entries:
        state = plain(follower.type(Type(value.shape, value.dtype)).shape)
        if name in followed:
            axis = value.shape.index(symbol)
            state = replace(state, reaches=frozenset({Reach(axis_index(state.axes, axis))}))
        states.append(replace(state, veiled=value.dtype == "bool"))
    results = follower.block(graph.main, tuple(states), "", {})
    first = {name: given[0] for name, given in graph.symbols.items() if given}
    outputs = []
    for name, ref, state in zip(graph.output_names, graph.main.outputs, results, strict=True):
        shape = types[graph.root].types[ref].shape
        if symbol in shape and followed:
            outputs.append(_verdict(name, state, shape.index(symbol), first))
    return Causality(symbol, tuple(followed), tuple(outputs))


def _verdict(name: str, state: State, axis: int, sizes: Mapping[str, int]) -> Verdict:
    here = axis_index(state.axes, axis)
    worst: tuple[int, Reach, str] | None = None
    for reach in state.reaches:
        if reach.bound is None:
            rank, said = (2 if reach.sure else 1), "positions that could not be followed"
        else:
            ahead = reach.bound.plus(here, -1)
            top = highest(ahead, state.atoms)
            if top is not None and (top == 0 or less(0, top) is False):
                continue
            rank = 2 if reach.sure and _ahead(ahead, sizes) else 1
            said = (
                f"position t+{ahead.const}"
                if not any(ahead.coefficients)
                else f"position {_words(reach.bound)}"
            )
        if worst is None or rank > worst[0]:
            worst = rank, reach, said
    if worst is None:
        return Verdict(name, CAUSAL)
    return Verdict(name, LEAKS if worst[0] == 2 else UNDECIDED, worst[1].cause, worst[2])


def _ahead(linear: Linear, sizes: Mapping[str, int]) -> bool:
    """Whether at the first place something later is read, at the sizes traced."""
    try:
        return evaluate(linear.const, sizes) > 0
    except GraphError:
        return False


def _words(bound: Linear) -> str:
    """A bound that depends on more than the place itself."""
    return str(bound.const) if not any(bound.coefficients) else f"{bound.const} and more"


class _Follower:
    """Goes through definitions; what was found for equal states is not done again."""

    def __init__(self, graph: Graph, types: Mapping[str, BlockTypes], sizes: Mapping[str, int]):
        self.graph, self.types, self.sizes = graph, types, sizes
        self.tables = Tables(graph)
        self.known: dict[tuple[str, str, tuple[State, ...]], list[State]] = {}

    def type(self, given: Type) -> Type:
        """With numbers for symbols, where there are some."""
        return Type(tuple(self._plain(size) for size in given.shape), given.dtype) if self.sizes else given

    def _plain(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._plain(part) for part in value)
        if isinstance(value, str) and _MAYBE.search(value):
            try:
                return evaluate(value, self.sizes) if symbols(value) <= set(self.sizes) else value
            except GraphError:
                return value
        return value

    def block(
        self, definition: Definition, given: tuple[State, ...], path: str, binding: Binding
    ) -> list[State]:
        key = (definition.name, key_of(binding), given)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._block(definition, given, path, binding)
        return found

    def _block(
        self, definition: Definition, given: tuple[State, ...], path: str, binding: Binding
    ) -> list[State]:
        types = {ref: self.type(given) for ref, given in self.types[definition.name].types.items()}
        states = {f"@{p.path}": self.tables.state(definition, p) for p in definition.parameters}
        states |= {f"%{v.name}": s for v, s in zip(definition.inputs, given, strict=True)}
        for item in definition.items:
            if isinstance(bound := bound_item(item, binding), Node):
                made = self._node(bound, states, types, path)
            elif differs(bound):
                made = self._turns(bound, states, path)
            else:
                made = self._call(bound, [states[ref] for ref in bound.arguments], path)
            for value, state in zip(values_of(item), made, strict=True):
                states[f"%{value.name}"] = _as(state, types[f"%{value.name}"], path)
        return [states[ref] for ref in definition.outputs]

    def _node(
        self, node: Node, states: Mapping[str, State], types: Mapping[str, Type], path: str
    ) -> list[State]:
        cause = join(path, node.path) if node.path else f"{path}:{node.name}"
        outputs = tuple(types[f"%{value.name}"] for value in node.outputs)
        taken = Taken(
            node.op,
            {a.slot: states[a.source] for a in node.arguments},
            {a.slot: types[a.source] for a in node.arguments},
            {slot: self._plain(value) for slot, value in node.attributes}
            if self.sizes
            else dict(node.attributes),
            outputs,
            cause,
        )
        try:
            transfer = TRANSFERS.get(node.op)
            if transfer is None:
                return taken.unknown()
            found = transfer(taken)
        except (Unknown, GraphError):
            return taken.unknown()
        return [*found, *taken.unknown()[len(found) :]][: len(outputs)]

    def _call(self, call: Call, given: Sequence[State], path: str) -> list[State]:
        inner = self.graph.definitions[call.definition]
        base = join(path, call.paths[0])
        now = list(given)
        found = self.block(inner, tuple(now), base, {})
        for _ in range(min(call.count - 1, _TURNS)):
            before = list(now)
            for output, entry in call.carried:
                now[entry] = found[output]
            if now == before:
                return found
            found = self.block(inner, tuple(now), base, {})
        if call.count - 1 > _TURNS:
            return [_grown(state) for state in found]
        return found

    def _turns(self, call: Call, states: Mapping[str, State], path: str) -> list[State]:
        """A run whose turns differ, each turn followed as if it were written out."""
        inner = self.graph.definitions[call.definition]
        now = [states[ref] for ref in call.arguments]
        made: list[list[State]] = []
        for turn, (below, binding) in enumerate(zip(call.paths, bindings(call), strict=True)):
            for place, refs in call.own:
                now[place] = states[refs[turn]]
            made.append(self.block(inner, tuple(now), join(path, below), binding))
            for output, entry in call.carried:
                now[entry] = made[-1][output]
        return [*made[-1], *(before[place] for place, _ in call.gathered for before in made[:-1])]


def _grown(state: State) -> State:
    """Of a run whose reach still grows with every turn: no bound is known for its end."""
    reaches = frozenset(replace(reach, bound=None) for reach in state.reaches)
    return State(state.axes, reaches)


def _as(state: State, wanted: Type, path: str) -> State:
    """Held to the shape that was inferred; sizes that are equal only as traced may differ in words."""
    axes = plain(wanted.shape).axes
    if 0 in wanted.shape:
        return State(axes)
    if len(axes) != len(state.axes) or [bool(a) for a in axes] != [bool(a) for a in state.axes]:
        touched = frozenset({Reach(None, False, path)}) if state.reaches else frozenset()
        return State(axes, touched)
    return state
