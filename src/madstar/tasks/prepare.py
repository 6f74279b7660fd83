"""A text made ready once: read, tokenised, split, checked for leakage, written beside its manifest."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from madstar.errors import ConfigurationError, DataError
from madstar.tasks.leakage import check_leakage
from madstar.tasks.manifest import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    Inputs,
    LeakageReport,
    Manifest,
    SourceReport,
    SplitCounts,
    fingerprint,
)
from madstar.tasks.placing import check_place, new_folder
from madstar.tasks.readers import Fragment
from madstar.tasks.sources import Progress, Source, Tally, find_source
from madstar.tasks.split import (
    MINIMUM_WINDOWS,
    PEEK_BYTES,
    assign,
    cut,
    held_out_target,
    piece_bytes,
)
from madstar.tasks.spool import Spool, fill, pour
from madstar.tasks.text import TextTask
from madstar.tasks.tokenization import Tokenization, load_tokenization, token_dtype

MINIMUM_HELD_OUT = 8
"""Windows that validation and test must keep after those that stand in training are left out."""


def prepare_text(
    data: str | Path = "python-reference",
    *,
    directory: str | Path,
    tokenizer: str | Path | None = None,
    length: int = 256,
    seed: int = 0,
    field: str = "text",
    progress: Progress | None = None,
) -> TextTask:
    """Tokenise a text into `directory`, or find that this has been done, and open it.

    `data` is a file, a folder (read through, with the folders in it), or the name of a built-in
    text; `tokenizer` a tokenizer.json, None for bytes; `length` the tokens a model reads at once;
    `seed` decides what is held out; `field` names the JSON field or parquet column; `progress` is
    called with (bytes read, bytes in all).

    The text is streamed: memory grows with the number of documents (some tens of bytes each) and
    with the number of held-out windows, not with the text. While it works, the disk holds the
    tokens twice. What stands in `directory` is replaced only if it is an earlier preparation.

    Raises ConfigurationError for an impossible length or seed, DataError for text or a tokenizer
    that cannot be used, OutputError if `directory` cannot be written.
    """
    if length < 1:
        raise ConfigurationError(f"length is {length} tokens; give at least 1")
    if not 0 <= seed < 1 << 63:
        raise ConfigurationError(f"seed is {seed}; give a number from 0 to 2^63 - 1")
    directory = Path(os.path.realpath(Path(directory).expanduser()))
    source = find_source(data, field)
    tokenization = load_tokenization(None if tokenizer is None else Path(tokenizer))
    inputs = Inputs(source.identity, tokenization.identity, length, seed, field)
    done = _prepared(directory, inputs)
    if done is not None:
        return done
    check_place(directory)
    with new_folder(directory, good=lambda: _prepared(directory, inputs) is not None) as partial:
        manifest = _build(source, tokenization, inputs, partial, progress)
        if tokenization.file is not None:
            (partial / TOKENIZER_FILE).write_bytes(tokenization.file)
        (partial / MANIFEST_FILE).write_text(manifest.to_json(), "utf-8")
    return TextTask.open(directory)


def _prepared(directory: Path, inputs: Inputs) -> TextTask | None:
    """Return what is in `directory` if it was made from the same inputs and is whole."""
    try:
        task = TextTask.open(directory)
    except DataError:
        return None
    return task if task.manifest.inputs == inputs else None


def _build(
    source: Source, tokenization: Tokenization, inputs: Inputs, partial: Path, progress: Progress | None
) -> Manifest:
    """Write the three splits into `partial` and return their manifest."""
    length, seed = inputs.length, inputs.seed
    tally = Tally(source.total_bytes, progress)
    total, fragments = _peek(source.fragments(tally, partial))
    limit = piece_bytes(total, length)
    spool = fill(cut(fragments, limit), tokenization, seed, partial)
    splits = _split(spool, length, source)
    counts = pour(spool, splits, tokenization, partial)
    leakage = _checked(partial, counts, length, tokenization.vocabulary_size, source)
    return Manifest(
        fingerprint=fingerprint(tokenization.vocabulary_size, tokenization.identity, length, counts),
        vocabulary_size=tokenization.vocabulary_size,
        dtype=token_dtype(tokenization.vocabulary_size).str,
        separator=tokenization.separator,
        unknown_tokens=spool.unknown,
        length=length,
        seed=seed,
        tokenizer=tokenization.name,
        source=SourceReport(
            description=source.description,
            documents=spool.documents,
            units=len(spool.records),
            piece_bytes=limit,
            files=tally.files,
            skipped=tuple(tally.skipped),
        ),
        splits=counts,
        leakage=leakage,
        inputs=inputs,
    )


def _peek(fragments: Iterator[Fragment]) -> tuple[int | None, Iterable[Fragment]]:
    """Return the text's bytes if they are few, else None, and the fragments again from the first on."""
    head: list[Fragment] = []
    size = 0
    for fragment in fragments:
        head.append(fragment)
        size += len(fragment.text)
        if size > PEEK_BYTES:
            return None, chain(_consumed(head), fragments)
    return size, _consumed(head)


def _consumed(head: list[Fragment]) -> Iterator[Fragment]:
    """Yield what was peeked at, letting go of each fragment as it is handed on."""
    head.reverse()
    while head:
        yield head.pop()


def _split(spool: Spool, length: int, source: Source) -> np.ndarray:
    """Return each unit's split. Raises DataError for a text too short to be split."""
    total, needed = spool.total, MINIMUM_WINDOWS * (length + 1)
    if not total and len(spool.records):
        raise DataError(f"{source.description}: the tokenizer finds no token in it; give another tokenizer")
    if not total:
        raise DataError(f"{source.description}: empty, no text in it; give at least {needed:,} tokens")
    if total < needed:
        shorter = total // MINIMUM_WINDOWS - 1
        advice = f"or a length of at most {shorter}" if shorter >= 1 else "there is too little for any length"
        raise DataError(
            f"{source.description}: too short, {total:,} tokens where a length of {length} needs {needed:,}; "
            f"give more text, {advice}"
        )
    return assign(spool.records["key"], spool.records["tokens"], held_out_target(total, length))


def _checked(
    partial: Path, counts: dict[str, SplitCounts], length: int, vocabulary_size: int, source: Source
) -> LeakageReport:
    """Return the leakage report. Raises DataError if too little of a held-out split is new."""
    for name, split in counts.items():
        if split.tokens < MINIMUM_HELD_OUT * (length + 1):
            raise DataError(
                f"{source.description}: cannot be split, {split.tokens:,} tokens are left for {name} where "
                f"{MINIMUM_HELD_OUT * (length + 1):,} are needed; give more text that repeats itself less"
            )
    dtype = token_dtype(vocabulary_size)
    train, valid, test = (
        np.memmap(partial / f"{name}.bin", dtype, mode="r") for name in ("train", "valid", "test")
    )
    report = check_leakage(train, {"valid": valid, "test": test}, length, vocabulary_size)
    for name, checked in report.splits.items():
        kept = checked.windows - len(checked.excluded)
        if kept < MINIMUM_HELD_OUT:
            raise DataError(
                f"{source.description}: repeats itself too much, {kept} of {checked.windows} {name} windows "
                f"are not in training too; give more varied text or another length"
            )
    return report
