import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import ConfigurationError
from madstar.training import Budget

GOOD = {
    "400": Budget(400, "steps"),
    " 400 steps ": Budget(400, "steps"),
    "1 step": Budget(1, "steps"),
    "2k": Budget(2000, "steps"),
    "1.5k steps": Budget(1500, "steps"),
    "1M tokens": Budget(10**6, "tokens"),
    "500ktokens": Budget(500_000, "tokens"),
    "30s": Budget(30, "seconds"),
    "0.5 seconds": Budget(0.5, "seconds"),
    "2.5 s": Budget(2.5, "seconds"),
}


@pytest.mark.parametrize("text", GOOD)
def test_budgets(text: str) -> None:
    assert Budget.parse(text) == GOOD[text]


def test_a_number_is_steps() -> None:
    assert Budget.parse(250) == Budget(250, "steps")


@pytest.mark.parametrize(
    "text",
    ["", "steps", "-5", "4 5", "1e3", "5 minutes", "5m", "1 G tokens", "nan", "inf", "five", "5 Steps"],
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Budget.parse(text)
    assert str(caught.value) == f"budget '{text}': write it as 400, 400 steps, 1M tokens or 30s"


@pytest.mark.parametrize("text", ["0", "0.0 s", "0 tokens"])
def test_no_training_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is zero: give a positive amount"):
        Budget.parse(text)


@given(st.integers(1, 10**9), st.sampled_from(["steps", "tokens", "seconds"]))
def test_a_budget_is_written_as_it_is_read(amount: int, unit: str) -> None:
    budget = Budget(amount, unit)
    assert Budget.parse(str(budget)) == budget
    half = Budget(amount + 0.5, unit)
    assert Budget.parse(str(half)) == half


def test_steps_of_a_budget() -> None:
    assert Budget.parse("400").steps(2048) == 400
    assert Budget.parse("1M tokens").steps(2048) == 488
    assert Budget.parse("100 tokens").steps(2048) == 1
    assert Budget.parse("0.2").steps(2048) == 1
    assert Budget.parse("30s").steps(2048) is None
