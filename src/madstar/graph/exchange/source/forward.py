"""The `forward` of a block: a line for each node, loops for runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ....errors import GraphError
from ...dims import symbols
from ...execution.plans import label
from ...model import Attribute, Call, Definition, Item, Node, Shape, Value
from ...wiring import given, sources
from .access import reach, weight
from .calling import expression
from .names import Names, identifier
from .plan import Host, Plan
from .said import Said
from .texts import Words, dtype

_LIST_OPS = frozenset(
    "chunk split tensor_split unbind iter meshgrid broadcast_tensors hsplit vsplit dsplit".split()  # noqa: SIM905
)


@dataclass
class Signature:
    """How a block is called: `sizes` are symbols that its inputs do not tell.

    Of the modules that a function is given those of `weights` are no modules but weights.
    """

    name: str
    function: bool
    hosts: int
    sizes: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    weights: frozenset[int] = frozenset()


class Forward:
    """Writes the statements of one block."""

    def __init__(
        self,
        plan: Plan,
        definition: Definition,
        signatures: Mapping[str, Signature],
        settings: Mapping[str, Attribute],
        taken: Sequence[str] = (),
        inputs: Sequence[str] = (),
    ) -> None:
        self.plan, self.definition, self.signatures = plan, definition, signatures
        graph = plan.graph
        self.names = Names(taken)
        example = {symbol: sizes[0] for symbol, sizes in graph.symbols.items()}
        self.sizes = {symbol: self.names.new(symbol, "size") for symbol in graph.symbols}
        function = definition.name in plan.functions
        count = plan.hosts[definition.name]
        self.hosts = ["self"]
        if function:
            self.hosts = [self.names.new(f"part_{i}" if count > 1 else "part") for i in range(count)]
        wanted = inputs or [value.name for value in definition.inputs]
        self.inputs = [self.names.new(name, "x") for name in wanted]
        self.opens = {name: self.names.new(name, "setting") for name in definition.varying}
        self.words = Words(example, self.sizes, self.opens, settings)
        self.tree = None if function else plan.trees[definition.name]
        self.lists = self.tree.lists() if self.tree else None
        self.env = {f"%{v.name}": n for v, n in zip(definition.inputs, self.inputs, strict=True)}
        self.types: dict[str, Value] = {f"%{v.name}": v for v in definition.inputs}
        self.types |= {f"@{p.path}": Value(p.path, p.shape, p.dtype) for p in definition.parameters}
        for item in definition.items:
            self.types |= {f"%{v.name}": v for v in given(item)}
        for parameter in definition.parameters:
            host, path = plan.places(parameter.path)[0]
            if not path:  # the block is given the weight itself
                self.env[f"@{parameter.path}"] = self.hosts[host]
                continue
            owner, _, name = path.rpartition(".")
            module = reach(self.hosts[host], owner, self.lists)
            self.env[f"@{parameter.path}"] = weight(module, name, parameter.trained)
        self.device = self._device()
        self.lines: list[str] = []

    def _device(self) -> str:
        if self.inputs:
            return f"{self.inputs[0]}.device"
        first = next((f"@{p.path}" for p in self.definition.parameters), "")
        if first:
            return f"{self.env[first]}.device"
        for path, parameter in self.tree.weights.items() if self.tree else ():
            owner, _, name = path.rpartition(".")
            return f"{weight(reach('self', owner, self.lists), name, parameter.trained)}.device"
        return ""

    def write(self) -> list[str]:
        """The statements but for the result."""
        for item in needed(self.definition):
            if isinstance(item, Node):
                try:
                    self._node(item)
                except GraphError as error:
                    raise GraphError(f"{label(self.definition, item)}: {error}") from None
            else:
                self._call(item)
        return self.lines

    @property
    def results(self) -> list[str]:
        """What the block gives, as expressions."""
        return [self.env[source] for source in self.definition.outputs]

    # Nodes.

    def _node(self, node: Node) -> None:
        attributes = dict(node.attributes)
        in_place, autocast = attributes.pop("in_place", False), attributes.pop("autocast", None)
        _merge(node, attributes)
        tensors = {argument.slot: self.env[argument.source] for argument in node.arguments}
        training = f"{self.hosts[0]}.training"
        said = Said(node, tensors, self.words, self.types, self.device, training, attributes)
        if node.op == "setitem":
            self._setitem(node, said)
            return
        leaf = self._leaf(node)
        text = leaf or expression(said)
        if in_place and not leaf and len(node.outputs) == 1 and node.op not in ("copy", "fill", "zero"):
            kinds = {self.types[argument.source].dtype for argument in node.arguments}
            wanted = node.outputs[0].dtype
            whole = wanted.startswith(("int", "uint", "bool")) and any(
                isinstance(value, float) for value in attributes.values()
            )
            if kinds != {wanted} or whole or (node.op in ("div", "true_divide") and wanted.startswith("int")):
                text = f"({text}).to({dtype(wanted)})"
        names = [self._new(value) for value in node.outputs]
        if len(names) == 1 and not leaf and node.op in _LIST_OPS:
            text = f"{text}[0]"
        note = _shape_note(node.outputs) if len(names) == 1 else ""
        line = f"{', '.join(names)} = {text}{note}"
        if autocast:
            kind = f"{next(iter(tensors.values()), self.hosts[0])}.device.type" if tensors else '"cpu"'
            self.lines += [f"with torch.autocast({kind}, {dtype(str(autocast))}):", f"    {line}"]
        else:
            self.lines.append(line)

    def _leaf(self, node: Node) -> str:
        """The call of the module of torch.nn that a node is."""
        if node.path not in self.plan.leaves[self.definition.name]:
            return ""
        host, path = self.plan.places(node.path)[0]
        source = next(argument.source for argument in node.arguments if argument.slot == "input")
        return f"{reach(self.hosts[host], path, self.lists)}({self.env[source]})"

    def _setitem(self, node: Node, said: Said) -> None:
        (output,) = node.outputs
        name = self._new(output)
        tensors = {
            int(slot.partition(".")[2]): text
            for slot, text in said.tensors.items()
            if slot.startswith("index.")
        }
        index = self.words.index(said.attributes["index"], tensors)
        value = said.say("value") if "value" in (*said.tensors, *said.attributes) else "None"
        self.lines.append(f"{name} = {said.tensors['input']}.clone(){_shape_note(node.outputs)}")
        self.lines.append(f"{name}[{index}] = {value}")

    def _new(self, value: Value) -> str:
        name = self.names.new(value.name)
        self.env[f"%{value.name}"] = name
        return name

    # Calls.

    def _call(self, call: Call) -> None:
        callee = self.signatures[call.definition]
        if call.count == 1:
            arguments = [self.env[source] for source in call.arguments]
            found = self._hosts(call.paths[0], callee)
            hosts = [self._module(host, number in callee.weights) for number, host in enumerate(found)]
            more = self._more(callee, {name: self.words.say("", values[0]) for name, values in call.settings})
            names = [self._new(value) for value in call.outputs]
            self._assign(names, callee, hosts, [*arguments, *more], "", call.outputs)
            return
        self._run(call, callee)

    def _more(self, callee: Signature, settings: Mapping[str, str]) -> list[str]:
        sizes = [self.words.size(symbol) for symbol in callee.sizes]
        return [*sizes, *(settings[name] for name in callee.opens)]

    def _hosts(self, path: str, callee: Signature) -> list[Host]:
        return self.plan.places(path, len(self.hosts)) if callee.function else [self.plan.places(path)[0]]

    def _module(self, host: Host, is_weight: bool = False) -> str:
        """A module by its name, or a weight where the block called is given that."""
        if is_weight and host[1]:
            owner, _, name = host[1].rpartition(".")
            return weight(reach(self.hosts[host[0]], owner, self.lists), name, True)
        return reach(self.hosts[host[0]], host[1], self.lists)

    def _assign(
        self,
        names: Sequence[str],
        callee: Signature,
        hosts: Sequence[str],
        arguments: Sequence[str],
        indent: str,
        outputs: Sequence[Value],
    ) -> None:
        called = callee.name if callee.function else hosts[0]
        inside = ", ".join([*hosts, *arguments] if callee.function else arguments)
        left = f"{', '.join(names)} = " if names else ""
        note = _shape_note(outputs) if len(names) == 1 else ""
        self.lines.append(f"{indent}{left}{called}({inside}){note}")

    def _run(self, call: Call, callee: Signature) -> None:
        """A loop: modules, inputs of each turn's own and settings go along, what is carried stays."""
        turns = [self._hosts(path, callee) for path in call.paths]
        walked: list[tuple[str, str]] = []  # variable, what it goes over
        hosts = []
        for number in range(len(turns[0])):
            column = [turn[number] for turn in turns]
            if len(set(column)) == 1:
                hosts.append(self._module(column[0], number in callee.weights))
            else:
                hosts.append(self.names.new(identifier(_last(column[0][1]), "part").rstrip("s") or "part"))
                walked.append((hosts[-1], self._series(column, number in callee.weights)))
        arguments = [self.env[source] for source in call.arguments]
        for place, refs in call.own:
            arguments[place] = self.names.new(self.signatures_input(call, place))
            walked.append((arguments[place], _listing([self.env[ref] for ref in refs])))
        settings: dict[str, str] = {}
        for name, values in call.settings:
            texts = [self.words.say("", value) for value in values]
            if len(set(texts)) == 1:
                settings[name] = texts[0]
                continue
            settings[name] = self.names.new(name, "setting")
            walked.append((settings[name], _range(values) or _listing(texts)))
        names = [self._new(value) for value in call.outputs]
        after: list[str] = []
        begun: set[str] = set()
        for output, place in call.carried:
            variable = names[output]
            if variable in begun:
                variable = self.names.new(f"{variable}_next")
                after.append(f"{variable} = {names[output]}")
            begun.add(variable)
            self.lines.append(f"{variable} = {arguments[place]}")
            arguments[place] = variable
        for place, found in call.gathered:
            listed = self.names.new(f"all_{names[place]}")
            self.lines.append(f"{listed} = []")
            after.append(f"{listed}.append({names[place]})")
            self.env |= {f"%{name}": f"{listed}[{turn}]" for turn, name in enumerate(found)}
        self.lines.append(self._head(walked, call.count))
        more = self._more(callee, settings)
        self._assign(names, callee, hosts, [*arguments, *more], "    ", call.outputs)
        self.lines += [f"    {line}" for line in after]

    def signatures_input(self, call: Call, place: int) -> str:
        """What the block called has as the name of an input."""
        return self.plan.graph.definitions[call.definition].inputs[place].name

    def _head(self, walked: list[tuple[str, str]], count: int) -> str:
        if not walked:
            return f"for _ in range({count}):"
        if len(walked) == 1:
            return f"for {walked[0][0]} in {walked[0][1]}:"
        return (
            f"for {', '.join(v for v, _ in walked)} in zip({', '.join(t for _, t in walked)}, strict=True):"
        )

    def _series(self, column: Sequence[Host], are_weights: bool) -> str:
        """Modules one after the other: a list, a part of one, or each by its name."""
        above = {(host, path.rpartition(".")[0]) for host, path in column}
        steps = [path.rpartition(".")[2] for _, path in column]
        if (
            not are_weights
            and self.lists is not None
            and len(above) == 1
            and all(step.isdecimal() for step in steps)
        ):
            host, path = above.pop()
            if path in self.lists:
                numbers = [int(step) for step in steps]
                stride = numbers[1] - numbers[0]
                if stride > 0 and numbers == list(range(numbers[0], numbers[-1] + 1, stride)):
                    whole = reach(self.hosts[host], path, self.lists)
                    return whole + _slice(numbers[0], numbers[-1], stride, self.lists[path])
        return _listing([self._module(host, are_weights) for host in column])


def _slice(first: int, last: int, stride: int, count: int) -> str:
    if (first, stride) == (0, 1) and last == count - 1:
        return ""
    start = str(first) if first else ""
    stop = str(last + 1) if last + stride < count else ""
    return f"[{start}:{stop}{f':{stride}' if stride > 1 else ''}]"


def _last(path: str) -> str:
    steps = [step for step in path.split(".") if not step.isdecimal()]
    return steps[-1] if steps else "part"


def _listing(texts: Sequence[str]) -> str:
    return f"[{', '.join(texts)}]"


def _range(values: Sequence[Attribute]) -> str:
    if any(type(value) is not int for value in values) or len(values) < 3:
        return ""
    stride = values[1] - values[0]
    if not stride or list(values) != [values[0] + i * stride for i in range(len(values))]:
        return ""
    end = values[-1] + (1 if stride > 0 else -1)
    start = f"{values[0]}, " if values[0] or stride != 1 else ""
    return f"range({start}{end}{f', {stride}' if stride != 1 else ''})"


def _merge(node: Node, attributes: dict[str, Attribute]) -> None:
    """Attributes "data.0", "data.1" become the one list "data", as `execution.kernels` has it."""
    slots = {argument.slot.partition(".")[0] for argument in node.arguments}
    heads = {slot.partition(".")[0] for slot in attributes if "." in slot} - {"argument"} - slots
    for head in heads:
        parts = [slot for slot in attributes if slot.startswith(f"{head}.")]
        if all(slot.count(".") == 1 for slot in parts):
            ordered = sorted(parts, key=lambda slot: int(slot.partition(".")[2]))
            attributes[head] = tuple([attributes.pop(slot) for slot in ordered])


def needed(definition: Definition) -> Iterator[Item]:
    """The items that the block's outputs are computed from, in order."""
    wanted = set(definition.outputs)
    kept = []
    for item in reversed(definition.items):
        if any(f"%{value.name}" in wanted for value in given(item)):
            wanted |= set(sources(item))
            kept.append(item)
    return reversed(kept)


def _shape_note(values: Sequence[Value]) -> str:
    (value,) = values[:1]
    kind = "" if value.dtype == "float32" else f"{value.dtype} "
    return f"  # {kind}{shape_text(value.shape)}"


def shape_text(shape: Shape) -> str:
    """A shape for a comment."""
    return f"[{', '.join(map(str, shape))}]"


def own_symbols(value: Value) -> dict[str, int]:
    """The symbols that stand alone in a shape, and where."""
    return {
        dim: axis
        for axis, dim in reversed(list(enumerate(value.shape)))
        if isinstance(dim, str) and symbols(dim) == {dim}
    }


__all__ = ["Forward", "Signature", "needed", "own_symbols", "shape_text"]
