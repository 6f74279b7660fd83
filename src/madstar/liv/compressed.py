"""A genome's backbone as an encoder, read back by the decoder of MAD's auto-encoder."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from .auto_encoder import Decoder
from .backbone import Backbone


class CompressedBackbone(nn.Module):
    """The last token's vector of a backbone, from which each token must be restored."""

    def __init__(self, backbone: Backbone, max_length: int) -> None:
        super().__init__()
        self.vocab_size, self.max_length = backbone.spec.vocabulary_size, max_length
        self.backbone = backbone
        self.decoder = Decoder(backbone.spec.width, self.vocab_size, max_length)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits of the token at each position, from the last token's vector alone."""
        return self.decoder(self.backbone.hidden(tokens)[:, -1], tokens.shape[1])
