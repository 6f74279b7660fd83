"""What the package's own image processors would hand a model: the sizes among their defaults."""

from __future__ import annotations

import functools
from typing import Any

_ATTRIBUTES = ("crop_size", "size", "pad_size", "max_image_size")


@functools.lru_cache(maxsize=64)
def processor_sizes(model_type: str) -> tuple[tuple[int, int], ...]:
    """Return the heights and widths that the image processor of a type of transformers names by default.

    Empty where the type has none, or where its code does not load (some need torchvision).
    """
    try:
        import transformers
        from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

        names = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type) or {}
        names = list(names.values()) if isinstance(names, dict) else [n for n in names if n]
    except ImportError:
        return ()
    for name in names:
        try:
            processor = getattr(transformers, name)
        except (AttributeError, ImportError, RuntimeError):
            continue
        found = [_sizes(getattr(processor, attribute, None)) for attribute in _ATTRIBUTES]
        return tuple(dict.fromkeys(size for sizes in found for size in sizes))
    return ()


def _sizes(value: Any) -> list[tuple[int, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        return [(value, value)]
    if hasattr(value, "height") and hasattr(value, "to_dict"):
        value = {
            key: getattr(value, key, None) for key in ("height", "width", "shortest_edge", "longest_edge")
        }
    if isinstance(value, list | tuple) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    if not isinstance(value, dict):
        return []
    h, w = value.get("height"), value.get("width")
    if isinstance(h, int) and isinstance(w, int):
        return [(h, w)]
    edges = [value.get("shortest_edge"), value.get("longest_edge")]
    # Some count pixels there, not edges.
    return [(n, n) for n in edges if isinstance(n, int) and n <= 4096]
