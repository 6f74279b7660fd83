"""Plans as values: what they are, what they are told by, and what may grow."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import ConfigurationError, GenomeError, LayerError
from madstar.protocol import (
    BUDGETS,
    PROTOCOLS,
    GenomeStack,
    LayerStack,
    ModelFunction,
    SweepPoint,
    find_budget,
    find_protocol,
    level_settings,
)
from madstar.protocol.api import find_architecture, make_plan
from madstar.protocol.architecture import from_dict
from madstar.protocol.plan import from_config
from madstar.tasks.mechanistic import PROTOCOL_TASKS, TASKS, task_settings

from .conftest import TINY, plan, setting


def test_the_full_protocol_has_66_settings_and_six_points() -> None:
    full = BUDGETS["full"]
    of = plan(budget=full, settings=level_settings(PROTOCOL_TASKS, full))
    assert (len(of.settings), len(of.points)) == (66, 6)
    baseline = of.settings[0]
    assert of.total_steps(baseline) == 200 * 100
    training = of.training(baseline, of.points[0])
    assert (training.batch, training.max_steps, training.stop_at) == (128, 20_000, 0.999)


def test_the_protocols_differ_in_what_chooses_and_in_what_is_reported() -> None:
    sound, published = PROTOCOLS["sound"], PROTOCOLS["mad-lab"]
    assert (sound.selection, sound.metric, sound.schedule, sound.compatible) == (
        "valid",
        "micro",
        "cosine",
        False,
    )
    assert (published.selection, published.metric) == ("test", "batch_macro")
    assert (published.schedule, published.compatible, published.best_epoch) == ("constant", True, True)
    of = plan(protocol=published)
    assert of.training(of.settings[0], of.points[0]).accuracy == "batch_macro"
    assert of.training(of.settings[0], of.points[0]).clip is None


@pytest.mark.parametrize(
    "architecture",
    [
        LayerStack.of(["mamba", "swiglu"], 64, iso=True),
        GenomeStack("11111-91111", 64, 4),
        ModelFunction("mine", "somewhere.py:make"),
    ],
)
def test_plans_come_back_from_their_config(architecture: object) -> None:
    of = plan(architecture=architecture, budget=replace(TINY, points=(SweepPoint(1e-3, 0.0),)))
    assert from_config(of.config()) == of
    assert from_config(of.config()).identity == of.identity


def test_the_identity_says_what_scores_depend_on() -> None:
    of = plan()
    others = [
        plan(architecture=LayerStack.of(["mh-attention", "swiglu"], 64)),
        plan(architecture=LayerStack.of(["mh-attention", "mlp"], 32)),
        plan(protocol=PROTOCOLS["mad-lab"]),
        plan(budget=replace(TINY, steps=17)),
        plan(settings=(setting(length=32),)),
        plan(data=((setting().key, "somewhere"),)),
    ]
    assert len({of.identity, *(other.identity for other in others)}) == 1 + len(others)
    assert plan(seeds=3).identity == of.identity


def test_a_level_may_grow_by_tasks_and_seeds() -> None:
    quick = BUDGETS["quick"]
    one = plan(own_settings=False, budget=quick, settings=level_settings(["compression"], quick))
    more = plan(own_settings=False, budget=quick, settings=level_settings(["memorization"], quick), seeds=2)
    assert one.identity == more.identity
    grown = one.extended(more.config())
    assert {each.task for each in grown.settings} == {"compression", "memorization"}
    assert grown.seeds == 2


def test_a_level_with_other_settings_is_another_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = BUDGETS["quick"]
    before = plan(own_settings=False, budget=quick, settings=level_settings(["compression"], quick))
    identity, settings = before.identity, {task: task_settings(task, "quick") for task in TASKS}
    settings["memorization"] = settings["memorization"][:1]
    monkeypatch.setattr("madstar.protocol.plan.task_settings", lambda task, level: settings[task])
    assert before.identity != identity


def test_an_edited_file_is_another_architecture(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("from torch import nn\nclass Own(nn.Module):\n    pass\n")
    first = LayerStack.of([f"{file}:Own"]).key
    assert LayerStack.of([f"{file}:Own"]).key == first
    file.write_text(file.read_text() + "# changed\n")
    assert LayerStack.of([f"{file}:Own"]).key != first


@given(st.lists(st.sampled_from(["mamba", "swiglu", "mh-hyena"]), min_size=1, max_size=6), st.booleans())
def test_layer_stacks_come_back(layers: list[str], iso: bool) -> None:
    stack = LayerStack.of(layers, iso=iso)
    assert from_dict(stack.to_dict()) == stack
    assert from_dict(stack.to_dict()).key == stack.key


def test_repeated_layers_are_counted_in_the_label() -> None:
    assert LayerStack.of(["mamba", "swiglu"] * 2).label == "2 x (mamba swiglu)"
    assert LayerStack.of(["mamba"] * 3).label == "3 x mamba"
    assert LayerStack.of(["mamba", "mlp", "mamba"]).label == "mamba mlp mamba"


def test_what_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown protocol 'sond' \(did you mean sound"):
        find_protocol("sond")
    with pytest.raises(ConfigurationError, match=r"unknown budget 'quik' \(did you mean quick"):
        find_budget("quik")
    with pytest.raises(ConfigurationError, match="nothing given"):
        find_architecture()
    with pytest.raises(ConfigurationError, match="layers and a genome given"):
        find_architecture(["mamba"], genome="11111")
    with pytest.raises(LayerError, match=r"unknown layer 'mh-hyaena' \(did you mean mh-hyena"):
        find_architecture(["mh-hyaena"])
    with pytest.raises(GenomeError):
        find_architecture(genome="99999")
    with pytest.raises(ConfigurationError, match="width 0"):
        find_architecture(["mamba"], dim=0)
    with pytest.raises(ConfigurationError, match="0 seeds"):
        plan(seeds=0)
    with pytest.raises(ConfigurationError, match="both given"):
        make_plan(LayerStack.of(["mlp"]), PROTOCOLS["sound"], TINY, settings=(setting(),), data="x")
