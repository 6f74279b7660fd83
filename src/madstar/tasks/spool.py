"""Tokens on their way to the splits: written to disk as they are read, split when all are known.

How many tokens there are, and so what 5% of them is, is known only at the end. The spool holds the
tokens of every unit one after another, and beside them one short record a unit; only the records
(17 bytes each) are ever in memory together.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np

from madstar.tasks.manifest import SplitCounts
from madstar.tasks.split import SPLITS, Piece
from madstar.tasks.tokenization import Tokenization, token_dtype

_BUFFER_BYTES = 1 << 18
_RECORD = Struct("<QII?")
_RECORD_DTYPE = np.dtype([("key", "<u8"), ("tokens", "<u4"), ("bytes", "<u4"), ("continues", "?")])


@dataclass(frozen=True)
class Spool:
    """What `fill` has written: the tokens' file and the units' records."""

    tokens: Path
    records: np.ndarray
    unknown: int

    @property
    def total(self) -> int:
        """Tokens of all units, without the ends of documents."""
        return int(self.records["tokens"].sum())

    @property
    def documents(self) -> int:
        """Documents, each counted once however many pieces it has."""
        return len(self.records) - int(np.count_nonzero(self.records["continues"]))


def fill(pieces: Iterable[Piece], tokenization: Tokenization, seed: int, workspace: Path) -> Spool:
    """Tokenise every piece into `workspace`. OSError means that the workspace cannot be written."""
    tokens_file, records_file = workspace / "spool.bin", workspace / "records.bin"
    unknown = 0
    key = seed.to_bytes(8, "little")
    with (
        open(tokens_file, "wb", _BUFFER_BYTES) as tokens_out,
        open(records_file, "wb", _BUFFER_BYTES) as records_out,
    ):
        for text, continues in pieces:
            tokens = tokenization.tokens(text)
            if tokenization.unknown is not None:
                unknown += int(np.count_nonzero(tokens == tokenization.unknown))
            tokens_out.write(tokens.tobytes())
            digest = hashlib.blake2b(text, digest_size=8, key=key).digest()
            order = int.from_bytes(digest, "little")
            records_out.write(_RECORD.pack(order, len(tokens), len(text), continues))
    records = np.fromfile(records_file, dtype=_RECORD_DTYPE)
    records_file.unlink()
    return Spool(tokens_file, records, unknown)


def pour(
    spool: Spool, splits: np.ndarray, tokenization: Tokenization, target: Path
) -> dict[str, SplitCounts]:
    """Write train.bin, valid.bin and test.bin from a spool, which is removed; return what is in each.

    A separator follows each unit, except where the next piece of its document follows it in the
    same split. It counts as one byte of text: with bytes a token is then exactly a byte, and with a
    tokenizer bits per byte pay for it too.
    """
    dtype = token_dtype(tokenization.vocabulary_size)
    joined = spool.records["continues"] & (splits == np.append(splits[1:], 255))
    separator = b"" if tokenization.separator is None else dtype.type(tokenization.separator).tobytes()
    digests = [hashlib.sha256() for _ in SPLITS]
    ends = ~joined if separator else np.zeros(len(splits), dtype=bool)
    files = [open(target / f"{name}.bin", "wb", _BUFFER_BYTES) for name in SPLITS]  # noqa: SIM115
    try:
        with open(spool.tokens, "rb", _BUFFER_BYTES) as stored:
            for tokens, split, ended in zip(spool.records["tokens"], splits, ends, strict=True):
                content = stored.read(int(tokens) * dtype.itemsize) + separator * int(ended)
                files[split].write(content)
                digests[split].update(content)
    finally:
        for file in files:
            file.close()
    spool.tokens.unlink()
    tokens, in_bytes = (_sums(splits, spool.records[column] + ends) for column in ("tokens", "bytes"))
    units = _sums(splits, np.ones(len(splits)))
    return {
        name: SplitCounts(tokens[split], in_bytes[split], units[split], digests[split].hexdigest())
        for split, name in enumerate(SPLITS)
    }


def _sums(splits: np.ndarray, values: np.ndarray) -> list[int]:
    sums = np.bincount(splits, weights=values, minlength=len(SPLITS))
    return [int(value) for value in sums]
