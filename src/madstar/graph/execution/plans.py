"""A block compiled: its items as steps on numbered registers, once for each moment at which it is computed.

A `Program` is a block's wiring, found once. A `Plan` is that with functions whose attributes are numbers: the
symbols' sizes, the device and the settings of a turn are settled. A `Unit` is one use of a block: where its
weights are, and the units of what it calls. Plans know nothing of units, so all copies of a block share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...errors import GraphError, in_one_line
from ..model import Attribute, Call, Definition, Graph, Item, Node
from ..paths import join
from ..soundness import sources
from .attributes import Moment, settled
from .kernels import compiled, follows_mode

Registers = list[Any]
Step = Callable[[Registers, "Unit"], None]


class Watch(Protocol):
    """Who is told what each node takes and gives, and which turn of a run begins."""

    def node(self, block: str, node: Node, taken: list[Any], given: list[Any]) -> None:
        """A node has been computed."""

    def turn(self, number: int) -> None:
        """A turn of a run begins, -1 when it ends."""


class Program:
    """A block's wiring: which registers its inputs, its weights and its items' values are in."""

    __slots__ = ("dead", "definition", "given", "places", "registers", "weights", "width")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.registers: dict[str, int] = {}
        for value in definition.inputs:
            self.registers[f"%{value.name}"] = len(self.registers)
        used = {source for item in definition.items for source in _taken(item)} | set(definition.outputs)
        self.weights = [p.path for p in definition.parameters if f"@{p.path}" in used]
        for path in self.weights:
            self.registers[f"@{path}"] = len(self.registers)
        for item in definition.items:
            for name in _made(item):
                self.registers[f"%{name}"] = len(self.registers)
        self.width = len(self.registers)
        self.given = [self.registers[source] for source in definition.outputs]
        self.dead = self._deaths()

    def _deaths(self) -> list[tuple[int, ...]]:
        """For each item the registers that nothing needs after it."""
        last: dict[int, int] = {}
        for number, item in enumerate(self.definition.items):
            for source in _taken(item):
                last[self.registers[source]] = number
            for name in _made(item):
                last.setdefault(self.registers[f"%{name}"], number)
        kept = set(self.given)
        dead: list[list[int]] = [[] for _ in self.definition.items]
        for register, number in last.items():
            if register not in kept:
                dead[number].append(register)
        return [tuple(registers) for registers in dead]

    def __deepcopy__(self, memo: Any) -> Program:
        return self


def _taken(item: Item) -> list[str]:
    found = list(sources(item))
    if isinstance(item, Call):
        found += [source for _, turns in item.own for source in turns]
    return found


def _made(item: Item) -> list[str]:
    found = [value.name for value in item.outputs]
    if isinstance(item, Call):
        found += [name for _, names in item.gathered for name in names]
    return found


class Unit:
    """One use of a block: the weights it takes, its module, the modules of its nodes, the units it calls."""

    __slots__ = ("around", "base", "children", "leaves", "part", "program", "weights")

    def __init__(self, program: Program, base: str, part: nn.Module | None, around: nn.Module) -> None:
        self.program = program
        self.base = base
        # The module by way of which it is computed; and that, or the nearest around, which knows the mode.
        self.part = part
        self.around = around
        self.weights: list[tuple[dict[str, Any], str]] = []
        self.leaves: dict[int, nn.Module] = {}
        self.children: dict[int, list[Unit]] = {}


class Plan:
    """A program's steps at one moment."""

    __slots__ = ("blank", "moment", "program", "steps")

    def __init__(self, program: Program, moment: Moment) -> None:
        self.program, self.moment = program, moment
        self.blank: Registers = [None] * program.width
        self.steps: list[tuple[Step, tuple[int, ...]]] = []


class Plans:
    """The plans of a graph at one moment, by block and settings, made when first asked for."""

    def __init__(
        self, graph: Graph, programs: Mapping[str, Program], moment: Moment, watch: Watch | None = None
    ) -> None:
        self.graph, self.programs, self.moment, self.watch = graph, programs, moment, watch
        self._made: dict[tuple[str, str], Plan] = {}

    def __deepcopy__(self, memo: Any) -> Plans:
        return self

    def plan(self, name: str, settings: Mapping[str, Attribute]) -> Plan:
        """The plan of a block. Raises GraphError for a node that cannot be computed."""
        key = (name, repr(sorted(settings.items())) if settings else "")
        found = self._made.get(key)
        if found is None:
            found = Plan(self.programs[name], self.moment)
            for number, item in enumerate(self.programs[name].definition.items):
                step = (
                    self._call(number, item, found.program, settings)
                    if isinstance(item, Call)
                    else self._node(number, item, found.program, settings)
                )
                found.steps.append((step, found.program.dead[number]))
            self._made[key] = found
        return found

    def _node(self, number: int, node: Node, program: Program, settings: Mapping[str, Attribute]) -> Step:
        try:
            function = compiled(node, self.moment, settings)
        except GraphError as error:
            raise GraphError(f"{label(program.definition, node)}: {error}") from None
        except Exception as error:
            said = in_one_line(error, 200)
            raise GraphError(f"{label(program.definition, node)}: cannot be computed so: {said}") from error
        taken = [program.registers[argument.source] for argument in node.arguments]
        given = [program.registers[f"%{value.name}"] for value in node.outputs]
        if follows_mode(node):
            step = _in_mode(function, taken, given, number)
        elif node.path:
            step = _by_part(function, taken, given, number)
        else:
            step = _plain(function, taken, given)
        if self.watch is None:
            return step
        watch = self.watch

        def watched(r: Registers, unit: Unit) -> None:
            before = [r[i] for i in taken]
            step(r, unit)
            watch.node(unit.base, node, before, [r[i] for i in given])

        return watched

    def _call(self, number: int, call: Call, program: Program, settings: Mapping[str, Attribute]) -> Step:
        registers = program.registers
        taken = [registers[source] for source in call.arguments]
        given = [registers[f"%{value.name}"] for value in call.outputs]
        plans: list[Plan] = []
        for turn in range(call.count):
            set_ = {name: settled(values[turn], settings) for name, values in call.settings}
            if turn and not call.settings:
                plans.append(plans[0])
            else:
                plans.append(self.plan(call.definition, set_))
        if call.count == 1:
            only = plans[0]

            def once(r: Registers, unit: Unit) -> None:
                made = enter(unit.children[number][0], only, [r[i] for i in taken])
                for register, value in zip(given, made, strict=True):
                    r[register] = value

            return once
        own = [(position, [registers[source] for source in turns]) for position, turns in call.own]
        gathered = [
            (position, [registers[f"%{name}"] for name in names]) for position, names in call.gathered
        ]
        watch = self.watch
        numbered = watch is not None and len(set(call.paths)) < call.count

        def run_(r: Registers, unit: Unit) -> None:
            values = [r[i] for i in taken]
            last = len(plans) - 1
            made: Any = ()
            for turn, (child, plan) in enumerate(zip(unit.children[number], plans, strict=True)):
                for position, turns in own:
                    values[position] = r[turns[turn]]
                for output, position in call.carried if turn else ():
                    values[position] = made[output]
                if numbered and watch is not None:
                    watch.turn(turn)
                made = enter(child, plan, values)
                if turn < last:
                    for position, names in gathered:
                        r[names[turn]] = made[position]
            if numbered and watch is not None:
                watch.turn(-1)
            for register, value in zip(given, made, strict=True):
                r[register] = value

        return run_


def enter(unit: Unit, plan: Plan, values: list[Any]) -> Any:
    """Compute one use of a block, by way of its module if it has one, so that hooks see it."""
    if unit.part is None:
        return execute(unit, plan, *values)
    made = unit.part(*values, via=partial(execute, unit, plan))
    return (made,) if isinstance(made, Tensor) else made


def execute(unit: Unit, plan: Plan, *values: Any) -> tuple[Any, ...]:
    """Compute a block's steps. Raises GraphError naming the node at which torch does."""
    program = plan.program
    r = plan.blank.copy()
    r[: len(values)] = values
    at = len(values)
    for tensors, name in unit.weights:
        r[at] = tensors[name]
        at += 1
    number = 0
    try:
        for number, (step, dead) in enumerate(plan.steps):  # noqa: B007
            step(r, unit)
            for register in dead:
                r[register] = None
    except GraphError:
        raise
    except Exception as error:
        item = program.definition.items[number]
        raise GraphError(f"{place(unit.base, item)}: {_op(item)}: {in_one_line(error, 240)}") from error
    return tuple([r[i] for i in program.given])


def place(base: str, item: Item) -> str:
    """The full path of an item, its block's with its name where it has none."""
    if isinstance(item, Node) and not item.path:
        return f"{base}:{item.name}" if base else item.name
    return join(base, item.path if isinstance(item, Node) else item.paths[0])


def label(definition: Definition, item: Item) -> str:
    """An item by its block, where it is not known which use of the block it is."""
    return f"{definition.name}:{item.name} ({_op(item)})"


def _op(item: Item) -> str:
    return item.op if isinstance(item, Node) else item.definition


# Steps of nodes.


def _plain(function: Callable[..., Any], taken: list[int], given: list[int]) -> Step:
    if len(given) != 1:
        return _several(lambda r, unit: function(*[r[i] for i in taken]), taken, given)
    (o,) = given
    if len(taken) == 1:
        (a,) = taken

        def one(r: Registers, unit: Unit) -> None:
            made = function(r[a])
            r[o] = made if made.__class__ is Tensor else _only(made)

        return one
    if len(taken) == 2:
        a, b = taken

        def two(r: Registers, unit: Unit) -> None:
            made = function(r[a], r[b])
            r[o] = made if made.__class__ is Tensor else _only(made)

        return two

    def many(r: Registers, unit: Unit) -> None:
        made = function(*[r[i] for i in taken])
        r[o] = made if made.__class__ is Tensor else _only(made)

    return many


def _by_part(function: Callable[..., Any], taken: list[int], given: list[int], number: int) -> Step:
    """A node that is all of a module's forward is computed by way of that module."""

    def through(r: Registers, unit: Unit) -> Any:
        leaf = unit.leaves.get(number)
        if leaf is None:
            return function(*[r[i] for i in taken])
        return leaf(*[r[i] for i in taken], via=function)

    return _of(through, taken, given)


def _in_mode(function: Callable[..., Any], taken: list[int], given: list[int], number: int) -> Step:
    """What is different in training asks the module it belongs to."""

    def through(r: Registers, unit: Unit) -> Any:
        values = [r[i] for i in taken]
        leaf = unit.leaves.get(number)
        if leaf is not None:
            return leaf(*values, via=partial(function, training=leaf.training))
        return function(*values, training=unit.around.training)

    return _of(through, taken, given)


def _of(through: Callable[[Registers, Unit], Any], taken: list[int], given: list[int]) -> Step:
    if len(given) != 1:
        return _several(through, taken, given)
    (o,) = given

    def one(r: Registers, unit: Unit) -> None:
        made = through(r, unit)
        r[o] = made if made.__class__ is Tensor else _only(made)

    return one


def _only(made: Any) -> Tensor:
    """Of a function that gives a list of one, that one."""
    found = _flat(made)
    if len(found) != 1:
        raise RuntimeError(f"gives {len(found)} tensors, the graph says 1")
    return found[0]


def _several(compute: Callable[[Registers, Unit], Any], taken: list[int], given: list[int]) -> Step:
    def step(r: Registers, unit: Unit) -> None:
        found = _flat(compute(r, unit))
        if len(found) > len(given):
            # What a function hands through is no new value.
            old = {id(r[i]) for i in taken}
            found = [tensor for tensor in found if id(tensor) not in old]
        if len(found) != len(given):
            raise RuntimeError(f"gives {len(found)} tensors, the graph says {len(given)}")
        for register, tensor in zip(given, found, strict=True):
            r[register] = tensor

    return step


def _flat(made: Any) -> list[Tensor]:
    if isinstance(made, torch.Tensor):
        return [made]
    if isinstance(made, (list, tuple)):
        return [tensor for part in made for tensor in _flat(part)]
    return []
