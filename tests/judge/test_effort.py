"""Rivals cost less than the search, where it pays for the fewest."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from acculturate.judge.effort import FIRST_LOOK, FULL, LEAST, LOOK, SHARE, Effort, Tokens, effort_for


def _cost(effort: Effort, tokens: Tokens) -> int:
    texts = effort.texts * tokens.choosing + (tokens.all_formats if effort.texts else 0)
    return tokens.all_formats * (1 + effort.personas + 2 * effort.in_context) + texts


@given(st.integers(LOOK, 10**6), st.integers(0, 10**9), st.integers(100, 10**5), st.integers(50, 10**5))
def test_the_share_is_kept_where_it_pays_for_the_least(budget: int, search: int, all_formats: int, choosing: int):
    tokens = Tokens(search, all_formats, choosing)
    assert _cost(effort_for(budget, tokens), tokens) <= max(SHARE * search, _cost(LEAST, tokens))


def test_more_budget_never_buys_less() -> None:
    efforts = [effort_for(n, Tokens(600 * n, 11_000, 2_500)) for n in range(0, 4000, 50)]
    for less, more in itertools.pairwise(efforts):
        assert more.personas >= less.personas
        assert more.texts >= less.texts
        assert more.in_context >= less.in_context
    assert efforts[0] == FIRST_LOOK
    assert LEAST in efforts
    assert efforts[-1] == FULL
