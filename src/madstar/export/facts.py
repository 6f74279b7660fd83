"""What is true of every layer of one architecture, said in the words of the liv room's sources.

A fact is a test that stands in a definition there, and the value it has whenever this
architecture runs. A test that is true in some layers and false in others is no fact.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..liv import STATE_ROLES, BackboneSpec, LayerSpec, OperatorSpec
from ..liv.given import LAYERS
from ..liv.layers.linear_attention import LinearAttention
from .folding import normal


def facts(spec: BackboneSpec) -> dict[str, dict[str, bool]]:
    """Facts of a spec by the definition (class or function) they hold in."""
    found: dict[str, dict[str, bool]] = {}
    for scope, test, values in _tests(spec):
        seen = set(values)
        if len(seen) <= 1:
            # Where nothing reaches a test, either value would do.
            found.setdefault(scope, {})[normal(test)] = True in seen
    return found


def _tests(spec: BackboneSpec) -> Iterable[tuple[str, str, Iterable[bool]]]:
    layers = spec.layers
    operators = [layer.operator for layer in layers]
    mixings = {operator.token_mixing for operator in operators}
    groups = [group for operator in operators for group in operator.groups]
    kernels = [group for group in groups if group.role == "kernel"]
    convolved = [group.token_mixing == "toeplitz" for group in groups if group.role != "kernel"]
    has_kernels = [False, bool(kernels)]
    has_decays = [False, "semi-separable" in mixings]

    yield "Backbone", "spec.tied", [spec.tied]
    yield "Backbone", "self.head is not None", [not spec.tied]
    named = [bool(operator.layer) for operator in operators]
    yield "make_operator", "layer.operator.layer", named
    yield "Backbone", "isinstance(part, Given)", [False, any(named)]
    yield "Given", "spec.layer not in LAYERS", [False]
    yield "make_layer", "spec.layer in LAYERS", [True]
    for scan in ("scan_key_decay", "scan_head_decay", "gated_delta_rule"):
        yield scan, "kernels.usable(v)", [False]  # what is exported needs torch alone
    yield "make_operator", "layer.operator.differential", [operator.differential for operator in operators]
    yield "_make_half", "key is not None", [layer.featurizer_pool is not None for layer in layers]
    yield "_make_half", "group.role in layer.shared", [False, any(layer.shared for layer in layers)]
    yield "_make_group", 'group.role == "kernel"', has_kernels
    yield "_make_group", "group.banded", [kernel.banded for kernel in kernels]
    yield "_make_group", 'group.role == "a"', has_decays
    yield "_outputs", 'spec.token_mixing == "low-rank"', [False, "low-rank" in mixings]
    yield "_outputs", 'spec.token_mixing == "semi-separable"', [False, "semi-separable" in mixings]
    yield "_outputs", 'group.role == "a"', has_decays
    yield "FeatureGroup", "convolution", convolved
    yield "FeatureGroup", "self.convolution is None", [not value for value in convolved]
    yield "FeatureGroup", "self.convolution is not None", convolved
    yield "GatedConvolution", "kernel.banded", [kernel.banded for kernel in kernels]
    yield "GatedConvolution", "isinstance(kernel, ShortConvolution)", [kernel.banded for kernel in kernels]
    yield "LIV", "role in self.shared", [False, any(layer.shared for layer in layers)]
    yield from _reading(layers)
    fading = [True] * ("semi-separable" in mixings) + [False] * any(map(_is_linear, operators))
    yield "write", "log_decay is None", [not value for value in fading]
    yield "read", "memory.decay_from_middle is not None", fading
    yield "read", "memory.decay_from_start is not None", fading
    yield from _attention([layer for layer in layers if layer.operator.token_mixing == "low-rank"])


def _is_linear(operator: OperatorSpec) -> bool:
    """Whether it writes to a memory that does not fade."""
    if operator.layer:
        return LAYERS.get(operator.layer) is LinearAttention
    return operator.token_mixing == "low-rank" and operator.nonlinearity == "none" and not operator.banded


def _reading(layers: Iterable[LayerSpec]) -> Iterable[tuple[str, str, Iterable[bool]]]:
    """Layers that write nothing of their own and read what an earlier layer has written."""
    for mixing, scope, state in (
        ("toeplitz", "GatedConvolution", "state.past is None"),
        ("semi-separable", "Recurrence", "h is None"),
        ("low-rank", "Attention", "state.matrix is None"),
    ):
        reads = [
            set(STATE_ROLES[mixing]) <= set(layer.shared)
            for layer in layers
            if layer.operator.token_mixing == mixing
        ]
        yield scope, "self.reads_memory", reads
        yield scope, state, reads


def _attention(layers: Iterable[LayerSpec]) -> Iterable[tuple[str, str, Iterable[bool]]]:
    operators = [layer.operator for layer in layers]
    linear = [_is_linear(operator) for operator in operators]
    windows = [operator.banded for operator in operators]
    grouped = [operator.group("k").repeat > 1 for operator in operators]
    softmax = [operator.nonlinearity == "softmax" for operator in operators]
    yield "Attention", "self.linear", linear
    yield "Attention", "spec.banded", windows
    yield "Attention", "self.window is None", [not window for window in windows]
    yield "Attention", "self.window is not None", windows
    yield "Attention", "self.kv_heads != self.heads", grouped
    yield "Attention", "repeat > 1", grouped
    yield "Attention", 'self.spec.nonlinearity == "softmax"', softmax
    for role in ("k", "v"):
        yield "Attention", f'"{role}" in self.shared', [role in layer.shared for layer in layers]
    holds_nothing = [role in layer.shared for layer in layers for role in ("k", "v")]
    yield "Attention", "past is None", holds_nothing
    yield "Attention", "keys is None", ["k" in layer.shared for layer in layers]
    yield "Attention", "values is None", ["v" in layer.shared for layer in layers]
