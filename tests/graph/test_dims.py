"""Sizes: canonical spelling, arithmetic against plain numbers, fitting to observations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import GraphError
from madstar.graph import dims
from madstar.graph.fitting import fit

LEAVES = st.sampled_from(["batch", "length", "0", "1", "2", "3", "7"])


def _joined(inner):
    operator = st.sampled_from("+-*")
    plain = st.tuples(inner, operator, inner).map(lambda p: f"({p[0]}){p[1]}({p[2]})")
    divided = st.tuples(inner, st.sampled_from([1, 2, 3, 4, 16])).map(lambda p: f"({p[0]})//{p[1]}")
    return plain | divided | inner.map(lambda one: f"-({one})")


EXPRESSIONS = st.recursive(LEAVES, _joined, max_leaves=6)
SIZES = st.fixed_dictionaries({"batch": st.integers(1, 40), "length": st.integers(1, 40)})


def plainly(text, sizes):
    """The oracle: Python's own arithmetic, on text made by this test."""
    return eval(text, {"__builtins__": {}}, dict(sizes))


@given(EXPRESSIONS, SIZES)
def test_canonical_form_has_the_same_value(text, sizes):
    assert dims.evaluate(dims.canonical(text), sizes) == plainly(text, sizes)


@given(EXPRESSIONS)
def test_canonical_form_is_its_own(text):
    assert dims.is_canonical(dims.canonical(text))


@given(EXPRESSIONS, EXPRESSIONS, SIZES)
def test_arithmetic(a, b, sizes):
    left, right = plainly(a, sizes), plainly(b, sizes)
    assert dims.evaluate(dims.add(a, b), sizes) == left + right
    assert dims.evaluate(dims.subtract(a, b), sizes) == left - right
    assert dims.evaluate(dims.multiply(a, b), sizes) == left * right
    assert dims.evaluate(dims.ceil_divide(a, 3), sizes) == -(-left // 3)
    if right and dims.canonical(b) != 0:
        assert dims.evaluate(dims.floor_divide(a, b), sizes) == left // right


@given(EXPRESSIONS, EXPRESSIONS, SIZES)
def test_what_is_said_of_order_holds(a, b, sizes):
    left, right = plainly(a, sizes), plainly(b, sizes)
    if (said := dims.less(a, b)) is not None:
        assert said == (left < right)
    if dims.differ(a, b):
        assert left != right
    if (bound := dims.lower_bound(a)) is not None:
        assert left >= bound


@given(EXPRESSIONS, st.integers(1, 9), SIZES)
def test_substitution(text, batch, sizes):
    sizes = {**sizes, "batch": batch}
    half = dims.substitute(text, {"batch": batch})
    assert dims.evaluate(half, {"length": sizes["length"]}) == plainly(text, sizes)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["2*length+1", "1+length*2", "length+length+1"], "2*length+1"),
        (["batch*(length+1)", "batch+length*batch"], "batch*length+batch"),
        (["-((-length)//2)", "length-length//2", "(length+1)//2"], "(length+1)//2"),
        (["((length+1)//2+1)//2", "(length+3)//4", "-((-length)//4)"], "(length+3)//4"),
        (["length//2+(length+1)//2", "batch*length//batch"], "length"),
        (["(batch*length*768)//(batch*64)"], "12*length"),
        (["length-length", "(batch-batch)*length"], 0),
    ],
)
def test_equal_expressions_are_spelled_alike(texts, wanted):
    assert {dims.canonical(text) for text in texts} == {wanted}


def test_order_of_sizes_of_at_least_one():
    assert dims.less("length", "length+1") is True
    assert dims.less("length+2", "length+1") is False
    assert dims.less("batch", "length") is None
    assert dims.differ("length", "length+3")
    assert dims.exact_divide("2*batch*length+batch", "2*length+1") == "batch"
    assert dims.exact_divide("length", "2") is None


BAD_TEXT = ["", "length+", "2**3", "f(x)", "a.b", "(" * 200 + "x", "x//0", "9" * 50, "é"]


@pytest.mark.parametrize("text", [*BAD_TEXT, "x" * 5000, "1//(x-x)"])
def test_other_text_is_refused(text):
    with pytest.raises(GraphError):
        dims.canonical(text)


def test_expansion_has_a_limit():
    with pytest.raises(GraphError, match="terms"):
        dims.canonical("*".join(f"(a{i}+b{i})" for i in range(20)))


def test_missing_symbol_is_named():
    with pytest.raises(GraphError, match="'length'"):
        dims.evaluate("batch*length", {"batch": 2})


BINDINGS = [
    {"batch": 2, "length": 16},
    {"batch": 3, "length": 23},
    {"batch": 5, "length": 37},
    {"batch": 2, "length": 54},
]


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "batch",
        "length",
        "length+5",
        "2*length+1",
        "2*length-1",
        "batch*length",
        "12*batch*length",
        "length//2+1",
        "batch*length*length",
        "batch*(length+1)",
        "(length+1)//2",
        "(length-10)//5",
        "batch*((length+1)//2)",
        "12*((length+3)//4)",
        "batch+length",
        "64*((length+15)//16)",
        "8*batch*((length+3)//4)",
        "3*batch*length+2*length",
        "length*length",
        "length*length+length",
    ],
)
def test_fit_finds_what_models_have(text):
    seen = [(sizes, plainly(text, sizes)) for sizes in BINDINGS]
    found = fit(seen)
    assert found == dims.canonical(text)


def test_fit_says_none_where_nothing_explains():
    assert fit([(sizes, size) for sizes, size in zip(BINDINGS, (11, 400, 3, 77), strict=True)]) is None
    assert fit([]) is None


def test_fit_is_the_simplest():
    # 16 and 32 are also 16*batch; the symbol itself is simpler.
    assert fit([({"batch": 1, "length": 16}, 16), ({"batch": 2, "length": 32}, 32)]) == "length"
    # Two observations cannot both give slope and offset and check them.
    assert fit([({"length": 16}, 35), ({"length": 20}, 43)]) is None


@given(st.lists(st.integers(1, 500), min_size=4, max_size=4))
def test_what_fit_says_explains_all(sizes):
    found = fit(list(zip(BINDINGS, sizes, strict=True)))
    if found is not None:
        assert [dims.evaluate(found, at) for at in BINDINGS] == sizes


def test_halves_that_turn_the_sign_without_end_are_refused():
    text = "-batch*batch*batch*length*length-2*batch*batch*batch*length-2*batch*batch*batch"
    text += "+batch*((batch*batch*length*length)//2)-11*batch"
    with pytest.raises(GraphError, match="no simplest form"):
        dims.floor_divide(dims.canonical(text), 3)
