"""Figures as people read them: bytes in MiB, weights in thousands, standard errors beside values."""

from __future__ import annotations

import math

MISSING = "–"
_BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_DIGITS = 4


def scale(value: float, unit: str) -> tuple[float, str]:
    """The factor and the suffix in which a value of that unit reads best, such as (1048576, " MiB")."""
    size = abs(value)
    if not math.isfinite(value):
        return 1.0, ""
    if unit == "bytes":
        return next(((float(f), f" {name}") for f, name in _BINARY if size >= f), (1.0, " B"))
    if unit == "s":
        return next(((f, f" {name}") for f, name in _SECONDS if size >= f), (1e-6, " µs"))
    return next(((f, name) for f, name in _DECIMAL if size >= 10 * f or size >= f >= 1e6), (1.0, ""))


def amount(value: float | None, unit: str = "", error: float | None = None) -> str:
    """A value in short, with its standard error where there is one: "2.413 ± 0.012", "1.25 MiB".

    None is a dash. Only bytes and seconds show their unit; other units stand in headings.
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    factor, suffix = scale(value, unit)
    scaled = value / factor
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{_plain(scaled)}{suffix}"
    places = min(6, max(0, 1 - math.floor(math.log10(error / factor))))
    return f"{scaled:.{places}f} ± {error / factor:.{places}f}{suffix}"


def duration(seconds: float) -> str:
    """Minutes and seconds, hours where there are any: "8:05", "1:02:03"."""
    whole = max(0, round(seconds)) if math.isfinite(seconds) else 0
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def left(seconds: float | None) -> str:
    """ "How long it goes on, for the end of a line: ", 2:21 left"; nothing where that is unknown."""
    if seconds is None:
        return ""
    return f", {duration(seconds)} left" if seconds > 0 else ", finishing"


def one_line(text: str | None) -> str:
    """A message on one line, without control characters that would move a terminal's cursor."""
    words = "".join(c if c.isprintable() else " " for c in text or "").split()
    return " ".join(words)


def plural(count: int, word: str) -> str:
    """ "1 evaluation", "2 evaluations"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _plain(value: float) -> str:
    if value == int(value) and abs(value) < 10**_DIGITS:
        return str(int(value))
    places = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    if not 0 <= places <= 8:
        return f"{value:.{_DIGITS - 1}g}"
    return f"{value:.{places}f}"
