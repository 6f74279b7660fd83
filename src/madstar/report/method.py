"""How a run searched, in words: strategy, seeds, rungs, promotion, finalists."""

from __future__ import annotations

from ..search import Entry, SearchSettings

STRATEGIES = {
    "nsga2": "NSGA-II",
    "regularised": "regularised evolution",
    "local": "local search",
    "random": "random search",
    "screened": "evolution with offspring screened by a surrogate",
    "guided": "search guided by what was learned from measured genomes",
}
_MODES = {"async": "asynchronous", "generational": "in generations"}


def method(settings: SearchSettings) -> dict[str, str]:
    """Facts about the search by name, each a few words."""
    return {
        "strategy": strategy(settings),
        "seeds of known motifs": motif_seeds(settings),
        "rungs": ", ".join(settings.rungs),
        "promotion": promotion(settings),
        "finalists": finalists(settings),
    }


def strategy(settings: SearchSettings) -> str:
    """Which strategy ran: "NSGA-II (nsga2), asynchronous, seed 0"."""
    words = STRATEGIES.get(settings.strategy)
    name = f"{words} ({settings.strategy})" if words else str(settings.strategy)
    return f"{name}, {_MODES[settings.mode]}, seed {settings.seed}"


def motif_seeds(settings: SearchSettings) -> str:
    """Whether known motifs were given to the search."""
    on = str(getattr(settings, "seeds", "none")) != "none"
    return "on: known motifs were among the founders" if on else "off: all founders were random genomes"


def promotion(settings: SearchSettings) -> str:
    """How many go on from rung to rung."""
    if len(settings.rungs) == 1:
        return "none, there is one rung"
    return f"up to {settings.promote:.0%} of a rung"


def finalists(settings: SearchSettings) -> str:
    """What share of the budget went into training finalists again."""
    share = float(getattr(settings, "reevaluate", 0.0))
    return f"{share:.0%} of the budget to train them again with other seeds" if share else "not trained again"


def trainings(entry: Entry) -> int:
    """How many trainings, each with another seed, an entry's figures are the mean of."""
    return int(getattr(entry, "seeds", 1))


def seeds_note(entry: Entry) -> str:
    """ "n = 3 seeds" for figures that are means; nothing for those of one training."""
    count = trainings(entry)
    return f"n = {count} seeds" if count > 1 else ""
