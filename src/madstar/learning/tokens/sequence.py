"""Tokens as a value: ids, and beside each what it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from madstar.errors import GraphError

from .vocabulary import SECTIONS, Vocabulary

KINDS = (
    "structure", "operation", "slot", "attribute", "pointer", "type", "weight", "call", "setting", "tie"
)  # fmt: skip
"""What a token is about; the same number, 8, is another thing in a shape and in an attribute."""
MAX_TOKENS = 50_000_000


@dataclass(frozen=True)
class Tokens:
    """A graph as one sequence.

    `ids` are of the vocabulary with this `fingerprint`, `kinds` number `KINDS`, one for each id.
    """

    ids: tuple[int, ...]
    kinds: tuple[int, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: Sequence[int], vocabulary: Vocabulary) -> Tokens:
        """Tokens from ids alone, such as a model's; their kinds are those of their sections.

        Raises GraphError for an id that the vocabulary does not have.
        """
        for place, token in enumerate(ids):
            if type(token) is not int or not 0 <= token < len(vocabulary):
                raise GraphError(f"token {place}: {token!r:.40} is not among {len(vocabulary):,} tokens")
        return cls(tuple(ids), (0,) * len(ids), vocabulary.fingerprint)

    def unknown(self, vocabulary: Vocabulary) -> dict[str, tuple[int, int]]:
        """By section how many words are unknown, and how many there are."""
        sections, first = vocabulary.sections, vocabulary.first
        total, missing = Counter[str](), Counter[str]()
        for token in self.ids:
            section = sections[token]
            if section in SECTIONS:
                total[section] += 1
                missing[section] += token == first[section]
        return {section: (missing[section], total[section]) for section in SECTIONS if total[section]}

    def text(self, vocabulary: Vocabulary) -> str:
        """The tokens in words, for people."""
        return " ".join(f"<{vocabulary.name(token)}>" for token in self.ids)
