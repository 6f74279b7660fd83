"""Graphs in the formats of others: ONNX, Graphbook, Python source, TensorBoard.

| format | out | in |
|---|---|---|
| ONNX | `write_onnx` | `read_onnx`, `onnx_weights` |
| Graphbook | `to_graphbook`, `save_graphbook` | `from_graphbook`, `load_graphbook` |
| Python that needs torch alone | `to_source` | |
| TensorBoard | `write_tensorboard` | |

Whichever is used is loaded then. ONNX and TensorBoard need packages of their own, `madstar[onnx]` and
`madstar[tensorboard]`; without them there is a GraphError that says so.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graphbook import from_graphbook, load_graphbook, save_graphbook, to_graphbook
    from .onnx import onnx_weights, read_onnx, write_onnx
    from .source import to_source
    from .tensorboard import write_tensorboard

_HOMES = {
    "from_graphbook": "graphbook",
    "load_graphbook": "graphbook",
    "onnx_weights": "onnx",
    "read_onnx": "onnx",
    "save_graphbook": "graphbook",
    "to_graphbook": "graphbook",
    "to_source": "source",
    "write_onnx": "onnx",
    "write_tensorboard": "tensorboard",
}

__all__ = [
    "from_graphbook",
    "load_graphbook",
    "onnx_weights",
    "read_onnx",
    "save_graphbook",
    "to_graphbook",
    "to_source",
    "write_onnx",
    "write_tensorboard",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"madstar.graph.exchange has no '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
