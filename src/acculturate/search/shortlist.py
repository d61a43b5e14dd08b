"""The shortlist of a search: its best candidates, from which something else than the loss may choose the winner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.search.loop import Progress, Search

SHARE = 0.9
"""Share of what the whole search gained that a finalist has to keep: a prompt that does next to nothing to the model
costs no knowledge either, and would be chosen for that."""

AVERAGED = (1, 3, 6, 10)
"""Centers whose mean may be delivered."""


@dataclass(frozen=True, eq=False)
class Finalist:
    """Hold a best candidate of a search.

    Parameters
    ----------
    x
        The candidate.
    judged
        Its loss as winners are chosen by it, in points.
    evaluations
        The evaluations after which it was there.
    """

    x: Float[np.ndarray, " dim"]
    judged: float
    evaluations: int


@dataclass(frozen=True, eq=False)
class Settled:
    """Hold the candidate that a search with fresh formats delivers: the mean of its last ``averaged`` centers."""

    x: Float[np.ndarray, " dim"]
    averaged: int


def settle(search: Search, progress: Progress) -> Settled:
    """Choose between the last center and means of the last centers, on all trained and validation formats.

    Single centers are a matter of the formats that they were chosen on; their mean lies where the landscape is flatter
    (stochastic weight averaging, arXiv:1803.05407).
    """
    centers = progress.shortlist_x
    if not len(centers):
        return Settled(progress.winner_x, 1)
    candidates = [Settled(centers[-n:].mean(axis=0), n) for n in AVERAGED if n <= len(centers)]
    return min(candidates, key=lambda one: search.judge(one.x))


def finalists(progress: Progress) -> list[Finalist]:
    """List the candidates that keep most of what a search gained, the one with the lowest loss first."""
    best = progress.winner_judged
    winner = Finalist(progress.winner_x, best, progress.winner_at)
    if not len(progress.shortlist_judged):
        return [winner]
    limit = best + (1 - SHARE) * (progress.shortlist_judged[0] - best)
    rest = [
        Finalist(x, float(judged), int(evaluations))
        for x, judged, evaluations in zip(
            progress.shortlist_x, progress.shortlist_judged, progress.shortlist_at, strict=True
        )
        if judged <= limit and int(evaluations) != winner.evaluations
    ]
    return [winner, *sorted(rest, key=lambda one: (one.judged, one.evaluations))]
