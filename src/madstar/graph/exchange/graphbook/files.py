"""Graphbook's files: text to data and back, within limits, whole or not at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....errors import GraphError
from ....whole_files import write_whole
from ...json_format import MAX_BYTES
from ...model import Graph
from .reading import from_graphbook
from .writing import to_graphbook


def save_graphbook(graph: Graph, path: str | Path) -> None:
    """Write the graph as Graphbook has it, packed where the name ends in .gz; whole or not at all.

    Raises GraphError for a graph that the format does not take, OutputError where nothing can be written.
    """
    path = Path(path)
    data = json.dumps(to_graphbook(graph), ensure_ascii=False, separators=(",", ":")).encode()
    write_whole(path, gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)


def load_graphbook(path: str | Path, inputs: Sequence[str] = ()) -> Graph:
    """The graph in a file of Graphbook, .json or .json.gz. Raises GraphError naming the file and the place.

    `inputs` say what the file does not, as for `from_graphbook`.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                data = packed.read(MAX_BYTES + 1)
    except OSError as error:
        raise GraphError(f"cannot read {path}: {error.strerror or 'it is damaged'}") from None
    except Exception as error:  # EOFError, zlib.error
        raise GraphError(f"{path}: the packed file is damaged ({error})") from None
    if len(data) > MAX_BYTES:
        raise GraphError(f"{path}: larger than {MAX_BYTES >> 20} MiB when unpacked; no graph is that large")
    try:
        return from_graphbook(parsed(data), inputs)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def parsed(data: bytes | str) -> Any:
    """JSON as data. Raises GraphError, also for numbers that JSON lacks."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise GraphError("not text in UTF-8; Graphbook's files are JSON") from None
    except RecursionError:
        raise GraphError("nested too deeply to be a graph") from None
    except json.JSONDecodeError as error:
        raise GraphError(f"no whole JSON document ({error.msg}, line {error.lineno})") from None
    except ValueError as error:
        raise GraphError(str(error)) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
