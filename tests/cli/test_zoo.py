"""`madstar zoo`: a corpus is begun, resumed, and told of."""

from pathlib import Path

import pytest

from madstar.cli import graph, zoo  # noqa: F401  they register themselves

from .commands import as_process, contents, invoke, refusal, strict_json, words_in

SMALL = "&".join(
    f"{name}={size}"
    for name, size in {
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "intermediate_size": 48,
        "vocab_size": 50,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }.items()
)
MODELS = (f"hf:llama?{SMALL}", "hf:bert?hidden_size=63")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("museum") / "corpus"
    result = as_process("zoo", "trace", *MODELS, "--shrunk", "--out", folder, "--workers", "1")
    assert result.status == 0, result.stderr
    assert words_in(result.stdout, ["1 of 2 traced", "1 failed", f"madstar zoo table {folder}"])
    assert [line.split("]")[0] for line in result.stderr.splitlines()] == ["[0/2", "[1/2", "[2/2"]
    return folder


def test_what_is_there_is_not_done_again(corpus: Path) -> None:
    before = contents(corpus)
    result = invoke("zoo", "trace", *MODELS, "--shrunk", "--out", corpus, "--json")
    assert result.status == 0
    assert strict_json(result.stdout) == {"folder": str(corpus), "models": 2, "traced": 1, "failed": 1}
    assert words_in(result.stderr, ["[2/2] done before, 1 failed"])
    assert contents(corpus) == before


def test_the_table_says_what_failed_and_why(corpus: Path) -> None:
    result = invoke("zoo", "table", corpus)
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["1 of 2 traced, 1 of them with all parameters touched", "63@shrunk"])
    document = strict_json(invoke("zoo", "table", corpus, "--json").stdout)
    (failure,) = document["failures"]
    assert failure["models"] == ["hf:bert?hidden_size=63@shrunk"]
    assert words_in(failure["reason"], ["hidden size", "attention"])
    assert (document["models"], document["traced"], len(document["rows"])) == (2, 1, 2)


def test_its_graphs_can_be_shown(corpus: Path) -> None:
    (file,) = (corpus / "graphs").iterdir()
    assert words_in(invoke("graph", "show", file).stdout, ["LlamaModel", "layers.0"])


def test_models_are_listed() -> None:
    listed = strict_json(invoke("zoo", "list", "--json").stdout)
    assert {"hf:llama", "hf:mamba"} <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["which models?"]),
        (["lama"], ["hf:lama", "did you mean llama?"]),
        (["timm:resnet19"], ["timm:resnet19", "did you mean"]),
        (["genome:21211"], ["genome:21211", "timm:NAME"]),
        (["llama", "--all"], ["--all"]),
        (["llama", "--workers", "0"], ["--workers"]),
        (["--timm", "-1"], ["--timm"]),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    assert words_in(refusal(invoke("zoo", "trace", *arguments, "--out", folder)), words)
    assert not folder.exists()


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    assert words_in(refusal(invoke("zoo", "table", tmp_path)), ["is no corpus"])
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "corpus"
    result = invoke("zoo", "trace", "llama", "--out", inside)
    assert words_in(refusal(result), ["cannot be written to"])
