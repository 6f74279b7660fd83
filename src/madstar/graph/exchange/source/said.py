"""A node with what its tensors and attributes are called in the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...model import Attribute, Node, Value
from .texts import Words


@dataclass
class Said:
    """A node with what its tensors and attributes are called."""

    node: Node
    tensors: Mapping[str, str]
    words: Words
    types: Mapping[str, Value]
    device: str
    training: str
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def say(self, slot: str) -> str:
        """An argument, a tensor or a number, by its slot."""
        if slot in self.tensors:
            return self.tensors[slot]
        return self.words.say(slot, self.attributes[slot])

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots of the tensors, in order."""
        return tuple(self.tensors)


def bracketed(text: str, sign: str = "**") -> str:
    """The text as an operand of the sign: in brackets, unless it is a name, a number or a call."""
    plain = text.replace("_", "").replace(".", "").replace("e-", "e")
    if plain.isalnum() and not (sign == "." and text[0].isdigit()):
        return text
    closed = text.endswith((")", "]")) and text[0].isalpha() and " " not in text.split("(")[0].split("[")[0]
    return text if closed else f"({text})"


def owner(text: str) -> str:
    """The text as what a method is called on."""
    return bracketed(text, ".")
