"""What a genome leaves open: the sizes it is built at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes of a backbone, and the two scales of its initialisation.

    `width` channels in `heads` heads; `window` is how many tokens a banded operator sees, the
    present one included; `tied` reuses the embedding as output. `embedding_std` and
    `residual_scale` are explained in docs/decisions/0004-initialisation.md.
    """

    vocabulary_size: int = 256
    width: int = 64
    heads: int = 4
    window: int = 64
    tied: bool = False
    embedding_std: float = 0.5
    residual_scale: float = 0.1
