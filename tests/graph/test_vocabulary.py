from pathlib import Path

import pytest
import torch

from madstar.graph import vocabulary
from madstar.graph.binding import bind, describe, encode
from madstar.graph.vocabulary import OPERATIONS, category, spelled, table


@pytest.mark.parametrize(
    ("called", "name", "exchanged"),
    [
        ("add", "add", False),
        ("__add__", "add", False),
        ("__radd__", "add", True),
        ("__iadd__", "add", False),
        ("add_", "add", False),
        ("__rsub__", "sub", True),
        ("__rtruediv__", "div", True),
        ("__invert__", "bitwise_not", False),
        ("__getitem__", "getitem", False),
        ("concat", "cat", False),
        ("view", "view", False),
        ("reshape", "reshape", False),
        ("masked_fill_", "masked_fill", False),
        ("nothing_of_ours", "nothing_of_ours", False),
    ],
)
def test_one_name_however_called(called, name, exchanged):
    found = spelled(called)
    assert (found.name, found.reversed) == (name, exchanged)


def test_every_alias_that_names_a_function_names_one_of_ours():
    meant = {name for name in vocabulary._SAME.values() if name not in OPERATIONS}
    assert meant <= {"weight_norm", "linalg_vecdot"}


def test_the_page_is_that_of_the_code():
    page = Path(__file__).parents[2] / "docs" / "operations.md"
    assert page.read_text() == table()


def test_categories():
    assert category("linear") == "linear algebra"
    assert category("whatever") == "other"
    assert {operation.category for operation in OPERATIONS.values()} <= set(vocabulary.CATEGORIES)


def test_slots_by_signature():
    x, w = torch.zeros(2, 3), torch.zeros(4, 3)
    bound = bind(describe(torch.nn.functional.linear), (x, w, None), {})
    assert [slot for slot, _ in bound.tensors] == ["input", "weight"]
    bound = bind(describe(torch.embedding), (w, x), {})
    assert [slot for slot, _ in bound.tensors] == ["weight", "input"]
    bound = bind(describe(torch.Tensor.view), (x, 3, 2), {})
    assert bound.attributes == [("size", (3, 2))]
    bound = bind(describe(torch.Tensor.float), (x,), {})
    assert bound.attributes == [("dtype", "float32")]
    bound = bind(describe(torch.cat), ([x, x],), {"dim": 1})
    assert [slot for slot, _ in bound.tensors] == ["tensors.0", "tensors.1"]
    bound = bind(describe(torch.Tensor.__getitem__), (x, (None, slice(1, None), w)), {})
    assert bound.attributes == [("index", (None, ("slice", 1, None, None), ("tensor", 2)))]


def test_attributes_are_json():
    assert encode(float("-inf")) == "-inf"
    assert encode(torch.bfloat16) == "bfloat16"
    assert encode([1, (2.0, None)]) == (1, (2.0, None))
