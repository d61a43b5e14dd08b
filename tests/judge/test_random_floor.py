"""The expected best of many random prompts, against simulation and against hand-made cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from acculturate.judge.random_floor import chance, expected_minimum, sample_size


@pytest.mark.parametrize(
    "budget, n", [(1, 1), (3, 3), (13, 4), (40, 10), (100, 20), (400, 20), (1000, 50), (1010, 51), (100_000, 100)]
)
def test_sample_size(budget: int, n: int):
    assert sample_size(budget) == n


@pytest.mark.parametrize("draws", [1, 2, 3, 5])
def test_within_the_sample_it_is_the_mean_over_all_subsets(draws: int):
    losses = np.array([7.0, 3.0, 9.0, 4.0, 4.5])
    by_hand = np.mean([min(some) for some in itertools.combinations(losses, draws)])
    assert expected_minimum(losses, draws) == pytest.approx(by_hand)


def test_beyond_the_sample_it_finds_the_minimum_of_a_log_normal():
    rng = np.random.default_rng(1)
    truth = np.exp(4.7 + 0.15 * rng.standard_normal((2000, 1000))).min(axis=1).mean()
    found = [expected_minimum(np.exp(4.7 + 0.15 * rng.standard_normal(50)), 1000) for _ in range(300)]
    assert np.mean(found) == pytest.approx(truth, rel=0.02)
    # One sample of 50 is off by some per cent, which its interval has to say.
    assert 0.01 < np.std(found) / truth < 0.1


def test_wild_prompts_in_the_upper_half_change_nothing():
    losses = np.linspace(80, 120, 40)
    wild = np.where(losses > 101, 1e6, losses)
    assert expected_minimum(wild, 2000) == expected_minimum(losses, 2000) < 80


def test_more_draws_reach_lower():
    losses = np.exp(4.7 + 0.15 * np.random.default_rng(0).standard_normal(50))
    found = [expected_minimum(losses, draws) for draws in (1, 10, 50, 100, 1000, 10_000)]
    assert found == sorted(found, reverse=True)


def test_the_sentence_says_when_it_is_an_extrapolation():
    losses = np.exp(4.7 + 0.15 * np.random.default_rng(0).standard_normal(50))
    far, whole = chance(losses, 1000, 40.0), chance(losses, 50, 40.0)
    assert far.interval is not None and far.interval[0] < far.expected_minimum < far.interval[1]
    assert "extrapolated from 50" in far.sentence and "1,000" in far.sentence
    assert "extrapolated" not in whole.sentence and whole.interval is None
    assert whole.expected_minimum == whole.best == losses.min()
