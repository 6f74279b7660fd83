"""A call's arguments by slot: tensors apart from what is no tensor, under the names of the vocabulary."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from madstar.graph import vocabulary
from madstar.graph.model import Attribute

# Where a call happens, what it returns into and how it is watched are no part of the computation.
_UNSAID = frozenset(
    "device layout pin_memory non_blocking generator _stacklevel out requires_grad memory_format copy "  # noqa: SIM905
    "inplace cudnn_enable cudnn_enabled dispatch_sizes_strides_policy".split()
)
_FIRST = frozenset(("self", "x", "a", "arr", "g"))
# What asks for a tensor's form, or sets a mode, and computes nothing.
_SILENT = frozenset(
    [
        "size",
        "dim",
        "numel",
        "nelement",
        "ndimension",
        "stride",
        "storage_offset",
        "is_floating_point",
        "is_complex",
        "is_contiguous",
        "element_size",
        "__len__",
        "__repr__",
        "__str__",
        "__format__",
        "__hash__",
        "__dir__",
        "__set__",
        "__delete__",
        "__reduce_ex__",
        "__reduce__",
        "is_tensor",
        "is_storage",
        "is_nonzero_",
        "untyped_storage",
        "storage",
        "data_ptr",
        "get_device",
        "requires_grad_",
        "is_shared",
        "is_pinned",
        "is_inference",
        "is_signed",
        "is_conj",
        "is_neg",
        "is_set_to",
        "is_same_size",
        "can_cast",
        "promote_types",
        "result_type",
        "broadcast_shapes",
        "register_hook",
        "retain_grad",
        "backward",
        "type_",
        "has_names",
        "names",
        "set_default_dtype",
        "get_default_dtype",
        "finfo",
        "iinfo",
        "_has_compatible_shallow_copy_type",
        "is_sparse",
        "is_quantized",
        "set_default_device",
        "get_default_device",
        "dim_order",
        "is_distributed",
        "_is_view",
        "__deepcopy__",
        "share_memory_",
        "compile",
    ]
)
_NUMPY = {"axis": "dim", "keepdims": "keepdim"}  # torch takes both words
_TYPES = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}
_PROPERTIES = frozenset(("T", "mT", "H", "mH", "data", "real", "imag"))


class Function:
    """What is known of a callable that torch hands over: its name in the vocabulary and its slots."""

    __slots__ = ("called", "cast", "exchanged", "op", "silent", "slots", "variadic")

    def __init__(
        self, called: str, slots: tuple[str, ...], variadic: str, op: str, exchanged: bool, silent: bool
    ):
        self.called, self.slots, self.variadic = called, slots, variadic
        self.op, self.exchanged, self.silent = op, exchanged, silent
        self.cast = vocabulary.CASTS.get(called) if op == "to" else None


_KNOWN: dict[Any, Function] = {}


def describe(function: Callable[..., Any]) -> Function:
    """The description of a callable, remembered."""
    try:
        return _KNOWN[function]
    except KeyError:
        found = _KNOWN[function] = _describe(function)
        return found


def _describe(function: Callable[..., Any]) -> Function:
    called = getattr(function, "__name__", None) or str(function)
    if function is torch.nn.functional.unfold:
        called = "im2col"  # Tensor.unfold is another function
    if called == "__get__":
        called = getattr(getattr(function, "__self__", None), "__name__", "")
        return Function(called, ("input",), "", called, False, called not in _PROPERTIES)
    if isinstance(function, torch._ops.OpOverload):
        called = function._schema.name.split("::")[1]
    elif isinstance(function, torch._ops.OpOverloadPacket):
        called = function._qualified_op_name.split("::")[1]
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", "") or getattr(owner, "__name__", "") or ""
    for part in ("linalg", "fft", "special"):
        if f"_{part}" in module and not called.startswith(part):
            called = f"{part}_{called.removeprefix(part + '_')}"
    if called.startswith(("linalg_linalg_", "fft_fft_fft_", "special_special_")):
        called = called.partition("_")[2]
    if called in vocabulary.CASTS:
        return Function(called, ("input",), "", "to", False, False)
    spelled = vocabulary.spelled(called)
    known = vocabulary.OPERATIONS.get(spelled.name)
    slots, variadic = _slots(function, spelled.name, known)
    if spelled.reversed:
        slots = (known.slots[1] if known is not None else "other", "input")
    return Function(called, slots, variadic, spelled.name, spelled.reversed, called in _SILENT)


def _slots(
    function: Callable[..., Any], name: str, known: vocabulary.Operation | None
) -> tuple[tuple[str, ...], str]:
    """The slots in the order of this callable: its own signature, else the vocabulary, else ATen's schema.

    The same function may stand in torch with two orders (torch.embedding takes the weight first), so a
    signature that can be read goes first; its names become the vocabulary's where it only differs in these.
    """
    if function is torch.embedding:
        return ("weight", "input"), ""
    if function is torch.Tensor.where:
        return ("input", "condition", "other"), ""
    if function is torch.batch_norm:
        return ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps"), ""
    if isinstance(function, torch._ops.OpOverload):
        return tuple(_first(argument.name) for argument in function._schema.arguments), ""
    if known is not None and (known.variadic or not inspect.isfunction(function)):
        return known.slots, known.variadic
    try:
        own = inspect.signature(function)
    except (TypeError, ValueError):
        return _schema(name), ""
    given = own.parameters.values()
    if known is not None and all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return known.slots, known.variadic  # a dispatcher that hands everything on, such as F.max_pool2d
    names, variadic = [], ""
    for parameter in own.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        names.append(_first(parameter.name))
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = parameter.name
    if known is not None and set(names) - set(known.slots) - _UNSAID and not variadic:
        # Only other words for the same: positions decide.
        names = [*known.slots, *names[len(known.slots) :]]
    return tuple(names), variadic


def _first(name: str) -> str:
    return "input" if name in _FIRST else name


def _schema(name: str) -> tuple[str, ...]:
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or not hasattr(packet, "overloads"):
        return ()
    overloads = [getattr(packet, overload)._schema for overload in packet.overloads()]
    longest = max(overloads, key=lambda schema: len(schema.arguments))
    return tuple(_first(argument.name) for argument in longest.arguments)


class Binding:
    """Tensors by slot, and attributes by slot; filled by `bind`."""

    __slots__ = ("attributes", "tensors")

    def __init__(self) -> None:
        self.tensors: list[tuple[str, Tensor]] = []
        self.attributes: list[tuple[str, Attribute]] = []

    def put(self, slot: str, given: Any) -> None:
        """Put one argument into its slot; None is no argument."""
        if given is None or slot in _UNSAID:
            return
        if isinstance(given, Tensor):
            self.tensors.append((slot, given))
        elif isinstance(given, (list, tuple)) and any(
            isinstance(part, (Tensor, list, tuple)) for part in given
        ):
            for position, part in enumerate(given):
                self.put(f"{slot}.{position}", part)
        else:
            self.attributes.append((slot, encode(given)))

    def subscript(self, given: Any) -> None:
        """A subscript: its tensors become arguments "index.k", referred to from the attribute."""
        parts = given if isinstance(given, tuple) else (given,)
        said: list[Attribute] = []
        for part in parts:
            if isinstance(part, slice):
                said.append(
                    ("slice", *(encode(_number(bound)) for bound in (part.start, part.stop, part.step)))
                )
            elif isinstance(part, Tensor):
                said.append(("tensor", len(said)))
                self.tensors.append((f"index.{len(said) - 1}", part))
            else:
                said.append("..." if part is Ellipsis else encode(part))
        self.attributes.append(("index", tuple(said)))


def bind(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Binding:
    """Sort a call's arguments into slots."""
    bound = Binding()
    slots, variadic = function.slots, function.variadic
    for position, given in enumerate(args):
        slot = slots[position] if position < len(slots) else f"argument.{position}"
        if slot == "index" and function.op in ("getitem", "setitem"):
            bound.subscript(given)
            continue
        if slot == variadic:
            rest = args[position:]
            bound.put(
                slot, rest[0] if len(rest) == 1 and not isinstance(rest[0], (int, Tensor)) else tuple(rest)
            )
            break
        bound.put(slot, given)
    for name, given in kwargs.items():
        slot = _first(name) if name == "self" else _NUMPY.get(name, name)
        bound.put(slot if slot in slots or name == "self" else name, given)
    if function.op == "arange":
        _counted(bound)
    elif function.op == "to":
        _conversion(function, bound)
    elif function.op in ("split", "chunk"):
        bound.attributes = [
            ("split_size_or_sections" if slot in ("split_size", "split_sizes") else slot, value)
            for slot, value in bound.attributes
        ]
    return bound


def _counted(bound: Binding) -> None:
    """The bounds of a count stand together, whether they were named or not."""
    said = dict(bound.attributes)
    if "end" in said:
        named = (said.pop("start", 0), said.pop("end"), said.pop("step", 1))
        short = named[1:2] if named[0] == 0 and named[2] == 1 else named if named[2] != 1 else named[:2]
        bound.attributes = [("range", short), *said.items()]


def _number(bound: Any) -> Any:
    """A slice's bound; one that is a tensor is asked for its value, as torch does."""
    return int(bound) if isinstance(bound, Tensor) and bound.numel() == 1 else bound


def operation(function: Function, bound: Binding) -> str:
    """The name of what is called; ATen has one convolution, people have one for each number of dimensions."""
    if function.op != "convolution":
        return function.op
    dims = next(tensor.dim() for slot, tensor in bound.tensors if slot == "weight") - 2
    transposed = dict(bound.attributes)["transposed"]
    unsaid = ("transposed",) if transposed else ("transposed", "output_padding")
    bound.attributes = [(slot, value) for slot, value in bound.attributes if slot not in unsaid]
    return f"conv_transpose{dims}d" if transposed else f"conv{dims}d"


def _conversion(function: Function, bound: Binding) -> None:
    """`to` has one attribute, the dtype, however it was asked for; a device is no part of it."""
    dtype = function.cast
    for _, value in bound.attributes:
        if isinstance(value, str) and isinstance(getattr(torch, value, None), torch.dtype):
            dtype = value
    if len(bound.tensors) > 1:
        # As another tensor is, in dtype; x.to(other), x.type_as(other).
        dtype = encode(bound.tensors[1][1].dtype)
    bound.tensors = bound.tensors[:1]
    bound.attributes = [("dtype", dtype)] if dtype else []


def encode(given: Any) -> Attribute:
    """An argument that is no tensor as JSON data."""
    if given is None or isinstance(given, (bool, str)):
        return given
    if isinstance(given, int):
        return int(given)
    if isinstance(given, float):
        return given if math.isfinite(given) else str(given)
    if isinstance(given, torch.dtype):
        return str(given).removeprefix("torch.")
    if isinstance(given, type):
        return _TYPES.get(given, f"<{given.__name__}>")
    if isinstance(given, (list, tuple, range)):
        return tuple(encode(part) for part in given)
    if isinstance(given, Mapping):
        return tuple((str(key), encode(part)) for key, part in given.items())
    if given is Ellipsis:
        return "..."
    if isinstance(given, slice):
        return ("slice", encode(given.start), encode(given.stop), encode(given.step))
    if isinstance(given, complex):
        return ("complex", encode(given.real), encode(given.imag))
    if isinstance(given, Tensor):
        return f"<tensor {tuple(given.shape)}>"
    if hasattr(given, "item") and callable(given.item) and getattr(given, "shape", None) == ():
        return encode(given.item())
    if hasattr(given, "tolist"):
        return encode(given.tolist())
    return f"<{type(given).__name__}>"
