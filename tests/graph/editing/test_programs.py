"""Programs as JSON: what is read, what is refused with one line, what is remembered and undone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import EditError
from madstar.graph.editing import edit, load_program, read_program, undone
from madstar.graph.editing.reading import EDITS
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import load, save
from madstar.graph.unfolding import unfold

from . import models

DELETE = {"edit": "delete", "select": "layers[2]"}
INSERT = {"edit": "insert_after", "select": "norm", "new": {"op": "gelu"}}


def program(*edits):
    return {"schema": "madstar.edits/1", "edits": list(edits)}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], '"edits" must be a list'),
        ({"edits": [DELETE]}, "its schema is None"),
        (program() | {"schema": "madstar.edits/9"}, "not 'madstar.edits/1'"),
        (program(DELETE) | {"edit": 1}, "the key 'edit' is not known (did you mean edits?)"),
        (program("delete"), "edit 1: must be an object"),
        (
            program(DELETE, {"edit": "delte", "select": "x"}),
            "edit 2: there is no edit 'delte' (did you mean delete?)",
        ),
        (program({"edit": ["delete"]}), "there is no edit ['delete']"),
        (program({"rewrite": "zzz"}), "there is no rewrite 'zzz'"),
        (program({"select": "x"}), 'says neither "edit" nor "rewrite"'),
        (program({"edit": "delete"}), '"select" is missing'),
        (program({"edit": "delete", "select": 3}), "select is 3; give text"),
        (program({"edit": "delete", "selct": "x"}), "did you mean select?"),
        (program({"edit": "repeat", "select": "x", "times": "3"}), "times is '3'; give a whole number"),
        (program({"edit": "repeat", "select": "x", "times": True}), "times is True"),
        (program({"edit": "wrap", "select": "x", "residual": 1}), "residual is 1; give true or false"),
        (program(INSERT | {"new": []}), "0 steps"),
        (program(INSERT | {"new": 3}), "must be an object"),
        (program(INSERT | {"new": {"op": "gelo"}}), "there is no operation 'gelo' (did you mean gelu?)"),
        (program(INSERT | {"new": {"op": "gelu", "out_features": 3}}), "the key 'out_features' is not known"),
        (program(INSERT | {"new": {"op": "gelu", "set": {"aproximate": 3}}}), "did you mean approximate?"),
        (program(INSERT | {"new": {"op": "gelu", "name": "a b"}}), "is no name"),
        (program(INSERT | {"new": [{"op": "gelu", "name": "a"}, {"op": "gelu", "name": "a"}]}), "is taken"),
        (
            program(INSERT | {"new": {"steps": [{"op": "gelu"}], "graph": "x.json"}}),
            'either "steps" or "graph"',
        ),
        (program(INSERT | {"new": {"steps": [{"op": "gelu"}], "path": "a..b"}}), "is no path"),
        (program(INSERT | {"new": {"graph": "/etc/passwd"}}), "name a graph file"),
        (program(INSERT | {"new": {"graph": "missing.json"}}), "cannot read"),
        (program({"edit": "set_attr", "select": "x", "set": {"a": {"b": 1}}}), "an object here can only be"),
        (program({"edit": "set_attr", "select": "x", "set": [1]}), "must be an object"),
        (program(*[DELETE] * 10_001), "at most 10,000"),
        (program(INSERT | {"new": [{"op": "gelu"}] * 1001}), "between 1 and 1,000"),
    ],
)
def test_what_is_no_program_is_one_line(document, words):
    with pytest.raises(EditError) as caught:
        read_program(document)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is it cut off?"),
        (json.dumps(program(DELETE, INSERT)).encode()[:-9], "is it cut off?"),
        (b"\xff\xfe{}", "not text in UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"schema": "madstar.edits/1", "schema": "x", "edits": []}', "a key stands twice"),
        (b'{"schema": NaN}', "NaN is no JSON"),
        (
            b'[{"edit": "set_attr", "select": "x", "set": {"a": ' + b"[" * 30 + b"]" * 30 + b"}}]",
            "nested too deeply",
        ),
        (b'{"a": ' + b"9" * 5000 + b"}", "prog.json: "),
        (b" " * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
    ],
)
def test_hostile_files(tmp_path, content, words):
    path = tmp_path / "prog.json"
    path.write_bytes(content)
    with pytest.raises(EditError) as caught:
        load_program(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(EditError, match="cannot read"):
        load_program(tmp_path / "none.json")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["%x", "norm", "linear"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["op", "in", "set", "steps", "graph", "name", "path", "float", "input"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(EDITS)), st.data())
def test_any_data_is_read_or_refused(name, data):
    keys = [key.rstrip("_") for key in EDITS[name].__dataclass_fields__]
    entry = {"edit": name, **{key: data.draw(JSON) for key in keys if data.draw(st.integers(0, 4))}}
    entry["select"] = data.draw(st.sampled_from(["norm", "blocks[*]", "**:linear", 7]))
    try:
        result = edit(models.graph(), [entry])
    except EditError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert result.steps


def test_history_and_undo(tmp_path):
    save(models.graph(), tmp_path / "g.graph.json")
    first = edit(load(tmp_path / "g.graph.json"), [DELETE, INSERT], address="g.graph.json")
    save(first.graph, tmp_path / "h.graph.json")
    found = load(tmp_path / "h.graph.json")
    (history,) = found.facts["edits"]
    assert history["original"] == {"name": "decoder", "file": "g.graph.json"}
    assert history["edits"] == [DELETE, INSERT]
    assert history["before"] == structural_hash(unfold(models.graph()))
    assert history["after"] == structural_hash(unfold(found))
    again = undone(found, models.graph())
    assert [step.edit for step in again.steps] == [DELETE]
    assert structural_hash(again.unfolded) == structural_hash(edit(models.graph(), [DELETE]).unfolded)
    last = undone(again.graph, models.graph())
    assert last.graph == models.graph()


def test_undo_wants_the_original():
    edited = edit(models.graph(), [DELETE])
    with pytest.raises(EditError, match="give the original as it was"):
        undone(edited.graph, edited.graph)
    with pytest.raises(EditError, match="nothing to undo"):
        undone(models.graph(), models.graph())
    with pytest.raises(EditError, match="2 cannot be undone"):
        edited.undo(2)


@pytest.mark.parametrize(
    "history", [[1], [{}], [{"edits": []}], {"a": 1}, "x", [{"edits": [1], "original": 3, "before": ""}]]
)
def test_a_forged_history_is_refused(history):
    from dataclasses import replace

    graph = models.graph()
    with pytest.raises(EditError):
        undone(replace(graph, facts={"edits": history}), graph)


def test_a_program_applies_wholly_or_not_at_all():
    begun = edit(models.graph(), [DELETE])
    with pytest.raises(EditError, match=r"^edit 2 \(delete\)"):
        begun.apply([INSERT, {"edit": "delete", "select": "layers[2]"}])
    assert [step.edit for step in begun.steps] == [DELETE]


def test_files_of_weights_are_named_while_they_hold_all():
    from dataclasses import replace

    graph = replace(models.graph(), weights=("model.safetensors",))
    assert edit(graph, [DELETE]).graph.weights == ("model.safetensors",)
    more = edit(graph, [INSERT | {"new": {"op": "linear", "out_features": "same"}}]).graph
    assert more.weights == ()
    assert more.facts["weights_before_edits"] == ["model.safetensors"]
