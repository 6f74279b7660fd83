"""`read_onnx`: an ONNX file becomes a graph; its weights stay where they are until they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import GraphError, in_one_line
from ....whole_files import whole
from ... import dims
from ...buffers import FACT, in_short
from ...folding import fold
from ...inference.types import Type
from ...model import Dim, Graph, Shape
from ...soundness import check_sound
from ...walk import parameters
from ...weights import attach
from .extras import need
from .fusing import fused
from .held import Held
from .inlining import inlined
from .interpreting import Interpreter, Weight, clean
from .nesting import Blocks
from .opening import Limits, check_graph, opened, version
from .tensors import DTYPES, Stored
from .translating import BUFFERS, SYMBOLS, TIED
from .tying import tied_groups, tied_in, untied

_DEFAULT = Limits()
_LONGEST = 1 << 22
"""Elements of the largest buffer that is looked at for a short form of its values, as masks have."""


def read_onnx(
    path: str | Path,
    *,
    weights_to: str | Path | None = None,
    name: str | None = None,
    max_bytes: int = _DEFAULT.bytes,
    max_nodes: int = _DEFAULT.nodes,
    max_elements: int = _DEFAULT.elements,
) -> Graph:
    """The computation of an ONNX file as a graph.

    Args:
        path: The file, of opset 13 or newer. Nothing of it is executed; of weights beside it only small ones
            are read, which may be sizes.
        weights_to: A .safetensors file to write the weights to, in the dtypes of the graph; the graph then
            names it, as seen from the folder that it is in. `onnx_weights` gives them as tensors instead.
        name: What the graph is called; the name of the graph in the file if None.
        max_bytes, max_nodes, max_elements: Limits of the file, of its nodes with functions written out, and
            of one tensor.

    Operations become functions of the vocabulary. Sizes that the file names are symbols; shapes that it
    computes from them are expressions again. Blocks are those that the exporter of torch has noted.

    Raises GraphError, naming the node or tensor, for a file that cannot be read, that breaks the rules of
    ONNX or a limit, or has an operation that graphs have not.
    """
    limits = Limits(max_bytes, max_nodes, max_elements)
    graph, weights = _read(Path(path), limits, name)
    if weights_to is not None:
        graph = _written(graph, weights, Path(weights_to))
    return graph


def onnx_weights(
    path: str | Path,
    *,
    max_bytes: int = _DEFAULT.bytes,
    max_nodes: int = _DEFAULT.nodes,
    max_elements: int = _DEFAULT.elements,
) -> dict[str, Tensor]:
    """The weights of an ONNX file by their paths in the graph that `read_onnx` makes of it, for `build`."""
    _, weights = _read(Path(path), Limits(max_bytes, max_nodes, max_elements), None)
    return {path: _values(weight) for path, weight in weights.items()}


def _values(weight: Weight) -> Tensor:
    if weight.stored is None:
        return torch.from_numpy(weight.values).to(getattr(torch, weight.type.dtype))
    found = weight.stored.tensor()
    return found.t().contiguous() if weight.transposed else found


def _written(graph: Graph, weights: Mapping[str, Weight], file: Path) -> Graph:
    from safetensors.torch import save_file

    if not file.parent.is_dir():
        raise GraphError(f"{file}: there is no folder {file.parent}")
    with whole(file) as partial:
        save_file({path: _values(weight) for path, weight in weights.items()}, partial)
    return attach(graph, [file], file.parent)


def _read(file: Path, limits: Limits, name: str | None) -> tuple[Graph, dict[str, Weight]]:
    try:
        return _Reading(file, limits).read(name)
    except GraphError:
        raise
    except Exception as error:  # whatever a foreign file makes of what is not foreseen
        raise GraphError(f"{file}: cannot be read: {in_one_line(error, 120)}") from None


class _Reading:
    """One file on its way to a graph."""

    def __init__(self, file: Path, limits: Limits):
        self.file, self.limits = file, limits
        self.model = opened(file, limits)
        self.said = {each.key: each.value for each in self.model.metadata_props}
        self.symbols: dict[str, tuple[int, ...]] = {}
        self.traced = self._json(SYMBOLS, dict)

    def _json(self, key: str, kind: type) -> Any:
        """What was noted when the file was written; files may say anything."""
        try:
            found = json.loads(self.said.get(key, "null"))
        except (ValueError, RecursionError):
            return kind()
        return found if isinstance(found, kind) else kind()

    def read(self, name: str | None) -> tuple[Graph, dict[str, Weight]]:
        """The graph, and its weights."""
        proto = self.model.graph
        if proto.sparse_initializer:
            raise GraphError(f"{self.file}: it has sparse weights, which cannot be read")
        nodes = inlined(self.file, self.model, self.limits)
        names = [tensor.name for tensor in proto.initializer]
        if len(set(names)) < len(names):
            twice = next(n for i, n in enumerate(names) if n in names[:i])
            raise GraphError(f"{self.file}: two tensors have the name {twice!r:.80}")
        check_graph(self.file, proto, nodes, names)
        stored = {tensor.name: Stored(self.file, tensor, self.limits) for tensor in proto.initializer}
        inputs = [value for value in proto.input if value.name not in stored]
        types = [self._type(value) for value in inputs]
        interpreter = self._interpreter(stored, proto)
        taken: list[tuple[str, str, Type]] = []
        used: set[str] = set()
        for value, type_ in zip(inputs, types, strict=True):
            ref = f"%in:{value.name}"
            plain = clean(value.name).replace(".", "_") or "input"
            plain = plain if plain not in used else f"{plain}_{len(used)}"
            used.add(plain)
            interpreter.values[value.name] = Held(type_.shape, type_.dtype, ref)
            taken.append((ref, plain, type_))
        opset = version(self.model.opset_import) or 1
        for number, node in enumerate(nodes):
            interpreter.read(node, number, opset)
        results = []
        for value in proto.output:
            held = interpreter.output(value.name)
            results.append(held.ref)
        groups = tied_groups(self._json(TIED, list), interpreter.weights)
        flats = untied(interpreter.nodes, interpreter.weights, groups)
        flats = fused(flats, interpreter.weights, results)
        graph = self._graph(name, flats, interpreter, taken, [v.name for v in inputs], results)
        kept = parameters(graph)
        graph = replace(graph, tied=tied_in(groups, kept))
        return graph, {path: weight for path, weight in interpreter.weights.items() if path in kept}

    def _interpreter(self, stored: Mapping[str, Stored], proto: Any) -> Interpreter:
        claims: dict[str, Type] = {}
        for value in (*proto.value_info, *proto.output):
            found = self._claim(value)
            if found is not None:
                claims[value.name] = found
        buffers = frozenset(each for each in self._json(BUFFERS, list) if isinstance(each, str))
        return Interpreter(self.file, self.symbols, stored, claims, self.limits, buffers)

    # Types.

    def _type(self, value: Any) -> Type:
        """The type of an input; sizes that the file leaves open become symbols."""
        where = f"{self.file}: input {value.name!r:.80}"
        if not value.type.HasField("tensor_type"):
            raise GraphError(f"{where}: it is no tensor")
        tensor = value.type.tensor_type
        dtype = DTYPES.get(tensor.elem_type)
        if dtype is None:
            raise GraphError(f"{where}: its data type {tensor.elem_type} is none that graphs have")
        if not tensor.HasField("shape"):
            raise GraphError(f"{where}: the number of its dimensions is not said")
        if len(tensor.shape.dim) > 64:
            raise GraphError(f"{where}: it has {len(tensor.shape.dim)} dimensions")
        shape = tuple(self._dim(dim, where, value.name, axis) for axis, dim in enumerate(tensor.shape.dim))
        whole = 1
        for size in shape:
            whole *= size if isinstance(size, int) else 1
        if whole > self.limits.elements:
            raise GraphError(f"{where}: {whole:,} elements, the limit is {self.limits.elements:,}")
        return Type(shape, dtype)

    def _dim(self, dim: Any, where: str, name: str, axis: int) -> Dim:
        if dim.HasField("dim_value"):
            if dim.dim_value < 0:
                raise GraphError(f"{where}: its dimension {axis} is {dim.dim_value}")
            return int(dim.dim_value)
        text = dim.dim_param or f"{clean(name).replace('.', '_') or 'input'}_{axis}"
        if len(text) > 200:
            raise GraphError(f"{where}: the name of its dimension {axis} is {len(text)} characters long")
        size = self._expression(text)
        if size is None:
            size = self._symbol(text)
        for symbol in sorted(dims.symbols(size)):
            self._open(symbol)
        return size

    def _expression(self, text: str) -> Dim | None:
        try:
            return dims.canonical(text)
        except GraphError:
            return None

    def _symbol(self, text: str) -> str:
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in text).strip("_") or "size"
        return plain if not plain[0].isdigit() else f"size_{plain}"

    def _open(self, symbol: str) -> None:
        """A symbol, with the sizes noted in the file, or some that models of its name take."""
        if symbol in self.symbols:
            return
        noted = self.traced.get(symbol)
        if (
            isinstance(noted, list)
            and 1 <= len(noted) <= 8
            and all(type(n) is int and 0 < n < 1 << 20 for n in noted)
        ):
            self.symbols[symbol] = tuple(noted)
            return
        lower = symbol.lower()
        if "batch" in lower or lower in ("n", "b", "bs"):
            self.symbols[symbol] = (2, 3)
        elif "height" in lower or "width" in lower:
            self.symbols[symbol] = (64, 96)
        else:
            self.symbols[symbol] = (16, 20)

    def _claim(self, value: Any) -> Type | None:
        """A type that the file states for a value, if all of it is known."""
        tensor = value.type.tensor_type
        dtype = DTYPES.get(tensor.elem_type)
        if dtype is None or not tensor.HasField("shape") or len(tensor.shape.dim) > 64:
            return None
        shape: list[Dim] = []
        for dim in tensor.shape.dim:
            size = int(dim.dim_value) if dim.HasField("dim_value") else self._expression(dim.dim_param[:200])
            if size is None or (isinstance(size, int) and size < 0):
                return None
            shape.append(size)
        return Type(tuple(shape), dtype)

    # The graph.

    def _graph(
        self,
        name: str | None,
        flats: list[Any],
        interpreter: Interpreter,
        taken: list[tuple[str, str, Type]],
        inputs: list[str],
        results: list[str],
    ) -> Graph:
        blocks = Blocks(flats, interpreter.weights, taken, results)
        root = blocks.make()
        known = dict(self.symbols.items())
        facts: dict[str, Any] = {
            "source": "onnx",
            "opset": version(self.model.opset_import),
            "producer": f"{self.model.producer_name} {self.model.producer_version}".strip()[:200],
            "function_nodes": len(flats),
        }
        buffers = {
            path: in_short(_values(weight))
            for path, weight in interpreter.weights.items()
            if not weight.trained and _count(weight.type.shape) <= _LONGEST
        }
        if buffers:
            facts[FACT] = buffers
        called = clean(name or self.model.graph.name or self.file.stem) or "model"
        graph = Graph(
            called,
            root,
            blocks.definitions,
            tuple(_plain(each) for each in inputs),
            tuple(_plain(value.name) for value in self.model.graph.output),
            known,
            facts=facts,
        )
        try:
            graph = fold(graph)
            check_sound(graph)
        except GraphError as error:
            raise GraphError(f"{self.file}: {error}") from None
        return replace(graph, facts={**graph.facts, "onnx": need("onnx").__version__})


def _plain(name: str) -> str:
    """A name of an input or output as graphs have them."""
    return "".join(c if c.isprintable() and not c.isspace() else "_" for c in name)[:1000] or "value"


def _count(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= int(size)
    return count
