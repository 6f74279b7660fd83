"""Sound: waveforms, spectral features with masks and lengths, latents and codes of codecs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from madstar.zoo.inputs.facts import Facts, Inputs, whole
from madstar.zoo.inputs.text import token_ids

_MASKS = ("input_features_mask", "feature_attention_mask", "audio_attention_mask", "audio_mel_mask")


def sounds(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for one recording per sample, with masks and lengths."""
    if facts.arguments.get("input_values") and facts.takes("input_features"):
        yield from _waves(facts, batch, "input_values")
    for name in ("input_features", "audio_mel", "audio_input_features"):
        if facts.takes(name):
            yield from _features(facts, batch, name)
    for name in ("input_values", "audio_values"):
        if facts.takes(name):
            yield from _waves(facts, batch, name)
    if facts.takes("audio_input_ids"):
        books = facts.number("num_codebooks", "num_quantizers", default=8)
        for shape in ((batch, 8, books), (batch, books, 8)):
            yield (
                f"codes {list(shape)}",
                {
                    "audio_input_ids": whole(*shape),
                    "audio_input_ids_mask": torch.ones(batch, 8, dtype=torch.bool),
                },
            )


def _features(facts: Facts, batch: int, name: str) -> Iterator[tuple[str, Inputs]]:
    names = (
        "num_mel_bins",
        "n_mels",
        "input_feat_per_channel",
        "input_feat_size",
        "input_dim",
        "feature_size",
        "num_mel_filters",
        "feature_projection_input_dim",
        "input_size",
        "input_channels",
    )
    widths = [facts.number(key, place="audio") for key in names] + [*facts.read_widths("audio"), 80, 128, 160]
    widths = [width for width in dict.fromkeys(widths) if width > 0]
    bins = widths[0]
    window = 2 * facts.number("max_source_positions", "n_window", place="audio", default=1500)
    shapes: list[tuple[int, ...]] = [
        (batch, bins, 3000),
        (batch, bins, window),
        (batch, 100, bins),
        (batch, 96, bins),
        (batch, bins, 96),
    ]
    timed = facts.find("input_feat_size", place="audio") is not None  # time first, and masks are truths
    if timed:
        shapes.insert(0, (batch, 100, bins))
    shapes += [(batch, 1, 1024, bins), (batch, 1, 1001, bins)]
    for width in widths:
        shapes += [(batch, 128, width), (batch, 100, width), (batch, width, 3000), (batch, 400, width)]
        shapes += [(batch, width, 128), (batch, 3000, width)]
    shapes += [(batch, 16, 768), (batch, bins, 200)]
    masks = [key for key in _MASKS if facts.takes(key)]
    seen: dict[tuple[int, ...], None] = dict.fromkeys(shapes)
    for shape in seen:
        inputs: Inputs = {name: facts.floats(*shape)}
        steps = max(shape[1:])
        steps = next((n for n in shape[1:] if n not in (*widths, 1)), steps)
        if facts.takes("audio_feature_lengths"):
            inputs["audio_feature_lengths"] = whole(batch, value=steps)
        if facts.takes("chunk_sample_lengths"):
            inputs["chunk_sample_lengths"] = whole(batch, value=steps * 160)
        if facts.takes("audio_embed_sizes"):
            inputs["audio_embed_sizes"] = whole(batch, value=(steps + 7) // 8)
        if facts.takes("padding_mask"):
            inputs["padding_mask"] = whole(batch, steps * 160)
        kinds = {"mask": torch.long, "truth": torch.bool}
        for word in reversed(kinds) if timed else kinds:
            for key in masks:
                yield (
                    f"features {list(shape)}, {word}",
                    inputs | {key: torch.ones(batch, steps, dtype=kinds[word])},
                )
        yield f"features {list(shape)}", inputs
        if facts.takes("attention_mask") and not facts.takes("input_ids"):
            yield f"features {list(shape)}, attention", inputs | {"attention_mask": whole(batch, steps)}


def _waves(facts: Facts, batch: int, name: str) -> Iterator[tuple[str, Inputs]]:
    bins = facts.number("num_mel_bins", "n_mels", default=80)
    frames = facts.number("max_length", default=1024)
    features: list[Inputs] = [{}]
    if facts.takes("input_features"):  # a codec that hears waveform and features at once
        features = [{"input_features": facts.floats(batch, n, 160)} for n in (48, 49, 50, 51, 99, 100)]
    for extra in features:
        for shape in (
            (batch, 16000),
            (batch, 1, 16000),
            (batch, 15360),
            (batch, 1, 15360),
            (batch, 24000),
            (batch, 1, 24000),
            (batch, 1, 19200),
            (batch, 19200),
            (batch, 2, 48000),
            (batch, frames, bins),
            (batch, bins, frames),
            (batch, 64, bins),
            (batch, 8, facts.number("num_codebooks", default=8)),
        ):
            inputs: Inputs = {name: facts.floats(*shape)} | extra
            yield f"waveform {list(shape)}", inputs
            if facts.takes("padding_mask"):
                yield f"waveform {list(shape)}, mask", inputs | {"padding_mask": whole(batch, shape[-1])}
            if facts.takes("input_values_mask"):
                yield f"waveform {list(shape)}, mask", inputs | {"input_values_mask": whole(batch, shape[-1])}
    if facts.takes("decoder_input_values"):
        width = facts.number("hidden_size", default=768)
        states: Inputs = {name: facts.floats(batch, 64, width)}
        yield "states on both sides", states | {"decoder_input_values": facts.floats(batch, 16, width)}
        yield (
            "waveform to spectrogram",
            {
                name: facts.floats(batch, 16000),
                "decoder_input_values": facts.floats(batch, 16, bins),
            },
        )


def latents(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for parts of models that take another part's output: decoders of codecs, resamplers."""
    widths = dict.fromkeys(
        facts.number(key, default=0)
        for key in (
            "hidden_size",
            "encoder_hidden_size",
            "codebook_dim",
            "latent_dim",
            "d_model",
            "embed_dim",
            "acoustic_tokenizer_config",
            "channels",
        )
    )
    for name in ("hidden_states", "latents"):
        if not facts.takes(name) or facts.takes("grid_thw"):
            continue
        for width in filter(None, widths):
            for shape in ((batch, length, width), (batch, width, length)):
                yield f"states {list(shape)}", {name: facts.floats(*shape)}
        for shape in ((batch, 1, 24000), (batch, length, 64), (batch, 64, length)):
            yield f"states {list(shape)}", {name: facts.floats(*shape)}
    width = facts.number("hidden_size", default=768)
    if facts.takes("noise_embeds", "context_hidden_states"):
        for context in (width, width * facts.number("num_context_layers", default=3)):
            yield (
                "noise and context",
                {
                    "noise_embeds": facts.floats(batch, 8, width),
                    "context_hidden_states": facts.floats(batch, length, context),
                },
            )
    if facts.takes("query_embeds"):
        yield (
            "queries",
            {
                "query_embeds": facts.floats(batch, 32, width),
                "encoder_hidden_states": facts.floats(
                    batch, 16, facts.number("encoder_hidden_size", default=width)
                ),
            },
        )
    if facts.takes("inputs") and not facts.takes("input_ids"):
        yield "array", {"inputs": facts.floats(batch, length, facts.number("d_model", default=768))}


def beside_sounds(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Arguments that reach weights which sound alone leaves out; each is tried on its own."""
    if facts.takes("mask_time_indices"):
        lengths = getattr(facts.module, "_get_feat_extract_output_lengths", None)
        steps = int(lengths(torch.tensor(16000))) if facts.takes("input_values") and lengths else 100
        yield "masked frames", {"mask_time_indices": torch.ones(batch, steps, dtype=torch.bool)}
    if facts.takes("speaker_embeddings"):
        width = facts.number("speaker_embedding_dim", default=512)
        yield "speaker", {"speaker_embeddings": facts.floats(batch, width)}
    if facts.takes("speaker_id"):
        yield "speaker", {"speaker_id": 0}
    if facts.takes("audio_codes"):
        yield "codes", {"audio_codes": whole(batch, facts.number("num_quantizers", default=8), 8)}
    for key in ("audio_latents", "audio_prompt_latents"):
        if facts.takes(key):
            width = facts.number("audio_latent_dim", "latent_dim", "latent_size", default=32)
            for n in dict.fromkeys((width, *facts.read_widths(key.removesuffix("_latents")))):
                inputs: Inputs = {key: facts.floats(batch, 4, n)}
                inputs[f"{key}_mask"] = torch.ones(batch, 4, dtype=torch.bool)
                token = facts.find(key.replace("latents", "token_id"))
                if isinstance(token, int):
                    inputs["input_ids"] = token_ids(facts, batch, length)
                    inputs["input_ids"][:, 1:5] = token
                yield f"{key} {n}", inputs
