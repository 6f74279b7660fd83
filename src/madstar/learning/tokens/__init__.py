"""Graphs as sequences of tokens, and back without loss: see docs/tokens.md."""

from .reading import detokenize
from .sequence import KINDS, Tokens
from .vocabulary import SCHEMA, SECTIONS, Vocabulary
from .writing import tokenize

__all__ = ["KINDS", "SCHEMA", "SECTIONS", "Tokens", "Vocabulary", "detokenize", "tokenize"]
