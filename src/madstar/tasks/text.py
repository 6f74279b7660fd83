"""A prepared text: batches to train on, windows to measure on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from madstar.errors import ConfigurationError, DataError
from madstar.tasks.leakage import gather
from madstar.tasks.manifest import TOKENIZER_FILE, Manifest, read_manifest
from madstar.tasks.split import SPLITS
from madstar.tasks.tokenization import Tokenization, load_tokenization


@dataclass(frozen=True, eq=False)
class TextTask:
    """Next-token prediction on a prepared text; immutable, memory-mapped, the same in every process.

    A window has `length + 1` tokens: the first `length` are inputs, the last `length` targets.
    """

    directory: Path
    manifest: Manifest
    _tokens: Mapping[str, np.ndarray] = field(repr=False)

    @staticmethod
    def open(directory: str | Path) -> "TextTask":
        """Open a folder that `prepare_text` made, without reading the text.

        Raises DataError if the folder is not a prepared text or its files are not as long as they were.
        """
        directory = Path(directory)
        manifest = read_manifest(directory)
        return TextTask(directory, manifest, {name: _mapped(directory, manifest, name) for name in SPLITS})

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest token."""
        return self.manifest.vocabulary_size

    @property
    def length(self) -> int:
        """Tokens that a model reads at once."""
        return self.manifest.length

    @property
    def fingerprint(self) -> str:
        """A hash of the tokens, their split, the tokenizer and the length: equal where results compare."""
        return self.manifest.fingerprint

    @property
    def description(self) -> str:
        """The text in one line for a person."""
        tokens = self.manifest.splits["train"].tokens
        return f"{self.manifest.source.description}, as {self.manifest.tokenizer}, {tokens:,} to train on"

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text that a validation token stands for; divides bits per token into bits per byte."""
        return self.bytes_per_token_of("valid")

    def bytes_per_token_of(self, split: str) -> float:
        """Bytes of text that a token of a split stands for."""
        counts = self.manifest.splits[split]
        return counts.bytes / counts.tokens

    def train_batch(self, step: int, batch: int, seed: int) -> Int[Tensor, "batch length+1"]:
        """Return `batch` windows that start anywhere in the training split, uniformly.

        A function of (seed, step, batch) alone, so a run can be taken up at any step.
        Raises ConfigurationError for a negative step or seed, or fewer than one window.
        """
        _at_least("batch", batch, 1)
        _at_least("step", step, 0)
        _at_least("seed", seed, 0)
        tokens = self._tokens["train"]
        starts = np.random.default_rng([seed, step, batch]).integers(0, len(tokens) - self.length, size=batch)
        return self._windows_at("train", starts)

    def windows(
        self, split: str, batch: int, limit: int | None = None
    ) -> Iterator[Int[Tensor, "batch length+1"]]:
        """Yield a split's fixed windows, which do not overlap, in batches; the last may be smaller.

        Windows of validation and test that stand in the training split are left out. With `limit`,
        at most that many windows come, evenly spread over the split.
        Raises ConfigurationError for an unknown split, or a batch or limit below one.
        """
        _at_least("batch", batch, 1)
        starts = self._starts(split)
        if limit is not None:
            _at_least("limit", limit, 1)
            chosen = min(limit, len(starts))
            starts = starts[np.arange(chosen) * len(starts) // chosen]
        return (
            self._windows_at(split, starts[first : first + batch]) for first in range(0, len(starts), batch)
        )

    def window_count(self, split: str) -> int:
        """Return how many windows `windows` yields for a split without a limit."""
        return len(self._starts(split))

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without the end of a document.

        Raises DataError for text that cannot be written as UTF-8.
        """
        try:
            encoded = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"the text is not valid Unicode ({error.reason}); remove lone surrogates"
            ) from error
        ids: list[int] = self._tokenization.tokens(encoded).tolist()
        return ids

    def decode(self, ids: Sequence[int] | Int[Tensor, " tokens"]) -> str:
        """Return the text of tokens; with bytes, a cut character becomes U+FFFD and a document's end NUL.

        Raises ConfigurationError for a token outside the vocabulary.
        """
        plain = ids.tolist() if isinstance(ids, Tensor) else [int(token) for token in ids]
        wrong = next((token for token in plain if not 0 <= token < self.vocabulary_size), None)
        if wrong is not None:
            raise ConfigurationError(f"token {wrong} is outside the vocabulary of {self.vocabulary_size}")
        return self._tokenization.decode(plain)

    @cached_property
    def _tokenization(self) -> Tokenization:
        own = self.directory / TOKENIZER_FILE
        return load_tokenization(None if self.manifest.inputs.tokenizer == "bytes" else own)

    def _starts(self, split: str) -> np.ndarray:
        if split not in SPLITS:
            raise ConfigurationError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        width = self.length + 1
        starts = np.arange(self.manifest.splits[split].tokens // width, dtype=np.int64) * width
        checked = self.manifest.leakage.splits.get(split)
        return starts if checked is None else np.setdiff1d(starts, checked.excluded, assume_unique=True)

    def _windows_at(self, split: str, starts: np.ndarray) -> Int[Tensor, "batch length+1"]:
        windows = gather(self._tokens[split], starts, self.length + 1)
        return torch.from_numpy(windows.astype(np.int64))


def _mapped(directory: Path, manifest: Manifest, name: str) -> np.ndarray:
    path = directory / f"{name}.bin"
    expected = manifest.splits[name].tokens
    try:
        tokens = np.memmap(path, dtype=np.dtype(manifest.dtype), mode="r")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: missing or damaged; remove the folder and prepare the text again"
        ) from error
    if len(tokens) != expected:
        raise DataError(f"{path}: holds {len(tokens)} tokens, not {expected}; prepare the text again")
    return tokens


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigurationError(f"{name} is {value}; give at least {least}")
