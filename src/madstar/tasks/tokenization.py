"""Text to tokens and back: bytes, or a Hugging Face tokenizer.json."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from madstar.errors import DataError

_DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "<|im_end|>")


class Tokenization(Protocol):
    """A vocabulary, and the way between text and its tokens."""

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest token."""

    @property
    def separator(self) -> int | None:
        """The token that ends a document, or None."""

    @property
    def unknown(self) -> int | None:
        """The token that stands for text the vocabulary cannot write, or None."""

    @property
    def name(self) -> str:
        """What the tokens are, in a few words."""

    @property
    def identity(self) -> str:
        """A hash that two tokenisations share only if they are the same."""

    @property
    def file(self) -> bytes | None:
        """The content of the tokenizer.json, or None for bytes."""

    def tokens(self, text: bytes) -> np.ndarray:
        """Return the tokens of UTF-8 text, in the type `token_dtype` gives."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens."""


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """Return the smallest little-endian unsigned type that holds every token."""
    if vocabulary_size <= 1 << 8:
        return np.dtype("u1")
    return np.dtype("<u2") if vocabulary_size <= 1 << 16 else np.dtype("<u4")


def load_tokenization(path: Path | None) -> Tokenization:
    """Return bytes for None, else the tokenizer in a tokenizer.json.

    Raises DataError for a file that is missing, unreadable or not a tokenizer.
    """
    if path is None:
        return ByteTokenization()
    path = Path(path).expanduser()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the tokenizer.json in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such tokenizer; give a tokenizer.json, or none for bytes") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    return FileTokenization(content, str(path))


class ByteTokenization:
    """Every byte of UTF-8 is a token; NUL, which text does not have, ends a document."""

    vocabulary_size = 256
    separator: int | None = 0
    unknown: int | None = None
    name = "bytes"
    identity = "bytes"
    file: bytes | None = None

    def tokens(self, text: bytes) -> np.ndarray:
        """Return the bytes."""
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text; bytes that are not UTF-8, as at a window's ends, become U+FFFD."""
        return bytes(ids).decode("utf-8", errors="replace")


class FileTokenization:
    """The tokens of a tokenizer.json, without the special tokens it would add around a text."""

    def __init__(self, content: bytes, where: str) -> None:
        from tokenizers import Tokenizer  # here, because bytes need no tokenizers

        try:
            self._tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        except Exception as error:  # the library raises bare exceptions
            reason = (str(error).splitlines() or [""])[0]
            raise DataError(f"{where}: not a tokenizer.json ({reason}); export it again") from error
        # A file saved for fixed-length batches would cut and pad every document.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise DataError(f"{where}: this tokenizer has no tokens; train it first")
        self.file: bytes | None = content
        self.vocabulary_size = max(vocabulary.values()) + 1
        self.separator = next((vocabulary[end] for end in _DOCUMENT_ENDS if end in vocabulary), None)
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self.unknown: int | None = vocabulary.get(unknown) if isinstance(unknown, str) else None
        self.name = f"a tokenizer of {self.vocabulary_size:,} tokens"
        self.identity = hashlib.sha256(content).hexdigest()
        self._dtype = token_dtype(self.vocabulary_size)

    def tokens(self, text: bytes) -> np.ndarray:
        """Return the tokenizer's tokens."""
        encoded = self._tokenizer.encode(text.decode("utf-8"), add_special_tokens=False)
        return np.asarray(encoded.ids, dtype=self._dtype)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text as the tokenizer's own decoder writes it, special tokens shown."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text
