"""Token ids and what stands beside them: decoders, boxes of words, entities, types, global attention."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from madstar.zoo.inputs.facts import Facts, Inputs, whole

_SPECIAL = 64
"""Ids in use that are no ordinary token: padding, separators, placeholders. Ordinary ones lie between."""


def token_ids(facts: Facts, batch: int, length: int) -> Tensor:
    """Ordinary tokens, (batch, length): none of the ids that the configuration names."""
    named = set()
    for _, part in facts.parts:
        for key, value in vars(part).items():
            if "token" in key or key.endswith("_id") or key.endswith("_index"):
                named |= {value} if isinstance(value, int) else set()
    size = max(facts.number("vocab_size", place="text", default=256), 8)
    ordinary = [i for i in range(3, min(size, 3 + _SPECIAL)) if i not in named] or [min(3, size - 1)]
    line = torch.tensor(ordinary).repeat(length // len(ordinary) + 1)[:length]
    return line.expand(batch, length).clone()


def text(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for what a model reads as text, the plainest first."""
    ids = token_ids(facts, batch, length)
    books = facts.number("num_codebooks", "num_quantizers", default=0)
    shapes = {"ids": ids}
    if "input_ids" in facts.arguments and books > 1:
        shapes["codebooks last"] = ids[..., None].expand(batch, length, books).clone()
        shapes["text and codebooks"] = ids[..., None].expand(batch, length, books + 1).clone()
        shapes["codebooks first"] = ids[:, None].expand(batch, books, length).clone()
    decoder = facts.takes("decoder_input_ids")
    for name, tokens in shapes.items():
        if not facts.takes("input_ids"):
            break
        plain: Inputs = {"input_ids": tokens}
        if facts.takes("bbox"):
            plain["bbox"] = whole(batch, length, 4)
        if facts.takes("visual_feats", "visual_pos"):
            width = facts.number("visual_feat_dim", default=2048)
            plain |= {"visual_feats": facts.floats(batch, 8, width)}
            plain |= {"visual_pos": facts.floats(batch, 8, facts.number("visual_pos_dim", default=4))}
        if facts.takes("qformer_input_ids"):
            plain |= {"qformer_input_ids": tokens, "qformer_attention_mask": whole(batch, length)}
        if decoder:
            start = ids[:, : max(length // 2, 2)]
            yield f"{name}, decoder", plain | {"decoder_input_ids": start}
            channels = facts.number("num_channels", default=9)
            yield (
                f"{name}, decoder channels",
                plain | {"decoder_input_ids": start[..., None].expand(*start.shape, channels).clone()},
            )
        yield name, plain
        yield f"{name}, mask", plain | {"attention_mask": whole(batch, length)}
        if facts.takes("lang_ids"):
            yield f"{name}, language", plain | {"lang_ids": whole(batch, value=0)}
        if facts.takes("position_ids"):
            three = torch.arange(length).expand(3, batch, length).clone()
            yield f"{name}, three positions", plain | {"position_ids": three}
    width = facts.number("hidden_size", "d_model", "embed_dim", place="text", default=768)
    pictures = facts.takes("pixel_values")  # there, embeddings stand in for what the backbone gives
    if facts.takes("inputs_embeds") and not facts.takes("input_ids") and not pictures:
        embeds: Inputs = {"inputs_embeds": facts.floats(batch, length, width)}
        yield "embeddings", embeds
        yield "embeddings, mask", embeds | {"attention_mask": whole(batch, length)}
    if decoder and not facts.takes("input_ids"):
        yield "decoder", {"decoder_input_ids": ids}


def beside_text(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Further arguments that reach weights which plain text leaves out; each is tried on its own."""
    if facts.takes("global_attention_mask"):
        mask = torch.zeros(batch, length, dtype=torch.long)
        mask[:, 0] = 1
        yield "global attention", {"attention_mask": whole(batch, length), "global_attention_mask": mask}
    if facts.takes("entity_ids"):
        yield (
            "entities",
            {
                "entity_ids": whole(batch, 2),
                "entity_attention_mask": whole(batch, 2),
                "entity_token_type_ids": whole(batch, 2, value=0),
                "entity_position_ids": torch.arange(2).expand(batch, 2, 2).clone(),
            },
        )
    if facts.takes("xpath_tags_seq"):
        depth = facts.number("max_depth", default=50)
        yield (
            "paths",
            {"xpath_tags_seq": whole(batch, length, depth), "xpath_subs_seq": whole(batch, length, depth)},
        )
    if facts.takes("token_type_ids"):
        yield "token types", {"token_type_ids": whole(batch, length, value=0)}
    if facts.takes("visual_embeds"):
        width = facts.number("visual_embedding_dim", default=512)
        yield (
            "visual embeddings",
            {
                "visual_embeds": facts.floats(batch, 4, width),
                "visual_attention_mask": whole(batch, 4),
                "visual_token_type_ids": whole(batch, 4),
            },
        )
    if facts.takes("encoder_hidden_states"):
        width = facts.number("encoder_hidden_size", "hidden_size", "d_model", default=768)
        yield "encoder states", {"encoder_hidden_states": facts.floats(batch, 8, width)}
    if facts.takes("target_mapping"):
        mapping = torch.zeros(batch, 1, length)
        mapping[:, 0, -1] = 1
        permutation = torch.zeros(batch, length, length)
        yield "targets", {"target_mapping": mapping, "perm_mask": permutation}
    if facts.takes("labels"):
        books = facts.number("num_codebooks", default=0)
        if books > 1:
            yield "labels of all codebooks", {"labels": whole(batch, length, books)}
        yield "labels", {"labels": whole(batch, length)}
    if facts.takes("position_ids"):
        yield "positions", {"position_ids": torch.arange(length).expand(batch, length).clone()}
    if facts.takes("attention_mask"):
        yield "mask", {"attention_mask": whole(batch, length)}
