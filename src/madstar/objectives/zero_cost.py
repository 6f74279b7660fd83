"""Zero-cost scores: figures of an untrained model on one batch, proposed as predictors of quality.

They cost about as much as a training step. They are for screening and for study: what they
predict here is measured by `python -m benchmarks.screens`, and none of them says that an architecture
is good. A score depends on the sizes and on the initialisation; compare scores at equal sizes only.

An objective does not see the task, so the batch is random: token ids uniform over the vocabulary
from a fixed seed. Text is far from uniform, and a score that reads the data loses something by this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..liv import Backbone, BackboneSpec
from ..liv.differential import Differential
from ..liv.featurizer import Decay
from ..liv.given import Given
from ..liv.kernel import ImplicitKernel
from ..liv.spec import OperatorSpec
from .objective import MEASURED, Measurement, Objective, Subject

SEQUENCES, LENGTH = 8, 64
_BATCH_SEED = 210108134
_TINY = 1e-300


def gradient_norm(subject: Subject, seed: int = 0) -> Measurement:
    """Sum over weight tensors of the gradient's Euclidean norm, after one batch.

    Abdelfattah et al. 2021 (arXiv 2101.08134, section 3, "grad_norm"). The loss is the mean
    cross-entropy of the next token, in float32. Weights that layers share are one tensor; embedding
    and output are counted.
    """
    backbone = subject.build(seed)
    tokens = _tokens(subject)
    with torch.enable_grad():
        logits = backbone(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    norms = [p.grad.double().norm().item() for p in backbone.parameters() if p.grad is not None]
    return Measurement(sum(norms))


def synflow(subject: Subject, seed: int = 0) -> Measurement:
    """Log of sum |w dR/dw| over all weights, R the summed output of a linear relative of the model.

    Synaptic flow (Tanaka et al. 2020, arXiv 2006.05467, section 4) is defined for networks of
    positively homogeneous layers: R is then the sum over all paths of the product of the weights'
    absolute values. An input-varying operator is not one, so this is a score like it, not the same:

    - weights are replaced by their absolute values, and ones are fed in at the embedding's output;
    - an operator sees its input divided by the RMS of each token, and its output is multiplied by it,
      the RMS taken as a constant. A layer so has degree one, and gates do not grow with depth as
      powers of powers. The weights of norms (all ones) fall out;
    - non-linearities are left out of gates and features; attention's softmax becomes the mean of
      relu(q k), for over equal tokens softmax has no gradient; differential operators are added;
    - long kernels enter by their absolute values; decays, the kernels' small networks and rotary
      turns stay as they are, so that a few paths have other signs;
    - a layer by name keeps its non-linearities, and all weights but those of its linear maps.

    Computed in float64; each layer's growth is taken out and added in the logarithm.
    """
    spec = _linear_relative(subject.spec)
    backbone = Backbone(spec, seed).double()
    _take_absolutes(backbone)
    ones = torch.ones(1, min(subject.length, LENGTH), spec.width, dtype=torch.float64)
    with torch.enable_grad():
        y, log_growth = _flow(backbone, ones)
        y.sum().backward()
    flow = sum((p.grad * p).abs().sum().item() for p in backbone.parameters() if p.grad is not None)
    return Measurement(math.log(max(flow, _TINY)) + log_growth)


@torch.no_grad()
def feature_rank(subject: Subject, seed: int = 0) -> Measurement:
    """Effective rank of the last hidden states over a batch of random tokens, from 1 to the width.

    The exponential of the entropy of the normalised singular values (Roy and Vetterli 2007, "The
    effective rank", section 2) of the centred states after the final norm. It falls where layers make
    all tokens alike. It stands in for scores that count ReLU regions (Mellor et al. 2021, arXiv
    2006.04647), which gates and attention do not have.
    """
    backbone = subject.build(seed)
    seen: list[Tensor] = []
    handle = backbone.norm.register_forward_hook(lambda module, given, states: seen.append(states))
    backbone(_tokens(subject))
    handle.remove()
    states = seen[0].flatten(0, 1).double()
    values = torch.linalg.svdvals(states - states.mean(0))
    shares = values / values.sum().clamp(min=_TINY)
    return Measurement(math.exp(torch.special.entr(shares).sum().item()))


def _tokens(subject: Subject) -> Int[Tensor, "batch length"]:
    generator = torch.Generator().manual_seed(_BATCH_SEED)
    length = min(subject.length, LENGTH) + 1
    return torch.randint(subject.sizes.vocabulary_size, (SEQUENCES, length), generator=generator)


def _linear_relative(spec: BackboneSpec) -> BackboneSpec:
    """The same operators and weights, without non-linearities."""
    layers = (replace(layer, operator=_without_nonlinearity(layer.operator)) for layer in spec.layers)
    return replace(spec, layers=tuple(layers))


def _without_nonlinearity(operator: OperatorSpec) -> OperatorSpec:
    groups = tuple(replace(group, nonlinearity="none") for group in operator.groups)
    kind = "none"
    if operator.token_mixing == "low-rank" and operator.nonlinearity != "none":
        # "none" would make it another operator, linear attention, whose features are shared differently.
        kind = "relu"
    return replace(operator, nonlinearity=kind, groups=groups)


def _take_absolutes(backbone: Backbone) -> None:
    """Absolute weights and kernels, and sums for differences, in place."""
    signed = {id(p) for module in backbone.modules() if isinstance(module, Decay | ImplicitKernel)
              for p in module.parameters()}  # fmt: skip
    for module in backbone.modules():
        if isinstance(module, Given):
            maps = {id(part.weight) for part in module.modules() if isinstance(part, nn.Linear)}
            signed |= {id(p) for p in module.parameters()} - maps
    with torch.no_grad():
        for parameter in backbone.parameters():
            if id(parameter) not in signed:
                parameter.abs_()
    for module in set(backbone.modules()):
        if isinstance(module, ImplicitKernel):
            module.register_forward_hook(lambda module, given, kernel: kernel.abs())
        if isinstance(module, Differential):
            module.second.register_forward_hook(_negated)


def _negated(module: nn.Module, given: Any, returned: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
    output, features = returned
    return -output, features


def _flow(backbone: Backbone, x: Float[Tensor, "1 length width"]) -> tuple[Tensor, float]:
    """The outputs, divided by the layers' growth, and the logarithm of that growth."""
    kept: dict[int, Any] = {}
    log_growth = 0.0
    for index, layer in enumerate(backbone.depth()):
        scale = _rms(x, -1)
        given = None if layer.features_from is None else kept[layer.features_from]
        y, features = layer.operator(x / scale, given)
        if index in backbone.owners:
            kept[index] = features
        x = x + scale * y
        growth = _rms(x, None)
        x, log_growth = x / growth, log_growth + math.log(growth.item())
    output = backbone.embedding.weight if backbone.head is None else backbone.head.weight
    return F.linear(x, output), log_growth


def _rms(x: Tensor, dim: int | None) -> Tensor:
    """The root mean square, as a constant."""
    return x.detach().square().mean(dim, keepdim=dim is not None).sqrt().clamp(min=_TINY)


def _screen(name: str, meaning: str, score: Callable[[Subject], Measurement]) -> Objective:
    return Objective(name, "max", "", MEASURED, f"{meaning}, untrained; for screening, not quality", score)


SCREENS = {
    screen.name: screen
    for screen in (
        _screen("gradient-norm", "sum of the weights' gradient norms on one random batch", gradient_norm),
        _screen("synflow", "log of a synaptic flow, operators made linear", synflow),
        _screen("feature-rank", "effective rank of the last hidden states on random tokens", feature_rank),
    )
}
