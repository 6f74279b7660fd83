"""Random sound graphs, and the same graph under other names.

They have nodes with several outputs, dead values, runs, shared weights, blocks that leave attributes open,
and runs whose turns differ: an input of each turn's own, settings, outputs of all turns.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from madstar.graph.model import Call, Definition, Graph, Guess, Node, Primitive, Shape, Value, Varying
from madstar.graph.wiring import given, rewired, sources
from madstar.graph.wiring import renamed as with_names

from .graphs import Block, graph_of

_SHAPES: list[Shape] = [
    ("batch", "length", 8),
    ("batch", 8),
    ("batch", "2*length+1"),
    (),
    (4, "(length+1)//2"),
]
_PATHS = [("a.0", "a.1", "a.2"), ("a.1", "a.1"), ("b.2.x", "b.4.x", "{odd}", "{odd}"), ("", "", "", "")]


def attributes(*names: str) -> st.SearchStrategy[Any]:
    """Plain data; some of it left open under one of these names."""
    leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=4)
    if names:
        leaves |= st.sampled_from([Varying(name) for name in names])
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A sound graph of a few blocks."""
    blocks: list[Definition] = []
    count = draw(st.integers(1, 4))
    for number in range(count):
        names = draw(st.sampled_from([(), ("i",), ("i", "j")])) if number < count - 1 else ()
        blocks.append(draw(_definitions(f"Block{number}", blocks, names)))
    reached: set[str] = set()
    stack = [blocks[-1].name]
    table = {block.name: block for block in blocks}
    while stack:
        name = stack.pop()
        reached.add(name)
        stack += [item.definition for item in table[name].items if isinstance(item, Call)]
    graph = graph_of("random", [block for block in blocks if block.name in reached])
    guesses = (Guess("a.b", "item", "True"),) if draw(st.booleans()) else ()
    facts = draw(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2))
    return replace(graph, guesses=guesses, facts=facts, weights=("model-00001.safetensors",))


@st.composite
def _definitions(draw: st.DrawFn, name: str, before: list[Definition], names: tuple[str, ...]) -> Definition:
    block = Block(name, draw(st.sampled_from(["Layer", "Model"])))
    for i in range(draw(st.integers(1, 3))):
        block.input(f"x{i}", *draw(st.sampled_from(_SHAPES)))
    for i in range(draw(st.integers(0, 3))):
        block.weight(
            f"part.{i}.weight", *draw(st.sampled_from([(8,), (8, 8), ()])), trained=draw(st.booleans())
        )
    data = attributes(*names)
    for _ in range(draw(st.integers(1, 6))):
        known = [*block.types, *(f"@{path}" for path in block.parameters)]
        source = st.sampled_from(known)
        if before and draw(st.integers(0, 2)) == 0:
            inside = draw(st.sampled_from(before))
            path = draw(st.sampled_from(["layers.0", "layers.1", "shared", ""]))
            block.call(inside, path, *(draw(source) for _ in inside.inputs))
            _make_run(draw, block, inside)
            call = block.items[-1]
            assert isinstance(call, Call)
            values = st.tuples(*[data] * call.count) | st.integers(-3, 3).map(
                lambda first, call=call: tuple(range(first, first + 2 * call.count, 2))
            )
            settings = tuple((name, draw(values)) for name in inside.varying)
            block.items[-1] = replace(call, settings=settings)
            continue
        slots = draw(st.lists(st.sampled_from(["input", "other", "tensors.0"]), unique=True, max_size=3))
        said = draw(st.dictionaries(st.sampled_from(["dim", "eps", "size"]), data, max_size=2))
        shape = draw(st.sampled_from(_SHAPES))
        block.node(
            draw(st.sampled_from(["add", "mul", "relu", "opaque:f"])),
            {slot: draw(source) for slot in slots},
            shape,
            draw(st.sampled_from(["", "act"])),
            **said,
        )
        if draw(st.booleans()):
            node = block.items[-1]
            assert isinstance(node, Node)
            body = Primitive("aten.mm.default", ("%0", "1"), (shape,), ("float32",))
            second = Value(f"{node.name}.second", shape, "int64")
            block.items[-1] = replace(node, body=(body,), outputs=(*node.outputs, second))
            block.types[f"%{second.name}"] = second
    values = list(block.types)
    done = block.done(*draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)))
    return replace(done, varying=names)


def _make_run(draw: st.DrawFn, block: Block, inside: Definition) -> None:
    """Make the last call a run, where something is carried, another in each turn, or needed of all turns."""
    call = block.items[-1]
    assert isinstance(call, Call)
    fits = [
        (output, entry)
        for output, made in enumerate(call.outputs)
        for entry, taken in enumerate(inside.inputs)
        if (made.shape, made.dtype) == (taken.shape, taken.dtype)
        and block.types.get(call.arguments[entry], taken).shape == taken.shape
    ]
    if not draw(st.booleans()):
        return
    paths = draw(st.sampled_from(_PATHS))
    carried = (draw(st.sampled_from(fits)),) if fits and draw(st.booleans()) else ()
    made_here = {f"%{value.name}" for value in call.outputs}
    own = []
    for entry, first in enumerate(call.arguments):
        if entry in {place for _, place in carried} or not draw(st.booleans()):
            continue
        types = block.types | {f"@{p}": Value(p, w.shape, w.dtype) for p, w in block.parameters.items()}
        alike = [
            ref
            for ref, value in types.items()
            if (value.shape, value.dtype) == (types[first].shape, types[first].dtype) and ref not in made_here
        ]
        own.append((entry, (first, *(draw(st.sampled_from(alike)) for _ in paths[1:]))))
    gathered = []
    for place, value in enumerate(call.outputs):
        if draw(st.booleans()):
            names = tuple(f"{value.name}:{turn}" for turn in range(len(paths) - 1))
            gathered.append((place, names))
            block.types |= {f"%{name}": replace(value, name=name) for name in names}
    if carried or own or gathered or inside.varying:
        block.items[-1] = replace(
            call, paths=paths, carried=carried, own=tuple(own), gathered=tuple(gathered)
        )


def renamed(graph: Graph, seed: int) -> Graph:
    """The same graph with other names for everything, independent items and definitions in another order."""
    chooser = random.Random(seed)
    blocks = {name: f"N{chooser.random()}" for name in graph.definitions}
    definitions = [_renamed(block, blocks, chooser) for block in graph.definitions.values()]
    chooser.shuffle(definitions)
    return replace(
        graph, root=blocks[graph.root], definitions={block.name: block for block in definitions}, tied=()
    )


def _renamed(block: Definition, blocks: dict[str, str], chooser: random.Random) -> Definition:
    names = {f"%{v.name}": f"%v{chooser.random()}" for v in block.inputs}
    names |= {f"%{v.name}": f"%v{chooser.random()}" for item in block.items for v in given(item)}
    names |= {f"@{p.path}": f"@{p.path}" for p in block.parameters}
    rest, items = list(block.items), []
    ready = {f"%{v.name}" for v in block.inputs} | {f"@{p.path}" for p in block.parameters}
    while rest:
        item = chooser.choice([item for item in rest if ready.issuperset(sources(item))])
        rest.remove(item)
        ready |= {f"%{v.name}" for v in given(item)}
        items.append(item)
    return replace(
        block,
        name=blocks[block.name],
        kind="Other",
        inputs=tuple(replace(v, name=names[f"%{v.name}"][1:]) for v in block.inputs),
        parameters=tuple(chooser.sample(block.parameters, len(block.parameters))),
        items=tuple(_with_names(item, names, blocks, chooser) for item in items),
        outputs=tuple(names[source] for source in block.outputs),
        varying=tuple(map(_open_name, block.varying)),
    )


def _open_name(name: str) -> str:
    return f"open {name}".replace(" ", "_")


def _opened(value: Any) -> Any:
    if isinstance(value, Varying):
        return Varying(_open_name(value.name))
    return tuple(map(_opened, value)) if isinstance(value, tuple) else value


def _with_names(
    item: Node | Call, names: dict[str, str], blocks: dict[str, str], chooser: random.Random
) -> Node | Call:
    item = rewired(item, [names[source] for source in sources(item)])
    item = replace(with_names(item, [names[f"%{v.name}"][1:] for v in given(item)]), name=f"{item.name}!")
    if isinstance(item, Node):
        return replace(item, attributes=_opened(item.attributes))
    settings = [(_open_name(name), _opened(values)) for name, values in item.settings]
    chooser.shuffle(settings)
    return replace(item, definition=blocks[item.definition], settings=tuple(settings))
