"""Reliability and agreement of ways of asking against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.reliability import (
    Agreement,
    balanced_means,
    cronbach_alpha,
    factor_agreements,
    order_agreement,
    pearson,
    position_share,
    shares,
)

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
