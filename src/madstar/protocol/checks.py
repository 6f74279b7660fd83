"""Is this a model that can be benchmarked? Asked before anything is trained.

A model's logits must have the shape of its tokens, be numbers, and not depend on later tokens. Each is
told with what was tried and, for the last, with the position that gives it away.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import LayerError, MadstarError, in_one_line
from ..liv.layers.choice import LayerChoice, short
from ..liv.stack import seeded
from .architecture import AUTO_ENCODER, Architecture, LayerStack

_BATCH = 2
_LONGEST = 96
_TOLERANCE = 1e-4

Apply = Callable[[Tensor], Tensor]


@torch.no_grad()
def check_architecture(
    architecture: Architecture, task: str, backbone: str, vocabulary_size: int, length: int
) -> None:
    """Build the model of a task and try it on random tokens. Raises LayerError, one line.

    Sequences are at most 96 tokens of the `length` it is built for, so a check takes a fraction of a second.
    """
    if isinstance(architecture, LayerStack):
        for choice in dict.fromkeys(architecture.layers):
            check_layer(choice, architecture.dim, length)
    model = architecture.build(task, backbone, vocabulary_size, length, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, vocabulary_size, (_BATCH, min(length, _LONGEST)), generator=generator)
    where = f"{architecture.label} on {task} (vocabulary {vocabulary_size}, length {tokens.shape[1]})"
    logits = _output(model, tokens, where)
    _check_output(logits, (*tokens.shape, vocabulary_size), where)
    if backbone != AUTO_ENCODER and vocabulary_size > 1:

        def changed(at: int) -> Tensor:
            other = tokens.clone()
            other[:, at] = (other[:, at] + 1) % vocabulary_size
            return _output(model, other, where)

        _check_causal(changed, logits, where)


@torch.no_grad()
def check_layer(choice: LayerChoice, dim: int, max_length: int) -> None:
    """Build a layer alone and try it on noise. Raises LayerError, one line, that names the layer.

    Beside a whole model's check because a residual stream hides a layer's mistakes: an output of one
    channel would be added to all.
    """
    layer = seeded(lambda: choice.build(dim, max_length), 0).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_BATCH, min(max_length, _LONGEST), dim, generator=generator)
    where = f"layer {short(choice.name)} (width {dim}, length {x.shape[1]})"
    y = _output(layer, x, where)
    _check_output(y, tuple(x.shape), where)

    def changed(at: int) -> Tensor:
        other = x.clone()
        other[:, at] = torch.randn(_BATCH, dim, generator=torch.Generator().manual_seed(1))
        return _output(layer, other, where)

    _check_causal(changed, y, where)


def _check_output(output: Tensor, wanted: tuple[int, ...], where: str) -> None:
    if tuple(output.shape) != wanted:
        raise LayerError(f"{where}: the output has shape {tuple(output.shape)}, but must have {wanted}")
    wrong = ~torch.isfinite(output)
    if wrong.any():
        place = int(wrong.any(-1).any(0).nonzero()[0])
        raise LayerError(f"{where}: untrained it gives nan or infinity, first at position {place}")


def _check_causal(changed: Callable[[int], Tensor], output: Tensor, where: str) -> None:
    """Change one token, `changed(position)`, and see whether outputs before it move."""
    length = output.shape[1]
    scale = max(1.0, float(output.abs().max()))
    for at in sorted({length - 1, length // 2, 1} & set(range(1, length))):
        moved = (changed(at) - output)[:, :at].abs().amax((0, 2)) > _TOLERANCE * scale
        if moved.any():
            raise LayerError(
                f"{where}: the output at position {int(moved.nonzero()[0])} changes with the token at "
                f"position {at}: it looks into the future"
            )


def _output(apply: Apply, x: Tensor, where: str) -> Tensor:
    try:
        output = apply(x)
    except MadstarError:
        raise
    except Exception as error:
        raise LayerError(f"{where}: the forward pass failed with {in_one_line(error)}") from error
    if not isinstance(output, Tensor):
        raise LayerError(f"{where}: the output is a {type(output).__name__}, but must be a tensor")
    return output.float()
