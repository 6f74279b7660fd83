"""How the value of a weight after an edit is made of those before it; `weights` carries it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """A value made of others: `how`, the full paths of those taken, and numbers.

    | how          | the value                                                                             |
    |--------------|---------------------------------------------------------------------------------------|
    | `copy`       | that of the source                                                                    |
    | `zeros`      | zeros                                                                                 |
    | `mean_rows`  | along dimension `numbers[0]` means of the source's rows: for each new one             |
    |              | `numbers[1]` of the numbers that follow, of which those below zero are none           |
    | `widened`    | along dimension `numbers[0]`, in `numbers[1]` equal parts, the rows of the source,    |
    |              | again from the first as often as is needed; along the other zeros behind the source's |
    """

    how: str
    sources: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
