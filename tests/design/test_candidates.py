"""Candidates as values: what they are built of, how large they are, what is admitted and chosen."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from madstar.design.admission import admit, choose
from madstar.design.candidates import (
    Candidate,
    Prediction,
    build,
    graph_of,
    of_dict,
    of_genome,
    of_graph,
    parameters_of,
    whole_graph,
)
from madstar.design.limits import Limits
from madstar.design.mixers import why_no_mixer
from madstar.design.settings import make_settings
from madstar.errors import ConfigurationError, GraphError
from madstar.genome import sample
from madstar.genome.variation import settle
from madstar.graph.execution.mixing import mixes
from madstar.graph.statistics import statistics

from .conftest import WIDTH, some_limits
from .made_blocks import backward_block, graph, linear_block, node, shift_block

SETTINGS = make_settings(width=WIDTH, heads=4, pairs=2, training={"length": 32})
SIZES = SETTINGS.sizes(256)


def genomes(count: int, seed: int = 0) -> list[Candidate]:
    space, rng = SETTINGS.space(256), np.random.default_rng(seed)
    return [
        of_genome(settle(sample(space, rng), "random", space, rng).genome, "random") for _ in range(count)
    ]


def test_what_may_be_a_mixer() -> None:
    assert why_no_mixer(shift_block(WIDTH, 3), WIDTH) == ""
    assert mixes(shift_block(WIDTH, 3))
    assert why_no_mixer(linear_block(WIDTH, 8), WIDTH) == ""
    assert not mixes(linear_block(WIDTH, 8))


def test_what_may_be_none() -> None:
    assert "future" in why_no_mixer(backward_block(WIDTH), WIDTH) or "reads" in why_no_mixer(
        backward_block(WIDTH), WIDTH
    )
    assert "width is 8" in why_no_mixer(shift_block(8, 1), WIDTH)
    wide = linear_block(WIDTH, 8)
    narrowed = replace(wide.main, outputs=("%u",))
    assert "gives" in why_no_mixer(replace(wide, definitions={"Block": narrowed}), WIDTH)
    strange = graph([node("o", "opaque:mine", WIDTH, ("input", "%x"))], "%o", WIDTH)
    assert "not known" in why_no_mixer(strange, WIDTH)
    two = replace(shift_block(WIDTH, 1).main, outputs=("%y", "%y"))
    both = replace(shift_block(WIDTH, 1), definitions={"Block": two}, output_names=("a", "b"))
    assert "one of each" in why_no_mixer(both, WIDTH)


@pytest.mark.parametrize("block", [shift_block(WIDTH, 2), linear_block(WIDTH, 24)])
def test_parameters_are_counted_without_building(block) -> None:
    candidate = of_graph(block)
    model = build(candidate, SIZES, 2, 32, seed=0)
    assert parameters_of(candidate, SIZES, 2, 32) == sum(p.numel() for p in model.parameters())
    for candidate in genomes(5):
        model = build(candidate, SIZES, 2, 32, seed=0)
        assert parameters_of(candidate, SIZES, 2, 32) == sum(p.numel() for p in model.parameters())


def test_a_model_is_a_function_of_its_seed_and_is_causal() -> None:
    candidate = of_graph(shift_block(WIDTH, 2))
    tokens = torch.randint(256, (2, 20))
    logits = [build(candidate, SIZES, 2, 32, seed)(tokens) for seed in (0, 0, 1)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])
    changed = tokens.clone()
    changed[:, 12:] = 0
    later = build(candidate, SIZES, 2, 32, 0)(changed)
    assert torch.equal(logits[0][:, :12], later[:, :12])


def test_a_candidate_is_plain_data_and_comes_back() -> None:
    told = Prediction(1.0, 0.5, 1.5, 0.2, "abc")
    candidate = replace(of_graph(shift_block(WIDTH, 2)), prediction=told, description={"size": {"n": 1.0}})
    assert of_dict(candidate.to_dict()) == candidate
    assert of_graph(graph_of(candidate)).key == candidate.key
    assert statistics(whole_graph(candidate, SIZES, 1, Path("/tmp"))).parameters == parameters_of(
        candidate, SIZES, 1, 32
    )


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "program"},
        {"text": 7},
        {"key": "../../etc/passwd"},
        {"key": ""},
        {"parents": ["x"]},
        {"prediction": {"value": "good"}},
        {"description": [1]},
        {"text": "x" * (2**20 + 1)},
    ],
)
def test_what_is_no_candidate_is_refused(change) -> None:
    with pytest.raises(GraphError, match="no candidate"):
        of_dict({**genomes(1)[0].to_dict(), **change})


def test_admission_believes_nothing() -> None:
    limits = some_limits()
    good, block = genomes(1)[0], of_graph(shift_block(WIDTH, 2))
    admitted = admit(good, SETTINGS, SIZES, limits, ())
    assert admitted.status == "pending"
    assert admitted.parameters == parameters_of(good, SIZES, 2, 32)
    assert admit(block, SETTINGS, SIZES, limits, ()).status == "pending"
    assert admit(block, SETTINGS, SIZES, limits, {block.key}).status == "duplicate"
    assert admit(replace(block, key="0" * 16), SETTINGS, SIZES, limits, ()).status == "rejected"
    ahead = of_graph(backward_block(WIDTH))
    assert "no mixer" in admit(ahead, SETTINGS, SIZES, limits, ()).reason
    for text in ("{}", "[" * 5000, '{"schema": "madstar.graph/1"}', ""):
        assert admit(replace(block, text=text), SETTINGS, SIZES, limits, ()).status == "rejected"
    assert admit(replace(good, text="99999"), SETTINGS, SIZES, limits, ()).status == "rejected"
    deep = settings_of_depth(8)
    assert "space" in admit(deep, SETTINGS, SIZES, limits, ()).reason


def settings_of_depth(depth: int) -> Candidate:
    settings = make_settings(width=WIDTH, heads=4, pairs=depth, training={"length": 32})
    space, rng = replace(settings.space(256), min_depth=depth, max_depth=depth), np.random.default_rng(1)
    return of_genome(settle(sample(space, rng), "random", space, rng).genome, "random")


def test_what_is_too_large_is_infeasible_and_never_built(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = of_graph(linear_block(WIDTH, 10**9))  # 64 GB of weights
    found = admit(huge, SETTINGS, SIZES, some_limits(), ())
    assert found.status == "infeasible"
    assert found.parameters is not None
    assert found.parameters > 6 * 10**10
    assert "at most 1,000,000" in found.reason


def test_the_expected_best_are_chosen_and_both_kinds_are_among_them() -> None:
    def said(candidate: Candidate, value: float, deviation: float = 0.0) -> Candidate:
        return replace(candidate, prediction=Prediction(value, value, value, deviation, "m"))

    pool = [said(each, 2.0 + n) for n, each in enumerate(genomes(5))]
    block = said(of_graph(shift_block(WIDTH, 2)), 9.0)
    chosen = choose([*pool, block], 3)
    assert [each.key for each in chosen] == [pool[0].key, pool[1].key, block.key]
    assert all(each.guided for each in chosen)
    unsure = said(genomes(6)[5], 2.2, deviation=3.0)
    assert choose([*pool, unsure], 1)[0].key == unsure.key
    assert choose([], 3) == []


def test_limits_are_frozen_and_above_zero() -> None:
    limits = some_limits()
    with pytest.raises(FrozenInstanceError):
        limits.memory = 10**12  # type: ignore[misc]
    assert Limits.of(limits.to_dict()) == limits
    for name in ("seconds", "workers", "memory", "disk", "parameters", "candidates", "candidate_seconds"):
        for wrong in (0, -1, float("nan"), float("inf")):
            with pytest.raises(ConfigurationError, match="above 0"):
                some_limits(**{name: wrong})


def test_what_holds_the_limits_does_not_load_what_proposes() -> None:
    code = (
        "import sys, madstar.design.session; "
        "print([n for n in ('madstar.design.proposing', 'madstar.design.models') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
