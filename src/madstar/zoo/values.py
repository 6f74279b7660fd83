"""Runs a model without weights and yet with values: small integers keep theirs beside the meta tensors.

Token ids, masks, grids and positions decide what a model computes, so that on the meta device, where nothing
has a value, forward would ask for what is not there. `KnownValues` keeps for every small tensor that follows
from inputs and constants alone a twin on the CPU and computes both. Questions about such tensors
(`.tolist()`, `.item()`, boolean masks) have true answers. Questions about anything that depends on weights
are answered by a guess, which is noted.

It is a dispatch mode and may stand below a tracer: entered before it, it sees each operation after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from madstar.graph.remembered import VALUED
from madstar.zoo.answers import GUESSES
from madstar.zoo.made_values import made_in

LARGEST = 4_000_000
"""Elements of the largest tensors whose values are kept."""
LARGEST_TABLE = 64
"""Elements of the largest tensors of numbers made in a constructor whose values a run is given: strides and
thresholds, which may decide what is computed; frequencies and sinusoids decide nothing."""
LARGEST_INTEGERS = 1 << 17
"""The same of whole numbers and masks."""
MOST_OPERATIONS = 400_000
"""A model that takes more operations than this is stopped: a loop over something guessed."""

_MADE_OF_NOTHING = frozenset(
    (
        "arange",
        "zeros",
        "ones",
        "full",
        "empty",
        "scalar_tensor",
        "linspace",
        "eye",
        "tril_indices",
        "triu_indices",
    )
)
_MADE_LIKE = frozenset(("new_ones", "new_zeros", "new_full", "ones_like", "zeros_like", "full_like"))
_COMPARISONS = frozenset(("gt", "ge", "lt", "le"))
_READERS = ("tolist", "numpy", "__array__")
_SHOWN = ("__format__", "__repr__")


class KnownValues(TorchDispatchMode):
    """Computes what can be known, guesses what cannot, and counts the parameters that are used.

    Args:
        module: The model on the meta device that will run.
        alternating: Take every comparison of unknown numbers to hold for every other one of them, so that all
            that follows from it (how many were chosen, which, what is left) has answers that agree.

    Attributes:
        touched: Names of the parameters that an operation has taken.
        guesses: (operation, what was taken) for each answer that is not known to be true.
    """

    def __init__(self, module: nn.Module, *, alternating: bool = False) -> None:
        super().__init__()
        self.alternating = alternating
        self._names = {id(parameter): name for name, parameter in module.named_parameters()}
        self.total = len(self._names)
        self.touched: set[str] = set()
        self.guesses: list[tuple[str, str]] = []
        self.operations = 0
        self.makers: dict[int, str] = {}
        self._values: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # an id must not be given to another tensor
        self._sharing: dict[int, list[Tensor]] = {}  # by storage, those of known value
        self._functions = _Readers(self)
        for tensor, value in made_in(module):
            if value.numel() <= (LARGEST_TABLE if value.is_floating_point() else LARGEST_INTEGERS):
                self._keep(tensor, value.clone())  # a run may write into it

    def __enter__(self) -> KnownValues:
        self._functions.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._functions.__exit__(*error)

    def known(self, inputs: Any) -> Any:
        """Return inputs whose tensors on the CPU are meta tensors of known value; objects are changed."""
        return tree_map(self._hidden, inputs)

    def _hidden(self, given: Any) -> Any:
        if not isinstance(given, Tensor):
            if hasattr(given, "__dict__") and not callable(given) and not isinstance(given, type):
                for name, part in vars(given).items():
                    setattr(given, name, tree_map(self._hidden, part))
            return given
        if given.device.type == "meta":
            return given
        with torch.utils._python_dispatch._disable_current_modes():
            return self._keep(_like(given), given.clone())

    def _keep(self, tensor: Tensor, value: Tensor) -> Tensor:
        self._values[id(tensor)] = value
        self._kept.append(tensor)
        self._sharing.setdefault(_storage(tensor), []).append(tensor)
        setattr(tensor, VALUED, True)  # so that a tracer above hands on whatever is done with it
        return tensor

    def forget(self, tensor: Tensor) -> None:
        """Know no more a tensor's value, nor of what shares its memory: the unknown was written there."""
        for each in self._sharing.pop(_storage(tensor), []):
            if self._values.pop(id(each), None) is not None:
                delattr(each, VALUED)

    def value(self, tensor: Tensor) -> Tensor | None:
        """Return a tensor's value on the CPU, None if it is not known."""
        return self._values.get(id(tensor)) if tensor.device.type == "meta" else tensor

    def guess(self, operation: str, taken: Any) -> None:
        """Note that an answer was not known to be true."""
        self.guesses.append((operation, str(taken)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise RuntimeError(f"more than {MOST_OPERATIONS} operations")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for tensor in given:
            name = self._names.get(id(tensor))
            if name is not None:
                self.touched.add(name)
        base = func._schema.name.partition("::")[2]
        if base == "convolution":
            _channels(*args)
        result = self._computed(func, base, args, kwargs, given)
        if result is not NotImplemented:
            return result
        if any(tensor.device.type == "meta" for tensor in given):
            if self.alternating and base in _COMPARISONS:
                return self._alternate(base, func(*self._moved(func, args, kwargs)[0]))
            answer = GUESSES.get(base)
            result = answer(self, args, kwargs) if answer is not None else NotImplemented
            if result is not NotImplemented:
                return result
            args, kwargs = self._moved(func, args, kwargs)
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self._kept += made
        self.makers |= {id(leaf): base for leaf in made if leaf.dtype is torch.bool}
        return result

    def _computed(self, func: Any, base: str, args: Any, kwargs: dict[str, Any], given: list[Tensor]) -> Any:
        """Compute on the CPU if all that goes in is known and small; NotImplemented otherwise."""
        values = [self.value(tensor) for tensor in given]
        if base in _MADE_LIKE and values == [None]:
            return self._made_like(func, args, kwargs)
        if (
            any(value is None for value in values)
            or sum(v.numel() for v in values if v is not None) > LARGEST
        ):
            return NotImplemented
        if not given and (base not in _MADE_OF_NOTHING or _size(args) > LARGEST):
            return NotImplemented
        twins = {id(tensor): value for tensor, value in zip(given, values, strict=True)}

        def on_cpu(leaf: Any) -> Any:
            if isinstance(leaf, Tensor):
                return twins[id(leaf)]
            return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

        target = kwargs.get("device")
        hidden = any(tensor.device.type == "meta" for tensor in given)
        hidden = torch.device(target).type == "meta" if target is not None else hidden
        try:
            made = func(*tree_map(on_cpu, args), **tree_map(on_cpu, kwargs))
        except Exception:
            if hidden:
                return NotImplemented  # no kernel for this on the CPU; shapes are still to be had
            raise
        if base == "empty":
            made.zero_()  # whatever is in memory there is not the same in the next run
        if hidden and func.is_view:
            return self._seen(func(*args, **kwargs), made)
        originals = {id(value): tensor for tensor, value in zip(given, values, strict=True)}

        def back(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) in originals:
                return originals[id(leaf)]  # written in place
            return self._keep(_like(leaf), leaf) if hidden else leaf

        return tree_map(back, made)

    def _seen(self, views: Any, values: Any) -> Any:
        """Views of meta tensors with their values, which are views too: a write into one is in all."""
        for view, value in zip(tree_leaves(views), tree_leaves(values), strict=True):
            if isinstance(view, Tensor):
                self._keep(view, value)
        return views

    def _alternate(self, base: str, made: Tensor) -> Tensor:
        """The result of a comparison: false and true in turn, so that of one alone nothing holds."""
        if made.numel() > LARGEST:
            return made
        self.guess(base, "every other one")
        return self._keep(made, (torch.arange(made.numel()) % 2 == 1).reshape(made.shape))

    def _made_like(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Whole numbers made after a tensor's shape or device are known, whatever its values are."""
        made = func(*args, **kwargs)
        if made.dtype.is_floating_point or made.is_complex() or made.numel() > LARGEST:
            return NotImplemented
        stand_in = torch.empty(1).expand(args[0].shape)
        rest = {name: "cpu" if name == "device" else value for name, value in kwargs.items()}
        return self._keep(made, func(stand_in, *args[1:], **({"dtype": made.dtype} | rest)))

    def _moved(self, func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Bring all tensors of an operation to the meta device; what it writes into is known no more."""
        for argument, told in zip(args, func._schema.arguments, strict=False):
            if isinstance(argument, Tensor) and told.alias_info is not None and told.alias_info.is_write:
                self.forget(argument)

        def move(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.device.type == "cpu":
                return leaf.to("meta")
            return torch.device("meta") if isinstance(leaf, torch.device) else leaf

        if func._schema.name == "aten::copy_":
            return args, kwargs
        moved: tuple[Any, dict[str, Any]] = tree_map(move, (args, kwargs))
        return moved


class _Readers(TorchFunctionMode):
    """Answers `.tolist()` and `.numpy()`, which are no operations."""

    def __init__(self, known: KnownValues) -> None:
        super().__init__()
        self._known = known

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if func is torch.tensor and _device(kwargs) == "meta":
            args = tree_map(self._number, args)
            value = torch.tensor(*args, **{**(kwargs or {}), "device": "cpu"})
            return self._known.known(value)
        if name in _READERS and isinstance(args[0], Tensor) and args[0].device.type == "meta":
            value = self._known.value(args[0])
            if value is None:
                self._known.guess(name, "ones")
                value = torch.ones(args[0].shape, dtype=args[0].dtype)
            with torch.utils._python_dispatch._disable_current_modes():
                return value.tolist() if name == "tolist" else value.numpy()
        if name in _SHOWN and isinstance(args[0], Tensor) and args[0].device.type == "meta":
            value = self._known.value(args[0])  # models put counts into their errors
            if value is not None:
                with torch.utils._python_dispatch._disable_current_modes():
                    return func(value, *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _number(self, given: Any) -> Any:
        """A tensor among the numbers that a tensor is made of, as a number."""
        if not isinstance(given, Tensor) or given.device.type != "meta":
            return given
        value = self._known.value(given)
        if value is None:
            self._known.guess("item", 1)
            return 1
        return value.item() if value.numel() == 1 else value.tolist()


def _device(kwargs: Mapping[str, Any] | None) -> str:
    """The kind of device that a factory function is asked to make its tensor on."""
    device = (kwargs or {}).get("device")
    return torch.device(device).type if device is not None else torch.get_default_device().type


def _like(tensor: Tensor) -> Tensor:
    """A meta tensor of the same shape, strides and dtype."""
    with torch.inference_mode(False):  # views of what was made outside it count versions
        return torch.empty_strided(tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device="meta")


def _channels(input: Tensor, weight: Tensor, *rest: Any) -> None:
    """Refuse what a convolution with weights refuses; without, a transposed one takes any channels."""
    *_, transposed, _, groups = rest
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    if input.dim() == weight.dim() and input.shape[1] != wanted:
        raise RuntimeError(
            f"a convolution of {wanted} channels (weight {list(weight.shape)}, groups {groups}) is given "
            f"{list(input.shape)}"
        )


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _size(args: Any) -> int:
    shape = args[0] if args and isinstance(args[0], list | tuple) else ()
    size = 1
    for n in shape:
        size *= int(n)
    return size
