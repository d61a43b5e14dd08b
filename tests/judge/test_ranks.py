"""Permutation tests and rank agreement against values worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.judge.ranks import kendall_tau, misranked_share, permutation_test


def test_permutation_test_is_exact_for_few_countries():
    published = np.array([[1.0, 5], [2, 4], [3, 3], [4, 1]])
    test = permutation_test(published * 0.1 + 50, published, ["a", "b"])
    assert test.relabellings == 24
    assert test.statistic == pytest.approx(1.0)
    assert test.p == pytest.approx(1 / 24)
    assert test.by_dimension == pytest.approx({"a": 1.0, "b": 1.0})
    nothing = permutation_test(np.full((4, 2), 50.0), published, ["a", "b"])
    assert math.isnan(nothing.statistic) and math.isnan(nothing.p)


def test_permutation_p_is_uniform_under_chance():
    rng = np.random.default_rng(0)
    found = [permutation_test(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), ["a", "b"]).p for _ in range(60)]
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(found) <= 0.05) < 0.2


@given(st.permutations(range(6)))
def test_tau_counts_discordant_pairs(order):
    x = np.array(order, dtype=float)
    y = np.arange(6.0)
    discordant = sum((x[i] - x[j]) * (y[i] - y[j]) < 0 for i, j in itertools.combinations(range(6), 2))
    assert kendall_tau(x, y) == pytest.approx(1 - 2 * discordant / 15)
    assert misranked_share(x, y) == pytest.approx(np.mean(x != y))


def test_rank_agreement_with_ties_and_gaps():
    assert misranked_share(np.array([50.0, 50, 50]), np.array([1.0, 2, 3])) == pytest.approx(2 / 3)
    assert misranked_share(np.array([3.0, 2, 1]), np.array([9.0, 9, 1])) == 0.0
    assert math.isnan(kendall_tau(np.array([50.0, 50, 50]), np.array([1.0, 2, 3])))
    assert kendall_tau(np.array([1.0, np.nan, 3]), np.array([1.0, 2, 3])) == 1.0
    assert math.isnan(misranked_share(np.array([1.0]), np.array([1.0])))
