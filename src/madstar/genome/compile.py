"""Genome to backbone spec: numbers become words, sharing groups become "takes its keys from layer 3"."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from ..errors import GenomeError
from ..liv import BackboneSpec, GroupSpec, LayerSpec, OperatorSpec
from ..liv.layers.choice import LayerChoice
from .genes import CHANNEL_MIXING, NONLINEARITY, TOKEN_MIXING
from .genome import SHARED_ROLES, Genome, LIVGenes, OperatorGenes
from .sizes import Sizes


def compile_genome(genome: Genome, sizes: Sizes) -> BackboneSpec:
    """The backbone spec of a valid genome at given sizes."""
    return BackboneSpec(
        layers=_layers(genome),
        vocabulary_size=sizes.vocabulary_size,
        width=sizes.width,
        heads=sizes.heads,
        window=sizes.window,
        tied=sizes.tied,
        embedding_std=sizes.embedding_std,
        residual_scale=sizes.residual_scale,
    )


def architecture_hash(genome: Genome) -> str:
    """Sixteen hex digits of what the genome expresses, independent of sizes and of unused genes."""
    canonical = json.dumps([_plain(layer) for layer in _layers(genome)], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(layer: LayerSpec) -> dict[str, Any]:
    """A layer as hashed. Operators without a name are hashed as they were before there were names."""
    plain = asdict(layer)
    if not layer.operator.layer:
        del plain["operator"]["layer"], plain["operator"]["settings"]
    return plain


def _layers(genome: Genome) -> tuple[LayerSpec, ...]:
    if not genome.livs:
        raise GenomeError("a genome without LIVs: give at least one")
    members = Counter(liv.featurizer_group for liv in genome.livs if liv.featurizer_strategy > 1)
    pools: dict[int, int] = {}
    owners: dict[int, int] = {}
    layers = []
    for index, liv in enumerate(genome.livs):
        pool = None
        if liv.featurizer_strategy > 1 and members[liv.featurizer_group] > 1:
            pool = pools.setdefault(liv.featurizer_group, len(pools))
        owner = _owner(index, liv, owners)
        shared = () if owner is None else SHARED_ROLES[liv.operator.token_mixing][liv.feature_strategy]
        layers.append(LayerSpec(_operator(liv.operator), pool, owner, shared))
    return tuple(layers)


def _owner(index: int, liv: LIVGenes, owners: dict[int, int]) -> int | None:
    """The layer whose features this one takes; the first of a group computes them for all."""
    if liv.feature_strategy == 1:
        return None
    owner = owners.setdefault(liv.feature_group, index)
    return None if owner == index else owner


def _operator(operator: OperatorGenes) -> OperatorSpec:
    if operator.layer:
        settings = LayerChoice.of(operator.layer).settings
        return OperatorSpec("given", False, "none", "diagonal", (), layer=operator.layer, settings=settings)
    return OperatorSpec(
        token_mixing=TOKEN_MIXING[operator.token_mixing],
        banded=operator.sparsity == 2,
        nonlinearity=NONLINEARITY[operator.nonlinearity],
        channel_mixing=CHANNEL_MIXING[operator.channel_mixing],
        groups=tuple(
            GroupSpec(
                role=role,
                token_mixing=TOKEN_MIXING[genes.token_mixing],
                banded=genes.sparsity == 2,
                nonlinearity=NONLINEARITY[genes.nonlinearity],
                channel_mixing=CHANNEL_MIXING[genes.channel_mixing],
                expansion=genes.expansion,
                repeat=genes.repeat,
            )
            for role, genes in zip(operator.roles, operator.features, strict=True)
        ),
        differential=operator.differential,
    )
