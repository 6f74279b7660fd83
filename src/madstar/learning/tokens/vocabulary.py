"""The vocabulary of tokens: what is fixed (structure, numbers, bytes) and words learned from graphs.

Learned words stand in sections: operations, argument slots, names of attributes, texts and numbers with a
fraction among attributes, symbols of sizes, dtypes. Each section has a token of its own for what it does not
know, behind which the word is spelled in bytes; so every graph has tokens, whatever graphs the words are of.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from madstar.errors import GraphError
from madstar.graph.model import Attribute, Definition, Graph, Node
from madstar.graph.varying import attributes_of
from madstar.graph.wiring import given
from madstar.whole_files import write_whole

SCHEMA = "madstar.vocabulary/1"
SECTIONS = ("op", "slot", "attribute", "word", "float", "symbol", "dtype")
"""What is learned from graphs."""

STRUCTURE = (
    "begin", "end", "size", "definition", "open", "input", "call", "new", "hold", "old", "unused", "output",
    "done", "tie", "step", "list", "inferred", "stated", "weight", "buffer", "known", "from", "back", "none",
    "true", "false", "(", ")", "varying", "expression", "+", "-", "*", "//", "[", "]", "own", "settings",
    "range", "same", "each", "gathered", "carried", "long", "spelled",
)  # fmt: skip
LEAST, MOST = -16, 64
"""Whole numbers that are one token."""
BITS = 63
"""Whole numbers of more bits are spelled."""
DIGITS = 16
RANKS = 65
MAX_BYTES = 64 * 1024 * 1024
MAX_WORDS = 1_000_000
_EXPRESSION = re.compile(r"[^\W\d]\w*|[0-9]+|//|[-+*()]")


@dataclass(frozen=True)
class Vocabulary:
    """Words by section, each section sorted by how often a word was seen.

    Ids count through the fixed sections (structure, integer, bits, digit, rank, byte) and then the learned
    ones, each of which begins with its unknown.
    """

    words: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, graphs: Iterable[Graph], least: int = 2) -> Vocabulary:
        """The words that stand at least `least` times in these graphs."""
        counts: dict[str, Counter[str]] = {section: Counter() for section in SECTIONS}
        for graph in graphs:
            for section, word in _words(graph):
                counts[section][word] += 1
        ordered = {
            section: sorted((w for w, n in found.items() if n >= least), key=lambda w, f=found: (-f[w], w))  # type: ignore[misc]
            for section, found in counts.items()
        }
        return cls({section: tuple(words) for section, words in ordered.items()})

    def __len__(self) -> int:
        return self._ends[-1]

    @cached_property
    def _sections(self) -> list[tuple[str, int]]:
        fixed = [("structure", len(STRUCTURE)), ("integer", MOST - LEAST + 1), ("bits", 4 * BITS)]
        fixed += [("digit", 2 * DIGITS), ("rank", RANKS), ("byte", 256)]
        return fixed + [(section, 1 + len(self.words[section])) for section in SECTIONS]

    @cached_property
    def _ends(self) -> list[int]:
        ends, total = [], 0
        for _, size in self._sections:
            total += size
            ends.append(total)
        return ends

    @cached_property
    def first(self) -> dict[str, int]:
        """The first id of each section; of a learned one its unknown."""
        return {name: end - size for (name, size), end in zip(self._sections, self._ends, strict=True)}

    @cached_property
    def sections(self) -> list[str]:
        """The section of each id."""
        return [name for name, size in self._sections for _ in range(size)]

    @cached_property
    def ids(self) -> dict[tuple[str, str], int]:
        """The id of each learned word, and of each word of the structure, by section."""
        found = {("structure", word): number for number, word in enumerate(STRUCTURE)}
        for section in SECTIONS:
            base = self.first[section] + 1
            found |= {(section, word): base + i for i, word in enumerate(self.words[section])}
        return found

    def name(self, token: int) -> str:
        """An id in words, for people: "op linear", "bits +9 exactly", "byte 65"."""
        section = self.sections[token]
        place = token - self.first[section]
        if section in SECTIONS:
            return f"{section} {self.words[section][place - 1]}" if place else f"unknown {section}"
        if section == "structure":
            return STRUCTURE[place]
        if section == "integer":
            return f"{place + LEAST}"
        if section == "bits":
            sign, bits, exact = "+-"[place // (2 * BITS)], place % (2 * BITS) // 2, place % 2
            return f"bits {sign}{bits}{' exactly' if exact else ''}"
        if section == "digit":
            return f"digit {place // 2:x}{' last' if place % 2 else ''}"
        return f"{section} {place}"

    @cached_property
    def fingerprint(self) -> str:
        """Text that is the same for equal vocabularies."""
        return blake2b(self._text().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def _text(self) -> str:
        document: dict[str, Any] = {"schema": SCHEMA} | {name: list(self.words[name]) for name in SECTIONS}
        return json.dumps(document, indent=0)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all. Raises OutputError."""
        write_whole(Path(path), (self._text() + "\n").encode("ascii"))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read one. Raises GraphError in one line for any other file, and for one of another version."""
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise GraphError(f"cannot read {path}: {error.strerror or error}") from None
        if len(data) > MAX_BYTES:
            raise GraphError(f"{path}: larger than {MAX_BYTES >> 20} MiB; no vocabulary is that large")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise GraphError(f"{path}: no vocabulary: not a JSON document; is the file cut off?") from None
        return cls.of_document(document, str(path))

    @classmethod
    def of_document(cls, document: Any, source: str = "vocabulary") -> Vocabulary:
        """One from parsed JSON; `source` names it in errors. Raises GraphError."""
        if not isinstance(document, dict):
            raise GraphError(f"{source}: no vocabulary: the document is not an object")
        schema = document.get("schema")
        if schema != SCHEMA:
            family, _, version = str(schema).rpartition("/")
            ours = SCHEMA.rpartition("/")
            newer = family == ours[0] and version.isdecimal() and int(version[:9]) > int(ours[2])
            advice = "it is newer: update madstar" if newer else "build it anew with Vocabulary.of(graphs)"
            raise GraphError(f"{source}: vocabulary {schema!r:.60}, this madstar reads {SCHEMA!r}; {advice}")
        if odd := set(document) - {"schema", *SECTIONS}:
            raise GraphError(f"{source}: unknown section {sorted(odd)[0]!r:.60}")
        words: dict[str, tuple[str, ...]] = {}
        for section in SECTIONS:
            found = document.get(section)
            if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
                raise GraphError(f"{source}: section {section!r} must be a list of words")
            if len(set(found)) < len(found) or len(found) > MAX_WORDS:
                raise GraphError(f"{source}: section {section!r} must have each word once, at most a million")
            words[section] = tuple(found)
        return cls(words)


def parts_of(text: str) -> list[str] | None:
    """A size as the symbols, numbers and signs that it is written with; None for other text."""
    parts = _EXPRESSION.findall(text)
    joined = "".join(parts) == text and any(part.isidentifier() for part in parts)
    numbers = [part for part in parts if part[0] in "0123456789"]
    return parts if joined and all(len(n) < 18 and (n[0] != "0" or n == "0") for n in numbers) else None


def is_expression(text: str, symbols: Iterable[str]) -> bool:
    """Whether a text among attributes is a size of the graph's symbols, which decides how it is spelled."""
    parts = parts_of(text)
    return parts is not None and all(part in symbols for part in parts if part.isidentifier())


def slot_parts(slot: str) -> tuple[str, int | None]:
    """A slot of a list, "tensors.3", in two; another slot as it is."""
    base, _, number = slot.rpartition(".")
    if base and number.isdecimal() and number.isascii() and len(number) < 10 and str(int(number)) == number:
        return base, int(number)
    return slot, None


def _words(graph: Graph) -> Iterator[tuple[str, str]]:
    symbols = set(graph.symbols)
    for symbol in graph.symbols:
        yield "symbol", symbol
    for definition in graph.definitions.values():
        yield from _of_types(definition)
        for item in definition.items:
            for value in attributes_of(item):
                yield from _of_attribute(value, symbols)
            if isinstance(item, Node):
                yield "op", item.op
                for argument in item.arguments:
                    yield "slot", slot_parts(argument.slot)[0]
                for name, _ in item.attributes:
                    yield "attribute", name


def _of_types(definition: Definition) -> Iterator[tuple[str, str]]:
    for parameter in definition.parameters:
        yield "dtype", parameter.dtype
    for value in (*definition.inputs, *(v for item in definition.items for v in given(item))):
        yield "dtype", value.dtype
        for dim in value.shape:
            if isinstance(dim, str):
                yield from (("symbol", part) for part in parts_of(dim) or () if part.isidentifier())


def _of_attribute(value: Attribute, symbols: set[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, tuple):
        for part in value:
            yield from _of_attribute(part, symbols)
    elif isinstance(value, float):
        yield "float", repr(value)
    elif isinstance(value, str):
        if is_expression(value, symbols):
            yield from (("symbol", part) for part in parts_of(value) or () if part.isidentifier())
        else:
            yield "word", value
