"""Column types: floats that may be nan or infinite inside JSON, and times that keep their zone.

Standard JSON has no nan and no infinity, and databases refuse or silently drop them. A measurement may
well be either, so the text in the column is always standard JSON:

- in a mapping of floats or a curve, where only numbers can occur, the strings "nan", "inf" and "-inf";
- in free data (a run's configuration), where a string may mean itself, the object {"$float": "nan"}.

Reading gives the floats back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from madstar.errors import ArchiveError

_FLOAT_KEY = "$float"


def _encode_float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def encode_document(data: Any, where: str) -> Any:
    """Turn free data into standard JSON data; `where` names the data in the error.

    Raises ArchiveError for anything that would not come back as it was (tuples come back as lists).
    """
    if data is None or isinstance(data, str | bool | int):
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else {_FLOAT_KEY: str(data)}
    if isinstance(data, list | tuple):
        return [encode_document(item, f"{where}[{i}]") for i, item in enumerate(data)]
    if isinstance(data, Mapping):
        for key in data:
            if not isinstance(key, str) or key == _FLOAT_KEY:
                raise ArchiveError(
                    f"{where}: the key {key!r} cannot be stored: use a string other than {_FLOAT_KEY!r}"
                )
        return {key: encode_document(item, f"{where}.{key}") for key, item in data.items()}
    raise ArchiveError(
        f"{where}: a {type(data).__name__} cannot be stored: use None, bool, int, float, str, list or dict"
    )


def decode_document(data: Any) -> Any:
    """The inverse of `encode_document`."""
    if isinstance(data, list):
        return [decode_document(item) for item in data]
    if isinstance(data, dict):
        if data.keys() == {_FLOAT_KEY}:
            return float(data[_FLOAT_KEY])
        return {key: decode_document(item) for key, item in data.items()}
    return data


class Document(TypeDecorator[Any]):
    """Free JSON data, nested; None is SQL NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """To the database."""
        return encode_document(value, "data")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database."""
        return decode_document(value)


class Numbers(TypeDecorator[dict[str, float]]):
    """A mapping from names to floats."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, float] | None, dialect: Dialect) -> Any:
        """To the database."""
        return {name: _encode_float(number) for name, number in (value or {}).items()}

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, float]:
        """From the database."""
        return {name: float(number) for name, number in value.items()}


class Curve(TypeDecorator[tuple[tuple[float, float], ...]]):
    """A sequence of pairs of floats."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Sequence[tuple[float, float]] | None, dialect: Dialect) -> Any:
        """To the database."""
        return [[_encode_float(x), _encode_float(y)] for x, y in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[tuple[float, float], ...]:
        """From the database."""
        return tuple((float(x), float(y)) for x, y in value)


class Names(TypeDecorator[tuple[str, ...]]):
    """A sequence of strings."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """To the database."""
        return list(value or ())

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:
        """From the database."""
        return tuple(value)


class Moment(TypeDecorator[datetime]):
    """An aware time, stored in UTC without its zone, because SQLite would lose the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime:
        """From the database."""
        moment: datetime = value.replace(tzinfo=UTC)
        return moment
