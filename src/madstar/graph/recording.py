"""What one run of a module leaves behind: records of calls, instances of modules, values. Plain lists."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from madstar.errors import GraphError
from madstar.graph.model import Guess

Shape = tuple[int, ...]
_DTYPES: dict[torch.dtype, str] = {}


def dtype_name(dtype: torch.dtype) -> str:
    """ "float32" for torch.float32."""
    if dtype not in _DTYPES:
        _DTYPES[dtype] = str(dtype).removeprefix("torch.")
    return _DTYPES[dtype]


class ForwardError(GraphError):
    """The model's own code fails, or what makes its inputs; not the tracer."""


class Origin(NamedTuple):
    """Where a value comes from: `kind` is "record", "input", "parameter" or "constant".

    `place` is the record or the input; `names` are all full paths of a parameter; `data` is a constant's
    content where it is small.
    """

    kind: str
    place: int = -1
    names: tuple[str, ...] = ()
    data: Any = None


class RecordedValue:
    """A tensor at one moment: a write in place makes another value of the same tensor."""

    __slots__ = ("dtype", "origin", "shape")

    def __init__(self, shape: Shape, dtype: str, origin: Origin):
        self.shape, self.dtype, self.origin = shape, dtype, origin


class Step(NamedTuple):
    """One ATen operation below a recorded call, as `Primitive` with sizes of this run."""

    op: str
    arguments: tuple[str, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]


class Record:
    """One outermost torch function: what it took, its attributes, what it gave, what ran beneath it."""

    __slots__ = (
        "argument_tensors",
        "arguments",
        "artificial",
        "attributes",
        "body",
        "instance",
        "op",
        "outputs",
    )

    def __init__(
        self,
        op: str,
        arguments: list[tuple[str, int]],
        attributes: list[tuple[str, Any]],
        instance: int,
        body: list[Step],
    ):
        self.op, self.arguments, self.attributes = op, arguments, attributes
        self.instance, self.body = instance, body
        self.outputs: list[int] = []
        self.argument_tensors: list[int] = []
        self.artificial = False


class Instance:
    """One call of a module: its class, all its paths, the caller, what was passed, what was returned.

    `items` holds records (index >= 0) and instances (as ~index) in the order in which they began.
    """

    __slots__ = ("given", "items", "kind", "module", "names", "parent", "returned")

    def __init__(self, kind: str, module: str, names: tuple[str, ...], parent: int):
        self.kind, self.module, self.names, self.parent = kind, module, names, parent
        self.items: list[int] = []
        self.given: list[tuple[str, int]] = []
        self.returned: list[tuple[str, int]] = []

    @property
    def path(self) -> str:
        """The first of its paths, or its class where the module belongs to no other."""
        return self.names[0] if self.names else f"<{self.kind}>"


class Recording:
    """All of one run."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.instances: list[Instance] = []
        self.values: list[RecordedValue] = []
        self.inputs: list[tuple[str, int]] = []
        self.outputs: list[tuple[str, int]] = []
        self.guesses: list[Guess] = []
        self.values_read: list[tuple[str, str]] = []
        self.lost_aliases = 0
        self.steps = 0

    def value(self, shape: Shape, dtype: str, origin: Origin) -> int:
        """The number of a new value."""
        self.values.append(RecordedValue(shape, dtype, origin))
        return len(self.values) - 1
