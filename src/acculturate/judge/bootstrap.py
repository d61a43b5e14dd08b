"""Intervals around figures: Student's t over formats, and the bootstrap over items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from acculturate.survey.reliability import correlations, mean_of_known_rows


def mean_interval(
    values: Float[np.ndarray, "n"], *, level: float = 0.95, least: float = -math.inf
) -> tuple[float, float] | None:
    """Compute Student's t interval of the mean of ``values``, cut at ``least``; None under two values.

    Over formats it answers: where would the mean lie if other formats of the same kind were asked? It contains the mean
    of those that were asked by construction. None where a value is missing, too.
    """
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return None
    middle = float(values.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(n))
    return max(middle - half, least), middle + half


def correlation_interval(
    pairs: Sequence[tuple[Float[np.ndarray, "items"], Float[np.ndarray, "items"]]],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap a mean correlation (percentiles): items are drawn with replacement, the same for every pair."""
    if not pairs:
        return math.nan, math.nan
    n = len(pairs[0][0])
    chosen = np.random.default_rng(seed).integers(n, size=(draws, n))
    table = np.stack([correlations(a[chosen], b[chosen]) for a, b in pairs])
    return percentiles(mean_of_known_rows(table), level)


def percentiles(values: Float[np.ndarray, "n"], level: float) -> tuple[float, float]:
    """Cut off equal shares at both ends so that ``level`` is left; NaN values do not count."""
    numbers = values[~np.isnan(values)]
    if not len(numbers):
        return math.nan, math.nan
    low, high = np.quantile(numbers, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
