"""Small models of transformers with random weights: graphs made without weights build them again."""

import pytest
import torch
import transformers

from madstar.graph.execution import build
from madstar.graph.hashing import structural_hash
from madstar.graph.trace import trace

from .parity import agree, plain

PLAIN = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 50,
}
VISION = {"image_size": 32, "patch_size": 16, "num_channels": 3}
SPEECH = {
    "encoder_layers": 2, "decoder_layers": 2, "d_model": 16, "encoder_attention_heads": 2, "vocab_size": 60,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": 8,
    "max_source_positions": 20, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
SMALL = {
    "llama": PLAIN,
    "t5": {"num_layers": 2, "d_model": 16, "d_ff": 32, "num_heads": 2, "d_kv": 8, "vocab_size": 50},
    "mamba": {"num_hidden_layers": 2, "hidden_size": 16, "state_size": 4, "vocab_size": 50},
    "mixtral": PLAIN | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "vit": PLAIN | VISION,
    "whisper": SPEECH,
}


# Of the others, writes become new values, and a loop over the length is written out.
SAME_AGAIN = ("llama", "t5", "vit", "whisper")


def made(kind, device):
    config = transformers.AutoConfig.for_model(kind, **SMALL[kind])
    config.use_cache = False
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModel.from_config(config).eval()


def inputs_of(kind, device):
    def make(batch, length):
        torch.manual_seed(1)
        ids = torch.randint(4, 50, (batch, length)).to(device)
        if kind == "vit":
            return {"pixel_values": torch.randn(batch, 3, 32, 32).to(device)}
        if kind == "whisper":
            return {"input_features": torch.randn(batch, 8, 40).to(device), "decoder_input_ids": ids}
        return {"input_ids": ids} | ({"decoder_input_ids": ids.flip(1)} if kind == "t5" else {})

    return make


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_graph_without_weights_builds_the_model(kind):
    graph = trace(made(kind, "meta"), inputs_of(kind, "meta"))
    module, make = made(kind, "cpu"), inputs_of(kind, "cpu")
    built = build(graph, module)
    assert set(built.state_dict()) == set(module.state_dict())
    fixed = graph.facts.get("unrolled_over", ())
    for at in ({"batch": 2, "length": 16}, {"batch": 3, "length": 16 if fixed else 9}):
        agree(built, module, make(**at), 1e-4)
    if kind in SAME_AGAIN:
        assert structural_hash(plain(trace(built, make))) == structural_hash(plain(trace(module, make)))
