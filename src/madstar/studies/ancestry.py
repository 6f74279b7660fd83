"""Who descends from whom: the ancestors of a candidate, back to the founders of the run.

A founder is a candidate without parents in the run: a random genome, or a seed. Everything here is
read from rows; parents are numbers of proposals, and always lower than their child's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..archive import CandidateRow


@dataclass(frozen=True)
class Ancestor:
    """A candidate in an ancestry, and the operator of variation that made it from its `parents`.

    `generation` counts the longest way to a founder, which itself is 0. A candidate may be an
    ancestor more than once; it stands here once. `share` is its part in the ancestry: the member has
    1, and every child's share goes to its parents in equal parts.
    """

    index: int
    operator: str
    parents: tuple[int, ...]
    generation: int
    share: float


@dataclass(frozen=True)
class Ancestry:
    """A candidate with all its ancestors, in the order in which they were proposed; itself is the last."""

    member: int
    ancestors: tuple[Ancestor, ...]

    @property
    def generations(self) -> int:
        """How many generations lie between the candidate and the earliest of its founders."""
        return self.ancestors[-1].generation

    @property
    def founders(self) -> dict[int, float]:
        """The founders and their shares, the largest first; shares add up to 1.

        A share is what a pedigree says, each parent for one half, and not which layers were handed down.
        """
        found = {a.index: a.share for a in self.ancestors if not a.parents}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "member": self.member,
            "generations": self.generations,
            "founders": [{"index": index, "share": share} for index, share in self.founders.items()],
            "ancestors": [asdict(ancestor) for ancestor in self.ancestors],
        }


def ancestry(member: int, candidates: Mapping[int, CandidateRow]) -> Ancestry:
    """The ancestry of a candidate. `candidates` are the run's, by their numbers.

    Raises KeyError for a candidate that is not among them.
    """
    shares = {member: 1.0}
    parents: dict[int, tuple[int, ...]] = {}
    # The latest first: all children of a candidate come after it, so its share is whole by then.
    for index in range(member, -1, -1):
        if index not in shares:
            continue
        parents[index] = parents_of(candidates[index], candidates)
        for parent in parents[index]:
            shares[parent] = shares.get(parent, 0.0) + shares[index] / len(parents[index])
    generations: dict[int, int] = {}
    for index in sorted(parents):
        generations[index] = 1 + max((generations[parent] for parent in parents[index]), default=-1)
    return Ancestry(
        member,
        tuple(
            Ancestor(index, candidates[index].operator, parents[index], generations[index], shares[index])
            for index in sorted(parents)
        ),
    )


def parents_of(row: CandidateRow, candidates: Mapping[int, CandidateRow]) -> tuple[int, ...]:
    """A candidate's parents, each once, as far as they are among the run's candidates before it."""
    return tuple(p for p in dict.fromkeys(row.parents) if p in candidates and p < row.index)


def all_ancestors(ancestries: Iterable[Ancestry]) -> frozenset[int]:
    """Everyone in any of the ancestries, their members too."""
    return frozenset(a.index for each in ancestries for a in each.ancestors)
