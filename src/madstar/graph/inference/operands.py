"""What a rule is given: the types in an operation's slots and its attributes, read with care.

A rule asks for what it needs. What is missing, or of the wrong kind, is a `Misfit` that names the slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import dims
from ..model import Dim, Shape
from . import promotion
from .types import Misfit, NoRule, Sizes, Type, sizes_text


class Operands:
    """The arguments of one operation.

    `tensors` are types by slot; `recorded` the types that the graph states for the results, which decide
    where the arguments alone do not: the default floating-point dtype, sizes that depend on data.
    """

    def __init__(
        self,
        op: str,
        tensors: Mapping[str, Type],
        attributes: Mapping[str, Any],
        recorded: tuple[Type, ...],
        sizes: Sizes,
    ):
        self.op, self.tensors, self.attributes = op, tensors, attributes
        self.recorded, self.sizes = recorded, sizes

    # Tensors.

    def tensor(self, slot: str = "input") -> Type:
        """The type in a slot that must be filled with a tensor."""
        found = self.tensors.get(slot)
        if found is None:
            raise Misfit("missing argument", f"a tensor in slot {slot!r}", "none", slot)
        return found

    def optional(self, slot: str) -> Type | None:
        """The type in a slot, if there is a tensor."""
        return self.tensors.get(slot)

    def many(self, slot: str) -> list[tuple[str, Type]]:
        """The tensors of a list slot, in order, with the slot of each."""
        found = [
            (int(name[len(slot) + 1 :]), name, given)
            for name, given in self.tensors.items()
            if name.startswith(f"{slot}.") and name[len(slot) + 1 :].isdecimal()
        ]
        if slot in self.tensors:
            found.append((0, slot, self.tensors[slot]))
        if not found:
            raise Misfit("missing argument", f"a list of tensors in slot {slot!r}", "none", slot)
        return [(name, given) for _, name, given in sorted(found, key=lambda each: each[0])]

    # Attributes.

    def has(self, slot: str) -> bool:
        """Whether an attribute is given, and not null."""
        return self.attributes.get(slot) is not None

    def attribute(self, slot: str, default: Any = None) -> Any:
        """An attribute as it stands; the default where it is null or absent."""
        found = self.attributes.get(slot)
        return default if found is None else found

    def flag(self, slot: str, default: bool = False) -> bool:
        """An attribute that is true or false."""
        found = self.attribute(slot, default)
        if not isinstance(found, (bool, int)):
            raise self.wrong(slot, "true or false")
        return bool(found)

    def size(self, slot: str, default: Dim | None = None) -> Dim:
        """An attribute that is a size: a number or an expression."""
        found = self.attribute(slot, default)
        if slot in self.tensors:
            raise NoRule
        if found is None:
            raise Misfit("missing argument", f"a number for {slot!r}", "none", slot)
        return self.as_size(found, slot)

    def integer(self, slot: str, default: int | None = None) -> int:
        """An attribute that is a number, whatever the symbols are."""
        found = self.size(slot, default)
        if not isinstance(found, int):
            number = self.sizes.number(found)
            if number is None:
                raise NoRule
            return number
        return found

    def as_size(self, given: Any, slot: str) -> Dim:
        """Part of an attribute as a size."""
        if isinstance(given, bool) or not isinstance(given, (int, str)):
            raise self.wrong(slot, "a size")
        try:
            return dims.canonical(given)
        except Exception:
            raise self.wrong(slot, "a size") from None

    def sizes_of(self, slot: str, count: int | None = None) -> tuple[Dim, ...]:
        """An attribute that is a list of sizes; one number stands for `count` equal ones."""
        found = self.attribute(slot)
        if found is None or slot in self.tensors or any(name.startswith(f"{slot}.") for name in self.tensors):
            raise NoRule
        parts = found if isinstance(found, tuple) else (found,) * (count or 1)
        if len(parts) == 1 and count:
            parts = parts * count
        if count is not None and len(parts) != count:
            raise self.wrong(slot, f"{count} sizes")
        return tuple(self.as_size(part, slot) for part in parts)

    def axis(self, slot: str, rank: int, default: int | None = None) -> int:
        """An attribute that names one of `rank` dimensions, from the front."""
        found = self.attribute(slot, default)
        if found is None:
            raise Misfit(
                "missing argument", f"the number of a dimension for {slot!r}", "none", self._first_slot()
            )
        return self.as_axis(found, rank, slot)

    def as_axis(self, axis: Any, rank: int, slot: str) -> int:
        """A number of a dimension, counted from the front."""
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise self.wrong(slot, "the number of a dimension")
        least = max(rank, 1)
        if not -least <= axis < least:
            raise Misfit(
                "attribute", f"{slot} between {-least} and {least - 1}", str(axis), self._first_slot()
            )
        return axis % least

    def axes(self, slot: str, rank: int) -> tuple[int, ...] | None:
        """An attribute that names dimensions: one, several, or none (null) for all."""
        found = self.attribute(slot)
        if found is None:
            return None
        parts = found if isinstance(found, tuple) else (found,)
        chosen = tuple(self.as_axis(part, rank, slot) for part in parts)
        if len(set(chosen)) < len(chosen):
            raise self.wrong(slot, "each dimension once")
        return chosen

    def wrong(self, slot: str, wanted: str) -> Misfit:
        """An attribute of the wrong kind."""
        return Misfit("attribute", f"{slot} = {wanted}", f"{self.attributes.get(slot)!r:.60}", "")

    def _first_slot(self) -> str:
        return next(iter(self.tensors), "")

    # Dtypes.

    @property
    def floating(self) -> str:
        """The default floating-point dtype: what is recorded, where that is one."""
        dtype = self.recorded[0].dtype if self.recorded else ""
        if promotion.is_complex(dtype):
            return promotion.parts_of(dtype)
        return dtype if promotion.is_floating(dtype) else "float32"

    def dtype(self, default: str) -> str:
        """The attribute `dtype`, or the default."""
        found = self.attribute("dtype", default)
        if not isinstance(found, str):
            raise self.wrong("dtype", "the name of a dtype")
        return found

    def one_dtype(self, *slots: str) -> str:
        """The dtype of the first slot, which the others that are filled must share."""
        first = self.tensor(slots[0])
        for slot in slots[1:]:
            other = self.optional(slot)
            if other is not None and other.dtype != first.dtype:
                raise Misfit("dtype", f"{slot} of {first.dtype}, as {slots[0]}", str(other), slot)
        return first.dtype

    # Shapes.

    def ranked(self, slot: str, *ranks: int) -> Type:
        """A tensor with one of these numbers of dimensions."""
        found = self.tensor(slot)
        if len(found.shape) not in ranks:
            wanted = " or ".join(map(str, ranks))
            raise Misfit("shape", f"{slot} of {wanted} dimensions", str(found), slot)
        return found

    def want(self, slot: str, dim: int, size: Dim, why: str = "") -> None:
        """A tensor's dimension must have this size."""
        found = self.tensor(slot)
        place = dim % len(found.shape)
        if not self.sizes.same(found.shape[place], size):
            raise Misfit("shape", f"{slot} with {size} in dimension {dim}{why}", str(found), slot, place)

    def want_shape(self, slot: str, shape: Shape, why: str = "") -> None:
        """A tensor, if it is there, must have this shape."""
        found = self.optional(slot)
        if found is None or self.sizes.same_shape(found.shape, shape):
            return
        place = next(
            (
                i
                for i, (a, b) in enumerate(zip(found.shape, shape, strict=False))
                if not self.sizes.same(a, b)
            ),
            None,
        )
        raise Misfit("shape", f"{slot} {sizes_text(shape)}{why}", str(found), slot, place)

    def broadcast(self, *given: tuple[str, Shape]) -> Shape:
        """Shapes put together as torch does: from the back, a size of 1 gives way."""
        rank = max((len(shape) for _, shape in given), default=0)
        made: list[Dim] = [1] * rank
        setters = [""] * rank
        for slot, shape in given:
            for place, size in enumerate(shape, rank - len(shape)):
                if size == 1 or size == made[place]:
                    continue
                if made[place] == 1 or self.sizes.same(made[place], size):
                    if made[place] == 1 or isinstance(made[place], int):
                        made[place], setters[place] = size, slot
                    continue
                before = dict(given)[setters[place]]
                raise Misfit(
                    "shape",
                    f"{slot} to go with {setters[place]} {sizes_text(before)}",
                    f"{sizes_text(shape)}: {size} against {made[place]}",
                    slot,
                    place - (rank - len(shape)),
                )
        return tuple(made)
