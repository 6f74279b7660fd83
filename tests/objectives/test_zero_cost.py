"""Scores of untrained models, against slow computations of what their docstrings say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import ObjectiveError
from madstar.genome import OPERATORS, SearchSpace, Sizes, repair, sample
from madstar.objectives import MEASURED, Subject, find_objective, parse_constraint, zero_cost
from madstar.objectives.zero_cost import SCREENS, feature_rank, gradient_norm, synflow

from .conftest import SIZES, subject

GENOMES = [
    "11111-91111",
    "31111-41111",
    "51111-81111",
    "14.1.1.1.1-21211-21211",
    "17.1.1.2.1-93111-81131",
    "11112-91111-11112",
]
SMALL = Sizes(vocabulary_size=5, width=16, heads=4, window=4)


def test_found_by_name() -> None:
    assert set(SCREENS) == {"gradient-norm", "synflow", "feature-rank"}
    for name in SCREENS:
        objective = find_objective(name)
        assert (objective.name, objective.kind, objective.direction) == (name, MEASURED, "max")
        assert "not quality" in objective.meaning
        assert objective.cost(2.0) == -2.0
        with pytest.raises(ObjectiveError, match=f"{name} takes no length; write {name}"):
            find_objective(f"{name}@100")
    with pytest.raises(ObjectiveError, match=r"did you mean synflow\?"):
        find_objective("synflov")
    assert parse_constraint("gradient-norm>=5").holds(6.0)


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("genome", GENOMES)
def test_repeatable_and_finite(name: str, genome: str) -> None:
    seen = subject(genome)
    with torch.no_grad():
        first = find_objective(name).measure(seen)
    assert math.isfinite(first.value)
    torch.manual_seed(1234)  # whatever the global randomness is
    assert find_objective(name).measure(subject(genome)) == first


@pytest.mark.parametrize("score", [gradient_norm, synflow, feature_rank])
def test_another_seed_is_another_model(score: zero_cost.Callable[..., object]) -> None:
    assert score(subject(), 1) != score(subject(), 0)


@pytest.mark.parametrize("number", OPERATORS)
def test_every_class_has_scores(number: int) -> None:
    for screen in SCREENS.values():
        assert math.isfinite(screen.measure(subject(f"{number}.1.1.1.1-{number}.1.1.1.1", SMALL, 16)).value)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_any_genome_of_the_space_has_scores(seed: int) -> None:
    space = SearchSpace(SMALL, 1, 5, classes=(1, 2, 4, 5, 6, 7, 8, 9, 11, 14, 16, 17), sharing=0.6)
    rng = np.random.default_rng(seed)
    genome, _ = repair(sample(space, rng), space, rng)
    for screen in SCREENS.values():
        assert math.isfinite(screen.measure(Subject(genome, SMALL, 12)).value)


def test_gradient_norm_by_hand() -> None:
    seen = subject("21211-21211-91111")
    model = seen.build().double()
    tokens = zero_cost._tokens(seen)
    picked = model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])
    gradients = torch.autograd.grad(-picked.mean(), list(model.parameters()))
    expected = sum(math.sqrt((g * g).sum().item()) for g in gradients)
    assert gradient_norm(seen).value == pytest.approx(expected, rel=1e-4)


def test_nothing_to_predict_has_no_gradient() -> None:
    """With one word in the vocabulary the loss is 0 whatever the weights; all tokens are alike."""
    seen = subject("91111", replace(SIZES, vocabulary_size=1))
    assert gradient_norm(seen).value == 0.0
    assert feature_rank(seen).value == pytest.approx(1.0)


def _flow_by_differences(seen: Subject) -> float:
    """Synaptic flow of a stack of gated memoryless layers, every derivative by a difference.

    Without non-linearities a layer is x + s W (G x/s * V x/s), with s the RMS of x at the unchanged
    weights; R is quadratic in no single weight, so that central differences are exact.
    """
    model = seen.build().double()
    layers = [(o.groups["gate"].mixing, o.groups["value"].mixing, o.output)
              for o in (layer.operator for layer in model.depth())]  # fmt: skip
    tensors = {id(m): np.abs(m.weight.detach().numpy()) for trio in layers for m in trio}
    assert model.head is not None
    head = np.abs(model.head.weight.detach().numpy())
    scales: list[float] = []

    def run() -> float:
        x = np.ones(seen.sizes.width)
        for place, (gate, value, output) in enumerate(layers):
            if len(scales) == place:
                scales.append(float(np.sqrt(np.mean(x**2))))
            s = scales[place]
            x = x + s * tensors[id(output)] @ ((tensors[id(gate)] @ x / s) * (tensors[id(value)] @ x / s))
        return float((head @ x).sum())

    run()
    flow = 0.0
    for weights in (*tensors.values(), head):
        for place in np.ndindex(weights.shape):
            kept, step = weights[place], 1e-3
            weights[place] = kept + step
            above = run()
            weights[place] = kept - step
            flow += abs(kept * (above - run()) / (2 * step))
            weights[place] = kept
    # Every token is alike, and each counts.
    return math.log(flow * min(seen.length, zero_cost.LENGTH))


@pytest.mark.parametrize("genome", ["91111", "91111-91111", "91211-91211-91111"])
def test_synflow_by_differences(genome: str) -> None:
    seen = subject(genome, replace(SMALL, width=4, heads=2), 6)
    assert synflow(seen).value == pytest.approx(_flow_by_differences(seen), abs=1e-3)


def test_synflow_does_not_overflow() -> None:
    """A product of weights over 80 layers is beyond any float; its logarithm is not."""
    sizes = replace(SIZES, residual_scale=1.0)
    deep = synflow(subject("-".join(["14.1.1.1.1"] * 80), sizes, 16)).value
    assert deep > math.log(np.finfo(np.float64).max)
    assert math.isfinite(deep)


def test_synflow_sees_what_is_mixed() -> None:
    """Queries and keys, decays and long kernels all carry flow, and a difference cancels nothing."""
    for genome in ("11111", "51111", "81111", "10.1.1.1.1", "16.1.1.1.1"):
        seen = subject(genome)
        relative = zero_cost._linear_relative(seen.spec)
        model = zero_cost.Backbone(relative, 0).double()
        zero_cost._take_absolutes(model)
        y, _ = zero_cost._flow(model, torch.ones(1, 16, SIZES.width, dtype=torch.float64))
        y.sum().backward()
        for name, parameter in model.layers.named_parameters():
            if "norm" not in name:
                assert parameter.grad is not None, name
                assert parameter.grad.abs().max() > 0, name
        # Paths through convolutions are positive, those of a subtracted half too.
        if genome == "16.1.1.1.1":
            assert y.min() > 0


def test_feature_rank_by_hand() -> None:
    seen = subject("71111-91111")
    model = seen.build()
    x = model.embedding(zero_cost._tokens(seen))
    for layer in model.depth():
        x, _ = layer(x, None)
    states = model.norm(x).flatten(0, 1).detach().numpy().astype(float)
    values = np.linalg.svd(states - states.mean(0), compute_uv=False)
    shares = values[values > 0] / values.sum()
    found = feature_rank(seen).value
    assert found == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert 1 < found <= SIZES.width
