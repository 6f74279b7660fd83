"""Writes in place among tensors that share memory: every later use sees the value that it would really see.

When a tensor is written to, what it is a view of is written to as well: the write is carried up, view by
view, to the tensor that owns the memory, by the inverse of each view (a slice written back is a setitem). The
other views of that memory are stale; the first use of one takes the view again, of the new value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from madstar.errors import GraphError
from madstar.graph.recording import Origin, Record

if TYPE_CHECKING:
    from madstar.graph.recorder import Recorder


class Aliases:
    """Which tensors share memory and which of them are stale. Costs nothing until something is written to."""

    def __init__(self, recorder: Recorder):
        self.recorder = recorder
        self.stale: set[int] = set()
        self._kept: list[Tensor] = []
        self._inner: list[Tensor] = []
        self._tensors: dict[int, Tensor] = {}
        self._made: dict[int, tuple[int, int]] = {}
        self._groups: dict[int, list[Tensor]] = {}
        self._indexed = 0
        self._reshaped: set[int] = set()

    def known(self, tensor: Tensor) -> None:
        """A tensor that has a value; it is held, so that its identity stays its own."""
        if id(tensor) not in self._tensors:
            self._tensors[id(tensor)] = tensor
            self._kept.append(tensor)

    def keep(self, tensors: list[Tensor]) -> None:
        """Hold tensors made inside a function, for the same reason."""
        self._inner += tensors

    def made(self, tensor: Tensor, record: int, output: int) -> None:
        """Which record made the tensor; of a view this is how to take it again."""
        self._made.setdefault(id(tensor), (record, output))

    def written(self, tensors: list[Tensor], given: list[Tensor]) -> list[Tensor]:
        """Of the tensors that ATen wrote to, those known outside: they, or what was given there."""
        found: dict[int, Tensor] = {}
        for tensor in tensors:
            if id(tensor) in self.recorder.current:
                found[id(tensor)] = tensor
                continue
            memory = _memory(tensor)
            for candidate in given:
                if _memory(candidate) == memory:
                    found[id(candidate)] = candidate
                    break
        return list(found.values())

    def before(self, written: list[Tensor]) -> None:
        """Called before the new values are named: what the writes are carried into must be up to date."""
        for tensor in written:
            parent = self._parent(tensor)
            if parent is not None:
                self.fresh(parent)

    def write(self, tensor: Tensor) -> None:
        """The tensor has a new value: carry it up to what it is a view of, and make the others stale."""
        group = self._group(tensor)
        if len(group) > 1 and _memory(tensor) in self._reshaped:
            raise GraphError(
                f"{self.recorder.path or 'the model'} writes into memory also seen through a view whose form "
                "was changed in place (transpose_, squeeze_, ...); write transpose, squeeze instead"
            )
        path = {id(tensor)}
        self.stale.discard(id(tensor))
        while (parent := self._parent(tensor)) is not None:
            self._carry(tensor, parent)
            tensor = parent
            path.add(id(tensor))
            self.stale.discard(id(tensor))
        if tensor is not group[0] and id(group[0]) not in path:
            self.recorder.recording.lost_aliases += 1
        self.stale.update(id(other) for other in group if id(other) not in path)

    def reshape(self, tensor: Tensor) -> None:
        """The tensor is seen in another form from now on; nothing of its memory has changed.

        How to take it, or views of it, again is no longer known; where it shares memory, a write is an error.
        """
        if len(self._group(tensor)) > 1:
            self._reshaped.add(_memory(tensor))

    def fresh(self, tensor: Tensor) -> int:
        """The value that the tensor holds now; a stale view is taken again."""
        key = id(tensor)
        if key not in self.stale:
            return self.recorder.reference(tensor)
        parent = self._parent(tensor)
        self.stale.discard(key)
        if parent is None:
            return self.recorder.reference(tensor)
        source = self.fresh(parent)
        index, output = self._made[key]
        made = self.recorder.recording.records[index]
        arguments = [
            (slot, self._tensors[argument], source if argument == id(parent) else value)
            for (slot, value), argument in zip(made.arguments, made.argument_tensors, strict=True)
        ]
        record = self.recorder.emit(made.op, arguments, made.attributes, len(made.outputs))
        self._name_again(record, made, output, tensor)
        return self.recorder.current[key]

    def _name_again(self, record: Record, made: Record, output: int, tensor: Tensor) -> None:
        recording = self.recorder.recording
        index = len(recording.records) - 1
        for position, old in enumerate(made.outputs):
            value = recording.values[old]
            record.outputs.append(recording.value(value.shape, value.dtype, Origin("record", index)))
            if position == output:
                self.recorder.current[id(tensor)] = record.outputs[-1]

    def _carry(self, view: Tensor, base: Tensor) -> None:
        """The inverse of one view: from the view's new value and the base's old one to the base's new one."""
        recorder = self.recorder
        index = self._made[id(view)][0]
        made = recorder.recording.records[index]
        new, old = recorder.current[id(view)], recorder.current[id(base)]
        attributes = dict(made.attributes)
        if made.op in ("detach", "data", "to", "contiguous"):
            recorder.current[id(base)] = new
            return
        with_base = [("input", base, old)]
        if made.op == "getitem" and len(made.arguments) == 1:
            op, arguments = "setitem", [*with_base, ("value", view, new)]
        elif made.op == "select":
            op, arguments = "select_scatter", [*with_base, ("src", view, new)]
        elif made.op in ("transpose", "t", "T", "mT"):
            op, arguments = made.op, [("input", view, new)]
        elif made.op == "permute" and "dims" in attributes:
            dims = [dim % view.dim() for dim in attributes["dims"]]
            attributes = {"dims": tuple(dims.index(i) for i in range(len(dims)))}
            op, arguments = "permute", [("input", view, new)]
        elif view.numel() == base.numel() and made.op in _SAME_ELEMENTS:
            op, arguments, attributes = "view", [("input", view, new)], {"size": tuple(base.shape)}
        else:
            op, arguments = "as_strided_scatter", [*with_base, ("src", view, new)]
            attributes = _geometry(view, base)
        record = recorder.emit(op, arguments, sorted(attributes.items(), key=str), 1)
        place = len(recorder.recording.records) - 1
        record.outputs.append(recorder.name(base, Origin("record", place)))

    def _parent(self, view: Tensor) -> Tensor | None:
        """What the tensor is a view of: the argument of its function that shares its memory."""
        made = self._made.get(id(view))
        if made is None:
            return None
        memory = _memory(view)
        for argument in self.recorder.recording.records[made[0]].argument_tensors:
            tensor = self._tensors.get(argument)
            if tensor is not None and tensor is not view and _memory(tensor) == memory:
                return tensor
        return None

    def _group(self, tensor: Tensor) -> list[Tensor]:
        for other in self._kept[self._indexed :]:
            self._groups.setdefault(_memory(other), []).append(other)
        self._indexed = len(self._kept)
        return self._groups.get(_memory(tensor), [tensor])


_SAME_ELEMENTS = frozenset(
    "view reshape flatten unflatten unsqueeze squeeze view_as reshape_as ravel atleast_1d atleast_2d".split()  # noqa: SIM905
)


def _memory(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return -id(tensor)


def _geometry(view: Tensor, base: Tensor) -> dict[str, Any]:
    return {
        "size": tuple(view.shape),
        "storage_offset": int(view.storage_offset() - base.storage_offset()),
        "stride": tuple(view.stride()),
    }
