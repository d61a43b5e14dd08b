"""Paired comparison on questions: intervals of a share, what changed, its test, and what could have been seen."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import bdtr, bdtri, ndtri, stdtrit

from acculturate.judge.bootstrap import mean_interval, percentiles

LEVEL = 0.95
DRAWS = 2000
FEW, EXACT, FEWEST = 30, 11, 6
"""Values from which the bootstrap is used; up to which all signs are tried; from which signs can be rare enough."""
POWER = 0.8


def by_cluster(
    values: Float[np.ndarray, " questions"], clusters: Shaped[np.ndarray, " questions"]
) -> Float[np.ndarray, " clusters"]:
    """Average values within clusters: variants of one question tell no more than one of them."""
    _, places = np.unique(clusters, return_inverse=True)
    return np.bincount(places, values) / np.bincount(places)


def share_interval(values: Float[np.ndarray, " n"], *, seed: int = 0) -> tuple[float, float] | None:
    """Compute a 95 % interval of the mean of values; None for a single one.

    Values that are 0 or 1 have Wilson's (1927), which stays honest where all are right or none. Others are drawn anew
    with replacement (percentile bootstrap) where there are 30 or more; a few values are too much like one another when
    they are drawn anew, so fewer have Student's t interval, cut at 0.
    """
    n, mean = len(values), float(values.mean())
    if n < 2:
        return None
    if np.isin(values, (0.0, 1.0)).all():
        z = float(ndtri((1 + LEVEL) / 2))
        middle, half = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        low, high = ((middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    elif n < FEW:
        return mean_interval(values, level=LEVEL, least=0.0)
    else:
        draw = np.random.default_rng(seed)
        low, high = percentiles(np.array([values[draw.integers(n, size=n)].mean() for _ in range(DRAWS)]), LEVEL)
    return min(max(low, 0.0), mean), max(high, mean)


def paired_p(differences: Float[np.ndarray, " n"], *, seed: int = 0) -> float:
    """Compute the two-sided p of no difference, from differences of pairs.

    Where a pair can only be gained or lost it is the exact McNemar test: the binomial test on the pairs that changed.
    Otherwise signs of differences are flipped at random.
    """
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    if np.isin(changed, (-1.0, 1.0)).all():
        fewer = min(int((changed > 0).sum()), int((changed < 0).sum()))
        return min(1.0, 2 * float(bdtr(fewer, len(changed), 0.5)))
    least = abs(changed.sum()) - 1e-12
    if len(changed) <= EXACT:  # all signs there are
        signs = 1 - 2.0 * ((np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed))) & 1)
        return float((np.abs(signs @ changed) >= least).mean())
    draw = np.random.default_rng(seed)
    reached = sum(abs(draw.choice([-1.0, 1.0], size=len(changed)) @ changed) >= least for _ in range(DRAWS))
    return (1 + int(reached)) / (1 + DRAWS)


def least_visible(differences: Float[np.ndarray, " n"]) -> float:
    """Compute the least difference of means that the paired test finds in four of five cases; 1 where it never does.

    From the size of the differences that are there. Where a pair is gained or lost, as many pairs change as did, and
    the power of the exact test decides; else that of Student's t test. Under six values no signs are rare enough.
    """
    n = len(differences)
    changed = int((differences != 0).sum())
    if not np.isin(differences, (-1.0, 0.0, 1.0)).all():
        if n < FEWEST:
            return 1.0
        spread = float(differences.var(ddof=1))
        return min(1.0, float(stdtrit(n - 1, (1 + LEVEL) / 2) + stdtrit(n - 1, POWER)) * math.sqrt(spread / n))
    # The fewest pairs that can be found at all are six, all of them gained.
    while changed < n and 2 * 0.5**changed > 1 - LEVEL:
        changed += 1
    allowed = [fewer for fewer in range(changed // 2 + 1) if 2 * bdtr(fewer, changed, 0.5) <= 1 - LEVEL]
    if not allowed:
        return 1.0
    # Share of the changed pairs that is lost: the greatest with which so few are lost often enough.
    lost = float(bdtri(allowed[-1], changed, POWER))
    return changed / n * (1 - 2 * lost)
