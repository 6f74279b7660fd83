"""Documents that other programs wrote: computed on examples, and traced.

In Graphbook shapes are data like any other: `get_shape` gives a list, `reshape` takes one, a condition
chooses what is computed. So a document is made a module that computes it, with numbers, texts and shapes as
plain data and arrays as tensors, and that module is traced as any other: what is the same for all arrays is
settled, and sizes that are open stay symbols. Nothing is read from or written to disk, and nothing is
executed but the functions of the table in `computing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import GraphError, in_one_line
from ...declared import Declared
from ...dims import symbols
from ...execution.attributes import Moment
from ...execution.sizes import bound_sizes
from ...model import Graph, Value
from ...soundness import MAX_NESTING
from .computing import computed
from .primitives import READ
from .variables import read_data, read_plain, type_of
from .wired import Wired, variables

MOST_TURNS = 1_000
_BLOCKS = ("COMPOSITE_OPERATION", "PROJECT", "LOOP_INIT_OPERATION", "LOOP_BODY_OPERATION")


def read_foreign(document: dict[str, Any], inputs: Sequence[str] = ()) -> Graph:
    """The graph of a document, by tracing what it computes.

    `inputs` are the types of inputs that the document has no shape of, "Hidden States:float32[batch,16]", or
    data for them, "Dimension=2".
    Raises GraphError for an operation that the vocabulary has no equal of, for a choice that depends on what
    arrays hold, and whatever else keeps it from being computed, with its place.
    """
    from ...trace import trace

    name = str(document.get("name", "Graphbook"))
    whole = _Whole(document, name)
    declared = _declared(document, inputs, name)
    module = _module(document, name, whole, 0)
    whole.declared = declared
    found = [s for each in declared for dim in each.shape for s in sorted(symbols(dim))]

    def make(**sizes: int) -> tuple[Tensor, ...]:
        device = torch.device("meta")
        return tuple(
            Declared("x", each.dtype, each.shape).make(sizes, device)
            for each in declared
            if each.data is _NOTHING
        )

    results: list[Any] = []
    whole.tell = lambda made: results.__setitem__(slice(None), made)
    module.given = [each.data if each.data is not _NOTHING else _TENSOR for each in declared]
    try:
        graph = trace(module, make, name=name, symbols=tuple(dict.fromkeys(found)))
    except Exception as error:
        raise whole.error or GraphError(f"{name}: {in_one_line(error, 300)}") from None
    names = tuple(each.name for each in declared if each.data is _NOTHING)
    outputs = tuple(
        v["name"]
        for v, made in zip(variables(document, "outputs", name), results, strict=True)
        if made is _TENSOR
    )
    if len(outputs) != len(graph.output_names) or len(names) != len(graph.input_names):
        return graph
    return replace(graph, input_names=names, output_names=outputs)


class _Mark:
    """Stands for itself, in copies too."""

    def __deepcopy__(self, memo: Any) -> _Mark:
        return self


_TENSOR, _NOTHING = _Mark(), _Mark()


@dataclass(frozen=True)
class _Input:
    """What the whole takes: a tensor's type, or data."""

    name: str
    dtype: str
    shape: tuple[Any, ...]
    data: Any = _NOTHING


def _declared(document: dict[str, Any], inputs: Sequence[str], name: str) -> list[_Input]:
    said: dict[str, Declared] = {}
    data: dict[str, Any] = {}
    for text in inputs:
        which, sign, value = text.partition("=")
        if sign and ":" not in value:
            data[which.strip()] = _plain(value, text)
            continue
        which, colon, rest = text.rpartition(":")
        said[which.strip() if colon else text] = Declared.parse(f"x:{rest}" if colon else text)
    found = []
    listed = variables(document, "inputs", name)
    for variable in listed:
        label = variable["name"]
        where = f"{name}, input {label!r:.80}"
        if label in data:
            found.append(_Input(label, "", (), data.pop(label)))
        elif label in said:
            found.append(_Input(label, said[label].dtype, said.pop(label).shape))
        elif "data" in variable:
            found.append(_Input(label, "", (), read_data(variable, where)))
        else:
            try:
                dtype, shape = type_of(variable, {}, where)
            except GraphError as error:
                raise GraphError(
                    f"{error}; or say it: --input {label + ':float32[batch,length,64]'!r}"
                ) from None
            found.append(_Input(label, dtype, shape))
    if said := {**said, **data}:
        names = ", ".join(v["name"] for v in listed[:8]) or "none"
        raise GraphError(f"{name} has no input {next(iter(said))!r:.80}; it takes {names}")
    return found


def _plain(value: str, text: str) -> Any:
    try:
        return read_plain(json.loads(value), text)
    except ValueError:
        raise GraphError(f"--input {text!r:.80}: write NAME=DATA as JSON, such as 'Dimension=2'") from None


class _Whole:
    """What all parts of a document share: global constants, the sizes of the moment, the first error."""

    def __init__(self, document: dict[str, Any], name: str) -> None:
        self.root = document
        # What tracing does not undo, as it does what a forward writes to attributes.
        self.tell: Callable[[list[Any]], None] = lambda made: None
        self.constants: dict[str, Any] = {}
        self.error: GraphError | None = None
        self.declared: list[_Input] = []
        self.sizes: dict[str, int] = {}
        self.device = torch.device("meta")
        stack = [document]
        while stack:
            entry = stack.pop()
            for variable in variables({"x": entry.get("global_constants") or []}, "x", name):
                value = read_data(variable, f"{name}, constant {variable['name']!r:.80}")
                self.constants.setdefault(variable["name"], value)
            for key in ("operations", "operations_if_true", "operations_if_false"):
                listed = entry.get(key)
                stack += (
                    [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
                )

    def __deepcopy__(self, memo: Any) -> _Whole:
        return self  # a copy that is traced tells the same what it found

    def text(self, value: Any) -> Any:
        """Data with "${NAME}" in texts set."""
        if isinstance(value, str) and "${" in value:
            for name, constant in self.constants.items():
                value = value.replace("${" + name + "}", str(constant))
                if len(value) > 1_000_000:
                    raise GraphError("a text grows beyond a million characters")
        return value


def _module(entry: dict[str, Any], where: str, whole: _Whole, depth: int, part: str = "") -> Any:
    """A module of a class of the operation's name, so that it is traced as a block of that kind."""
    from ..source.names import class_name

    kind = type(class_name(str(entry.get("name", "Block"))), (_Composite,), {"__module__": "graphbook"})
    return kind(entry, where, whole, depth, part)


class _Composite(nn.Module):
    """Computes the operations of a composite; arrays come and go as tensors, all else beside them."""

    def __init__(self, entry: dict[str, Any], where: str, whole: _Whole, depth: int, part: str) -> None:
        super().__init__()
        if depth > MAX_NESTING // 2:
            raise GraphError(f"{where:.200}: nested too deeply to be computed")
        self.entry, self.where, self.whole = entry, where, whole
        self.wired = Wired(entry, where, part)
        self.inputs = [v["name"] for v in variables(entry, "inputs", where)]
        self.outputs = [v["name"] for v in variables(entry, "outputs", where)]
        self.given: list[Any] = []
        self.made: list[Any] = []
        self.root = entry is whole.root
        self.below: dict[str, Any] = {}
        for name, operation in self.wired.operations.items():
            kind, place = operation.get("type"), f"{where}/{name:.80}"
            if kind in _BLOCKS:
                self._put(name, _module(operation, place, whole, depth + 1))
            elif kind == "CONDITIONAL_OPERATION":
                for answer in ("true", "false"):
                    made = _module(operation, place, whole, depth + 1, f"_if_{answer}")
                    self._put(f"{name}.if_{answer}", made)
            elif kind == "LOOP_OPERATION":
                for number, inner in enumerate(_two(operation, place)):
                    part_name = ("initial", "body")[number]
                    self._put(f"{name}.{part_name}", _module(inner, place, whole, depth + 1))
            elif kind == "CLIENT_SIDE_CONSTRAINT_OPERATION" and not self.wired.outputs[name]:
                pass  # a check of types by whoever edits the document
            elif kind != "PRIMITIVE_OPERATION":
                raise GraphError(f"{place}: an operation of type {kind!r:.60} has no equal in a graph")

    def _put(self, name: str, made: nn.Module | nn.Parameter) -> None:
        """A part at a path: "layers.0" stands in "layers"."""
        from ..source.names import identifier

        owner: nn.Module = self
        *above, last = [step if step.isdigit() else identifier(step, "part") for step in name.split(".")]
        for step in above:
            found = owner._modules.get(step)
            if found is None:
                found = nn.Module()
                owner._modules[step] = found
            owner = found
        while last in owner._modules or last in owner._parameters or hasattr(owner, last):
            last += "_"
        if isinstance(made, nn.Parameter):
            owner.register_parameter(last, made)
        else:
            owner.add_module(last, made)
        self.below[name] = made

    def forward(self, *tensors: Tensor) -> Any:
        try:
            return self._computed(tensors)
        except GraphError as error:
            self.whole.error = self.whole.error or error
            raise

    def _computed(self, tensors: tuple[Tensor, ...]) -> Any:
        left = list(tensors)
        values: dict[tuple[str, str], Any] = {}
        for name, given in zip(self.inputs, self.given, strict=True):
            values["this", name] = left.pop(0) if given is _TENSOR else given
        if self.root:
            self._measure(tensors)
        for name in self.wired.order:
            operation = self.wired.operations[name]
            if operation.get("type") == "CLIENT_SIDE_CONSTRAINT_OPERATION":
                continue
            taken = {v["name"]: self._taken(name, v, values) for v in self.wired.inputs[name]}
            made = self._operation(name, operation, taken)
            for variable, value in zip(self.wired.outputs[name], made, strict=True):
                values[name, variable["name"]] = value
        results = [values[self.wired.source("this", name)] for name in self.outputs]
        self.made = [_TENSOR if isinstance(value, Tensor) else value for value in results]
        if self.root:
            self.whole.tell(self.made)
        return tuple(value for value in results if isinstance(value, Tensor))

    def _measure(self, tensors: tuple[Tensor, ...]) -> None:
        """The sizes of symbols, where this is the whole."""
        stated = [(each.name, each.shape) for each in self.whole.declared if each.data is _NOTHING]
        known = {s: (1,) for _, shape in stated for dim in shape for s in symbols(dim)}
        self.whole.sizes = bound_sizes(stated, [tuple(t.shape) for t in tensors], known)
        self.whole.device = tensors[0].device if tensors else torch.device("meta")

    def _taken(self, name: str, variable: Mapping[str, Any], values: Mapping[tuple[str, str], Any]) -> Any:
        source = self.wired.sources.get((name, variable["name"]))
        if source is not None:
            return values[source]
        if (constant := variable.get("global_constant")) in self.whole.constants:
            return self.whole.constants[str(constant)]
        if "data" in variable:
            return self.whole.text(read_data(variable, f"{self.where}/{name:.80}, {variable['name']!r:.80}"))
        return values[self.wired.source(name, variable["name"])]

    def _operation(self, name: str, operation: dict[str, Any], taken: dict[str, Any]) -> list[Any]:
        kind, where = operation["type"], f"{self.where}/{name:.80}"
        if kind == "PRIMITIVE_OPERATION":
            if operation.get("primitive_name") == READ:
                return [self._weight(name, where)]
            moment = Moment(self.whole.sizes, self.whole.device)
            outputs = tuple(self._output(v) for v in self.wired.outputs[name])
            primary = {v.get("primitive_name", v["name"]): taken[v["name"]] for v in self.wired.inputs[name]}
            return computed(str(operation.get("primitive_name")), primary, outputs, moment, where)
        given = list(taken.values())
        if kind == "CONDITIONAL_OPERATION":
            said = operation.get("condition")
            condition = taken.get(str(said.get("name"))) if isinstance(said, dict) else None
            if not isinstance(condition, bool):
                raise GraphError(
                    f"{where}: its condition depends on what arrays hold; a graph has no branches"
                )
            return _call(self.below[f"{name}.if_{str(condition).lower()}"], given)
        if kind == "LOOP_OPERATION":
            return self._loop(name, given, where)
        return _call(self.below[name], given)

    def _loop(self, name: str, given: list[Any], where: str) -> list[Any]:
        data = _call(self.below[f"{name}.initial"], given)
        for _ in range(MOST_TURNS):
            again, *rest = _call(self.below[f"{name}.body"], [*data, *given])
            data, results = rest[: len(data)], rest[len(data) :]
            if not isinstance(again, bool):
                raise GraphError(f"{where}: whether it goes on depends on what arrays hold")
            if not again:
                return results
        raise GraphError(f"{where}: a loop of more than {MOST_TURNS:,} turns")

    def _weight(self, name: str, where: str) -> Tensor:
        if name not in self.below:
            (variable,) = self.wired.outputs[name] or ({},)
            try:
                dtype, shape = type_of(variable, {}, where)
            except GraphError:
                raise GraphError(
                    f"{where}: reads a weight whose shape the document does not say; give its output a shape"
                ) from None
            sizes = [dim for dim in shape if isinstance(dim, int)]
            tensor = torch.empty(sizes, dtype=getattr(torch, dtype), device="meta")
            self._put(name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))
        found: Tensor = self.below[name]
        return found

    def _output(self, variable: Mapping[str, Any]) -> Value:
        dtype = {"INTEGER": "int64", "BOOLEAN": "bool"}.get(str(variable.get("type")), "float32")
        said = variable.get("madstar")
        if isinstance(said, str) and "[" in said:
            dtype = said.partition("[")[0]
        return Value(variable["name"], (), dtype)


def _call(module: Any, given: list[Any]) -> list[Any]:
    """What a composite gives, tensors and all else in its order."""
    if len(given) != len(module.inputs):
        raise GraphError(f"{module.where}: takes {len(module.inputs)} inputs, {len(given)} are given")
    module.given = [_TENSOR if isinstance(value, Tensor) else value for value in given]
    tensors = list(module(*(value for value in given if isinstance(value, Tensor))))
    return [tensors.pop(0) if made is _TENSOR else made for made in module.made]


def _two(operation: dict[str, Any], where: str) -> list[dict[str, Any]]:
    inner = operation.get("operations")
    if not isinstance(inner, list) or len(inner) != 2 or not all(isinstance(each, dict) for each in inner):
        raise GraphError(f"{where}: a loop has two operations, what begins it and its body")
    return inner
