"""Nodes of ONNX, one after the other, as operations of the vocabulary in a flat list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from ....errors import GraphError, in_one_line
from ...inference import Inference
from ...inference.types import Type
from ...model import Shape
from .extras import need
from .held import Held, listed, nested, settled
from .opening import CONTROL, DOMAINS, Limits, place
from .tensors import Stored
from .translating import scopes_of

SMALL = 64
"""Elements of the largest tensor without a path for a name that becomes a constant of the graph."""

Scope = tuple[tuple[str, str], ...]


@dataclass
class Flat:
    """An operation before blocks are made: arguments and results by reference over the whole graph."""

    op: str
    arguments: list[tuple[str, str]]
    attributes: dict[str, Any]
    outputs: list[tuple[str, Type]]
    scope: Scope = ()


@dataclass
class Weight:
    """A parameter of the graph: what it is in the file, and whether it is that transposed."""

    path: str
    type: Type
    trained: bool
    stored: Stored | None = None
    transposed: bool = False
    values: Any = None


class Unreadable(Exception):  # noqa: N818  it becomes a GraphError with the node's place
    """A node that cannot be read: why, without its place."""


class Node:
    """A node of ONNX, as the functions that read it ask for it."""

    def __init__(self, reader: Interpreter, proto: Any, inputs: Sequence[Held | None], opset: int):
        self.reader, self.proto, self.inputs, self.opset = reader, proto, inputs, opset
        self.op: str = proto.op_type
        self.outputs = len(proto.output)
        self._attributes = {each.name: each for each in proto.attribute}

    def has(self, i: int) -> bool:
        """Whether an input is given."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def input(self, i: int = 0) -> Held:
        """An input that must be there."""
        if not self.has(i):
            raise Unreadable(f"its input {i} is missing")
        found = self.inputs[i]
        assert found is not None
        return found

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as Python has it."""
        found = self._attributes.get(name)
        if found is None:
            return default
        value = need("onnx").helper.get_attribute_value(found)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, (int, float)):
            return value
        if hasattr(value, "data_type") or hasattr(value, "node"):
            return value
        return list(value)

    def axis(self, rank: int, default: int | None = None, name: str = "axis") -> int:
        """An attribute that names a dimension, from the front."""
        found = self.attribute(name, default)
        if not isinstance(found, int) or not -max(rank, 1) <= found < max(rank, 1):
            raise Unreadable(f"{name} = {found} of a tensor of {rank} dimensions")
        return found % max(rank, 1)

    def numbers(self, i: int, what: str) -> list[Any]:
        """An input whose numbers must be known: a list of numbers and sizes."""
        found = self.input(i)
        if found.content is None:
            raise Unreadable(f"its {what} depend on data (input {self.proto.input[i]!r:.80})")
        return listed(found)

    def whole(self, i: int, what: str) -> list[int]:
        """An input whose numbers must be known whole numbers."""
        found = self.numbers(i, what)
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in found):
            raise Unreadable(f"its {what} are no whole numbers: {found[:8]}")
        return found

    def emit(
        self,
        op: str,
        arguments: Mapping[str, Held | None],
        attributes: Mapping[str, Any] | None = None,
        stated: Sequence[Type] = (),
    ) -> Held:
        """One more operation of the graph with one result."""
        return self.several(op, arguments, attributes, stated)[0]

    def several(
        self,
        op: str,
        arguments: Mapping[str, Held | None],
        attributes: Mapping[str, Any] | None = None,
        stated: Sequence[Type] = (),
    ) -> list[Held]:
        """One more operation of the graph."""
        return self.reader.emit(op, arguments, attributes or {}, stated)

    def claimed(self, dtype: str) -> Type | None:
        """The type that the file states for the first output, if it does."""
        return self.reader.claims.get(self.proto.output[0])


@dataclass
class Interpreter:
    """Reads nodes. `values` are by the names of the file; `nodes` and `weights` are what was made."""

    file: Path
    symbols: dict[str, tuple[int, ...]]
    stored: Mapping[str, Stored]
    claims: dict[str, Type]
    limits: Limits
    buffers: frozenset[str] = frozenset()
    values: dict[str, Held] = field(default_factory=dict)
    nodes: list[Flat] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    scope: Scope = ()

    def __post_init__(self) -> None:
        self.inference = Inference(self.symbols)
        self._count = 0
        self._constants: dict[tuple[int, Scope], tuple[Held, Held]] = {}

    def read(self, proto: Any, number: int, opset: int) -> None:
        """One node. Raises GraphError, naming it, where it cannot be read."""
        from .operators import READERS

        where = f"{self.file}: {place(proto, number)}"
        if proto.domain not in DOMAINS:
            raise GraphError(f"{where}: of the domain {proto.domain!r:.80}, which is not known")
        if proto.op_type in CONTROL:
            raise GraphError(f"{where}: control flow cannot be read; export the model without it")
        reader = READERS.get(proto.op_type)
        if reader is None:
            raise GraphError(f"{where}: there is no way to read this operation")
        self.scope = self._scope(proto)
        try:
            inputs = [self._input(name) if name else None for name in proto.input]
            made = reader(Node(self, proto, inputs, opset))
        except Unreadable as error:
            raise GraphError(f"{where}: {error}") from None
        except GraphError as error:
            raise GraphError(f"{where}: {str(error).removeprefix(f'{self.file}: ')}") from None
        except Exception as error:  # whatever a foreign file makes of the readers
            raise GraphError(f"{where}: cannot be read: {in_one_line(error, 160)}") from None
        results = made if isinstance(made, list) else [made]
        for name, held in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = held
        for name in proto.output[len(results) :]:
            if name:
                raise GraphError(f"{where}: its output {name!r:.80} cannot be computed")

    def _scope(self, proto: Any) -> Scope:
        said = {each.key: each.value for each in proto.metadata_props}
        found = scopes_of(said)
        if not found and "/" in proto.name:
            # The exporter before this one named nodes by the modules around them: /layers.0/mlp/mlp.0/Gemm.
            found = _of_name(proto.name)
        return tuple(found)

    def _input(self, name: str) -> Held:
        found = self.values.get(name)
        if found is None:
            found = self.values[name] = self._from_file(self.stored[name])
        return found

    def _from_file(self, stored: Stored) -> Held:
        """An initializer: numbers if it is small, a weight if it is large or is named by a path."""
        content = None
        if stored.elements <= 1024:
            array = stored.array()
            if stored.dtype == "bfloat16":
                array = stored.tensor().float().numpy()
            content = settled(array, stored.dtype)
        held = Held(stored.shape, stored.dtype, "", content)
        named = is_path(stored.name) and ("." in stored.name or stored.elements > 1)
        if stored.elements > SMALL or (named and (held.floating or stored.name in self.buffers)):
            return Held(stored.shape, stored.dtype, f"@{self.weight(stored)}", content)
        return held

    def weight(self, stored: Stored, values: Any = None) -> str:
        """The path under which a tensor of the file is a parameter."""
        path = clean(stored.name) or "weight"
        if path in self.weights and self.weights[path].stored is not stored:
            path = next(p for i in range(1, 1 << 30) if (p := f"{path}_{i}") not in self.weights)
        trained = stored.dtype.startswith(("float", "bfloat", "complex")) and stored.name not in self.buffers
        self.weights[path] = Weight(path, Type(stored.shape, stored.dtype), trained, stored)
        return path

    def untrained(self, *statistics: Held) -> None:
        """These weights are buffers: running means and variances."""
        for held in statistics:
            if held.ref.startswith("@"):
                self.weights[held.ref[1:]].trained = False

    def output(self, name: str) -> Held:
        """A result of the whole, as a value of the graph."""
        self.scope = ()
        try:
            return self.tensor(self._input(name))
        except Unreadable as error:
            raise GraphError(f"{self.file}: output {name!r:.80}: {error}") from None

    # What a node makes.

    def emit(
        self,
        op: str,
        arguments: Mapping[str, Held | None],
        attributes: Mapping[str, Any],
        stated: Sequence[Type] = (),
    ) -> list[Held]:
        """Add an operation. Raises Unreadable where its arguments do not fit."""
        given = {slot: self.tensor(held) for slot, held in arguments.items() if held is not None}
        plain = {name: value for name, value in sorted(attributes.items()) if value is not None}
        types = {slot: Type(held.shape, held.dtype) for slot, held in given.items()}
        outcome = self.inference.operation(op, types, tuple(plain.items()), tuple(stated))
        if outcome.fault is not None:
            fault = outcome.fault
            raise Unreadable(f"as {op}: expected {fault.expected}, found {fault.found}")
        found = outcome.types if outcome.ruled else tuple(stated)
        if not found:
            raise Unreadable(f"nothing says what {op} gives here; add shapes with onnx.shape_inference")
        for made in found:
            self.check(made.shape)
        outputs = [(self._fresh(), made) for made in found]
        self.nodes.append(
            Flat(op, [(slot, held.ref) for slot, held in given.items()], plain, outputs, self.scope)
        )
        if len(self.nodes) > self.limits.nodes:
            raise GraphError(f"{self.file}: more than {self.limits.nodes:,} operations")
        return [Held(made.shape, made.dtype, ref) for ref, made in outputs]

    def _fresh(self) -> str:
        self._count += 1
        return f"%{self._count}"

    def check(self, shape: Shape) -> None:
        """Raise Unreadable for a shape that no tensor can have."""
        elements = 1
        for size in shape:
            if isinstance(size, int):
                elements *= size
                if size < 0:
                    raise Unreadable(f"gives a negative size: {list(shape)}")
        if elements > 1 << 40 or len(shape) > 64:
            raise Unreadable(f"gives {list(shape)!s:.100}, which is more than any tensor")

    def tensor(self, held: Held) -> Held:
        """A value with a reference: numbers that are known become a constant where they are needed."""
        if held.ref:
            return held
        key = (id(held), self.scope)
        kept = self._constants.get(key)
        if kept is None:
            made = self._made(held)
            kept = self._constants[key] = (held, Held(held.shape, held.dtype, made.ref, held.content))
        return kept[1]

    def _made(self, held: Held) -> Held:
        content = held.content
        if content is None:
            raise Unreadable("takes a value that was left out")
        type_ = Type(tuple(int(n) for n in content.shape), held.dtype)
        if not held.symbolic:
            if content.size <= SMALL:
                return self.emit("constant", {}, {"value": nested(content)}, (type_,))[0]
            path = next(p for i in range(1 << 30) if (p := f"constant_{i}") not in self.weights)
            self.weights[path] = Weight(path, type_, False, None, False, numpy.array(content))
            return Held(type_.shape, type_.dtype, f"@{path}")
        scalar = Type((), held.dtype)
        parts = [
            self.emit("full", {}, {"size": (), "fill_value": size, "dtype": held.dtype}, (scalar,))[0]
            for size in content.flatten().tolist()
        ]
        if not content.shape:
            return parts[0]
        stacked = self.emit("stack", {f"tensors.{i}": part for i, part in enumerate(parts)}, {"dim": 0})[0]
        if len(content.shape) == 1:
            return stacked
        return self.emit("reshape", {"input": stacked}, {"shape": type_.shape})[0]


def _of_name(name: str) -> list[tuple[str, str]]:
    """The modules that the name of a node tells of, the whole first; those in a list repeat its name."""
    found, before = [("", "")], ""
    for step in [step for step in name.split("/")[:-1] if step][:30]:
        base = found[-1][0]
        if before and step.startswith(f"{before}."):
            base = base.removesuffix(before).removesuffix(".")
        found.append((f"{base}.{step}" if base else step, ""))
        before = step
    return found


def is_path(name: str) -> bool:
    """Whether a name is that of a weight of a module, such as "layers.0.weight"."""
    return clean(name) == name and not name.startswith("val_")


def clean(name: str) -> str:
    """A name of the file as a path: letters, digits, underscores and dots."""
    made = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name[:900])
    return ".".join(step for step in made.split(".") if step)
