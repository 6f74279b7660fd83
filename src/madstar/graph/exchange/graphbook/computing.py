"""Primitives of Graphbook computed: arrays as tensors; numbers, texts and shapes as plain data."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ....errors import GraphError
from ...execution.attributes import Moment
from ...execution.kernels import compiled, computable
from ...model import Argument, Node, Value
from ...soundness import MAX_ITEMS
from .primitives import OWN

Taken = Mapping[str, Any]
_MOST_PARTS = 100_000
_MOST_POWER = 1 << 62


def computed(
    primitive: str, taken: Taken, outputs: tuple[Value, ...], moment: Moment, where: str
) -> list[Any]:
    """What a primitive gives, in order. Raises GraphError where there is none of the name."""
    if primitive.startswith(OWN):
        return _own(primitive.removeprefix(OWN), taken, outputs, moment, where)
    function = _PRIMITIVES.get(primitive)
    if function is None:
        raise GraphError(f"{where}: Graphbook's primitive {primitive!r:.60} has no equal in a graph")
    try:
        made = function(_Given(taken, moment))
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
    except Exception as error:
        said = " ".join(str(error).split())[:160]
        raise GraphError(f"{where}: {primitive} cannot be computed of what it is given: {said}") from None
    return list(made) if isinstance(made, _Several) else [made]


def _own(op: str, taken: Taken, outputs: tuple[Value, ...], moment: Moment, where: str) -> list[Any]:
    """A function of the vocabulary, as graphs have it."""
    arguments = tuple(
        Argument(slot, f"%{slot}") for slot, value in taken.items() if isinstance(value, Tensor)
    )
    attributes = tuple(sorted((s, v) for s, v in taken.items() if not isinstance(v, Tensor)))
    node = Node(op, op, arguments, outputs, attributes)
    if not computable(node):
        raise GraphError(f"{where}: there is no function {op!r:.60}")
    made = compiled(node, moment, {})(*(value for value in taken.values() if isinstance(value, Tensor)))
    flat = [made] if isinstance(made, Tensor) else [t for t in made if isinstance(t, Tensor)]
    if len(flat) != len(outputs):
        raise GraphError(f"{where}: {op} gives {len(flat)} arrays, {len(outputs)} are said")
    return flat


class _Several(tuple[Any, ...]):
    """More than one output."""


class _Given:
    """The inputs of a primitive by name."""

    def __init__(self, taken: Taken, moment: Moment) -> None:
        self.taken, self.moment = taken, moment

    def __getitem__(self, name: str) -> Any:
        if name not in self.taken:
            raise GraphError(f"has no input {name!r}")
        return self.taken[name]

    def number(self, name: str) -> int:
        """A whole number. Raises GraphError where it is none, or depends on what arrays hold."""
        value = self[name]
        if type(value) is not int:
            raise GraphError(f"{name} must be a whole number that does not depend on what arrays hold")
        return value

    def sizes(self, name: str) -> list[int]:
        """A shape."""
        value = self[name]
        if not isinstance(value, tuple) or not all(type(size) is int for size in value):
            raise GraphError(f"{name} must be a shape that does not depend on what arrays hold")
        return list(value)

    def tensor(self, name: str) -> Tensor:
        """An array."""
        value = self[name]
        if isinstance(value, Tensor):
            return value
        if isinstance(value, (str, type(None))):
            raise GraphError(f"{name} is a text, and arrays hold numbers")
        return torch.tensor(value, device=self.moment.device)


def _pairwise(plain: Callable[[Any, Any], Any], of_tensors: Callable[[Any, Any], Any], *names: str) -> Any:
    def function(given: _Given) -> Any:
        left, right = (given[name] for name in names)
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            fits = (Tensor, int, float)
            if not isinstance(left, fits):
                left = given.tensor(names[0])
            if not isinstance(right, fits):
                right = given.tensor(names[1])
            return of_tensors(left, right)
        return _mapped(plain, left, right)

    return function


def _mapped(function: Callable[..., Any], *values: Any) -> Any:
    if any(isinstance(value, tuple) for value in values):
        count = max(len(value) for value in values if isinstance(value, tuple))
        wide = [value if isinstance(value, tuple) else (value,) * count for value in values]
        return tuple(_mapped(function, *parts) for parts in zip(*wide, strict=True))
    return function(*values)


def _each(plain: Callable[[Any], Any], of_tensor: Callable[[Tensor], Tensor], name: str) -> Any:
    def function(given: _Given) -> Any:
        value = given[name]
        return of_tensor(value) if isinstance(value, Tensor) else _mapped(plain, value)

    return function


def _divided(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else int(a / b)
    return a / b


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and (abs(b) > 62 or abs(a) ** min(abs(b), 62) > _MOST_POWER):
        raise GraphError("a power beyond any number that arrays hold")
    return a**b


def _multiply(given: _Given) -> Any:
    """The product of matrices; of numbers that of numbers."""
    left, right = given["left_operand"], given["right_operand"]
    if not isinstance(left, Tensor) and not isinstance(right, Tensor) and not isinstance(left, tuple):
        return left * right
    left, right = given.tensor("left_operand"), given.tensor("right_operand")
    return left @ right if left.dim() and right.dim() else left * right


def _reduced(of_tensor: Callable[..., Any], plain: Callable[[Any], Any] | None = None) -> Any:
    def function(given: _Given) -> Any:
        array = given["array"]
        if isinstance(array, tuple) and plain is not None and not any(isinstance(p, tuple) for p in array):
            kept = given.taken.get("keep_dimension") is True
            return (plain(array),) if kept else plain(array)
        return of_tensor(
            given.tensor("array"), given.number("dimension_index"), bool(given["keep_dimension"])
        )

    return function


def _product(values: Any) -> Any:
    total = 1
    for value in values:
        total *= value
        if abs(total) > _MOST_POWER:
            raise GraphError("a product beyond any size")
    return total


def _broadcast(given: _Given) -> Any:
    target, shape = given["target"], given.sizes("shape")
    if isinstance(target, (int, float)):
        return torch.full(shape, target, dtype=_kind(target), device=given.moment.device)
    return given.tensor("target").broadcast_to(shape)


def _kind(value: Any) -> torch.dtype:
    return torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else torch.float32


def _concatenate(given: _Given) -> Any:
    first, second = given["array_1"], given["array_2"]
    if isinstance(first, tuple) and isinstance(second, tuple) and given.number("dimension_index") == 0:
        if len(first) + len(second) > _MOST_PARTS:
            raise GraphError("a list of more than 100,000 parts")
        return first + second
    return torch.cat([given.tensor("array_1"), given.tensor("array_2")], given.number("dimension_index"))


def _slice(given: _Given) -> Any:
    array, start, end = given["array"], given.number("start_index"), given.number("end_index")
    if isinstance(array, tuple) and given.number("dimension_index") == 0:
        return array[start:end]
    tensor, dim = given.tensor("array"), given.number("dimension_index")
    return tensor[(slice(None),) * dim + (slice(start, end),)]


def _selected(given: _Given) -> Any:
    array, index = given["input"], given["selected_index"]
    if isinstance(array, tuple) and given.number("dimension_index") == 0:
        return array[given.number("selected_index")]
    if isinstance(index, Tensor):
        raise GraphError("selected_index depends on what arrays hold")
    return given.tensor("input").select(given.number("dimension_index"), given.number("selected_index"))


def _expanded(given: _Given) -> Any:
    value = given["input"]
    if not isinstance(value, Tensor) and given.number("dimension_index") == 0:
        return (value,)
    return given.tensor("input").unsqueeze(given.number("dimension_index"))


def _range(given: _Given) -> Any:
    numbers = [given[name] for name in ("start_value", "end_value", "step_value")]
    if not all(type(number) in (int, float) for number in numbers) or not numbers[2]:
        raise GraphError("its numbers must not depend on what arrays hold")
    if abs(numbers[1] - numbers[0]) > MAX_ITEMS * abs(numbers[2]):
        raise GraphError("a range of more than 10 million numbers")
    return torch.arange(*numbers, device=given.moment.device)


def _random(given: _Given) -> Any:
    low, high = given["left_limit"], given["right_limit"]
    return torch.rand(given.sizes("shape"), device=given.moment.device) * (high - low) + low


def _shape(given: _Given) -> Any:
    return tuple(given.tensor("input").shape)


def _top(given: _Given) -> Any:
    return _Several(torch.topk(given.tensor("array"), given.number("k"), given.number("dimension_index")))


def _split(given: _Given) -> Any:
    array, dim, at = given.tensor("array"), given.number("dimension_index"), given.number("element_index")
    return _Several((array.narrow(dim, 0, at), array.narrow(dim, at, array.shape[dim] - at)))


def _chosen(given: _Given) -> Any:
    condition = given["condition"]
    if isinstance(condition, bool):
        return given["data_if_true"] if condition else given["data_if_false"]
    return torch.where(given.tensor("condition"), given.tensor("data_if_true"), given.tensor("data_if_false"))


def _stride(given: _Given) -> Any:
    value = given["stride"]
    return value if isinstance(value, int) else given.sizes("stride")


def _parsed(kind: type, dtype: torch.dtype) -> Any:
    return _each(lambda value: kind(value), lambda tensor: tensor.to(dtype), "input")


_TWO = ("left_operand", "right_operand")
_BOTH = ("condition_1", "condition_2")
_PRIMITIVES: Mapping[str, Callable[[_Given], Any]] = {
    "add": _pairwise(operator.add, operator.add, *_TWO),
    "subtract": _pairwise(operator.sub, operator.sub, *_TWO),
    "divide": _pairwise(_divided, operator.truediv, *_TWO),
    "modulo": _pairwise(operator.mod, operator.mod, *_TWO),
    "equal": _pairwise(operator.eq, torch.eq, *_TWO),
    "greater_than": _pairwise(operator.gt, operator.gt, *_TWO),
    "less_than": _pairwise(operator.lt, operator.lt, *_TWO),
    "element_wise_multiply": _pairwise(operator.mul, operator.mul, "left_array", "right_array"),
    "element_wise_exponentiate": _pairwise(_power, operator.pow, "base", "exponent"),
    "logical_and": _pairwise(lambda a, b: a and b, torch.logical_and, *_BOTH),
    "logical_or": _pairwise(lambda a, b: a or b, torch.logical_or, *_BOTH),
    "logical_not": _each(operator.not_, torch.logical_not, "condition"),
    "absolute_value": _each(abs, torch.abs, "target"),
    "error_function": _each(lambda value: torch.erf(torch.tensor(value)).item(), torch.erf, "input"),
    "sine": _each(lambda value: torch.sin(torch.tensor(value)).item(), torch.sin, "input"),
    "cosine": _each(lambda value: torch.cos(torch.tensor(value)).item(), torch.cos, "input"),
    "is_nan": _each(lambda value: value != value, torch.isnan, "array"),
    "identity": lambda given: given["input"],
    "is_scalar": lambda given: not isinstance(given["input"], (tuple, Tensor)),
    "parse_decimal": _parsed(float, torch.float32),
    "parse_integer": _parsed(int, torch.int64),
    "parse_boolean": _parsed(bool, torch.bool),
    "multiply": _multiply,
    "sum": _reduced(lambda array, dim, kept: array.sum(dim, keepdim=kept), sum),
    "mean": _reduced(lambda array, dim, kept: array.mean(dim, keepdim=kept)),
    "product": _reduced(lambda array, dim, kept: array.prod(dim, keepdim=kept), _product),
    "maximum": _reduced(lambda array, dim, kept: array.amax(dim, keepdim=kept), max),
    "minimum": _reduced(lambda array, dim, kept: array.amin(dim, keepdim=kept), min),
    "argument_maximum": _reduced(lambda array, dim, kept: array.argmax(dim, keepdim=kept)),
    "argument_minimum": _reduced(lambda array, dim, kept: array.argmin(dim, keepdim=kept)),
    "cumulative_sum": lambda given: given.tensor("array").cumsum(given.number("dimension_index")),
    "get_shape": _shape,
    "get_dimension_size": lambda given: given.tensor("array").shape[given.number("dimension_index")],
    "reshape": lambda given: given.tensor("input").reshape(given.sizes("new_shape")),
    "swap_dimensions": lambda given: given.tensor("array").transpose(
        given.number("dimension_index_1"), given.number("dimension_index_2")
    ),
    "flatten": lambda given: given.tensor("array").flatten(),
    "broadcast_to_shape": _broadcast,
    "concatenate": _concatenate,
    "expand_one_dimension": _expanded,
    "reduce_one_dimension": _selected,
    "slice": _slice,
    "range": _range,
    "generate_uniform_random_number": _random,
    "conditional_filter": _chosen,
    "dropout": lambda given: torch.dropout(given.tensor("array"), float(given["probability"]), True),
    "gather": lambda given: given.tensor("input").gather(
        given.number("dimension_index"), given.tensor("index_array")
    ),
    "get_sub_arrays": lambda given: given.tensor("input").index_select(
        given.number("dimension_index"), given.tensor("selected_indices")
    ),
    "reverse_order": lambda given: given.tensor("array").flip(given.number("dimension_index")),
    "id_to_one_hot": lambda given: torch.nn.functional.one_hot(
        given.tensor("id_array"), given.number("num_classes")
    ),
    "top_k": _top,
    "split": _split,
    "conv2d": lambda given: torch.conv2d(given.tensor("input"), given.tensor("kernel"), None, _stride(given)),
}
