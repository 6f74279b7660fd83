from itertools import product

import numpy as np
import pytest

from madstar.learning.baselines.ngrams import BEAM, NONE, Ngrams, filled

TEXTS = [["a", "b", "c", "a", "b", "c"], ["a", "b", "d", "a", "b"], ["c", "c", "d"]]


def test_probabilities_add_to_one() -> None:
    model = Ngrams(TEXTS)
    assert model.two.sum(-1) == pytest.approx(1)
    assert model.three.sum(-1) == pytest.approx(1, abs=1e-5)
    assert (model.three > 0).all()


def test_what_was_seen_is_likelier() -> None:
    model = Ngrams(TEXTS)
    a, b, c, d = (model.number[each] for each in "abcd")
    assert model.three[a, b, c] > model.three[a, b, d] > model.three[a, b, a]


@pytest.mark.parametrize(
    "text", [["a", None, "c"], [None, None, "d"], ["c", None, None, "a", None], [None], ["a", "b"]]
)
def test_gaps_are_filled_as_by_the_sum_over_all_texts(text: list[str | None]) -> None:
    model = Ngrams(TEXTS)
    assert len(model) <= BEAM
    words = model.words[2:]
    gaps = [i for i, word in enumerate(text) if word is None]
    weight = {gap: dict.fromkeys(words, 0.0) for gap in gaps}
    for choice in product(words, repeat=len(gaps)):
        full = list(text)
        for gap, word in zip(gaps, choice, strict=True):
            full[gap] = word
        numbers = [0, 0, *(model.number[w] for w in full if w), 0]
        p = float(np.prod([model.three[x] for x in zip(numbers, numbers[1:], numbers[2:], strict=False)]))
        for gap, word in zip(gaps, choice, strict=True):
            weight[gap][word] += p
    wanted = [max(words, key=lambda word, g=gap: weight[g][word]) for gap in gaps]  # type: ignore[misc]
    assert filled(model, text) == wanted


def test_surprise_is_that_of_the_tables() -> None:
    model = Ngrams(TEXTS)
    a, b = model.number["a"], model.number["b"]
    assert model.surprise(["a", "b"])[1] == pytest.approx(-np.log(model.three[0, a, b]))
    assert model.surprise(["a", "new"], order=2)[1] == pytest.approx(-np.log(model.two[a, 1]))
    assert model.words[0] == NONE
