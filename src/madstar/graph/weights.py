"""Weights by reference: which safetensors files hold the values of a graph's parameters.

A graph never holds weights. It may name files beside it that do; here these are looked at, header by header,
before they are named. No tensor is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import GraphError
from .json_format import check_weights
from .model import Graph
from .walk import parameters

PREFIX = "weights_prefix"
"""The fact that says what stands before a parameter's path in the files, such as "model."."""


def attach(graph: Graph, files: Sequence[str | Path], beside: str | Path) -> Graph:
    """The graph with references to the files that hold its weights, as seen from the folder `beside`.

    Every trained parameter must stand in one of the files under its path, or that of one it is tied to, with
    its shape; all paths may have one prefix there ("model."), which becomes the fact `weights_prefix`. The
    dtype may differ: that is how the values are stored. What else the files hold does not matter.

    Raises GraphError for a file that is none, lies outside of the folder, or lacks a parameter.
    """
    folder = Path(beside).resolve()
    held: dict[str, tuple[int, ...]] = {}
    names = []
    for file in files:
        names.append(_reference(Path(file), folder))
        held |= shapes_in(file)
    wanted = {path: p.shape for path, p in parameters(graph).items() if p.trained}
    tied = {path: group for group in graph.tied for path in group}
    prefix = _prefix(wanted, tied, held)
    missing = []
    for path, shape in wanted.items():
        stored = next(
            (held[prefix + name] for name in (path, *tied.get(path, ())) if prefix + name in held), None
        )
        if stored is None:
            missing.append(path)
        elif stored != shape:
            raise GraphError(
                f"{graph.name}: the weights of {path} are {list(stored)} in the files and {list(shape)} in "
                "the graph; give those of this model"
            )
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise GraphError(
            f"{graph.name}: the files lack {', '.join(missing[:3])}{more}; give all files of this model"
        )
    check_weights(tuple(names))
    facts = {key: value for key, value in graph.facts.items() if key != PREFIX}
    return replace(graph, weights=tuple(names), facts=facts | ({PREFIX: prefix} if prefix else {}))


def shapes_in(file: str | Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file by name, with their shapes. Raises GraphError where it is none."""
    if not Path(file).is_file():
        raise GraphError(f"weights {file}: there is no such file")
    try:
        with safe_open(file, framework="np") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise GraphError(
            f"weights {file}: no safetensors file ({' '.join(str(error).split())[:120]})"
        ) from None


def _reference(file: Path, folder: Path) -> str:
    resolved = file.resolve()
    if not resolved.is_relative_to(folder):
        raise GraphError(f"weights {file}: outside of {folder}; put the graph into a folder that holds both")
    return resolved.relative_to(folder).as_posix()


def _prefix(
    wanted: Iterable[str], tied: Mapping[str, tuple[str, ...]], held: Mapping[str, tuple[int, ...]]
) -> str:
    """What stands before the paths in the files: that under which most of them are found."""
    paths = {path: (path, *tied.get(path, ())) for path in wanted}
    first = next((name for names in paths.values() for name in names), "")
    possible = ["", *(name[: -len(first)] for name in held if first and name.endswith(f".{first}"))]
    return max(
        possible,
        key=lambda prefix: sum(any(prefix + name in held for name in names) for names in paths.values()),
    )
