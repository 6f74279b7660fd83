"""What is known of an ATen overload before it runs: what it writes to, whether it asks for values."""

from __future__ import annotations

from typing import Any

from madstar.graph.guessing import ASKED

# Writes that change how a tensor is seen and not what it holds.
_RESHAPED = (
    "aten.transpose_",
    "aten.t_",
    "aten.squeeze_",
    "aten.unsqueeze_",
    "aten.as_strided_",
    "aten.swapdims_",
    "aten.swapaxes_",
)
# Writes of which nothing is seen without gradients.
_UNSEEN = ("aten.detach_",)


class Operator:
    """An overload: `written` are the positions it writes to, `pure` that it makes new tensors only.

    `reshaped` says that a write changes how the tensor is seen, and nothing of what it holds.
    """

    __slots__ = ("ask", "base", "name", "pure", "reshaped", "written", "written_names")

    def __init__(self, overload: Any):
        self.name = str(overload)
        self.base = self.name.rpartition(".")[0]
        self.ask = ASKED.get(overload)
        schema = overload._schema
        self.pure = all(part.alias_info is None for part in (*schema.arguments, *schema.returns))
        self.written: tuple[int, ...] = ()
        self.written_names: tuple[str, ...] = ()
        self.reshaped = self.base in _RESHAPED
        if schema.is_mutable and self.base not in _UNSEEN:
            marked = [
                (i, argument)
                for i, argument in enumerate(schema.arguments)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            self.written = tuple(i for i, _ in marked)
            self.written_names = tuple(argument.name for _, argument in marked)


_KNOWN: dict[Any, Operator] = {}


def operator(overload: Any) -> Operator:
    """The description of an overload, remembered."""
    known = _KNOWN.get(overload)
    if known is None:
        known = _KNOWN[overload] = Operator(overload)
    return known
