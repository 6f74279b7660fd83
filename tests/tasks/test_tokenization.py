import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import DataError
from madstar.tasks.tokenization import ByteTokenization, load_tokenization, token_dtype


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_round_trip(text):
    tokens = ByteTokenization().tokens(text.encode())
    assert tokens.tolist() == list(text.encode())
    assert ByteTokenization().decode(tokens.tolist()) == text


def test_the_type_is_the_smallest_that_fits():
    sizes = (1, 256, 257, 1 << 16, (1 << 16) + 1)
    assert [token_dtype(size).str for size in sizes] == ["|u1", "|u1", "<u2", "<u2", "<u4"]


def test_a_tokenizer_file_is_used_whole(tokenizer_file):
    loaded = load_tokenization(tokenizer_file)
    text = "the state of attention, and naïve ☕ besides\n" * 20
    tokens = loaded.tokens(text.encode())
    assert tokens.dtype == np.dtype("<u2")
    assert 16 < len(tokens) < len(text.encode())  # neither cut nor padded, as the file would have it
    assert loaded.decode(tokens.tolist()) == text
    assert tokens.max() < loaded.vocabulary_size
    assert loaded.separator == 0
    assert loaded.decode([loaded.separator]) == "<|endoftext|>"


def test_special_tokens_are_not_added(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({"[CLS]": 0, "[UNK]": 1, "word": 7}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenization(tmp_path / "tokenizer.json")
    assert loaded.tokens(b"word what").tolist() == [7, 1]
    assert (loaded.vocabulary_size, loaded.separator, loaded.unknown) == (8, None, 1)


def test_bad_tokenizers_are_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": "?"}')
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\0")
    for path, words in (
        (tmp_path / "tokenizer.json", "not a tokenizer.json"),
        (tmp_path / "binary.json", "not a tokenizer.json"),
        (tmp_path / "missing.json", "no such tokenizer"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            load_tokenization(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(tmp_path / "empty.json"))
    with pytest.raises(DataError, match="has no tokens"):
        load_tokenization(tmp_path / "empty.json")
