"""Reliability, intervals, permutation tests and rank agreement against values worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acculturate.formats import Format
from acculturate.instruments import load_instrument
from acculturate.validity import (
    Agreement,
    Scoring,
    balanced_means,
    bootstrap_losses,
    correlation_interval,
    cronbach_alpha,
    difference_interval,
    factor_agreements,
    kendall_tau,
    leave_item_out,
    loss_interval,
    misranked_share,
    order_agreement,
    pearson,
    permutation_test,
    position_share,
    shares,
)

VSM = load_instrument("vsm2013")
TARGET = np.array([40.0, 91.0, 62.0, 46.0, 26.0, 68.0])
SCORING = Scoring(VSM.weights(), VSM.constants(50.0), TARGET)
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


def test_the_bootstrap_without_resampling_is_the_loss():
    means = np.random.default_rng(1).uniform(1, 5, (3, 24))
    scores = means @ VSM.weights().T + 50
    exact = np.abs(scores - TARGET).sum(axis=1).mean()
    interval = loss_interval(means, SCORING, draws=50)
    assert interval.estimate == pytest.approx(exact)
    one_view = np.repeat(means[:1], 3, axis=0)
    same = bootstrap_losses(one_view[None], SCORING, over="formats", draws=5)
    np.testing.assert_allclose(same, np.abs(scores[0] - TARGET).sum())


@settings(max_examples=20)
@given(means=means_of, level=st.floats(-1, 1))
def test_a_tendency_shared_by_all_items_stays_out_of_the_draws(means, level):
    rows = np.stack([means[None], (means + level)[None]])
    a, b = bootstrap_losses(rows, SCORING, over="items", draws=20)
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_neutral_answers_have_no_item_noise():
    interval = loss_interval(np.full((1, 24), 3.0), SCORING, draws=100)
    exact = np.abs(50 - TARGET).sum()
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((exact,) * 3)
    assert interval.over == "items" and not interval.fitted


def test_a_loss_fitted_to_its_items_lies_below_its_interval():
    rng = np.random.default_rng(3)
    means = rng.uniform(1, 5, 24)
    # Move one item per dimension so that the loss is exactly zero.
    weights = VSM.weights()
    for d, row in enumerate(weights):
        item = np.flatnonzero(row)[0]
        means[item] += (TARGET[d] - 50 - row @ means) / row[item]
    interval = loss_interval(means[None], SCORING, draws=300)
    assert interval.estimate == pytest.approx(0, abs=1e-9)
    assert interval.fitted and interval.expected > interval.low > 20


def test_a_missing_dimension_takes_no_part_and_a_missing_item_is_not_filled_in():
    target = np.array([np.nan, np.nan, np.nan, np.nan, 36.0, 52.0])
    scoring = Scoring(VSM.weights(), VSM.constants(50.0), target)
    means = np.full((2, 24), 3.0)
    means[:, 6] = np.nan  # m07 belongs to PDI, which the target lacks
    assert loss_interval(means, scoring, draws=20).estimate == pytest.approx(16)
    means[:, 13] = np.nan  # m14 belongs to LTO
    assert math.isnan(loss_interval(means, scoring, draws=20).estimate)


def test_a_difference_is_paired():
    means = np.random.default_rng(5).uniform(1, 5, (4, 24))
    interval = difference_interval(means, means, SCORING, draws=50)
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 0.0)


def test_leave_item_out_by_hand():
    weights = np.array([[10.0, -10.0, 20.0]])
    scoring = Scoring(weights, np.array([50.0]), np.array([60.0]))
    means = np.array([[4.0, 2.0, 3.0]])
    # Without the third: centre 3, parts 10 and 10, scaled by 40 / 20; the level is 20 * 3.
    expected = 50 + 20 * 3 + 2 * (10 + 10)
    assert leave_item_out(means, scoring)[2] == pytest.approx(abs(expected - 60))
    lone = Scoring(np.array([[1.0, 0.0]]), np.zeros(1), np.zeros(1))
    assert np.isnan(leave_item_out(np.ones((1, 2)), lone)).all()


@given(value=st.floats(1, 5))
def test_leaving_an_item_out_of_equal_answers_changes_nothing(value):
    means = np.full((2, 24), value)
    np.testing.assert_allclose(leave_item_out(means, SCORING), np.abs(50 - TARGET).sum())


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
