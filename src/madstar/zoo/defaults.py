"""What some types' default configurations lack, or say wrongly: the least that makes a model of them.

These types cannot be built, or cannot run, from their bare configuration class in the pinned transformers.
Every entry is reported with the model (`ZooModel.changes`), so that a graph says what was filled in. Values
are those of the type's documentation or of a sibling's defaults where there are any.
"""

from __future__ import annotations

import copy
from typing import Any

from madstar.zoo.shrink import nested

_FORECAST = {"prediction_length": 24, "context_length": 48}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_INDEXER = {
    "indexer_n_heads": 16,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 128,
    "indexer_budget": 2048,
    "indexer_compress_ratio": 4,
}


def _image_words(count: int) -> dict[str, int]:
    """Codes of an image tokenizer as words, in the ways that chameleon and emu3 name theirs."""
    letters = str.maketrans("0123456789", "ABCDEFGHIJ")
    chameleon = {f"IMGIMG{str(code).translate(letters)}Z": 4 + code for code in range(count)}
    emu3 = {f"<|visual token {code:06d}|>": 4 + code for code in range(count)}
    return chameleon | emu3 | {"<image>": 4 + count, "<|extra_200|>": 5 + count}


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
    "aya_vision": {"vision_config.num_attention_heads": 16},
    "blip-2": {"image_token_index": 50265},
    "chameleon": {"vocabulary_map": _image_words(8192)},
    "cohere_compass": {"text_config.rope_parameters": {"full_attention": _ROPE}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE}},
    "dbrx": {"attn_config.rope_theta": 500000.0, "attn_config.kv_n_heads": 8},
    "deepseek_ocr2": {
        "text_config.mlp_layer_types": ["dense"] + ["sparse"] * 31,
        "text_config.num_experts_per_tok": 6,
    },
    "deepseek_v2": {"num_experts_per_tok": 6},
    "diffusion_gemma": {
        "text_config.num_experts": 128,
        "text_config.top_k_experts": 8,
        "text_config.moe_intermediate_size": 704,
    },
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "emu3": {"vocabulary_map": _image_words(32768)},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "funnel": {"architectures": ["FunnelModel"]},
    "gemma3": {"vision_config.image_size": 896, "vision_config.patch_size": 14},
    "glm4v_moe": {"text_config.head_dim": 128},
    "glm4v_moe_text": {"head_dim": 128},
    "granite4_vision": {"deepstack_layer_map": [[-2, 0]], "downsample_rate": "4/8"},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "hunyuan_vl": {"text_config.head_dim": 128},
    "hunyuan_vl_text": {"head_dim": 128},
    "informer": _FORECAST,
    "instructblip": {"image_token_index": 50265},
    "instructblipvideo": {"video_token_index": 50265},
    "lfm2_moe": {"layer_types": (["conv", "conv", "full_attention"] + ["conv"] * 5) * 4},
    "ministral": {"head_dim": 128},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "nemotron": {"num_key_value_heads": 8},
    "perception_lm": {
        "vision_config.architecture": "vit_pe_core_large_patch14_336",
        "vision_config.model_args": {"embed_dim": 1024, "img_size": [448, 448], "global_pool": ""},
    },
    "pp_ocrv6_medium_det": {"intraclass_block_config": _intraclass()},
    "qwen4_exp": {f"text_config.{key}": value for key, value in _INDEXER.items()},
    "qwen4_exp_text": dict(_INDEXER),
    "t5gemma2_encoder": {"text_config.dropout_rate": 0.0},
    "time_series_transformer": _FORECAST,
    "timm_backbone": {"backbone": "resnet18"},
}
"""By type: settings by name, of nested configurations by path."""

_OUTPUT_WIDTHS = ("out_hidden_size", "projection_dim_to_text")


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
        rope = getattr(part, "rope_parameters", None)
        heads = getattr(part, "num_attention_heads", None)
        if "glm" not in getattr(part, "model_type", "") or not isinstance(rope, dict) or not heads:
            continue
        size = getattr(part, "head_dim", None) or part.hidden_size // heads
        sections = rope.get("mrope_section") or [8, 12, 12]  # the default of these types' code
        factor = 2 * sum(sections) / size
        wanted = "mrope_section" in rope or part.model_type.endswith("_text")
        if wanted and rope.get("partial_rotary_factor") != factor and factor <= 1:
            rope["partial_rotary_factor"] = factor
            changes.append(f"{part.model_type}: partial_rotary_factor set to {factor}")
    return changes
