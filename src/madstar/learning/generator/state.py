"""A graph while it is made, decision by decision.

A state is a value: `after` gives another one, so that going back costs nothing. Every node is inferred as it
is added; one that cannot be inferred, or fits at some sizes only, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from madstar.graph.inference import Inference
from madstar.graph.inference.promotion import is_floating
from madstar.graph.inference.types import Type
from madstar.graph.model import Call, Definition, Graph, Value

from .decisions import STREAMS, SYMBOLS, Decision, size_bucket
from .draft import Draft, Limits, Made
from .items import Item, call_of, node_of
from .relative import Inexpressible, concrete_shape, raw_sizes, recalled
from .space import Space

MOST_OUTPUTS = 3
MOST_INPUTS = 8
STREAM = ("batch", "length", ("=w", 1, 1))
_NEXT = {
    "begin": "grade", "grade": "domain", "domain": "form", "form": "size", "size": "width", "width": "block",
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """What is decided so far. `group` is that of the next decision, `pending` those of the item under way.

    `sizes` are those that were said by themselves, the last first.
    """

    space: Space
    limits: Limits
    inference: Inference = field(default_factory=lambda: Inference(SYMBOLS))
    group: str = "begin"
    length: int = 0
    domain: str = ""
    form: str = ""
    grade: str = ""
    size: int = -1
    width: int = 1
    sizes: tuple[int, ...] = ()
    blocks: tuple[Made, ...] = ()
    called: frozenset[int] = frozenset()
    draft: Draft = field(default_factory=Draft)
    pending: tuple[Decision, ...] = ()
    node: int = 0
    whole: bool = False
    closing: bool = False
    done: bool = False

    def streams(self) -> bool:
        """Whether this block must take and give one float32[batch, length, width]."""
        return self.whole and self.form in STREAMS

    def most_outputs(self) -> int:
        """How many values this block may give."""
        return 1 if self.streams() else MOST_OUTPUTS

    def uncalled(self) -> int:
        """How many blocks nothing calls yet."""
        return len(self.blocks) - len(self.called | self.draft.called)

    def is_called(self, number: int) -> bool:
        """Whether something calls the block of this number."""
        return number in self.called or number in self.draft.called

    def place(self, decision: Decision) -> int | None:
        """The number of the value that a pointer points to; None where there is none."""
        inputs, values = len(self.draft.inputs), len(self.draft.values)
        if decision[0] == "from":
            return decision[1] if decision[1] < inputs else None
        place = values - decision[1]
        return place if inputs <= place < values else None

    def operands(self) -> tuple[Type, ...]:
        """The types of what the pointers of the item under way point to."""
        return tuple(self.draft.values[place][1] for place in self.taken())

    def operand_places(self) -> list[int]:
        """The numbers of these values; those that the block gives where it is being closed."""
        return list(self.draft.outputs) if self.closing else self.taken()

    def wanted(self) -> Type | None:
        """The type that the next pointer of a call, or of what a residual whole gives, must have.

        Before an item: what the last block that nothing calls yet takes first.
        """
        if self.group in ("item", "input"):
            left = [made for number, made in enumerate(self.blocks) if not self.is_called(number)]
            value = left[-1].definition.inputs[0] if left else None
            return None if value is None else Type(value.shape, value.dtype)
        if self.group != "pointer":
            return None
        if self.closing:
            return self.draft.values[0][1] if self.streams() else None
        if self.pending[0][0] != "call":
            return None
        value = self.called_block().definition.inputs[self.pointers()]
        return Type(value.shape, value.dtype)

    def pointers_left(self) -> int:
        """How many more values the item under way takes."""
        if not self.pending:
            return 0
        if self.pending[0][0] == "node":
            return sum(kind == "v" for _, kind in self.pending[0][2]) - self.pointers()
        return len(self.called_block().definition.inputs) - self.pointers() if len(self.pending) > 1 else 0

    def size_left(self) -> int:
        """How far the parameters of the block are from the size that was decided, in half powers of ten."""
        if self.size < 0:
            return 0
        return 13 + max(-12, min(12, self.size - size_bucket(self.draft.parameters)))

    def called_block(self) -> Made:
        """The block that the call under way calls."""
        return self.blocks[len(self.blocks) - self.pending[1][1]]

    def pointers(self) -> int:
        """How many values were pointed to for the item under way."""
        return sum(decision[0] in ("from", "back") for decision in self.pending)

    # --- What comes of a decision.

    def after(self, number: int) -> State | None:
        """The state after a decision; None where it does not fit."""
        return self.decided(self.space.decisions[number], number)

    def decided(self, decision: Decision, number: int) -> State | None:
        """As `after`, for a decision that the space need not know."""
        try:
            after = self._decided(decision, number)
        except Inexpressible:
            return None
        return None if after is None else replace(after, length=self.length + 1)

    def _decided(self, decision: Decision, number: int) -> State | None:
        kind = decision[0]
        if kind in _NEXT:
            return self._head(decision)
        if kind in ("block", "whole"):
            if kind == "block" and len(self.blocks) >= self.limits.blocks - 1:
                return None
            draft = Draft()
            return replace(self, group="input", draft=draft, closing=False, whole=kind == "whole")
        if kind == "input":
            return self._input(decision, number)
        if kind == "body":
            return replace(self, group="item") if self.draft.inputs else None
        if kind == "outputs":
            return replace(self, group="pointer", closing=True) if self.draft.items else None
        if kind == "done":
            return self._close()
        if self.closing:
            place = self.place(decision)
            if place is None or (place in self.draft.outputs and self.limits.checked):
                return None
            draft = replace(self.draft, outputs=(*self.draft.outputs, place), idle=self.draft.idle - {place})
            return replace(self, draft=draft)
        begun = kind in ("node", "call")
        if begun and len(self.draft.items) >= self.limits.items:
            return None
        if kind == "which" and not 1 <= decision[1] <= len(self.blocks):
            return None
        state = replace(self, pending=(*self.pending, decision), node=number if begun else self.node)
        return state._item()

    def _head(self, decision: Decision) -> State:
        kind, said = decision[0], decision[1:]
        state = replace(self, group=_NEXT[kind])
        return replace(state, **{kind: said[0]}) if said else state

    def _input(self, decision: Decision, number: int) -> State | None:
        draft = self.draft
        if len(draft.inputs) >= MOST_INPUTS:
            return None
        first = [value.shape for value in draft.inputs[:1]]
        shape = concrete_shape(decision[2], (), self.width, self.sizes, first)
        value = Value(f"x{len(draft.inputs)}", shape, decision[1])
        values = (*draft.values, (f"%{value.name}", Type(value.shape, value.dtype)))
        idle = draft.idle | {len(draft.values)}
        places, makers = (*draft.places, self.length), (*draft.makers, number)
        inputs = (*draft.inputs, value)
        draft = replace(draft, inputs=inputs, values=values, idle=idle, places=places, makers=makers)
        said = raw_sizes(decision[2], self.sizes)
        return replace(self, draft=draft, sizes=recalled(self.sizes, said))

    def _item(self) -> State | None:
        """What the decisions of an item ask for next; the state with the item once all is decided."""
        first = self.pending[0]
        if first[0] == "node":
            slots = first[2]
            if self.pointers() < sum(kind == "v" for _, kind in slots):
                return replace(self, group="pointer")
            kinds = [decision[0] for decision in self.pending]
            if "set" not in kinds:
                return replace(self, group="set")
            if "weights" not in kinds and any(kind == "w" for _, kind in slots):
                return replace(self, group="weights")
            return self._with(node_of(self))
        wanted = ["which", "times"]
        if len(self.pending) <= len(wanted):
            return replace(self, group=wanted[len(self.pending) - 1])
        if self.pending[2][1] > 1 and len(self.pending) == 3:
            return replace(self, group="carried")
        if self.pointers() < len(self.called_block().definition.inputs):
            return replace(self, group="pointer")
        return self._with(call_of(self))

    def taken(self) -> list[int]:
        """The numbers of the values that the pointers of the item under way point to."""
        places = [self.place(d) for d in self.pending if d[0] in ("from", "back")]
        if any(place is None for place in places):
            raise Inexpressible
        return [place for place in places if place is not None]

    def _with(self, made: Item | None) -> State | None:
        """The state with an item added, unless that breaks a limit."""
        if made is None:
            return None
        draft, limits, types = self.draft, self.limits, made.types
        first = len(draft.values)
        given = tuple((f"%{v.name}", t) for v, t in zip(made.item.outputs, types, strict=True))
        new = range(first, first + len(given))
        idle = draft.idle.difference(made.places) | set(new)
        if limits.checked:
            left = limits.items - len(draft.items) - 1
            large = draft.parameters + made.parameters > limits.parameters
            if large or len(idle) - self.most_outputs() > left:
                return None
        reached, called = draft.reached, draft.called
        if made.trains or any(place in reached for place in made.places):
            reached = reached | {place for place in new if is_floating(types[place - first].dtype)}
        if isinstance(made.item, Call):
            called = called | {len(self.blocks) - self.pending[1][1]}
        draft = replace(
            draft,
            values=draft.values + given,
            idle=frozenset(idle),
            places=draft.places + (self.length,) * len(given),
            makers=draft.makers + (self.node,) * len(given),
            weights=draft.weights + made.weights,
            items=(*draft.items, made.item),
            parameters=draft.parameters + made.parameters,
            reached=reached,
            called=called,
        )
        sizes = recalled(self.sizes, made.said)
        return replace(self, draft=draft, pending=(), group="item", sizes=sizes)

    def _close(self) -> State | None:
        draft = self.draft
        if not draft.outputs:
            return None
        return replace(
            self,
            blocks=(*self.blocks, self.block(f"Block{len(self.blocks)}")),
            called=self.called | draft.called,
            draft=Draft(),
            group="block",
            closing=False,
            done=self.whole,
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
        return Made(definition, tuple(type_ for _, type_ in outputs), draft.parameters, trains, self.length)

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
