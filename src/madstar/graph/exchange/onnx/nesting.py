"""A flat list of operations with the scopes they come from, as blocks in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...inference.types import Type
from ...model import Argument, Call, Definition, Item, Node, Parameter, Value
from .interpreting import Flat, Scope, Weight, clean

_FOREVER = 1 << 60


@dataclass
class _Block:
    """A use of a module: path, class, its operations and blocks in order, as a range of the list."""

    path: str
    kind: str
    begin: int
    end: int = 0
    items: list[int | _Block] = field(default_factory=list)


def steps(scope: Scope) -> list[tuple[str, str]]:
    """The blocks of a scope that lie within each other, without the whole: (full path, class)."""
    found: list[tuple[str, str]] = []
    base = ""
    for path, kind in scope[:40]:
        if path and path != base and clean(path) == path and (not base or path.startswith(f"{base}.")):
            found.append((path, kind))
            base = path
    return found


def nested(flats: Sequence[Flat]) -> _Block:
    """The tree of blocks: operations of one scope that follow each other are in one."""
    root = _Block("", next((kind for flat in flats for path, kind in flat.scope[:1] if not path), ""), 0)
    stack = [root]
    for number, flat in enumerate(flats):
        wanted = steps(flat.scope)
        depth = 0
        while depth < len(wanted) and depth + 1 < len(stack) and stack[depth + 1].path == wanted[depth][0]:
            depth += 1
        for block in stack[depth + 1 :]:
            block.end = number
        del stack[depth + 1 :]
        for path, kind in wanted[depth:]:
            block = _Block(path, kind, number)
            stack[-1].items.append(block)
            stack.append(block)
        stack[-1].items.append(number)
    for block in stack:
        block.end = len(flats)
    return root


class Blocks:
    """Makes the definitions; `definitions` and `root` are the result of `make`."""

    def __init__(
        self,
        flats: Sequence[Flat],
        weights: Mapping[str, Weight],
        inputs: Sequence[tuple[str, str, Type]],
        outputs: Sequence[str],
    ):
        self.flats, self.weights, self.inputs, self.results = flats, weights, inputs, list(outputs)
        self.types: dict[str, Type] = {ref: type_ for ref, _, type_ in inputs}
        self.made: dict[str, int] = {ref: -1 for ref, _, _ in inputs}
        self.last: dict[str, int] = {}
        for number, flat in enumerate(flats):
            for ref, type_ in flat.outputs:
                self.types[ref], self.made[ref] = type_, number
            for _, ref in flat.arguments:
                self.last[ref] = number
        self.last |= dict.fromkeys(outputs, _FOREVER)
        self.classes: dict[str, str] = {}
        for flat in flats:
            for path, kind in flat.scope[:40]:
                if kind:
                    self.classes.setdefault(path, kind)
        self.definitions: dict[str, Definition] = {}
        self._counts: dict[str, int] = {}

    def make(self) -> str:
        """Fill `definitions`; the name of the whole comes back."""
        return self._define(nested(self.flats), [ref for ref, _, _ in self.inputs])[0]

    def _define(self, block: _Block, inputs: Sequence[str] = ()) -> tuple[str, list[str], list[str]]:
        """The definition of a block: its name, what it takes and what it gives, by reference of the list."""
        root = not block.path
        local: dict[str, str] = {}
        taken: dict[str, int] = {}
        given: list[str] = []
        parameters: dict[str, Parameter] = {}
        items: list[Item] = []
        values: list[Value] = []

        def fresh(wanted: str) -> str:
            count = taken[wanted] = taken.get(wanted, 0) + 1
            name = wanted if count == 1 else f"{wanted}_{count - 1}"
            return name if count == 1 or name not in taken else fresh(name)

        names = {ref: name for ref, name, _ in self.inputs}

        def take(ref: str) -> str:
            """The reference within the block; what is from outside becomes an input."""
            if ref in local:
                return local[ref]
            if ref.startswith("@") and (relative := _within(ref[1:], block.path)) is not None:
                parameters.setdefault(relative, self._parameter(ref[1:], relative))
                local[ref] = f"@{relative}"
                return local[ref]
            weight = ref.startswith("@")
            type_ = self.weights[ref[1:]].type if weight else self.types[ref]
            wanted = names[ref] if root else ref.rpartition(".")[2].lstrip("@") if weight else "x"
            name = fresh(wanted)
            values.append(Value(name, type_.shape, type_.dtype))
            given.append(ref)
            local[ref] = f"%{name}"
            return local[ref]

        for ref in inputs:
            take(ref)
        for item in block.items:
            if isinstance(item, int):
                items.append(self._node(self.flats[item], "", take, fresh, local))
                continue
            only = self._only(item)
            inner = only[0].path if only is not None else item.path
            relative = inner[len(block.path) + 1 :] if block.path else inner
            if only is not None:
                items.append(self._node(self.flats[only[1]], relative, take, fresh, local))
                continue
            name, needs, gives = self._define(item)
            arguments = tuple(take(ref) for ref in needs)
            tail = relative.rpartition(".")[2]
            call = fresh((tail if tail and not tail.isdigit() else "block") + "_call")
            outs = tuple(
                self._value(ref, fresh(tail if tail and not tail.isdigit() else "y"), local) for ref in gives
            )
            items.append(Call(call, name, (relative,), arguments, outs))
        results = (
            self.results
            if root
            else [
                ref
                for number in range(block.begin, block.end)
                for ref, _ in self.flats[number].outputs
                if self.last.get(ref, -1) >= block.end
            ]
        )
        kind, _, module = block.kind.rpartition(".")[::-1]
        name = self._name(kind or ("Model" if root else "Block"))
        outputs = tuple(take(ref) for ref in results)
        self.definitions[name] = Definition(
            name,
            kind or ("Model" if root else "Block"),
            tuple(values),
            tuple(parameters.values()),
            tuple(items),
            outputs,
            module,
        )
        return name, given, results

    def _only(self, block: _Block) -> tuple[_Block, int] | None:
        """The operation that is all of a block, and the innermost block that it is all of."""
        while len(block.items) == 1 and isinstance(block.items[0], _Block):
            block = block.items[0]
        if len(block.items) == 1 and isinstance(block.items[0], int):
            return block, block.items[0]
        return None

    def _node(self, flat: Flat, path: str, take: object, fresh: object, local: dict[str, str]) -> Node:
        arguments = tuple(Argument(slot, take(ref)) for slot, ref in flat.arguments)  # type: ignore[operator]
        outputs = tuple(
            self._value(ref, fresh(flat.op.replace(":", "_")), local)  # type: ignore[operator]
            for ref, _ in flat.outputs
        )
        attributes = tuple(sorted(flat.attributes.items()))
        return Node(outputs[0].name, flat.op, arguments, outputs, attributes, path)

    def _value(self, ref: str, name: str, local: dict[str, str]) -> Value:
        type_ = self.types[ref]
        local[ref] = f"%{name}"
        return Value(name, type_.shape, type_.dtype)

    def _parameter(self, path: str, relative: str) -> Parameter:
        weight = self.weights[path]
        owner, _, attribute = path.rpartition(".")
        kind = self.classes.get(owner, "")
        kind = f"torch.nn.{kind.rpartition('.')[2]}" if kind.startswith("torch.nn.modules.") else kind
        said = f"{kind}.{attribute}" if kind else "unknown"
        shape = tuple(int(size) for size in weight.type.shape)
        return Parameter(relative, shape, weight.type.dtype, weight.trained, said)

    def _name(self, kind: str) -> str:
        wanted = clean(kind) or "Model"
        count = self._counts[wanted] = self._counts.get(wanted, 0) + 1
        name = wanted if count == 1 else f"{wanted}_{count}"
        return name if name not in self.definitions else self._name(kind)


def _within(path: str, base: str) -> str | None:
    """A path relative to a block; None if it is no part of it."""
    if not base:
        return path
    return path[len(base) + 1 :] if path.startswith(f"{base}.") else None
