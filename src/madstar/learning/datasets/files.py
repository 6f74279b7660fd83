"""A dataset on disk: Parquet tables, schema.json, a card; written whole, the same bytes for the same content.

    schema.json                 what is here: schema, seed, counts, vocabulary, a hash of each table
    entries.parquet             one row for each graph: the graph as compressed JSON, family, labels, blocks
    examples-TASK.parquet       the examples of a task
    README.md                   the card

schema.json is written last: a folder whose tables are not those that it names was not finished.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DataError
from ...whole_files import write_whole
from ..corpus.collecting import Item
from .examples import KINDS, TASKS, Example, from_row, to_row

SCHEMA = "madstar.learning.dataset/1"
SCHEMA_FILE = "schema.json"
ENTRIES = "entries.parquet"
CARD = "README.md"
_LARGEST_SCHEMA = 16 * 2**20

_NAMES = pa.list_(pa.string())
ENTRY_COLUMNS = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.string()),
        ("hash", pa.string()),
        ("nodes", pa.int32()),
        ("unfolded", pa.int64()),
        ("family", pa.string()),
        ("strict_family", pa.string()),
        ("domain", pa.string()),
        ("role", pa.string()),
        ("parents", _NAMES),
        ("aliases", _NAMES),
        ("blocks", _NAMES),
        ("bare_blocks", _NAMES),
        ("operations", pa.string()),
        ("facts", pa.string()),
        ("graph", pa.binary()),
    ]
)
_NODES = pa.list_(pa.int32())
EXAMPLE_COLUMNS: Mapping[str, pa.Schema] = {
    "operation": pa.schema([("entry", pa.string()), ("masked", _NODES), ("way", pa.string())]),
    "link": pa.schema([("entry", pa.string()), ("removed", _NODES), ("decoys", pa.list_(_NODES))]),
    "incomplete": pa.schema([("entry", pa.string()), ("deleted", pa.int32())]),
    "completion": pa.schema([("entry", pa.string()), ("given", pa.int32())]),
    "classification": pa.schema(
        [(name, pa.string()) for name in ("entry", "label", "question", "confuser")],
    ),
    "performance": pa.schema(
        [
            *((name, pa.string()) for name in ("entry", "task", "budget")),
            ("value", pa.float64()),
            ("error", pa.float64()),
            ("seeds", pa.int32()),
        ]
    ),
}


def table_name(task: str) -> str:
    """The file of a task's examples."""
    return f"examples-{task}.parquet"


def write_dataset(
    folder: Path,
    items: Sequence[Item],
    examples: Mapping[str, Sequence[Example]],
    head: Mapping[str, Any],
    card: str,
) -> dict[str, Any]:
    """Write the tables, the card and, last, schema.json with the keys of `head`; returns what is in that.

    Raises OutputError for a folder that cannot be written to.
    """
    tables = {ENTRIES: _bytes(pa.Table.from_pylist([_row(item) for item in items], ENTRY_COLUMNS), "graph")}
    for task in TASKS:
        rows = [to_row(example) for example in examples[task]]
        tables[table_name(task)] = _bytes(pa.Table.from_pylist(rows, EXAMPLE_COLUMNS[task]))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    document = {"schema": SCHEMA, **head, "tables": hashes}
    for name, content in tables.items():
        write_whole(folder / name, content)
    write_whole(folder / CARD, card.encode())
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(folder / SCHEMA_FILE, text.encode())
    return document


def read_schema(folder: Path) -> dict[str, Any]:
    """What schema.json says. Raises DataError for no dataset, or one of another schema."""
    path = folder / SCHEMA_FILE
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_LARGEST_SCHEMA))
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no dataset; madstar learn dataset --out {folder} makes one"
        ) from None
    except (OSError, ValueError, RecursionError):
        raise DataError(f"{path} cannot be read: make the dataset again with madstar learn dataset") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise DataError(
            f"{folder} is of schema {found!s:.60}, this madstar reads {SCHEMA}: make the dataset again "
            "with madstar learn dataset"
        )
    tables = document.get("tables")
    if not isinstance(tables, dict) or not isinstance(document.get("vocabulary"), dict):
        raise DataError(f"{path} lacks its tables or vocabulary: make the dataset again")
    return dict(document)


def read_table(folder: Path, name: str, schema: Mapping[str, Any]) -> pa.Table:
    """A table of the dataset. Raises DataError where it is missing, damaged or not the one that is named."""
    path = folder / name
    again = "run the same madstar learn dataset again"
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(f"{path} is missing or cannot be read: {again}") from None
    if hashlib.sha256(content).hexdigest() != schema["tables"].get(name):
        raise DataError(f"{path} is not what {SCHEMA_FILE} names, the dataset was not finished: {again}")
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError, ValueError):
        raise DataError(f"{path} is no Parquet file: {again}") from None
    wanted = (
        ENTRY_COLUMNS
        if name == ENTRIES
        else next(columns for task, columns in EXAMPLE_COLUMNS.items() if table_name(task) == name)
    )
    if not table.schema.equals(wanted):
        raise DataError(f"{path} has other columns than schema {SCHEMA}: {again}")
    return table


def read_examples(folder: Path, task: str, schema: Mapping[str, Any]) -> tuple[Example, ...]:
    """The examples of a task. Raises DataError for an unknown task."""
    if task not in KINDS:
        raise DataError(f"there is no task {task!r}; the tasks are {', '.join(TASKS)}")
    rows = read_table(folder, table_name(task), schema).to_pylist()
    return tuple(from_row(task, row) for row in rows)


def _row(item: Item) -> dict[str, Any]:
    entry = item.entry
    return {
        "key": entry.key,
        "source": entry.source,
        "hash": entry.hash,
        "nodes": entry.nodes,
        "unfolded": entry.unfolded,
        "family": item.family,
        "strict_family": item.strict,
        "domain": item.domain,
        "role": item.role,
        "parents": list(entry.parents),
        "aliases": list(item.aliases),
        "blocks": list(item.print.blocks),
        "bare_blocks": list(item.print.bare),
        "operations": json.dumps(item.print.counts, sort_keys=True),
        "facts": json.dumps(dict(entry.facts), sort_keys=True),
        "graph": entry.packed,
    }


def _bytes(table: pa.Table, packed: str = "") -> bytes:
    """The table as Parquet. What is packed already is not compressed again."""
    out = io.BytesIO()
    compression = {name: "none" if name == packed else "zstd" for name in table.column_names}
    dictionary = [name for name in table.column_names if name != packed]
    pq.write_table(table, out, compression=compression, use_dictionary=dictionary, write_statistics=False)
    return out.getvalue()
