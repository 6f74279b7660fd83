"""Modules from specs: feature groups, operators, and the pools of weights that layers share."""

from __future__ import annotations

from torch import nn

from ..errors import GenomeError
from .attention import Attention
from .convolution import GatedConvolution
from .differential import HALVES, Differential
from .featurizer import Decay, FeatureGroup, ShortConvolution
from .given import Given
from .kernel import ImplicitKernel
from .memoryless import GatedMemoryless
from .operator import LIV, Size
from .recurrence import Recurrence
from .spec import GroupSpec, LayerSpec, OperatorSpec

OPERATORS: dict[str, type[LIV]] = {
    "diagonal": GatedMemoryless,
    "low-rank": Attention,
    "toeplitz": GatedConvolution,
    "semi-separable": Recurrence,
}
STATE_ROLES = {name: operator.state_roles for name, operator in OPERATORS.items()}

# (pool, half, role) -> the group whose weights every layer of that pool uses.
Pool = dict[tuple[int, str, str], nn.Module]


def check_size(size: Size) -> None:
    """Raise GenomeError where the width cannot be divided as the operators need it."""
    if size.width % size.heads:
        raise GenomeError(
            f"width {size.width} is not divisible by {size.heads} heads: "
            f"choose a multiple of {size.heads}, or other heads"
        )
    if size.width // size.heads % 2:
        raise GenomeError(
            f"width {size.width} with {size.heads} heads gives heads of {size.width // size.heads} channels, "
            "but rotary positions need an even number: choose another width or number of heads"
        )


def make_operator(layer: LayerSpec, size: Size, pool: Pool) -> LIV | Differential | Given:
    """The operator of a layer, drawing shared featurizer weights from the pool and adding to it."""
    if layer.operator.layer:
        return Given(layer.operator, size)
    if layer.operator.differential:
        return Differential(*(_make_half(layer, half, size, pool) for half in HALVES))
    return _make_half(layer, "", size, pool)


def _make_half(layer: LayerSpec, half: str, size: Size, pool: Pool) -> LIV:
    spec = layer.operator
    groups: dict[str, nn.Module] = {}
    for group in spec.groups:
        if group.role in layer.shared:
            continue
        key = None if layer.featurizer_pool is None else (layer.featurizer_pool, half, group.role)
        if key is not None and key in pool:
            groups[group.role] = pool[key]
            continue
        groups[group.role] = _make_group(group, spec, size)
        if key is not None:
            pool[key] = groups[group.role]
    return OPERATORS[spec.token_mixing](spec, size, groups, layer.shared)


def _make_group(group: GroupSpec, spec: OperatorSpec, size: Size) -> nn.Module:
    if group.role == "kernel":
        copies = size.width // size.heads if spec.channel_mixing == "grouped" else 1
        if group.banded:
            return ShortConvolution(size.width, group.expansion, copies)
        return ImplicitKernel(size.width, copies)
    maker = Decay if group.role == "a" else FeatureGroup
    return maker(
        size.width,
        _outputs(group, spec, size),
        channel_mixing=group.channel_mixing,
        convolution=group.token_mixing == "toeplitz",
        nonlinearity=group.nonlinearity,
        groups=size.heads,
    )


def _outputs(group: GroupSpec, spec: OperatorSpec, size: Size) -> int:
    """Channels of a feature; GenomeError where the sizes do not divide."""
    if spec.token_mixing == "low-rank" and group.role in ("k", "v"):
        heads = size.heads if spec.channel_mixing == "grouped" else 1
        if heads % group.repeat:
            raise GenomeError(
                f"{heads} heads cannot be grouped by a repeat factor of {group.repeat}: "
                f"use a number of heads divisible by {group.repeat}, or leave this class out"
            )
        outputs = size.width // group.repeat
        if group.channel_mixing == "grouped" and outputs % size.heads:
            raise GenomeError(
                f"width {size.width} with {size.heads} heads cannot be grouped by a repeat factor of "
                f"{group.repeat} where '{group.role}' has grouped channel mixing: "
                f"choose a width divisible by {size.heads * group.repeat}, or leave this class out"
            )
        return outputs
    if spec.token_mixing == "semi-separable" and group.role in ("b", "c"):
        return group.expansion
    if group.role == "a" and spec.channel_mixing == "grouped":
        return size.heads
    return size.width * group.expansion
