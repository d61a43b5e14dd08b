"""Reliability, intervals, permutation tests and rank agreement against values worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acculturate.survey.formats import Format
from acculturate.survey.instruments import load_instrument
from acculturate.survey.validity import (
    Agreement,
    balanced_means,
    correlation_interval,
    cronbach_alpha,
    factor_agreements,
    kendall_tau,
    mean_interval,
    misranked_share,
    order_agreement,
    pearson,
    permutation_test,
    position_share,
    shares,
)

VSM = load_instrument("vsm2013")
means_of = arrays(float, 24, elements=st.floats(1, 5))


def test_pearson_by_hand_and_where_there_is_none():
    assert pearson(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)
    assert pearson(np.array([1.0, 2, 3, np.nan]), np.array([2.0, 4, 6, 9])) == pytest.approx(1.0)
    assert math.isnan(pearson(np.array([1.0, 1, 1]), np.array([1.0, 3, 2])))
    assert math.isnan(pearson(np.array([1.0, 2]), np.array([1.0, 3])))


def test_shares_use_each_items_own_scale():
    instrument = load_instrument("values_map")
    means = np.full(10, 3.0)
    found = shares(means, instrument.values(), instrument.option_mask())
    assert found.tolist() == [0.5] * 8 + [1.0, 0.5]  # v09 has three options


def test_order_agreement_pairs_only_presentations_asked_in_both_orders():
    formats = [
        Format("letters", order="ascending"),
        Format("digits", order="ascending"),
        Format("letters", order="descending"),
    ]
    means = np.array([[1.0, 2, 3], [9, 9, 9], [3, 2, 1]])
    found = order_agreement(means, formats)
    assert found.pairs == (("letters/options-first/0/en/ascending", "letters/options-first/0/en/descending", -1.0),)
    assert found.mean == -1.0
    assert math.isnan(Agreement("order", ()).mean)


def test_factor_agreements_change_one_thing_at_a_time():
    formats = [
        Format(labels, layout, variant, order=order)
        for labels, layout, variant in (
            ("letters", "options-first", 0),
            ("digits", "options-first", 0),
            ("letters", "question-first", 0),
            ("digits", "question-first", 1),
        )
        for order in ("ascending", "descending")
    ]
    rng = np.random.default_rng(0)
    means = rng.uniform(1, 5, (8, 24))
    found = factor_agreements(means, formats)
    assert {factor: len(a.pairs) for factor, a in found.items()} == {
        "labels": 1,
        "layout": 1,
        "variant": 0,
        "language": 0,
    }
    forms, table = balanced_means(means, formats)
    assert [f.presentation for f in forms][1] == "digits/options-first/0/en"
    assert found["labels"].mean == pytest.approx(np.corrcoef(table[0], table[1])[0, 1])


@given(content=means_of, shift=st.floats(-1, 1))
def test_position_share_splits_content_from_place(content, shift):
    share = position_share(content + shift, content - shift)
    if content.var() + shift**2 > 1e-6:
        assert share == pytest.approx(shift**2 / (content.var() + shift**2), abs=1e-6)
    # One place for every item is all position, though no correlation exists.
    assert position_share(np.full(24, 1.0), np.full(24, 5.0)) == 1.0
    assert math.isnan(position_share(np.full(24, 3.0), np.full(24, 3.0)))


def test_cronbach_alpha_by_hand():
    table = np.array([[1.0, 2], [2, 3], [3, 4], [np.nan, 1]])
    assert cronbach_alpha(table) == pytest.approx(1.0)  # the missing object does not count
    # Variances 1 and 1, total (0, 4, 5 -> 7): 2 * (1 - 2 / 3).
    table = np.array([[1.0, 1], [2, 3], [3, 2]])
    total = table.sum(axis=1).var(ddof=1)
    assert cronbach_alpha(table) == pytest.approx(2 * (1 - 2 / total))
    assert math.isnan(cronbach_alpha(table[:, :1]))


@given(losses=arrays(float, st.integers(2, 9), elements=st.floats(0, 400)))
def test_an_interval_contains_its_estimate_and_nothing_impossible(losses):
    interval = mean_interval(losses, least=0.0)
    assert interval is not None
    assert 0 <= interval[0] <= losses.mean() <= interval[1]


def test_an_interval_by_hand_and_where_there_is_none():
    # Two losses: the standard error is half their distance, and Student's t with one degree of freedom 12.706.
    assert mean_interval(np.array([98.0, 102.0])) == pytest.approx([100 - 2 * 12.7062, 100 + 2 * 12.7062])
    assert mean_interval(np.array([50.0, 50.0])) == [50.0, 50.0]
    for losses in ([50.0], [], [50.0, np.nan], [50.0, np.inf]):
        assert mean_interval(np.array(losses)) is None


@pytest.mark.parametrize("formats", [2, 3, 6])
def test_intervals_of_a_loss_cover_what_all_formats_would_lose(formats):
    rng = np.random.default_rng(formats)
    weights, target = VSM.weights(), np.array([95.0, 25, 60, 80, 36, 52])

    def losses(n):  # item means of n formats that differ in wording, around the same answers
        means = np.clip(answers + 0.4 * rng.standard_normal((n, 24)), 1, 5)
        return np.abs(means @ weights.T + 50 - target).sum(axis=1)

    hits = []
    for _ in range(200):
        answers = rng.uniform(1.5, 4.5, 24)
        low, high = mean_interval(losses(formats), least=0.0)
        hits.append(low <= losses(4000).mean() <= high)
    assert 0.9 <= np.mean(hits) <= 0.99


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


def test_correlation_interval_contains_a_strong_correlation():
    rng = np.random.default_rng(0)
    a = rng.normal(size=24)
    b = a + rng.normal(size=24) * 0.3
    low, high = correlation_interval([(a, b)], draws=200)
    assert 0.7 < low < pearson(a, b) < high <= 1
    assert all(math.isnan(x) for x in correlation_interval([]))


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
