"""Operations as words in the order of computation: n-grams, and masked ones by forward and backward sums.

Smoothing is Witten and Bell's (IEEE Transactions on Information Theory 37(4), 1991): what an n-gram gives to
words never seen after it grows with how many different ones were seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from ..datasets.examples import Operations
from .learner import Views
from .questions import asked
from .wiring import NONE, wiring

OTHER = "<other>"
MOST_WORDS = 255
BEAM = 24
"""Candidates kept for each masked node where two words before count."""


class Ngrams:
    """P(word | two words before), as tables over the words seen in training; all others are one word."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        kept = [tuple(text) for text in texts]
        counts = Counter(word for text in kept for word in text)
        common = [w for w, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))][:MOST_WORDS]
        self.words = [NONE, OTHER, *sorted(w for w in common if w not in (NONE, OTHER))]
        self.number = {word: i for i, word in enumerate(self.words)}
        self._count(kept)

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, text: Sequence[str]) -> list[int]:
        """The words' numbers."""
        return [self.number.get(word, 1) for word in text]

    def _count(self, texts: Iterable[Sequence[str]]) -> None:
        size = len(self)
        one, two, three = np.zeros(size), np.zeros((size, size)), np.zeros((size, size, size), np.float32)
        for text in texts:
            t = np.array([0, 0, *self.numbers(text), 0])
            np.add.at(one, t[2:], 1)
            np.add.at(two, (t[1:-1], t[2:]), 1)
            np.add.at(three, (t[:-2], t[1:-1], t[2:]), 1)
        one = (one + 0.5) / (one + 0.5).sum()
        self.one: Float[np.ndarray, " word"] = one
        self.two: Float[np.ndarray, "before word"] = _smoothed(two, one[None])
        self.three: Float[np.ndarray, "second before word"] = _smoothed(three, self.two[None]).astype(
            np.float32
        )

    def surprise(self, text: Sequence[str], order: int = 3) -> Float[np.ndarray, " word"]:
        """-log P of each word given the one or two before it; the text's end is not counted."""
        t = np.array([0, 0, *self.numbers(text)])
        if order == 2:
            return -np.log(self.two[t[1:-1], t[2:]])
        found: np.ndarray = -np.log(self.three[t[:-2], t[1:-1], t[2:]])
        return found


def _smoothed(counts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    total = counts.sum(-1, keepdims=True)
    kinds = (counts > 0).sum(-1, keepdims=True).astype(counts.dtype)
    kinds = np.where(total > 0, kinds, 1)
    return (counts + kinds * lower) / (total + kinds)


def filled(model: Ngrams, text: Sequence[str | None]) -> list[str]:
    """The likeliest word at each None by its marginal, all others given: first by pairs, then by threes.

    Pairs narrow each gap down to `BEAM` words, among which sums run over two words at a time.
    """
    candidates = _narrowed(model, text)
    size = len(text)
    ahead = [np.zeros(())] * (size + 2)  # (before, word), scaled
    padded = [np.zeros(1, int), np.zeros(1, int), *candidates, np.zeros(1, int), np.zeros(1, int)]
    state = np.ones((1, 1))
    for i in range(size + 1):
        a, b, c = padded[i], padded[i + 1], padded[i + 2]
        state = np.einsum("ab,abc->bc", state, model.three[np.ix_(a, b, c)])
        ahead[i] = state = state / state.sum()
    found: list[str] = []
    back = np.ones((len(padded[size + 1]), 1))
    for i in range(size - 1, -1, -1):  # word i with what follows it
        b, c, d = padded[i + 1], padded[i + 2], padded[i + 3]
        back = np.einsum("bcd,cd->bc", model.three[np.ix_(b, c, d)], back)
        back = back / back.sum()
        if text[i] is None:
            marginal = (ahead[i] * back).sum(0)
            found.append(model.words[c[int(marginal.argmax())]])
    return found[::-1]


def _narrowed(model: Ngrams, text: Sequence[str | None]) -> list[np.ndarray]:
    """For each place the words that can stand there: the given one, or the likeliest by pairs."""
    size = len(model)
    forward, ahead = [], np.eye(size)[0]
    fixed = [None if word is None else model.number.get(word, 1) for word in text]
    for word in fixed:
        ahead = ahead @ model.two if word is None else np.eye(size)[word]
        forward.append(ahead / ahead.sum())
        ahead = forward[-1]
    behind, found = model.two[:, 0], []
    for word, before in zip(fixed[::-1], forward[::-1], strict=True):
        if word is not None:
            found.append(np.array([word]))
            behind = model.two[:, word]
        else:
            marginal = before * behind
            marginal[:2] = 0  # neither the ends nor words unknown are answers
            found.append(np.argsort(-marginal, kind="stable")[:BEAM])
            behind = model.two @ behind
            behind = behind / behind.sum()
    return found[::-1]


class NgramFiller:
    """Masked operations by trigrams over the order of computation, summed over all other masked ones."""

    name = "n-grams"

    def fit(self, train: Sequence[Operations], valid: Sequence[Operations], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        entries = dict.fromkeys(example.entry for example in train)
        self.model = Ngrams(wiring(views[entry]).ops for entry in entries)

    def predict(self, examples: Sequence[Operations], views: Views) -> list[list[str]]:
        """An answer for each; see `Learner.predict`."""
        found = []
        for question in asked(examples, views):
            gaps = {node for node, _ in question.answers}
            found.append(
                filled(self.model, [None if i in gaps else o for i, o in enumerate(question.shown.ops)])
            )
        return found
