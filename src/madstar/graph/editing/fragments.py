"""What is put into a graph: a few steps that become a small block, or a whole graph as a block.

Each step takes what the one before gives, unless it says otherwise. `%x` is what the site takes (`%x1` its
second tensor, and so on), `%y` what it gives, `%NAME` an earlier step. Weights are made for the types that
are found there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import EditError
from .. import dims
from ..inference import Inference, Type
from ..model import Argument, Attribute, Call, Definition, Graph, Item, Node, Parameter, Shape, Value
from ..soundness import ordered_definitions
from ..unfolding import unfold
from ..vocabulary import OPERATIONS
from .drafts import Draft
from .weighted import WEIGHTED, Made, Sizes

_TENSORS = frozenset(
    ("input", "tensors", "operands", "query", "condition", "x1", "a", "abs", "real", "A", "mat1", "tensor")
)
"""Names of first slots that are filled with a tensor: there a step takes what the one before gives."""


@dataclass(frozen=True)
class Step:
    """One operation: what it takes by slot ("%x", "%y", "%NAME"), its attributes, its options for weights."""

    op: str
    name: str
    given: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[tuple[str, Attribute], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fragment:
    """What is put in: steps, or a graph with what its inputs take by name.

    `path` is where its weights stand, relative to the block; `{site}` in it is the site's own path or name.
    `kind` is the class that a block of several steps is said to be.
    """

    steps: tuple[Step, ...] = ()
    graph: Graph | None = None
    path: str = ""
    kind: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    plain: Any = None
    """The JSON that it was read from, or was given as."""


@dataclass(frozen=True)
class Around:
    """What a fragment finds at its site: what is taken, what is given, which of them it takes first."""

    takes: tuple[str, ...]
    gives: str
    first: str
    site: str
    owner: str


def build(
    fragment: Fragment, around: Around, draft: Draft, inference: Inference
) -> tuple[list[Item], list[str]]:
    """The items that a fragment becomes in a block, and what they give; weights and blocks go into the draft.

    Raises EditError where a step does not fit what it takes.
    """
    builder = _Builder(fragment, around, draft, inference)
    if fragment.graph is not None:
        return builder.graph(fragment.graph)
    return builder.single() if len(fragment.steps) == 1 else builder.block()


class _Builder:
    def __init__(self, fragment: Fragment, around: Around, draft: Draft, inference: Inference) -> None:
        self.fragment, self.around, self.draft, self.inference = fragment, around, draft, inference
        self.refs = {f"%x{n}": ref for n, ref in enumerate(around.takes)} | {"%y": around.gives}
        if around.takes:
            self.refs["%x"] = around.takes[0]
        self.bindings = {
            name[1:]: last
            for name, ref in self.refs.items()
            if (shape := draft.type_of(ref).shape) and isinstance(last := shape[-1], int)
        }
        self.where = f"{draft.where(around.site)}, what is put in"

    def path(self, default: str) -> str:
        wanted = (self.fragment.path or default).replace("{site}", self.around.owner or self.around.site)
        return self.draft.fresh_path(wanted, self.around.owner)

    def single(self) -> tuple[list[Item], list[str]]:
        """One step is a node of the block itself."""
        step = self.fragment.steps[0]
        types = {name: self.draft.type_of(ref) for name, ref in self.refs.items()}
        types["%"] = self.draft.type_of(self.around.first)
        node, made = self.step(step, "%", types)
        path = self.path(step.name) if made is not None else ""
        refs = {**self.refs, "%": self.around.first}
        refs |= {f"@{p.path}": self.draft.parameter(replace(p, path=f"{path}.{p.path}")) for p in made or ()}
        outputs = tuple(self.draft.value(step.name, Type(v.shape, v.dtype)) for v in node.outputs)
        arguments = tuple(Argument(a.slot, refs[a.source]) for a in node.arguments)
        name = self.draft.name(step.name)
        return [replace(node, name=name, arguments=arguments, outputs=outputs, path=path)], [
            f"%{value.name}" for value in outputs
        ]

    def block(self) -> tuple[list[Item], list[str]]:
        """Several steps are a block of their own, which takes what they refer to of the site."""
        refs = {name: ref for name, ref in self.refs.items() if name != "%x0"}
        first = next((name for name, ref in refs.items() if ref == self.around.first), "%in")
        refs[first] = self.around.first
        said = {self._plain(ref) for step in self.fragment.steps for ref in step.given.values()}
        names = [first, *sorted(said & set(refs) - {first})]
        types = {name: self.draft.type_of(refs[name]) for name in names}
        inputs = tuple(Value(name[1:], t.shape, t.dtype) for name, t in types.items())
        items: list[Item] = []
        parameters: list[Parameter] = []
        before = first
        for step in self.fragment.steps:
            given = {slot: self._plain(ref) for slot, ref in step.given.items()}
            node, made = self.step(replace(step, given=given), before, types)
            path = step.name if made is not None else ""
            weights = {f"@{p.path}": f"@{path}.{p.path}" for p in made or ()}
            parameters += [replace(p, path=f"{path}.{p.path}") for p in made or ()]
            arguments = tuple(Argument(a.slot, weights.get(a.source, a.source)) for a in node.arguments)
            items.append(replace(node, arguments=arguments, path=path))
            types |= {f"%{v.name}": Type(v.shape, v.dtype) for v in node.outputs}
            before = f"%{node.outputs[0].name}"
        kind = self.fragment.kind or "Inserted"
        definition = Definition(kind, kind, inputs, tuple(parameters), tuple(items), (before,))
        path = self.path(kind[0].lower() + kind[1:])
        return self.called(self.draft.block(definition), path, tuple(refs[name] for name in names))

    def _plain(self, ref: str) -> str:
        return "%x" if ref == "%x0" else ref

    def called(self, block: str, path: str, arguments: tuple[str, ...]) -> tuple[list[Item], list[str]]:
        definition = self.draft.table[block]
        types = {f"%{v.name}": v for v in definition.inputs}
        types |= {f"%{v.name}": v for item in definition.items for v in item.outputs}
        last = path.rpartition(".")[2]
        outputs = tuple(
            self.draft.value(last, Type(types[ref].shape, types[ref].dtype)) for ref in definition.outputs
        )
        call = Call(self.draft.name(f"{last}_call"), block, (path,), arguments, outputs)
        return [call], [f"%{value.name}" for value in outputs]

    def step(
        self, step: Step, before: str, types: Mapping[str, Type]
    ) -> tuple[Node, tuple[Parameter, ...] | None]:
        """A step as a node with its own references, and its weights; None where it can have none."""
        where = f"{self.where}, step {step.name!r}"
        given = self._given(step, before)
        for ref in given.values():
            if ref not in types:
                raise EditError(f"{where}: {ref} is not known there; known are {', '.join(sorted(types))}")
        made: Made | None = None
        if step.op in WEIGHTED and not {"weight", "bias"} & set(given):
            if not given:
                raise EditError(f'{where}: takes nothing; say what with "in"')
            maker, _ = WEIGHTED[step.op]
            made = maker(types[next(iter(given.values()))], Sizes(step.options, self.bindings, where))
        op = made.op if made else step.op
        weights = made.weights if made else ()
        dtype = self._dtype(op, [types[ref].dtype for ref in given.values()])
        attributes = tuple(sorted((dict(made.attributes if made else {}) | dict(step.attributes)).items()))
        tensors = {slot: types[ref] for slot, ref in given.items()}
        tensors |= {w.slot: Type(w.shape, dtype) for w in weights}
        outcome = self.inference.operation(op, tensors, attributes, ())
        if outcome.fault is not None:
            raise EditError(f"{where}: {op}: expected {outcome.fault.expected}, found {outcome.fault.found}")
        if not outcome.types:
            raise EditError(f"{where}: no rule says what {op} gives here; use other operations")
        arguments = [Argument(slot, ref) for slot, ref in given.items()]
        arguments += [Argument(w.slot, f"@{w.path}") for w in weights]
        outputs = tuple(
            Value(f"{step.name}_{n}" if n else step.name, t.shape, t.dtype)
            for n, t in enumerate(outcome.types)
        )
        parameters = tuple(Parameter(w.path, w.shape, dtype, True, w.initialisation) for w in weights)
        return Node(step.name, op, tuple(arguments), outputs, attributes), parameters if made else None

    def _given(self, step: Step, before: str) -> dict[str, str]:
        """What a step takes by slot: in the first what the step before gives, if nothing else is said."""
        op = "mul" if step.op == "scale" else step.op
        first = OPERATIONS[op].slots[0] if OPERATIONS[op].slots and _takes_tensor(op) else ""
        said = {slot.partition(".")[0] for slot in step.given} | {slot for slot, _ in step.attributes}
        if not first or first in said:
            return dict(step.given)
        return {f"{first}.0" if first in ("tensors", "operands") else first: before, **step.given}

    def _dtype(self, op: str, taken: list[str]) -> str:
        """The dtype of weights: that of what they meet; of an embedding that of what is there."""
        dtype = taken[0] if taken and op != "embedding" else self.draft.type_of(self.around.gives).dtype
        return dtype if dtype.startswith(("float", "bfloat")) else "float32"

    # A whole graph.

    def graph(self, graph: Graph) -> tuple[list[Item], list[str]]:
        """A graph's blocks with its symbols as the sizes found here, called as one."""
        graph = unfold(graph)
        arguments = self._arguments(graph)
        symbols = _matched(graph, [self.draft.type_of(ref) for ref in arguments], self.where)
        names: dict[str, str] = {}
        for name in ordered_definitions(graph):
            names[name] = self.draft.block(_substituted(graph.definitions[name], symbols, names))
        path = self.path(self.fragment.kind or graph.main.kind)
        self.draft.tied += [tuple(f"{path}.{each}" for each in group) for group in graph.tied]
        return self.called(names[graph.root], path, arguments)

    def _arguments(self, graph: Graph) -> tuple[str, ...]:
        rest = [ref for ref in self.around.takes if ref != self.around.first]
        free = iter([self.around.first, *rest])
        arguments = []
        for name in graph.input_names:
            said = self.fragment.given.get(name)
            if said is not None and said not in self.refs:
                raise EditError(f"{self.where}: {said} is not known there; known are {', '.join(self.refs)}")
            found = self.refs[said] if said is not None else next(free, None)
            if found is None:
                raise EditError(
                    f'{self.where}: nothing is given to its input {name!r}; say "in": {{"{name}": "%x"}}'
                )
            arguments.append(found)
        if unknown := sorted(set(self.fragment.given) - set(graph.input_names)):
            raise EditError(
                f"{self.where}: it has no input {unknown[0]!r}, but {', '.join(graph.input_names)}"
            )
        return tuple(arguments)


def _takes_tensor(op: str) -> bool:
    """Whether the first slot of an operation is for a tensor."""
    operation = OPERATIONS[op]
    return operation.slots[0] in _TENSORS


def _matched(graph: Graph, given: Sequence[Type], where: str) -> dict[str, Any]:
    """What each symbol of a graph is, where its inputs have these types."""
    symbols: dict[str, Any] = {}
    for value, type_ in zip(graph.main.inputs, given, strict=True):
        fits = len(value.shape) == len(type_.shape) and value.dtype == type_.dtype
        if fits:
            for own, found in zip(value.shape, type_.shape, strict=True):
                if isinstance(own, str) and own in graph.symbols:
                    symbols.setdefault(own, found)
            shape = tuple(dims.substitute(own, symbols) for own in value.shape)
            fits = all(dims.equal(a, b) for a, b in zip(shape, type_.shape, strict=True))
        if not fits:
            raise EditError(
                f"{where}: expected {Type(value.shape, value.dtype)} for {value.name}, found {type_}"
            )
    return symbols


def _substituted(definition: Definition, symbols: Mapping[str, Any], names: Mapping[str, str]) -> Definition:
    if all(name == size for name, size in symbols.items()):
        symbols = {}

    def shape(old: Shape) -> Shape:
        return tuple(dims.substitute(dim, symbols) for dim in old) if symbols else old

    def value(old: Value) -> Value:
        return replace(old, shape=shape(old.shape))

    def attribute(old: Attribute) -> Attribute:
        if isinstance(old, tuple):
            return tuple(attribute(part) for part in old)
        if isinstance(old, str) and symbols and dims.is_canonical(old):
            return dims.substitute(old, symbols)
        return old

    items: list[Item] = []
    for item in definition.items:
        outputs = tuple(value(v) for v in item.outputs)
        if isinstance(item, Call):
            items.append(replace(item, definition=names[item.definition], outputs=outputs))
        else:
            attributes = tuple((slot, attribute(said)) for slot, said in item.attributes)
            body = item.body if not symbols else ()
            items.append(replace(item, outputs=outputs, attributes=attributes, body=body))
    inputs = tuple(value(v) for v in definition.inputs)
    return replace(definition, inputs=inputs, items=tuple(items))
