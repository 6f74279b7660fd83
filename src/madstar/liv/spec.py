"""What a backbone is made of, as plain immutable data.

A `BackboneSpec` is the hand-over between the rooms: genomes compile to it, modules are built
from it, and an exported model carries it as `config.json`. It uses words where a genome uses
numbers, and it is resolved: sharing is said as "takes its keys from layer 3", not as group codes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TOKEN_MIXING = ("diagonal", "low-rank", "toeplitz", "semi-separable", "given")
NONLINEARITIES = ("none", "softmax", "relu", "swish")
CHANNEL_MIXING = ("diagonal", "dense", "grouped")


@dataclass(frozen=True)
class GroupSpec:
    """One feature group of a featurizer: how a feature (q, k, v, ...) is computed from the input.

    `token_mixing` is "diagonal" (each token by itself) or "toeplitz" (a convolution over tokens,
    short when `banded`, as long as the sequence when not). `expansion` widens the feature, or is
    the length of an explicit kernel; `repeat` is how many query heads share one head of it.
    """

    role: str
    token_mixing: str = "diagonal"
    banded: bool = False
    nonlinearity: str = "none"
    channel_mixing: str = "dense"
    expansion: int = 1
    repeat: int = 1


@dataclass(frozen=True)
class OperatorSpec:
    """The structure of T in y_i = sum_j T_ij(x) x_j, and the featurizer that computes it.

    A `differential` operator is the difference of two of these with separate weights. Where token mixing
    is "given", the operator is the layer of the name `layer` with the `settings` that it has at width
    128 (`given.fitted` fits them to others); all else says nothing.
    """

    token_mixing: str
    banded: bool
    nonlinearity: str
    channel_mixing: str
    groups: tuple[GroupSpec, ...]
    differential: bool = False
    layer: str = ""
    settings: tuple[tuple[str, Any], ...] = ()

    def group(self, role: str) -> GroupSpec:
        """The feature group of that role; KeyError where the operator has none."""
        for group in self.groups:
            if group.role == role:
                return group
        raise KeyError(role)


@dataclass(frozen=True)
class LayerSpec:
    """One residual layer of a backbone.

    `featurizer_pool` names a pool of featurizer weights that several layers draw from.
    `shared` lists the features that are not computed here but taken from layer `features_from`.
    """

    operator: OperatorSpec
    featurizer_pool: int | None = None
    features_from: int | None = None
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackboneSpec:
    """A whole sequence model: embedding, pre-norm residual layers, final norm, output.

    `window` is the width in tokens of a banded operator. `embedding_std` and `residual_scale`
    are the initialisation's two scales (docs/decisions/0004-initialisation.md).
    """

    layers: tuple[LayerSpec, ...]
    vocabulary_size: int
    width: int
    heads: int
    window: int = 64
    tied: bool = False
    rotary_base: float = 10_000.0
    embedding_std: float = 0.5
    residual_scale: float = 0.1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back to an equal value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BackboneSpec:
        """The spec that `to_dict` wrote."""
        layers = tuple(
            LayerSpec(
                operator=OperatorSpec(
                    **{
                        **layer["operator"],
                        "groups": tuple(GroupSpec(**group) for group in layer["operator"]["groups"]),
                        "settings": tuple(
                            (key, value) for key, value in layer["operator"].get("settings", ())
                        ),
                    }
                ),
                featurizer_pool=layer["featurizer_pool"],
                features_from=layer["features_from"],
                shared=tuple(layer["shared"]),
            )
            for layer in data["layers"]
        )
        return cls(**{**data, "layers": layers})
