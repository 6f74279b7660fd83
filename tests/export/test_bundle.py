"""The one file: only what the architecture needs, as it stands in the sources."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from madstar.export import bundle as bundling
from madstar.export.bundle import bundle
from madstar.export.facts import facts
from madstar.export.folding import fold, normal
from madstar.genome import OPERATORS, Genome, Sizes, compile_genome

EVERYTHING = "-".join(f"{number}.1.1.1.1" for number in OPERATORS)


def text_of(genome: str) -> str:
    return bundle(compile_genome(Genome.parse(genome), Sizes()), "A model.\n\nMore of it.")


def classes(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize(
    ("genome", "present", "absent"),
    [
        (
            "71111",
            {"GatedConvolution", "ShortConvolution"},
            {
                "Attention",
                "Recurrence",
                "GatedMemoryless",
                "Differential",
                "ImplicitKernel",
                "Memory",
                "Decay",
            },
        ),
        ("81111", {"GatedConvolution", "ImplicitKernel"}, {"Attention", "Decay", "Memory"}),
        ("11111", {"Attention"}, {"Memory", "Decay", "ShortConvolution", "GatedConvolution", "Differential"}),
        ("51111", {"Recurrence", "Decay", "Memory"}, {"Attention", "ShortConvolution"}),
        ("91111", {"GatedMemoryless"}, {"Attention", "Recurrence", "Memory", "Decay", "ImplicitKernel"}),
        ("10.1.1.1.1", {"Attention", "Differential"}, {"Memory", "Recurrence"}),
        ("101.1.1.1.1/o101=12113", {"Attention", "Memory"}, {"Recurrence", "Decay"}),
        (
            EVERYTHING,
            {"Attention", "Recurrence", "GatedConvolution", "GatedMemoryless", "Differential"},
            set(),
        ),
    ],
)
def test_only_what_is_needed(genome: str, present: set[str], absent: set[str]) -> None:
    found = classes(text_of(genome))
    assert present <= found
    assert not absent & found


@pytest.mark.parametrize("genome", [EVERYTHING, "11111", "81111"])
def test_nothing_of_the_laboratory_is_in_it(genome: str) -> None:
    text = text_of(genome)
    for word in ("jaxtyping", "madstar.", "GenomeError", "flops", "state_elements", "# Cost"):
        assert word not in text.replace("madstar-export", "")
    relative = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative
    assert 'Float[Tensor, "batch length width"]' in text


@pytest.mark.parametrize("genome", [EVERYTHING, "11111", "21212-21212-51111", "101.1.1.1.1/o101=12113"])
def test_a_linter_finds_nothing(genome: str, tmp_path: Path) -> None:
    path = tmp_path / "modeling.py"
    path.write_text(text_of(genome), encoding="utf-8")
    for command in (
        ["check", "--no-cache", "--isolated", "--select", "F,E9,I", "--ignore", "F722"],
        ["format", "--check", "--no-cache", "--isolated", "--line-length", "110"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, str(path)], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout


def test_it_is_always_the_same() -> None:
    first = text_of("21211-51112-51112")
    bundling._definition.cache_clear()
    bundling._source.cache_clear()
    assert text_of("21211-51112-51112") == first


def test_comments_and_docstrings_come_along() -> None:
    text = text_of("51111")
    assert "# Named features of a whole sequence or of one token" in text
    assert "# -expm1 keeps 1 - a^2 exact" in text
    assert '"""The chunked scan."""' in text
    assert text.startswith('"""A model.\n\nMore of it.\n"""\n\nfrom __future__')


def test_every_fact_is_said_in_the_words_of_the_sources() -> None:
    """A test that was reworded there would otherwise just never be folded again."""
    for scope, known in facts(compile_genome(Genome.parse("71111"), Sizes())).items():
        modules = [bundling._source(f"liv/{path.stem}") for path in liv_files()]
        [source] = [module for module in modules if scope in module.definitions]
        first, last = source.definitions[scope]
        tree = ast.parse("\n".join(source.text.splitlines()[first:last]))
        said = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.expr)}
        assert set(known) <= said, scope


def liv_files() -> list[Path]:
    import madstar.liv

    return sorted(Path(madstar.liv.__file__).parent.glob("*.py"))


BRANCHES = """\
def f(a, b):
    # Why it starts so.
    start = 1 if a else 2
    if a:
        # First.
        x = 1
    elif b:
        x = 2
    else:
        x = 3
    # Rarely.
    if not a and b == "x":
        return start
    return start + x, (a or x) and b
"""
FIRST = """\
def f(a, b):
    # Why it starts so.
    start = 1
    # First.
    x = 1
    return start + x, b
"""
SECOND = """\
def f(a, b):
    # Why it starts so.
    start = 2
    x = 2
    # Rarely.
    if b == "x":
        return start
    return start + x, x
"""
LAST = """\
def f(a, b):
    # Why it starts so.
    start = 2
    # Rarely.
    return start
"""


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, BRANCHES),
        ({"a": True}, FIRST),
        ({"a": False, "b": True}, SECOND),
        ({"a": False, "b": False, "b == 'x'": True}, LAST),
        (
            {"b": False},
            BRANCHES.replace("    elif b:\n        x = 2\n", "").replace("(a or x) and b", "False"),
        ),
        (
            {"b": True},
            BRANCHES.replace(
                "elif b:\n        x = 2\n    else:\n        x = 3", "else:\n        x = 2"
            ).replace("(a or x) and b", "(a or x)"),
        ),
    ],
)
def test_branches_fold(known: dict[str, bool], expected: str) -> None:
    assert fold(BRANCHES, known).replace("(x)", "x").strip() == expected.strip()


def test_unread_values_are_left_out() -> None:
    text = "def f(a, b):\n    c, d, e = a[0], b.x, g()\n    if b:\n        return d\n    return c"
    expected = "def f(a, b):\n    c, e = a[0], g()\n    return c"
    assert fold(text, {"b": False}) == expected


@pytest.mark.parametrize("a", [False, True])
@pytest.mark.parametrize("b", [False, True])
@pytest.mark.parametrize("known", [("a",), ("b",), ("a", "b")])
def test_folding_keeps_the_meaning(a: bool, b: bool, known: tuple[str, ...]) -> None:
    source = """
def f(a, b, z=1):
    if a and z:
        x = 1 if not b else 2
    elif b or not a:
        x = 3
    else:
        x = 4
    if b:
        if not a:
            return x
        x = x * 10
    elif a:
        x = x * 100
    unused = x
    if a:
        pass
    return x + (5 if a or b else 6)
"""
    values = {"a": a, "b": b}
    folded = fold(source, {name: values[name] for name in known})
    results = []
    for text in (source, folded):
        names: dict = {}
        exec(text, names)
        results.append(names["f"](a, b))
    assert results[0] == results[1]
    assert folded.count("\n") < source.count("\n")


def test_one_spelling() -> None:
    assert normal('x  == "a"') == normal("x == 'a'")
