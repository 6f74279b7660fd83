"""Which layers there are, by name, with the settings MAD gives them.

One line here makes a layer known. Settings are those of MAD at width 128 (arXiv 2403.17844, appendix B,
and its published configurations). `iso` are the settings, where others, at which a layer of fixed state
holds 4,096 numbers at width 128, MAD's iso-state normalisation; None where the state grows with the
sequence or there is none. `compatible` are settings by which a layer does as the published code does
where that is not what its paper says; the mad-lab protocol uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ISO_STATE = 4096
TOKENS, CHANNELS = "tokens", "channels"


@dataclass(frozen=True)
class LayerEntry:
    """A layer by name. `target` is "module:Class" below this package; `mixes` "tokens" or "channels"."""

    name: str
    target: str
    summary: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    iso: Mapping[str, Any] | None = None
    compatible: Mapping[str, Any] = field(default_factory=dict)
    mixes: str = TOKENS


def _entries(*entries: LayerEntry) -> dict[str, LayerEntry]:
    return {entry.name: entry for entry in entries}


_ATTENTION = "attention:SelfAttention"
_LINEAR = "linear_attention:LinearAttention"
_GLA = "gated_linear_attention:GatedLinearAttention"
_HYENA = "hyena:Hyena"
_RWKV_CHANNEL = "rwkv_channel:RwkvChannelMix"

CATALOGUE: dict[str, LayerEntry] = _entries(
    LayerEntry("attention", _ATTENTION, "softmax attention, one head", "1706.03762", {"heads": 1}),
    LayerEntry("mh-attention", _ATTENTION, "softmax attention, 16 heads", "1706.03762", {"heads": 16}),
    LayerEntry(
        "sliding-attention",
        _ATTENTION,
        "attention to itself and the 32 tokens before, one head",
        "2004.05150",
        {"heads": 1, "window": 32},
    ),
    LayerEntry(
        "mh-sliding-attention",
        _ATTENTION,
        "attention to itself and the 32 tokens before, 16 heads",
        "2004.05150",
        {"heads": 16, "window": 32},
    ),
    LayerEntry(
        "multi-query-attention",
        _ATTENTION,
        "16 query heads, one head of keys and values",
        "1911.02150",
        {"heads": 16, "kv_heads": 1},
    ),
    LayerEntry(
        "latent-attention",
        "latent_attention:LatentAttention",
        "multi-head attention over a compressed latent",
        "2405.04434",
        {"heads": 16, "kv_rank": 28, "rotary_dim": 4},
    ),
    LayerEntry(
        "differential-attention",
        "differential_attention:DifferentialAttention",
        "the difference of two softmax maps",
        "2410.05258",
        {"heads": 4},
    ),
    LayerEntry("linear-attention", _LINEAR, "linear attention, one head", "2006.16236", {"heads": 1}),
    LayerEntry(
        "mh-linear-attention",
        _LINEAR,
        "linear attention, 16 heads",
        "2006.16236",
        {"heads": 16},
        {"heads": 4},
    ),
    LayerEntry(
        "gated-linear-attention", _GLA, "linear attention with decay, one head", "2312.06635", {"heads": 1}
    ),
    LayerEntry(
        "mh-gated-linear-attention",
        _GLA,
        "linear attention with decay, 8 heads",
        "2312.06635",
        {"heads": 8},
        {"heads": 4},
    ),
    LayerEntry(
        "retention",
        "retention:Retention",
        "linear attention with a constant decay",
        "2307.08621",
        {"heads": 4},
        {},
    ),
    LayerEntry(
        "mamba",
        "mamba:Mamba",
        "selective state space, a decay per channel and state",
        "2312.00752",
        {"state": 4, "taps": 4, "expand": 2},
        {"state": 16},
    ),
    LayerEntry(
        "mamba2",
        "mamba2:Mamba2",
        "state space duality, a decay per head",
        "2405.21060",
        {"state": 16, "expand": 2, "taps": 4},
        {},
    ),
    LayerEntry(
        "gated-deltanet",
        "gated_deltanet:GatedDeltaNet",
        "delta rule with decay",
        "2412.06464",
        {"heads": 4},
        {},
    ),
    LayerEntry(
        "rwkv5-time-mixer",
        "rwkv5:Rwkv5TimeMix",
        "Eagle: a constant decay per channel",
        "2404.05892",
        {"head": 16},
        {"head": 32},
    ),
    LayerEntry(
        "rwkv6-time-mixer",
        "rwkv6:Rwkv6TimeMix",
        "Finch: a data-dependent decay per channel",
        "2404.05892",
        {"head": 16},
        {"head": 32},
    ),
    LayerEntry(
        "rwkv7-time-mixer",
        "rwkv7:Rwkv7TimeMix",
        "Goose: a generalised delta rule",
        "2503.14456",
        {"head": 32},
        {},
    ),
    LayerEntry(
        "hyena",
        _HYENA,
        "gated long convolution with an implicit kernel",
        "2302.10866",
        {"order": 2, "heads": 1, "inner_factor": 4},
    ),
    LayerEntry(
        "mh-hyena",
        _HYENA,
        "long convolution of outer products, 16 heads",
        "2310.18780",
        {"order": 2, "heads": 16, "inner_factor": 1},
    ),
    LayerEntry(
        "hyena-experts",
        "hyena_experts:HyenaExperts",
        "8 Hyena experts of width 16, 2 active",
        "2403.17844",
        {"experts": 8, "width": 16, "active": 2},
    ),
    LayerEntry("mlp", "mlp:Mlp", "two linear maps and a GELU", "1706.03762", mixes=CHANNELS),
    LayerEntry("swiglu", "mlp:SwiGLU", "gated linear unit", "2002.05202", mixes=CHANNELS),
    LayerEntry(
        "moe-mlp",
        "moe:MoeMlp",
        "8 experts of width 16, 2 active",
        "2403.17844",
        {"experts": 8, "inner": 16, "active": 2},
        compatible={"compatible": True},
        mixes=CHANNELS,
    ),
    LayerEntry(
        "rwkv5-channel-mixer",
        _RWKV_CHANNEL,
        "token shift and squared ReLU",
        "2404.05892",
        {"inner": 512, "version": 5},
        mixes=CHANNELS,
    ),
    LayerEntry(
        "rwkv6-channel-mixer",
        _RWKV_CHANNEL,
        "token shift and squared ReLU",
        "2404.05892",
        {"inner": 512, "version": 6},
        mixes=CHANNELS,
    ),
)
"""Every layer that comes with madstar, by name."""
