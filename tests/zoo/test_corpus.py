import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from madstar.errors import GraphError, OutputError
from madstar.graph.json_format import load as load_graph
from madstar.graph.statistics import statistics
from madstar.zoo.corpus import (
    CorpusSettings,
    Task,
    build_corpus,
    failures,
    file_name,
    make_handler,
    read_index,
)

TINY = "hidden_size=16&intermediate_size=16&num_attention_heads=2&num_key_value_heads=2&num_hidden_layers=2"

PRETEND = "pretending:make_pretender"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))


def tasks(*names: str) -> list[Task]:
    return [Task(f"hf:{name}", "shrunk") for name in names]


def test_what_is_there_is_not_done_again(tmp_path) -> None:
    settings = CorpusSettings(tmp_path, workers=1)
    build_corpus(tasks("a", "bad"), settings, target=PRETEND)
    last = build_corpus(tasks("a", "bad", "c"), settings, target=PRETEND)
    assert (last.done, last.failed, last.total) == (3, 1, 3)
    assert (tmp_path / "calls").read_text().split() == ["hf:a", "hf:bad", "hf:c"]
    assert [keys for _, _, keys in failures(read_index(tmp_path))] == [["hf:bad@shrunk"]]


def test_what_is_there_is_done_again_if_asked(tmp_path) -> None:
    build_corpus(tasks("a", "b"), CorpusSettings(tmp_path, workers=1), target=PRETEND)
    last = build_corpus(tasks("b"), CorpusSettings(tmp_path, workers=1, redo=True), target=PRETEND)
    assert (last.done, last.failed, last.total) == (1, 0, 1)
    assert (tmp_path / "calls").read_text().split() == ["hf:a", "hf:b", "hf:b"]
    assert sorted(row["name"] for row in read_index(tmp_path)) == ["hf:a", "hf:b"]


def test_a_killed_corpus_goes_on(tmp_path) -> None:
    names = [f"m{i}" for i in range(12)]
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        from test_corpus import PRETEND, tasks
        from madstar.zoo.corpus import CorpusSettings, build_corpus
        def dies(progress):
            if progress.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        settings = CorpusSettings(Path({str(tmp_path)!r}), workers=1)
        build_corpus(tasks(*{names!r}), settings, dies, target=PRETEND)
    """)
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    index = tmp_path / "index.jsonl"
    done = {row["key"] for row in read_index(tmp_path)}
    assert len(done) == 3
    with open(index, "ab") as file:  # as a kill within a write leaves it
        file.write(b'{"key": "hf:m')
    assert {row["key"] for row in read_index(tmp_path)} == done
    (tmp_path / "calls").unlink()
    last = build_corpus(tasks(*names), CorpusSettings(tmp_path, workers=1), target=PRETEND)
    assert (last.done, last.failed) == (12, 0)
    assert len((tmp_path / "calls").read_text().split()) == 12 - len(done)
    assert [json.loads(line)["status"] for line in index.read_text().splitlines()] == ["ok"] * 12


def test_one_process_at_a_time_and_damage_is_named(tmp_path) -> None:
    from madstar.zoo.corpus import _alone

    with _alone(tmp_path), pytest.raises(OutputError, match="another process"):
        build_corpus(tasks("a"), CorpusSettings(tmp_path), target=PRETEND)
    (tmp_path / "index.jsonl").write_bytes(b"nonsense\n{}\n")
    with pytest.raises(GraphError, match="line 1 is damaged"):
        read_index(tmp_path)


def test_a_model_becomes_a_graph_a_row_and_its_prose(tmp_path) -> None:
    for part in ("graphs", "prose"):
        (tmp_path / part).mkdir()
    row = make_handler({"folder": str(tmp_path)})({"address": f"hf:llama?{TINY}", "size": "shrunk"}, None)
    assert row["share_touched"] == 1
    graph = load_graph(tmp_path / row["file"])
    cost = statistics(graph)
    assert (row["nodes"], row["folded_nodes"]) == (cost.unfolded, cost.nodes)
    assert graph.main.kind == row["class"] == "LlamaModel"
    assert "LlamaModel" in (tmp_path / row["prose"]).read_text()


def test_names_of_files_are_safe_and_different() -> None:
    names = {
        file_name(key) for key in ("hf:../../x@full", "hf:.._.._x@full", "hf:a?b=1@full", "hf:a?b=2@full")
    }
    assert len(names) == 4
    assert not any("/" in name or name.startswith(".") for name in names)
