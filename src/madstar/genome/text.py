"""Genomes as numeric strings, exactly both ways.

`21211-31112` is two LIVs of five genes. Where a gene has two digits its LIV is written with dots:
`17.1.2.1.1`. Operators that are not in the table of classes get numbers from 101 on in order of
appearance, and follow after a slash, as do their featurizers:
`101.1.1.1.1-91111/o101=d101.2.2.2.3/f101=321211+111212+111212`, where d marks a differential operator.
A layer known by name that has no number is an own operator too: `101.1.1.1.1-91111/o101=@my-mixer`.
"""

from __future__ import annotations

import re
from dataclasses import astuple

from ..errors import GenomeError
from .classes import CLASSES, FEATURIZERS, class_number, featurizer_number, named_layer
from .genes import BACKBONE, FEATURIZER, OPERATOR, Gene, genes
from .genome import LAYER_NAME, ROLES, FeatureGenes, Genome, LIVGenes, OperatorGenes
from .validity import require_compatible

# Far beyond the table, so that stored strings keep their meaning when the table grows.
FIRST_OWN_CLASS, FIRST_OWN_FEATURIZER = 101, 101
_MAX_DIGITS, _MAX_SHOWN = 6, 60
NAMED = "@"


def write(genome: Genome) -> str:
    """The numeric string of a genome; `parse` reads it back to an equal value."""
    own_operators: dict[OperatorGenes, int] = {}
    own_featurizers: dict[tuple[FeatureGenes, ...], int] = {}
    livs = []
    for liv in genome.livs:
        number = class_number(liv.operator)
        if number is None:
            number = own_operators.setdefault(liv.operator, FIRST_OWN_CLASS + len(own_operators))
        livs.append(
            _digits(
                number,
                liv.featurizer_group,
                liv.featurizer_strategy,
                liv.feature_group,
                liv.feature_strategy,
            )
        )
    parts = ["-".join(livs)]
    for operator, number in own_operators.items():
        if operator.layer:
            parts.append(f"o{number}={NAMED}{operator.layer}")
            continue
        featurizer = featurizer_number(operator.features)
        if featurizer is None:
            featurizer = own_featurizers.setdefault(
                operator.features, FIRST_OWN_FEATURIZER + len(own_featurizers)
            )
        code = _digits(
            featurizer,
            operator.token_mixing,
            operator.sparsity,
            operator.nonlinearity,
            operator.channel_mixing,
        )
        parts.append(f"o{number}={'d' if operator.differential else ''}{code}")
    for features, number in own_featurizers.items():
        parts.append(f"f{number}=" + "+".join(_digits(*astuple(group)) for group in features))
    return "/".join(parts)


def parse(text: str) -> Genome:
    """The genome of a numeric string.

    Raises GenomeError naming the LIV, the gene, its value and its range; also where the genes are
    in range but do not go together (see `validity`).
    """
    if (file := re.search(rf"={NAMED}(\S*[:\\]\S*|[^/]*/\S*\.py\S*)", text)) is not None:
        raise GenomeError(
            f"{_shown(NAMED + file[1])} names a file or a module, which a genome does not: register the "
            "layer as an entry point of the group madstar.layers, and write that name"
        )
    backbone, *definitions = text.strip().split("/")
    if not backbone:
        raise GenomeError("an empty genome: write five genes per LIV, such as 21211-91111")
    texts = _definitions(definitions)
    featurizers = dict(FEATURIZERS)
    for number, code in texts["f"].items():
        featurizers[number] = _parse_featurizer(number, code)
    operators = dict(CLASSES)
    for number, code in texts["o"].items():
        operators[number] = _parse_operator(number, code, featurizers)
    livs = tuple(
        _parse_liv(index, code, operators) for index, code in enumerate(backbone.split("-"), start=1)
    )
    genome = Genome(livs)
    require_compatible(genome)
    return genome


def _digits(*values: int) -> str:
    return "".join(map(str, values)) if max(values) <= 9 else ".".join(map(str, values))


def _numbers(code: str, count: int, what: str) -> list[int]:
    parts = code.split(".") if "." in code else list(code)
    if len(parts) != count or not all(map(_is_number, parts)):
        raise GenomeError(
            f"{what} is {_shown(code)}: write {count} digits, such as {'1' * count}, "
            f"or {count} numbers with dots between, such as {'.'.join('1' * count)}"
        )
    return [int(part) for part in parts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _shown(text: str) -> str:
    """What was written, as it can stand in a message of one line."""
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...")


def _in_range(gene: Gene, value: int, what: str, known: dict[int, object] | None = None) -> int:
    allowed = gene.values if known is None else known
    if value not in allowed:
        own = ", or a number defined after a slash" if gene.open_ended else ""
        raise GenomeError(f"{what}: gene '{gene.name}' is {value}, but its range is {gene.range}{own}")
    return value


def _parse_liv(index: int, code: str, operators: dict[int, OperatorGenes]) -> LIVGenes:
    what = f"LIV {index}"
    table = genes(BACKBONE)
    number, *sharing = _numbers(code, len(table), what)
    _in_range(table[0], number, what, dict(operators))
    for gene, value in zip(table[1:], sharing, strict=True):
        _in_range(gene, value, what)
    return LIVGenes(operators[number], *sharing)


def _parse_operator(
    number: int, code: str, featurizers: dict[int, tuple[FeatureGenes, ...]]
) -> OperatorGenes:
    what = f"operator {number}"
    if code.startswith(NAMED):
        return _parse_named(code.removeprefix(NAMED), what)
    table = genes(OPERATOR)
    featurizer, *structure = _numbers(code.removeprefix("d"), len(table), what)
    _in_range(table[0], featurizer, what, dict(featurizers))
    for gene, value in zip(table[1:], structure, strict=True):
        _in_range(gene, value, what)
    features = featurizers[featurizer]
    roles = ROLES[structure[0]]
    if len(features) != len(roles):
        raise GenomeError(
            f"{what}: featurizer class {featurizer} has {len(features)} feature groups, but token mixing "
            f"{structure[0]} needs {len(roles)}: {', '.join(roles)}"
        )
    token_mixing, sparsity, nonlinearity, channel_mixing = structure
    differential = code.startswith("d")
    return OperatorGenes(features, token_mixing, sparsity, nonlinearity, channel_mixing, differential)


def _parse_named(name: str, what: str) -> OperatorGenes:
    if LAYER_NAME.fullmatch(name) is None:
        raise GenomeError(
            f"{what} is {_shown(NAMED + name)}: write the name of a layer after the {NAMED}, of letters, "
            "digits, dots, hyphens and underscores"
        )
    return named_layer(name)


def _parse_featurizer(number: int, code: str) -> tuple[FeatureGenes, ...]:
    table = genes(FEATURIZER)
    groups = []
    for place, part in enumerate(code.split("+"), start=1):
        what = f"featurizer {number}, feature group {place}"
        values = _numbers(part, len(table), what)
        for gene, value in zip(table, values, strict=True):
            _in_range(gene, value, what)
        groups.append(FeatureGenes(*values))
    return tuple(groups)


def _definitions(parts: list[str]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {"o": {}, "f": {}}
    first = {"o": FIRST_OWN_CLASS, "f": FIRST_OWN_FEATURIZER}
    for part in parts:
        name, _, code = part.partition("=")
        kind, digits = name[:1], name[1:]
        if kind not in found or not _is_number(digits) or not code:
            raise GenomeError(
                f"{_shown('/' + part)} is no definition: "
                "write /o101=... for an operator or /f101=... for a featurizer"
            )
        if int(digits) < first[kind]:
            raise GenomeError(
                f"{_shown('/' + part)} defines {name}, but own numbers begin at {kind}{first[kind]}"
            )
        if int(digits) in found[kind]:
            raise GenomeError(
                f"{_shown('/' + part)} defines {kind}{int(digits)} a second time: give it another number"
            )
        found[kind][int(digits)] = code
    return found
