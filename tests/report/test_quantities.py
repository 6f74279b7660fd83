import math

import pytest

from madstar.report.quantities import amount, duration, left, one_line, plural


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None,), "–"),
        ((0.0, "bytes"), "0 B"),
        ((1023.0, "bytes"), "1023 B"),
        ((2.0**20, "bytes"), "1 MiB"),
        ((1.25 * 2**30, "bytes"), "1.250 GiB"),
        ((64_540.0,), "64.54k"),
        ((1234.0,), "1234"),
        ((1_200_000.0,), "1.200M"),
        ((0.00125, "s"), "1.250 ms"),
        ((2.4127, "bits per byte", 0.0123), "2.413 ± 0.012"),
        ((2.4127, "", 0.0), "2.413"),
        ((2.4127, "", math.nan), "2.413"),
        ((0.0042, "s", 0.0003), "4.20 ± 0.30 ms"),
        ((1000.0, "", 250.0), "1000 ± 250"),
        ((-3.5,), "-3.500"),
        ((1e-12,), "1e-12"),
        ((math.nan, "bytes"), "not a number"),
        ((math.inf,), "infinite"),
        ((-math.inf,), "-infinite"),
    ],
)
def test_amount(given: tuple, said: str) -> None:
    assert amount(*given) == said


def test_duration() -> None:
    assert [duration(s) for s in (0, 8.4, 485, 3723, -1, math.inf)] == [
        "0:00", "0:08", "8:05", "1:02:03", "0:00", "0:00",
    ]  # fmt: skip


def test_left() -> None:
    assert [left(s) for s in (None, 141.0, 0.0)] == ["", ", 2:21 left", ", finishing"]


def test_one_line_has_no_control_characters() -> None:
    assert one_line("a\n\tb\x1b[2Jc\r\x00 ") == "a b [2Jc"
    assert one_line(None) == ""


def test_plural() -> None:
    assert [plural(n, "worker") for n in (0, 1, 1200)] == ["0 workers", "1 worker", "1,200 workers"]
