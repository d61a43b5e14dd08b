"""The trie of a questionnaire: nothing lost, nothing computed twice, and cut where it is cheapest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acculturate.model.engine.packing import ROOT, Cost, Plan, Row, SlottedTokens, build_row, plan

# Few letters and short texts, so that common beginnings are common.
_texts = st.lists(st.integers(0, 2), max_size=6).map(tuple)
_pairs = st.lists(st.tuples(_texts, _texts.filter(len)), min_size=1, max_size=9)
_costs = st.tuples(st.floats(0, 0.5), st.floats(0, 20), st.sampled_from([3, 10, 4096]))


def _sequences(pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[SlottedTokens]:
    return [SlottedTokens(*pair) for pair in pairs]


def _walk(row: Row, answer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens and depths from the root to a dynamic node, by following parents."""
    tokens = np.concatenate([row.static.tokens, row.dynamic.tokens])
    parents = np.concatenate([row.static.parents, row.dynamic.parents])
    node, path = answer + len(row.static), []
    while node != ROOT:
        path.append(node)
        node = int(parents[node])
    path.reverse()
    return tuple(int(tokens[i]) for i in path), tuple(int(row.depths()[i]) for i in path)


def _whole(sequence: SlottedTokens, n_tokens: int) -> tuple[int, ...]:
    return (*sequence.prefix, *(-1 - k for k in range(n_tokens)), *sequence.suffix)


def _cost(rows: list[Row], cost: Cost) -> float:
    return sum(cost.row + len(r.dynamic) * (1 + cost.pair * (len(r.static) + len(r.dynamic))) for r in rows)


def _rows(made: Plan) -> list[Row]:
    return [row for rows in made.passes for row in rows]


@given(_pairs, st.integers(0, 3), _costs)
def test_every_sequence_is_found_by_walking_from_its_answer_to_the_root(pairs, n_tokens, costs) -> None:
    sequences, cost = _sequences(pairs), Cost(*costs)
    made = plan(sequences, n_tokens, cost)
    seen = []
    for row in _rows(made):
        for answer, which in zip(row.answers, row.sequences, strict=True):
            tokens, depths = _walk(row, int(answer))
            assert tokens == _whole(sequences[which], n_tokens)
            assert depths == tuple(range(len(tokens)))
            seen.append(int(which))
    assert sorted(seen) == list(range(len(sequences)))
    assert made.n_sequences == len(sequences)


@given(_pairs, st.integers(0, 3))
def test_a_node_attends_to_the_nodes_whose_text_its_own_continues(pairs, n_tokens) -> None:
    sequences = _sequences(pairs)
    row = build_row(sequences, n_tokens, range(len(sequences)))
    tokens = np.concatenate([row.static.tokens, row.dynamic.tokens])
    parents = np.concatenate([row.static.parents, row.dynamic.parents])
    # A node is static or dynamic, and its text is what stands on the way to it.
    texts: list[tuple] = []
    for node, parent in enumerate(parents):
        before = texts[parent] if parent != ROOT else ()
        texts.append((*before, (node >= len(row.static), int(tokens[node]))))
    expected = [[query[: len(key)] == key for key in texts] for query in texts]
    assert row.ancestors().tolist() == expected
    assert len(set(texts)) == len(texts), "a token is computed twice"
    assert row.depths().tolist() == [len(text) - 1 for text in texts]


@given(_pairs, st.integers(0, 3), _costs)
def test_packing_never_computes_more_than_one_at_a_time(pairs, n_tokens, costs) -> None:
    sequences, cost = _sequences(pairs), Cost(*costs)
    made = plan(sequences, n_tokens, cost)
    dynamic = sum(len(row.dynamic) for row in _rows(made))
    assert dynamic <= sum(n_tokens + len(s.suffix) for s in sequences)
    assert made.static_tokens <= sum(len(s.prefix) for s in sequences)
    # Padding of rows that share a pass may add the few percent that `_stack` allows.
    assert dynamic <= made.tokens_per_candidate <= 1.04 * dynamic + 1e-9


@settings(max_examples=60, deadline=None)
@given(_pairs.filter(lambda p: len(p) <= 7), st.integers(0, 2), _costs)
def test_the_cut_is_the_cheapest_of_all_contiguous_ones(pairs, n_tokens, costs) -> None:
    sequences, cost = _sequences(pairs), Cost(*costs)
    order = sorted(range(len(sequences)), key=lambda i: (sequences[i].prefix, sequences[i].suffix))
    best = np.inf
    for cuts in itertools.product([False, True], repeat=len(order) - 1):
        groups = [[order[0]]]
        for i, cut in zip(order[1:], cuts, strict=True):
            if cut:
                groups.append([i])
            else:
                groups[-1].append(i)
        rows = [build_row(sequences, n_tokens, group) for group in groups]
        if all(len(r.dynamic) <= cost.longest or len(r.sequences) == 1 for r in rows):
            best = min(best, _cost(rows, cost))
    assert _cost(_rows(plan(sequences, n_tokens, cost)), cost) == pytest.approx(best)


def test_shared_beginnings_are_computed_once() -> None:
    """Two questions after one introduction: 3 static tokens once, then each its slot and tail."""
    asked = [SlottedTokens((7, 8, 9), (1, 2)), SlottedTokens((7, 8, 9), (1, 3)), SlottedTokens((7, 8, 5), (4,))]
    made = plan(asked, 2, Cost(pair=0.0, row=100.0))
    (row,) = made.passes[0]
    assert row.static.tokens.tolist() == [7, 8, 5, 9]
    # The slot after "7 8 5" cannot be the slot after "7 8 9": what they see differs.
    assert row.dynamic.tokens.tolist() == [-1, -2, 4, -1, -2, 1, 2, 3]
    assert row.dynamic.depths.tolist() == [3, 4, 5, 3, 4, 5, 6, 6]
    assert made.tokens_per_candidate == 8 and made.static_tokens == 4
    assert made.attention_pairs == 8 * (8 + 4)


def test_dear_attention_cuts_and_cheap_attention_joins() -> None:
    asked = [SlottedTokens((), (0, k, *range(10, 30))) for k in range(1, 5)]
    assert len(_rows(plan(asked, 1, Cost(pair=0.0)))) == 1
    assert len(_rows(plan(asked, 1, Cost(pair=1.0)))) == 4


def test_rows_of_one_size_share_a_pass() -> None:
    asked = [SlottedTokens((), (k, *range(10, 30))) for k in range(1, 5)] + [SlottedTokens((), (9, 9))]
    made = plan(asked, 1, Cost(pair=1.0))
    assert [len(rows) for rows in made.passes] == [1, 4]


def test_a_row_longer_than_the_limit_holds_one_sequence() -> None:
    asked = [SlottedTokens((), (0,) * 5 + (k,)) for k in range(3)]
    assert all(len(row.sequences) == 1 for row in _rows(plan(asked, 0, Cost(pair=0.0, longest=6))))


def test_a_sequence_without_an_answer_position_is_refused() -> None:
    with pytest.raises(ValueError, match="no token at or after its slot"):
        plan([SlottedTokens((1, 2), ())], 0, Cost(pair=0.0))
