"""Paired comparison: intervals that cover and contain, an exact test, and what a test could have seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from acculturate.judge.paired import by_cluster, least_visible, paired_p, share_interval


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60))
def test_the_test_of_right_and_wrong_is_the_exact_one_of_mcnemar(differences):
    gained, lost = differences.count(1.0), differences.count(-1.0)
    expected = 1.0 if gained + lost == 0 else binomtest(gained, gained + lost).pvalue
    assert paired_p(np.array(differences)) == pytest.approx(expected)


def test_wilsons_interval_is_that_of_scipy_and_honest_at_the_edges():
    for right, n in ((0, 17), (9, 17), (17, 17), (120, 1227)):
        found = share_interval(np.repeat([1.0, 0.0], [right, n - right]))
        expected = binomtest(right, n).proportion_ci(method="wilson")
        assert found == pytest.approx((expected.low, expected.high)), (right, n)
    assert share_interval(np.ones(1)) is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_every_interval_contains_its_estimate(values):
    low, high = share_interval(np.array(values))
    assert 0 <= low <= np.mean(values) + 1e-12 and np.mean(values) - 1e-12 <= high


def test_bootstrap_intervals_cover():
    draw = np.random.default_rng(1)
    hits = 0
    for k in range(400):
        low, high = share_interval(draw.beta(2, 3, size=40), seed=k)
        hits += low <= 0.4 <= high
    assert 0.90 <= hits / 400 <= 0.98


def test_random_signs_raise_false_alarms_at_the_stated_rate():
    draw = np.random.default_rng(2)
    alarms = [paired_p(draw.normal(0, 0.2, size=25), seed=k) <= 0.05 for k in range(400)]
    assert 0.02 <= np.mean(alarms) <= 0.08
    assert paired_p(draw.normal(0.3, 0.2, size=25)) < 0.01


def test_what_is_visible_is_found_in_four_of_five_cases():
    draw, n, changed = np.random.default_rng(3), 200, 60
    seen = least_visible(np.repeat([-1.0, 1.0, 0.0], [changed // 2, changed // 2, n - changed]))
    assert 0.1 < seen < 0.13

    def power(difference: float) -> float:
        gained = draw.binomial(changed, (1 + difference * n / changed) / 2, size=500)
        pairs = [np.repeat([1.0, -1.0, 0.0], [k, changed - k, n - changed]) for k in gained]
        return float(np.mean([paired_p(one) <= 0.05 for one in pairs]))

    assert power(seen) == pytest.approx(0.8, abs=0.05) and power(0.6 * seen) < 0.6
    assert least_visible(np.zeros(17)) == pytest.approx(6 / 17, abs=0.03), "six pairs, nearly all of them gained"
    assert least_visible(np.zeros(5)) == 1.0, "five questions show nothing"
    spread = draw.normal(0, 0.2, size=50)
    assert least_visible(spread) == pytest.approx(2.8 * 0.2 / np.sqrt(50), rel=0.2)
    assert least_visible(np.full(5, 0.3)) == 1.0 and paired_p(np.full(5, 0.3)) > 0.05, "five signs are never rare"
    seen = least_visible(draw.normal(0, 0.2, size=8))
    found = [paired_p(draw.normal(seen, 0.2, size=8)) <= 0.05 for _ in range(300)]
    assert np.mean(found) >= 0.6


def test_a_few_values_have_an_interval_that_covers_too():
    draw = np.random.default_rng(5)
    for n in (3, 8):
        hits = 0
        for _ in range(400):
            low, high = share_interval(draw.beta(2, 3, size=n))
            hits += low <= 0.4 <= high
        assert hits / 400 >= 0.9, n


def test_variants_of_a_question_tell_no_more_than_one():
    values, clusters = np.array([1.0, 0.0, 1.0]), np.array(["a", "a", "b"], dtype=object)
    assert sorted(by_cluster(values, clusters).tolist()) == [0.5, 1.0]
