import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def prose() -> Callable[..., str]:
    """Text of about `size` bytes that hardly repeats itself, a function of its seed."""

    def make(size: int, seed: int = 0) -> str:
        rng = np.random.default_rng([seed, size])
        letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkqjxz  ", dtype=np.uint8)
        raw = bytearray(letters[rng.integers(0, len(letters), size=size)].tobytes())
        raw[60::61] = b"\n" * len(raw[60::61])
        return raw.decode()

    return make


@pytest.fixture
def write() -> Callable[[Path, list[str]], Path]:
    """Write documents in the format a file's ending asks for, packed if it ends in .gz."""

    def make(path: Path, documents: list[str]) -> Path:
        plain = path.name.removesuffix(".gz")
        if plain.endswith(".jsonl"):
            content = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(documents))
            raw = content.encode()
        elif plain.endswith(".parquet"):
            import io

            import pyarrow
            from pyarrow import parquet

            table = pyarrow.table({"id": list(range(len(documents))), "text": documents})
            sink = io.BytesIO()
            parquet.write_table(table, sink, row_group_size=7)
            raw = sink.getvalue()
        else:
            raw = "".join(documents).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(raw) if path.name.endswith(".gz") else raw)
        return path

    return make


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE with an end of text, saved with truncation and padding switched on."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = ["the state of the model ", "a sequence of tokens ", "attention and convolution "] * 50
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path
