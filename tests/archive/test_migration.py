"""Older archives are upgraded with their rows, newer ones refused, and revisions add up to the schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from madstar.archive import Archive
from madstar.archive.location import APPLICATION_ID, Location, connect, writing
from madstar.archive.migration import known_revisions, upgrade
from madstar.archive.schema import REVISION, VERSION_TABLE, Base
from madstar.errors import ArchiveError, OutputError

ROWS = """
INSERT INTO runs (id, name, created, status, config, version)
    VALUES (7, 'old', '2026-01-02 03:04:05.000000', 'interrupted', '{"minutes": 5}', '0.0.1');
INSERT INTO architectures (hash, genome, spec, created)
    VALUES ('aa', 'g', NULL, '2026-01-02 03:04:05.000000');
INSERT INTO candidates (id, run_id, candidate, role, name, genome, architecture, operator, validity,
        repaired_genes, status, reason, "values", generation, proposed_at)
    VALUES (1, 7, 0, 'search', NULL, 'g', 'aa', 'random', 'valid', '[]', 'pending', NULL,
            '{"cache": "inf"}', 0, 1),
           (2, 7, 1, 'search', NULL, 'g', 'aa', 'mutation', 'repaired', '["w"]', 'duplicate', 'as 0',
            '{}', 1, 2);
INSERT INTO parents (run_id, candidate, ordinal, parent) VALUES (7, 1, 0, 0);
INSERT INTO evaluations (id, run_id, candidate, sequence, rung, steps, tokens, seed, status, error, "values",
        errors, curve, timings, worker, started_at, finished_at)
    VALUES (1, 7, 0, 0, 0, 10, 100, 3, 'ok', NULL, '{"bpb": 2.5}', '{}', '[[1, "nan"]]', '{}', 0, 1, 2);
"""


@pytest.fixture
def old(path: Path) -> Path:
    """An archive as the first revision left it, with rows."""
    return at_revision("0001", path)


def at_revision(revision: str, path: Path) -> Path:
    """An archive as a revision left it, with rows."""
    engine = connect(Location.parse(path), 1.0)
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        upgrade(connection, revision)
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL;" + ROWS)
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_revisions_form_one_line_to_the_schema() -> None:
    assert known_revisions() == ("0001", "0002", "0003", "0004")
    assert known_revisions()[-1] == REVISION


def test_all_revisions_together_give_the_declared_schema(path: Path) -> None:
    with Archive.open(path) as archive, archive._engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {VERSION_TABLE, *Base.metadata.tables}


def test_the_comparison_sees_a_missing_revision(old: Path) -> None:
    engine = connect(Location.parse(old), 1.0)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found = compare_metadata(context, Base.metadata)
    engine.dispose()
    columns = [change for change in found if change[0] == "add_column"]
    assert sorted((change[0], change[2], change[3].name) for change in columns) == [
        ("add_column", "candidates", "staleness"),
        ("add_column", "evaluations", "point"),
        ("add_column", "evaluations", "setting"),
        ("add_column", "evaluations", "stage"),
        ("add_column", "runs", "kind"),
        ("add_column", "runs", "seconds"),
    ]


def test_an_older_archive_is_upgraded_with_its_rows(old: Path) -> None:
    before = dump(old)
    with Archive.open(old, create=False) as archive:
        run = archive.run("old")
        assert (run.id, run.config, run.version, run.seconds) == (7, {"minutes": 5}, "0.0.1", 0.0)
        assert run.kind == "search"
        first, second = archive.candidates(7)
        assert (first.values, first.staleness, first.parents) == ({"cache": float("inf")}, 0, ())
        assert (second.parents, second.repaired_genes, second.reason) == ((0,), ("w",), "as 0")
        (evaluation,) = archive.evaluations(7)
        assert (evaluation.values, evaluation.seed) == ({"bpb": 2.5}, 3)
        archive.add_candidate(7, index=2, genome="h", architecture="bb", operator="random", staleness=4)
        assert archive.candidates(7)[2].staleness == 4
    copy = old.with_name("archive.sqlite.bak-0001")
    assert {file.name for file in old.parent.iterdir()} == {old.name, copy.name}
    assert dump(copy) == before


def test_evaluations_of_before_there_were_stages_are_the_searchs(path: Path) -> None:
    at_revision("0002", path)
    more = """
        INSERT INTO evaluations (id, run_id, candidate, sequence, rung, steps, tokens, seed, status, error,
                "values", errors, curve, timings, worker, started_at, finished_at)
            SELECT id + 4, run_id, candidate, sequence + 1, rung + 1, steps, tokens, seed, 'crash', 'died',
                "values", errors, curve, timings, worker, started_at, finished_at FROM evaluations;
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(more)
        before = connection.execute("SELECT * FROM evaluations ORDER BY id").fetchall()
    with Archive.open(path, create=False) as archive:
        rows = archive.evaluations(7)
        assert [(row.id, row.rung, row.status, row.stage) for row in rows] == [
            (1, 0, "ok", "search"),
            (5, 1, "crash", "search"),
        ]
        again = {"candidate": 0, "rung": 0, "seed": 3, "status": "ok", "steps": 1, "tokens": 1}
        clock = {"started_at": 0.0, "finished_at": 1.0}
        with pytest.raises(ArchiveError, match="nothing runs twice"):
            archive.add_evaluation(7, **again, **clock)
        assert archive.add_evaluation(7, **again, **clock, stage="validation").sequence == 2
    with closing(sqlite3.connect(path)) as connection:
        after = connection.execute("SELECT * FROM evaluations ORDER BY id LIMIT 2").fetchall()
        assert after == [(*row, "search", "", "") for row in before]
        connection.commit()
        connection.execute("PRAGMA foreign_keys = ON")
        # The rebuilt table refuses what the old one did, without the store's own check.
        for change, refusal in (
            ("rung = 0", "UNIQUE.*candidate, evaluations.stage, evaluations.rung"),
            ("sequence = 0", "UNIQUE.*evaluations.sequence"),
            ("candidate = 77", "FOREIGN KEY"),
            ("run_id = 77", "FOREIGN KEY"),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=refusal):
                connection.execute(f"UPDATE evaluations SET {change} WHERE id = 5")


def test_a_second_opening_copies_nothing(old: Path) -> None:
    for _ in range(2):
        Archive.open(old).close()
    assert len(list(old.parent.iterdir())) == 2


def test_the_copy_holds_what_is_only_in_the_log(old: Path) -> None:
    with closing(sqlite3.connect(old)) as writer:  # kept open, so that the log is not folded into the file
        writer.execute("UPDATE runs SET status = 'failed'")
        writer.commit()
        Archive.open(old).close()
    with closing(sqlite3.connect(old.with_name("archive.sqlite.bak-0001"))) as copy:
        assert copy.execute("SELECT status FROM runs").fetchall() == [("failed",)]


def test_an_older_copy_is_kept(old: Path) -> None:
    earlier = old.with_name("archive.sqlite.bak-0001")
    earlier.write_text("an earlier copy")
    Archive.open(old).close()
    assert earlier.read_text() == "an earlier copy"
    assert old.with_name("archive.sqlite.bak-0001-2").stat().st_size > 4096


def test_no_copy_no_upgrade(old: Path) -> None:
    before = dump(old)
    old.with_name("archive.sqlite.bak-0001.partial").mkdir()
    with pytest.raises(OutputError, match=r"no copy of it could be written to .*bak-0001: make room"):
        Archive.open(old)
    assert dump(old) == before


def test_an_upgrade_that_fails_changes_nothing(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:  # the second of the upgrade's two steps will fail
        connection.execute("ALTER TABLE candidates ADD COLUMN staleness INTEGER")
        connection.commit()
    before = dump(old)
    with pytest.raises(ArchiveError, match="duplicate column name: staleness"):
        Archive.open(old)
    assert dump(old) == before


def test_a_newer_archive_is_refused_untouched(path: Path) -> None:
    Archive.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE madstar_version SET version_num = '0099'")
        connection.commit()
    before = dump(path)
    with pytest.raises(ArchiveError) as caught:
        Archive.open(path)
    message = str(caught.value)
    assert "revision '0099'" in message
    assert f"up to '{REVISION}': upgrade madstar" in message
    assert dump(path) == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
