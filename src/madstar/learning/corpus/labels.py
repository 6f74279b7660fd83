"""What a model is for, as its inputs, its blocks and its wiring say: domain and role.

Domain: text, vision, audio, video, series (of numbers in time) or multimodal. Role: encoder, decoder or
encoder-decoder. Where nothing says it, the label is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import GraphError
from ...graph.dims import symbols
from ...graph.model import Graph

DOMAINS = ("text", "vision", "audio", "video", "series", "multimodal")
ROLES = ("encoder", "decoder", "encoder-decoder")

_BY_NAME = (
    ("video", r"videos?$|frames"),
    ("vision", r"pixel|image|patches"),
    ("audio", r"audio|speech|input_features|waveform|spectrogram|mel|input_values"),
    ("series", r"past_values|time_features|series"),
    ("text", r"input_ids|tokens"),
)
_OF_THE_MUSEUM = {"image": "vision", "session": "video"}


def domain(graph: Graph, facts: Mapping[str, Any]) -> str:
    """The domain, of what the museum says of the inputs, else of their names.

    What a decoder of text is begun with does not make a model of sounds multimodal.
    """
    if str(facts.get("address", "")).startswith("timm:"):
        return "vision"
    said = str(facts.get("inputs") or "")
    parts = re.findall(r"(?:^|; )(\w+): ([^;]*)", said)
    found = {_OF_THE_MUSEUM.get(kind, kind) for kind, what in parts if (kind, what) != ("text", "decoder")}
    found &= set(DOMAINS)
    if not found:
        by_name = (
            next((kind for kind, pattern in _BY_NAME if re.search(pattern, name)), "")
            for name in graph.input_names
            if not name.startswith("decoder_")
        )
        found = {kind for kind in by_name if kind}
    if "video" in found:
        found.discard("vision")
    return "multimodal" if len(found) > 1 else next(iter(found), "")


def role(graph: Graph) -> str:
    """Encoder, decoder or both.

    What is causal along its length is a decoder. Where that is not decided, and in models without a length,
    the classes of the blocks say whether there is a decoder.
    """
    if any(name.startswith("decoder_") for name in graph.input_names):
        return "encoder-decoder"
    kinds = [definition.kind.lower() for definition in graph.definitions.values()]
    decodes = any("decoder" in kind for kind in kinds)
    encodes = any("encoder" in kind for kind in kinds)
    if any("length" in symbols(size) for value in graph.main.inputs for size in value.shape):
        verdict = _verdict(graph)
        if verdict == "causal":
            return "decoder"
        if verdict == "undecided":
            return "decoder" if decodes and not encodes else ""
    if encodes and decodes:
        return "encoder-decoder"
    return "decoder" if decodes else "encoder"


def _verdict(graph: Graph) -> str:
    from ...graph.checking import check

    try:
        found = check(graph, causal=True).causality
    except GraphError:
        return "undecided"
    return "undecided" if found is None else found.verdict
