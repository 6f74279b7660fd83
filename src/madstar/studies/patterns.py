"""Which patterns a genome holds: runs of classes, sharing, places, counts.

These are the kinds in which STAR describes what emerged (arXiv 2411.17800, section 5: gated short
convolutions, differential ones in pairs tied by featurizer sharing, early Toeplitz LIVs that share
features with later ones). Layers are named on two alphabets: by "class" ("DiffGConv-1", own operators
by kind with a star) and by "mixing" ("differential convolution"). A layer by name is its own class, and of
the mixing nearest to it: "mamba" is a "recurrence".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..genome import Genome, OperatorGenes, Sizes, class_name, compile_genome
from ..genome.classes import kin
from ..genome.genes import GIVEN_LAYERS

RUN, WEIGHTS, FEATURES, PLACE, COUNT = "run", "weights", "features", "place", "count"
CLASS, MIXING, ANY = "class", "mixing", ""
LONGEST_RUN = 4
MIXINGS = {1: "memoryless", 2: "attention", 3: "convolution", 4: "recurrence"}
DIFFERENTIAL = "differential"
# A layer by name that has no number: nothing is known of how it mixes.
NAMED = "layer by name"
_KIN = {name: MIXINGS[mixing] for name, mixing in GIVEN_LAYERS.values()}
FIRST, LAST, EARLY, LATE = "first layer", "last layer", "first third", "last third"
ADJACENT, DISTANT = "adjacent", "distant"
EXACTLY, AT_LEAST, AT_MOST = "exactly", "at least", "at most"
_COUNTS = {EXACTLY: range(4), AT_LEAST: range(2, 6), AT_MOST: range(1, 4)}
_WIDER = {FIRST: EARLY, LAST: LATE}
_WORDS = ("no", "one", "two", "three", "four", "five")
# Sharing does not depend on sizes.
_SIZES = Sizes()


class Pattern(NamedTuple):
    """One thing that a genome has or has not. A tuple, because millions of them are hashed.

    `parts`, by `kind`: "run" the tokens in order of depth; "weights" and "features" (token, roles,
    distance) of two layers that share, "" for any; "place" (place, token); "count" (bound, number,
    mixing). `alphabet` is the tokens', "" where there is none.
    """

    kind: str
    alphabet: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The pattern in words."""
        parts = self.parts
        if self.kind == RUN:
            return " → ".join(parts) if len(parts) > 1 else f"{parts[0]} in any layer"
        if self.kind == PLACE:
            return f"{parts[1]} in the {parts[0]}"
        if self.kind == COUNT:
            bound, number, token = parts
            if number == "0":
                return f"no {token} layer"
            layers = "layer" if number == "1" else "layers"
            return f"{bound} {_WORDS[int(number)]} {token} {layers}"
        token, roles, distance = parts
        what = roles or ("weights" if self.kind == WEIGHTS else "features")
        where = {ADJACENT: "two adjacent ", DISTANT: "two distant "}.get(distance, "two ")
        return f"{where}{token + ' ' if token else ''}layers share {what}"

    @property
    def family(self) -> tuple[str, str, int]:
        """Patterns of one family are inherited alike: the kind, the alphabet, and a run's length."""
        return self.kind, self.alphabet, len(self.parts) if self.kind == RUN else 0


@lru_cache(maxsize=4096)
def class_token(operator: OperatorGenes) -> str:
    """The name of an operator's class, with a star where the table has none such."""
    return class_name(operator)


@lru_cache(maxsize=4096)
def mixing_token(operator: OperatorGenes) -> str:
    """The kind of an operator's token mixing, and whether it is a difference."""
    kind = _kind(operator)
    return f"{DIFFERENTIAL} {kind}" if operator.differential else kind


def _kind(operator: OperatorGenes) -> str:
    mixing = kin(operator)
    return NAMED if mixing is None else MIXINGS[mixing]


def mixing_of(token: str) -> str:
    """The mixing token of a class token: "DiffGConv-1" is a "differential convolution"."""
    if token in _KIN:
        return _KIN[token]
    kinds = {"SA": "attention", "Rec": "recurrence", "GConv": "convolution", "GMemless": "memoryless"}
    plain = token.removeprefix("Diff")
    kind = next((word for start, word in kinds.items() if plain.startswith(start)), NAMED)
    return kind if plain == token else f"{DIFFERENTIAL} {kind}"


def patterns(genome: Genome) -> frozenset[Pattern]:
    """All patterns a genome holds."""
    found: set[Pattern] = set()
    for alphabet, token in ((CLASS, class_token), (MIXING, mixing_token)):
        tokens = tuple(token(liv.operator) for liv in genome.livs)
        found.update(_runs(alphabet, tokens))
        found.update(_places(alphabet, tokens))
    found.update(_counts(genome))
    if any(liv.featurizer_strategy > 1 or liv.feature_strategy > 1 for liv in genome.livs):
        found.update(_sharing(genome))
    return frozenset(found)


def generalisations(pattern: Pattern) -> frozenset[Pattern]:
    """Every other pattern that a genome with this one holds as well, whatever else it is."""
    return frozenset(
        {RUN: _of_run, PLACE: _of_place, COUNT: _of_count}.get(pattern.kind, _of_sharing)(pattern)
    )


def complement(pattern: Pattern) -> Pattern | None:
    """The pattern that exactly those genomes hold that lack this one, where that is a pattern too."""
    if pattern.kind != COUNT:
        return None
    bound, number, token = pattern.parts
    other = {AT_LEAST: (AT_MOST, int(number) - 1), AT_MOST: (AT_LEAST, int(number) + 1)}.get(bound)
    if other is None or other[1] not in _COUNTS[other[0]]:
        return None
    return Pattern(COUNT, pattern.alphabet, (other[0], str(other[1]), token))


def _runs(alphabet: str, tokens: tuple[str, ...]) -> Iterator[Pattern]:
    for start in range(len(tokens)):
        for end in range(start + 1, min(start + LONGEST_RUN, len(tokens)) + 1):
            yield Pattern(RUN, alphabet, tokens[start:end])


def _places(alphabet: str, tokens: tuple[str, ...]) -> Iterator[Pattern]:
    depth = len(tokens)
    yield Pattern(PLACE, alphabet, (FIRST, tokens[0]))
    yield Pattern(PLACE, alphabet, (LAST, tokens[-1]))
    third = -(-depth // 3)  # rounded up, so that the first layer is in the first third
    for token in tokens[:third]:
        yield Pattern(PLACE, alphabet, (EARLY, token))
    for token in tokens[-third:]:
        yield Pattern(PLACE, alphabet, (LATE, token))


def _counts(genome: Genome) -> Iterator[Pattern]:
    """How many layers there are of each mixing, whether or not they are differences."""
    held = Counter(_kind(liv.operator) for liv in genome.livs)
    held[DIFFERENTIAL] = sum(liv.operator.differential for liv in genome.livs)
    for token in (*MIXINGS.values(), DIFFERENTIAL):
        for bound, numbers in _COUNTS.items():
            for number in numbers:
                if _keeps(held[token], bound, number):
                    yield Pattern(COUNT, MIXING, (bound, str(number), token))


def _keeps(held: int, bound: str, number: int) -> bool:
    return held == number if bound == EXACTLY else held >= number if bound == AT_LEAST else held <= number


def _sharing(genome: Genome) -> Iterator[Pattern]:
    """Each pair of layers that share, as precisely and as generally as it can be said."""
    layers = compile_genome(genome, _SIZES).layers
    for late, layer in enumerate(layers):
        operator = genome.livs[late].operator
        if layer.features_from is not None:
            roles = ", ".join(layer.shared)
            yield from _pair(FEATURES, operator, roles, late - layer.features_from)
        if layer.featurizer_pool is not None:
            for early in range(late):
                if layers[early].featurizer_pool == layer.featurizer_pool:
                    yield from _pair(WEIGHTS, operator, "", late - early)


def _pair(kind: str, operator: OperatorGenes, roles: str, apart: int) -> Iterator[Pattern]:
    """Layers that share are of one operator, so one token does for both."""
    distance = ADJACENT if apart == 1 else DISTANT
    precise = Pattern(kind, CLASS, (class_token(operator), roles, distance))
    yield precise
    yield from _of_sharing(precise)


def _of_run(pattern: Pattern) -> Iterator[Pattern]:
    parts = pattern.parts
    written = {pattern.alphabet: parts}
    if pattern.alphabet == CLASS:
        written[MIXING] = tuple(map(mixing_of, parts))
    for alphabet, tokens in written.items():
        yield from (p for p in _runs(alphabet, tokens) if p != pattern)


def _of_place(pattern: Pattern) -> Iterator[Pattern]:
    place, token = pattern.parts
    tokens = {pattern.alphabet: token}
    if pattern.alphabet == CLASS:
        tokens[MIXING] = mixing_of(token)
    for alphabet, word in tokens.items():
        for wider in (place, _WIDER.get(place, place)):
            if (alphabet, wider) != (pattern.alphabet, place):
                yield Pattern(PLACE, alphabet, (wider, word))
        yield Pattern(RUN, alphabet, (word,))


def _of_count(pattern: Pattern) -> Iterator[Pattern]:
    bound, number, token = pattern.parts
    for wider, numbers in _COUNTS.items():
        for other in numbers:
            follows = wider != EXACTLY and bound in (EXACTLY, wider) and _keeps(int(number), wider, other)
            if follows and (wider, str(other)) != (bound, number):
                yield Pattern(COUNT, MIXING, (wider, str(other), token))


def _of_sharing(pattern: Pattern) -> Iterator[Pattern]:
    token, roles, distance = pattern.parts
    tokens = {pattern.alphabet: token, ANY: ""}
    if pattern.alphabet == CLASS:
        tokens[MIXING] = mixing_of(token)
    for alphabet, word in tokens.items():
        for some_roles in {roles, ""}:
            for some_distance in {distance, ""}:
                wider = Pattern(pattern.kind, alphabet, (word, some_roles, some_distance))
                if wider != pattern:
                    yield wider
