"""Impossible wishes: one line that says what is wrong and what to do, and nothing is written."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from madstar.errors import GenomeError

from .commands import TINY, as_process, invoke, refusal, words_in


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused_search(text: Path, *arguments: str, run: Callable = invoke) -> str:
    """What a search says that is refused; it must leave no trace."""
    before = sorted(Path.cwd().rglob("*"))
    message = refusal(run("search", "--data", text, *TINY, "--home", Path("deep") / "home", *arguments))
    assert sorted(path for path in Path.cwd().rglob("*") if path.name != "__pycache__") == before
    return message


SETTINGS = {
    "--objective qualty": ["unknown objective 'qualty'", "did you mean quality?", "file.py:function"],
    "--objective xyz": ["unknown objective 'xyz'", "choose from quality, perplexity, parameters, cache"],
    "--objective quality@9": ["quality takes no length", "write quality"],
    "--objective cache@many": ["'many' is no length", "number of tokens"],
    "--objective quality --objective quality": ["name one twice", "give each once"],
    "--constraint params<=10": ["0 of 200 sampled genomes", "params<=10", "ran from", "relax them"],
    "--constraint params<=1G --constraint cache@64>=1GB": ["0 of 200 sampled genomes", "cache@64", "relax"],
    "--constraint quality<=3": ["'quality<=3'", "only after training", "make it an objective"],
    "--constraint smallish": ["constraint 'smallish'", "write it as params<=300000"],
    "--constraint params<5": ["constraint 'params<5'", "write it as params<=300000"],
    "--constraint params<=3q": ["'q' is no unit", "use k, M, G"],
    "--constraint params<=1.2.3": ["'1.2.3' is no number"],
    "--constraint parms<=9": ["unknown objective 'parms'", "did you mean parameters?"],
    "--width 18": ["width 18", "not divisible by 4 heads", "choose a multiple of 4"],
    "--width 12": ["width 12 with 4 heads", "heads of 3 channels", "choose another width"],
    "--width 0": ["width is 0", "at least 1"],
    "--heads 0": ["heads is 0", "at least 1"],
    "--heads 2": ["class 3 (SA-3)", "2 heads at width 16", "leave it out of classes"],
    "--heads 2 --classes 1,3": ["class 3 (SA-3)", "2 heads at width 16", "change heads"],
    "--window 0": ["window is 0", "at least 1"],
    "--classes 99": ["classes [99]", "choose from 1-17"],
    "--classes x": ["classes 'x'", "numbers with commas"],
    "--minutes 0": ["0 minutes", "more than 0"],
    "--minutes -3": ["-3 minutes", "more than 0"],
    "--minutes nan": ["nan minutes"],
    "--minutes inf": ["inf minutes"],
    "--depth 0": ["depth 0:0", "1 <= least <= most"],
    "--depth 5:2": ["depth 5:2", "1 <= least <= most"],
    "--depth deep": ["depth 'deep'", "number of layers, or LEAST:MOST"],
    "--rungs 4,2": ["rungs 4, 2 do not rise", "larger than the last"],
    "--rungs 2,2": ["rungs 2, 2 do not rise"],
    "--rungs 2,9s": ["rungs 2, 9s mix units", "steps, tokens or seconds"],
    "--rungs many": ["budget 'many'", "400 steps"],
    "--rungs 0": ["budget '0' is zero", "positive"],
    "--strategy nsga3": ["strategy 'nsga3' (did you mean nsga2?)", "screened, guided", "file.py:Class"],
    "--mode sync": ["mode", "'async' or 'generational'", "'sync'"],
    "--levels backbone,cell": ["levels", "cell", "choose from backbone, operator, featurizer"],
    "--invalid ignore": ["invalid", "'repair' or 'reject'", "'ignore'"],
    "--cuts layer": ["cuts", "'liv' or 'gene'", "'layer'"],
    "--generations 2": ["generations", "add mode generational"],
    "--mode generational --strategy random": ["generational mode is nsga2's"],
    "--candidates 0": ["candidates", "greater than or equal to 1", "0"],
    "--population 1": ["population", "greater than or equal to 2", "1"],
    "--elitism 9": ["elitism 9", "population of 2"],
    "--workers 0": ["workers", "greater than or equal to 1", "0"],
    "--length 4": ["length", "greater than or equal to 8", "4"],
    "--batch 0": ["batch", "greater than or equal to 1", "0"],
    "--learning-rate 0": ["learning_rate", "greater than 0", "0"],
    "--promote 2": ["promote", "less than or equal to 1", "2"],
    "--seed -1": ["seed", "greater than or equal to 0", "-1"],
    "--memory-limit nan": ["memory limit nan", "number of GB"],
    "--time-limit 0": ["time_limit", "greater than 0", "0"],
    "--name latest": ["run name 'latest'", "add a letter"],
    "--name ../outside": ["run name '../outside'", "without slashes"],
    "--name a/b": ["run name 'a/b'", "without slashes"],
    "--name .hidden": ["run name '.hidden'", "without a dot"],
    "--name data": ["run name 'data'"],
}


@pytest.mark.parametrize("arguments", SETTINGS)
def test_settings(arguments: str, text: Path) -> None:
    assert words_in(refused_search(text, *arguments.split()), SETTINGS[arguments])


def test_an_unknown_objective_from_a_shell(text: Path) -> None:
    message = refused_search(text, "--objective", "perplexty", run=as_process)
    assert words_in(message, ["unknown objective 'perplexty'", "did you mean perplexity?"])


@pytest.mark.parametrize(
    ("genome", "words"),
    [
        ("", ["empty genome", "five genes per LIV"]),
        ("attention", ["LIV 1 is 'attention'", "write 5 digits"]),
        ("91111-12x11", ["LIV 2 is '12x11'", "write 5 digits"]),
        ("21411", ["LIV 1", "gene 'featurizer strategy' is 4", "its range is 1-2"]),
        ("91111-21911", ["LIV 2", "gene 'featurizer strategy' is 9", "its range is 1-2"]),
        ("101.1.1.1.1", ["LIV 1", "gene 'class' is 101", "1-34", "defined after a slash"]),
        ("101.1.1.1.1/o101=12293", ["operator 101", "gene 'nonlinearity' is 9", "its range is 1-4"]),
        ("91114", ["LIV 1", "'feature strategy' is 4", "possible here 1"]),
        ("11111-91111/x", ["'/x' is no definition"]),
    ],
)
def test_genomes(genome: str, words: list[str]) -> None:
    assert words_in(refusal(invoke("show", genome)), words)


def test_an_out_of_range_gene_from_a_shell() -> None:
    message = refusal(as_process("show", "21211-31712"))
    assert words_in(message, ["LIV 2", "gene 'featurizer strategy' is 7", "its range is 1-2"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--width 18", ["width 18", "not divisible by 4 heads"]),
        ("--width 12", ["heads of 3 channels", "even"]),
        ("--heads 2", ["2 heads", "repeat factor of 4"]),
        ("--heads 0", ["heads is 0", "at least 1"]),
        ("--length 0", ["length is 0", "at least 1"]),
    ],
)
def test_sizes_to_show_a_genome_at(arguments: str, words: list[str]) -> None:
    assert words_in(refusal(invoke("show", "31111", *arguments.split())), words)


DATA: dict[str, tuple[bytes | None, list[str]]] = {
    "nowhere.txt": (None, ["nowhere.txt", "no such file or folder", "python-reference, stdlib"]),
    "empty.txt": (b"", ["empty.txt", "empty", "give at least 1,320 tokens"]),
    "binary.txt": (bytes(range(256)) * 99, ["binary.txt", "binary data", "give UTF-8 text"]),
    "latin.txt": ("é".encode("latin-1") * 999, ["latin.txt", "not UTF-8", "convert it to UTF-8"]),
    "short.txt": (b"Too short. " * 9, ["short.txt", "too short", "needs 1,320", "give more text"]),
    "dull.txt": (b"The same again. " * 4000, ["dull.txt", "give more text that repeats itself less"]),
    "foreign.txt.gz": (b"not packed" * 99, ["foreign.txt.gz", "corrupt gzip", "make the file again"]),
    "cut.txt.gz": (gzip.compress(bytes(range(99)) * 99)[:99], ["cut.txt.gz", "corrupt gzip"]),
    "bad.parquet": (b"PAR1 and then nothing", ["bad.parquet", "corrupt parquet", "make the file again"]),
    "bad.jsonl": (b'{"text": "fine"}\n{"text":\n', ["bad.jsonl, line 2", "not valid JSON", "mend or remove"]),
    "field.jsonl": (b'{"body": "fine"}\n' * 99, ["field.jsonl, line 1", "no field 'text'", "it has 'body'"]),
    "image.png": (b"\x89PNG", ["image.png", "cannot read this kind of file", ".txt"]),
}


@pytest.mark.parametrize("name", DATA)
def test_data(name: str) -> None:
    content, words = DATA[name]
    if content is not None:
        Path(name).write_bytes(content)
    assert words_in(refused_search(Path(name)), words)


def test_an_empty_folder() -> None:
    Path("folder").mkdir()
    assert words_in(refused_search(Path("folder")), ["folder", "no readable files", "accepted are .txt"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"version": "1.0", "model"', ["not a tokenizer.json", "export it again"]),
        (b"\xff\xfe\x00", ["not a tokenizer.json", "export it again"]),
        (None, ["no such tokenizer", "give a tokenizer.json"]),
    ],
)
def test_tokenizers(content: bytes | None, words: list[str], text: Path) -> None:
    if content is not None:
        Path("tokenizer.json").write_bytes(content)
    message = refused_search(text, "--tokenizer", "tokenizer.json")
    assert words_in(message, ["tokenizer.json: ", *words])


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        (None, "own.py:score", ["own.py:score", "no file own.py"]),
        ("def other(subject): return 1", "own.py:score", ["own.py has no 'score'"]),
        ("score = 3", "own.py:score", ["own.py has no function 'score'"]),
        ("raise RuntimeError('no\\nluck')", "own.py:score", ["own.py failed", "RuntimeError: no luck"]),
        ("def score(:", "own.py:score", ["own.py failed", "SyntaxError"]),
        ("import sys\nsys.exit(3)", "own.py:score", ["own.py failed", "SystemExit"]),
        ("def score(s): pass\nscore.direction = 'up'", "own.py:score", ["direction is 'up'", "min or max"]),
        (None, "no.such.module:score", ["loading no.such.module failed", "ModuleNotFoundError"]),
    ],
)
def test_objectives_of_ones_own(source: str | None, name: str, words: list[str], text: Path) -> None:
    if source is not None:
        Path("own.py").write_text(source)
    assert words_in(refused_search(text, "--objective", name), ["objective '", f"{name}'", *words])


def test_debug_lets_the_traceback_through() -> None:
    with pytest.raises(GenomeError, match="LIV 1"):
        invoke("--debug", "show", "21911")
    refusal(invoke("show", "21911"))
