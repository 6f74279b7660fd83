"""From a recording to definitions: blocks nested as the modules are, values passed in and out by name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from madstar.graph.model import Argument, Call, Definition, Item, Node, Parameter, Value
from madstar.graph.recording import Recording, dtype_name
from madstar.graph.symbols import Sizes
from madstar.graph.vocabulary import OPAQUE, known


class _Block:
    """A module's instance on its way to a definition.

    `base` is its full path, None where it is no descendant of its caller.
    """

    __slots__ = (
        "base",
        "depth",
        "index",
        "inputs",
        "items",
        "outputs",
        "parameters",
        "parent",
        "path",
        "refs",
        "shadow",
        "taken",
    )

    def __init__(self, index: int, parent: _Block | None, base: str | None, path: str, shadow: str):
        self.index, self.parent, self.base, self.path, self.shadow = index, parent, base, path, shadow
        self.depth: int = parent.depth + 1 if parent else 0
        self.items: list[Node | _Block] = []
        self.refs: dict[int, str] = {}
        self.inputs: list[tuple[int, str]] = []
        self.outputs: list[int] = []
        self.parameters: dict[str, str] = {}
        self.taken: dict[str, int] = {}

    def fresh(self, wanted: str) -> str:
        """A name not yet used in this block."""
        count = self.taken.get(wanted, 0)
        self.taken[wanted] = count + 1
        if not count:
            return wanted
        name = f"{wanted}_{count}"
        return self.fresh(name) if name in self.taken else self._claim(name)

    def _claim(self, name: str) -> str:
        self.taken[name] = 1
        return name


class Assembler:
    """Builds the definitions of one recording; `definitions` and `root` are the result of `assemble`."""

    def __init__(self, module: nn.Module, recording: Recording, sizes: Sizes):
        self.recording, self.sizes = recording, sizes
        self.tensors: dict[str, Tensor] = {}
        self.trained: set[str] = set()
        for path, parameter in module.named_parameters(remove_duplicate=False):
            self.tensors[path] = parameter
            self.trained.add(path)
        self.tensors.update(module.named_buffers(remove_duplicate=False))
        self.order = {path: i for i, path in enumerate(self.tensors)}
        self.classes = {
            path: _class(type(owner)) for path, owner in module.named_modules(remove_duplicate=False)
        }
        self.definitions: dict[str, Definition] = {}
        self.touched: set[int] = set()
        self._parameters: dict[tuple[str, str], Parameter] = {}
        self._values: dict[tuple[int, str], Value] = {}
        self._unique: dict[tuple[object, ...], str] = {}
        self._counts: dict[str, int] = {}

    def assemble(self) -> str:
        """Fill `definitions`; the name of the one that is the whole comes back."""
        self._live()
        self._blocks()
        if (whole := self.blocks[0]) is not None:
            for _, value in self.recording.inputs:  # all, in the order of their names, used or not
                self._local(whole, value)
        for index, record in enumerate(self.recording.records):
            if index in self.alive:
                self._node(index, self.home[record.instance], self.node_path.get(index, ""))
        root = self.blocks[0]
        assert root is not None
        self.output_refs = [self._local(root, value) for _, value in self.recording.outputs]
        self._returns()
        self._owners()
        return self._define()

    # Which records and instances there are.

    def _live(self) -> None:
        """All records but those of views and writes that no one came to use."""
        records, values = self.recording.records, self.recording.values
        used: set[int] = set()
        for _, value in self.recording.outputs:
            used.add(value)
        self.alive: set[int] = set()
        for index in range(len(records) - 1, -1, -1):
            record = records[index]
            if not record.artificial or not used.isdisjoint(record.outputs):
                self.alive.add(index)
                used.update(value for _, value in record.arguments)
        self.home_of = [value.origin.place if value.origin.kind == "record" else -1 for value in values]

    def _blocks(self) -> None:
        """Instances become blocks; those without anything vanish, those of one function become its node."""
        instances, records = self.recording.instances, self.recording.records
        held: list[list[int]] = [[] for _ in instances]
        for index in range(len(instances) - 1, -1, -1):
            held[index] = [i for i in instances[index].items if (i in self.alive if i >= 0 else held[~i])]
        self.blocks: list[_Block | None] = [None] * len(instances)
        self.home: dict[int, _Block] = {}
        self.node_path: dict[int, str] = {}
        for index, instance in enumerate(instances):
            if instance.parent < 0:
                block = _Block(index, None, "", "", "")
                self.blocks[index] = self.home[index] = block
                continue
            if not held[index]:
                continue
            parent = self.home[instance.parent]
            base, path, shadow = _place(instance.names, parent)
            if len(held[index]) == 1 and held[index][0] >= 0:
                self.home[index] = parent
                self.node_path[held[index][0]] = path if base is not None else ""
                continue
            block = _Block(index, parent, base, path, shadow)
            self.blocks[index] = self.home[index] = block
        self._begun: set[int] = {0}
        # A node's record may stand in an instance that has become its node.
        self.block_of = [self.home.get(record.instance) for record in records]

    # Values and where they are known.

    def _node(self, index: int, block: _Block, path: str) -> None:
        record = self.recording.records[index]
        self._begin(block)
        arguments = tuple(Argument(slot, self._local(block, value)) for slot, value in record.arguments)
        op = record.op if known(record.op) else OPAQUE + record.op
        tail = path.rpartition(".")[2]
        name = block.fresh(tail if tail and not tail.isdigit() else record.op)
        outputs = []
        for k, value in enumerate(record.outputs):
            local = name if len(record.outputs) == 1 else f"{name}.{k}"
            block.refs[value] = "%" + local
            outputs.append(self._value(value, local))
        node = Node(
            name,
            op,
            arguments,
            tuple(outputs),
            self.sizes.attributes(index),
            path,
            self.sizes.body(index),
        )
        block.items.append(node)

    def _begin(self, block: _Block) -> None:
        if block.index in self._begun:
            return
        self._begun.add(block.index)
        assert block.parent is not None
        self._begin(block.parent)
        block.parent.items.append(block)

    def _value(self, value: int, name: str) -> Value:
        return Value(name, self.sizes.shape(value), self.recording.values[value].dtype)

    def _local(self, block: _Block, value: int) -> str:
        """The reference of a value in a block; passes it in or out of blocks where it is not known yet."""
        ref = block.refs.get(value)
        if ref is not None:
            return ref
        origin = self.recording.values[value].origin
        if origin.kind == "constant":
            ref = self._constant(block, value)
        elif origin.kind == "parameter":
            self.touched.add(value)
            ref = self._parameter(block, origin.names) or self._import(block, value)
        elif origin.kind == "record":
            home = self.block_of[origin.place]
            assert home is not None
            ref = self._export(block, home, value) or self._import(block, value)
        else:
            ref = self._import(block, value)
        block.refs[value] = ref
        return ref

    def _parameter(self, block: _Block, names: tuple[str, ...]) -> str | None:
        if block.base is None:
            return None
        prefix = f"{block.base}." if block.base else ""
        for name in names:
            if name.startswith(prefix):
                block.parameters[name[len(prefix) :]] = name
                return "@" + name[len(prefix) :]
        return None

    def _constant(self, block: _Block, value: int) -> str:
        name = block.fresh("constant")
        data = self.sizes.data(value)
        attributes = () if data is None else (("value", data),)
        block.items.append(Node(name, "constant", (), (self._value(value, name),), attributes))
        return "%" + name

    def _export(self, block: _Block, home: _Block, value: int) -> str | None:
        """Out of a block below this one; None where the value's home is elsewhere."""
        child = home
        while child.depth > block.depth + 1 and child.parent is not None:
            child = child.parent
        if child.parent is not block or child.depth != block.depth + 1:
            return None
        self._local(child, value)
        child.outputs.append(value)
        tail = child.path.rpartition(".")[2]
        kind = self.recording.instances[child.index].kind
        return "%" + block.fresh(tail if tail and not tail.isdigit() else _snake(kind))

    def _import(self, block: _Block, value: int) -> str:
        """Into a block from its caller."""
        wanted = next(
            (name for name, given in self.recording.instances[block.index].given if given == value), ""
        )
        if block.parent is not None:
            self._local(block.parent, value)
        name = block.fresh(_plain(wanted) or "outer")
        block.inputs.append((value, name))
        return "%" + name

    # What is added when all is known.

    def _returns(self) -> None:
        """A block gives what is used outside, and what is used of others of its class, in that order."""
        used: dict[str, set[str]] = {}
        blocks = [block for block in self.blocks if block is not None and block.parent is not None]
        instances = self.recording.instances
        for block in blocks:
            outputs = set(block.outputs)
            for path, value in instances[block.index].returned:
                if value in outputs:
                    used.setdefault(_key(instances[block.index]), set()).add(path)
        for block in blocks:
            wanted = used.get(_key(instances[block.index]), ())
            returned = [value for path, value in instances[block.index].returned if path in wanted]
            for value in returned:
                origin = self.recording.values[value].origin
                home = self.block_of[origin.place] if origin.kind == "record" else None
                if value in block.outputs or home is None or not _within(home, block):
                    continue
                assert block.parent is not None
                self._local(block.parent, value)
            first = [value for value in dict.fromkeys(returned) if value in block.outputs]
            block.outputs = first + [value for value in block.outputs if value not in first]

    def _owners(self) -> None:
        """Every tensor belongs to the deepest block around it, whether it is used or not."""
        by_base: dict[str, list[_Block]] = {}
        for block in self.blocks:
            if block is not None and block.base is not None:
                by_base.setdefault(block.base, []).append(block)
        for name in self.tensors:
            base = name
            while base:
                base = base.rpartition(".")[0]
                if base in by_base:
                    break
            relative = name[len(base) + 1 :] if base else name
            for block in by_base[base]:
                block.parameters.setdefault(relative, name)

    def _define(self) -> str:
        names: dict[int, str] = {}
        for block in reversed(self.blocks):
            if block is not None and (block.items or block.parent is None):
                names[block.index] = self._definition(block, names)
        return names[0]

    def _definition(self, block: _Block, names: Mapping[int, str]) -> str:
        instance = self.recording.instances[block.index]
        if block.parent is not None:
            order = {value: i for i, (_, value) in reversed(list(enumerate(instance.given)))}
            block.inputs.sort(key=lambda taken: order.get(taken[0], len(order) + 1))
        inputs = tuple(self._value(value, name) for value, name in block.inputs)
        parameters = tuple(
            self._declared(relative, name)
            for relative, name in sorted(block.parameters.items(), key=lambda pair: self.order[pair[1]])
        )
        items = tuple(
            item if isinstance(item, Node) else self._call(block, item, names) for item in block.items
        )
        outputs = (
            tuple(block.refs[value] for value in block.outputs)
            if block.parent is not None
            else tuple(self.output_refs)
        )
        key = (instance.kind, instance.module, inputs, parameters, items, outputs)
        name = self._unique.get(key)
        if name is None:
            count = self._counts[instance.kind] = self._counts.get(instance.kind, 0) + 1
            name = instance.kind if count == 1 else f"{instance.kind}_{count}"
            self._unique[key] = name
            self.definitions[name] = Definition(
                name, instance.kind, inputs, parameters, items, outputs, instance.module
            )
        return name

    def _call(self, block: _Block, child: _Block, names: Mapping[int, str]) -> Item:
        tail = child.path.rpartition(".")[2]
        kind = self.recording.instances[child.index].kind
        return Call(
            name=block.fresh((tail if tail and not tail.isdigit() else _snake(kind)) + "_call"),
            definition=names[child.index],
            paths=(child.path,),
            arguments=tuple(block.refs[value] for value, _ in child.inputs),
            outputs=tuple(self._value(value, block.refs[value][1:]) for value in child.outputs),
        )

    def _declared(self, relative: str, name: str) -> Parameter:
        found = self._parameters.get((relative, name))
        if found is None:
            tensor = self.tensors[name]
            owner, _, attribute = name.rpartition(".")
            found = self._parameters[relative, name] = Parameter(
                relative,
                tuple(tensor.shape),
                dtype_name(tensor.dtype),
                name in self.trained and tensor.requires_grad,
                f"{self.classes.get(owner, 'unknown')}.{attribute}",
            )
        return found


def _place(names: tuple[str, ...], parent: _Block) -> tuple[str | None, str, str]:
    """A module's full path (None if it is no descendant of its caller), its path relative to it, its own."""
    if parent.base is not None:
        prefix = f"{parent.base}." if parent.base else ""
        for name in names:
            if name != parent.base and name.startswith(prefix):
                return name, name[len(prefix) :], name
    for name in names:
        if parent.shadow and name.startswith(f"{parent.shadow}."):
            return None, name[len(parent.shadow) + 1 :], name
    return None, "", names[0] if names else ""


def _within(block: _Block, outer: _Block) -> bool:
    while block.depth > outer.depth and block.parent is not None:
        block = block.parent
    return block is outer


def _key(instance: object) -> str:
    return f"{instance.module}.{instance.kind}"  # type: ignore[attr-defined]


def _class(cls: type) -> str:
    module = "torch.nn" if cls.__module__.startswith("torch.nn.modules.") else cls.__module__
    return f"{module}.{cls.__qualname__}"


def _snake(kind: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(kind))


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name)
