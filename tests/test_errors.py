"""What other code raises, told in one line."""

from __future__ import annotations

import pytest

from madstar.errors import in_one_line


class _UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\n  b\tc"), "ValueError: a b c"),
        (ValueError(), "ValueError"),
        (_UnreadableError(), "_UnreadableError: (its message cannot be read)"),
        (
            ImportError(
                "in <module 'x' from '/a b/lib/site-packages/torch/x.py'> or (/v/dist-packages/y.py)"
            ),
            "ImportError: in <module 'x' from 'torch/x.py'> or (y.py)",
        ),
    ],
)
def test_one_line(error, said):
    assert in_one_line(error) == said


def test_no_longer_than_asked():
    assert in_one_line(ValueError("x" * 1000), 20) == "ValueError: " + "x" * 8
