"""The directory: its files, what is refused, and that it appears whole or not at all."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from madstar.errors import ConfigurationError, GenomeError, OutputError
from madstar.export import export_model
from madstar.export.placing import place
from madstar.export.running import continued, load, main
from madstar.genome import Genome, Sizes, architecture_hash, compile_genome
from madstar.liv import Backbone, BackboneSpec, generate

GENOME = "21211-31112-21211-31112"
SIZES = Sizes(vocabulary_size=256, width=16, heads=4)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Genome.parse(GENOME).build(SIZES)


def export(backbone: Backbone, directory: Path, **given: Any) -> Path:
    return export_model(backbone, directory, **{"genome": GENOME, "figures": {}, **given})


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def word_tokenizer(path: Path, words: int) -> Path:
    tokenizer = Tokenizer(models.WordLevel(unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text = [" ".join(f"w{number}" for number in range(words - 1))]
    tokenizer.train_from_iterator(text, trainers.WordLevelTrainer(special_tokens=["?"]))
    assert tokenizer.get_vocab_size() == words
    tokenizer.save(str(path))
    return path


def test_the_files(backbone: Backbone, tmp_path: Path) -> None:
    directory = export(backbone, tmp_path / "a" / "model")
    assert directory == tmp_path / "a" / "model"
    assert set(files(directory)) == {"README.md", "config.json", "model.safetensors", "modeling.py"}
    assert [path.name for path in directory.parent.iterdir()] == ["model"]
    assert directory.stat().st_mode & 0o077 == (tmp_path / "a").stat().st_mode & 0o077


def test_config_is_the_spec(backbone: Backbone, tmp_path: Path) -> None:
    config = json.loads((export(backbone, tmp_path / "model") / "config.json").read_text())
    assert config.pop("genome") == GENOME
    assert config.pop("format") == "madstar-export-1"
    assert config.pop("madstar_version")
    assert config.pop("dtype") == "float32"
    assert BackboneSpec.from_dict(config) == backbone.spec


def test_two_exports_are_equal(backbone: Backbone, tmp_path: Path) -> None:
    assert files(export(backbone, tmp_path / "one")) == files(export(backbone, tmp_path / "two"))


def test_shared_weights_are_stored_once(tmp_path: Path) -> None:
    genome = "21211-21211-91111"
    backbone = Genome.parse(genome).build(SIZES)
    directory = export(backbone, tmp_path / "model", genome=genome)
    with safe_open(directory / "model.safetensors", "pt") as stored:
        names = set(stored.keys())
        shared = json.loads(stored.metadata()["shared"])
    assert names == {name for name, _ in backbone.named_parameters()}
    assert names | set(shared) == set(backbone.state_dict())
    assert shared["layers.1.operator.groups.q.mixing.weight"] == "layers.0.operator.groups.q.mixing.weight"
    loaded = load(directory)
    first, second = loaded.layers[0].operator, loaded.layers[1].operator
    assert first.groups["q"] is second.groups["q"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_type_of_numbers_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    backbone = Genome.parse("51111").build(SIZES).to(dtype)
    loaded = load(export(backbone, tmp_path / "model", genome="51111"))
    tokens = torch.arange(8)[None]
    assert torch.equal(loaded(tokens), backbone(tokens))
    assert loaded(tokens).dtype == dtype


def test_readme(backbone: Backbone, tmp_path: Path) -> None:
    figures = {
        "quality": {"value": 1.72, "error": 0.01, "unit": "bits per byte"},
        "parameters": 123456,
        "cache": (2000.0, 31.0),
        "odd | name\n": {"value": 0.5},
    }
    directory = export(backbone, tmp_path / "model", figures=figures, title="My | model\nhere")
    text = (directory / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# My \\| model here\n")
    assert f"`{GENOME}`" in text
    assert "| quality | 1.720 ± 0.010 bits per byte |" in text
    assert "| parameters | 123,456 |" in text
    assert "| cache | 2,000 ± 31 |" in text
    assert "| odd \\| name | 0.5 |" in text
    assert "| 2 | SA-3 | softmax attention, 4 heads, 1 for keys and values | q; k; v |" in text
    assert "gives k, v to layer 4" in text
    assert "takes k, v from layer 2" in text
    assert "weights of q, k, v as in layer 3" in text
    assert "Apache License 2.0" in text
    assert 'python modeling.py --prompt "' in text


def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = export(Genome.parse("71111").build(SIZES), tmp_path / "model", genome="71111")
    text = (directory / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["longer"].shape == (1, len("Once upon a time") + 200)
    assert names["logits"].shape == (1, len("Once upon a time"), 256)


def test_title_without_one(backbone: Backbone, tmp_path: Path) -> None:
    text = (export(backbone, tmp_path / "model") / "README.md").read_text(encoding="utf-8")
    assert architecture_hash(Genome.parse(GENOME)) in text.splitlines()[0]


def test_an_earlier_export_is_replaced(backbone: Backbone, tmp_path: Path) -> None:
    directory = export(backbone, tmp_path / "model", tokenizer=word_tokenizer(tmp_path / "t.json", 9))
    (directory / "__pycache__").mkdir()
    export(Genome.parse("91111").build(SIZES), directory, genome="91111")
    assert set(files(directory)) == {"README.md", "config.json", "model.safetensors", "modeling.py"}
    assert json.loads((directory / "config.json").read_text())["genome"] == "91111"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "t.json"]


def test_an_empty_directory_and_a_link_are_used(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert export(backbone, tmp_path / "link") == tmp_path / "empty"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "config.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"notes.txt": "mine"},
        {"config.json": "{"},
        {"config.json": "[]"},
        {"config.json": '{"model_type": "llama"}'},
        {"config.json": '{"format": 3}'},
    ],
)
def test_a_foreign_directory_is_left_alone(
    backbone: Backbone, tmp_path: Path, content: dict[str, str]
) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    for name, text in content.items():
        (directory / name).write_text(text)
    with pytest.raises(OutputError, match="choose another directory"):
        export(backbone, directory)
    assert {name: text.decode() for name, text in files(directory).items()} == content


def test_own_files_in_an_earlier_export_are_not_lost(backbone: Backbone, tmp_path: Path) -> None:
    directory = export(backbone, tmp_path / "model")
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        export(backbone, directory)
    assert (directory / "notes.txt").read_text() == "mine"


def test_places_that_cannot_be_written(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for directory in (
        "file",
        "file/model",
        "circle",
        "circle/model",
        "x" * 300,
        "null\0byte",
        "new/" + "x" * 300,
    ):
        with pytest.raises(OutputError) as caught:
            export(backbone, tmp_path / directory)
        assert "\n" not in str(caught.value)
        assert "another directory" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle", "file"]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_full_disk_changes_nothing(backbone: Backbone, tmp_path: Path, earlier: bool) -> None:
    directory = tmp_path / "new" / "model"
    before = files(export(backbone, directory)) if earlier else {}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            export(backbone, directory)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if earlier:
        assert files(directory) == before
        assert [path.name for path in directory.parent.iterdir()] == ["model"]
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_failed_exchange_brings_the_earlier_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = place(tmp_path / "model", {"config.json": b'{"format": "x-1"}'}, ["config.json"], "x")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        place(directory, {"config.json": b"{}"}, ["config.json"], "x")
    assert files(directory) == {"config.json": b'{"format": "x-1"}'}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"speed": float("nan")}, "speed"),
        ({"speed": "fast"}, "'fast'"),
        ({"speed": True}, "True"),
        ({"speed": None}, "None"),
        ({"speed": (1.0, float("inf"))}, "inf"),
        ({"speed": (1, 2, 3)}, "3 numbers"),
        ({"speed": {"error": 1.0}}, "no value"),
        ({"speed": {"value": 1.0, "units": "s"}}, "'units'"),
    ],
)
def test_figures_of_no_use(backbone: Backbone, tmp_path: Path, figures: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        export(backbone, tmp_path / "model", figures=figures)
    assert not (tmp_path / "model").exists()


def test_genomes_of_no_use(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(GenomeError):
        export(backbone, tmp_path / "model", genome="2121")
    with pytest.raises(ConfigurationError, match="does not describe"):
        export(backbone, tmp_path / "model", genome="21211")
    assert not (tmp_path / "model").exists()


def test_weights_of_no_use(tmp_path: Path) -> None:
    genome = Genome.parse("71111")
    with torch.device("meta"):
        skeleton = Backbone(compile_genome(genome, SIZES))
    with pytest.raises(ConfigurationError, match="no weights"):
        export(skeleton, tmp_path / "model", genome="71111")
    mixed = genome.build(SIZES)
    mixed.norm.to(torch.bfloat16)
    with pytest.raises(ConfigurationError, match=r"bfloat16 and torch\.float32"):
        export(mixed, tmp_path / "model", genome="71111")


def test_tokenizers_of_no_use(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    word_tokenizer(tmp_path / "large.json", 300)
    for name in ("none.json", "broken.json", "binary.json", "large.json", "."):
        with pytest.raises(ConfigurationError) as caught:
            export(backbone, tmp_path / "model", tokenizer=tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_tokenizer_comes_along(tmp_path: Path) -> None:
    backbone = Genome.parse("71111").build(Sizes(vocabulary_size=20, width=16))
    tokenizer = word_tokenizer(tmp_path / "words.json", 20)
    directory = export(backbone, tmp_path / "model", genome="71111", tokenizer=tokenizer)
    assert (directory / "tokenizer.json").read_bytes() == tokenizer.read_bytes()
    assert "tokenizers" in (directory / "README.md").read_text(encoding="utf-8")
    words = continued(directory, "w1 w2 w3", 5, 0.0, None, 0)
    library = Tokenizer.from_file(str(tokenizer))
    prompt = torch.tensor([library.encode("w1 w2 w3").ids])
    assert words == library.decode(generate(backbone, prompt, 5)[0].tolist())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("", 5, 0.0, None, 0), "prompt is empty"),
        (("a", 0, 0.0, None, 0), "at least one"),
        (("a", 5, -1.0, None, 0), "temperature"),
        (("a", 5, float("nan"), None, 0), "temperature"),
        (("a", 5, 1.0, 0, 0), "top-k"),
    ],
)
def test_settings_that_make_no_sense(
    backbone: Backbone, tmp_path: Path, settings: tuple[Any, ...], said: str
) -> None:
    directory = export(backbone, tmp_path / "model")
    with pytest.raises(ValueError, match=said):
        continued(directory, *settings)


def test_text_needs_bytes_or_a_tokenizer(tmp_path: Path) -> None:
    backbone = Genome.parse("71111").build(Sizes(vocabulary_size=300, width=16))
    directory = export(backbone, tmp_path / "model", genome="71111")
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        continued(directory, "a", 1, 0.0, None, 0)
    assert "--prompt" not in (directory / "README.md").read_text(encoding="utf-8")


def test_broken_exports_are_not_loaded(backbone: Backbone, tmp_path: Path) -> None:
    directory = export(backbone, tmp_path / "model")
    other = export(Genome.parse("91111").build(SIZES), tmp_path / "other", genome="91111")
    wide = export(Genome.parse("91111").build(Sizes(width=32)), tmp_path / "wide", genome="91111")
    config, weights = directory / "config.json", directory / "model.safetensors"
    good = config.read_bytes(), weights.read_bytes()
    fields = json.loads(good[0])
    damages = [
        (b"{", good[1]),
        (b"[]", good[1]),
        (json.dumps({**fields, "format": "madstar-export-9"}).encode(), good[1]),
        (json.dumps({name: value for name, value in fields.items() if name != "width"}).encode(), good[1]),
        (json.dumps({**fields, "dtype": "float33"}).encode(), good[1]),
        (json.dumps({**fields, "layers": [3]}).encode(), good[1]),
        (good[0], good[1][:1000]),
        (good[0], b""),
        (good[0], (other / "model.safetensors").read_bytes()),
        ((other / "config.json").read_bytes(), (wide / "model.safetensors").read_bytes()),
    ]
    for new_config, new_weights in damages:
        config.write_bytes(new_config)
        weights.write_bytes(new_weights)
        with pytest.raises(ValueError) as caught:
            load(directory)
        assert "\n" not in str(caught.value)
    weights.unlink()
    with pytest.raises(OSError, match="model"):
        load(directory)


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    # Beside running.py lies no config.json.
    assert main(["--prompt", "a"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "config.json" in captured.err
    assert captured.out == ""
