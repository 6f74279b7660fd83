"""An architecture in words, layer by layer: what each is, how its features are made, what it shares."""

from __future__ import annotations

from dataclasses import dataclass

from ..genome import Genome, class_name
from ..liv import BackboneSpec, GroupSpec, LayerSpec, OperatorSpec
from ..liv.given import fitted

_CHANNELS = {"dense": "", "diagonal": "diagonal", "grouped": "block per head"}


@dataclass(frozen=True)
class LayerWords:
    """One layer as people read it. `number` counts from 1."""

    number: int
    name: str
    operator: str
    features: str
    sharing: str


def describe(genome: Genome, spec: BackboneSpec) -> tuple[LayerWords, ...]:
    """Every layer of a genome compiled to that spec."""
    return tuple(
        LayerWords(
            number=index + 1,
            name=class_name(liv.operator),
            operator=_operator(layer.operator, spec),
            features="; ".join(_group(group) for group in layer.operator.groups),
            sharing="; ".join(_sharing(index, spec)) or "nothing",
        )
        for index, (liv, layer) in enumerate(zip(genome.livs, spec.layers, strict=True))
    )


def _operator(operator: OperatorSpec, spec: BackboneSpec) -> str:
    if operator.layer:
        return _named(operator, spec)
    window = f", window of {spec.window} tokens" if operator.banded else ""
    gate = "" if operator.nonlinearity == "none" else f", {operator.nonlinearity} gate"
    if operator.token_mixing == "low-rank":
        kind = "linear" if operator.nonlinearity == "none" else operator.nonlinearity
        heads = spec.heads if operator.channel_mixing == "grouped" else 1
        fewer = operator.group("k").repeat
        pairs = f", {heads // fewer} for keys and values" if fewer > 1 else ""
        words = f"{kind} attention, {heads} {'heads' if heads > 1 else 'head'}{pairs}{window}"
    elif operator.token_mixing == "toeplitz":
        kernel = operator.group("kernel")
        taps = (
            f"short convolution, {kernel.expansion} tokens" if kernel.banded else "long implicit convolution"
        )
        words = f"gated {taps}{window}{gate}"
    elif operator.token_mixing == "semi-separable":
        decay = "head" if operator.channel_mixing == "grouped" else "channel"
        words = f"gated recurrence, state of {operator.group('b').expansion}, one decay a {decay}{gate}"
    else:
        inner = spec.width * operator.group("value").expansion
        words = f"gated memoryless unit, inner width {inner}{gate}"
    return f"difference of two: {words}" if operator.differential else words


def _named(operator: OperatorSpec, spec: BackboneSpec) -> str:
    settings = fitted(operator.layer, dict(operator.settings), spec.width)
    words = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{operator.layer} ({words})" if words else operator.layer


def _group(group: GroupSpec) -> str:
    if group.role == "kernel":
        return "kernel (weights)"
    details = [
        _CHANNELS[group.channel_mixing],
        "convolved" if group.token_mixing == "toeplitz" else "",
        "" if group.nonlinearity == "none" else group.nonlinearity,
    ]
    words = ", ".join(filter(None, details))
    return f"{group.role} ({words})" if words else group.role


def _sharing(index: int, spec: BackboneSpec) -> list[str]:
    layer = spec.layers[index]
    said = []
    if layer.features_from is not None:
        said.append(f"takes {', '.join(layer.shared)} from layer {layer.features_from + 1}")
    readers: dict[tuple[str, ...], list[int]] = {}
    weights: dict[tuple[str, ...], list[int]] = {}
    for other_index, other in enumerate(spec.layers):
        if other.features_from == index:
            readers.setdefault(other.shared, []).append(other_index + 1)
        common = _common_weights(layer, other) if other_index != index else ()
        if common:
            weights.setdefault(common, []).append(other_index + 1)
    said += [f"gives {', '.join(roles)} to {_layers(numbers)}" for roles, numbers in readers.items()]
    said += [f"weights of {', '.join(roles)} as in {_layers(numbers)}" for roles, numbers in weights.items()]
    return said


def _common_weights(layer: LayerSpec, other: LayerSpec) -> tuple[str, ...]:
    """Roles whose feature groups are the same module in both layers."""
    if layer.featurizer_pool is None or layer.featurizer_pool != other.featurizer_pool:
        return ()
    taken = {*layer.shared, *other.shared}
    return tuple(group.role for group in layer.operator.groups if group.role not in taken)


def _layers(numbers: list[int]) -> str:
    return f"layer{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
