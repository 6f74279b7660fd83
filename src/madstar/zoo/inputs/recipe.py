"""What to feed a model, as a value: chosen parts, from which inputs of any batch and length are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from madstar.zoo.inputs import audio, series, sessions, text, vision
from madstar.zoo.inputs.facts import Facts, Inputs
from madstar.zoo.inputs.placeholders import Slot, with_slots

Builder = Callable[[Facts, int, int], Iterator[tuple[str, Inputs]]]

MODALITIES: dict[str, Builder] = {
    "text": text.text,
    "image": vision.images,
    "video": lambda facts, batch, length: vision.videos(facts, batch),
    "audio": audio.sounds,
    "series": series.series,
    "latents": audio.latents,
    "session": lambda facts, batch, length: sessions.sessions(facts),
}
BESIDE: dict[str, Builder] = {
    "beside text": text.beside_text,
    "beside images": lambda facts, batch, length: vision.beside_images(facts, batch),
    "beside sounds": audio.beside_sounds,
}


@dataclass(frozen=True)
class Choice:
    """One candidate of one builder, by its place in the builder's order."""

    builder: str
    index: int
    label: str


@dataclass(frozen=True)
class Recipe:
    """Which candidates make up a model's inputs, and the placeholders among its tokens.

    The same recipe serves the model at any depth: nothing in it depends on the number of layers. `least` is
    the length of text from which on all is reached (blocks that compress what is far need it to be far).
    `widths` are (argument, last size as built, last size as the model's first weight wants it).
    """

    choices: tuple[Choice, ...]
    slots: tuple[Slot, ...] = ()
    least: int = 16
    widths: tuple[tuple[str, int, int], ...] = ()

    def build(self, facts: Facts, batch: int = 1, length: int = 16) -> Inputs:
        """Make the inputs: tensors of floats without values on the meta device, of integers with values.

        Args:
            facts: The model.
            batch: Samples.
            length: Tokens of text in a sample, beside placeholders; at least `least`.

        Returns:
            forward's arguments by name.
        """
        length = max(length, self.least)
        inputs: Inputs = {}
        for choice in self.choices:
            if choice.builder in MODALITIES:
                inputs |= _pick(MODALITIES[choice.builder], choice.index, facts, batch, length)
        inputs = with_slots(facts, inputs, self.slots)
        whole = inputs["input_ids"].shape[1] if "input_ids" in inputs else length
        for choice in self.choices:
            if choice.builder in BESIDE:
                inputs |= _pick(BESIDE[choice.builder], choice.index, facts, batch, whole)
        for name, built, wanted in self.widths:
            if name in inputs and inputs[name].shape[-1] == built:
                inputs[name] = facts.floats(*inputs[name].shape[:-1], wanted)
        return inputs

    def __str__(self) -> str:
        words = [f"{choice.builder}: {choice.label}" for choice in self.choices]
        words += [f"{slot.count} {slot.kind} tokens" for slot in self.slots]
        words += [f"length {self.least}"] if self.least != 16 else []
        words += [f"{name} {wanted} wide" for name, _, wanted in self.widths]
        return "; ".join(words)


def _pick(builder: Builder, index: int, facts: Facts, batch: int, length: int) -> Inputs:
    for place, (_, inputs) in enumerate(builder(facts, batch, length)):
        if place == index:
            return inputs
    return {}


def candidates(facts: Facts, builders: dict[str, Builder]) -> dict[str, list[Choice]]:
    """Return every builder's candidates for a model; builders that have none are left out."""
    found = {}
    for name, builder in builders.items():
        choices = [Choice(name, place, label) for place, (label, _) in enumerate(builder(facts, 1, 16))]
        if choices:
            found[name] = choices
    return found
