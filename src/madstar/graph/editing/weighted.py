"""Operations that bring weights of their own: what a step of a fragment says, and what it then makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import EditError, GraphError
from ..dims import evaluate
from ..inference import Type
from ..model import Attribute

MAX_SIZE = 2**31


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter that a step makes: the slot it fills, its shape, how it is drawn."""

    slot: str
    shape: tuple[int, ...]
    initialisation: str

    @property
    def path(self) -> str:
        """Its name in the state dict: its slot's, but a factor's is "weight"."""
        return "weight" if self.slot == "other" else self.slot


@dataclass(frozen=True, slots=True)
class Made:
    """What a step with weights is: the operation, its weights, its attributes."""

    op: str
    weights: tuple[Weight, ...]
    attributes: Mapping[str, Attribute]


class Sizes:
    """The options of a step, with sizes as numbers; `x` and `y` are the last sizes of what the site has."""

    def __init__(self, options: Mapping[str, Any], bindings: Mapping[str, int], where: str) -> None:
        self.options, self.bindings, self.where = options, bindings, where

    def size(self, key: str, default: Any = None) -> int:
        """A size: a number, "same", or an expression of x and y such as "2*x" or "y//4"."""
        found = self.options.get(key, default)
        if found == "same":
            found = self.bindings.get("y", self.bindings.get("x"))
        if isinstance(found, str):
            try:
                found = evaluate(found, self.bindings)
            except GraphError as error:
                raise EditError(f"{self.where}: {key}: {error}; known are x and y") from None
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found < MAX_SIZE:
            raise EditError(
                f'{self.where}: {key} is {found!r:.60}; give a number, "same", or an expression of x and y'
            )
        return found

    def plain(self, key: str, default: Any) -> Any:
        """An option of the kind that its default has."""
        found = self.options.get(key, default)
        kinds: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
        if not isinstance(found, kinds) or (isinstance(found, bool) and not isinstance(default, bool)):
            raise EditError(f"{self.where}: {key} is {found!r:.60}; give {_WORDS[type(default)]}")
        return found

    def initialisation(self, usual: str) -> str:
        """How the weight is drawn."""
        found = self.options.get("initialisation", usual)
        if not isinstance(found, str) or not _DRAWN.fullmatch(found):
            raise EditError(
                f"{self.where}: initialisation is {found!r:.60}; give zeros, ones, constant(x), "
                "normal(mean, std), uniform(low, high) or torch.nn.Linear.weight"
            )
        return found


_DRAWN = re.compile(
    r"zeros|ones|constant\([-+.\de]+\)|(?:normal|uniform)\([-+.\de]+, ?[-+.\de]+\)|torch\.nn\.\w+\.\w+"
)
_WORDS = {bool: "true or false", float: "a number", str: "text", int: "a whole number"}


def _width(x: Type, where: str) -> int:
    last = x.shape[-1] if x.shape else None
    if not isinstance(last, int):
        raise EditError(f"{where}: expected a last size that is a number, found {x}; weights need one")
    return last


def _linear(x: Type, at: Sizes) -> Made:
    wide = at.size("out_features")
    weights = [Weight("weight", (wide, _width(x, at.where)), at.initialisation("torch.nn.Linear.weight"))]
    if at.plain("bias", True):
        weights.append(Weight("bias", (wide,), _bias(weights[0].initialisation, "torch.nn.Linear.bias")))
    return Made("linear", tuple(weights), {})


def _bias(weight: str, usual: str) -> str:
    """A step that is to give nothing at first has no bias either."""
    return "zeros" if weight == "zeros" else usual


def _layer_norm(x: Type, at: Sizes) -> Made:
    width = _width(x, at.where)
    weights = [Weight("weight", (width,), at.initialisation("ones"))]
    if at.plain("bias", True):
        weights.append(Weight("bias", (width,), "zeros"))
    return Made("layer_norm", tuple(weights), {"normalized_shape": (width,), "eps": at.plain("eps", 1e-5)})


def _rms_norm(x: Type, at: Sizes) -> Made:
    width = _width(x, at.where)
    weight = Weight("weight", (width,), at.initialisation("ones"))
    return Made("rms_norm", (weight,), {"normalized_shape": (width,), "eps": at.plain("eps", 1e-6)})


def _channels(x: Type, where: str) -> int:
    if len(x.shape) < 2 or not isinstance(x.shape[1], int):
        raise EditError(f"{where}: expected channels, a number, in dimension 1, found {x}")
    return x.shape[1]


def _group_norm(x: Type, at: Sizes) -> Made:
    channels = _channels(x, at.where)
    weights = (Weight("weight", (channels,), "ones"), Weight("bias", (channels,), "zeros"))
    return Made("group_norm", weights, {"num_groups": at.size("groups"), "eps": at.plain("eps", 1e-5)})


def _conv1d(x: Type, at: Sizes) -> Made:
    channels, kernel = _channels(x, at.where), at.size("kernel_size")
    groups = channels if at.options.get("groups") == "depthwise" else at.size("groups", 1)
    wide = channels if at.options.get("out_channels", "same") == "same" else at.size("out_channels")
    if channels % groups or wide % groups:
        raise EditError(
            f"{at.where}: groups is {groups}, which does not divide {channels} and {wide} channels"
        )
    usual = "torch.nn.Conv1d.weight"
    weights = [Weight("weight", (wide, channels // groups, kernel), at.initialisation(usual))]
    if at.plain("bias", True):
        weights.append(Weight("bias", (wide,), _bias(weights[0].initialisation, "torch.nn.Conv1d.bias")))
    padding, dilation = at.plain("padding", 0), at.size("dilation", 1)
    attributes = {"padding": (padding,), "stride": (1,), "dilation": (dilation,), "groups": groups}
    return Made("conv1d", tuple(weights), attributes)


def _embedding(x: Type, at: Sizes) -> Made:
    shape = (at.size("num_embeddings"), at.size("embedding_dim"))
    return Made("embedding", (Weight("weight", shape, at.initialisation("torch.nn.Embedding.weight")),), {})


def _scale(x: Type, at: Sizes) -> Made:
    weight = Weight("other", (_width(x, at.where),), at.initialisation("ones"))
    return Made("mul", (weight,), {})


WEIGHTED: Mapping[str, tuple[Callable[[Type, Sizes], Made], tuple[str, ...]]] = {
    "linear": (_linear, ("out_features", "bias", "initialisation")),
    "layer_norm": (_layer_norm, ("bias", "eps", "initialisation")),
    "rms_norm": (_rms_norm, ("eps", "initialisation")),
    "group_norm": (_group_norm, ("groups", "eps")),
    "conv1d": (
        _conv1d,
        ("out_channels", "kernel_size", "groups", "bias", "padding", "dilation", "initialisation"),
    ),
    "embedding": (_embedding, ("num_embeddings", "embedding_dim", "initialisation")),
    "scale": (_scale, ("initialisation",)),
}
"""By the name of a step: what makes it of what it takes, and the options that it knows."""
