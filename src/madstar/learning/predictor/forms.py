"""The form of a block: what it computes from what, whatever its sizes and names."""

from __future__ import annotations

import json
from hashlib import blake2b

from ...graph.model import Attribute, Call, Graph, Item, Node
from ...graph.soundness import ordered_definitions
from ...graph.wiring import given, sources

_DIGITS = 12


def block_forms(graph: Graph) -> dict[str, str]:
    """The form of each definition by name, in 12 hexadecimal digits (48 bits).

    Two blocks have one form where they hold equally many of each operation, or of each form of block, that
    take what the same kinds of items give. Sizes, numbers among attributes, runs' lengths, names and the
    order of listing do not count; words and switches among attributes do ("gelu" of which kind, causal or
    not).
    """
    forms: dict[str, str] = {}
    for name in ordered_definitions(graph):
        definition = graph.definitions[name]
        labels: dict[str, str] = {f"%{value.name}": "input" for value in definition.inputs}
        labels |= {f"@{parameter.path}": "weight" for parameter in definition.parameters}
        lines = []
        for item in definition.items:
            label = _label(item, forms)
            lines.append([label, [labels.get(source, "") for source in sources(item)]])
            labels |= {f"%{value.name}": label for value in given(item)}
        text = json.dumps(sorted(lines))
        forms[name] = blake2b(text.encode(), digest_size=_DIGITS // 2).hexdigest()
    return forms


def _label(item: Item, forms: dict[str, str]) -> str:
    if isinstance(item, Call):
        return f"block {forms[item.definition]}"
    return " ".join([item.op, *_words(item)])


def _words(node: Node) -> list[str]:
    return [f"{slot}={value}" for slot, value in node.attributes if _is_word(value)]


def _is_word(value: Attribute) -> bool:
    return isinstance(value, bool | str) and len(str(value)) < 30
