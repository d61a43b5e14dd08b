"""Intervals against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acculturate.judge.bootstrap import correlation_interval, mean_interval
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.reliability import (
    pearson,
)

VSM = load_instrument("vsm2013")


@given(losses=arrays(float, st.integers(2, 9), elements=st.floats(0, 400)))
def test_an_interval_contains_its_estimate_and_nothing_impossible(losses):
    interval = mean_interval(losses, least=0.0)
    assert interval is not None
    assert 0 <= interval[0] <= losses.mean() <= interval[1]


def test_an_interval_by_hand_and_where_there_is_none():
    # Two losses: the standard error is half their distance, and Student's t with one degree of freedom 12.706.
    assert mean_interval(np.array([98.0, 102.0])) == pytest.approx((100 - 2 * 12.7062, 100 + 2 * 12.7062))
    assert mean_interval(np.array([50.0, 50.0])) == (50.0, 50.0)
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


def test_correlation_interval_contains_a_strong_correlation():
    rng = np.random.default_rng(0)
    a = rng.normal(size=24)
    b = a + rng.normal(size=24) * 0.3
    low, high = correlation_interval([(a, b)], draws=200)
    assert 0.7 < low < pearson(a, b) < high <= 1
    assert all(math.isnan(x) for x in correlation_interval([]))
