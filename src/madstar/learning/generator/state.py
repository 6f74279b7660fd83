"""A graph while it is made, decision by decision: what may come next, and what of that fits.

A state is a value: `after` gives another one, so that going back costs nothing. Every node is inferred as it
is added; one that cannot be inferred, or fits at some sizes only, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from madstar.graph.execution.kernels import computable
from madstar.graph.inference import Inference
from madstar.graph.inference.promotion import is_floating
from madstar.graph.inference.types import Type
from madstar.graph.model import Argument, Attribute, Call, Definition, Graph, Node, Parameter, Shape, Value

from ..tokens.initial import initial
from .decisions import SYMBOLS, Decision
from .draft import Draft, Limits, Made
from .relative import Inexpressible, concrete, concrete_shape
from .space import Space

MOST_OUTPUTS = 3
MOST_INPUTS = 8
MOST_RANK = 6


@dataclass(frozen=True)
class State:
    """What is decided so far. `group` is that of the next decision, `pending` those of the item under way."""

    space: Space
    limits: Limits
    inference: Inference = field(default_factory=lambda: Inference(SYMBOLS))
    group: str = "begin"
    domain: str = ""
    size: int = -1
    width: int = 1
    blocks: tuple[Made, ...] = ()
    called: frozenset[int] = frozenset()
    draft: Draft = field(default_factory=Draft)
    pending: tuple[Decision, ...] = ()
    node: int = 0
    closing: bool = False
    done: bool = False

    # --- What may come next.

    def options(self) -> tuple[int, ...]:
        """Numbers of the decisions that may come next; each may still be refused by `after`."""
        space, members = self.space, self.space.members
        if self.group == "set":
            return space.sets.get(self.node, ())
        if self.group == "weights":
            chosen = space.number(self.pending[-1])
            return space.weights.get((self.node, chosen), ())
        if self.group == "pointer":
            return tuple(n for n in members["pointer"] if self._may_point(space.decisions[n]))
        if self.group == "which":
            return tuple(n for n in members["which"] if self._may_call(space.decisions[n][1]))
        if self.group == "times":
            return tuple(n for n in members["times"] if self._may_run(space.decisions[n][1]))
        if self.group == "block":
            return tuple(n for n in members["block"] if self._may_begin(space.decisions[n]))
        if self.group == "item":
            return tuple(n for n in members["item"] if self._may_add(n, space.decisions[n]))
        if self.group == "input":
            most = len(self.draft.inputs) >= MOST_INPUTS
            wanted = [n for n in members["input"] if space.decisions[n][0] == "body" or not most]
            return tuple(n for n in wanted if self.draft.inputs or space.decisions[n][0] != "body")
        return members[self.group]

    def _may_begin(self, decision: Decision) -> bool:
        if decision[0] == "block":
            return len(self.blocks) < self.limits.blocks
        return bool(self.blocks) and (not self.limits.checked or self._complete())

    def _complete(self) -> bool:
        last = self.blocks[-1]
        within = self.limits.least_parameters <= last.parameters <= self.limits.parameters
        return within and last.trains and len(self.called) == len(self.blocks) - 1

    def _may_add(self, number: int, decision: Decision) -> bool:
        draft, limits = self.draft, self.limits
        if decision[0] == "outputs":
            if not draft.items:
                return False
            return not limits.checked or (
                all(place >= len(draft.inputs) for place in draft.idle)
                and 1 <= len(draft.idle) <= MOST_OUTPUTS
                and any(self._is_float(place) for place in draft.idle)
            )
        if len(draft.items) >= limits.items:
            return False
        if decision[0] == "call":
            return any(self._may_call(back) for back in range(1, len(self.blocks) + 1))
        taken = sum(kind == "v" for _, kind in decision[2])
        if not self.space.sets.get(number):
            return False
        if not limits.checked:
            return bool(draft.values) or not taken
        # What is left must suffice to take all that is idle.
        least = len(draft.idle) - max(taken - 1, -1)
        return least - MOST_OUTPUTS <= limits.items - len(draft.items) - 1

    def _may_call(self, back: int) -> bool:
        if not 1 <= back <= len(self.blocks):
            return False
        if not self.limits.checked:
            return True
        here = {type_ for _, type_ in self.draft.values}
        return all(Type(v.shape, v.dtype) in here for v in self.blocks[-back].definition.inputs)

    def _may_run(self, times: int) -> bool:
        if times == 1 or not self.limits.checked:
            return True
        made = self._which()
        inputs = {Type(value.shape, value.dtype) for value in made.definition.inputs}
        return any(type_ in inputs for type_ in made.outputs)

    def _is_float(self, place: int) -> bool:
        return is_floating(self.draft.values[place][1].dtype)

    def _may_point(self, decision: Decision) -> bool:
        draft = self.draft
        if decision[0] == "done":
            if not self.closing or not draft.outputs:
                return False
            return not self.limits.checked or not draft.idle
        place = self._place(decision)
        if place is None:
            return False
        if not self.limits.checked:
            return True
        if self.closing:
            return place in draft.idle
        if self.pending[0][0] == "call":
            made = self._which()
            wanted = made.definition.inputs[self._pointers()]
            return draft.values[place][1] == Type(wanted.shape, wanted.dtype)
        seen = self.space.kinds.get(self.node)
        type_ = draft.values[place][1]
        return seen is None or (len(type_.shape), type_.dtype) in seen[self._pointers()]

    def _place(self, decision: Decision) -> int | None:
        """The number of the value that a pointer points to; None where there is none."""
        inputs, values = len(self.draft.inputs), len(self.draft.values)
        if decision[0] == "from":
            return decision[1] if decision[1] < inputs else None
        place = values - decision[1]
        return place if inputs <= place < values else None

    def operands(self) -> tuple[Type, ...]:
        """The types of what the pointers of the item under way point to."""
        return tuple(self.draft.values[place][1] for place in self._taken())

    def _which(self) -> Made:
        return self.blocks[len(self.blocks) - self.pending[1][1]]

    def _pointers(self) -> int:
        return sum(decision[0] in ("from", "back") for decision in self.pending)

    # --- What comes of a decision.

    def after(self, number: int) -> State | None:
        """The state after a decision; None where it does not fit."""
        return self.decided(self.space.decisions[number], number)

    def decided(self, decision: Decision, number: int) -> State | None:
        """As `after`, for a decision that the space need not know."""
        try:
            return self._decided(decision, number)
        except Inexpressible:
            return None

    def _decided(self, decision: Decision, number: int) -> State | None:
        kind = decision[0]
        if kind in ("begin", "domain", "size", "width"):
            return self._head(decision)
        if kind == "block":
            return replace(self, group="input", draft=Draft(), closing=False)
        if kind == "end":
            return replace(self, done=True)
        if kind == "input":
            return self._input(decision)
        if kind == "body":
            return replace(self, group="item")
        if kind == "outputs":
            return replace(self, group="pointer", closing=True)
        if kind == "done":
            return self._close()
        if self.closing:
            place = self._place(decision)
            if place is None:
                return None
            draft = replace(self.draft, outputs=(*self.draft.outputs, place), idle=self.draft.idle - {place})
            return replace(self, draft=draft)
        state = replace(self, pending=(*self.pending, decision), node=number if kind == "node" else self.node)
        return state._item()

    def _head(self, decision: Decision) -> State:
        kind = decision[0]
        if kind == "begin":
            return replace(self, group="domain")
        if kind == "domain":
            return replace(self, group="size", domain=decision[1])
        if kind == "size":
            return replace(self, group="width", size=decision[1])
        return replace(self, group="block", width=decision[1])

    def _input(self, decision: Decision) -> State:
        draft = self.draft
        value = Value(f"x{len(draft.inputs)}", concrete_shape(decision[2], (), self.width), decision[1])
        values = (*draft.values, (f"%{value.name}", Type(value.shape, value.dtype)))
        idle = draft.idle | {len(draft.values)}
        return replace(self, draft=replace(draft, inputs=(*draft.inputs, value), values=values, idle=idle))

    def _item(self) -> State | None:
        """What the decisions of an item ask for next; the state with the item once all is decided."""
        first = self.pending[0]
        if first[0] == "node":
            slots = first[2]
            if self._pointers() < sum(kind == "v" for _, kind in slots):
                return replace(self, group="pointer")
            kinds = [decision[0] for decision in self.pending]
            if "set" not in kinds:
                return replace(self, group="set")
            if "weights" not in kinds and any(kind == "w" for _, kind in slots):
                return replace(self, group="weights")
            return self._node()
        wanted = ["which", "times"]
        if len(self.pending) <= len(wanted):
            return replace(self, group=wanted[len(self.pending) - 1])
        if self.pending[2][1] > 1 and len(self.pending) == 3:
            return replace(self, group="carried")
        if self._pointers() < len(self._which().definition.inputs):
            return replace(self, group="pointer")
        return self._call()

    def _taken(self) -> list[int]:
        places = [self._place(d) for d in self.pending if d[0] in ("from", "back")]
        if any(place is None for place in places):
            raise Inexpressible
        return [place for place in places if place is not None]

    def _node(self) -> State | None:
        draft, first = self.draft, self.pending[0]
        places = self._taken()
        operands = [draft.values[place][1].shape for place in places]
        found = {decision[0]: decision[1] for decision in self.pending if decision[0] in ("set", "weights")}
        attributes = tuple((name, concrete(v, operands, self.width)) for name, v in found["set"])
        name = f"{first[1].replace(':', '_')}_{len(draft.items)}"
        values, shapes = iter(places), iter(found.get("weights", ()))
        arguments, weights, tensors = [], [], {}
        for slot, kind in first[2]:
            if kind == "v":
                ref, type_ = draft.values[next(values)]
            else:
                shape = next(shapes, None)
                if shape is None:
                    return None
                weight = self._weight(f"{name}.{slot}", initial(first[1], slot), shape, operands)
                weights.append(weight)
                ref, type_ = f"@{weight.path}", Type(weight.shape, weight.dtype)
            arguments.append(Argument(slot, ref))
            tensors[slot] = type_
        types = self._types(first[1], tensors, attributes)
        if types is None:
            return None
        outputs = tuple(
            Value(name if not i else f"{name}.{i}", type_.shape, type_.dtype) for i, type_ in enumerate(types)
        )
        node = Node(name, first[1], tuple(arguments), outputs, attributes)
        if not computable(node):
            return None
        trains = any(weight.trained for weight in weights)
        return self._with(node, places, types, tuple(weights), sum(prod(w.shape) for w in weights), trains)

    def _weight(
        self, path: str, initialisation: str, said: tuple[Any, ...], operands: list[Shape]
    ) -> Parameter:
        terms, dtype, trained = said
        shape = concrete_shape(terms, operands, self.width)
        sizes = tuple(size for size in shape if isinstance(size, int))
        if len(sizes) < len(shape) or prod(sizes) > 1 << 31:
            raise Inexpressible
        return Parameter(path, sizes, dtype, trained, initialisation)

    def _types(
        self, op: str, tensors: dict[str, Type], attributes: tuple[tuple[str, Attribute], ...]
    ) -> tuple[Type, ...] | None:
        try:
            outcome = self.inference.operation(op, tensors, attributes)
        except (IndexError, ValueError, TypeError, KeyError, OverflowError):
            return None
        if not outcome.ruled or outcome.fault is not None:
            return None
        if self.limits.checked:
            odd = any(
                len(t.shape) > MOST_RANK or any(isinstance(s, int) and s < 1 for s in t.shape)
                for t in outcome.types
            )
            if outcome.remarks or odd or len(outcome.types) > 16:
                return None
        return outcome.types

    def _call(self) -> State | None:
        draft, made, times = self.draft, self._which(), self.pending[2][1]
        places = self._taken()
        number = len(self.blocks) - self.pending[1][1]
        carried = next((d[1] for d in self.pending if d[0] == "carried"), ())
        inputs, outputs = made.definition.inputs, made.outputs
        for output, entry in carried:
            if output >= len(outputs) or entry >= len(inputs):
                return None
            if outputs[output] != Type(inputs[entry].shape, inputs[entry].dtype):
                return None
        name = f"{made.definition.name.lower()}_{len(draft.items)}"
        paths = tuple(f"{name}.{turn}" for turn in range(times)) if times > 1 else (name,)
        values = tuple(
            Value(name if not i else f"{name}.{i}", t.shape, t.dtype) for i, t in enumerate(outputs)
        )
        refs = tuple(draft.values[place][0] for place in places)
        call = Call(name, made.definition.name, paths, refs, values, tuple(carried))
        state = self._with(call, places, outputs, (), times * made.parameters, made.trains)
        if state is None:
            return None
        return replace(state, draft=replace(state.draft, called=state.draft.called | {number}))

    def _with(
        self,
        item: Node | Call,
        places: list[int],
        types: tuple[Type, ...],
        weights: tuple[Parameter, ...],
        parameters: int,
        trains: bool,
    ) -> State | None:
        """The state with an item added, unless that breaks a limit."""
        draft, limits = self.draft, self.limits
        first = len(draft.values)
        given = tuple((f"%{v.name}", t) for v, t in zip(item.outputs, types, strict=True))
        new = range(first, first + len(given))
        idle = draft.idle.difference(places) | set(new)
        if limits.checked:
            left = limits.items - len(draft.items) - 1
            if len(idle) - MOST_OUTPUTS > left or draft.parameters + parameters > limits.parameters:
                return None
        reached = draft.reached
        if trains or any(place in reached for place in places):
            reached = reached | {place for place in new if is_floating(types[place - first].dtype)}
        draft = replace(
            draft,
            values=draft.values + given,
            idle=frozenset(idle),
            weights=draft.weights + weights,
            items=(*draft.items, item),
            parameters=draft.parameters + parameters,
            reached=reached,
        )
        return replace(self, draft=draft, pending=(), group="item")

    def _close(self) -> State | None:
        draft = self.draft
        made = self.block(f"Block{len(self.blocks)}")
        if self.limits.checked and not any(self._is_float(place) for place in draft.outputs):
            return None
        return replace(
            self,
            blocks=(*self.blocks, made),
            called=self.called | draft.called,
            draft=Draft(),
            group="block",
            closing=False,
        )

    def block(self, name: str) -> Made:
        """The block under way as it stands."""
        draft = self.draft
        outputs = tuple(draft.values[place] for place in draft.outputs)
        refs = tuple(ref for ref, _ in outputs)
        definition = Definition(
            name, name, draft.inputs, draft.weights, draft.items, refs, "madstar.generated"
        )
        trains = any(place in draft.reached for place in draft.outputs)
        return Made(definition, tuple(type_ for _, type_ in outputs), draft.parameters, trains)

    def graph(self, name: str) -> Graph:
        """The graph that is done."""
        definitions = [made.definition for made in reversed(self.blocks)]
        main = definitions[0]
        return Graph(
            name,
            main.name,
            {each.name: each for each in definitions},
            tuple(value.name for value in main.inputs),
            tuple(f"out{i}" for i in range(len(main.outputs))),
            dict(self.inference.symbols),
            facts={"source": "madstar learn generate", "domain": self.domain},
        )

    # --- What a model sees beside the decisions.

    @property
    def features(self) -> tuple[int, int]:
        """How many values are idle, and the rank and kind of the last, each below 16."""
        draft = self.draft
        last = draft.values[-1][1] if draft.values else None
        kind = 0 if last is None else 1 + min(len(last.shape), 6) + 7 * is_floating(last.dtype)
        return min(len(draft.idle), 15), kind
