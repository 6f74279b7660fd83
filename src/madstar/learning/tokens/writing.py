"""`tokenize`: a graph as one sequence of tokens, in the canonical order of its structural hash.

    begin  (size SYMBOL NUMBER... )*  definition*  tie*  end
    definition = definition open* (input TYPE)* item* (unused WEIGHT)* (output POINTER)* done
    node = OP (SLOT [list NUMBER] POINTER)* (ATTRIBUTE VALUE)* types
    call = call NUMBER paths POINTER* carried* own* settings* gathered* types
    types = inferred | stated TYPE*          POINTER = from N | back N | weight TYPE | known N
    TYPE = DTYPE RANK SIZE*                  tie = tie ((step N)* known N)*

What depends on no name and no listing order: the tokens. What they do not hold: names, paths, classes,
initialisations, bodies, guesses, facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from madstar.errors import GraphError
from madstar.graph.hashing import canonical_order
from madstar.graph.inference import Inference
from madstar.graph.inference.engine import stated
from madstar.graph.inference.types import Type
from madstar.graph.json_turns import range_text
from madstar.graph.model import Attribute, Call, Definition, Dim, Graph, Item, Node, Parameter, Shape, Varying
from madstar.graph.paths import join
from madstar.graph.soundness import check_sound
from madstar.graph.varying import open_names
from madstar.graph.walk import representatives
from madstar.graph.wiring import given

from .sequence import KINDS, MAX_TOKENS, Tokens
from .vocabulary import BITS, LEAST, MOST, SECTIONS, Vocabulary, is_expression, parts_of, slot_parts

(STRUCTURE, OPERATION, SLOT, ATTRIBUTE, POINTER, TYPE, WEIGHT, CALL, SETTING, TIE) = range(len(KINDS))
MAX_TURNS = 1_000_000
"""Paths, names and values of turns that a sequence may stand for."""


def tokenize(graph: Graph, vocabulary: Vocabulary, inferred: bool = True) -> Tokens:
    """The tokens of a graph.

    With `inferred` the types that inference finds anew are left out. Raises GraphError for a graph that is
    not sound, and for one whose runs have more than a million turns.
    """
    check_sound(graph)
    writer = _Writer(graph, vocabulary, inferred)
    writer.graph_()
    return Tokens(tuple(writer.ids), tuple(writer.kinds), vocabulary.fingerprint)


class _Writer:
    def __init__(self, graph: Graph, vocabulary: Vocabulary, inferred: bool) -> None:
        self.graph, self.vocabulary, self.inferred = graph, vocabulary, inferred
        self.known, self.first = vocabulary.ids, vocabulary.first
        self.sections = frozenset(SECTIONS)
        self.ids: list[int] = []
        self.kinds: list[int] = []
        self.symbols = set(graph.symbols)
        self.inference = Inference(graph.symbols)
        self.order = canonical_order(graph)
        self.numbers = {name: number for number, name in enumerate(self.order)}
        self.classes: dict[str, dict[tuple[str, str], int]] = {}
        self.turns = 0

    # --- The parts that everything is made of.

    def word(self, word: str, kind: int, section: str = "structure") -> None:
        token = self.known.get((section, word))
        if token is not None:
            self._put(token, kind)
        else:
            self._put(self.first[section], kind)
            self.spelled(word, kind)

    def _put(self, token: int, kind: int) -> None:
        self.ids.append(token)
        self.kinds.append(kind)
        if len(self.ids) > MAX_TOKENS:
            raise GraphError(f"{self.graph.name!r:.80} has more than {MAX_TOKENS:,} tokens")

    def spelled(self, text: str, kind: int) -> None:
        base = self.first["byte"]
        for byte in text.encode("utf-8", "surrogatepass"):
            self._put(base + byte, kind)
        self.word("spelled", kind)

    def number(self, number: int, kind: int) -> None:
        """One token for a small number or a power of two; else sign and bits, then digits from the top."""
        if LEAST <= number <= MOST:
            self._put(self.first["integer"] + number - LEAST, kind)
            return
        size = abs(number)
        bits = size.bit_length() - 1
        if bits >= BITS:
            self.word("long", kind)
            self.spelled(str(number), kind)
            return
        wide = -(-bits // 4)
        rest = (size - (1 << bits)) << (4 * wide - bits)
        digits = f"{rest:0{wide}x}".rstrip("0") if rest else ""
        self._put(self.first["bits"] + 2 * BITS * (number < 0) + 2 * bits + (not digits), kind)
        for place, digit in enumerate(digits, 1):
            self._put(self.first["digit"] + 2 * int(digit, 16) + (place == len(digits)), kind)

    def expression(self, text: str, kind: int) -> None:
        parts = parts_of(text)
        if parts is None:  # no size that is spelled canonically, but text all the same
            self.word(text, kind, "word")
            return
        if len(parts) == 1:
            self.word(text, kind, "symbol")
            return
        self.word("expression", kind)
        for part in parts:
            if part.isidentifier():
                self.word(part, kind, "symbol")
            elif part.isdigit():
                self.number(int(part), kind)
            else:
                self.word({"(": "[", ")": "]"}.get(part, part), kind)
        self.word("spelled", kind)

    def size(self, size: Dim, kind: int) -> None:
        if isinstance(size, int):
            self.number(size, kind)
        else:
            self.expression(size, kind)

    def type(self, shape: Shape, dtype: str, kind: int) -> None:
        self.word(dtype, kind, "dtype")
        self._put(self.first["rank"] + len(shape), kind)
        for size in shape:
            self.size(size, kind)

    def attribute(self, value: Attribute, names: Sequence[str], kind: int) -> None:
        if value is None or isinstance(value, bool):
            self.word({None: "none", True: "true", False: "false"}[value], kind)
        elif isinstance(value, int):
            self.number(value, kind)
        elif isinstance(value, float):
            self.word(repr(value), kind, "float")
        elif isinstance(value, Varying):
            self.word("varying", kind)
            self.number(names.index(value.name), kind)
        elif isinstance(value, tuple):
            self.word("(", kind)
            for part in value:
                self.attribute(part, names, kind)
            self.word(")", kind)
        elif is_expression(value, self.symbols):
            self.expression(value, kind)
        else:
            self.word(value, kind, "word")

    # --- The graph.

    def graph_(self) -> None:
        self.word("begin", STRUCTURE)
        for symbol, sizes in sorted(self.graph.symbols.items()):
            self.word("size", STRUCTURE)
            self.word(symbol, TYPE, "symbol")
            for size in sizes:
                self.number(size, TYPE)
        for name in self.order:
            _Block(self, self.graph.definitions[name]).write()
        for group in self._ties():
            self.word("tie", TIE)
            for *steps, weight in group:
                for step in steps:
                    self.word("step", TIE)
                    self.number(step, TIE)
                self.word("known", TIE)
                self.number(weight, TIE)
        self.word("end", STRUCTURE)

    def take(self, turns: int, definition: Definition) -> None:
        self.turns += turns
        if self.turns > MAX_TURNS:
            raise GraphError(f"block {definition.name!r:.80}: its runs have over {MAX_TURNS:,} turns in all")

    def _ties(self) -> list[list[tuple[int, ...]]]:
        """Weights that are one tensor and do not stand at one place: numbers of path classes, then its own.

        A class is a path and a definition within the block that calls it, so what differs in these and is one
        tensor all the same must be said.
        """
        same = representatives(self.graph)
        groups: dict[str, list[tuple[int, ...]]] = {}
        seen: set[tuple[int, ...]] = {()}
        stack: list[tuple[str, str, tuple[int, ...]]] = [(self.graph.root, "", ())]
        while stack:
            name, base, way = stack.pop()
            for path, number in self.order[name][1].items():
                full = join(base, path)
                groups.setdefault(same.get(full, full), []).append((*way, number))
            for (path, called), number in self.classes[name].items():
                if (below := (*way, number)) not in seen:
                    seen.add(below)
                    stack.append((called, join(base, path), below))
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)


class _Block:
    """One definition: values and weights have numbers, in the order in which they are first given."""

    def __init__(self, writer: _Writer, definition: Definition) -> None:
        self.writer, self.block = writer, definition
        self.items, self.order = writer.order[definition.name]
        self.values = {f"%{value.name}": number for number, value in enumerate(definition.inputs)}
        self.weights: dict[str, int] = {}
        self.own = {f"@{p.path}": p for p in definition.parameters}
        self.types = {ref: Type(p.shape, p.dtype) for ref, p in self.own.items()}
        self.types |= {f"%{v.name}": Type(v.shape, v.dtype) for v in definition.inputs}
        self.classes: dict[tuple[str, str], int] = {}
        writer.classes[definition.name] = self.classes

    def write(self) -> None:
        w = self.writer
        w.word("definition", STRUCTURE)
        for _ in self.block.varying:
            w.word("open", STRUCTURE)
        for value in self.block.inputs:
            w.word("input", STRUCTURE)
            w.type(value.shape, value.dtype, TYPE)
        for item in self.items:
            if isinstance(item, Node):
                self._node(item)
            else:
                self._call(item)
            for value in given(item):
                self.values[f"%{value.name}"] = len(self.values)
                self.types[f"%{value.name}"] = Type(value.shape, value.dtype)
        for path in self.order:
            if f"@{path}" not in self.weights:
                w.word("unused", STRUCTURE)
                self._weight(self.own[f"@{path}"])
        for ref in self.block.outputs:
            w.word("output", STRUCTURE)
            self._pointer(ref)
        w.word("done", STRUCTURE)

    def _weight(self, parameter: Parameter) -> None:
        self.weights[f"@{parameter.path}"] = len(self.weights)
        self.writer.word("weight" if parameter.trained else "buffer", WEIGHT)
        self.writer.type(parameter.shape, parameter.dtype, WEIGHT)

    def _pointer(self, ref: str) -> None:
        w = self.writer
        if ref in self.own:
            if ref not in self.weights:
                self._weight(self.own[ref])
                return
            w.word("known", POINTER)
            w.number(self.weights[ref], POINTER)
        elif (number := self.values[ref]) < len(self.block.inputs):
            w.word("from", POINTER)
            w.number(number, POINTER)
        else:
            w.word("back", POINTER)
            w.number(len(self.values) - number, POINTER)

    def _node(self, node: Node) -> None:
        w = self.writer
        w.word(node.op, OPERATION, "op")
        for argument in node.arguments:
            slot, number = slot_parts(argument.slot)
            w.word(slot, SLOT, "slot")
            if number is not None:
                w.word("list", SLOT)
                w.number(number, SLOT)
            self._pointer(argument.source)
        names = self.block.varying
        for name, value in node.attributes:
            w.word(name, ATTRIBUTE, "attribute")
            w.attribute(value, names, ATTRIBUTE)
        self._types(node, w.inferred and self._follow(node))

    def _follow(self, node: Node) -> bool:
        """Whether inference finds the types of what the node gives, told nothing of them."""
        if any(True for _, value in node.attributes for _ in open_names(value)):
            return False
        tensors = {argument.slot: self.types[argument.source] for argument in node.arguments}
        return found_types(self.writer.inference, node.op, tensors, node.attributes) == stated(node.outputs)

    def _types(self, item: Item, follow: bool) -> None:
        w = self.writer
        w.word("inferred" if follow else "stated", TYPE)
        if not follow:
            for value in item.outputs:
                w.type(value.shape, value.dtype, TYPE)

    def _call(self, call: Call) -> None:
        w = self.writer
        w.take(call.count * (1 + len(call.own) + len(call.settings) + len(call.gathered)), self.block)
        w.word("call", CALL)
        w.number(w.numbers[self.block.name] - w.numbers[call.definition], CALL)
        self._paths(call)
        for ref in call.arguments:
            self._pointer(ref)
        for output, entry in sorted(call.carried):
            w.word("carried", CALL)
            w.number(output, CALL)
            w.number(entry, CALL)
        for entry, refs in call.own:
            w.word("own", CALL)
            w.number(entry, CALL)
            for ref in refs[1:]:
                self._pointer(ref)
        settings = dict(call.settings)
        for name in w.graph.definitions[call.definition].varying:
            w.word("settings", SETTING)
            self._values(settings[name])
        for output, _ in call.gathered:
            w.word("gathered", CALL)
            w.number(output, CALL)
        called = w.graph.definitions[call.definition]
        types = {f"%{v.name}": v for v in called.inputs} | {
            f"%{v.name}": v for item in called.items for v in given(item)
        }
        inner = {ref: Type(v.shape, v.dtype) for ref, v in types.items()}
        inner |= {f"@{p.path}": Type(p.shape, p.dtype) for p in called.parameters}
        self._types(call, w.inferred and tuple(inner[ref] for ref in called.outputs) == stated(call.outputs))

    def _paths(self, call: Call) -> None:
        """The classes of the paths: `new N` so many new ones, `hold N` turns of one new, `old C N` of C."""
        w = self.writer
        fresh = 0

        def flush() -> None:
            nonlocal fresh
            if fresh:
                w.word("new", CALL)
                w.number(fresh, CALL)
            fresh = 0

        for path, turns in groupby(call.paths):
            count, key = sum(1 for _ in turns), (path, call.definition)
            known = self.classes.get(key)
            if known is None:
                self.classes[key] = len(self.classes)
                if count == 1:
                    fresh += 1
                    continue
            flush()
            w.word("hold" if known is None else "old", CALL)
            if known is not None:
                w.number(known, CALL)
            w.number(count, CALL)
        flush()

    def _values(self, values: tuple[Attribute, ...]) -> None:
        w, names = self.writer, self.block.varying
        if range_text(values):
            w.word("range", SETTING)
            w.number(values[0], SETTING)
            w.number(values[1] - values[0], SETTING)
        elif len(values) > 1 and len({repr(value) for value in values}) == 1:
            w.word("same", SETTING)
            w.attribute(values[0], names, SETTING)
        else:
            w.word("each", SETTING)
            for value in values:
                w.attribute(value, names, SETTING)


def found_types(
    inference: Inference, op: str, tensors: dict[str, Type], attributes: tuple[tuple[str, Attribute], ...]
) -> tuple[Type, ...] | None:
    """What inference finds of an operation of which nothing is stated; None where nothing is certain."""
    try:
        outcome = inference.operation(op, tensors, attributes)
    except (IndexError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None  # the rule reads what is stated, or the attributes are of no use to it
    return outcome.types if outcome.ruled and outcome.fault is None else None
