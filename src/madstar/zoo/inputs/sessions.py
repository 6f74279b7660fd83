"""Videos that are followed frame by frame: an object holds the frames, what was pointed at, and memories.

Such a forward takes the object and the number of a frame. What it remembers of earlier frames it has made
itself: the session that is handed over comes from the model's own runs on these. On the frame in question one
object is corrected, which asks for memories; one is given by a mask and one by points, which do not.
"""

from __future__ import annotations

import copy
import inspect
import typing
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from madstar.zoo.inputs.facts import Facts, Inputs
from madstar.zoo.inputs.trial import attempt

_FRAMES = 3
_FOLLOWED: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()
"""What each model made of the frames; runs on it are what takes time."""


def sessions(facts: Facts) -> Iterator[tuple[str, Inputs]]:
    """Candidates for a model that follows objects through a video: with a mask, and with points alone."""
    kind = _session_class(facts)
    if kind is None or not facts.takes("frame_idx"):
        return
    again = _FRAMES - 2  # of the last frame the image's features are still there
    for outlined in (True, False):
        session = copy.deepcopy(_followed(facts, kind))
        _point_at(facts, session, 1, again)
        _point_at(facts, session, 2, again)
        if outlined:
            _outline(facts, session, 3, again)
        label = f"{2 + outlined} objects on frame {again} of a video"
        yield label, {"inference_session": session, "frame_idx": again}


def _followed(facts: Facts, kind: Any) -> Any:
    """A session in which one object was pointed at on the first frame and followed on the others."""
    if facts.module not in _FOLLOWED:
        session = _opened(facts, kind)
        _point_at(facts, session, 1, 0)
        for frame in range(_FRAMES):
            attempt(facts.module, {"inference_session": session, "frame_idx": frame})
        _FOLLOWED[facts.module] = session
    return _FOLLOWED[facts.module]


def _session_class(facts: Facts) -> Any:
    """The class of forward's session, by its annotation, if it is followed object by object."""
    if not facts.takes("inference_session"):
        return None
    forward = inspect.unwrap(type(facts.module).forward)
    told = forward.__annotations__.get("inference_session")
    if isinstance(told, str):
        told = getattr(inspect.getmodule(forward), told, None)
    told = next((part for part in typing.get_args(told) if isinstance(part, type)), told)
    return told if hasattr(told, "add_point_inputs") and hasattr(told, "add_mask_inputs") else None


def _opened(facts: Facts, kind: Any) -> Any:
    size = facts.number("image_size", default=1024)
    where = "cpu" if facts.real else "meta"
    return kind(
        video=facts.floats(_FRAMES, 3, size, size),
        video_height=size,
        video_width=size,
        inference_device=where,
        inference_state_device=where,
        video_storage_device=where,
        dtype=facts.dtype,
    )


def _point_at(facts: Facts, session: Any, name: int, frame: int) -> None:
    """A point on an object and one beside it."""
    labels = torch.tensor([[[1, 0]]], dtype=torch.int32)
    points = {"point_coords": facts.floats(1, 1, 2, 2), "point_labels": labels}
    session.point_inputs_per_obj[session.obj_id_to_idx(name)][frame] = points
    session.obj_with_new_inputs.append(name)


def _outline(facts: Facts, session: Any, name: int, frame: int) -> None:
    mask = facts.floats(1, 1, session.video_height, session.video_width)
    session.mask_inputs_per_obj[session.obj_id_to_idx(name)][frame] = mask
    session.obj_with_new_inputs.append(name)
