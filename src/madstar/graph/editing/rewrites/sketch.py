"""Writing nodes and blocks: what rewrites share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ....errors import EditError
from ...inference import Inference
from ...model import Argument, Call, Definition, Item, Node, Parameter
from ...paths import join
from ..drafts import Draft


class Sketch:
    """Writes nodes for a draft, one after the other, with the types that the rules give them."""

    def __init__(self, draft: Draft, inference: Inference) -> None:
        self.draft, self.inference = draft, inference
        self.items: list[Item] = []

    def node(self, op: str, given: Mapping[str, str] | str = (), path: str = "", **attributes: Any) -> str:  # type: ignore[assignment]
        """A new node; gives its result. A text is what fills the slot "input"."""
        return self.nodes(op, given, path, **attributes)[0]

    def nodes(
        self,
        op: str,
        given: Mapping[str, str] | str = (),  # type: ignore[assignment]
        path: str = "",
        **attributes: Any,
    ) -> list[str]:
        """As `node`; gives all results."""
        slots = {"input": given} if isinstance(given, str) else dict(given)
        types = {slot: self.draft.type_of(ref) for slot, ref in slots.items()}
        said = tuple(sorted(attributes.items()))
        outcome = self.inference.operation(op, types, said, ())
        if outcome.fault is not None:
            fault = outcome.fault
            raise EditError(
                f"{self.draft.path or 'the whole'}: {op}: expected {fault.expected}, found {fault.found}"
            )
        if not outcome.types:
            raise EditError(
                f"{self.draft.path or 'the whole'}: no rule says what {op} gives of what is there"
            )
        values = tuple(self.draft.value(op, type_) for type_ in outcome.types)
        arguments = tuple(Argument(slot, ref) for slot, ref in slots.items())
        self.items.append(Node(self.draft.name(op), op, arguments, values, said, path))
        return [f"%{value.name}" for value in values]

    def call(self, like: Call, path: str, arguments: tuple[str, ...] | None = None) -> list[str]:
        """A call of the block that another call uses, at a path of its own; gives its results."""
        values = tuple(
            self.draft.value(v.name, _type(self.draft, like, number)) for number, v in enumerate(like.outputs)
        )
        call = replace(
            like,
            name=self.draft.name(like.name),
            paths=(path,),
            arguments=like.arguments if arguments is None else arguments,
            outputs=values,
        )
        self.items.append(call)
        return [f"%{value.name}" for value in values]


def _type(draft: Draft, call: Call, number: int) -> Any:
    from ...inference import Type

    value = call.outputs[number]
    return Type(value.shape, value.dtype)


def below(table: Mapping[str, Definition], name: str, path: str = "") -> Iterator[tuple[str, Parameter]]:
    """The weights within a block and all that it calls, by paths relative to it."""
    definition = table[name]
    for parameter in definition.parameters:
        yield join(path, parameter.path), parameter
    for item in definition.items:
        if isinstance(item, Call):
            for each in item.paths:
                yield from below(table, item.definition, join(path, each))


def own_path(item: Item) -> str:
    """The path of the module that an item is, relative to its block; empty for none."""
    return item.paths[0] if isinstance(item, Call) else item.path
