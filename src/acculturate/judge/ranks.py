"""Agreement with published scores over countries: permutation test, rank correlation and mis-ranking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import kendalltau

from acculturate.survey.reliability import CONSTANT, correlations, mean_of_known_rows


@dataclass(frozen=True)
class PermutationTest:
    """Hold the agreement of two tables over countries, and how often chance reaches it.

    ``statistic``: mean over dimensions of the correlation across countries. ``p``: share of the relabellings
    of the countries that agree at least as well (one-sided); never below 1 / relabellings.
    """

    statistic: float
    p: float
    relabellings: int
    by_dimension: Mapping[str, float]


def permutation_test(
    scores: Float[np.ndarray, "countries dims"],
    published: Float[np.ndarray, "countries dims"],
    dimension_ids: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> PermutationTest:
    """Test whether scores differ between countries as published ones do.

    Whole countries are relabelled, all dimensions together, so that dependence between dimensions does no
    harm. Every relabelling is tried where there are at most ``draws``; else that many are drawn, and the
    p-value counts the observed one among them (Phipson & Smyth 2010). NaN where no dimension has three
    countries that vary.
    """
    n, dims = scores.shape
    exact = n <= 12 and math.factorial(n) <= draws
    rng = np.random.default_rng(seed)
    # The identity comes first either way.
    orders = np.array(
        list(itertools.permutations(range(n))) if exact else [np.arange(n), *(rng.permutation(n) for _ in range(draws))]
    )
    table = np.stack(
        [correlations(scores[orders, d], np.broadcast_to(published[:, d], orders.shape)) for d in range(dims)]
    )
    by_dimension = dict(zip(dimension_ids, table[:, 0].tolist(), strict=True))
    agreement = mean_of_known_rows(table)
    if math.isnan(agreement[0]):
        return PermutationTest(math.nan, math.nan, 0, by_dimension)
    reached = np.nan_to_num(agreement, nan=-np.inf) >= agreement[0] - CONSTANT
    return PermutationTest(float(agreement[0]), float(reached.mean()), len(orders), by_dimension)


def kendall_tau(scores: Float[np.ndarray, "n"], published: Float[np.ndarray, "n"]) -> float:
    """Compute Kendall's tau-b of two rankings over the countries both have (Kendall 1945).

    NaN under two countries or where one ties all.
    """
    there = ~(np.isnan(scores) | np.isnan(published))
    x, y = scores[there], published[there]
    if len(x) < 2 or np.ptp(x) < CONSTANT or np.ptp(y) < CONSTANT:
        return math.nan
    return float(cast(Any, kendalltau(x, y)).statistic)


def misranked_share(scores: Float[np.ndarray, "n"], published: Float[np.ndarray, "n"]) -> float:
    """Compute the share, 0 to 1, of the countries that do not stand at their published rank.

    After the mis-ranking that Masoud et al. (2024) report next to Kendall's tau; ties are treated our way:
    ranks count from the highest score; tied countries share their mean rank, and a country inside a published
    tie is right at any rank of that tie. NaN under two countries.
    """
    there = ~(np.isnan(scores) | np.isnan(published))
    x, y = scores[there], published[there]
    if len(x) < 2:
        return math.nan
    (first, last), (best, worst) = _places(x), _places(y)
    rank = (first + last) / 2
    return float(np.mean((rank < best) | (rank > worst)))


def _places(
    scores: Float[np.ndarray, "n"],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Rank scores from first to last place that each shares with its ties, 1 for the highest."""
    higher = (scores[None, :] > scores[:, None]).sum(axis=1)
    equal = (scores[None, :] == scores[:, None]).sum(axis=1)
    return higher + 1, higher + equal
