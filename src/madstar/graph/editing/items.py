"""Items of a draft: what they take and give, put behind one another, combined, taken out."""

from __future__ import annotations

from dataclasses import replace

from ...errors import EditError
from ..inference import Inference
from ..model import Argument, Attribute, Call, Item, Node
from ..vocabulary import OPERATIONS
from .drafts import Draft, filled
from .fragments import Around, Fragment, build
from .patterns import form, nearest


def tensors(item: Item) -> list[tuple[str, str]]:
    """What an item takes that is no weight, by slot; of a call the slots are positions."""
    if isinstance(item, Call):
        return [(str(n), ref) for n, ref in enumerate(item.arguments)]
    return [(a.slot, a.source) for a in item.arguments if a.source.startswith("%")]


def taken(draft: Draft, item: Item, slot: str, new: bool = False) -> tuple[str, str]:
    """The slot and the reference in it: the first tensor, if no slot is said. With `new` it may be empty."""
    found = tensors(item)
    if isinstance(item, Call):
        names = [value.name for value in draft.table[item.definition].inputs]
        if slot in names:
            slot = str(names.index(slot))
        known = names
    else:
        known = [each for each, _ in found]
        if new and (operation := OPERATIONS.get(item.op)) is not None:
            known = list(dict.fromkeys([*(a.slot for a in item.arguments), *operation.slots]))
            if slot in known or slot.partition(".")[0] in operation.slots:
                return slot, next((a.source for a in item.arguments if a.slot == slot), "")
    if not slot and found:
        return found[0]
    for each, ref in found:
        if each == slot:
            return each, ref
    raise EditError(
        f"{draft.where(item.name)}: takes nothing in {slot or 'any slot'!r}"
        + (f"; it has {', '.join(known)}" if known else "")
    )


def gives(draft: Draft, item: Item, output: int = 0) -> str:
    """The reference of a result of an item."""
    if not 0 <= output < len(item.outputs):
        raise EditError(f"{draft.where(item.name)}: has {len(item.outputs)} results, none is number {output}")
    return f"%{item.outputs[output].name}"


def around(draft: Draft, item: Item, first: str, y: str) -> Around:
    """What a fragment finds at an item."""
    own = item.paths[0] if isinstance(item, Call) else item.path
    takes = tuple(dict.fromkeys(ref for _, ref in tensors(item)))
    return Around(takes, y, first, item.name, own)


def put(draft: Draft, inference: Inference, new: Fragment, item: Item, first: str, y: str) -> tuple[str, str]:
    """Build a fragment behind an item and let it have the users of `y`: the last item, the result."""
    items, results = build(new, around(draft, item, first, y), draft, inference)
    draft.insert(items, after=item.name)
    draft.redirect(y, results[0], but=[each.name for each in items])
    return items[-1].name, results[0]


def with_slot(draft: Draft, item: Item, slot: str, source: str) -> Item:
    """The item with something else in a slot; of a call a position."""
    if isinstance(item, Node):
        return filled(item, slot, source)
    arguments = list(item.arguments)
    arguments[int(slot)] = source
    return replace(item, arguments=tuple(arguments))


def combined(draft: Draft, op: str, a: str, b: str, dim: int, inference: Inference) -> Node:
    """A new node that adds, multiplies or joins two values."""
    slots = ("tensors.0", "tensors.1") if op == "cat" else ("input", "other")
    attributes: tuple[tuple[str, Attribute], ...] = (("dim", dim),) if op == "cat" else ()
    types = {slots[0]: draft.type_of(a), slots[1]: draft.type_of(b)}
    outcome = inference.operation(op, types, attributes, ())
    if outcome.fault is not None:
        fault = outcome.fault
        raise EditError(
            f"{draft.path or 'the whole'}: {op} of {a} and {b}: expected {fault.expected}, found "
            f"{fault.found}"
        )
    value = draft.value(op, outcome.types[0])
    arguments = (Argument(slots[0], a), Argument(slots[1], b))
    return Node(draft.name(op), op, arguments, (value,), attributes)


def remove(draft: Draft, name: str, keep: str = "") -> None:
    """Take an item out of a draft; its users take what it took."""
    item = draft.item(name)
    for number, value in enumerate(item.outputs):
        old = f"%{value.name}"
        if not draft.users(old) and old not in draft.outputs:
            continue
        if keep:
            _, kept = taken(draft, item, keep)
        else:
            wanted = draft.type_of(old)
            kept = next((ref for _, ref in tensors(item) if draft.type_of(ref) == wanted), "")
            if not kept:
                slots = ", ".join(f"{slot}: {draft.type_of(ref)}" for slot, ref in tensors(item)) or "nothing"
                raise EditError(
                    f"{draft.where(name)}: expected an argument of the type of its result {number}, "
                    f"{wanted}, "
                    f"found {slots}; say which to keep"
                )
        draft.redirect(old, kept, but=[name])
    draft.remove(name)


def reference(draft: Draft, name: str, source: str) -> str:
    """The one reference of a block that `source` means."""
    if source.startswith("@"):
        if source[1:] not in draft.parameters:
            raise EditError(
                f"{draft.where(name)}: there is no weight {source}{nearest(source[1:], draft.parameters)}"
            )
        return source
    fits = form(source.removeprefix("%")).fullmatch
    names = [value.name for value in draft.inputs]
    found = [f"%{each}" for each in names if fits(each)]
    for item in draft.items:
        results = [value.name for value in item.outputs]
        found += [f"%{each}" for each in results if fits(each)]
        if fits(item.name) and not any(fits(each) for each in results):
            found += [f"%{each}" for each in results[:1]]
        names += results
    if len(found) != 1:
        what = f"fits {len(found)} values: {', '.join(found[:4])}" if found else "fits nothing in the block"
        raise EditError(
            f"{draft.where(name)}: {source!r} {what}{nearest(source, names) if not found else ''}"
        )
    return found[0]
