"""The architectures that the tests of this room run through, and how they are built and stepped."""

import torch
from jaxtyping import config
from torch import Tensor

from madstar.genome import OPERATORS, Genome, Sizes, class_name, compile_genome
from madstar.genome.genome import SHARED_ROLES
from madstar.liv import Backbone, BackboneSpec

VOCABULARY = 61
# A window shorter than most sequences here, and neither a divisor nor a multiple of a scan's chunks.
SMALL = Sizes(vocabulary_size=VOCABULARY, width=32, heads=4, window=20)

CLASSES = {class_name(operator): f"{number}.1.1.1.1" for number, operator in OPERATORS.items()}


def alone(operator: str, features: str = "") -> str:
    """A genome of one layer of an operator that is not in the table."""
    return f"101.1.1.1.1/o101={operator}" + (f"/f101={features}" if features else "")


CUSTOM = {
    "relu attention": alone("12133"),
    "swish attention": alone("12143"),
    "single-head softmax attention": alone("12122"),
    "banded softmax attention": alone("12223"),
    "banded grouped-query softmax attention": alone("32223"),
    "banded single-head swish attention": alone("12242"),
    "banded relu attention": alone("12233"),
    "banded swish attention": alone("12243"),
    "linear attention": alone("12113"),
    "single-head linear attention": alone("12112"),
    "grouped-query linear attention": alone("32113"),
    "convolved linear attention": alone("22113"),
    "banded linear attention": alone("12213"),
    "banded grouped-query linear attention": alone("42213"),
    "attention of diagonal and grouped features": alone("101.2.1.2.3", "111111+111311+111111"),
    "attention of relu and swish features": alone("101.2.1.2.3", "113211+114211+114211"),
    "grouped-query attention of grouped features": alone("101.2.1.2.3", "111311+111312+323312"),
    "linear attention of relu features": alone("101.2.1.1.3", "113211+113211+111211"),
    "scalar-decay recurrence": alone("54113"),
    "scalar-decay recurrence, dense decay": alone(
        "101.4.1.1.3", "1.1.1.2.16.1+1.1.1.2.16.1+1.1.1.2.1.1+1.1.1.2.1.1"
    ),
    "recurrence read through relu": alone("54131"),
    "recurrence read through swish": alone("64143"),
    "recurrence of diagonal features": alone("101.4.1.1.1", "111241+111241+111111+111111"),
    "convolved recurrence": alone("101.4.1.1.1", "323281+324281+321311+321211"),
    "convolved scalar-decay recurrence": alone("101.4.1.1.3", "321221+321221+321211+323111"),
    "grouped short convolution": alone("73113"),
    "swish-gated short convolution": alone("73141"),
    "short convolution of 15 tokens": alone(
        "101.3.1.1.1", "1.1.1.2.1.1+1.1.1.2.1.1+1.1.1.2.1.1+3.2.1.1.15.1"
    ),
    "grouped short convolution of 7 tokens": alone("101.3.1.3.3", "111211+111211+111211+321171"),
    "grouped long convolution": alone("83113"),
    "relu-gated long convolution": alone("83131"),
    "banded long convolution": alone("83211"),
    "banded grouped long convolution": alone("83213"),
    "convolution of diagonal and grouped features": alone("101.3.1.1.1", "321111+323311+114111+311111"),
    "ungated memoryless": alone("91112"),
    "relu memoryless": alone("91132"),
    "grouped memoryless": alone("91143"),
    "convolved memoryless": alone("101.1.1.4.2", "324221+323221"),
    "differential linear attention": alone("d12113"),
    "differential banded relu attention": alone("d42233"),
    "differential scalar-decay recurrence": alone("d54113"),
    "differential banded long convolution": alone("d83213"),
    "differential memoryless": alone("d91142"),
}


def _shared_features() -> dict[str, str]:
    """One class of every make with every strategy that it has; the others differ in sizes alone."""
    found = {}
    for number in (2, 3, 5, 7, 8, 9, 12, 14, 17):
        operator = OPERATORS[number]
        for strategy in SHARED_ROLES[operator.token_mixing]:
            member = f"{number}.1.1.3.{strategy}"
            if strategy > 1:
                found[f"{class_name(operator)}, strategy {strategy}"] = f"{member}-{member}"
    return found


def _custom_shared_features() -> dict[str, str]:
    codes = {
        "banded grouped-query softmax attention": "32223",
        "grouped-query linear attention": "32113",
        "convolved linear attention": "22113",
        "scalar-decay recurrence": "54113",
        "grouped short convolution": "73113",
        "banded grouped long convolution": "83213",
        "differential linear attention": "d12113",
    }
    return {
        f"{name}, strategy {strategy}": f"101.1.1.1.{strategy}-101.1.1.1.{strategy}/o101={code}"
        for name, code in codes.items()
        for strategy in (2, 3, 4)
    }


SHARED_FEATURES = {**_shared_features(), **_custom_shared_features()}
SHARED_WEIGHTS = {
    f"{class_name(OPERATORS[number])}, shared weights": "-".join([f"{number}.1.2.1.1"] * 2)
    for number in (2, 3, 5, 7, 8, 9, 12, 14)
}
SHARED_WIDELY = {
    "three layers, attention": "21112-71111-21112-21112",
    "three layers, recurrence": "51113-71111-51113-51113",
    "three layers, convolution": "71112-91111-71112-71112",
    "three layers, differential": "12.1.1.1.2-71111-12.1.1.1.2-12.1.1.1.2",
    "both kinds, attention": "11212-11212",
    "both kinds, keys only, grouped-query": "31213-71111-31213",
    "both kinds, recurrence": "51212-91111-51212-51212",
    "both kinds, long convolution": "81214-81214",
    "both kinds, differential attention": "12.1.2.1.2-12.1.2.1.2",
    "both kinds, differential recurrence": "14.1.2.1.3-71111-14.1.2.1.3",
    "weights of one group, features of two": "11212-11222-11212-11222",
    "two groups interleaved": "11112-51122-11112-51122",
    "far apart": "21112-91111-71111-61111-11111-81111-21112",
}

SINGLE = {**CLASSES, **CUSTOM}
DISTINCT = {**SINGLE, **SHARED_WIDELY}
ALL = {**SINGLE, **SHARED_FEATURES, **SHARED_WEIGHTS, **SHARED_WIDELY}


def spec(genome: str, sizes: Sizes = SMALL) -> BackboneSpec:
    return compile_genome(Genome.parse(genome), sizes)


def build(genome: str, sizes: Sizes = SMALL, seed: int = 0) -> Backbone:
    return Genome.parse(genome).build(sizes, seed)


def tokens(batch: int, length: int, seed: int = 0, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(seed))


def stepped(backbone: Backbone, text: Tensor, states: tuple) -> tuple[Tensor, tuple]:
    """Logits of the step form over a text, from the given states on, and the states after it."""
    logits = []
    try:
        for place, token in enumerate(text.unbind(1)):
            # Annotations are checked for the first step alone: it costs more than the step itself.
            config.update("jaxtyping_disable", place > 0)
            following, states = backbone.step(token, states)
            logits.append(following)
    finally:
        config.update("jaxtyping_disable", False)
    return torch.stack(logits, 1), states


def tensors(state: object) -> list[Tensor]:
    """Every tensor in a decoding state, in a fixed order."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, dict):
        return [tensor for name in sorted(state) for tensor in tensors(state[name])]
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in tensors(part)]
    return []
