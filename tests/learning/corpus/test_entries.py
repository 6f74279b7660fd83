"""Entries: packed without loss, read strictly; the museum, a user's folder, what was kept."""

import contextlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import bert, llama
from tests.graph.random_graphs import graphs

from madstar.errors import DataError, MadstarError
from madstar.graph.folding import fold
from madstar.graph.json_format import save
from madstar.learning.corpus.entries import Entry, entry_of, pack, unpacked
from madstar.learning.corpus.museum import of_museum, read_museum
from madstar.learning.corpus.own import of_folder
from madstar.learning.corpus.wanted import Store, Wanted

from .made_museum import write_museum


@given(graphs())
@settings(max_examples=12)
def test_packing_loses_nothing(graph) -> None:
    data = pack(graph)
    assert unpacked(data) == graph
    assert pack(unpacked(data)) == data


@given(st.binary(max_size=40), st.integers(0, 400))
@settings(max_examples=60)
def test_what_is_no_packed_graph_is_told(noise: bytes, at: int) -> None:
    whole = pack(fold(bert()))
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    for data in (noise, whole[: min(at, len(whole) - 1)], zlib.compress(noise)):
        with pytest.raises(DataError, match=r"^entry 7: .*$"):
            unpacked(data, "entry 7")
    with contextlib.suppress(DataError):
        unpacked(damaged)


def test_the_museum_is_read_in_order_of_keys(tmp_path: Path) -> None:
    folder = write_museum(tmp_path)
    found = list(read_museum(folder))
    keys = [entry.key for entry in found]
    assert keys == sorted(keys)
    assert "hf:bad@shrunk" not in keys
    assert {entry.source for entry in found} == {"transformers", "timm"}
    assert found[0].graph.name
    assert [wanted.key for wanted in of_museum(folder, ("full",))] == ["timm:made-7@full"]
    for place, said in ((tmp_path / "none", "is no museum"), (folder, "damaged|cannot be read")):
        (folder / "graphs" / "0.json.gz").unlink(missing_ok=True)
        with pytest.raises(DataError, match=said):
            of_museum(place)


def test_a_folder_of_graphs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        of_folder(tmp_path / "none")
    with pytest.raises(DataError, match="madstar trace makes them"):
        of_folder(tmp_path)
    (tmp_path / "deep").mkdir()
    save(fold(llama()), tmp_path / "deep" / "mine.graph.json")
    (wanted,) = of_folder(tmp_path)
    entry = wanted.make()
    assert entry is not None
    assert (entry.key, entry.source, entry.graph) == ("own:deep/mine.graph.json", "own", fold(llama()))
    (tmp_path / "deep" / "mine.graph.json").write_text("{}")
    with pytest.raises(MadstarError, match=r"mine\.graph\.json"):
        wanted.make()


def test_what_was_made_is_kept_and_found_again(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> Entry:
        made.append("x")
        return entry_of(fold(bert()), "a", "own", facts={"inputs": "text: ids"})

    store = Store(tmp_path)
    wanted = Wanted("a", "first", make)
    (first, kept), (again, kept_again) = store.item(wanted), store.item(wanted)
    assert (kept, kept_again, len(made)) == (False, True, 1)
    assert first is not None
    assert again is not None
    assert (again.entry, again.domain, again.role) == (first.entry, "text", first.role)
    assert (again.print.words == first.print.words).all()
    assert (again.print.blocks, again.print.bare, again.print.counts) == (
        first.print.blocks,
        first.print.bare,
        first.print.counts,
    )
    store.item(Wanted("a", "second", make))
    assert len(made) == 2
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert store.item(wanted)[1] is False
    assert store.item(Wanted("b", "", lambda: None)) == (None, False)
    assert store.item(Wanted("b", "", lambda: None)) == (None, True)
