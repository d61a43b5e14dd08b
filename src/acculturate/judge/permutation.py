"""Permutation test: whether one respondent is nearer to the target than another by more than chance.

If two respondents answered alike, it would not matter which answers belong to whom. So their answers are swapped at
random, and the difference of their losses is computed anew. What hangs together is swapped together: an item in all
formats, because a respondent leans the same way in all of them; then a format in all items, because a format may suit
one respondent as a whole. Tests on single answers take both for evidence (sign and Wilcoxon tests do,
arXiv:2605.27463), and swapping items and formats at once hides the first (``benchmarks/power.py``).
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from acculturate.survey.scoring import Scoring

DRAWS = 2000
FORMATS = 5
"""With fewer formats, swapping whole ones can give no p under 0.05."""
_ALL_SWAPS = 12
"""Up to so many formats, every swap of whole formats is counted."""


def permutation_p(
    ours: Float[np.ndarray, "views items"],
    theirs: Float[np.ndarray, "views items"],
    scoring: Scoring,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Compute the share of random swaps after which we are nearer to the target by as much as we are, or more.

    It is the share among swaps of items or, where there are at least ``FORMATS`` formats and it is larger, that among
    swaps of formats: a difference has to be more than both give.

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
    draw = np.random.default_rng(seed)
    views, items = ours.shape
    own = _gains(ours, theirs, scoring)
    swapped = draw.integers(2, size=(draws, 1, items), dtype=np.int8) == 1
    by_items = _gains(np.where(swapped, theirs, ours), np.where(swapped, ours, theirs), scoring).mean(axis=-1)
    p = (1 + (by_items >= own.mean() - 1e-9).sum()) / (draws + 1)
    return max(float(p), _p_of_formats(own, draws, draw)) if views >= FORMATS else float(p)


def _gains(
    ours: Float[np.ndarray, "*batch views items"], theirs: Float[np.ndarray, "*batch views items"], scoring: Scoring
) -> Float[np.ndarray, "*batch views"]:
    """Compute by how many points we are nearer in every format."""
    own, other = (scoring.distances(scoring.scores(means).reshape(-1, len(scoring.target))) for means in (ours, theirs))
    return (other - own).reshape(ours.shape[:-1])


def _p_of_formats(gains: Float[np.ndarray, " views"], draws: int, draw: np.random.Generator) -> float:
    """Compute the share of swaps of whole formats with as large a gain: of all, or of random ones where many exist."""
    if len(gains) <= _ALL_SWAPS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(gains))))
    else:
        signs = np.concatenate([np.ones((1, len(gains))), draw.choice([1.0, -1.0], size=(draws, len(gains)))])
    return float((signs @ gains >= gains.sum() - 1e-9).mean())
