"""How new the blocks of a family of models are: what "novel" can be expected of a generator.

    python -m benchmarks.block_novelty --data DIR

DIR is what `madstar learn dataset --out DIR` wrote. The models of its museum are cut to blocks of 4 to 56
items, as the generator's benchmark does, and each family's distinct blocks are looked for in all other
families, by structural hash. Told are the mean over families and the share of all, by how many items a block
has.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from pathlib import Path
from statistics import mean
from typing import Any

from madstar.graph.hashing import structural_hash
from madstar.learning.datasets.dataset import Stored
from madstar.learning.generator import blocks_of

from .learning_generator import items
from .machine import keep

SIZES = ((4, 6), (7, 12), (13, 24), (25, 56))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    stored = Stored(parser.parse_args().data)
    families = stored.families()
    blocks: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, int] = {}
    for key in stored.keys:
        if stored.row(key)["source"] not in ("transformers", "timm"):
            continue
        for block in blocks_of(stored.graph(key)):
            hashed = structural_hash(block)
            blocks[families[key]].add(hashed)
            sizes[hashed] = items(block)
    result = {"data": stored.hash, "blocks": len(sizes), **new_shares(blocks, sizes)}
    print(result)
    print("kept in", keep("block_novelty", result))


def new_shares(blocks: Mapping[str, Set[str]], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Of the blocks of each family the share that no other has: mean over families, of all, by size."""
    having = Counter(each for own in blocks.values() for each in own)
    new = {family: [having[each] == 1 for each in own] for family, own in blocks.items() if own}
    by_size = {}
    for least, most in SIZES:
        some = [having[e] == 1 for own in blocks.values() for e in own if least <= sizes[e] <= most]
        by_size[f"{least}-{most}"] = {"blocks": len(some), "new": mean(some) if some else None}
    return {
        "families": len(new),
        "mean over families": mean(map(mean, new.values())),
        "of all": mean(each for own in new.values() for each in own),
        "by items": by_size,
    }


if __name__ == "__main__":
    main()
