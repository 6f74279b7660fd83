"""Archives and directories that cannot be used: one line, and what is there stays as it is."""

import ctypes
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from madstar.archive import Archive

from .commands import TINY, FinishedRun, as_process, contents, invoke, refusal, words_in

_CAPABILITY_VERSION_3 = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def commands(home: Path, text: Path) -> Iterator[tuple[object, ...]]:
    """Every command that opens an archive."""
    yield "search", "--data", text, *TINY, "--home", home
    yield "search", "--resume", "latest", "--home", home
    yield "report", "--home", home
    yield "runs", "--home", home
    yield "export", "--out", home.parent / "model", "--home", home


def spoil_corrupt(archive: Path) -> None:
    archive.write_bytes(b"not a database, not at all " * 99)


def spoil_foreign(archive: Path) -> None:
    archive.unlink()
    with closing(sqlite3.connect(archive)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()


def spoil_newer(archive: Path) -> None:
    with closing(sqlite3.connect(archive)) as connection:
        connection.execute("UPDATE madstar_version SET version_num = '9999'")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_corrupt, ["not an SQLite file, or is damaged", "restore it"]),
        (spoil_foreign, ["another program's database", "name another place"]),
        (spoil_newer, ["schema revision '9999'", "knows revisions up to", "upgrade madstar"]),
    ],
)
def test_archives(spoil: Callable[[Path], None], words: list[str], text: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Archive.open(home / "archive.sqlite") as archive:
        archive.create_run("first", {})
    spoil(home / "archive.sqlite")
    before = contents(tmp_path)
    for command in commands(home, text):
        assert words_in(refusal(invoke(*command)), ["archive.sqlite", *words])
        assert contents(tmp_path) == before


@pytest.mark.parametrize("home", ["file", "file/home"])
def test_a_file_where_the_home_would_be(home: str, text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for command in commands(tmp_path / home, text):
        message = refusal(invoke(*command))
        writes = command[:2] == ("search", "--data")
        expected = ["cannot be written", "choose another"] if writes else ["does not exist", "check the path"]
        assert words_in(message, [str(tmp_path / home), *expected])
    assert contents(tmp_path) == {"file": b"mine"}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextmanager
def as_anyone() -> Iterator[None]:
    """The superuser is held to a file's mode as anyone else is: capabilities rest, and are taken up again."""
    libc, header, held = ctypes.CDLL(None), _Header(_CAPABILITY_VERSION_3, 0), (_Capabilities * 2)()
    if libc.capget(ctypes.byref(header), held) != 0:
        raise OSError("capabilities cannot be read")
    before = held[0].effective
    held[0].effective &= ~_OVERRIDES
    if libc.capset(ctypes.byref(header), held) != 0:
        raise OSError("a capability cannot be given up")
    try:
        yield
    finally:
        held[0].effective = before
        if libc.capset(ctypes.byref(header), held) != 0:
            raise OSError("a capability cannot be taken up again")


def test_a_home_without_permission_to_write(text: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with as_anyone():
        result = invoke(*next(commands(locked / "home", text)))
    message = refusal(result)
    assert words_in(message, [str(locked), "cannot be written", "Permission denied", "choose another"])
    assert contents(tmp_path) == {"locked": None}


def test_data_without_permission_to_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("A line that nobody may read.\n" * 99)
    secret.chmod(0)
    command = ("search", "--data", secret, *TINY, "--home", tmp_path / "home")
    with as_anyone():
        result = invoke(*command)
    message = refusal(result)
    assert words_in(message, ["secret.txt", "no permission to read it", "change its mode"])
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond this: writing fails as on a full disk (32 kB are the least for an archive)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_the_prepared_text(text: Path, tmp_path: Path) -> None:
    command = next(commands(tmp_path / "home", text))
    with file_size_limit(20_000):
        result = invoke(*command)
    message = refusal(result)
    assert words_in(message, [str(tmp_path / "home" / "data"), "cannot be written", "File too large"])
    assert contents(tmp_path) == {}


def test_no_room_for_the_archive(text: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with file_size_limit(60_000):
        result = invoke(*next(commands(home, text)))
    assert words_in(refusal(result), ["archive.sqlite", "check the disk and its room"])
    left = {path.name for path in home.rglob("*") if path.is_file()}
    assert left <= {"archive.sqlite", "manifest.json", "train.bin", "valid.bin", "test.bin"}
    with Archive.open(home / "archive.sqlite") as archive:  # once there is room
        assert archive.runs() == ()


def test_no_room_for_an_export(finished: FinishedRun, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    with file_size_limit(40_000):
        result = invoke("export", "--out", out, "--pick", "Transformer++", "--home", finished.home)
    assert words_in(refusal(result), ["cannot write", str(out), "choose another directory"])
    assert contents(tmp_path) == {}


def test_no_room_for_a_report(finished: FinishedRun, tmp_path: Path) -> None:
    with file_size_limit(40_000):
        result = invoke("report", "--html", tmp_path / "report.html", "--home", finished.home)
    assert words_in(refusal(result), ["cannot write", "report.html", "choose another place"])
    assert contents(tmp_path) == {}


def test_a_report_below_a_file(finished: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = invoke("report", "--html", tmp_path / "file" / "report.html", "--home", finished.home)
    assert words_in(refusal(result), ["cannot write", "report.html", "choose another place"])
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("full", ["is not empty and no earlier export", "choose another directory"]),
        ("full/diary.txt", ["is a file", "choose another directory"]),
        ("full/diary.txt/model", ["cannot write", "choose another directory"]),
    ],
)
def test_an_export_over_other_files(
    out: str, words: list[str], finished: FinishedRun, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    before = contents(tmp_path)
    message = refusal(invoke("export", "--out", tmp_path / out, "--home", finished.home))
    assert words_in(message, [str(tmp_path / out), *words])
    assert contents(tmp_path) == before


def test_an_export_over_other_files_from_a_shell(finished: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    message = refusal(as_process("export", "--out", tmp_path, "--home", finished.home))
    assert words_in(message, ["is not empty and no earlier export", "choose another directory"])
    assert contents(tmp_path) == {"diary.txt": b"mine"}


def test_runs_that_are_not_there(finished: FinishedRun, tmp_path: Path) -> None:
    before = contents(finished.home)
    wrong = finished.name[:-1] + "x"
    for command in (
        ("report", wrong),
        ("export", wrong, "--out", tmp_path / "model"),
        ("search", "--resume", wrong),
    ):
        message = refusal(invoke(*command, "--home", finished.home))
        assert words_in(message, [f"no run '{wrong}'", f"choose one of {finished.name}"])
    assert contents(finished.home) == before
    assert contents(tmp_path) == {}


def test_homes_that_are_not_there(text: Path, tmp_path: Path) -> None:
    for command in list(commands(tmp_path / "home", text))[1:]:
        message = refusal(invoke(*command))
        assert words_in(message, [str(tmp_path / "home"), "does not exist", "start a search"])
    assert contents(tmp_path) == {}


def test_an_archive_without_runs(text: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    Archive.open(home / "archive.sqlite").close()
    before = contents(tmp_path)
    for command in list(commands(home, text))[1:]:
        if command[0] != "runs":
            assert words_in(refusal(invoke(*command)), ["holds no runs yet", "start a search first"])
    assert contents(tmp_path) == before


def test_a_run_without_a_front_cannot_be_exported(finished: FinishedRun, tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "home")
    with Archive.open(home / "archive.sqlite") as archive:
        archive.create_run("fresh", archive.run("latest").config)
    message = refusal(invoke("export", "fresh", "--out", tmp_path / "model", "--home", home))
    assert words_in(message, ["run fresh has no front", "none of its evaluations has succeeded"])
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_candidate_that_is_not_there_cannot_be_exported(finished: FinishedRun, tmp_path: Path) -> None:
    message = refusal(
        invoke("export", "--out", tmp_path / "m", "--pick", "Transformer--", "--home", finished.home)
    )
    assert words_in(message, [finished.name, "no measured candidate 'Transformer--'", "give a number"])
    assert contents(tmp_path) == {}


def test_lost_weights_cannot_be_exported(finished: FinishedRun, tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "home")
    for weights in (home / finished.name / "checkpoints").iterdir():
        weights.write_bytes(weights.read_bytes()[:99])
    message = refusal(invoke("export", "--out", tmp_path / "model", "--home", home))
    assert words_in(message, ["the weights of #", "cannot be read", "checkpoints"])
    assert not (tmp_path / "model").exists()


def test_a_run_name_that_is_taken(finished: FinishedRun, text: Path) -> None:
    before = contents(finished.home)
    arguments = ("--data", text, *TINY, "--name", finished.name, "--home", finished.home)
    message = refusal(invoke("search", *arguments))
    assert words_in(message, [f"a run named '{finished.name}' already", "choose another name"])
    # Another length would have its text prepared anew, which is in vain too.
    refusal(invoke("search", *arguments, "--length", "16"))
    assert contents(finished.home) == before


def test_changed_data_cannot_be_resumed(finished: FinishedRun, tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "home")
    mine = tmp_path / "mine.txt"
    wanted = ("search", "--resume", "changed", "--minutes", "3", "--home", home)
    with Archive.open(home / "archive.sqlite") as archive:
        config = dict(archive.run("latest").config)
        config["settings"] = {**config["settings"], "data": str(mine)}
        run = archive.create_run("changed", config)
    message = refusal(invoke(*wanted))
    assert words_in(message, ["mine.txt", "no such file or folder"])
    numbers = [f"{i * i} follows {i}" for i in range(3000)]
    mine.write_text("\n".join(numbers))
    message = refusal(invoke(*wanted))
    assert words_in(message, ["the data of run changed have changed", "restore them, or begin a new run"])
    with Archive.open(home / "archive.sqlite") as archive:
        assert archive.run("changed") == run


def test_minutes_to_resume_for(finished: FinishedRun) -> None:
    before = contents(finished.home)
    message = refusal(invoke("search", "--resume", "latest", "--minutes", "0", "--home", finished.home))
    assert words_in(message, ["0 minutes", "more than 0"])
    assert contents(finished.home) == before
