"""The packages that ONNX needs, which are not installed with madstar itself."""

from __future__ import annotations

import importlib
from typing import Any

from ....errors import GraphError


def need(name: str) -> Any:
    """A module of one of them. Raises GraphError, with what to install, where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise GraphError(f"ONNX needs {package}: pip install 'madstar[onnx]'") from None
