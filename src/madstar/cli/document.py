"""A command's result as one JSON document on stdout."""

from __future__ import annotations

import json
import math
from typing import Any

import typer


def print_document(document: Any) -> None:
    """Print JSON data; a number that JSON has no word for, such as nan, becomes null."""
    typer.echo(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(data: Any) -> Any:
    match data:
        case dict():
            return {key: _finite(value) for key, value in data.items()}
        case list() | tuple():
            return [_finite(value) for value in data]
        case float() if not math.isfinite(data):
            return None
    return data
