import gzip
import itertools
from pathlib import Path

import pytest

from madstar.errors import DataError
from madstar.tasks import readers
from madstar.tasks.readers import ENDINGS, NotTextError, ending, read_file

DOCUMENTS = ["first line\nsecond line\n", "naïve café ☕ 数学\n", "\ttabs and\r\nreturns", "x" * 200_000]


def documents(path: Path, workspace: Path, field: str = "text") -> list[str]:
    found, current = [], b""
    for text, last in read_file(path, field, lambda _: None, workspace):
        current += text
        if last:
            found.append(current.decode())
            current = b""
    assert current == b""
    return found


@pytest.mark.parametrize(("kind", "packed"), list(itertools.product(ENDINGS, ("", ".gz"))))
def test_every_format_gives_back_what_was_written(kind, packed, tmp_path, write):
    path = write(tmp_path / f"corpus{kind}{packed}", DOCUMENTS)
    expected = DOCUMENTS if kind in (".jsonl", ".parquet") else ["".join(DOCUMENTS)]
    assert documents(path, tmp_path) == expected
    assert sorted(tmp_path.iterdir()) == [path]  # nothing unpacked is left behind


def test_endings_are_recognised_in_any_case():
    assert ending(Path("A.TXT.GZ")) == ".txt"
    assert ending(Path("b.Parquet")) == ".parquet"
    assert ending(Path("c.csv")) is None
    assert ending(Path("d.gz")) is None
    assert ending(Path("txt")) is None


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "hello"}')
    assert documents(tmp_path / "a.txt", tmp_path) == documents(tmp_path / "b.jsonl", tmp_path) == ["hello"]


def test_a_character_may_lie_across_two_chunks(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("日本語のテキスト" * 3, encoding="utf-8")
    for size in range(1, 9):
        monkeypatch.setattr(readers, "CHUNK_BYTES", size)
        assert documents(tmp_path / "a.txt", tmp_path) == ["日本語のテキスト" * 3]


def test_other_fields_columns_and_null(tmp_path, write):
    (tmp_path / "a.jsonl").write_text('{"body": "one"}\n\n{"body": null}\n{"body": "two"}')
    assert documents(tmp_path / "a.jsonl", tmp_path, "body") == ["one", "", "two"]
    path = write(tmp_path / "b.parquet", ["one", None, "two"])
    assert documents(path, tmp_path) == ["one", "", "two"]


def test_parquet_dictionaries_and_large_strings_are_text(tmp_path):
    import pyarrow
    from pyarrow import parquet

    for name, kind in (("large", pyarrow.large_string()), ("plain", pyarrow.string())):
        array = pyarrow.array(["a", "b", "a"], kind)
        table = pyarrow.table({"text": array.dictionary_encode() if name == "plain" else array})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
        assert documents(tmp_path / f"{name}.parquet", tmp_path) == ["a", "b", "a"]


def test_positions_grow_to_the_size_on_disk(tmp_path, write):
    for kind in (".txt", ".txt.gz", ".jsonl.gz", ".parquet", ".parquet.gz"):
        path = write(tmp_path / f"a{kind}", DOCUMENTS * 20)
        seen: list[int] = []
        for _ in read_file(path, "text", seen.append, tmp_path):
            pass
        assert seen == sorted(seen), kind
        assert seen[-1] == path.stat().st_size, kind


def refused(path: Path, workspace: Path, field: str = "text") -> str:
    with pytest.raises(DataError) as caught:
        documents(path, workspace, field)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{oops", "line 3: not valid JSON"),
        (b"[1, 2]", "line 3: holds a list"),
        (b'{"body": "x", "id": 1}', "line 3: has no field 'text'; it has 'body', 'id'"),
        (b'{"text": 7}', "line 3: 'text' is a int, not text"),
        (b'{"text": "\\ud800"}', "line 3: 'text' is not valid Unicode"),
        (b'{"text": "a\\u0000b"}', "line 3: 'text' has a NUL"),
        (b'{"text": "\xff"}', "line 3: not UTF-8"),
        (b"[" * 100_000, "line 3: not valid JSON"),
    ],
)
def test_a_bad_json_line_is_named(line, words, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n\n' + line + b"\n")
    assert words in refused(tmp_path / "a.jsonl", tmp_path)


def test_a_json_line_has_a_longest_length(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LINE_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_text('{"text": "' + "x" * (1 << 20) + '"}')
    assert "line 1: longer than 1 MiB" in refused(tmp_path / "a.jsonl", tmp_path)


def test_binary_and_other_encodings_are_refused(tmp_path):
    (tmp_path / "nul.txt").write_bytes(b"text\0more")
    (tmp_path / "latin.md").write_bytes("café au lait".encode("latin-1"))
    (tmp_path / "cut.py").write_bytes("é".encode()[:1])
    assert "binary" in refused(tmp_path / "nul.txt", tmp_path)
    assert "UTF-8" in refused(tmp_path / "latin.md", tmp_path)
    assert "UTF-8" in refused(tmp_path / "cut.py", tmp_path)
    with pytest.raises(NotTextError):
        readers.check_text(tmp_path / "nul.txt")


@pytest.mark.parametrize("kind", [".txt.gz", ".jsonl.gz", ".parquet.gz"])
def test_damaged_gzip_is_refused(kind, tmp_path, write):
    path = write(tmp_path / f"a{kind}", DOCUMENTS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for damaged in (whole[:-20], b"not gzip at all", bytes(flipped)):
        path.write_bytes(damaged)
        refused(path, tmp_path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_damaged_parquet_is_refused(tmp_path, write):
    path = write(tmp_path / "a.parquet", [f"document {i} " * 50 for i in range(100)])
    whole = path.read_bytes()
    for damaged in (
        whole[:-30],
        b"not parquet at all, just text",
        whole[:200] + b"\xff" * 800 + whole[1000:],
    ):
        path.write_bytes(damaged)
        refused(path, tmp_path)


def test_a_wrong_column_is_named_with_those_there_are(tmp_path, write):
    path = write(tmp_path / "a.parquet", ["one"])
    assert "no column 'body'; it has 'id', 'text'" in refused(path, tmp_path, "body")
    assert "column 'id' holds int64, not text" in refused(path, tmp_path, "id")


def test_a_file_without_permission_or_gone_is_refused(tmp_path, write, monkeypatch):
    path = write(tmp_path / "a.txt", ["x"])

    def forbidden(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(readers, "open", forbidden, raising=False)
        assert "no permission" in refused(path, tmp_path)
    path.unlink()
    assert "No such file" in refused(path, tmp_path)


def test_gzip_of_several_members_is_one_text(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
    assert documents(tmp_path / "a.txt.gz", tmp_path) == ["one two"]
