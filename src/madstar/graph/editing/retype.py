"""Types after an edit: computed anew from the root, only where what is taken has changed.

A node keeps what the graph states of it where neither it nor the types of its arguments have changed; all
else is inferred by the rules of `inference`. What does not fit is an EditError that names the node, what was
expected and found, and what upstream set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

from ...errors import EditError
from ..inference import BlockTypes, Inference, Outcome, Type, stated
from ..inference.types import Sizes
from ..model import Call, Definition, Graph, Item, Node, Value
from ..origins import Frame, origin
from .copies import Copied
from .drafts import types_in


def retype(edited: Copied, inference: Inference) -> Graph:
    """The edited graph with the types that it has. Raises EditError where something does not fit."""
    graph = edited.graph
    inference.symbols = {name: tuple(sizes) for name, sizes in graph.symbols.items()}
    return _Typer(edited, inference).graph()


@dataclass
class _Open:
    """A block that is being typed."""

    definition: Definition
    done: list[Item]
    types: dict[str, Type]
    call: Call | None


class _Typer:
    def __init__(self, edited: Copied, inference: Inference) -> None:
        self.source, self.copies = edited.graph, edited.copies
        self.inference = inference
        self.table: dict[str, Definition] = dict(edited.graph.definitions)
        self._known: dict[tuple[str, tuple[Type, ...]], str] = {}
        self._open: list[_Open] = []

    def graph(self) -> Graph:
        root = self._block(self.source.root, stated(self.source.main.inputs), None)
        used: dict[str, Definition] = {}
        stack = [root]
        while stack:
            name = stack.pop()
            if name not in used:
                used[name] = self.table[name]
                stack += [i.definition for i in reversed(used[name].items) if isinstance(i, Call)]
        return replace(self.source, root=root, definitions=used)

    def _block(self, name: str, given: tuple[Type, ...], call: Call | None) -> str:
        """The name of the definition as it is with inputs of these types."""
        definition = self.source.definitions[name]
        as_stated = given == stated(definition.inputs)
        if as_stated and name not in self.copies:
            return name
        if (known := self._known.get((name, given))) is not None:
            return known
        inputs = tuple(Value(v.name, t.shape, t.dtype) for v, t in zip(definition.inputs, given, strict=True))
        types = {f"@{p.path}": Type(p.shape, p.dtype) for p in definition.parameters}
        types |= {f"%{value.name}": type_ for value, type_ in zip(inputs, given, strict=True)}
        here = _Open(replace(definition, inputs=inputs), [], types, call)
        self._open.append(here)
        old = _Before(self.copies.get(name, definition))
        for item in definition.items:
            made = self._node(item, here, old) if isinstance(item, Node) else self._call(item, here)
            here.done.append(made)
            types |= {f"%{v.name}": Type(v.shape, v.dtype) for v in made.outputs}
        self._open.pop()
        result = name
        if not as_stated:
            result = next(n for number in count(2) if (n := f"{name}_{number}") not in self.table)
        self.table[result] = replace(here.definition, name=result, items=tuple(here.done))
        self._known[name, given] = result
        return result

    def _call(self, call: Call, here: _Open) -> Call:
        given = tuple(here.types[ref] for ref in call.arguments)
        result = self._block(call.definition, given, call)
        inner = self.table[result]
        if result == call.definition and result not in self.copies:
            return call
        gives = [_stated_of(inner, ref) for ref in inner.outputs]
        outputs = tuple(Value(v.name, t.shape, t.dtype) for v, t in zip(call.outputs, gives, strict=True))
        return replace(call, definition=result, outputs=outputs)

    def _node(self, node: Node, here: _Open, old: _Before) -> Node:
        given = {a.slot: here.types[a.source] for a in node.arguments}
        was = old.items.get(node.name)
        known = isinstance(was, Node) and old.types_of(was) == given
        alike = known and isinstance(was, Node) and (was.op, was.attributes) == (node.op, node.attributes)
        if alike:
            return node
        claimed = stated(node.outputs)
        outcome = self.inference.operation(node.op, given, node.attributes, claimed)
        if outcome.fault is not None:
            raise EditError(self._misfit(node, outcome))
        if not outcome.ruled:
            raise EditError(
                f"{self._frame().name_of(node)}: no rule says what {node.op} gives for what it takes after "
                "the edit; leave its arguments as they are, or replace it"
            )
        if len(outcome.types) > len(node.outputs):
            raise EditError(
                f"{self._frame().name_of(node)}: expected {len(node.outputs)} results of {node.op}, found "
                f"{len(outcome.types)}; what takes them counts on {len(node.outputs)}"
            )
        sizes = Sizes(self.inference.symbols)
        types = (*outcome.types, *claimed[len(outcome.types) :])
        outputs = []
        for value, found, claim in zip(node.outputs, types, claimed, strict=False):
            seen = known and found.dtype == claim.dtype and sizes.same_shape(found.shape, claim.shape)
            type_ = claim if seen else found
            outputs.append(Value(value.name, type_.shape, type_.dtype))
        return replace(node, outputs=tuple(outputs), body=())

    # What is said of a fault.

    def _frame(self) -> Frame:
        """The open blocks as frames, the innermost."""
        frame: Frame | None = None
        table = dict(self.table)
        for opened in self._open:
            rest = opened.definition.items[len(opened.done) :]
            table[opened.definition.name] = replace(opened.definition, items=(*opened.done, *rest))
        graph = replace(self.source, definitions=table)
        types = _Stated(table, {opened.definition.name: opened.types for opened in self._open})
        for opened in self._open:
            definition = table[opened.definition.name]
            path = ""
            if frame is not None and opened.call is not None:
                path = frame.inside(replace(opened.call, definition=definition.name)).path
            frame = Frame(graph, types, definition, path, opened.call, frame)
        assert frame is not None
        return frame

    def _misfit(self, node: Node, outcome: Outcome) -> str:
        fault = outcome.fault
        assert fault is not None
        frame = self._frame()
        ref = next((a.source for a in node.arguments if a.slot == fault.slot), "")
        source = origin(frame, ref, fault.dim, fault.kind == "dtype") if ref else ""
        text = f"{frame.name_of(node)}: {node.op}: expected {fault.expected}, found {fault.found}"
        return text + (f"; set by {source}" if source else "")


class _Before:
    """A block as it was: its items by name, and the types that were stated."""

    def __init__(self, definition: Definition) -> None:
        self.items = {item.name: item for item in definition.items}
        self.types = types_in(definition)

    def types_of(self, node: Node) -> dict[str, Type]:
        """What the node took, by slot."""
        return {a.slot: self.types[a.source] for a in node.arguments}


class _Stated(Mapping[str, BlockTypes]):
    """Stated types as if they were inferred, for following a size to where it comes from."""

    def __init__(self, table: Mapping[str, Definition], open_: Mapping[str, dict[str, Type]]) -> None:
        self.table, self.open = table, open_

    def __getitem__(self, name: str) -> BlockTypes:
        types = types_in(self.table[name])
        return BlockTypes(types | self.open.get(name, {}), (), (), frozenset(), 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


def _stated_of(definition: Definition, ref: str) -> Type:
    return types_in(definition)[ref]
