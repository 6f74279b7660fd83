"""What to feed a model, found out: from docstrings, processors, errors, weights, and a run with values."""

import pytest
import torch
from torch import Tensor, nn

from madstar.errors import GraphError
from madstar.graph.trace import trace
from madstar.zoo.inputs.choose import choose
from madstar.zoo.inputs.documented import documented, images_as_documented
from madstar.zoo.inputs.facts import Facts
from madstar.zoo.inputs.processors import processor_sizes
from madstar.zoo.inputs.trial import attempt
from madstar.zoo.reaching import reach
from madstar.zoo.shrink import shrink
from madstar.zoo.tracing import trace_address
from madstar.zoo.transformers_models import load_type
from madstar.zoo.values import KnownValues

JETMOE = (
    "hf:jetmoe?hidden_size=32&intermediate_size=48&num_hidden_layers=2&num_key_value_heads=2&kv_channels=8"
    "&vocab_size=99&num_local_experts=4"
)


class Config:
    model_type = "none"
    num_things = 5


class Tiles(nn.Module):
    main_input_name = "pixel_values"

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None, other: Tensor | None = None):
        """
        pixel_values (`torch.FloatTensor` of shape `(batch_size, num_tiles, num_channels, height, width)`):
            Images.
        pixel_mask (`torch.BoolTensor` of shape `(batch_size, num_things)`, *optional*):
            A setting of the configuration is a size as well.
        other (`torch.LongTensor` of shape `(batch_size, unheard_of)`):
            Of no known size.
        """
        return pixel_values.flatten(3).sum(-1) * pixel_mask.sum()


def test_shapes_are_read_from_docstrings() -> None:
    facts = Facts.of(Tiles(), Config())
    assert documented(facts)["other"] == ("LongTensor", ("batch_size", "unheard_of"))
    inputs = images_as_documented(facts, 3, 1, (8, 6))
    assert inputs is not None
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == {
        "pixel_values": (3, 2, 1, 8, 6),
        "pixel_mask": (3, 5),
    }
    assert inputs["pixel_mask"].dtype is torch.bool
    chosen = choose(Tiles().to("meta"), Config())
    assert str(chosen.recipe) == "image: as documented"


def test_sizes_are_read_from_image_processors() -> None:
    assert (980, 980) in processor_sizes("aria")
    assert processor_sizes("llama") == ()


class Wide(nn.Module):
    main_input_name = "input_features"

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Identity()
        self.bias = nn.Parameter(torch.zeros(7))
        self.weight = nn.Parameter(torch.zeros(37, 7))

    def forward(self, input_features: Tensor) -> Tensor:
        return input_features @ self.weight + self.bias


def test_a_width_is_learned_from_the_error() -> None:
    module = Wide().to("meta")
    chosen = choose(module, Config())
    assert chosen.recipe is not None
    assert chosen.trial.share == 1
    assert {wanted for _, _, wanted in chosen.recipe.widths} == {37}
    assert chosen.recipe.build(Facts.of(module, Config()), batch=3)["input_features"].shape[::2] == (3, 37)


class Beside(nn.Module):
    """Adds sound to text position by position."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.sounds = nn.Embedding(256, 24), nn.Linear(80, 24)

    def forward(self, input_ids: Tensor, input_features: Tensor) -> Tensor:
        return self.words(input_ids) + self.sounds(input_features.mT[:, ::8])


def test_a_length_is_learned_from_the_error() -> None:
    chosen = choose(Beside().to("meta"), Config())
    assert chosen.recipe is not None
    assert chosen.recipe.least > 16
    assert chosen.trial.share == 1


class Uneven(nn.Module):
    """Cuts by lengths that are made twice by the same operation, of the same shape and of other values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, ids: Tensor, states: Tensor) -> list[Tensor]:
        left, right = ids + 0, ids.flip(0) + 0
        parts = self.first(states).split(left.tolist()) + self.second(states).split(right.tolist())
        return list(parts)


def test_the_tracer_forgets_no_known_value() -> None:
    ids, states = torch.tensor([1, 5]), torch.zeros(6, 4)
    real = [tuple(part.shape) for part in Uneven()(ids, states)]
    module = Uneven().to("meta")
    known = KnownValues(module)
    with torch.no_grad(), known:
        graph = trace(module, known.known({"ids": ids, "states": states}), symbols=(), guess=False)
    shapes = {value.name: value.shape for item in graph.main.items for value in item.outputs}
    assert [shapes[name.removeprefix("%")] for name in graph.main.outputs] == real
    assert known.guesses == []


class Told(nn.Module):
    def forward(self, ids: Tensor) -> Tensor:
        count = (ids == 3).sum()
        raise ValueError(f"tokens: {count}, made: {torch.tensor([count, 7], device=ids.device).tolist()}")


def test_counts_in_errors_are_readable() -> None:
    assert "tokens: 2, made: [2, 7]" in attempt(Told(), {"ids": torch.tensor([3, 1, 3])}).error


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.always, self.never = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, states: Tensor) -> Tensor:
        given = self.always(states)
        if not (given == given).all() or given.isnan().any() or given.sum() == 4:
            return self.never(given)
        return given


def test_what_checks_for_the_unusual_finds_nothing() -> None:
    trial = attempt(Asks().to("meta"), {"states": torch.empty(2, 4, device="meta")})
    assert sorted(trial.touched) == ["always.bias", "always.weight"]
    assert trial.guesses == 3


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5, 7))

    def forward(self, states: Tensor, ends: Tensor) -> Tensor:
        return torch._grouped_mm(states, self.weight, offs=ends)


def test_grouped_products_of_any_size_and_dtype() -> None:
    module = Grouped().to("meta")
    inputs = {"states": torch.empty(8, 5, device="meta"), "ends": torch.tensor([2, 4, 8], dtype=torch.int32)}
    trial = attempt(module, inputs)
    assert (trial.error, trial.share) == ("", 1)
    assert trial.output.shape == (8, 7)
    graph = trace(module, {name: tensor.to("meta") for name, tensor in inputs.items()}, symbols=())
    assert graph.main.items[-1].outputs[0].shape == (8, 7)
    assert graph.main.items[-1].outputs[0].dtype == "float32"


def test_where_no_guess_fits_weights_are_drawn() -> None:
    reached = reach(JETMOE, seconds=10)
    assert reached.chosen.recipe is not None
    assert reached.chosen.trial.share == 1
    assert "random weights of seed 0" in reached.model.changes
    traced = trace_address(JETMOE, shrunk=True, seconds=10)
    assert traced.share == 1
    assert any("random weights" in guess.taken for guess in traced.graph.guesses)


def test_the_inputs_of_a_model_with_weights_have_values() -> None:
    state = torch.get_rng_state()
    first, second = (load_type("bert", shrunk=True, overrides=BERT, weights=3).module for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert Facts.of(first, first.config).floats(2, 3).std() > 0


BERT = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 99}


def test_a_default_configuration_that_its_class_refuses() -> None:
    with pytest.raises(GraphError, match="cannot be built"):
        load_type("esm", shrunk=True, bare=True)
    assert any(change.startswith("vocab_size set to") for change in load_type("esm", shrunk=True).changes)


def test_a_layer_named_by_number_is_kept() -> None:
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING["minicpmv4_6"]().vision_config
    assert config.insert_layer_id > 2
    shrink(config)
    assert 0 < config.insert_layer_id < config.num_hidden_layers <= 3


def test_layers_that_another_part_names_are_kept() -> None:
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING["molmo2"]()
    assert config.adapter_config.vision_feature_layer == [24, 18]
    shrink(config)
    assert config.vision_config.num_hidden_layers == 3
    assert config.adapter_config.vision_feature_layer == [2, 1]
