"""Ready-made rewrites over every graph of the museum: which apply, and whether they keep what they promise.

    python -m benchmarks.rewrites [--folder runs/museum] [--part K/N] [--only KEY ...] [--rewrite NAME ...]
                                  [--retry] [--most-parameters 60e6] [--most-nodes 4000] [--summary]

takes each graph of the corpus (`madstar graph corpus`), and applies each rewrite with the same options to all
of them. Of what is not declined it is asked:

- checked: `madstar graph check` finds nothing in the edited graph that it does not find in the graph itself;
- untouched: every block in which nothing was touched is the same as before, written out in full;
- kept: what the rewrite promises, in numbers, where the graph has few enough parameters and can be built:
  random weights (fresh, and a little noise), carried over by `transfer`, random inputs, float32, the largest
  difference of any output relative to that output's largest value at most 1e-4 (bfloat16: 2e-2). Where the
  promise holds only under a condition (equal heads, tied values) the weights are first made to meet it. Of
  rewrites that change the function it is asked that the edited graph runs, gives outputs of the same shapes,
  finite where they were, and that weights which kept their paths and shapes kept their values.

A row for each graph is added to benchmarks/results/rewrites.jsonl; what stands there is not done again, but
for graphs that were too large to be run and are not with this --most-parameters.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .forks import in_fork
from .machine import RESULTS, keep
from .rewrites_checks import CASES, Subject

ROWS = RESULTS / "rewrites.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/museum"))
    parser.add_argument("--part", default="0/1", help="every n-th graph from the k-th on: k/n")
    parser.add_argument("--only", nargs="*", default=[], help="graphs with these keys, done again")
    parser.add_argument("--rewrite", nargs="*", default=[], help="these rewrites alone, done again")
    parser.add_argument(
        "--retry", action="store_true", help="graphs where something was not kept, done again"
    )
    parser.add_argument("--most-parameters", type=float, default=60e6, help="of graphs that are run")
    parser.add_argument("--most-nodes", type=int, default=4000, help="of graphs that are rewritten at all")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the file of rows")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    if not given.summary:
        run(given)
    rows = read(given.rows)
    print(summary(rows))
    if rows and given.rows == ROWS:
        result = {"command": "python -m benchmarks.rewrites", **figures(rows)}
        print("\nkept in", keep("rewrites", result))


def run(given: argparse.Namespace) -> None:
    from madstar.zoo.corpus import read_index

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    known = {row["key"]: row for row in read(given.rows)}
    indexed = [row for row in read_index(given.folder) if row["status"] == "ok"]
    indexed = [row for row in indexed if row["nodes"] <= given.most_nodes]
    if given.only:
        indexed = [row for row in indexed if row["key"] in given.only or row["name"] in given.only]
    elif given.retry:
        indexed = [row for row in indexed if row["key"] in known and failed(known[row["key"]])]
    elif not given.rewrite:
        indexed = [row for row in indexed if _to_do(known.get(row["key"]), row, given.most_parameters)]
    first, of = map(int, given.part.split("/"))
    for row in indexed[first::of]:
        file, numbers = given.folder / row["file"], row["parameters"] <= given.most_parameters
        names = given.rewrite or list(CASES)
        made = in_fork(lambda file=file, n=numbers, w=names: measure(file, n, w), 600, 12 * 2**30)  # type: ignore[misc]
        if given.rewrite and "cases" in made:
            made["cases"] = {**known.get(row["key"], {}).get("cases", {}), **made["cases"]}
        made = {"key": row["key"], "parameters": row["parameters"], "asked": numbers, **made}
        with open(given.rows, "a", encoding="utf-8") as file_of_rows:
            file_of_rows.write(json.dumps(made) + "\n")
        print(row["key"], verdict(made), flush=True)


def _to_do(known: Mapping[str, Any] | None, row: Mapping[str, Any], most: float) -> bool:
    """Whether a graph was not done yet, or not run because it was too large then."""
    return known is None or (row["parameters"] <= most and not known.get("asked", True))


def measure(file: Path, numbers: bool, names: list[str]) -> dict[str, Any]:
    """All rewrites of one graph."""
    from madstar.graph.json_format import load

    subject = Subject(load(file), numbers)
    cases = {name: subject.tried(name) for name in names}
    return {"nodes": subject.nodes, "numbers": subject.runs, "cases": cases}


def read(file: Path) -> list[dict[str, Any]]:
    """The last row of each graph."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return list({row["key"]: row for row in map(json.loads, lines)}.values())


# What is said of it.


def good(case: Mapping[str, Any]) -> bool:
    """Whether all that was asked of a rewrite that was made is so."""
    return bool(
        case["state"] == "made" and case["checked"] and case["untouched"] and case["kept"] is not False
    )


def failed(row: Mapping[str, Any]) -> bool:
    return "error" in row or any(c["state"] != "declined" and not good(c) for c in row["cases"].values())


def verdict(row: Mapping[str, Any]) -> str:
    """One graph in a line."""
    if "error" in row:
        return str(row["error"])[:200]
    made = [name for name, case in row["cases"].items() if good(case)]
    bad = {n: c.get("why", "") for n, c in row["cases"].items() if c["state"] != "declined" and not good(c)}
    said = "; ".join(f"{name}: {why}" for name, why in bad.items())
    return f"{'run' if row['numbers'] else 'not run'}, {len(made)} of {len(row['cases'])} {said}"[:400]


def reason(case: Mapping[str, Any]) -> str:
    """Why a rewrite was declined or failed, without names and numbers, to be counted."""
    said = re.sub(r"^edit \d+ \(\w+\): ", "", str(case.get("why", "")))
    said = re.sub(r"; (nearest|operations there|set by).*", "", said)
    said = re.sub(r"nothing in '.*?' fits", "nothing fits", said)
    said = re.sub(r"^(the whole|[\w.|]+)([%:][\w]+)?: ", "", said)
    said = re.sub(r"\[[^\]]*\]", "[..]", said)
    return re.sub(r"\d+", "N", said)[:130]


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For each rewrite: graphs, declined, made, checked, untouched, kept in numbers, all of these."""
    found: dict[str, Any] = {}
    done = [row for row in rows if "cases" in row]
    for name in CASES:
        cases = [row["cases"][name] for row in done if name in row["cases"]]
        tried = [case for case in cases if case["state"] != "declined"]
        made = [case for case in tried if case["state"] == "made"]
        asked = [case for case in made if case["kept"] is not None]
        found[name] = {
            "graphs": len(cases),
            "declined": len(cases) - len(tried),
            "applies": len(tried),
            "made": len(made),
            "checked": sum(case["checked"] for case in made),
            "untouched": sum(case["untouched"] for case in made),
            "run": len(asked),
            "kept": sum(case["kept"] for case in asked),
            "good": sum(good(case) for case in made),
        }
    return {"graphs": len(rows), "failed": len(rows) - len(done), "rewrites": found}


def summary(rows: list[dict[str, Any]]) -> str:
    """The table, and what was declined or went wrong, with how often and where."""
    found = figures(rows)
    lines = [f"graphs {found['graphs']}, {found['failed']} could not be read or took too long"]
    words = ("declined", "applies", "made", "checked", "untouched", "run", "kept", "good")
    lines.append(f"{'':19}" + "".join(f"{word:>10}" for word in words))
    for name, row in found["rewrites"].items():
        lines.append(f"{name:19}" + "".join(f"{row[word]:10}" for word in words))
    for sort, wanted in (("went wrong", False), ("declined", True)):
        reasons: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            for name, case in row.get("cases", {}).items():
                if (case["state"] == "declined") is wanted and not good(case):
                    reasons.setdefault((name, reason(case)), []).append(row["key"])
        lines.append(f"\n{sort}:")
        for (name, why), keys in sorted(reasons.items(), key=lambda each: (each[0][0], -len(each[1]))):
            if wanted and len(keys) < 2:
                continue
            lines.append(f"  {len(keys):4} {name}: {why}: {', '.join(keys[:5])}")
    lines += [f"  {row['key']}: {row['error']}"[:200] for row in rows if "error" in row]
    lines.append(str(Counter(row.get("numbers") for row in rows)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
