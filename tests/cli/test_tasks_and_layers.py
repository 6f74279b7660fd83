"""`madstar tasks` and `madstar layers`: what there is."""

from pathlib import Path

import pytest
from torch import nn

from madstar.cli import layers, tasks  # noqa: F401  they register themselves
from madstar.liv.layers.catalogue import CATALOGUE
from madstar.liv.layers.choice import LayerChoice
from madstar.tasks.mechanistic import TASKS, task_settings

from .commands import invoke, refusal, strict_json, words_in


def test_every_task_is_listed() -> None:
    result = invoke("tasks")
    assert (result.status, result.stderr) == (0, "")
    assert words_in(
        result.stdout,
        [*TASKS, "auto-encoder", "arXiv 2403.17844", "14 (quick 2, standard 2)", "13 (quick 2, standard 2)"],
    )
    documents = strict_json(invoke("tasks", "--json").stdout)
    assert [each["task"] for each in documents] == list(TASKS)
    assert {each["task"]: len(each["settings"]) for each in documents} == {
        name: len({*task_settings(name), *task_settings(name, "quick"), *task_settings(name, "standard")})
        for name in TASKS
    }
    assert sum(each["full"] for each in documents[0]["settings"]) == len(task_settings(TASKS[0]))


def test_the_settings_of_one_task_by_level() -> None:
    result = invoke("tasks", "selective-copying")
    assert result.status == 0
    assert words_in(result.stdout, ["tokens_to_copy=96", "quick", "standard", "full", "length", "256"])
    document = strict_json(invoke("tasks", "selective-copying", "--json").stdout)
    quick = {each["name"] for each in document["settings"] if "quick" in each["levels"]}
    assert quick == {each.name for each in task_settings("selective-copying", "quick")}
    assert 0 < document["settings"][0]["chance"] < 1


def test_every_layer_is_listed_with_its_state() -> None:
    documents = {each["name"]: each for each in strict_json(invoke("layers", "--json").stdout)}
    assert set(CATALOGUE) <= set(documents)
    attention = documents["mh-attention"]
    assert attention["grows"] is True
    assert attention["state"] == {"128": 2 * 128 * 128, "1280": 2 * 128 * 1280}
    built = LayerChoice.of("mh-attention").build(128, 1280)
    assert attention["parameters"] == sum(p.numel() for p in built.parameters())
    assert documents["mamba"]["grows"] is False
    assert documents["mamba"]["iso"] == {"state": 16}
    assert documents["swiglu"]["state"]["128"] == 0
    assert documents["swiglu"]["mixes"] == "channels"


def test_layers_in_a_terminal() -> None:
    result = invoke("layers")
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["Layers that mix tokens", "mh-hyena", "iso-state", "327,680", "grows"])
    assert max(map(len, result.stdout.splitlines())) <= 100
    one = invoke("layers", "mh-linear-attention")
    assert words_in(one.stdout, ["heads 16", "heads 4", "arXiv 2006.16236", "grows", "no"])


def test_a_layer_of_ones_own_that_says_no_state(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\nclass Mine(nn.Linear):\n    'A map.'\n"
        "    def __init__(self, dim, max_length):\n        super().__init__(dim, dim)\n"
    )
    reference = f"{tmp_path / 'own.py'}:Mine"
    result = invoke("layers", reference)
    assert words_in(result.stdout, ["own.py:Mine", "A map.", "- numbers after 128 tokens"])
    document = strict_json(invoke("layers", reference, "--json").stdout)
    assert document["state"] == {"128": None, "1280": None}
    assert document["grows"] is None
    assert document["parameters"] == sum(p.numel() for p in nn.Linear(128, 128).parameters())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tasks", "in-context-recal"), ["in-context-recal", "did you mean in-context-recall"]),
        (("layers", "mama"), ["mama", "did you mean mamba"]),
        (("layers", "missing.py:Mine"), ["missing.py"]),
    ],
)
def test_what_there_is_not(arguments: tuple[str, ...], words: list[str]) -> None:
    assert words_in(refusal(invoke(*arguments)), words)
