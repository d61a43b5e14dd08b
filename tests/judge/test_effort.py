"""Rivals cost less than the search, where it pays for the fewest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acculturate.judge.effort import FULL, SHARE, Tokens, effort_for


def _cost(tokens: Tokens) -> int:
    effort = effort_for(tokens)
    texts = effort.texts * tokens.choosing + (tokens.all_formats if effort.texts else 0)
    shown = 2 * tokens.all_formats if effort.in_context else 0
    return tokens.all_formats * (1 + effort.personas) + texts + shown


@given(st.integers(0, 10**9), st.integers(100, 10**5), st.integers(50, 10**5))
def test_the_share_is_kept_where_it_pays_for_the_fewest(search: int, all_formats: int, choosing: int) -> None:
    tokens = Tokens(search, all_formats, choosing)
    assert _cost(tokens) <= max(SHARE * search, 2 * all_formats)


def test_more_budget_never_buys_less() -> None:
    efforts = [effort_for(Tokens(600 * n, 11_000, 2_500)) for n in range(0, 4000, 50)]
    for less, more in zip(efforts, efforts[1:], strict=False):
        assert more.personas + more.texts + more.in_context >= less.personas + less.texts + less.in_context - 2
    assert efforts[0].personas == 1 and efforts[0].texts == 0 and not efforts[0].in_context
    assert efforts[-1] == FULL
