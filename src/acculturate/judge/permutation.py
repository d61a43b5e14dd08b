"""Permutation test: whether one respondent is nearer to the target than another by more than chance.

If two respondents answered alike, it would not matter which answers belong to whom. So their answers are swapped at
random, item by item and format by format, and the difference of their losses is computed anew. Answers to one item in
two formats and answers to two items in one format hang together, which a test on single answers would take for evidence
(sign and Wilcoxon tests do, arXiv:2605.27463); so an item is swapped in all formats, and a format in all items.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from acculturate.survey.scoring import Scoring

DRAWS = 2000


def permutation_p(
    ours: Float[np.ndarray, "views items"],
    theirs: Float[np.ndarray, "views items"],
    scoring: Scoring,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Compute the share of random swaps after which we are nearer to the target by as much as we are, or more.

    Parameters
    ----------
    ours, theirs
        Item means, in option values.
    scoring
        Scores and target.
    draws, seed
        Random swaps. The pair as it is counts as one more, so that no share is 0.

    Returns
    -------
    float
        One-sided p, above 0 and up to 1; NaN where an answer is missing.
    """
    if np.isnan(ours).any() or np.isnan(theirs).any():
        return float("nan")

    def nearer(swapped: np.ndarray) -> float:
        mixed = (np.where(swapped, theirs, ours), np.where(swapped, ours, theirs))
        own, other = (scoring.distances(scoring.scores(means)).mean() for means in mixed)
        return float(other - own)

    views, items = ours.shape
    as_it_is = nearer(np.zeros((views, items), dtype=bool))
    draw = np.random.default_rng(seed)
    reached = 1
    for _ in range(draws):
        swapped = draw.integers(2, size=(views, 1)) != draw.integers(2, size=(1, items))
        reached += nearer(swapped) >= as_it_is - 1e-9
    return reached / (draws + 1)
