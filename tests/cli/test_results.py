"""Looking at a finished run, and taking a model out of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from madstar import __version__
from madstar.archive import Archive
from madstar.genome import GENES
from madstar.genome.handbook import gene_table

from .commands import ENVIRONMENT, FinishedRun, as_process, invoke, strict_json, words_in
from .test_search import BASELINES

ROOT = Path(__file__).parents[2]
# A process in which madstar cannot be imported, though its environment has it.
ALONE = (
    "import runpy, sys; sys.modules['madstar'] = None; sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_report_prints_the_front_beside_the_baselines(finished: FinishedRun) -> None:
    result = invoke("report", "--home", finished.home)
    assert (result.status, result.stderr) == (0, "")
    front = [f"#{entry['index']}" for entry in finished.document["front"]]
    assert words_in(result.stdout, [finished.name, "Hypervolume", "quality", *front, *BASELINES])
    genomes = [entry["genome"] for entry in finished.document["front"] + finished.document["baselines"]]
    assert words_in(result.stdout, genomes)
    assert "\x1b" not in result.stdout


def test_report_as_json_says_what_the_search_said(finished: FinishedRun) -> None:
    result = invoke("report", finished.name, "--home", finished.home, "--json")
    assert (result.status, result.stderr) == (0, "")
    assert strict_json(result.stdout) == finished.document


def test_report_writes_its_page_where_it_is_told(finished: FinishedRun, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    result = invoke("report", "--home", finished.home, "--html", page, "--json")
    assert strict_json(result.stdout)["report"] == str(page)
    assert finished.name in page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_runs_lists_them_oldest_first(finished: FinishedRun, tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "home")
    name = "a name [of] many words, longer than a column"
    with Archive.open(home / "archive.sqlite") as archive:
        archive.create_run(name, archive.run("latest").config)
    listed = strict_json(invoke("runs", "--home", home, "--json").stdout)
    assert [row["run"] for row in listed] == [finished.name, name]
    assert [row["status"] for row in listed] == ["finished", "running"]
    assert listed[0]["objectives"] == ["quality", "cache"]
    assert listed[0]["seconds"] > 0
    table = invoke("runs", "--home", finished.home)
    assert table.status == 0
    assert words_in(table.stdout, [finished.name, "finished"])
    assert name in invoke("runs", "--home", home).stdout


def test_a_run_without_results_has_a_report_too(finished: FinishedRun, tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "home")
    with Archive.open(home / "archive.sqlite") as archive:
        archive.create_run("fresh", archive.run("latest").config)
    document = strict_json(invoke("report", "fresh", "--home", home, "--json").stdout)
    assert (document["front"], document["evaluations"], document["hypervolume"]) == ([], 0, None)
    table = invoke("report", "fresh", "--home", home)
    assert table.status == 0
    assert "No front" in table.stdout


def test_genes_names_every_gene() -> None:
    rows = strict_json(invoke("genes", "--json").stdout)
    assert [(row["level"], row["name"], row["range"]) for row in rows] == [
        (gene.level, gene.name, gene.range) for gene in GENES
    ]
    lines = iter(invoke("genes").stdout.splitlines())
    for gene in GENES:  # in this order, each with its range
        assert any(gene.name in line and gene.range in line for line in lines), gene.name


def test_the_handbook_of_genes_is_up_to_date() -> None:
    printed = invoke("genes", "--markdown")
    assert printed.stdout == gene_table() == (ROOT / "docs" / "genes.md").read_text()
    assert all(f" {gene.name} | {gene.range} | {gene.meaning}" in printed.stdout for gene in GENES)


def test_show_describes_a_genome() -> None:
    genome = "21211-31112-21221-32112"
    document = strict_json(invoke("show", genome, "--length", 128, "--json").stdout)
    assert document["genome"] == genome
    assert [layer["class"] for layer in document["layers"]] == ["SA-2", "SA-3", "SA-2", "SA-3"]
    assert document["layers"][2]["weights shared in pool"] == document["layers"][0]["weights shared in pool"]
    assert document["layers"][3]["features from layer"] == 2
    # In bfloat16: keys and values of three layers, in the second a quarter as wide; and what short
    # convolutions over q, k and v of two layers remember, two tokens each.
    kept = 2 * (128 * 2 * (64 + 16 + 64) + 2 * 3 * 2 * 64)
    assert document["cache@128"] == kept
    table = invoke("show", genome, "--length", 128)
    assert words_in(table.stdout, [genome, "k, v from layer 2", f"{document['parameters']:,}", f"{kept:,}"])


@pytest.fixture(scope="module")
def exported(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "model"
    result = invoke("export", "latest", "--out", directory, "--home", finished.home)
    assert (result.status, result.stderr) == (0, "")
    best = finished.document["front"][0]
    assert words_in(result.stdout, [f"#{best['index']}", best["genome"], str(directory / "modeling.py")])
    return directory


def test_an_exported_model_runs_without_madstar(exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", ALONE, str(exported / "modeling.py")]
    done = subprocess.run(
        [*command, "--prompt", "The ", "--tokens", "5"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The ")
    assert len(done.stdout) > len("The \n")


def test_an_export_says_what_it_is(exported: Path, finished: FinishedRun) -> None:
    files = {path.name for path in exported.iterdir()}
    assert files == {"README.md", "config.json", "model.safetensors", "modeling.py"}
    best = finished.document["front"][0]
    assert words_in((exported / "README.md").read_text(), [best["genome"], finished.name])
    assert strict_json((exported / "config.json").read_text())["genome"] == best["genome"]


@pytest.mark.parametrize("by", ["number", "hash and number", "genome", "baseline"])
def test_export_picks_by(by: str, finished: FinishedRun, tmp_path: Path) -> None:
    entry = finished.document["baselines"][2] if by == "baseline" else finished.document["front"][-1]
    pick = {
        "number": entry["index"],
        "hash and number": f"#{entry['index']}",
        "genome": entry["genome"],
        "baseline": entry["name"],
    }[by]
    directory = tmp_path / "model"
    result = invoke("export", "--out", directory, "--pick", pick, "--home", finished.home, "--json")
    assert (result.status, result.stderr) == (0, "")
    document = strict_json(result.stdout)
    assert document["genome"] == entry["genome"]
    assert document["values"] == entry["values"]
    assert strict_json((directory / "config.json").read_text())["genome"] == entry["genome"]


def test_an_export_replaces_an_earlier_one(finished: FinishedRun, tmp_path: Path) -> None:
    for pick in ("Transformer++", "Transformer++ GQA"):
        assert invoke("export", "--out", tmp_path / "m", "--pick", pick, "--home", finished.home).status == 0
    assert strict_json((tmp_path / "m" / "config.json").read_text())["genome"] == "41111-91111"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_version() -> None:
    result = as_process("--version")
    assert (result.status, result.stdout, result.stderr) == (0, f"madstar {__version__}\n", "")


def test_help_names_every_command_and_option() -> None:
    commands = invoke("--help")
    assert commands.status == 0
    assert words_in(commands.stdout, ["search", "report", "export", "genes", "show", "runs"])
    options = invoke("search", "--help")
    assert words_in(options.stdout, ["--data", "--objective", "--constraint", "--resume", "--json", "--home"])
    assert "Usage" in invoke().stdout + invoke().stderr
