"""Random programs: what was not touched is as it was, what comes out is sound, undone it is what it was."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import Places, Site, edit, undone
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import from_json, to_json
from madstar.graph.model import Call
from madstar.graph.paths import join
from madstar.graph.soundness import check_sound
from madstar.graph.unfolding import unfold

from .. import graphs
from . import models

GRAPHS = {"decoder": models.graph, "bert": graphs.bert, "alternating": graphs.alternating}
NEW = [
    {"op": "relu"},
    {"op": "linear", "out_features": "same"},
    [
        {"op": "linear", "out_features": "x//2", "bias": False},
        {"op": "silu"},
        {"op": "linear", "out_features": "y"},
    ],
    {
        "path": "{site}.low",
        "kind": "Low",
        "steps": [{"op": "rms_norm"}, {"op": "scale"}, {"op": "add", "in": {"other": "%x"}}],
    },
]
SOME = [
    "blocks[*]",
    "blocks[-1]",
    "blocks[0].*",
    "**:linear",
    "**:add",
    "blocks[*]:add",
    "blocks[::2].**:linear",
]


def modules(graph):
    held = [site for branch in Places(unfold(graph)).root.all() for site in branch.held]
    return sorted({site.path for site in held if isinstance(site, Site)})


PATTERNS = {name: [*modules(make()), *SOME] for name, make in GRAPHS.items()}


@st.composite
def programs(draw, name):
    edits = []
    for _ in range(draw(st.integers(1, 4))):
        select = draw(st.sampled_from(PATTERNS[name]))
        kind = draw(
            st.sampled_from(
                (
                    "insert_after",
                    "insert_before",
                    "insert_parallel",
                    "replace",
                    "delete",
                    "wrap",
                    "repeat",
                    "freeze",
                )
            )
        )
        entry = {"edit": kind, "select": select}
        if kind.startswith(("insert", "replace")):
            entry["new"] = draw(st.sampled_from(NEW))
        if kind == "wrap":
            entry |= {"after": draw(st.sampled_from(NEW)), "residual": draw(st.booleans())}
        edits.append(entry)
    return edits


def written_out(graph, name, known=None):
    """A block with all that it calls, without names of definitions."""
    known = {} if known is None else known
    if name not in known:
        block = graph.definitions[name]
        items = tuple(
            (item.name, item.paths, item.arguments, item.outputs, written_out(graph, item.definition, known))
            if isinstance(item, Call)
            else item
            for item in block.items
        )
        known[name] = (block.kind, block.inputs, block.parameters, items, block.outputs)
    return known[name]


def blocks(graph):
    """Each use of a block: chain of calls, path, written out."""
    known = {}
    stack = [((), "", graph.root)]
    while stack:
        chain, path, name = stack.pop()
        yield chain, path, written_out(graph, name, known)
        for item in graph.definitions[name].items:
            if isinstance(item, Call):
                stack.append(((*chain, item.name), join(path, item.paths[0]), item.definition))


def applied(graph, program):
    """As much of a program as applies, one edit at a time."""
    found = edit(graph)
    for each in program:
        before = found
        try:
            found = found.apply([each])
        except EditError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert found is before
    return found


@settings(max_examples=60)
@given(st.data(), st.sampled_from(sorted(GRAPHS)))
def test_random_programs(data, name):
    graph = GRAPHS[name]()
    result = applied(graph, data.draw(programs(name)))
    assume(result.steps)
    last = result.steps[-1]
    sites = {
        site.instance.chain
        for branch in Places(last.before).root.all()
        for held in branch.held
        if hasattr(held, "definition")
        for site in Places(last.before).inside(held)
        if site.path in last.paths or any(path.startswith(f"{site.path}.") for path in last.paths)
    }
    after = {chain: whole for chain, _, whole in blocks(last.after)}
    for chain, path, whole in blocks(last.before):
        touched = any(site[: len(chain)] == chain for site in sites)
        if not touched and chain in after:
            assert after[chain] == whole, path

    whole = result.graph
    check_sound(whole)
    report = check(whole)
    assert not [f for f in report.findings if f.kind not in ("causality", "size")], report.text()
    assert from_json(to_json(whole)) == whole
    assert structural_hash(unfold(fold(result.unfolded))) == structural_hash(result.unfolded)

    back = undone(whole, graph)
    assert structural_hash(back.unfolded) == structural_hash(last.before)
    while result.steps:
        result = result.undo()
    assert result.unfolded == unfold(graph)
    assert structural_hash(result.graph) == structural_hash(graph)
