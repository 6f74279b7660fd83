"""What dtype comes of several: torch's type promotion (torch.result_type), on names.

Tensors with dimensions count most, then tensors without, then numbers; a lower one decides only where it is
of a higher category (bool, integer, floating point, complex).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_DTYPE = re.compile(r"(u?int|b?float|complex)\d+\w*")
_INTEGERS = {"uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 64}
_FLOATS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
_COMPLEX = {"complex32": 16, "complex64": 32, "complex128": 64}


def is_floating(dtype: str) -> bool:
    """Whether it is a floating-point dtype, the small ones (float8_e4m3fn) too."""
    return dtype.startswith(("float", "bfloat"))


def is_complex(dtype: str) -> bool:
    """Whether it is a complex dtype."""
    return dtype.startswith("complex")


def is_whole(dtype: str) -> bool:
    """Whether it is a dtype of integers, bool not among them."""
    return dtype.startswith(("int", "uint"))


def known(dtype: str) -> bool:
    """Whether this is the name of a dtype."""
    return dtype == "bool" or bool(_DTYPE.fullmatch(dtype))


def promote(a: str, b: str) -> str | None:
    """torch.promote_types; None for dtypes that do not go together."""
    if a == b:
        return a
    ranks = [0 if d == "bool" else 1 if d in _INTEGERS else 2 if is_floating(d) else 3 for d in (a, b)]
    if ranks[0] > ranks[1]:
        return promote(b, a)
    if ranks[1] == 0 or (ranks[0] < ranks[1] and ranks[1] < 3):
        return b
    if ranks[1] == 1:
        return _integers(a, b)
    if ranks[1] == 2:
        if a not in _FLOATS or b not in _FLOATS:
            return None
        return "float32" if _FLOATS[a] == _FLOATS[b] else max(a, b, key=lambda d: _FLOATS[d])
    if b not in _COMPLEX or ranks[0] < 2:
        return b
    parts = [16 if d == "bfloat16" else {**_FLOATS, **_COMPLEX}.get(d, 0) for d in (a, b)]
    if a == "bfloat16":
        parts[0] = 32  # there is no complex bfloat16
    return {16: "complex32", 32: "complex64", 64: "complex128"}[max(parts)]


def _integers(a: str, b: str) -> str:
    wide, narrow = (a, b) if _INTEGERS.get(a, 0) >= _INTEGERS.get(b, 0) else (b, a)
    if "uint8" in (a, b) and _INTEGERS.get(wide) == 8:
        return "int16"
    return wide if wide in _INTEGERS else narrow


def of_number(value: Any, floating: str) -> str:
    """The dtype that a plain number counts as, where floating-point numbers are `floating` by default."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float) or value in ("inf", "-inf", "nan"):
        return floating
    if isinstance(value, tuple) and value[:1] == ("complex",):
        return complex_of(floating)
    return "int64"


def complex_of(dtype: str) -> str:
    """The complex dtype whose parts are of a floating-point dtype."""
    return {"float64": "complex128", "float16": "complex32"}.get(dtype, "complex64")


def parts_of(dtype: str) -> str:
    """The floating-point dtype of the parts of a complex one."""
    return {"complex128": "float64", "complex32": "float16"}.get(dtype, "float32")


def result(tensors: Iterable[str], scalars: Iterable[str] = (), numbers: Iterable[str] = ()) -> str | None:
    """The dtype of tensors with dimensions, tensors without, and numbers together; None for no such thing."""
    levels = []
    for dtypes in (tensors, scalars, numbers):
        together: str | None = ""
        for dtype in dtypes:
            together = promote(together, dtype) if together else dtype
            if together is None:
                return None
        levels.append(together or "")
    found: str | None = levels[0]
    for lower in levels[1:]:
        found = _combined(found or "", lower)
        if found is None:
            return None
    return found


def _combined(higher: str, lower: str) -> str | None:
    if not higher or not lower:
        return higher or lower
    if is_complex(higher):
        return higher
    if is_floating(higher):
        return complex_of(higher) if is_complex(lower) else higher
    if higher == "bool" or is_floating(lower) or is_complex(lower):
        return promote(higher, lower)
    return higher
