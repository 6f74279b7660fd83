"""What tokens are made of, read one by one and trusted nowhere: words, numbers, sizes, types, attributes."""

from __future__ import annotations

from typing import NoReturn

from madstar.errors import GraphError
from madstar.graph.model import Attribute, Dim, Shape, Varying
from madstar.graph.sound_calls import MAX_ATTRIBUTE_NESTING

from .vocabulary import BITS, LEAST, STRUCTURE, Vocabulary

_SIGNS = frozenset(["+", "-", "*", "//", "[", "]"])
_LONGEST = 4000
"""Decimal digits of a number that is spelled."""


class Scanner:
    """Stands at a token; whatever is not what is wanted there raises GraphError with the token's number."""

    def __init__(self, ids: tuple[int, ...], vocabulary: Vocabulary) -> None:
        self.ids, self.vocabulary, self.place = ids, vocabulary, 0
        self.sections, self.first = vocabulary.sections, vocabulary.first

    def fail(self, wanted: str) -> NoReturn:
        """Raise GraphError: what was wanted here, and what is here."""
        found = "the end"
        if self.place < len(self.ids):
            token = self.ids[self.place]
            inside = type(token) is int and 0 <= token < len(self.sections)
            found = repr(self.vocabulary.name(token)) if inside else f"{token!r:.40}, which is no token"
        raise GraphError(f"token {self.place}: expected {wanted}, found {found:.80}")

    def section(self) -> str:
        """The section of the next token; "" at the end."""
        if self.place >= len(self.ids):
            return ""
        token = self.ids[self.place]
        if type(token) is not int or not 0 <= token < len(self.sections):
            self.fail("a token")
        return self.sections[token]

    def next_word(self) -> str:
        """The next token if it is one of structure; "" otherwise."""
        return STRUCTURE[self.ids[self.place]] if self.section() == "structure" else ""

    def accept(self, word: str) -> bool:
        """Pass this word of structure if it is next; else stay."""
        if self.next_word() != word:
            return False
        self.place += 1
        return True

    def want(self, word: str) -> None:
        """Pass this word of structure, which must be next."""
        if not self.accept(word):
            self.fail(f"{word!r}")

    def word(self, section: str, wanted: str) -> str:
        """A word of a section, known to the vocabulary or spelled in bytes."""
        if self.section() != section:
            self.fail(wanted)
        number = self.ids[self.place] - self.first[section]
        self.place += 1
        return self.vocabulary.words[section][number - 1] if number else self.spelled()

    def spelled(self) -> str:
        """The text of the bytes that follow."""
        begin, base = self.place, self.first["byte"]
        while self.section() == "byte":
            self.place += 1
        data = bytes(token - base for token in self.ids[begin : self.place])
        self.want("spelled")
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise GraphError(f"token {begin}: the bytes that follow spell no text") from None

    def number(self, wanted: str = "a number") -> int:
        """A whole number of any size."""
        section, at = self.section(), self.place
        if section == "integer":
            self.place += 1
            return self.ids[at] - self.first[section] + LEAST
        if section == "bits":
            self.place += 1
            place = self.ids[at] - self.first[section]
            bits = place % (2 * BITS) // 2
            size = (1 << bits) + (0 if place % 2 else self._digits(bits))
            return -size if place >= 2 * BITS else size
        if self.accept("long"):
            text = self.spelled()
            if len(text) > _LONGEST or not text.removeprefix("-").isdecimal() or not text.isascii():
                raise GraphError(f"token {at}: spells no whole number")
            return int(text)
        self.fail(wanted)

    def _digits(self, bits: int) -> int:
        found, count, last = 0, 0, False
        while not last:
            if self.section() != "digit" or 4 * count >= bits:
                self.fail("no more digits" if 4 * count >= bits else "a digit")
            digit, last = divmod(self.ids[self.place] - self.first["digit"], 2)  # type: ignore[assignment]
            self.place += 1
            found, count = 16 * found + digit, count + 1
        below = 4 * count - bits
        if below > 0 and found % (1 << below):
            self.place -= 1
            self.fail("a digit within the number")
        return found >> below if below > 0 else found << -below

    def count(self, least: int, most: int, wanted: str) -> int:
        """A whole number within bounds."""
        at = self.place
        found = self.number(wanted)
        if not least <= found <= most:
            raise GraphError(f"token {at}: {found} is no {wanted}; it is between {least} and {most:,}")
        return found

    def expression(self) -> str:
        """A size in symbols, such as "2*length"."""
        if self.section() == "symbol":
            return self.word("symbol", "a symbol")
        self.want("expression")
        parts: list[str] = []
        while not self.accept("spelled"):
            if (word := self.next_word()) in _SIGNS:
                self.place += 1
                parts.append({"[": "(", "]": ")"}.get(word, word))
            elif self.section() == "symbol":
                parts.append(self.word("symbol", "a symbol"))
            else:
                parts.append(str(self.count(0, 10**18, "number in a size")))
        return "".join(parts)

    def size(self) -> Dim:
        """A size: a number, or one in symbols."""
        section = self.section()
        if section == "word":
            return self.word("word", "a size")
        return self.expression() if section == "symbol" or self.next_word() == "expression" else self.number()

    def type(self) -> tuple[Shape, str]:
        """A shape and a dtype."""
        dtype = self.word("dtype", "a dtype")
        if self.section() != "rank":
            self.fail("a number of dimensions")
        rank = self.ids[self.place] - self.first["rank"]
        self.place += 1
        return tuple(self.size() for _ in range(rank)), dtype

    def attribute(self, names: int, depth: int = MAX_ATTRIBUTE_NESTING) -> Attribute:
        """The value of an attribute; `names` is how many the block leaves open."""
        section, word = self.section(), self.next_word()
        if word in ("none", "true", "false"):
            self.place += 1
            return {"none": None, "true": True, "false": False}[word]
        if word == "(":
            if not depth:
                self.fail(f"data nested at most {MAX_ATTRIBUTE_NESTING} deep")
            self.place += 1
            parts = []
            while not self.accept(")"):
                parts.append(self.attribute(names, depth - 1))
            return tuple(parts)
        if word == "varying":
            self.place += 1
            return Varying(f"o{self.count(0, names - 1, 'number of what the block leaves open')}")
        if section == "float":
            at, text = self.place, self.word("float", "a number")
            try:
                return float(text)
            except ValueError:
                raise GraphError(f"token {at}: {text!r:.40} is no number") from None
        if section == "word":
            return self.word("word", "a word")
        if section == "symbol" or word == "expression":
            return self.expression()
        return self.number("a value")
