"""What a node computes, as a function of its tensors: the special cases, and all others by `functions`.

Writes in place are computed as the next value: nothing that a graph computes changes what it was given.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ...errors import GraphError
from ..model import Attribute, Node
from ..vocabulary import OPERATIONS
from .attributes import Moment, Taken, settled, spoken, subscript
from .functions import Kernel, kernel, runnable

_MADE = frozenset(
    "zeros ones empty full eye arange range linspace logspace rand randn randint randperm hann_window "  # noqa: SIM905
    "hamming_window kaiser_window tril_indices triu_indices fft_rfftfreq fft_fftfreq empty_strided".split()
)
_DRAWN = frozenset("normal uniform exponential random cauchy bernoulli".split())  # noqa: SIM905
_REVERSED: Mapping[str, Callable[..., Any]] = {
    "sub": operator.sub, "div": operator.truediv, "true_divide": operator.truediv, "pow": operator.pow,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "add": operator.add, "mul": operator.mul,
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor,
    "bitwise_left_shift": operator.lshift, "bitwise_right_shift": operator.rshift,
}  # fmt: skip
_EMPTY = {"empty": "zeros", "empty_like": "zeros_like", "new_empty": "new_zeros"}
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def follows_mode(node: Node) -> bool:
    """Whether the node does something else in training: recorded as in evaluation, it asks its module.

    The kernel of such a node takes `training` by keyword.
    """
    if node.op in _RECURRENT:
        return dict(node.attributes).get("train") is False
    return node.op in ("dropout", "batch_norm") and dict(node.attributes).get("training") is False


def computable(node: Node) -> bool:
    """Whether there is a function for the node's operation."""
    return node.op in _SPECIAL or runnable(node.op)


def compiled(node: Node, moment: Moment, settings: Mapping[str, Attribute]) -> Kernel:
    """The function of a node at this moment: of its arguments in order, to one tensor or a list.

    Raises GraphError where there is no way to compute it, without naming the node.
    """
    attributes = {
        slot: value if slot == "index" else spoken(slot, value, moment)
        for slot, value in ((slot, settled(value, settings)) for slot, value in node.attributes)
    }
    slots = tuple(argument.slot for argument in node.arguments)
    in_place = attributes.pop("in_place", False)
    autocast = attributes.pop("autocast", None)
    _merge(slots, attributes)
    function = _function(node, slots, attributes, moment)
    if in_place and len(node.outputs) == 1 and node.op not in ("setitem", "copy", "fill", "zero"):
        function = _kept_dtype(function, moment.dtype(node.outputs[0].dtype))
    if autocast:
        function = _under_autocast(function, moment, moment.dtype(autocast))
    if moment.device.type == "meta":
        function = _stated_form(function, node, moment)
    return function


def _merge(slots: tuple[str, ...], attributes: dict[str, Any]) -> None:
    """Attributes "data.0", "data.1" become the one list "data", where no part of it is a tensor."""
    heads = {slot.partition(".")[0] for slot in attributes if "." in slot} - {"argument"}
    for head in heads - {slot.partition(".")[0] for slot in slots}:
        parts = [slot for slot in attributes if slot.startswith(f"{head}.")]
        if all(slot.count(".") == 1 for slot in parts):
            ordered = sorted(parts, key=lambda slot: int(slot.partition(".")[2]))
            attributes[head] = tuple([attributes.pop(slot) for slot in ordered])


def _stated_form(function: Kernel, node: Node, moment: Moment) -> Kernel:
    """Without values, what depends on them has the form that the graph states."""

    def formed(*tensors: Tensor, **mode: Any) -> Any:
        try:
            return function(*tensors, **mode)
        except (NotImplementedError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "meta" not in str(error) and node.op != "grouped_mm":
                raise
        made = []
        for value in node.outputs:
            shape = [spoken("size", dim, moment) for dim in value.shape]
            made.append(torch.empty(shape, dtype=moment.dtype(value.dtype), device="meta"))
        return made

    return formed


def _function(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    op = node.op
    special = _SPECIAL.get(op)
    if special is not None:
        made = special(node, slots, attributes, moment)
        if made is not None:
            return made
    op = _EMPTY.get(op, op)
    known = OPERATIONS.get(op)
    if op in _MADE:
        return _creation(op, node, slots, attributes, moment)
    if known and "input" in attributes and op in _REVERSED and slots == ("other",) and len(attributes) == 1:
        return partial(_REVERSED[op], attributes["input"])
    if known and known.variadic and known.variadic in attributes and slots[:1] == ("input",):
        packed = attributes.pop(known.variadic)
        return _method(op, packed, attributes)
    return kernel(op, slots, attributes)


def _kept_dtype(function: Kernel, dtype: torch.dtype) -> Kernel:
    """In place, the dtype stays that of what is written to."""

    def kept(*tensors: Tensor) -> Any:
        made = function(*tensors)
        return made.to(dtype) if isinstance(made, Tensor) and made.dtype is not dtype else made

    return kept


def _under_autocast(function: Kernel, moment: Moment, dtype: torch.dtype) -> Kernel:
    kind = moment.device.type if moment.device.type != "meta" else "cpu"

    def lowered(*tensors: Tensor) -> Any:
        with torch.autocast(kind, dtype):
            return function(*tensors)

    return lowered


def _method(op: str, packed: Any, attributes: dict[str, Any]) -> Kernel:
    """x.view(size): what is variadic goes as one."""
    method = getattr(torch.Tensor, op)
    if attributes:
        return lambda tensor: method(tensor, packed, **attributes)
    return lambda tensor: method(tensor, packed)


def _creation(
    op: str, node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment
) -> Kernel:
    """Made out of nothing: where the graph is computed, in the dtype that it states."""
    options: dict[str, Any] = {"device": moment.device}
    dtype = moment.dtype(node.outputs[0].dtype)
    if "dtype" in attributes or dtype is not default_dtype(op, attributes):
        options["dtype"] = dtype
    attributes.pop("dtype", None)
    function = getattr(torch, op, None) or getattr(torch.fft, op.removeprefix("fft_"))
    if op == "randint" and isinstance(attributes.get("high"), tuple):
        attributes = {"low": 0, "high": attributes["low"], "size": attributes["high"]}
    if op == "empty_strided":
        function, attributes = torch.zeros, {"size": attributes["size"]}
    first: tuple[Any, ...] = ()
    parts = [slot for slot in slots if "." in slot]
    if parts:
        pass
    elif op == "arange":
        first = tuple(attributes.pop("range", ()))
        if not first:
            names = [name for name in ("start", "end", "step") if name in attributes]
            if "end" in names:
                first = tuple(attributes.pop(name) for name in names)
    elif op in ("zeros", "ones", "rand", "randn", "full"):
        first = (attributes.pop("size"),)
        if op == "full" and "fill_value" in attributes:
            first = (*first, attributes.pop("fill_value"))
    if not slots:
        return partial(function, *first, **attributes, **options)
    numbers = {slot: attributes.pop(slot) for slot in list(attributes) if "." in slot}

    def created(*tensors: Tensor) -> Any:
        given = {slot: tensor.item() for slot, tensor in zip(slots, tensors, strict=True)}
        if not parts:
            return function(*first, **given, **attributes, **options)
        both = {**numbers, **{slot: given.pop(slot) for slot in parts}}
        ordered = [both[slot] for slot in sorted(both, key=lambda slot: int(slot.rpartition(".")[2]))]
        if op == "arange":
            return function(*ordered, **given, **attributes, **options)
        return function(ordered, **given, **attributes, **options)

    return created


def default_dtype(op: str, attributes: Mapping[str, Any]) -> torch.dtype | None:
    """The dtype that torch takes where none is said."""
    if op in ("randint", "randperm", "tril_indices", "triu_indices"):
        return torch.int64
    if op in ("arange", "full"):
        said = attributes.get("range", ()) if op == "arange" else attributes.get("fill_value")
        numbers = said if isinstance(said, tuple | list) else (said,)  # one number is the end of a range
        kinds = {type(number) for number in numbers}
        if kinds == {int}:
            return torch.int64
        return torch.get_default_dtype() if kinds and kinds <= {int, float} else None
    return torch.get_default_dtype()


# Special cases: node, slots, attributes, moment to a function; None where the general one does.


def _constant(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    if "value" not in attributes and node.op == "constant":
        if moment.device.type != "meta":
            raise GraphError("its values were not recorded (too many, or made on the meta device)")
        shape = [spoken("size", dim, moment) for dim in node.outputs[0].shape]
        made = torch.empty(shape, dtype=moment.dtype(node.outputs[0].dtype), device="meta")
        return lambda: made
    data = next(attributes[slot] for slot in ("value", "data", "s") if slot in attributes)
    made = torch.tensor(data, dtype=moment.dtype(node.outputs[0].dtype), device=moment.device)
    made = made.reshape([spoken("size", dim, moment) for dim in node.outputs[0].shape])
    return lambda: made


def _tensor(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel | None:
    dtype = moment.dtype(node.outputs[0].dtype)
    if not slots:
        return _constant(node, slots, attributes, moment)
    if slots in (("data",), ("input", "data"), ("s",)):
        return lambda *tensors: tensors[-1].detach().to(dtype).clone()
    numbers = {slot: value for slot, value in attributes.items() if "." in slot}

    def stacked(*tensors: Tensor) -> Tensor:
        both: dict[str, Any] = {**numbers, **dict(zip(slots, tensors, strict=True))}
        ordered = [both[slot] for slot in sorted(both, key=lambda slot: int(slot.rpartition(".")[2]))]
        parts = [torch.as_tensor(part, dtype=dtype, device=tensors[0].device) for part in ordered]
        return torch.stack(parts)

    return stacked


def _getitem(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    parts = subscript(attributes["index"], moment)
    if len(slots) == 1:
        index = tuple(parts)
        return lambda tensor: tensor[index]
    places = {slot: number for number, slot in enumerate(slots)}
    taken = [places[f"index.{p.number}"] if isinstance(p, Taken) else -1 for p in parts]

    def got(*tensors: Tensor) -> Tensor:
        return tensors[0][tuple([tensors[t] if t >= 0 else p for p, t in zip(parts, taken, strict=True)])]

    return got


def _setitem(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    parts = subscript(attributes["index"], moment)
    places = {slot: number for number, slot in enumerate(slots)}
    taken = [places[f"index.{p.number}"] if isinstance(p, Taken) else -1 for p in parts]
    value: Any = attributes.get("value")

    def set_(*tensors: Tensor) -> Tensor:
        made = tensors[0].clone()
        index = tuple([tensors[t] if t >= 0 else p for p, t in zip(parts, taken, strict=True)])
        made[index] = tensors[places["value"]] if "value" in places else value
        return made

    return set_


def _to(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    dtype = attributes.get("dtype") or moment.dtype(node.outputs[0].dtype)
    return lambda tensor, *_: tensor.to(dtype)


def _copy(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel | None:
    if slots != ("input", "src"):
        return None
    return lambda tensor, src: src.to(tensor.dtype).expand_as(tensor).clone()


def _fill(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    if "value" in slots:
        return lambda tensor, value: value.to(tensor.dtype).expand_as(tensor).clone()
    number = attributes.get("value", 0)
    return lambda tensor: torch.full_like(tensor, number)


def _recurrent(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    function = getattr(torch, node.op)
    names = ("has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
    fixed = [attributes[name] for name in names]
    first = {
        head: [i for i, s in enumerate(slots) if s.partition(".")[0] == head] for head in ("hx", "params")
    }

    def rolled(*tensors: Tensor, training: bool | None = None) -> Any:
        hx = [tensors[i] for i in first["hx"]]
        settings = list(fixed)
        if training is not None:
            settings[3] = training
        state = hx if node.op == "lstm" else hx[0]
        return function(tensors[0], state, [tensors[i] for i in first["params"]], *settings)

    return rolled


def _drawn(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel | None:
    in_place = dict(node.attributes).get("in_place", False)
    if not in_place or slots != ("input",):
        return None
    method = getattr(torch.Tensor, f"{node.op}_")
    return lambda tensor: method(torch.empty_like(tensor), **attributes)


def _dropout(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel | None:
    if not follows_mode(node):
        return None
    p = attributes.get("p", 0.5)
    return lambda tensor, training=False: F.dropout(tensor, p, training)


def _batch_norm(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    follows = follows_mode(node)
    stated = bool(attributes.pop("training", False))

    def normed(*tensors: Tensor, training: bool = False) -> Tensor:
        given: dict[str, Any] = dict(zip(slots, tensors, strict=True))
        mean, var = given.pop("running_mean", None), given.pop("running_var", None)
        using = (training and mean is not None) if follows else stated
        return F.batch_norm(
            running_mean=mean, running_var=var, training=using or mean is None, **given, **attributes
        )

    return normed


def _histc(node: Node, slots: tuple[str, ...], attributes: dict[str, Any], moment: Moment) -> Kernel:
    def counted(tensor: Tensor) -> Tensor:
        # Of integers an accelerator counts, the CPU does not.
        given = tensor if tensor.is_floating_point() or tensor.device.type == "cuda" else tensor.float()
        return torch.histc(given, **attributes).to(tensor.dtype)

    return counted


def _property(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    if node.op == "data":
        return torch.Tensor.detach
    name = "T" if node.op == "numpy_T" else node.op
    return lambda tensor: getattr(tensor, name)


def _unfold(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    function = F.unfold if node.op == "im2col" else torch.Tensor.unfold
    return partial(function, **attributes)


def _unbind(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    return partial(torch.unbind, **attributes)


def _einsum(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    return partial(torch.einsum, attributes["equation"])


def _grouped_mm(node: Node, slots: Any, attributes: dict[str, Any], moment: Moment) -> Kernel:
    def multiplied(*tensors: Tensor) -> Tensor:
        given = dict(zip(slots, tensors, strict=True))
        return F.grouped_mm(given.pop("input"), given.pop("mat2"), **given, **attributes)

    return multiplied


_Special = Callable[[Node, tuple[str, ...], dict[str, Any], Moment], "Kernel | None"]
_SPECIAL: dict[str, _Special] = {
    "constant": _constant,
    "getitem": _getitem,
    "setitem": _setitem,
    "to": _to,
    "copy": _copy,
    "fill": _fill,
    "zero": _fill,
    "dropout": _dropout,
    "batch_norm": _batch_norm,
    "histc": _histc,
    "im2col": _unfold,
    "unfold": _unfold,
    "iter": _unbind,
    "contiguous": lambda *_: torch.Tensor.contiguous,
    "einsum": _einsum,
    "grouped_mm": _grouped_mm,
    **dict.fromkeys(("tensor", "as_tensor", "scalar_tensor", "from_numpy"), _tensor),
    **dict.fromkeys(("T", "mT", "H", "mH", "real", "imag", "data", "numpy_T"), _property),
    **dict.fromkeys(_RECURRENT, _recurrent),
    **dict.fromkeys(_DRAWN, _drawn),
}
