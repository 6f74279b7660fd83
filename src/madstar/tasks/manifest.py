"""What a prepared text says about itself: manifest.json, versioned."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from madstar.errors import DataError
from madstar.tasks.split import SPLITS

FORMAT = "madstar-text"
VERSION = 1
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class SplitCounts:
    """One split: its tokens and bytes (ends of documents included), its units, its content's hash."""

    tokens: int
    bytes: int
    documents: int
    sha256: str


@dataclass(frozen=True)
class SplitLeakage:
    """One held-out split against training: windows checked, starts of those excluded, n-gram overlap."""

    windows: int
    excluded: tuple[int, ...]
    ngram_share: float


@dataclass(frozen=True)
class LeakageReport:
    """The check for windows of `length` tokens, and the shorter n-gram whose share is given too."""

    length: int
    ngram: int
    splits: dict[str, SplitLeakage]


@dataclass(frozen=True)
class Inputs:
    """What a preparation was made from; the same inputs need not be prepared again."""

    source: str
    tokenizer: str
    length: int
    seed: int
    field: str


@dataclass(frozen=True)
class SourceReport:
    """What was read: documents, the units of the split they gave, and the files passed over as not text."""

    description: str
    documents: int
    units: int
    piece_bytes: int
    files: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """A prepared text in full; sizes are in tokens unless they say bytes."""

    fingerprint: str
    vocabulary_size: int
    dtype: str
    separator: int | None
    unknown_tokens: int
    length: int
    seed: int
    tokenizer: str
    source: SourceReport
    splits: dict[str, SplitCounts]
    leakage: LeakageReport
    inputs: Inputs

    def to_json(self) -> str:
        """Return the manifest as JSON text."""
        return json.dumps({"format": FORMAT, "version": VERSION} | asdict(self), indent=1) + "\n"


def fingerprint(vocabulary_size: int, tokenizer: str, length: int, splits: dict[str, SplitCounts]) -> str:
    """Return the hash of all that decides what is trained and measured: tokens, split, tokenizer, length."""
    content = [vocabulary_size, tokenizer, length, [[name, splits[name].sha256] for name in sorted(splits)]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def is_ours(directory: Path) -> bool:
    """Return whether a folder has a manifest that this program wrote, of whatever version."""
    try:
        found = json.loads((directory / MANIFEST_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest in a prepared folder.

    Raises DataError if there is none, or if it is corrupt, foreign or of another version.
    """
    path = directory / MANIFEST_FILE
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{directory}: no prepared text here (no {MANIFEST_FILE}); prepare it first"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except ValueError as error:
        raise DataError(f"{path}: corrupt; remove the folder and prepare the text again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path}: not the manifest of a prepared text; choose another folder")
    if found.get("version") != VERSION:
        raise DataError(f"{path}: version {found.get('version')}, not {VERSION}; prepare the text again")
    try:
        return _from_json(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: corrupt; remove the folder and prepare the text again") from error


def _from_json(found: dict[str, Any]) -> Manifest:
    plain = {key: value for key, value in found.items() if key not in ("format", "version")}
    source, leakage = plain["source"], plain["leakage"]
    plain["source"] = SourceReport(**source | {"skipped": tuple(source["skipped"])})
    plain["splits"] = {name: SplitCounts(**counts) for name, counts in plain["splits"].items()}
    plain["inputs"] = Inputs(**plain["inputs"])
    checked = {
        name: SplitLeakage(**split | {"excluded": tuple(split["excluded"])})
        for name, split in leakage["splits"].items()
    }
    plain["leakage"] = LeakageReport(**leakage | {"splits": checked})
    if set(plain["splits"]) != set(SPLITS):
        raise KeyError("splits")
    return Manifest(**plain)
