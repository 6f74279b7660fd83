"""Operations that are written in a way of their own: indexing, casts, constants, fills, draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....errors import GraphError
from .said import Said, bracketed, owner
from .texts import dtype


def _getitem(said: Said) -> str:
    return f"{owner(said.tensors['input'])}[{_index(said)}]"


def _index(said: Said) -> str:
    tensors = {
        int(slot.partition(".")[2]): text for slot, text in said.tensors.items() if slot.startswith("index.")
    }
    return said.words.index(said.attributes["index"], tensors)


def _to(said: Said) -> str:
    wanted = said.attributes.get("dtype")
    kind = said.words.say("dtype", wanted) if wanted else dtype(said.node.outputs[0].dtype)
    return f"{owner(said.tensors[said.slots[0]])}.to({kind})"


def _constant(said: Said) -> str | None:
    if said.tensors:
        return _made_of_tensors(said)
    slot = next((slot for slot in ("value", "data", "s") if slot in said.attributes), "")
    if not slot:
        if said.node.op == "constant":
            raise GraphError("its values were not recorded (too many, or made on the meta device)")
        return None
    value, output = said.attributes[slot], said.node.outputs[0]
    shape = _shape(value)
    options = f", dtype={dtype(output.dtype)}" + (f", device={said.device}" if said.device else "")
    made = f"torch.tensor({said.words.say(slot, value)}{options})"
    if list(output.shape) != shape:
        made += f".reshape({', '.join(map(said.words.size, output.shape)) or '()'})"
    return made


def _shape(value: Any) -> list[int]:
    return [len(value), *(_shape(value[0]) if value else [])] if isinstance(value, tuple) else []


def _made_of_tensors(said: Said) -> str | None:
    kind = dtype(said.node.outputs[0].dtype)
    if said.slots in (("data",), ("input", "data"), ("s",)):
        return f"{owner(said.tensors[said.slots[-1]])}.detach().to({kind}).clone()"
    parts = {**{s: said.say(s) for s in said.attributes if "." in s}, **said.tensors}
    if not parts or any("." not in slot for slot in parts):
        return None
    ordered = [parts[slot] for slot in sorted(parts, key=lambda slot: int(slot.rpartition(".")[2]))]
    device = f"{next(iter(said.tensors.values()))}.device"
    inside = ", ".join(f"torch.as_tensor({part}, dtype={kind}, device={device})" for part in ordered)
    return f"torch.stack([{inside}])"


def _copy(said: Said) -> str | None:
    if said.slots != ("input", "src"):
        return None
    kind = dtype(said.node.outputs[0].dtype)
    return f"{owner(said.tensors['src'])}.to({kind}).expand_as({said.tensors['input']}).clone()"


def _fill(said: Said) -> str:
    if "value" in said.tensors:
        kind = dtype(said.node.outputs[0].dtype)
        return f"{owner(said.tensors['value'])}.to({kind}).expand_as({said.tensors['input']}).clone()"
    value = said.say("value") if "value" in said.attributes else "0"
    return f"torch.full_like({said.tensors['input']}, {value})"


def _recurrent(said: Said) -> str:
    heads = {
        head: [text for slot, text in said.tensors.items() if slot.partition(".")[0] == head]
        for head in ("hx", "params")
    }
    state = f"({', '.join(heads['hx'])})" if said.node.op == "lstm" else heads["hx"][0]
    names = ("has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
    fixed = [said.say(name) for name in names]
    if said.attributes["train"] is False:
        fixed[3] = said.training
    weights = ", ".join(heads["params"])
    return f"torch.{said.node.op}({said.tensors['input']}, {state}, [{weights}], {', '.join(fixed)})"


def _drawn(said: Said) -> str | None:
    if not dict(said.node.attributes).get("in_place", False) or said.slots != ("input",):
        return None
    rest = ", ".join(f"{'from_' if s == 'from' else s}={said.say(s)}" for s in said.attributes if s != "from")
    return f"torch.empty_like({said.tensors['input']}).{said.node.op}_({rest})"


def _dropout(said: Said) -> str | None:
    if said.attributes.get("training") is not False:
        return None
    p = said.say("p") if "p" in said.attributes else "0.5"
    return f"F.dropout({said.tensors['input']}, {p}, {said.training})"


def _batch_norm(said: Said) -> str:
    stated = said.attributes.get("training", False)
    using = said.training if stated is False and "running_mean" in said.tensors else repr(bool(stated))
    if "running_mean" not in said.tensors:
        using = "True"
    first = [
        said.tensors["input"],
        said.tensors.get("running_mean", "None"),
        said.tensors.get("running_var", "None"),
    ]
    named = [f"{slot}={said.tensors[slot]}" for slot in ("weight", "bias") if slot in said.tensors]
    named += [f"{slot}={said.say(slot)}" for slot in said.attributes if slot != "training"]
    return f"F.batch_norm({', '.join([*first, *named, f'training={using}'])})"


def _histc(said: Said) -> str:
    rest = ", ".join(f"{slot}={said.say(slot)}" for slot in said.attributes)
    kind = dtype(said.node.outputs[0].dtype)
    return f"torch.histc({said.tensors['input']}.float(), {rest}).to({kind})"


def _property(said: Said) -> str:
    name = {"data": "detach()", "numpy_T": "T"}.get(said.node.op, said.node.op)
    return f"{owner(said.tensors['input'])}.{name}"


def _unfold(said: Said) -> str:
    rest = [f"{slot}={said.say(slot)}" for slot in said.attributes]
    if said.node.op == "im2col":
        return f"F.unfold({', '.join([said.tensors['input'], *rest])})"
    return f"{owner(said.tensors['input'])}.unfold({', '.join(rest)})"


def _unbind(said: Said) -> str:
    rest = ", ".join(f"{slot}={said.say(slot)}" for slot in said.attributes)
    return f"{owner(said.tensors[said.slots[0]])}.unbind({rest})"


def _einsum(said: Said) -> str:
    return f"torch.einsum({', '.join([said.say('equation'), *said.tensors.values()])})"


def _grouped_mm(said: Said) -> str:
    rest = [f"{s}={t}" for s, t in said.tensors.items() if s not in ("input", "mat2")]
    rest += [f"{slot}={said.say(slot)}" for slot in said.attributes]
    return f"F.grouped_mm({', '.join([said.tensors['input'], said.tensors['mat2'], *rest])})"


def _neg(said: Said) -> str | None:
    return f"-{bracketed(said.tensors['input'])}" if said.slots == ("input",) else None


def _not(said: Said) -> str | None:
    return f"~{bracketed(said.tensors['input'])}" if said.slots == ("input",) else None


SPECIAL: dict[str, Callable[[Said], str | None]] = {
    "constant": _constant,
    "getitem": _getitem,
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
    "contiguous": lambda said: f"{owner(said.tensors['input'])}.contiguous()",
    "einsum": _einsum,
    "grouped_mm": _grouped_mm,
    "neg": _neg,
    "bitwise_not": _not,
    **dict.fromkeys(("tensor", "as_tensor", "scalar_tensor", "from_numpy"), _constant),
    **dict.fromkeys(("T", "mT", "H", "mH", "real", "imag", "data", "numpy_T"), _property),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("normal", "uniform", "exponential", "random", "cauchy", "bernoulli"), _drawn),
}


# All others.
