"""Ready-made rewrites, by name.

Each is a frozen dataclass of its options with `apply(bench) -> Touched`. It finds its places by the structure
that is there, by operations and types rather than by models' names, and says where it does not apply; its
docstring says what it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping

from .activation import SwapActivation
from .beside import Parallel
from .depth import Deeper, PruneLayer
from .experts import Experts
from .grouped import GroupedQuery
from .lora import Lora, TrainOnly
from .mixer import SwapMixer
from .norms import AddNorm, RemoveNorm
from .rotary import Rotary
from .shared import ShareKeysAndValues
from .tying import TieWeights
from .wider import Wider
from .windows import WindowedAttention

REWRITES: Mapping[str, type] = {
    "lora": Lora,
    "train_only": TrainOnly,
    "swap_activation": SwapActivation,
    "prune_layer": PruneLayer,
    "deeper": Deeper,
    "windowed_attention": WindowedAttention,
    "grouped_query": GroupedQuery,
    "parallel": Parallel,
    "share_kv": ShareKeysAndValues,
    "tie_weights": TieWeights,
    "add_norm": AddNorm,
    "remove_norm": RemoveNorm,
    "experts": Experts,
    "wider": Wider,
    "rotary": Rotary,
    "swap_mixer": SwapMixer,
}
"""The rewrites by name."""
