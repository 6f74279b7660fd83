"""How each operation of ONNX is read, by its name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from ..held import Held
from ..interpreting import Node
from . import attention, contents, elementwise, indexing, networks, pictures, recurrent, reductions, shapes

Reader = Callable[[Node], "Held | list[Held]"]

READERS: MappingProxyType[str, Reader] = MappingProxyType(
    {
        name: reader
        for part in (
            elementwise,
            shapes,
            indexing,
            reductions,
            networks,
            attention,
            pictures,
            recurrent,
            contents,
        )
        for name, reader in part.READERS.items()
    }
)
