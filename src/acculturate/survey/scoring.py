"""From item means to dimension scores, and from scores to distances; pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Scoring:
    """Turn item means into dimension scores, and those into a distance: the linear part of ``Loss``.

    Scores are ``weights @ means + constants`` (VSM 2013 manual, index formulas), in points. A dimension that the
    ``target`` lacks is NaN there and takes no part in a distance.
    """

    weights: Float[np.ndarray, "dims items"]
    constants: Float[np.ndarray, "dims"]
    target: Float[np.ndarray, "dims"]

    def scores(self, means: Float[np.ndarray, "*batch items"]) -> Float[np.ndarray, "*batch dims"]:
        """Compute dimension scores of item means, in points."""
        return dimension_scores(means, self.weights, self.constants)

    def distances(self, scores: Float[np.ndarray, "views dims"]) -> Float[np.ndarray, "views"]:
        """Compute the L1 distance to the target in every view, in points (arXiv:2503.16094)."""
        present = ~np.isnan(self.target)
        return np.abs(scores[:, present] - self.target[present]).sum(axis=1)


def dimension_scores(
    means: Float[np.ndarray, "*batch items"],
    weights: Float[np.ndarray, "dims items"],
    constants: Float[np.ndarray, "dims"],
) -> Float[np.ndarray, "*batch dims"]:
    """Compute linear dimension scores in points; only items that a dimension uses can make it missing (NaN)."""
    used = weights != 0
    # NaN * 0 is NaN, which would let an unused missing item spoil every dimension.
    filled = np.where(np.isnan(means), 0.0, means)
    lacking = (np.isnan(means)[..., None, :] & used).any(axis=-1)
    return np.where(lacking, np.nan, filled @ weights.T + constants)
