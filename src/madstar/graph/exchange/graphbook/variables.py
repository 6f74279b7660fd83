"""Variables of Graphbook: types, shapes, and data that is set ("bootstrapped").

| attribute | type | data |
|---|---|---|
| whole number, number, true or false, or a rectangular list of these | INTEGER, DECIMAL, BOOLEAN | that |
| text that does not begin with `[`, `{` or `"` | TEXT | that |
| nothing | NULL | null |
| all else | TEXT | that as JSON, in the form of docs/graph-format.md |
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ....errors import GraphError
from ...dims import evaluate, is_canonical
from ...json_format import plain
from ...model import Attribute, Dim, Shape, Value, Varying
from ...sound_calls import MAX_ATTRIBUTE_NESTING

_JSON = ("[", "{", '"')
_TYPED = re.compile(r"(\w+)\[([^\[\]]*)\]")
_DTYPES = {"DECIMAL": "float32", "INTEGER": "int64", "BOOLEAN": "bool"}


def kind_of(dtype: str) -> str:
    """The type of a variable that holds a tensor of this dtype."""
    if dtype == "bool":
        return "BOOLEAN"
    return "INTEGER" if dtype.startswith(("int", "uint")) else "DECIMAL"


def typed(value: Value) -> str:
    """A tensor's type in full: "float32[batch,length,64]"."""
    return f"{value.dtype}[{','.join(map(str, value.shape))}]"


def tensor_variable(name: str, primitive: str, value: Value, sizes: Mapping[str, int]) -> dict[str, Any]:
    """A variable that a link fills or reads, with its shape at these sizes."""
    return {
        "name": name,
        "primitive_name": primitive,
        "type": kind_of(value.dtype),
        "shape": _at(value.shape, sizes),
        "madstar": typed(value),
    }


def _at(shape: Shape, sizes: Mapping[str, int]) -> list[int]:
    try:
        return [max(0, evaluate(dim, sizes)) for dim in shape]
    except GraphError:
        return []


def data_variable(name: str, primitive: str, value: Attribute) -> dict[str, Any]:
    """A variable with data of its own."""
    kind, data, shape = _said(value)
    return {
        "name": name,
        "primitive_name": primitive,
        "type": kind,
        "shape": shape,
        "data": data,
        "flow_state": "BOOT_SOURCE",
    }


def _said(value: Attribute) -> tuple[str, Any, list[int]]:
    if value is None:
        return "NULL", None, []
    if isinstance(value, str) and not value.startswith(_JSON):
        return "TEXT", value, []
    shape = _rectangle(value)
    if shape is not None and 0 not in shape:
        kinds = {type(part) for part in _parts(value)}
        for kind, name in ((bool, "BOOLEAN"), (int, "INTEGER"), (float, "DECIMAL")):
            if kinds == {kind} and (kind is not float or all(map(math.isfinite, _parts(value)))):
                return name, plain(value), shape
    return "TEXT", json.dumps(plain(value), ensure_ascii=False), []


def _rectangle(value: Attribute) -> list[int] | None:
    """The sizes of a list of lists, none where they differ."""
    if not isinstance(value, tuple):
        return []
    inner = [_rectangle(part) for part in value]
    if not inner:
        return [0]
    return None if inner[0] is None or any(each != inner[0] for each in inner) else [len(inner), *inner[0]]


def _parts(value: Attribute) -> list[Any]:
    return [part for each in value for part in _parts(each)] if isinstance(value, tuple) else [value]


def read_data(variable: Mapping[str, Any], where: str) -> Attribute:
    """The data of a variable as an attribute. Raises GraphError where it is not what its type says."""
    data, kind = variable.get("data"), variable.get("type")
    if kind == "NULL" or data is None:
        return None
    if kind == "TEXT" and isinstance(data, str):
        if not data.startswith(_JSON):
            return data
        try:
            return read_plain(json.loads(data), where)
        except (ValueError, RecursionError, GraphError):
            return data
    wanted: tuple[type, ...] = {"INTEGER": (int,), "BOOLEAN": (bool,), "DECIMAL": (int, float)}.get(
        str(kind), (int, float, bool, str)
    )
    return _checked(data, wanted, kind == "DECIMAL", where)


def _checked(data: Any, wanted: tuple[type, ...], decimal: bool, where: str, depth: int = 0) -> Attribute:
    if isinstance(data, list) and depth < 64:
        return tuple([_checked(part, wanted, decimal, where, depth + 1) for part in data])
    if type(data) not in wanted:
        raise GraphError(f"{where}: its data is {data!r:.40}, which its type does not allow")
    return float(data) if decimal else data


def read_plain(data: Any, where: str, depth: int = 0) -> Attribute:
    """An attribute as graphs' files have it. Raises GraphError."""
    if isinstance(data, list) and depth < MAX_ATTRIBUTE_NESTING:
        return tuple([read_plain(part, where, depth + 1) for part in data])
    if isinstance(data, dict) and len(data) == 1:
        if isinstance(name := data.get("varying"), str):
            return Varying(name)
        if (number := data.get("float")) in ("inf", "-inf", "nan"):
            return float(number)
    if isinstance(data, (dict, list)):
        raise GraphError(f"{where}: {str(data)!r:.60} is no attribute")
    return data


def read_type(text: Any, where: str) -> tuple[str, Shape]:
    """dtype and shape of "float32[batch,64]". Raises GraphError."""
    match = _TYPED.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise GraphError(f"{where}: {text!r:.60} is no type; write it as in 'float32[batch,64]'")
    dims: list[Dim] = []
    for part in match[2].split(",") if match[2] else ():
        dim: Dim = int(part) if part.isdecimal() and len(part) < 19 else part
        if not is_canonical(dim):
            raise GraphError(f"{where}: {part!r:.60} is no size")
        dims.append(dim)
    return match[1], tuple(dims)


def type_of(variable: Mapping[str, Any], sizes: Mapping[str, int], where: str) -> tuple[str, Shape]:
    """dtype and shape of a tensor: in full where the rest of the variable agrees, else as that says.

    Raises GraphError for a variable of no shape or type.
    """
    kind, shape = variable.get("type"), variable.get("shape")
    if "madstar" in variable:
        dtype, dims = read_type(variable["madstar"], where)
        if kind in (None, kind_of(dtype)) and (shape is None or shape == _at(dims, sizes)):
            return dtype, dims
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise GraphError(f"{where}: has no shape; give it one, such as [2, 16, 64]")
    if kind not in _DTYPES:
        raise GraphError(f"{where}: of type {kind!r:.40}, which no tensor has; DECIMAL, INTEGER or BOOLEAN")
    return _DTYPES[str(kind)], tuple(shape)
