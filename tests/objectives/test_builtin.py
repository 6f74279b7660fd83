"""What comes with madstar: names, lengths, and figures against the rooms they come from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from madstar.errors import ObjectiveError
from madstar.genome import Sizes, baselines
from madstar.liv import Backbone, cost
from madstar.liv.cost import state_bytes
from madstar.objectives import (
    BUILTIN,
    MEASURED,
    STATIC,
    TRAINED,
    Measurement,
    Subject,
    find_objective,
    latency,
)
from madstar.objectives.builtin import DEFAULT_LENGTH, SHORT_NAMES, TAKES_LENGTH
from madstar.objectives.mad import SETTINGS

from .conftest import SIZES, subject

GENOMES = ["11111-91111", "31111-41111", "51111-81111", "11112-91111-11112", "14.1.1.1.1-21211-21211"]
KINDS = {
    "quality": TRAINED,
    "perplexity": TRAINED,
    "parameters": STATIC,
    "cache": STATIC,
    "flops": STATIC,
    "prefill": MEASURED,
    "decode": MEASURED,
    "memory": MEASURED,
    "mad": MEASURED,
    **dict.fromkeys(SETTINGS, MEASURED),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five runs do for a test."""
    monkeypatch.setattr(latency, "_SECONDS", 0.0)


def test_the_names() -> None:
    assert set(BUILTIN) == set(KINDS)
    assert {name: find_objective(name).kind for name in BUILTIN} == KINDS
    assert set(SHORT_NAMES.values()) | TAKES_LENGTH <= set(BUILTIN)
    for name in BUILTIN:
        objective = find_objective(name)
        assert objective.direction == ("max" if name in {"mad", *SETTINGS} else "min")
        assert objective.meaning
        # A name leads back to the same objective, with the length it has taken by default.
        assert find_objective(objective.name).name == objective.name


def test_short_names_and_defaults() -> None:
    assert find_objective("params").name == "parameters"
    assert DEFAULT_LENGTH == 4096
    for name in ("cache", "prefill", "decode", "memory"):
        assert find_objective(name).name == f"{name}@4096"
        assert find_objective(f"{name}@100").name == f"{name}@100"
    # By default the training length, which the objective itself does not know.
    assert find_objective("flops").name == "flops"
    assert find_objective("flops@100").name == "flops@100"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qualty", "unknown objective 'qualty' (did you mean quality?): choose from quality, perplexity,"),
        ("cach@100", "unknown objective 'cach@100' (did you mean cache?)"),
        ("zzz", "unknown objective 'zzz': choose from quality"),
        ("", "unknown objective '': choose from quality"),
        ("Quality", "unknown objective 'Quality' (did you mean quality?)"),
        ("quality@100", "objective 'quality@100': quality takes no length; write quality"),
        ("params@5", "objective 'params@5': parameters takes no length; write parameters"),
        ("cache@", "objective 'cache@': '' is no length; write a number of tokens after the @"),
        ("cache@4k", "'4k' is no length"),
        ("cache@0", "'0' is no length"),
        ("cache@-5", "'-5' is no length"),
        ("cache@1.5", "'1.5' is no length"),
        ("cache@²", "'²' is no length"),
        ("decode@" + "9" * 5000, "is no length"),
    ],
)
def test_unknown_names(name: str, said: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        find_objective(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def value(name: str, of: Subject) -> float:
    measurement = find_objective(name).measure(of)
    if find_objective(name).kind == STATIC:
        assert measurement.error == 0
    return measurement.value


@pytest.mark.parametrize("genome", GENOMES)
def test_static_figures_are_the_costs(genome: str) -> None:
    seen = subject(genome)
    for length in (1, 48, 300):
        found = cost(seen.spec, length)
        assert value("parameters", seen) == found.parameters
        assert value(f"flops@{length}", seen) == found.flops / length
        # Two bytes a number, whatever the weights are in.
        assert value(f"cache@{length}", seen) == found.cache_bytes == 2 * found.cache_elements
    assert value("flops", seen) == cost(seen.spec, 48).flops / 48
    assert value("cache", seen) == 2 * cost(seen.spec, 4096).cache_elements


def test_figures_by_hand() -> None:
    seen = subject("11111")
    width, vocabulary = 32, 64
    # Embedding, output, two norms; q, k, v and the layer's output.
    assert value("params", seen) == 2 * vocabulary * width + 2 * width + 4 * width * width
    # Keys and values of 100 tokens, in two bytes.
    assert value("cache@100", seen) == 2 * 100 * width * 2
    assert value("flops@100", seen) == 2 * (4 * width**2 + vocabulary * width) + 4 * 100 * width


def test_trained_figures_are_the_metrics() -> None:
    assert find_objective("quality").measure(subject()) == Measurement(2.5, 0.1)
    assert find_objective("perplexity").measure(subject()) == Measurement(9.0, 0.0)


def test_something_to_minimise() -> None:
    objective = find_objective("quality")
    assert objective.cost(2.0) == 2.0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("genome", GENOMES[:3])
def test_latencies_are_positive_and_have_an_error(genome: str) -> None:
    for name in ("prefill@16", "decode@16"):
        found = find_objective(name).measure(subject(genome))
        assert found.value > 0
        assert found.error >= 0
        assert np.isfinite(found).all()


@pytest.mark.usefixtures("hasty")
def test_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    read, stepped = [], []
    prefill, step = Backbone.prefill, Backbone.step

    def watched_prefill(self: Backbone, tokens: torch.Tensor) -> object:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        read.append(tuple(tokens.shape))
        return prefill(self, tokens)

    def watched_step(self: Backbone, token: torch.Tensor, states: tuple) -> object:
        stepped.append(states[0].position)
        return step(self, token, states)

    monkeypatch.setattr(Backbone, "prefill", watched_prefill)
    monkeypatch.setattr(Backbone, "step", watched_step)
    find_objective("prefill@20").measure(subject("11111"))
    # Once to warm up, then at least five times.
    assert set(read) == {(1, 20)}
    assert len(read) == 6
    read.clear()
    find_objective("decode@20").measure(subject("11111"))
    # The prompt is read once, and every run decodes from there.
    assert read == [(1, 20)]
    assert stepped == list(range(20, 36)) * 6


def test_the_median_and_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting = [0.1, 0.2, 0.05, 0.3, 0.1, 0.4, 0.15]
    ticks = iter(np.cumsum([0.0, *(x for one in lasting for x in (one, 0.0))]))
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    runs = []
    found = latency._median(lambda: runs.append(1))
    # Half a second is over after four, but five are the least: 0.05, 0.1, 0.1, 0.2, 0.3.
    assert len(runs) == 6
    assert found.value == pytest.approx(0.1)
    assert found.error == pytest.approx(1.57 / 1.96 * (0.2 - 0.1) / 5**0.5)


def test_decoding_is_counted_per_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_median", lambda run: Measurement(1.6, 0.32))
    assert find_objective("decode@8").measure(subject()) == pytest.approx((0.1, 0.02))
    assert find_objective("prefill@8").measure(subject()) == (1.6, 0.32)


@pytest.mark.parametrize("genome", GENOMES)
def test_memory_holds_weights_logits_and_states(genome: str) -> None:
    seen = subject(genome)
    with torch.inference_mode():
        _, states = seen.build().prefill(torch.zeros(1, 64, dtype=torch.long))
    weights, logits = 4 * value("parameters", seen), 4 * 64 * SIZES.vocabulary_size
    least = weights + logits + state_bytes(states)
    assert state_bytes(states) >= 2 * value("cache@64", seen)
    found = find_objective("memory@64").measure(seen)
    assert found.error == 0
    assert found.value >= least
    # Nor much more than a few times what it must hold.
    assert found.value < weights + 20 * (logits + 64 * 32 * 4 * seen.genome.depth) + 64 * 64 * 4 * 20


def test_memory_by_hand() -> None:
    seen = subject("11111", Sizes(vocabulary_size=512, width=32, heads=4))
    weights = 4 * (2 * 512 * 32 + 2 * 32 + 4 * 32 * 32)
    logits, cache, stream = 4 * 200 * 512, 4 * 2 * 200 * 32, 4 * 200 * 32
    found = value("memory@200", seen)
    # While the logits are written, the normalised stream they are made from and the cache are held.
    assert weights + logits + cache + stream <= found <= weights + logits + cache + 8 * stream


@pytest.mark.parametrize("genome", ["11111-91111", "51111-71111"])
def test_memory_grows_with_length_and_is_repeatable(genome: str) -> None:
    seen = subject(genome)
    found = [value(f"memory@{length}", seen) for length in (16, 64, 256)]
    assert found == sorted(set(found))
    assert found[2] - found[1] >= 192 * (SIZES.vocabulary_size * 4)
    assert value("memory@64", seen) == found[1]


def test_a_cache_that_does_not_grow() -> None:
    seen = subject("51111-91111")
    assert value("cache@10", seen) == value("cache@10000", seen) > 0


def test_a_subject_builds_what_its_genome_says() -> None:
    seen = subject()
    assert seen.spec == seen.build().spec
    assert torch.equal(seen.build(3).embedding.weight, seen.build(3).embedding.weight)
    assert not torch.equal(seen.build(3).embedding.weight, seen.build(4).embedding.weight)


def test_baselines_can_be_told_apart() -> None:
    caches = {
        name: cost(Subject(genome, SIZES, 48).spec, 4096).cache_bytes for name, genome in baselines(8).items()
    }
    assert caches["Transformer++"] > caches["Transformer++ GQA"] > caches["recurrence-attention hybrid"]
