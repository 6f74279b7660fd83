"""Inference over a graph: every node once, each definition from what it takes, results remembered.

A definition is inferred from the types of its own inputs as it states them, so it is looked at once however
often it is called, or once for each way that its calls set what it leaves open; a call is held to what the
definition takes and gives. What is remembered of an operation depends on its operands alone, and of a
definition on itself and on what those it calls give. After an edit only what depends on it is computed anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import GraphError
from ..model import Attribute, Call, Definition, Graph, Item, Node, Value
from ..soundness import ordered_definitions
from ..varying import Binding, bound_item
from ..wiring import given, positions
from . import promotion
from .operands import Operands
from .rules import RULES
from .turns import Way, ways
from .types import Misfit, NoRule, Remark, Sizes, Type


@dataclass(frozen=True, slots=True)
class Fault:
    """What does not fit, and in which argument; `slot` of a call is the position of the argument."""

    kind: str
    expected: str
    found: str
    slot: str = ""
    dim: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The types of an operation's results; what is wrong, if something is; what was taken on trust.

    `ruled` is False where there is no rule and the results are as recorded.
    """

    types: tuple[Type, ...]
    fault: Fault | None = None
    remarks: tuple[Remark, ...] = ()
    ruled: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault at an item of a definition, or with `depends` a size that fits only as traced.

    `turn` says in words in which turn of a run, where it is not in all.
    """

    item: str
    fault: Fault
    depends: bool = False
    turn: str = ""


@dataclass(frozen=True)
class BlockTypes:
    """What is inferred of a definition: `types` by reference, and of its outputs; what is wrong in it.

    `stale` are references whose inferred type is not the one that the graph states. `ruled` counts nodes with
    a rule, `unruled` the others, by operation.
    """

    types: Mapping[str, Type]
    outputs: tuple[Type, ...]
    troubles: tuple[Trouble, ...]
    stale: frozenset[str]
    ruled: int
    unruled: Mapping[str, int] = field(default_factory=dict)


class Inference:
    """Infers types of operations, definitions and graphs, and remembers them.

    `symbols` are a graph's; sizes that fit at the first size of each symbol only are remarked, not refused.
    `computed` counts the operations to which a rule was applied so far. One object is for one thread.
    """

    def __init__(self, symbols: Mapping[str, tuple[int, ...]] | None = None):
        self.symbols = {name: tuple(sizes) for name, sizes in (symbols or {}).items()}
        self.computed = 0
        self._outcomes: dict[tuple[Any, ...], Outcome] = {}
        self._blocks: dict[tuple[int, str], tuple[Definition, tuple[Any, ...], BlockTypes]] = {}

    def operation(
        self,
        op: str,
        tensors: Mapping[str, Type],
        attributes: tuple[tuple[str, Attribute], ...] = (),
        recorded: tuple[Type, ...] = (),
    ) -> Outcome:
        """What an operation gives for operands of these types.

        `recorded` are the types that are stated for the results; a rule reads from them what arguments do not
        determine, and without a rule they are the answer.
        """
        # 1, 1.0 and True are equal keys, and not the same attribute.
        key = (op, tuple(tensors.items()), attributes, repr(attributes), recorded)
        found = self._outcomes.get(key)
        if found is None:
            self.computed += 1
            found = self._outcomes[key] = self._outcome(op, dict(tensors), dict(attributes), recorded)
        return found

    def _outcome(
        self, op: str, tensors: dict[str, Type], attributes: dict[str, Any], recorded: tuple[Type, ...]
    ) -> Outcome:
        rule = RULES.get(op)
        if rule is None:
            return Outcome(recorded, ruled=False)
        sizes = Sizes(self.symbols)
        if isinstance(cast := attributes.get("autocast"), str):
            tensors = {
                slot: Type(t.shape, cast) if promotion.is_floating(t.dtype) else t
                for slot, t in tensors.items()
            }
        try:
            types = tuple(rule(Operands(op, tensors, attributes, recorded, sizes)))
        except NoRule:
            return Outcome(recorded, ruled=False)
        except Misfit as misfit:
            fault = Fault(misfit.kind, misfit.expected, misfit.found, misfit.slot, misfit.dim)
            return Outcome(recorded, fault)
        except GraphError as error:  # a size that cannot be computed
            return Outcome(recorded, Fault("attribute", "sizes that can be computed", str(error)))
        return Outcome(types, None, tuple(dict.fromkeys(sizes.remarks)))

    def definition(
        self, definition: Definition, called: Mapping[str, BlockTypes], turns: Sequence[Way] = ()
    ) -> BlockTypes:
        """What is inferred of a definition, given what is of those that it calls.

        `turns` are the ways in which what it leaves open is set; the types are those of the first.
        """
        first, *others = [self._way(definition, called, way) for way in turns or (Way("", {}),)]
        troubles = dict.fromkeys(first.troubles)
        known = {(trouble.item, trouble.fault) for trouble in troubles}
        unlike = any(set(other.troubles) != set(first.troubles) for other in others)
        if not unlike:
            return first
        shared = set(first.troubles).intersection(*(other.troubles for other in others))
        said = [replace(t, turn="" if t in shared else turns[0].words) for t in troubles]
        for way, other in zip(turns[1:], others, strict=True):
            for trouble in other.troubles:
                if (trouble.item, trouble.fault) not in known:
                    known.add((trouble.item, trouble.fault))
                    said.append(replace(trouble, turn=way.words))
        return replace(first, troubles=tuple(said))

    def _way(self, definition: Definition, called: Mapping[str, BlockTypes], way: Way) -> BlockTypes:
        calls = tuple(item.definition for item in definition.items if isinstance(item, Call))
        gives = tuple((called[name].outputs, bool(called[name].stale)) for name in dict.fromkeys(calls))
        key = (id(definition), way.key)
        known = self._blocks.get(key)
        if known is not None and known[0] is definition and known[1] == gives:
            return known[2]
        found = _Block(self, definition, called, way.binding).infer()
        self._blocks[key] = (definition, gives, found)
        return found

    def graph(self, graph: Graph) -> dict[str, BlockTypes]:
        """What is inferred of every definition of a graph, by name, each after those it calls.

        The graph must be sound. Raises GraphError where a block contains itself or calls what is not there.
        """
        symbols = {name: tuple(sizes) for name, sizes in graph.symbols.items()}
        if symbols != self.symbols:
            self.symbols = symbols
            self._outcomes.clear()
            self._blocks.clear()
        found: dict[str, BlockTypes] = {}
        inputs = {name: d.inputs for name, d in graph.definitions.items()}
        turns = ways(graph)
        for name in ordered_definitions(graph):
            found[name] = self.definition(graph.definitions[name], _Called(found, inputs), turns[name])
        return found


class _Called(dict[str, BlockTypes]):
    """What is known of the definitions that may be called, with the inputs that each states."""

    def __init__(self, known: Mapping[str, BlockTypes], inputs: Mapping[str, tuple[Value, ...]]):
        super().__init__(known)
        self.inputs = inputs


def stated(values: tuple[Value, ...]) -> tuple[Type, ...]:
    """The types that values are said to have."""
    return tuple(Type(value.shape, value.dtype) for value in values)


class _Block:
    """One pass over a definition."""

    def __init__(
        self,
        inference: Inference,
        definition: Definition,
        called: Mapping[str, BlockTypes],
        binding: Binding,
    ):
        self.inference, self.block, self.called, self.binding = inference, definition, called, binding
        self.types: dict[str, Type] = {f"@{p.path}": Type(p.shape, p.dtype) for p in definition.parameters}
        self.types |= {f"%{v.name}": Type(v.shape, v.dtype) for v in definition.inputs}
        self.troubles: list[Trouble] = []
        self.stale: set[str] = set()
        self.unruled: Counter[str] = Counter()
        self.ruled = 0
        self.sizes = Sizes(inference.symbols)

    def infer(self) -> BlockTypes:
        for item in self.block.items:
            if isinstance(item, Node):
                bound = bound_item(item, self.binding)
                assert isinstance(bound, Node)
                self._node(bound)
            else:
                self._call(item)
        outputs = tuple(self.types[ref] for ref in self.block.outputs)
        return BlockTypes(
            self.types, outputs, tuple(self.troubles), frozenset(self.stale), self.ruled, dict(self.unruled)
        )

    def _node(self, node: Node) -> None:
        tensors = {argument.slot: self.types[argument.source] for argument in node.arguments}
        claimed = stated(node.outputs)
        outcome = self.inference.operation(node.op, tensors, node.attributes, claimed)
        if outcome.ruled:
            self.ruled += 1
        else:
            self.unruled[node.op] += 1
        if outcome.fault is not None:
            self.troubles.append(Trouble(node.name, outcome.fault))
        self._remarks(node, list(outcome.remarks))
        follows = any(argument.source in self.stale for argument in node.arguments)
        # A node may name more than its function returns: what was made within and used after all.
        types = (*outcome.types, *claimed[len(outcome.types) :])
        if len(types) > len(claimed):
            fault = Fault("outputs", f"{len(types)} outputs", f"{len(claimed)} are named")
            self.troubles.append(Trouble(node.name, fault))
        self._settle(node, types, claimed, follows)

    def _settle(self, item: Item, types: tuple[Type, ...], claimed: tuple[Type, ...], follows: bool) -> None:
        """Note what the outputs are; say so where the graph states otherwise and it is not a consequence."""
        said = False
        for value, found, claim in zip(item.outputs, types, claimed, strict=False):
            self.types[f"%{value.name}"] = found
            self.sizes.remarks.clear()
            if found == claim or (
                found.dtype == claim.dtype and self.sizes.same_shape(found.shape, claim.shape)
            ):
                if found != claim:
                    self._remarks(item, self.sizes.remarks)
                    # What the graph states is what was seen when it was traced.
                    self.types[f"%{value.name}"] = claim
                continue
            self.stale.add(f"%{value.name}")
            if not follows and not said:
                fault = Fault("output", f"{value.name}: {claim}, as the graph states", str(found))
                self.troubles.append(Trouble(item.name, fault))
                said = True

    def _remarks(self, item: Item, remarks: list[Remark]) -> None:
        for remark in remarks:
            fault = Fault("size", str(remark), "sizes that depend on it")
            self.troubles.append(Trouble(item.name, fault, depends=True))

    def _call(self, call: Call) -> None:
        inner = self.called[call.definition]
        inputs = self.called.inputs[call.definition] if isinstance(self.called, _Called) else ()
        taken = [self.types[ref] for ref in call.arguments]
        for position, (value, found) in enumerate(zip(inputs, taken, strict=False)):
            self._fits(call, f"input {value.name}", Type(value.shape, value.dtype), found, str(position))
        for position, refs in call.own:
            wanted = Type(inputs[position].shape, inputs[position].dtype)
            for turn, ref in enumerate(refs[1:], 2):
                if self.types[ref] != taken[position]:
                    what = f"input {inputs[position].name} of turn {turn}"
                    self._fits(call, what, wanted, self.types[ref], str(position))
        if call.count > 1:
            for output, entry in call.carried:
                if output < len(inner.outputs) and entry < len(inputs):
                    wanted = Type(inputs[entry].shape, inputs[entry].dtype)
                    what = f"carried output {output} as input {inputs[entry].name}"
                    self._fits(call, what, wanted, inner.outputs[output], f"carried {output}")
        self._settle(call, inner.outputs, stated(call.outputs), bool(inner.stale))
        last = [self.types[f"%{value.name}"] for value in call.outputs]
        for position, value in zip(positions(call), given(call), strict=True):
            self.types[f"%{value.name}"] = last[position]
            if f"%{call.outputs[position].name}" in self.stale:
                self.stale.add(f"%{value.name}")

    def _fits(self, call: Call, what: str, wanted: Type, found: Type, slot: str) -> None:
        self.sizes.remarks.clear()
        if wanted.dtype != found.dtype:
            self.troubles.append(Trouble(call.name, Fault("dtype", f"{what}: {wanted}", str(found), slot)))
        elif not self.sizes.same_shape(wanted.shape, found.shape):
            place = next(
                (
                    i
                    for i, (a, b) in enumerate(zip(wanted.shape, found.shape, strict=False))
                    if not self.sizes.same(a, b)
                ),
                None,
            )
            fault = Fault("shape", f"{what}: {wanted}", str(found), slot, place)
            self.troubles.append(Trouble(call.name, fault))
        else:
            self._remarks(call, self.sizes.remarks)
