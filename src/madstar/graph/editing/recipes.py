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
    | `mean_heads` | of the heads along the first dimension, `numbers[0]` of them, the means of the        |
    |              | `numbers[1]` groups of neighbours                                                     |
    | `padded`     | the source in the first corner, zeros elsewhere                                       |
    | `cycled`     | the rows of the source (first dimension), again from the first as often as is needed  |
    """

    how: str
    sources: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
