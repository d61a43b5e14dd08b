"""The permutation test keeps its level under the null, and sees what is there."""

from __future__ import annotations

import numpy as np
import pytest

from acculturate.judge.permutation import permutation_p
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.scoring import Scoring

VSM = load_instrument("vsm2013")
SCORING = Scoring(VSM.weights(), VSM.constants(), np.array([95.0, 25.0, 60.0, 80.0, 36.0, 52.0]))
VIEWS = 3


def _alike(draw: np.random.Generator, views: int = VIEWS) -> tuple[np.ndarray, np.ndarray]:
    """Two respondents who differ by chance: every item by something of its own, alike in all views."""
    middle = draw.uniform(2, 4, (views, 24))
    lean = draw.standard_normal(24) * 0.5
    return middle + lean, middle - lean


def _lucky(draw: np.random.Generator, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Two respondents of whom one moves as a whole in every view, towards the target or away from it."""
    middle = draw.uniform(2, 4, 24) + draw.standard_normal((views, 24)) * 0.1
    way = np.linalg.pinv(SCORING.weights) @ (SCORING.target - SCORING.scores(middle.mean(axis=0)))
    return middle + 0.1 * draw.standard_normal((views, 1)) * way, middle


@pytest.mark.parametrize(("pair", "views"), [(_alike, 2), (_alike, 8), (_lucky, 8)])
def test_level_where_formats_and_items_hang_together(pair, views) -> None:
    ps = np.array([permutation_p(*pair(np.random.default_rng(n), views), SCORING, draws=199) for n in range(1000)])
    # 1,000 tests at 5 %: up to 67 of them is what the binomial distribution gives in 99 of 100 cases.
    assert (ps <= 0.05).sum() <= 67
    assert ps.mean() > 0.45


def test_a_move_of_many_items_is_seen() -> None:
    untuned = np.full((VIEWS, 24), 3.0)
    tuned = untuned + np.linalg.pinv(SCORING.weights) @ (SCORING.target - SCORING.constants)
    assert permutation_p(tuned, untuned, SCORING) < 0.01
    assert permutation_p(untuned, tuned, SCORING) > 0.9


def test_a_move_of_one_item_is_no_evidence() -> None:
    untuned = np.full((VIEWS, 24), 3.0)
    tuned = untuned.copy()
    tuned[:, VSM.item_ids.index("m07")] = 4.0  # towards the higher power distance
    assert SCORING.distances(SCORING.scores(tuned)).mean() < SCORING.distances(SCORING.scores(untuned)).mean()
    assert permutation_p(tuned, untuned, SCORING) > 0.1


def test_it_is_the_same_every_time_and_never_zero() -> None:
    ours, theirs = _alike(np.random.default_rng(5))
    assert permutation_p(ours, theirs, SCORING) == permutation_p(ours, theirs, SCORING)
    assert permutation_p(ours, theirs, SCORING, draws=9) >= 0.1


@pytest.mark.parametrize("who", [0, 1])
def test_missing_answers_leave_no_p(who) -> None:
    pair = _alike(np.random.default_rng(0))
    pair[who][0, 0] = np.nan
    assert np.isnan(permutation_p(*pair, SCORING))
