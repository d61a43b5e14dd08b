"""GDE3: its sorting and crowding by definition, fronts known in closed form, exact resumption, refusals."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acculturate.errors import UserError
from acculturate.search.optimizers.gde3 import GDE3, GDE3State, crowding, first_front, ranks, survivors
from acculturate.search.optimizers.state import pack, unpack
from acculturate.survey.loss import Evaluation
from acculturate.survey.response import Response

RESPONSE = Response(np.zeros((1, 1, 1)), np.ones((1, 1)))
POINTS = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(2, 3)), elements=st.integers(0, 5).map(float))


def seen(f: np.ndarray) -> list[Evaluation]:
    return [Evaluation(RESPONSE, np.zeros((1, 1)), float(row[0]), objectives=tuple(map(float, row))) for row in f]


def zdt1(x: np.ndarray) -> np.ndarray:
    """Zitzler, Deb & Thiele (2000), at the nearest point of its box; the front is second = 1 - sqrt(first)."""
    x = np.clip(x, 0.0, 1.0)
    g = 1 + 9 * x[:, 1:].mean(axis=1)
    return np.stack([x[:, 0], g * (1 - np.sqrt(x[:, 0] / g))], axis=1)


def spheres(x: np.ndarray) -> np.ndarray:
    """Squared distances to two points that lie 1 apart; on the front their roots add up to 1."""
    other = np.zeros(x.shape[1])
    other[0] = 1.0
    return np.stack([(x**2).sum(axis=1), ((x - other) ** 2).sum(axis=1)], axis=1)


def volume(f: np.ndarray, worst: tuple[float, float]) -> float:
    """Area that the points dominate below ``worst``."""
    area, floor = 0.0, worst[1]
    for first, second in sorted(map(tuple, f)):
        if first < worst[0] and second < floor:
            area += (worst[0] - first) * (floor - second)
            floor = second
    return area


def search(optimizer: GDE3, start: np.ndarray, generations: int, problem, seed: int = 0) -> GDE3State:
    state = optimizer.init(start, seed)
    for _ in range(generations):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, seen(problem(x)))
    return state


def test_zdt1_is_reached_where_random_search_is_nowhere_near():
    optimizer = GDE3(CR=0.2)
    start = np.random.default_rng(5).uniform(size=(40, 10))
    state = search(optimizer, start, 100, zdt1)
    # The area under 1.1 of the true front: 1.1 * 1.1 - integral of (1 - sqrt) - what lies right of first = 1.
    true = 1.21 - 1 / 3
    found = volume(state.front_f, (1.1, 1.1))
    guessed = volume(zdt1(np.random.default_rng(6).uniform(size=(4000, 10))), (1.1, 1.1))
    assert 0.98 * true < found <= true
    assert guessed < 0.2 * true
    assert len(state.front_f) > 60
    assert np.abs(state.front_f[:, 1] - (1 - np.sqrt(state.front_f[:, 0]))).max() < 0.05


def test_an_unbounded_front_is_reached_from_one_side():
    start = np.random.default_rng(1).normal(3.0, 1.0, (40, 6))
    state = search(GDE3(), start, 120, spheres)
    assert np.abs(np.sqrt(state.front_f).sum(axis=1) - 1).max() < 0.02
    assert state.front_f[:, 0].min() < 0.01
    assert state.front_f[:, 1].min() < 0.01
    assert len(state.front_f) == 100, "the archive is full"
    assert np.diff(np.sort(state.front_f[:, 0])).max() < 0.06, "and evenly filled"


@given(POINTS)
@settings(max_examples=60, deadline=None)
def test_ranks_and_first_front_by_definition(f):
    def beats(a, b):
        return all(p <= q for p, q in zip(a, b, strict=True)) and any(p < q for p, q in zip(a, b, strict=True))

    rank = ranks(f)
    for i, j in product(range(len(f)), repeat=2):
        if beats(f[i], f[j]):
            assert rank[i] < rank[j]
    for j in np.flatnonzero(rank):
        assert any(rank[i] == rank[j] - 1 and beats(f[i], f[j]) for i in range(len(f)))
    assert {tuple(f[i]) for i in first_front(f)} == {tuple(row) for row in f[rank == 0]}
    assert len({tuple(f[i]) for i in first_front(f)}) == len(first_front(f))


def test_crowding_by_hand():
    f = np.array([[0.0, 10.0], [4.0, 1.0], [1.0, 5.0], [10.0, 0.0]])
    # (1, 5): (4 - 0) / 10 + (10 - 1) / 10; (4, 1): (10 - 1) / 10 + (5 - 0) / 10
    assert crowding(f).tolist() == pytest.approx([np.inf, 1.4, 1.3, np.inf])
    assert survivors(f, 3).tolist() == [0, 1, 3]


def test_pruning_takes_distances_anew():
    # 3 and 4 crowd each other: once one has gone, the other is the loneliest and stays.
    f = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [6.0, 4.1], [6.1, 4.0], [10.0, 0.0]])
    kept = survivors(f, 4).tolist()
    assert kept[0] == 0
    assert kept[-1] == 5
    assert len({3, 4} & set(kept)) == 1


@given(POINTS, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_no_survivor_is_of_a_later_front_than_one_that_went(f, size):
    kept = survivors(f, size)
    gone = np.setdiff1d(np.arange(len(f)), kept)
    assert len(kept) == min(size, len(f))
    assert not len(gone) or ranks(f)[kept].max() <= ranks(f)[gone].min()


def test_selection_by_hand():
    optimizer = GDE3()
    start = np.arange(8.0).reshape(4, 2)
    state = optimizer.tell(optimizer.init(start, 0), start, seen(np.array([[5, 5], [5, 5], [3, 6], [9, 9.0]])))
    trials = start + 100
    # Better; worse; cannot be compared; equal (taken, so that the population drifts).
    told = optimizer.tell(state, trials, seen(np.array([[4, 5], [5, 6], [2, 7], [9, 9.0]])))
    assert sorted(map(tuple, told.f.tolist())) == [(2, 7), (3, 6), (4, 5), (5, 5)]
    assert (told.x[0] == trials[0]).all()
    assert (told.x[1] == start[1]).all()
    assert sorted(map(tuple, told.front_f.tolist())) == [(2, 7), (3, 6), (4, 5)]


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_resuming_from_a_checkpoint_changes_nothing(cut):
    optimizer, start = GDE3(archive=7), np.random.default_rng(0).normal(size=(6, 3))
    state = optimizer.init(start, 4)
    for generation in range(10):
        if generation == cut:
            arrays_, scalars = pack(state)
            state = unpack(GDE3State, arrays_, json.loads(json.dumps(scalars, allow_nan=False)))
        x = optimizer.ask(state)
        assert x.tobytes() == optimizer.ask(state).tobytes()
        state = optimizer.tell(state, x, seen(spheres(x)))
    whole = search(optimizer, start, 10, spheres, seed=4)
    for field in fields(state):
        left, right = getattr(state, field.name), getattr(whole, field.name)
        assert left.tobytes() == right.tobytes() if isinstance(left, np.ndarray) else left == right
    assert len(state.front_f) == 7


def test_what_cannot_be_evaluated_is_never_kept_for_long():
    def holed(x):
        f = spheres(x)
        f[x[:, 1] > 0, 1] = np.nan
        return f

    start = np.random.default_rng(2).normal(size=(8, 3))
    state = search(GDE3(), start, 12, holed)
    assert np.isfinite(state.front_f).all()
    assert (state.front_x[:, 1] <= 0).all()
    nothing = search(GDE3(), start, 3, lambda x: np.full((len(x), 2), np.inf))
    assert (nothing.x == start).all()
    assert len(nothing.front_f) == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GDE3(F=0.0), "GDE3 F is 0.0"),
        (lambda: GDE3(CR=2.0), "GDE3 CR is 2.0"),
        (lambda: GDE3(archive=1), "archive is 1"),
        (lambda: GDE3().init(np.zeros((3, 2)), 0), "at least 4 candidates"),
    ],
)
def test_refusals_say_what_was_expected(make, message):
    with pytest.raises(UserError, match=message):
        make()
