"""Calls that make tensors of nothing but numbers: torch.arange, torch.zeros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model import Attribute
from .said import Said, owner
from .texts import dtype

_MADE = frozenset(
    "zeros ones empty full eye arange range linspace logspace rand randn randint randperm hann_window "  # noqa: SIM905
    "hamming_window kaiser_window tril_indices triu_indices fft_rfftfreq fft_fftfreq empty_strided".split()
)


def creation(said: Said) -> str | None:
    """The call that makes the tensor; None where the node makes none of numbers alone."""
    from ...execution.kernels import default_dtype

    op = {"empty": "zeros"}.get(said.node.op, said.node.op)
    if op not in _MADE:
        return None
    attributes = dict(said.attributes)
    wanted = said.node.outputs[0].dtype
    options = []
    plain = dict(attributes)
    default = (
        default_dtype(op, plain)
        if not any(isinstance(v, str) for v in _flat(plain))
        else _symbolic(op, plain)
    )
    if "dtype" in attributes or default is None or str(default) != f"torch.{wanted}":
        options.append(f"dtype={dtype(wanted)}")
    if said.device:
        options.append(f"device={said.device}")
    attributes.pop("dtype", None)
    if op == "randint" and isinstance(attributes.get("high"), tuple):
        attributes = {"low": 0, "high": attributes["low"], "size": attributes["high"]}
    if op == "empty_strided":
        op, attributes = "zeros", {"size": attributes["size"]}
    name = f"torch.fft.{op[4:]}" if op.startswith("fft_") else f"torch.{op}"
    given: dict[str, str] = {slot: said.words.say(slot, value) for slot, value in attributes.items()}
    given |= {slot: f"{owner(text)}.item()" for slot, text in said.tensors.items()}
    parts = [slot for slot in given if "." in slot]
    first: list[str] = []
    if parts:
        ordered = sorted(parts, key=lambda slot: int(slot.rpartition(".")[2]))
        numbers = [given.pop(slot) for slot in ordered]
        first = numbers if op == "arange" else [f"({', '.join(numbers)},)"]
    elif op == "arange" and "range" in attributes:
        packed = attributes["range"]
        each = packed if isinstance(packed, tuple) else (packed,)
        first = [said.words.say("range", part) for part in each]
        del given["range"]
    elif op == "arange" and "end" in given:
        first = [given.pop(slot) for slot in ("start", "end", "step") if slot in given]
    elif op in ("zeros", "ones", "rand", "randn", "full") and "size" in given:
        packed = attributes.get("size", ())
        text = given.pop("size")
        first = [text]
        if op != "full" and isinstance(packed, tuple) and packed:
            first = [said.words.say("size", part) for part in packed]
        if op == "full" and "fill_value" in given:
            first.append(given.pop("fill_value"))
    return f"{name}({', '.join([*first, *(f'{k}={v}' for k, v in given.items()), *options])})"


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for each in value.values() for part in _flat(each)]
    return [part for each in value for part in _flat(each)] if isinstance(value, tuple) else [value]


def _symbolic(op: str, attributes: Mapping[str, Attribute]) -> Any:
    """The dtype that torch takes where sizes are symbols, which are whole numbers."""
    from ...execution.kernels import default_dtype

    numbers = {k: _whole(v) for k, v in attributes.items()}
    return default_dtype(op, numbers)


def _whole(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_whole(part) for part in value)
    return 1 if isinstance(value, str) and value not in ("inf", "-inf", "nan") else value


# Special cases: those of `execution.kernels`.
