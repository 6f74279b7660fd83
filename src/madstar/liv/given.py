"""A layer known by name as an operator of a backbone: opaque, sharing nothing.

The layers of `layers/` and the operators of a genome are one family; what the operators have beside is
features that others may take. A given layer has none, so it stands alone.

Settings are those of MAD at width 128. At another width a number of heads follows it, so that heads
keep their width (16 heads of 8 at width 128 are 8 heads of 8 at width 64), ranks and inner widths follow
it too, and a width of heads is kept, each as near as the width divides. What counts heads is 1 stays 1.

A layer by name is told the longest sequence, a backbone has none. No layer here has weights that depend
on it: attention's rotary positions, recurrences and RWKV do not use it, Hyena's implicit kernel has
periods in tokens and is evaluated as far as a sequence goes. So all are told `LONGEST`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import GenomeError, LayerError
from .layers.attention import SelfAttention
from .layers.choice import LayerChoice
from .layers.contract import SequenceLayer
from .layers.differential_attention import DifferentialAttention
from .layers.gated_deltanet import GatedDeltaNet
from .layers.gated_linear_attention import GatedLinearAttention
from .layers.hyena import Hyena
from .layers.hyena_experts import HyenaExperts
from .layers.latent_attention import LatentAttention
from .layers.linear_attention import LinearAttention
from .layers.mamba import Mamba
from .layers.mamba2 import Mamba2
from .layers.mlp import Mlp, SwiGLU
from .layers.moe import MoeMlp
from .layers.retention import Retention
from .layers.rwkv5 import Rwkv5TimeMix
from .layers.rwkv6 import Rwkv6TimeMix
from .layers.rwkv7 import Rwkv7TimeMix
from .layers.rwkv_channel import RwkvChannelMix
from .operator import Features, Size
from .spec import OperatorSpec

LONGEST = 2**20
"""Tokens: the `max_length` that every layer is told."""
_WIDTH = 128  # of the settings
# What a backbone asks of a layer, and the two lengths at which another package's must have the same weights.
_CONTRACT = ("forward", "prefill", "initial_state", "step", "state_elements", "flops")
_SHORT = (64, 128)

# The catalogue's layers: an exported model carries those that it has.
LAYERS: dict[str, Callable[..., SequenceLayer]] = {
    "attention": SelfAttention,
    "mh-attention": SelfAttention,
    "sliding-attention": SelfAttention,
    "mh-sliding-attention": SelfAttention,
    "multi-query-attention": SelfAttention,
    "latent-attention": LatentAttention,
    "differential-attention": DifferentialAttention,
    "linear-attention": LinearAttention,
    "mh-linear-attention": LinearAttention,
    "gated-linear-attention": GatedLinearAttention,
    "mh-gated-linear-attention": GatedLinearAttention,
    "retention": Retention,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "gated-deltanet": GatedDeltaNet,
    "rwkv5-time-mixer": Rwkv5TimeMix,
    "rwkv6-time-mixer": Rwkv6TimeMix,
    "rwkv7-time-mixer": Rwkv7TimeMix,
    "hyena": Hyena,
    "mh-hyena": Hyena,
    "hyena-experts": HyenaExperts,
    "mlp": Mlp,
    "swiglu": SwiGLU,
    "moe-mlp": MoeMlp,
    "rwkv5-channel-mixer": RwkvChannelMix,
    "rwkv6-channel-mixer": RwkvChannelMix,
}

_IN_PROPORTION = ("kv_rank", "inner", "width")
# What each layer calls the width of a head, how wide a head may be, and how many times the width it divides.
_HEAD_WIDTHS = {
    "rwkv5-time-mixer": ("head", 16, 1),
    "rwkv6-time-mixer": ("head", 16, 1),
    "rwkv7-time-mixer": ("head", 32, 1),
    "mamba2": ("head", 64, 2),
    "mh-hyena": ("heads", 16, 1),  # "heads" keys by "heads" values to each kernel
}
# Rotary positions turn pairs of channels; differential attention has two maps to a head.
_PAIRS, _PAIRS_OF_TWO_MAPS = 2, 4


def fitted(layer: str, settings: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The settings of a layer by name at another width than 128, at which they are themselves."""
    found = dict(settings)
    for name in _IN_PROPORTION:
        if name in found:
            found[name] = max(1, round(found[name] * width / _WIDTH))
    if layer in _HEAD_WIDTHS:
        name, usual, factor = _HEAD_WIDTHS[layer]
        widest = found.get(name, usual)
        found[name] = max(n for n in range(1, widest + 1) if width * factor % n == 0)
    elif found.get("heads", 1) > 1:
        pairs = _PAIRS_OF_TWO_MAPS if layer == "differential-attention" else _PAIRS
        found["heads"] = _heads(found["heads"] * width / _WIDTH, width, pairs)
    return found


def _heads(wanted: float, width: int, multiple: int) -> int:
    """The nearest number of heads whose width is a multiple of that, the fewer of two as near."""
    possible = [n for n in range(1, width + 1) if width % n == 0]
    paired = [n for n in possible if width // n % multiple == 0]
    return min(paired or possible, key=lambda n: (abs(n - wanted), n))


class Given(nn.Module):
    """A layer by name, with the interface of an operator. Its features are none.

    Raises GenomeError where the layer cannot be built at the width, is not causal or has no step form, or
    where another package's layer has weights that depend on the longest sequence.
    """

    shared: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: OperatorSpec, size: Size) -> None:
        super().__init__()
        self.spec, self.size = spec, size
        if spec.layer not in LAYERS:
            _check(spec, size.width)
        self.layer = self._drawn_layer().to(torch.get_default_device())

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights anew, as the layer does when it is made, from a seed that `generator` draws."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        self.layer.load_state_dict(self._drawn_layer(seed).state_dict())

    def scale_output(self, scale: float) -> None:
        """Scale what the layer adds to the residual stream, where it says which map does that."""
        output = getattr(self.layer, "output", None)
        if isinstance(output, nn.Linear):
            with torch.no_grad():
                for parameter in output.parameters():
                    parameter.mul_(scale)

    def _drawn_layer(self, seed: int = 0) -> Any:
        # On the CPU wherever it is for: equal weights everywhere, and drawing on the meta device loads a
        # compiler. torch's initialisation knows the global generator only, which is left as it was.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            return make_layer(self.spec, self.size.width, LONGEST)

    # The interface of an operator -----------------------------------------------------------------

    def forward(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features]:
        """A whole sequence at once, and no features."""
        return self.layer(x), {}

    def prefill(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features, Any]:
        """A prompt at once, and the decoding state after it."""
        y, state = self.layer.prefill(x)
        return y, {}, state

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Any:
        """The decoding state before any token."""
        return self.layer.initial_state(batch, device, dtype)

    def step(
        self, x: Float[Tensor, "batch width"], state: Any, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, Any]:
        """One more token."""
        y, state = self.layer.step(x, state)
        return y, {}, state

    def flops(self, length: int) -> int:
        """The layer's operations over one sequence."""
        return self.layer.flops(length)

    def state_elements(self, length: int) -> int:
        """Numbers held after decoding `length` tokens, the last inputs of short convolutions included."""
        return self.layer.state_elements(length) + self.layer.tail_elements()


def make_layer(spec: OperatorSpec, width: int, longest: int) -> Any:
    """The layer that a spec names, its weights drawn from the global generator. Raises GenomeError."""
    settings = fitted(spec.layer, dict(spec.settings), width)
    try:
        if spec.layer in LAYERS:
            return LAYERS[spec.layer](dim=width, max_length=longest, **settings)
        return LayerChoice(spec.layer, tuple(sorted(settings.items()))).build(width, longest)
    except LayerError as error:
        raise GenomeError(f"layer {spec.layer} at width {width}: {error}") from error


@lru_cache(maxsize=256)
def _check(spec: OperatorSpec, width: int) -> None:
    """Raise GenomeError for another package's layer that a backbone cannot use."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        short, longer = (make_layer(spec, width, longest) for longest in _SHORT)
    missing = [m for m in _CONTRACT if getattr(type(short), m, None) in (None, getattr(SequenceLayer, m))]
    if missing or not hasattr(short, "tail_elements"):
        raise GenomeError(
            f"layer {spec.layer} has no {', '.join(missing or ['tail_elements'])}: a genome needs the whole "
            "contract of a layer, madstar.liv.layers.contract.SequenceLayer"
        )
    if not getattr(short, "causal", True):
        raise GenomeError(
            f"layer {spec.layer} is not causal, and a genome predicts the next token: leave it out"
        )
    if _shapes(short) != _shapes(longer):
        raise GenomeError(
            f"layer {spec.layer} has weights that depend on max_length, which a genome does not have: "
            "leave it out"
        )


def _shapes(layer: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in layer.state_dict().items()}
