"""`to_source`: a graph as one Python file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...execution.building import check_computable
from ...execution.outputs import arranged
from ...model import Attribute, Call, Definition, Graph, Varying
from ...soundness import check_sound
from ...unfolding import unfold
from .forward import Forward, Signature, shape_text
from .making import Maker, ties
from .names import Names, class_name, comment, identifier
from .plan import Plan
from .sizes import read, solved, told

_WORD_SLOTS = ("dtype", "out_dtype", "mode", "reduction", "padding_mode", "equation", "autocast")


def to_source(graph: Graph) -> str:
    """A Python file whose class of the root computes what the graph does, with torch alone.

    Blocks are classes, nested as the graph's are; `state_dict()` has the graph's keys, fresh weights are
    drawn as the graph says. Its `forward` takes the graph's inputs in order and gives what `build` gives,
    with plain dictionaries. What no output needs is left out.

    Raises GraphError for an unsound graph, and for a node that nothing computes, naming it.
    """
    check_sound(graph)
    check_computable(graph)
    if not _speakable(graph):
        graph = unfold(graph)
    return _Source(graph).text()


def _speakable(graph: Graph) -> bool:
    """Whether what blocks leave open can be handed on as arguments: numbers and sizes."""
    plain = True
    for definition in graph.definitions.values():
        for item in definition.items:
            if isinstance(item, Call):
                plain = plain and all(_handed(v, graph) for _, values in item.settings for v in values)
            else:
                plain = plain and not any(
                    _opens(v) and (slot in _WORD_SLOTS or item.op in ("constant", "tensor", "as_tensor"))
                    for slot, v in item.attributes
                )
    return plain


def _handed(value: Attribute, graph: Graph) -> bool:
    if isinstance(value, str):
        return not value.isidentifier() or value in graph.symbols
    return isinstance(value, (int, float, Varying, type(None)))


def _opens(value: Attribute) -> bool:
    return isinstance(value, Varying) or (isinstance(value, tuple) and any(map(_opens, value)))


class _Source:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.plan = Plan(graph)
        self.order = self.plan.order
        names = Names()
        self.names: dict[str, str] = {}
        for name in reversed(self.order):
            kind = graph.definitions[name].kind
            if name in self.plan.functions:
                self.names[name] = names.new(_snake(name), "block")
            else:
                self.names[name] = names.new(class_name(kind), "Block")
        self.taken = tuple(self.names.values())
        self.examples = _examples(graph)
        self.signatures: dict[str, Signature] = {}

    def text(self) -> str:
        parts = [self._definition(name) for name in self.order]
        body = "\n\n\n".join(parts)
        imports = ["import torch", "from torch import Tensor, nn"]
        if "F." in body:
            imports.append("from torch.nn import functional as F")
        if "math." in body:
            imports = ["import math", "", *imports]
        head = f'"""{comment(self.graph.name) or "A model"}, written out from its computation graph."""'
        return "\n".join([head, "", *imports]) + f"\n\n\n{body}\n"

    def _definition(self, name: str) -> str:
        graph, plan = self.graph, self.plan
        definition = graph.definitions[name]
        root = name == graph.root
        function = name in plan.functions
        inputs = list(graph.input_names) if root else []
        forward = Forward(plan, definition, self.signatures, self.examples.get(name, {}), self.taken, inputs)
        lines = forward.write()
        results = forward.results
        words = forward.words
        wanted = list(words.used)
        open_sizes: tuple[str, ...] = ()
        first = read(wanted, definition.inputs, forward.inputs, words)
        if root:
            traced = {symbol: sizes[0] for symbol, sizes in graph.symbols.items()}
            checks = self._unrolled(words.symbols)
            both = [*wanted, *(s for s in self._unrolled_over() if s not in wanted)]
            # What only stands in expressions asks for those it stands with.
            more = solved(both, definition.inputs, forward.inputs, words, traced)
            first = read(list(dict.fromkeys([*both, *words.used])), definition.inputs, forward.inputs, words)
            lines = [*first, *more, *checks, *lines]
        else:
            open_sizes = tuple(sorted(symbol for symbol in wanted if symbol not in told(definition.inputs)))
            lines = [*first, *lines]
        opens = tuple(definition.varying)
        bare = [plan.places(parameter.path)[0] for parameter in definition.parameters]
        weights = frozenset(host for host, path in bare if not path)
        self.signatures[name] = Signature(
            self.names[name], function, len(forward.hosts), open_sizes, opens, weights
        )
        result = _rendered(arranged(graph.output_names, results)) if root else _tuple(results)
        lines.append(f"return {result}")
        return self._code(definition, forward, lines, open_sizes, root)

    def _code(
        self, definition: Definition, forward: Forward, lines: list[str], sizes: tuple[str, ...], root: bool
    ) -> str:
        function = definition.name in self.plan.functions
        given = [f"{name}: Tensor" for name in forward.inputs]
        given += [f"{forward.words.symbols[symbol]}: int" for symbol in sizes]
        given += [forward.opens[name] for name in definition.varying]
        results = len(definition.outputs)
        back = "Tensor" if results == 1 else "tuple[Tensor, ...]"
        if root and self.graph.output_names != ("output",):
            back = ""
        arrow = f" -> {back}" if back else ""
        if function:
            weights = self.signatures[definition.name].weights
            kinds = ["Tensor" if number in weights else "nn.Module" for number in range(len(forward.hosts))]
            given = [f"{name}: {kind}" for name, kind in zip(forward.hosts, kinds, strict=True)] + given
            head = f"def {self.names[definition.name]}({', '.join(given)}){arrow}:"
            return "\n".join([head, f'    """{_doc(definition)}"""', *(f"    {line}" for line in lines)])
        made = Maker(self.plan, definition.name, self.names).body()
        if root:
            made += ties(self.plan)
        code = [f"class {self.names[definition.name]}(nn.Module):", f'    """{_doc(definition)}"""', ""]
        if made:
            code += ["    def __init__(self) -> None:", "        super().__init__()"]
            code += [f"        {line}" for line in made] + [""]
        code.append(f"    def forward({', '.join(['self', *given])}){arrow}:")
        return "\n".join([*code, *(f"        {line}" for line in lines)])

    def _unrolled_over(self) -> list[str]:
        found = self.graph.facts.get("unrolled_over", ())
        listed = [s for s in found if s in self.graph.symbols] if isinstance(found, (list, tuple)) else []
        if len(listed) > 1 and "batch" in listed:
            listed.remove("batch")
        return listed

    def _unrolled(self, names: Mapping[str, str]) -> Iterator[str]:
        for symbol in self._unrolled_over():
            size = self.graph.symbols[symbol][0]
            yield f"if {names[symbol]} != {size}:"
            yield f'    raise ValueError("a loop over {symbol} is written out for {size}")'


def _examples(graph: Graph) -> dict[str, dict[str, Attribute]]:
    """For each block one way in which what it leaves open is set."""
    found: dict[str, dict[str, Attribute]] = {}
    for definition in graph.definitions.values():
        for item in definition.items:
            if isinstance(item, Call) and item.settings:
                found.setdefault(item.definition, {name: values[0] for name, values in item.settings})
    # A setting may be left open itself: by then an example of the caller's is there or a number does.
    for settings in found.values():
        for name, value in settings.items():
            if _opens(value):
                settings[name] = 0
    return found


def _doc(definition: Definition) -> str:
    taken = ", ".join(shape_text(value.shape) for value in definition.inputs[:4])
    more = ", ..." if len(definition.inputs) > 4 else ""
    types = {f"%{v.name}": v.shape for i in definition.items for v in i.outputs}
    gives = ", ".join(shape_text(types[s]) for s in definition.outputs[:3] if s in types)
    return f"{comment(definition.kind, 80)}: {taken}{more} to {gives or 'its inputs'}."


def _snake(name: str) -> str:
    found = identifier(name, "block")
    return "".join(
        f"_{c.lower()}"
        if c.isupper() and i and not found[i - 1].isupper() and found[i - 1] != "_"
        else c.lower()
        for i, c in enumerate(found)
    )


def _tuple(results: list[str]) -> str:
    return results[0] if len(results) == 1 else f"({', '.join(results)})" if results else "()"


def _rendered(tree: Any) -> str:
    """Outputs in the structure of their names."""
    if isinstance(tree, dict):
        from .names import quoted

        return "{" + ", ".join(f"{quoted(name)}: {_rendered(part)}" for name, part in tree.items()) + "}"
    if isinstance(tree, tuple):
        parts = [_rendered(part) for part in tree]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    return str(tree)


__all__ = ["to_source"]
