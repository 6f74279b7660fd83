"""Default configurations that their own classes refuse, and the least that makes models of them.

A type of transformers is taken from its configuration class as that comes, without arguments. For a few dozen
types of the pinned release that is no model: a required setting is None, a name is misspelt, or the parts of
a composed type do not fit each other (the image features have another width than the text, an image's patches
cannot be merged in pairs). Such a model cannot be built, or cannot run with any input, or runs on text and
fails on every image, with weights as without. Checkpoints of these types come with configurations of their
own, so that nobody notices.

`COMPLETIONS` holds the settings that are missing or wrong. Their values are those of a sibling's defaults or
of the paper where these are known, and otherwise merely such that the parts fit (numbers of special tokens,
sizes of images): they say what the type computes, not what its checkpoints are. `agree` sets widths that must
be equal. Nothing else is touched: a default that works
stays as it is, however odd. Every change stands in the model's `changes` and in the facts of its graph;
`load_type(..., bare=True)` builds a type without them, and `benchmarks.coverage --bare` counts what that
reaches.
"""

from __future__ import annotations

import copy
from typing import Any

from madstar.zoo.shrink import nested

_FORECAST = {"prediction_length": 24, "context_length": 48}
_PLACES = {"image_token_id": 248056, "video_token_id": 248057}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_INDEXER = {
    "indexer_n_heads": 16,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 256,
    "indexer_budget": 2048,
    "indexer_compress_ratio": 4,
}


def _chameleon_words(count: int) -> dict[str, int]:
    """Codes of the image tokenizer as words, their digits as letters, behind the few special words."""
    letters = str.maketrans("0123456789", "ABCDEFGHIJ")
    return {f"IMGIMG{str(code).translate(letters)}Z": 4 + code for code in range(count)} | {
        "<image>": 4 + count
    }


def _emu3_words(count: int) -> dict[str, int]:
    """Codes of the image tokenizer as words, and the word for the end of a row."""
    return {f"<|visual token {code:06d}|>": 4 + code for code in range(count)} | {
        "<image>": 4 + count,
        "<|extra_200|>": 5 + count,
    }


def _intraclass() -> dict[str, Any]:
    """Kernels, strides and paddings of the neck's long, middle and short convolutions."""
    shapes = {
        "vertical_long_to_small_conv": lambda n: [[n, 1], [1, 1], [n // 2, 0]],
        "horizontal_small_to_long_conv": lambda n: [[1, n], [1, 1], [0, n // 2]],
        "symmetric_conv_long": lambda n: [[n, n], [1, 1], [n // 2, n // 2]],
    }
    ratios = {"longratio": 7, "midratio": 5, "shortratio": 3}
    found: dict[str, Any] = {
        f"{name}_{ratio}": shape(n) for name, shape in shapes.items() for ratio, n in ratios.items()
    }
    return found | {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}


COMPLETIONS: dict[str, dict[str, Any]] = {
    "autoformer": _FORECAST,
    "aya_vision": {"vision_config.num_attention_heads": 16, "vision_config.image_size": 364},
    "blip-2": {"image_token_index": 50265},
    "chameleon": {"vocabulary_map": _chameleon_words(8192)},
    "cohere_compass": {"text_config.rope_parameters": {"full_attention": _ROPE}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE}},
    "dbrx": {"attn_config.rope_theta": 500000.0, "attn_config.kv_n_heads": 8, "attn_config.clip_qkv": 8},
    "deepseek_ocr2": {
        "text_config.mlp_layer_types": ["dense"] + ["sparse"] * 31,
        "text_config.num_experts_per_tok": 6,
        "text_config.vocab_size": 129280,
        "vision_config.encoder_config.hidden_size": 896,
        "vision_config.encoder_config.intermediate_size": 4864,
        "vision_config.encoder_config.num_attention_heads": 14,
        "vision_config.encoder_config.num_key_value_heads": 2,
    },
    "deepseek_v2": {"num_experts_per_tok": 6},
    "diffusion_gemma": {
        "text_config.num_experts": 128,
        "text_config.top_k_experts": 8,
        "text_config.moe_intermediate_size": 704,
    },
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "edgetam": {"vision_config.backbone_config.architecture": "repvit_m1"},
    "edgetam_video": {"vision_config.backbone_config.architecture": "repvit_m1"},
    "edgetam_vision_model": {"backbone_config.architecture": "repvit_m1"},
    "emu3": {"vocabulary_map": _emu3_words(32768)},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "funnel": {"architectures": ["FunnelModel"]},
    "gemma3": {"vision_config.image_size": 896, "vision_config.patch_size": 14},
    "glm4v_moe": {"text_config.head_dim": 128},
    "glm4v_moe_text": {"head_dim": 128},
    "granite4_vision": {
        "deepstack_layer_map": [[-2, 0]],
        "downsample_rate": "4/8",
        "image_grid_pinpoints": [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]],
        "vision_config.image_size": 384,
        "vision_config.patch_size": 16,
    },
    "granite_speech": {"projector_config.encoder_hidden_size": 1024},
    "granite_speech_plus": {"projector_config.encoder_hidden_size": 1024},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "hunyuan_vl": {
        "text_config.head_dim": 128,
        "text_config.rope_parameters": _ROPE | {"mrope_section": [16] * 4},
    },
    "hunyuan_vl_text": {"head_dim": 128, "rope_parameters": _ROPE | {"mrope_section": [16] * 4}},
    "janus": {"vision_config.projection_dim": 4096},
    "llama4": {"vision_config.hidden_size": 1408, "vision_config.vision_output_dim": 4096},
    "informer": _FORECAST,
    "instructblip": {"image_token_index": 50265},
    "instructblipvideo": {"video_token_index": 50265},
    "lfm2_moe": {"layer_types": (["conv", "conv", "full_attention"] + ["conv"] * 5) * 4},
    "modernvbert": {"vision_config.image_size": 256},
    "idefics3": {"vision_config.image_size": 256},
    "ultravbert": {"vision_config.image_size": 256},
    "voxtral": {"audio_token_id": 24},
    "minicpm_ocr": _PLACES,
    "minicpmv4_6": _PLACES,
    "minicpmv4_7": _PLACES,
    "ministral": {"head_dim": 128},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "nemotron": {"num_key_value_heads": 8},
    "ovis2": {"hidden_size": 4096},
    "perception_lm": {
        "vision_config.architecture": "vit_pe_core_large_patch14_336",
        "vision_config.model_args": {"embed_dim": 1024, "img_size": [448, 448], "global_pool": ""},
    },
    "pp_ocrv6_medium_det": {"intraclass_block_config": _intraclass()},
    "qwen3_omni_moe_thinker": {
        "text_config.head_dim": 128,
        "vision_start_token_id": 151652,
    },
    "qwen4_exp": {f"text_config.{key}": value for key, value in _INDEXER.items()},
    "qwen4_exp_text": dict(_INDEXER),
    "smolvlm": {"vision_config.image_size": 256},
    "step3p7": {"text_config.sliding_window": 512},
    "t5gemma2": {"encoder.vision_config.image_size": 896, "encoder.vision_config.patch_size": 14},
    "t5gemma2_encoder": {
        "text_config.dropout_rate": 0.0,
        "vision_config.image_size": 896,
        "vision_config.patch_size": 14,
    },
    "time_series_transformer": _FORECAST,
    "timm_backbone": {"backbone": "resnet18"},
}
"""By type: settings by name, of nested configurations by path."""

_OUTPUT_WIDTHS = ("out_hidden_size", "projection_dim_to_text", "text_hidden_size")


def complete(name: str, config: Any) -> tuple[str, ...]:
    """Fill in what a type's default configuration lacks; returns what was filled in, in words."""
    words = []
    for key, value in COMPLETIONS.get(name, {}).items():
        *path, last = key.split(".")
        part = config
        for step in path:
            part = getattr(part, step)
        setattr(part, last, copy.deepcopy(value))
        told = repr(value)
        words.append(f"{key} set to {told if len(told) < 60 else f'{told[:56]} ...'}")
    return tuple(words)


def agree(config: Any) -> tuple[str, ...]:
    """Let a default configuration's parts fit each other: what vision or sound gives is as wide as the text.

    A composed type's default configuration is made of its parts' defaults, which were not always chosen for
    each other; such a model runs on text and fails on images.

    Returns:
        What was changed, in words.
    """
    changes = _rotary(config)
    text = getattr(config, "text_config", None)
    width = getattr(text, "hidden_size", None)
    if not isinstance(width, int):
        return tuple(changes)
    for part in nested(config):
        if part is config or part is text:
            continue
        names = [name for name in _OUTPUT_WIDTHS if isinstance(getattr(part, name, None), int)]
        if "asr" in part.model_type and isinstance(getattr(part, "output_dim", None), int):
            names.append("output_dim")
        if not names and getattr(part, "model_type", "") == "qwen2_vl_vision":
            names = ["hidden_size"]  # there the output's width; the inner one is embed_dim
        for name in names:
            if getattr(part, name) != width:
                changes.append(f"{part.model_type}.{name} {getattr(part, name)} to {width}, as the text's")
                setattr(part, name, width)
    return tuple(changes)


def _rotary(config: Any) -> list[str]:
    """Where sections of rotary positions do not fill the rotated half of a head, rotate what they fill."""
    changes = []
    for part in nested(config):
        if "glm" not in getattr(part, "model_type", ""):
            continue
        rope = getattr(part, "rope_parameters", None)
        heads = getattr(part, "num_attention_heads", None)
        if not isinstance(rope, dict) or not heads:
            continue
        size = getattr(part, "head_dim", None) or part.hidden_size // heads
        sections = rope.get("mrope_section") or [8, 12, 12]  # the default of these types' code
        factor = 2 * sum(sections) / size
        wanted = "mrope_section" in rope or part.model_type.endswith("_text")
        if wanted and rope.get("partial_rotary_factor") != factor and factor <= 1:
            rope["partial_rotary_factor"] = factor
            changes.append(f"{part.model_type}: partial_rotary_factor set to {factor}")
    return changes
