"""Patterns of paths: "layers[-2:].*.q_proj", "blocks[*].**", matched against a tree of paths.

A pattern is segments joined by dots. In a segment `*` stands for any characters and `?` for one; `*` alone is
any one segment, `**` any number of segments, also none. `name[3]`, `name[-1]`, `name[-2:]`, `name[::2]`,
`name[*]` are numbered children of `name`, by their position in order of number. The first segment `blocks`
means the model's main stack, whatever its name, unless a path has that name itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from ...errors import EditError

MAX_PATTERN = 1000
BLOCKS = "blocks"
"""The first segment that means the main stack."""

_SEGMENT = re.compile(r"([^\[\]]*)((?:\[[^\[\]]*\])*)")
_MOST_COMPARED = 4000


@dataclass(eq=False)
class Branch:
    """A path in the tree of paths, with what stands there."""

    path: str
    children: dict[str, Branch] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)

    def at(self, path: str) -> Branch:
        """The branch of a path below this one, made where there is none."""
        branch = self
        for segment in path.split(".") if path else ():
            below = branch.children.get(segment)
            if below is None:
                below = Branch(f"{branch.path}.{segment}" if branch.path else segment)
                branch.children[segment] = below
            branch = below
        return branch

    def numbered(self) -> list[str]:
        """Children whose name is a number, in order of the number."""
        return sorted((name for name in self.children if name.isdecimal()), key=int)

    def all(self) -> Iterator[Branch]:
        """This branch and all below, each before those below it."""
        stack = [self]
        while stack:
            branch = stack.pop()
            yield branch
            stack += reversed(branch.children.values())


_ANY = "**"
_Token = str | re.Pattern[str] | slice | int
"""`_ANY`, a name, a form of names, or which of the numbered children."""


@lru_cache(4096)
def parse(pattern: str) -> tuple[_Token, ...]:
    """The tokens of a pattern of paths; none for the empty pattern, which is the whole. Raises EditError."""
    if len(pattern) > MAX_PATTERN:
        raise EditError(f"the pattern {pattern[:40]!r}... has more than {MAX_PATTERN} characters")
    tokens: list[_Token] = []
    for segment in _segments(pattern):
        match = _SEGMENT.fullmatch(segment)
        if match is None or not segment:
            raise EditError(
                f"pattern {pattern!r}: the segment {segment!r} cannot be read; write name, *, **, name[-1]"
            )
        name, brackets = match.groups()
        if name == _ANY:
            if tokens[-1:] != [_ANY]:
                tokens.append(_ANY)
        elif name:
            tokens.append(_form(name))
        tokens += [_which(each, pattern) for each in re.findall(r"\[([^\[\]]*)\]", brackets)]
    return tuple(tokens)


def _segments(pattern: str) -> Iterator[str]:
    return iter(pattern.split(".")) if pattern else iter(())


@lru_cache(4096)
def form(text: str) -> re.Pattern[str]:
    """The regular expression of a text with `*` and `?`."""
    return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in text), re.DOTALL)


def _form(name: str) -> _Token:
    return form(name) if "*" in name or "?" in name else name


def _which(text: str, pattern: str) -> slice | int:
    if text == "*":
        return slice(None)
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or any(not re.fullmatch(r"-?\d{1,9}|", part) for part in parts) or not text:
        raise EditError(f"pattern {pattern!r}: [{text}] is no position; write [3], [-1], [-2:], [::2] or [*]")
    numbers = [int(part) if part else None for part in parts]
    if len(parts) == 1:
        return numbers[0] or 0
    if numbers[2:] == [0]:
        raise EditError(f"pattern {pattern!r}: [{text}] takes steps of 0; write another step")
    return slice(*numbers)


def chosen(numbered: Sequence[str], which: slice | int) -> Sequence[str]:
    """Those of the numbered children that a position means; none for a position beyond them."""
    if isinstance(which, slice):
        return numbered[which]
    return numbered[which : which + 1 or None] if -len(numbered) <= which < len(numbered) else ()


def matched(root: Branch, pattern: str, stack: str | None = None) -> Iterator[Branch]:
    """The branches whose path fits, in the order of the tree. `stack` is the path of the main stack."""
    tokens = anchored(root, parse(pattern), stack)
    todo: list[tuple[Branch, frozenset[int]]] = [(root, _closed(frozenset((0,)), tokens))]
    while todo:
        branch, places = todo.pop()
        if len(tokens) in places:
            yield branch
        positions = {
            place: frozenset(chosen(branch.numbered(), token))
            for place in places
            if place < len(tokens) and isinstance(token := tokens[place], (slice, int))
        }
        below = []
        for name, child in branch.children.items():
            reached = {
                place if tokens[place] is _ANY else place + 1
                for place in places
                if place < len(tokens) and _fits(tokens[place], name, positions.get(place))
            }
            if reached:
                below.append((child, _closed(frozenset(reached), tokens)))
        todo += reversed(below)


def anchored(root: Branch, tokens: tuple[_Token, ...], stack: str | None) -> tuple[_Token, ...]:
    """The tokens with `blocks` as what it means in this tree."""
    if tokens[:1] != (BLOCKS,):
        return tokens
    named = (branch.children[BLOCKS] for branch in root.all() if BLOCKS in branch.children)
    if stack is None or any(_is_stack(branch) for branch in named):
        return (_ANY, *tokens)
    return (*stack.split("."), *tokens[1:])


def _is_stack(branch: Branch) -> bool:
    """Whether a branch holds modules, and not numbered lists of them alone."""
    numbered = [branch.children[name] for name in branch.numbered()]
    return not numbered or any(each.held or set(each.children) - set(each.numbered()) for each in numbered)


def _fits(token: _Token, name: str, numbers: frozenset[str] | None) -> bool:
    if isinstance(token, str):
        return token is _ANY or token == name
    if isinstance(token, re.Pattern):
        return token.fullmatch(name) is not None
    return numbers is not None and name in numbers


def _closed(places: frozenset[int], tokens: tuple[_Token, ...]) -> frozenset[int]:
    """The places with those behind a `**` that stands for nothing."""
    after = {place + 1 for place in places if place < len(tokens) and tokens[place] is _ANY}
    return places | after


def nearest(pattern: str, paths: Iterable[str]) -> str:
    """Words that name the paths most like a pattern: "; nearest: layers.0.mlp, layers.1.mlp"."""
    plain = re.sub(r"\[(\d+)\]", r".\1", pattern)
    plain = re.sub(r"\[[^\]]*\]", ".0", plain).replace("**.", "").replace("**", "")
    known = list(dict.fromkeys(paths))
    if len(known) > _MOST_COMPARED:
        known = known[:: len(known) // _MOST_COMPARED + 1]
    last = plain.rpartition(".")[2]
    ends = [path for path in known if last and path.rpartition(".")[2] == last]
    near = ends[:3] or get_close_matches(plain, known, n=3, cutoff=0.3) or known[:3]
    return f"; nearest: {', '.join(near)}" if near else ""
