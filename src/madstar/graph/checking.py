"""`check`: whether a graph computes what it states, each fault with its place and where it comes from.

A finding is a value. Errors: shapes, dtypes, attributes and slots that do not fit their operation, calls that
do not fit their block, values that are not what the graph states, references to nothing, paths from the
future in a model that is said to be causal. Warnings: what is computed or held for nothing, and sizes that
fit for some lengths only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

from ..errors import GraphError
from .causality import CAUSAL, LEAKS, Causality, causality, route
from .inference import BlockTypes, Inference, Trouble
from .model import Call, Definition, Graph, Item, Node
from .origins import Frame, origin
from .soundness import check_sound
from .unused import count_nodes, dead_items, unused_outputs, unused_parameters
from .vocabulary import OPAQUE, OPERATIONS
from .wiring import given, sources

_ALWAYS = frozenset(("in_place", "autocast"))


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and its place.

    `severity` is "error" or "warning". `path` is the full path of the module or node where it is first used,
    `block` the definition, `node` and `op` what in it; `uses` how often that is computed. `source` says what
    upstream set the size or dtype that does not fit, where that is known.
    """

    severity: str
    kind: str
    path: str
    block: str
    node: str
    op: str
    expected: str
    found: str
    source: str = ""
    uses: int = 1

    @property
    def line(self) -> str:
        """The finding in one line."""
        place = self.path or self.block
        what = f"{self.op}: " if self.op else ""
        text = f"{self.severity} ({self.kind}) {place}: {what}"
        if self.expected and self.found:
            text += f"expected {self.expected}, found {self.found}"
        else:
            text += self.expected or self.found
        text += f"; set by {self.source}" if self.source else ""
        return f"{text} (x{self.uses:,})" if self.uses > 1 else text


@dataclass(frozen=True)
class Report:
    """All findings of a graph, errors first.

    `nodes` are those written, `unruled` those without a rule, by operation. `causality` is what was found of
    paths from the future, where that was asked.
    """

    name: str
    findings: tuple[Finding, ...]
    nodes: int
    unruled: Mapping[str, int] = field(default_factory=dict)
    causality: Causality | None = None

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many are warnings."""
        return len(self.findings) - self.errors

    @property
    def summary(self) -> str:
        """What was found, in a line."""
        text = f"{self.name}: {_count(self.errors, 'error')}, {_count(self.warnings, 'warning')}"
        unruled = sum(self.unruled.values())
        text += f" in {_count(self.nodes, 'node')}"
        if unruled:
            names = ", ".join(f"{op} x{n}" if n > 1 else op for op, n in self.unruled.items())
            text += f"; taken as stated, without a rule: {unruled} of {self.nodes} ({names})"
        if self.causality is not None:
            text += f"; along {self.causality.symbol}: {self.causality.words}"
        return text

    def text(self) -> str:
        """One line for each finding, and the summary."""
        return "".join(f"{finding.line}\n" for finding in self.findings) + f"{self.summary}\n"

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "graph": self.name,
            "errors": self.errors,
            "warnings": self.warnings,
            "nodes": self.nodes,
            "without_rule": dict(self.unruled),
            "causality": None if self.causality is None else self.causality.to_dict(),
            "findings": [asdict(finding) for finding in self.findings],
        }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def check(
    graph: Graph,
    inference: Inference | None = None,
    *,
    causal: bool | None = None,
    symbol: str = "length",
) -> Report:
    """Look at the whole graph. Give the same `inference` again after an edit: what is known is not redone.

    `causal` says that no output at a place of the sequence may depend on later ones, and asks to look for
    paths that do; None asks it of models that say so themselves (`said_causal`). `symbol` is the size of the
    sequence. A graph with references to nothing is not looked at further.
    """
    nodes = count_nodes(graph)
    if broken := list(_broken(graph)):
        return Report(graph.name, tuple(broken), nodes)
    inference = inference or Inference()
    types = inference.graph(graph)
    findings = [finding for frame, uses in frames(graph, types) for finding in _of_block(frame, uses)]
    findings += _unused(graph)
    found = None
    if causal or (causal is None and said_causal(graph)):
        found = causality(graph, types, symbol)
        findings += _ahead(graph, found)
    unruled: Counter[str] = Counter()
    for block in types.values():
        unruled.update(block.unruled)
    findings.sort(key=lambda finding: finding.severity)
    return Report(graph.name, tuple(findings), nodes, dict(unruled.most_common()), found)


def said_causal(graph: Graph) -> bool:
    """Whether a model is called causal: a *ForCausalLM or *LMHeadModel, or a genome's backbone."""
    if graph.main.kind.endswith(("ForCausalLM", "LMHeadModel")):
        return True
    return str(graph.facts.get("source", "")).startswith("genome:")


def _ahead(graph: Graph, found: Causality) -> Iterator[Finding]:
    if not found.outputs:
        text = f"undecided: no input and output with an axis of size {found.symbol!r} to follow"
        yield Finding("warning", "causality", "", graph.root, "", "", "", text)
    for verdict in found.outputs:
        if verdict.verdict == CAUSAL and verdict.only_at is None:
            continue
        if verdict.verdict == CAUSAL:
            where = f"{found.symbol} = {verdict.only_at}"
            text = f"output {verdict.output}: causal where {where}, undecided elsewhere"
        else:
            severe = verdict.verdict == LEAKS
            text = f"output {verdict.output} " + ("reads" if severe else "may read")
            text += f" {verdict.reaches} at place t" + ("" if severe else " (undecided)")
            if verdict.only_at is not None:
                text += f", with {found.symbol} = {verdict.only_at}"
            way = route(graph, verdict.cause) if verdict.cause else ()
            text += f"; by way of {' > '.join(way)}" if way else ""
        severity = "error" if verdict.verdict == LEAKS else "warning"
        yield Finding(severity, "causality", verdict.cause, graph.root, "", "", "", text)


def frames(graph: Graph, types: Mapping[str, BlockTypes]) -> Iterator[tuple[Frame, int]]:
    """Each definition where it is first used, in the order of computation, and how often it is computed."""
    uses = _uses(graph)
    stack = [Frame(graph, types, graph.main, "")]
    seen = {graph.root}
    while stack:
        frame = stack.pop()
        yield frame, uses[frame.definition.name]
        inner: list[Frame] = []
        for item in frame.definition.items:
            if isinstance(item, Call) and item.definition not in seen:
                seen.add(item.definition)
                inner.append(frame.inside(item))
        stack += reversed(inner)


def _uses(graph: Graph) -> dict[str, int]:
    from .soundness import ordered_definitions

    uses = dict.fromkeys(graph.definitions, 0)
    uses[graph.root] = 1
    for name in reversed(ordered_definitions(graph)):
        for item in graph.definitions[name].items:
            if isinstance(item, Call):
                uses[item.definition] += uses[name] * item.count
    return uses


# --- References.


def _broken(graph: Graph) -> Iterator[Finding]:
    """What keeps a graph from being read as a computation at all."""
    for definition in graph.definitions.values():
        known = {f"@{p.path}" for p in definition.parameters} | {f"%{v.name}" for v in definition.inputs}
        for item in definition.items:
            for source in dict.fromkeys(sources(item)):
                if source not in known:
                    yield _reference(definition, item, source, known)
            if isinstance(item, Call) and (inner := graph.definitions.get(item.definition)) is not None:
                wanted, taken = len(inner.inputs), len(item.arguments)
                if wanted != taken:
                    names = ", ".join(value.name for value in inner.inputs)
                    expected, found = f"{_count(wanted, 'argument')} ({names})", str(taken)
                    yield _plain(definition, item, "missing argument", expected, found)
            known |= {f"%{value.name}" for value in given(item)}
        for source in definition.outputs:
            if source not in known:
                expected = "outputs that are given in the block"
                yield Finding("error", "reference", "", definition.name, "", "", expected, source)
    try:
        check_sound(graph)
    except GraphError as error:
        yield Finding("error", "not sound", "", graph.root, "", "", "", str(error))


def _reference(definition: Definition, item: Item, source: str, known: set[str]) -> Finding:
    later = any(f"%{value.name}" == source for other in definition.items for value in given(other))
    near = get_close_matches(source, sorted(known), n=1)
    found = f"{source}, given later" if later else f"{source}, given nowhere"
    found += f" (nearest: {near[0]})" if near else ""
    return _plain(definition, item, "reference", "arguments given before", found)


def _plain(definition: Definition, item: Item, kind: str, expected: str, found: str) -> Finding:
    op = item.op if isinstance(item, Node) else item.definition
    place = f"{definition.name}:{item.name}"
    return Finding("error", kind, place, definition.name, item.name, op, expected, found)


# --- Shapes, dtypes, slots.


def _of_block(frame: Frame, uses: int) -> Iterator[Finding]:
    block = frame.definition
    items = {item.name: item for item in block.items}
    said: set[str] = set()
    for trouble in frame.types[block.name].troubles:
        if not trouble.depends:
            yield _finding(frame, items[trouble.item], trouble, uses)
        elif trouble.fault.expected not in said:
            said.add(trouble.fault.expected)
            yield _depends(frame, items[trouble.item], trouble, uses)
    for item in block.items:
        if isinstance(item, Node):
            yield from _slots(frame, item, uses)
    for item, served in dead_items(block):
        names = ", ".join(value.name for value in item.outputs)
        text = f"nothing uses {names}" if names else "it gives nothing"
        text += f", nor the {served} before that serve it alone" if served else ""
        yield _made(frame, item, "warning", "dead", "", text, uses)


def _made(
    frame: Frame, item: Item, severity: str, kind: str, expected: str, found: str, uses: int, source: str = ""
) -> Finding:
    op = item.op if isinstance(item, Node) else item.definition
    return Finding(
        severity,
        kind,
        frame.name_of(item),
        frame.definition.name,
        item.name,
        op,
        expected,
        found,
        source,
        uses,
    )


def _finding(frame: Frame, item: Item, trouble: Trouble, uses: int) -> Finding:
    fault = trouble.fault
    source = ""
    if isinstance(item, Node):
        ref = next((a.source for a in item.arguments if a.slot == fault.slot), "")
    else:
        ref = item.arguments[int(fault.slot)] if fault.slot.isdecimal() else ""
        if fault.slot.startswith("carried "):
            frame_inside = frame.inside(item)
            output = frame_inside.definition.outputs[int(fault.slot.removeprefix("carried "))]
            source = origin(frame_inside, output, fault.dim, fault.kind == "dtype")
    if ref:
        source = origin(frame, ref, fault.dim, fault.kind == "dtype")
        if fault.kind == "dtype" and ref.startswith("@") and isinstance(item, Node):
            # A weight has its own dtype; what it is held against comes from elsewhere.
            others = [a.source for a in item.arguments if not a.source.startswith("@")]
            source += "".join(f", against {origin(frame, other, None, True)}" for other in others[:1])
    elif fault.kind == "output" and isinstance(item, Node):
        weights = [a.source for a in item.arguments if a.source.startswith("@")]
        source = ", ".join(f"{ref} {frame.type_of(ref)}" for ref in weights)
    found = f"{fault.found} in {trouble.turn}" if trouble.turn else fault.found
    return _made(frame, item, "error", fault.kind, fault.expected, found, uses, source)


def _depends(frame: Frame, item: Item, trouble: Trouble, uses: int) -> Finding:
    text = f"fits only where {trouble.fault.expected}" + (f", in {trouble.turn}" if trouble.turn else "")
    return _made(frame, item, "warning", "size", "", text, uses)


def _slots(frame: Frame, node: Node, uses: int) -> Iterator[Finding]:
    known = OPERATIONS.get(node.op)
    if known is None:
        if not node.op.startswith(OPAQUE):
            near = get_close_matches(node.op, OPERATIONS, n=1)
            expected = "an operation of the vocabulary" + (f", such as {near[0]}" if near else "")
            yield _made(frame, node, "error", "operation", expected, node.op, uses)
        return
    filled = [argument.slot for argument in node.arguments] + [slot for slot, _ in node.attributes]
    unknown = [slot for slot in filled if slot.partition(".")[0] not in {*known.slots, *_ALWAYS}]
    if unknown:
        expected = f"slots {', '.join(known.slots)}"
        yield _made(frame, node, "error", "slot", expected, ", ".join(dict.fromkeys(unknown)), uses)


# --- What is there for nothing.


def _unused(graph: Graph) -> Iterator[Finding]:
    for name, position in unused_outputs(graph):
        text = f"output {position} ({graph.definitions[name].outputs[position]}) is used by none of its calls"
        yield Finding("warning", "dead", "", name, "", "", "", text)
    for (name, path), full in unused_parameters(graph).items():
        parameter = next(p for p in graph.definitions[name].parameters if p.path == path)
        shape = ",".join(map(str, parameter.shape))
        text = f"nothing uses {parameter.dtype}[{shape}]"
        yield Finding("warning", "unused parameter", full[0], name, "", "", "", text, uses=len(full))
