"""Bounds: how they are read, when they hold, and what is refused."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import ObjectiveError
from madstar.objectives import Constraint, parse_constraint

GOOD = {
    "params<=300000": ("parameters", "<=", 300_000),
    "parameters <= 3e5": ("parameters", "<=", 300_000),
    "params<=300k": ("parameters", "<=", 300_000),
    "params<=0.3M": ("parameters", "<=", 300_000),
    "params<=1G": ("parameters", "<=", 10**9),
    "params>=1.5e+3": ("parameters", ">=", 1500),
    "cache@4096<=1MB": ("cache@4096", "<=", 10**6),
    "cache<=100 B": ("cache@4096", "<=", 100),
    "cache@8<=100": ("cache@8", "<=", 100),
    "cache@8<=2kB": ("cache@8", "<=", 2000),
    "cache@8<=2KB": ("cache@8", "<=", 2000),
    "cache@8<=2 GB": ("cache@8", "<=", 2 * 10**9),
    "cache@8<=2KiB": ("cache@8", "<=", 2048),
    "memory@8<=1.5 MiB": ("memory@8", "<=", 1.5 * 2**20),
    "memory@8 <= 2GiB": ("memory@8", "<=", 2**31),
    "memory@8<=3M": ("memory@8", "<=", 3 * 10**6),
    "prefill@8<=2s": ("prefill@8", "<=", 2),
    "prefill@8<=20ms": ("prefill@8", "<=", 0.02),
    "decode@8<=500us": ("decode@8", "<=", 0.0005),
    "decode@8<=0.001": ("decode@8", "<=", 0.001),
    "flops@8<=2M": ("flops@8", "<=", 2 * 10**6),
    "  flops<=1e6  ": ("flops", "<=", 10**6),
}


@pytest.mark.parametrize("text", GOOD)
def test_constraints(text: str) -> None:
    found = parse_constraint(text)
    assert (found.objective.name, found.sign) == GOOD[text][:2]
    assert found.limit == pytest.approx(GOOD[text][2], rel=1e-12)
    assert found.text == text.strip()


def bound(text: str) -> Constraint:
    return parse_constraint(text)


def test_signs() -> None:
    most, least = bound("params<=1000"), bound("params>=1000")
    assert [most.holds(value) for value in (999, 1000, 1001)] == [True, True, False]
    assert [least.holds(value) for value in (999, 1000, 1001)] == [False, True, True]
    assert most.holds(-math.inf)
    assert not most.holds(math.inf)


def test_nan_breaks_every_bound() -> None:
    assert not bound("params<=1000").holds(math.nan)
    assert not bound("params>=1000").holds(math.nan)
    assert "is nan, but must be" in bound("params<=1000").broken_by(math.nan)


@given(st.floats(0, 1e12), st.sampled_from(["<=", ">="]), st.floats(0, 1e12))
def test_a_bound_is_what_it_says(limit: float, sign: str, value: float) -> None:
    found = bound(f"params{sign}{limit!r}")
    assert found.limit == limit
    assert found.holds(value) == (value <= limit if sign == "<=" else value >= limit)


def test_how_a_bound_is_broken() -> None:
    assert bound("params<=300k").broken_by(412_345) == "parameters is 412,345, but must be <= 300,000"
    assert bound("cache@8>=1KiB").broken_by(12) == "cache@8 is 12, but must be >= 1,024"
    assert bound("decode@8<=2ms").broken_by(0.0034567891) == "decode@8 is 0.00345679, but must be <= 0.002"


BAD = {
    "": "write it as params<=300000 or cache@4096<=1MB",
    "params": "write it as params<=300000",
    "params<=": "write it as params<=300000",
    "<=5": "write it as params<=300000",
    "params<5": "write it as params<=300000",
    "params=5": "write it as params<=300000",
    "params=>5": "write it as params<=300000",
    "params<=many": "write it as params<=300000",
    "params<=nan": "write it as params<=300000",
    "params<=inf": "write it as params<=300000",
    "params<=5 6": "write it as params<=300000",
    "params<=1,000": "write it as params<=300000",
    "params<=5%": "write it as params<=300000",
    "params<=1.2.3": "'1.2.3' is no number",
    "params<=-": "'-' is no number",
    "params<=e": "'e' is no number",
    "params<=1e999": "'1e999' is no number",
    "cache<=5TB": "'TB' is no unit; use k, M, G, B, kB, KB, MB, GB, KiB, MiB, GiB, s, ms, us",
    "cache<=5mb": "'mb' is no unit",
    "quality<=2": "quality is known only after training; make it an objective",
    "perplexity<=20": "perplexity is known only after training",
    "speed<=5": "unknown objective 'speed'",
    "cache@x<=5": "'x' is no length",
    "1<=params<=5": "unknown objective '1<=params'",
    # Units of something else.
    "cache<=5ms": "cache@4096 is in bytes, which 'ms' does not measure",
    "decode<=5MB": "decode@4096 is in s, which 'MB' does not measure",
    "params<=3MB": "parameters is a number, which 'MB' does not measure",
    "flops<=5s": "flops is in FLOPs per token, which 's' does not measure",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        parse_constraint(text)
    assert BAD[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("params<>=0123456789.eE+-kMB @\n"), max_size=20))
def test_any_text_is_a_constraint_or_an_error(text: str) -> None:
    said = [""]
    try:
        assert math.isfinite(parse_constraint(text).limit)
    except ObjectiveError as error:
        said = str(error).splitlines()
    assert len(said) == 1


def test_on_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def depth(subject): return subject.genome.depth\n"
        "depth.kind = 'static'\n"
        "def held(subject): return 1\n"
        "held.kind, held.unit = 'measured', 'bytes'\n"
        "def score(subject): return 1\n"
    )
    found = bound(f"{path}:depth <= 4")
    assert found.objective.name == f"{path}:depth"
    assert found.holds(4)
    assert not found.holds(5)
    assert bound(f"{path}:held<=1KiB").limit == 1024
    with pytest.raises(ObjectiveError, match="known only after training"):
        bound(f"{path}:score<=4")
