"""How inputs are chosen where the first that fit are not enough, on modules made for it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from madstar.zoo.inputs.choose import choose
from madstar.zoo.inputs.facts import Facts
from madstar.zoo.inputs.recipe import MODALITIES, Recipe, candidates
from madstar.zoo.inputs.trial import attempt
from madstar.zoo.inputs.vision import images
from madstar.zoo.reaching import ALTERNATING
from madstar.zoo.tracing import trace_address
from madstar.zoo.values import KnownValues


@pytest.fixture(autouse=True)
def no_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """These modules have none, and looking for them takes as long as loading all of transformers."""
    monkeypatch.setattr("madstar.zoo.inputs.vision.processor_sizes", lambda kind: ())


class Config:
    model_type = "none"

    def __init__(self, **settings: int) -> None:
        vars(self).update({"image_token_id": 9, "vocab_size": 40, "hidden_size": 8} | settings)


class Film(nn.Module):
    """Wants a sound of one channel and frames of one size, neither of which is the first on offer."""

    def __init__(self) -> None:
        super().__init__()
        self.sound, self.frames = nn.Linear(16000, 2), nn.Linear(336, 2)

    def forward(self, input_values: Tensor, pixel_values_videos: Tensor) -> Tensor:
        if pixel_values_videos.shape[:2] != (1, 16) or input_values.shape[1:] != (1, 15360):
            raise ValueError("neither")
        return self.sound.weight.sum() + self.frames.weight.sum() + self.sound.bias[0] + self.frames.bias[0]


def test_two_late_candidates_are_tried_together() -> None:
    chosen = choose(Film().to("meta"), Config())
    assert chosen.recipe is not None
    assert chosen.trial.share == 1
    assert len(chosen.tried) > 12


class Rows(nn.Module):
    """Its feature function takes patches in any arrangement, its forward a row of all."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.project = nn.Embedding(40, 8), nn.Linear(768, 8)

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        if pixel_values.shape[-1] != 768:
            raise ValueError("not patches")
        made: Tensor = self.project(pixel_values)
        return made

    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None) -> Tensor:
        states = self.words(input_ids)
        if pixel_values is not None:
            features, marked = self.get_image_features(pixel_values), input_ids == 9
            if features.shape[0] != int(marked.sum()):
                raise ValueError("not as many")
            states = states.masked_scatter(marked[..., None], features)
        return states


def test_what_forward_refuses_gives_way_to_the_next_that_its_feature_function_takes() -> None:
    chosen = choose(Rows().to("meta"), Config())
    assert chosen.trial.share == 1
    assert "patches of all images" in str(chosen.recipe)


class Uncounted(Rows):
    """Gives its features in a form of its own."""

    def get_image_features(self, pixel_values: Tensor) -> Any:
        return {"levels": {0: super().get_image_features(pixel_values)}}

    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None) -> Tensor:
        states = self.words(input_ids)
        if pixel_values is not None:
            features, marked = self.get_image_features(pixel_values)["levels"][0], input_ids == 9
            features, count = features.reshape(-1, 8), int(marked.sum())
            if len(features) != count:
                raise ValueError(
                    f"Features and tokens do not match, tokens: {count}, features: {len(features)}"
                )
            states = states.masked_scatter(marked[..., None], features)
        return states


def test_features_that_cannot_be_counted_are_asked_of_forward() -> None:
    chosen = choose(Uncounted().to("meta"), Config())
    assert chosen.trial.share == 1
    assert chosen.recipe is not None
    assert [slot.count for slot in chosen.recipe.slots] == [16]


class Outer(nn.Module):
    """An encoder that sees, behind a forward that does not name what it hands on."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Rows()

    def forward(self, input_ids: Tensor, **kwargs: Any) -> Tensor:
        made: Tensor = self.encoder(input_ids, **kwargs)
        return made


class Named(Outer):
    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None, **kwargs: Any) -> Tensor:
        made: Tensor = self.encoder(input_ids, pixel_values, **kwargs)
        return made


def test_what_forward_hands_on_is_an_argument_too() -> None:
    facts = Facts.of(Outer(), Config())
    assert facts.arguments == {"input_ids": True, "pixel_values": False}
    assert isinstance(facts.featured("image"), Rows)
    assert Facts.of(Named(), Config()).featured("image") is None
    assert choose(Outer().to("meta"), Config()).trial.share == 1


class Long(nn.Module):
    """Has a part for sounds that are too long for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.full = nn.Linear(80, 4), nn.Linear(4, 4)

    def forward(self, input_features: Tensor) -> Tensor:
        states: Tensor = self.always(input_features)
        return states if states.shape[1] < 1000 else self.full(states)


def test_longer_sounds_are_tried() -> None:
    chosen = choose(Long().to("meta"), Config())
    assert chosen.trial.share == 1
    assert str(chosen.recipe) == "audio: features [1, 3000, 80]"


class Pieces(nn.Module):
    """Cuts where a score is high, and joins what was cut: three counts that must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.score, self.last = nn.Embedding(40, 8), nn.Linear(8, 1), nn.Linear(8, 8)

    def forward(self, input_ids: Tensor) -> Tensor:
        states = self.words(input_ids)
        high = self.score(states)[..., 0] > 0.5
        places = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        both = torch.cat([places, places], dim=1)[torch.cat([high, ~high], dim=1)]
        chosen = states[high]
        if both.numel() != places.numel():
            raise ValueError("not each once")
        if chosen.shape[0] != int(high.sum()):
            raise ValueError("not as many as are high")
        joined: Tensor = self.last(chosen)
        return joined


def test_alternating_answers_agree_with_each_other() -> None:
    inputs = {"input_ids": torch.ones(2, 6, dtype=torch.long)}
    assert "not as many as are high" in attempt(Pieces().to("meta"), inputs).error
    trial = attempt(Pieces().to("meta"), inputs, alternating=True)
    assert (trial.error, trial.share, trial.guesses) == ("", 1, 1)
    assert trial.output.shape == (6, 8)


BLT = "hf:blt?encoder_hash_byte_group_vocab=50"


def test_where_guesses_contradict_each_other_they_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("madstar.zoo.reaching.MOST_WEIGHTS", 0)
    traced = trace_address(BLT, shrunk=True, seconds=10)
    assert ALTERNATING in traced.model.changes
    assert traced.share == 1
    assert ("gt", "every other one") in {(guess.op, guess.taken) for guess in traced.graph.guesses}


def test_whole_numbers_made_like_an_unknown_tensor_are_known() -> None:
    known, unknown = KnownValues(nn.Identity()), torch.empty(3, 4, device="meta")
    with known:
        lengths = 4 * unknown.new_ones(3, dtype=torch.long)
        assert lengths.tolist() == [4, 4, 4]
        assert torch.zeros_like(unknown, dtype=torch.bool).any().item() is False
        assert known.guesses == []
        unknown.new_ones(3).tolist()
    assert len(known.guesses) == 1


def test_what_is_known_in_inference_mode_can_be_viewed_outside_it_too() -> None:
    known = KnownValues(nn.Identity())
    places = known.known(torch.arange(4))
    with torch.no_grad(), known, torch.inference_mode():
        made = places[..., None] + places[None]
        assert made.tolist()[3] == [3, 4, 5, 6]
    assert not made.is_inference()


class Session:
    """A video, what was pointed at in it, and what was remembered."""

    def __init__(self, video: Tensor, video_height: int, video_width: int, dtype: torch.dtype, **where: Any):
        self.video_height, self.video_width = video_height, video_width
        self.frames = dict(enumerate(video))
        self.point_inputs_per_obj: dict[int, dict[int, Any]] = {}
        self.mask_inputs_per_obj: dict[int, dict[int, Any]] = {}
        self.obj_with_new_inputs: list[int] = []
        self.memory: dict[int, Tensor] = {}

    def obj_id_to_idx(self, name: int) -> int:
        self.point_inputs_per_obj.setdefault(name, {})
        self.mask_inputs_per_obj.setdefault(name, {})
        return name

    def add_point_inputs(self) -> None: ...

    def add_mask_inputs(self) -> None: ...


class Follows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        parts = {"see": 3, "remember": 6, "first": 3, "mask": 3}
        for name, width in parts.items():
            setattr(self, name, nn.Linear(width, 3))

    @torch.inference_mode()
    def forward(self, inference_session: Session, frame_idx: int | None = None) -> Tensor:
        assert frame_idx is not None
        seen = self.see(inference_session.frames[frame_idx].mean((1, 2)))
        for name in inference_session.point_inputs_per_obj:
            before = inference_session.memory.get(name)
            seen = self.first(seen) if before is None else self.remember(torch.cat([seen, before]))
            points = inference_session.point_inputs_per_obj[name].get(frame_idx)
            if points is not None and points["point_labels"].sum() != 1:
                raise ValueError("one point on it, one beside it")
            if frame_idx in inference_session.mask_inputs_per_obj[name]:
                seen = self.mask(seen)
            inference_session.memory[name] = seen
        made: Tensor = seen
        return made


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_session_remembers_what_the_model_made_of_earlier_frames(device: str) -> None:
    module = Follows().to(device)
    facts = Facts.of(module, Config(image_size=16))
    (both, points) = candidates(facts, MODALITIES)["session"]
    first, second = (Recipe((both,)).build(facts) for _ in range(2))
    session = first["inference_session"]
    assert session is not second["inference_session"]
    assert session.memory[1].device.type == device
    assert not session.memory[1].is_inference()  # a copy: no run changes what the next is given
    assert (sorted(session.memory), sorted(session.point_inputs_per_obj)) == ([1], [1, 2, 3])
    trial = attempt(module, first)
    assert (trial.error, trial.share, trial.guesses) == ("", 1, 0)
    assert attempt(module, Recipe((points,)).build(facts)).share == 0.75


def test_pooled_patches_beyond_an_odd_edge_are_none() -> None:
    class Pooled(nn.Module):
        def forward(self, pixel_values: Tensor, image_token_pooling: Tensor) -> None: ...

    facts = Facts.of(Pooled(), Config(image_size=42, patch_size=14))
    found = dict(images(facts, 2, 16))["pooled crops"]["image_token_pooling"]
    assert found.tolist()[:4] == [[0, 1, 3, 4], [2, -1, 5, -1], [6, 7, -1, -1], [8, -1, -1, -1]]
    assert sorted(set(found[found >= 0].tolist())) == list(range(18))
