"""What the laboratory makes: genomes, layers, edits; labels; what archives have measured."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.graph.graphs import bert, llama

from madstar.archive import Archive
from madstar.errors import ArchiveError, DataError
from madstar.graph.folding import fold
from madstar.graph.model import Graph
from madstar.graph.soundness import check_sound
from madstar.learning.corpus.collecting import looked_at, settled
from madstar.learning.corpus.edits import random_edits
from madstar.learning.corpus.entries import entry_of
from madstar.learning.corpus.generated import mad_layers, random_genomes
from madstar.learning.corpus.itself import graph_transformers
from madstar.learning.corpus.labels import domain, role
from madstar.learning.corpus.measured import of_candidates, read_archives
from madstar.learning.features import OperationTable, features
from madstar.learning.transformer.batch import batch_of
from madstar.learning.transformer.config import SIZES
from madstar.learning.transformer.of_graph import EncoderOfGraph
from madstar.learning.view import view

from .made_museum import made_model

GENOME = "91111-11111"


def test_genomes_are_drawn_by_seed_and_traced() -> None:
    wanted = random_genomes(6, 0, depths=(1, 2))
    assert [w.key for w in wanted] == [w.key for w in random_genomes(6, 0, depths=(1, 2))]
    assert {w.key for w in wanted} != {w.key for w in random_genomes(6, 1, depths=(1, 2))}
    first, again = wanted[0].make(), wanted[0].make()
    assert first is not None
    assert first == again
    assert (first.source, first.graph.input_names) == ("genome", ("tokens",))


def test_layers_are_traced_where_autocast_knows_no_meta_device_too() -> None:
    entries = [w.make() for w in mad_layers(["linear-attention", "swiglu"], dim=32)]
    assert [e.key for e in entries if e is not None] == ["layer:linear-attention", "layer:swiglu"]


def test_the_graph_transformer_is_an_entry_and_evolves_like_any_other():
    entries = [entry for w in graph_transformers() if (entry := w.make()) is not None]
    assert [e.key for e in entries] == ["madstar:graph-encoder", "madstar:graph-transformer"]
    items = settled([looked_at(entry) for entry in entries])
    assert {item.family for item in items} == {"madstar:graph-encoder"}
    assert {item.entry.source for item in items} == {"madstar"}
    made = [entry for w in random_edits(entries, 12, 0) if (entry := w.make()) is not None]
    assert len({entry.hash for entry in made}) > 6
    assert all(entry.parents == ("madstar:graph-encoder",) for entry in made)  # the whole is too large
    config = SIZES["base"]
    table = OperationTable(("linear", "add"))
    batch = batch_of([features(view(fold(llama())), table)])
    for entry in made:
        encoder = EncoderOfGraph(entry.graph, config, table)
        found = encoder(batch)
        (found.tokens.square().mean() + found.pooled.square().mean()).backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())
        assert any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())


def test_edits_are_sound_and_repeatable() -> None:
    pool = [entry_of(fold(llama()), "a", "own"), entry_of(fold(bert()), "b", "own")]
    wanted = random_edits(pool, 6, 0)
    entries = [entry for w in wanted if (entry := w.make()) is not None]
    assert len(entries) >= 4
    for entry in entries:
        check_sound(entry.graph)
        assert entry.hash not in {e.hash for e in pool}
        assert set(entry.parents) <= {"a", "b"}
        assert entry.facts["edits"]
    assert [w.make() for w in random_edits(pool[::-1], 6, 0)] == [w.make() for w in wanted]
    assert random_edits([], 5, 0) == []


def test_each_graph_once_and_edits_with_their_originals() -> None:
    graph = made_model(3)
    edit = entry_of(made_model(4), "edit:0.0:b", "edit", parents=("b",))
    same = [entry_of(graph, key, source) for key, source in (("b", "timm"), ("a", "own"), ("c", "genome"))]
    items = settled([looked_at(entry) for entry in (edit, *same)])
    assert [(i.entry.key, i.family, i.aliases) for i in items] == [
        ("b", "b", ("a", "c")),
        ("edit:0.0:b", "b", ()),
    ]


def test_labels() -> None:
    graph = fold(llama())
    for inputs, label in (
        ("text: ids", "text"),
        ("image: as documented", "vision"),
        ("text: decoder; audio: features [1, 100, 80]", "audio"),
        ("text: ids, decoder", "text"),
        ("text: ids; image: 64 patches [64, 1176]; video: 64 patches; 16 image tokens", "multimodal"),
        ("image of its default_cfg", "text"),  # nothing said: the input is called tokens
        ("series: padded past", "series"),
    ):
        assert domain(graph, {"inputs": inputs}) == label, inputs
    assert domain(graph, {"address": "timm:resnet18"}) == "vision"
    assert domain(made_model(1), {}) == "vision"
    assert domain(made_model(1, name="strange"), {}) == ""
    assert role(graph) == "decoder"
    assert role(replace(graph, input_names=("decoder_input_ids",))) == "encoder-decoder"
    assert role(_without_length(made_model(1))) == "encoder"


def _without_length(graph: Graph) -> Graph:
    """The model for sequences of one size."""
    main = replace(graph.main, inputs=tuple(replace(v, shape=("batch", 16, 8)) for v in graph.main.inputs))
    return replace(graph, definitions={**graph.definitions, graph.root: main})


def _archive(
    home: Path, values: list[tuple[str, int, float, int]], also: dict[str, float] | None = None, cpu: str = ""
) -> None:
    """A search in which genomes, after so many steps, had these bits per byte with these seeds."""
    with Archive.open(home / "archive.sqlite") as archive:
        settings = {"data": "/far/away/python-reference", "width": 16, "heads": 2}
        run = archive.create_run(None, {"settings": settings, "processor": cpu})
        index: dict[str, int] = {}
        for genome, steps, value, seed in values:
            if genome not in index:
                index[genome] = len(index)
                archive.add_candidate(
                    run.id, index=index[genome], genome=genome, architecture=f"h{len(index)}", operator="x"
                )
            archive.add_evaluation(
                run.id,
                candidate=index[genome],
                rung=steps,
                steps=steps,
                tokens=steps * 10,
                seed=seed,
                status="ok",
                started_at=0.0,
                finished_at=1.0,
                values={"quality": value, "perplexity": 3.0, "cache@4096": 1.0, **(also or {})},
                errors={"quality": 0.1},
            )


def test_archives_add_up(tmp_path: Path) -> None:
    other = "91121-11111"
    _archive(tmp_path / "a", [(GENOME, 50, 2.0, 0), (GENOME, 50, 3.0, 1), (GENOME, 100, 1.5, 0)])
    _archive(tmp_path / "b", [(GENOME, 50, 4.0, 2), (other, 50, 5.0, 0)])
    candidates = read_archives([tmp_path / "a", tmp_path / "b"])
    assert len(candidates) == 2
    found = {(c.facts["genome"], f.budget): f for c in candidates for f in c.figures}
    assert {f.task for f in found.values()} == {"quality/python-reference"}
    mean = found[GENOME, "50 steps, 500 tokens"]
    assert (mean.value, mean.seeds) == (3.0, 3)
    assert mean.error == pytest.approx(1 / 3**0.5)
    single = found[GENOME, "100 steps, 1000 tokens"]
    assert (single.value, single.error, single.seeds) == (1.5, 0.1, 1)
    entry = of_candidates(candidates)[0].make()
    assert entry is not None
    assert (entry.key, entry.source) == (candidates[0].key, "genome")
    assert "width=16" in entry.key


def test_latencies_are_measured_once_in_a_run_and_of_one_processor(tmp_path: Path) -> None:
    fast = {"decode@1024": 0.001, "memory@1024": 4096.0}
    _archive(tmp_path / "a", [(GENOME, 50, 2.0, 0), (GENOME, 100, 1.5, 0)], fast, "fast")
    _archive(tmp_path / "b", [(GENOME, 50, 2.5, 1)], {"decode@1024": 0.003}, "slow")
    _archive(tmp_path / "c", [(GENOME, 50, 2.5, 1)], {"decode@1024": 0.005}, "slow")
    (candidate,) = read_archives([tmp_path / name for name in "abc"])
    found = {(f.task, f.budget): (f.value, f.seeds) for f in candidate.figures if "quality" not in f.task}
    assert found == {
        ("decode@1024 on fast", ""): (0.001, 1),
        ("decode@1024 on slow", ""): (0.004, 2),
        ("memory@1024", ""): (4096.0, 1),
    }


def test_an_empty_archive_says_what_to_run(tmp_path: Path) -> None:
    _archive(tmp_path, [])
    with pytest.raises(
        DataError, match=r"nothing was measured in .*: run madstar search or madstar benchmark"
    ):
        read_archives([tmp_path])
    with pytest.raises(ArchiveError, match="does not exist"):
        read_archives([tmp_path / "none"])
