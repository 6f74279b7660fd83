"""Images and videos: whole, in tiles, as flat patches with their grid; masks, prompts, boxes beside them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from madstar.zoo.inputs.documented import images_as_documented
from madstar.zoo.inputs.facts import Facts, Inputs, grid, whole
from madstar.zoo.inputs.processors import processor_sizes

_SIZES = (224, 256, 384, 448, 512, 640, 1024, 1536)


def images(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for one image per sample, with everything that forward takes beside it."""
    name = next((n for n in ("pixel_values", "image_pixel_values", "image") if facts.takes(n)), None)
    if facts.takes("flattened_patches"):
        yield from _flattened(facts, batch)
    if name is None:
        if facts.takes("hidden_states", "grid_thw"):
            yield from _patch_grids(facts, batch, "hidden_states", "grid_thw")
        return
    if facts.takes("image_grid_thw"):
        yield from _patch_grids(facts, batch, name, "image_grid_thw")
    if facts.takes("grid_thw"):
        yield from _patch_grids(facts, batch, name, "grid_thw")
    if facts.takes("spatial_shapes") or facts.takes("target_sizes") or facts.takes("pixel_position_ids"):
        yield from _loose_patches(facts, batch, name)
    if facts.takes("image_position_ids"):
        yield from _loose_patches(facts, batch, name)
    if facts.takes("image_token_pooling"):
        yield from _pooled_crops(facts, batch)
    if facts.takes("aspect_ratio_ids"):
        yield from _aspect_tiles(facts, batch)
    if facts.takes("image_attention_mask", "perceiver_embeddings"):
        shape = (batch, 1, _channels(facts), *_sizes(facts)[0])
        seen: Inputs = {"image_attention_mask": whole(batch, length, 1)}
        yield "an image that every word sees", seen | {name: facts.floats(*shape)}
    if facts.takes("pixel_values") and facts.find("temporal_patch_size", place="vision") is not None:
        times, patch = (facts.number(key, place="vision") for key in ("temporal_patch_size", "patch_size"))
        shape = (batch * 4, times, patch, patch, _channels(facts))
        yield "patches in time", {name: facts.floats(*shape)}
    moving = "video" in str(getattr(facts.config, "model_type", ""))
    frames = facts.number("num_frames", place="vision", default=4 if moving else 0)
    if frames > 1 and facts.takes("pixel_values") and not facts.takes("pixel_values_videos"):
        shape = (batch, frames, _channels(facts), *_sizes(facts)[0])
        yield f"{frames} frames", {name: facts.floats(*shape)}
    if facts.takes("action_embeds", "pixel_attention_mask"):
        shape = (batch, 1, _channels(facts), *_sizes(facts)[0])
        shown: Inputs = {"pixel_attention_mask": torch.ones(batch, 1, dtype=torch.bool)}
        yield "an image that is there", shown | {name: facts.floats(*shape)}
    told = images_as_documented(facts, batch, _channels(facts), _sizes(facts)[0])
    if told is not None:
        yield "as documented", told
    yield from _whole_images(facts, batch, name)


def _channels(facts: Facts) -> int:
    return facts.number(
        "num_channels", "in_channels", "in_chans", "num_input_channels", place="vision", default=3
    )


def _sizes(facts: Facts) -> list[tuple[int, int]]:
    """The image sizes to try: the configuration's, those of the package's image processor, usual ones."""
    arguments = facts.find("model_args", place="vision", default={})  # of a wrapped timm model
    if isinstance(arguments, dict) and arguments.get("img_size"):
        h, w = arguments["img_size"][-2:]
        return [(int(h), int(w))]
    counts = facts.find("projector_patch_to_query_dict", default={})  # of patches, as many as may be
    patch = facts.number("patch_size", place="vision", default=16)
    squares = [(patch * math.isqrt(n),) * 2 for n in map(int, counts) if math.isqrt(n) ** 2 == n]
    if squares:
        return squares[:2]
    own = facts.pair("image_size", "img_size", "input_size", "max_image_size", place="vision", default=224)
    usual = [(n, n) for n in _SIZES]
    read = processor_sizes(str(getattr(facts.config, "model_type", "")))
    return list(dict.fromkeys([own if min(own) > 0 else (224, 224), *read, *usual]))


def _whole_images(facts: Facts, batch: int, name: str) -> Iterator[tuple[str, Inputs]]:
    c = _channels(facts)
    sizes = _sizes(facts)
    (h, w) = sizes[0]
    yield from _with_companions(facts, batch, name, f"image {h}x{w}", (batch, c, h, w))
    if facts.takes("pixel_attention_mask") or facts.takes("image_sizes") or facts.takes("pixel_values_local"):
        for n in (2, 5, 3):
            yield from _with_companions(facts, batch, name, f"{n} tiles {h}x{w}", (batch, n, c, h, w))
        yield from _with_companions(facts, batch, name, "tiles 256x256", (batch, 2, c, 256, 256))
    for h, w in sizes[1:]:
        yield from _with_companions(facts, batch, name, f"image {h}x{w}", (batch, c, h, w))
    (h, w) = sizes[0]
    frames = facts.number("num_frames", "frames_per_clip", place="vision", default=8)
    for n in dict.fromkeys((1, 2, frames, 8, 16)):
        yield from _with_companions(facts, batch, name, f"{n} images {h}x{w}", (batch, n, c, h, w))
    yield from _with_companions(facts, batch, name, f"pair of images {480}x{640}", (batch, 2, 1, 480, 640))
    yield from _with_companions(facts, batch, name, f"images in a list {h}x{w}", (batch * 2, c, h, w))
    patch = facts.number("patch_size", place="vision", default=16)
    yield "flat patches", {name: facts.floats(batch, 16, c * patch * patch)}
    yield "patches of all images", {name: facts.floats(batch * 16, c * patch * patch)}
    for other in (1, 4, 12):
        yield f"image of {other} channels", {name: facts.floats(batch, other, h, w)}


def _with_companions(
    facts: Facts, batch: int, name: str, label: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, Inputs]]:
    """An image tensor alone or with the masks, sizes and pictures that must go with it."""
    h, w = shape[-2:]
    inputs: Inputs = {name: facts.floats(*shape)}
    lead = shape[:-3]
    if facts.takes("high_res_pixel_values"):
        big = facts.pair("image_size", place="vision", default=1024)
        for _, part in facts.parts:
            if "high_res" in _ or "sam" in _:
                size = getattr(part, "image_size", None)
                big = (size, size) if isinstance(size, int) else big
        inputs["high_res_pixel_values"] = facts.floats(shape[0], shape[-3], *big)
    if facts.takes("prompt_pixel_values"):
        tall = facts.pair("image_size", default=448)
        half = (tall[0] // 2, tall[1])
        for key in ("prompt_pixel_values", "prompt_masks"):
            inputs[key] = facts.floats(shape[0], shape[1], *half)
        inputs[name] = facts.floats(shape[0], shape[1], *half)
    if facts.takes("classes_structure"):
        for key, count in (("classes", 2 * batch), ("tasks", batch)):
            inputs |= {f"{key}_input_ids": whole(count, 8), f"{key}_attention_mask": whole(count, 8)}
        inputs["classes_structure"] = whole(batch, value=2)
    if facts.takes("width", "height"):
        inputs |= {"width": grid([[w]]), "height": grid([[h]])}
    required = [n for n, must in facts.arguments.items() if must]
    if "pixel_mask" in required:
        inputs["pixel_mask"] = whole(shape[0], h, w)
    if facts.takes("task_inputs"):
        inputs["task_inputs"] = whole(batch, facts.number("task_seq_len", default=77))
    if facts.takes("pixel_values_local"):
        yield (
            f"{label}, local views",
            inputs
            | {
                "pixel_values_local": facts.floats(batch, shape[-3], h, w),
                "num_local_patches": whole(batch),
            },
        )
    if facts.takes("image_sizes"):
        yield f"{label}, sizes", inputs | {"image_sizes": grid([[h, w]] * shape[0])}
    yield label, inputs
    if facts.takes("pixel_attention_mask"):
        yield f"{label}, mask", inputs | {"pixel_attention_mask": whole(*lead, h, w)}
    if facts.takes("image_attention_mask") and name == "image_pixel_values":
        side = facts.number("crop_size", "image_size", place="vision", default=448)
        patch = facts.number("patch_size", place="vision", default=14)
        yield f"{label}, mask", inputs | {"image_attention_mask": whole(*lead, side // patch, side // patch)}


def _patch_grids(
    facts: Facts, batch: int, name: str, grid_name: str, frames: int = 1
) -> Iterator[tuple[str, Inputs]]:
    """Patches of all images in one row, and each image's (time, height, width) in patches."""
    c = _channels(facts)
    patch = facts.number("patch_size", place="vision", default=14)
    times = facts.number("temporal_patch_size", place="vision", default=1)
    merge = facts.find("spatial_merge_size", "merge_size", "merge_kernel_size", place="vision", default=2)
    merge = merge[0] if isinstance(merge, list | tuple) else int(merge)
    side = 4 * merge
    rows = batch * frames * side * side
    width = facts.number("hidden_size", "embed_dim", "d_model", place="vision", default=768)
    for columns in (3, 2):
        shape_of = grid([[frames, side, side][-columns:]] * batch)
        inputs: Inputs = {grid_name: shape_of}
        if facts.takes("merge_sizes"):
            inputs["merge_sizes"] = whole(batch, value=merge)
        if facts.takes("image_merge_sizes"):
            inputs["image_merge_sizes"] = whole(batch, value=merge)
        if facts.takes("images_per_sample"):
            inputs["images_per_sample"] = whole(batch)
        shapes = (
            (rows, c * times * patch * patch),
            (rows, c * patch * patch),
            (rows, c, patch, patch),
            (1, rows, c * patch * patch),
            (1, rows, c, patch, patch),
            (rows, c, times, patch, patch),
            (rows, times, c, patch, patch),
            (rows // merge**2, merge * patch, merge * patch, c),
            (rows, merge * patch, merge * patch, c),
            (rows, width),
            (batch, frames * side * side, c * patch * patch),
        )
        for shape in dict.fromkeys(shapes):
            yield f"{rows // batch} patches {list(shape)}", inputs | {name: facts.floats(*shape)}


def _loose_patches(facts: Facts, batch: int, name: str) -> Iterator[tuple[str, Inputs]]:
    """Patches of each image in a row of their own, with positions or a shape and a mask."""
    c = _channels(facts)
    patch = facts.number("patch_size", place="vision", default=16)
    for side in (16, 12, 8, 32):
        n = side * side
        flat: Inputs = {name: facts.floats(batch, n, c * patch * patch)}
        if facts.takes("pixel_attention_mask"):
            flat["pixel_attention_mask"] = whole(batch, n)
        if facts.takes("spatial_shapes"):
            yield f"{n} flat patches", flat | {"spatial_shapes": grid([[side, side]] * batch)}
        if facts.takes("target_sizes"):
            sizes = {"target_sizes": grid([[side, side]] * batch)}
            yield f"{n} patches in a row", sizes | {name: facts.floats(1, c, patch, n * patch * batch)}
            yield f"{n} patches by image", sizes | {name: facts.floats(batch, c, patch, n * patch)}
        places = torch.stack(
            torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"), dim=-1
        ).reshape(1, n, 2)
        for key in ("pixel_position_ids", "image_position_ids"):
            if facts.takes(key):
                yield f"{n} placed patches", flat | {key: places.expand(batch, n, 2).clone()}


def _pooled_crops(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    """Crops as flat patches, and which four neighbours of all patches each image token pools."""
    c = _channels(facts)
    patch = facts.number("patch_size", "image_patch_size", place="vision", default=14)
    size = facts.pair("image_size", "image_default_input_size", place="vision", default=378)
    side = size[0] // patch
    n, half = side * side, (side + 1) // 2
    places = torch.full((2 * half, 2 * half), -1)  # beyond an odd edge stands no patch
    places[:side, :side] = torch.arange(n).reshape(side, side)
    four = places.reshape(half, 2, half, 2).transpose(1, 2).reshape(half * half, 4)
    pooling = torch.cat([torch.where(four < 0, -1, four + image * n) for image in range(batch)])
    yield (
        "pooled crops",
        {
            "pixel_values": facts.floats(batch, 1, n, c * patch * patch),
            "image_token_pooling": pooling,
            "image_grids": grid([[half, half, 0, 0]] * batch),
            "image_num_crops": whole(batch),
        },
    )


def _aspect_tiles(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    """One image in as many tiles as an aspect ratio has."""
    c = _channels(facts)
    h, w = _sizes(facts)[0]
    tiles = facts.number("max_num_tiles", place="vision", default=4)
    yield (
        "tiles by aspect ratio",
        {
            "pixel_values": facts.floats(batch, 1, tiles, c, h, w),
            "aspect_ratio_ids": whole(batch, 1),
            "aspect_ratio_mask": whole(batch, 1, tiles),
        },
    )


def _flattened(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    """Patches with their row and column in front."""
    patch = facts.number("patch_size", place="vision", default=16)
    width = facts.number("patch_embed_hidden_size", place="vision", default=patch * patch * 3)
    for n in dict.fromkeys((patch * patch * 3, width)):
        inputs: Inputs = {"flattened_patches": facts.floats(batch, 64, n + 2)}
        if facts.takes("width", "height"):
            inputs |= {"width": whole(batch, value=8), "height": whole(batch, value=8)}
        yield "patches with places", inputs


def videos(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for one video per sample."""
    name = "pixel_values_videos"
    if not facts.takes(name):
        return
    c = _channels(facts)
    if facts.takes("video_grid_thw"):
        merged = facts.number("temporal_merge_size", place="vision", default=1)
        for label, inputs in _patch_grids(facts, batch, name, "video_grid_thw", merged):
            if "image_merge_sizes" in inputs:
                merge = inputs.pop("image_merge_sizes")
                inputs |= {"video_merge_sizes": merge}
                rows = int(inputs["video_grid_thw"].prod(-1).sum()) // int(merge[0]) ** 2
                inputs["video_compression_mask"] = torch.ones(rows, dtype=torch.bool)
            if facts.takes("second_per_grid_ts"):
                inputs["second_per_grid_ts"] = torch.ones(batch)
            yield label, inputs
    if facts.takes("target_sizes_videos"):
        patch = facts.number("patch_size", place="vision", default=16)
        yield (
            "frames in a row",
            {
                name: facts.floats(1, c, patch, 256 * patch * batch),
                "target_sizes_videos": grid([[16, 16]] * batch),
            },
        )
    if facts.takes("video_token_pooling"):
        for label, inputs in _pooled_crops(facts, batch):
            yield (
                label,
                {
                    name: inputs["pixel_values"],
                    "video_token_pooling": inputs["image_token_pooling"],
                    "video_grids": grid([[1, *inputs["image_grids"][0, :2].tolist()]] * batch),
                },
            )
    if facts.takes("video_position_ids"):
        for label, inputs in _loose_patches(facts, batch, name):
            places = inputs.pop("image_position_ids", None)
            if places is not None:
                yield (
                    label,
                    {
                        name: inputs[name][:, None],
                        "video_position_ids": places[:, None],
                    },
                )
    frames = facts.number("num_frames", "frames_per_clip", place="vision", default=8)
    own = facts.pair("image_size", "crop_size", "img_size", place="vision", default=224)
    for n, (h, w) in itertools.product(dict.fromkeys((frames, 8, 16)), dict.fromkeys((own, (336, 336)))):
        inputs = {name: facts.floats(batch, n, c, h, w)}
        if facts.takes("image_sizes_videos"):
            inputs["image_sizes_videos"] = grid([[h, w]] * batch)
        yield f"{n} frames {h}x{w}", inputs
        if facts.takes("padding_mask_videos"):
            yield f"{n} frames {h}x{w}, mask", inputs | {"padding_mask_videos": whole(batch, n)}


def beside_images(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    """Arguments that reach weights which an image alone leaves out; each is tried on its own."""
    h, w = _sizes(facts)[0]
    patch = facts.number("patch_size", place="vision", default=16) or 16
    if facts.takes("bool_masked_pos"):
        n = (h // patch) * (w // patch)
        for count in dict.fromkeys((n, 2 * n)):
            yield "masked patches", {"bool_masked_pos": torch.ones(batch, count, dtype=torch.bool)}
    if facts.takes("pixel_mask"):
        yield "pixel mask", {"pixel_mask": whole(batch, h, w)}
    if facts.takes("input_points"):
        points: Inputs = {"input_points": facts.floats(batch, 1, 1, 2), "input_labels": whole(batch, 1, 1)}
        yield "points", points
        yield "points, boxes", points | {"input_boxes": facts.floats(batch, 1, 4)}
        side = (h // patch) * 4
        masks: Inputs = {"input_masks": facts.floats(batch, 1, side, side)}
        yield "points, masks", points | masks
        yield "points, boxes, masks", points | masks | {"input_boxes": facts.floats(batch, 1, 4)}
    if facts.takes("input_boxes") and not facts.takes("input_points"):
        boxes: Inputs = {"input_boxes": facts.floats(batch, 1, 4)}
        if facts.takes("input_boxes_labels"):
            boxes["input_boxes_labels"] = whole(batch, 1)
        yield "boxes", boxes
    if facts.takes("tile_fine_mask"):
        yield "fine tiles", {"tile_fine_mask": torch.ones(batch, dtype=torch.bool)}
    if facts.takes("fine"):
        yield "fine", {"fine": True}
    if facts.takes("downsample_mode"):
        for mode in ("16x", "4x"):
            yield f"downsampled {mode}", {"downsample_mode": mode}
    if facts.takes("text_inputs"):
        yield "queries as text", {"text_inputs": whole(batch, 134, 77)}
    if facts.takes("conditional_pixel_values"):
        yield "an image to find", {"conditional_pixel_values": facts.floats(batch, _channels(facts), h, w)}
