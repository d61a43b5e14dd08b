"""Search over texts: on respondents that are additive in the statements they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.search.methods import make_optimizer
from acculturate.search.optimizers.bocs import BOCS, chosen_of, keys_of, neighbours, order_of
from acculturate.search.optimizers.bocs_model import AdditiveModel, modelled, modelled_losses
from acculturate.search.optimizers.state import pack, unpack
from acculturate.search.text_space import TextSpace
from acculturate.survey.loss import Loss
from acculturate.survey.response import Response

DIM, FORMATS, ITEMS, OPTIONS, MOST = 40, 2, 6, 5, 6
SPACE = TextSpace(tuple(f"statement {n}" for n in range(DIM)), MOST)


def respondent(seed: int):
    """Logits that are additive in the statements, alike in both formats but for a little of their own."""
    draw = np.random.default_rng(seed)
    effects = draw.normal(0, 0.5, (DIM, 1, ITEMS, OPTIONS)) + draw.normal(0, 0.1, (DIM, FORMATS, ITEMS, OPTIONS))
    weights = draw.normal(0, 25, (2, ITEMS))
    values = np.tile(np.arange(1.0, OPTIONS + 1), (ITEMS, 1))
    survey = Loss(values, weights, 50.0 - weights @ np.full(ITEMS, 3.0), np.array([0.0, 0.0]), ((0,), (1,)))

    def answer(keys: np.ndarray) -> Response:
        logits = effects[order_of(keys, MOST)].sum(axis=0)
        logprobs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        return Response(logprobs, np.full(logprobs.shape[:2], 0.5))

    # A target that some text reaches.
    hidden = keys_of(draw.permutation(DIM)[:MOST], DIM)
    target = survey.scores(answer(hidden).logprobs).mean(axis=0)
    return answer, replace(survey, target=target)


def after(optimizer, state, evaluate, rounds: int):
    """The state after some rounds, with all candidates that were asked."""
    asked = []
    for _ in range(rounds):
        x = optimizer.ask(state)
        asked += list(x)
        state = optimizer.tell(state, x, [evaluate(keys) for keys in x])
    return state, asked


def searched(name: str, seed: int, budget: int = 100) -> float:
    answer, survey = respondent(seed)
    optimizer = make_optimizer(name, {}, survey=survey, budget=budget, most=MOST)
    state = optimizer.init(SPACE.drawn(20, np.random.default_rng(seed)), seed)
    best, spent = np.inf, 0
    while spent < budget:
        x = optimizer.ask(state)
        told = [survey.evaluate(answer(one)) for one in x]
        best, spent = min(best, *(one.loss for one in told[: budget - spent])), spent + len(x)
        state = optimizer.tell(state, x, told)
    return best


def test_it_comes_nearer_than_methods_that_see_the_loss_alone() -> None:
    ours, de, random = (np.array([searched(name, seed) for seed in range(6)]) for name in ("bocs", "de", "random"))
    assert (ours < de).sum() >= 5
    assert ours.mean() < 0.5 * min(de.mean(), random.mean())


def test_the_model_predicts_texts_it_has_not_seen() -> None:
    answer, survey = respondent(1)
    draw = np.random.default_rng(1)
    texts = SPACE.drawn(140, draw)
    chosen = np.stack([chosen_of(order_of(keys, MOST), DIM) for keys in texts])
    seen = np.stack([modelled(answer(keys)) for keys in texts])
    shape = seen.shape[1:]
    model = AdditiveModel(chosen[:100], seen[:100].reshape(100, -1))
    predicted = model.predict(model.effects(), chosen[100:])
    # Logits are additive; log-probabilities, by what options share, nearly so. The losses are what counts.
    expected = [survey.evaluate(answer(keys)).loss for keys in texts[100:]]
    found = modelled_losses(survey, predicted.reshape(40, *shape))
    middle = [survey.evaluate(answer(keys)).loss for keys in texts[:100]]
    assert np.abs(found - expected).mean() < 0.35 * np.abs(np.mean(middle) - expected).mean()


def test_modelled_losses_are_those_of_the_survey() -> None:
    answer, survey = respondent(2)
    texts = SPACE.drawn(5, np.random.default_rng(2))
    responses = [answer(keys) for keys in texts]
    more = replace(
        survey,
        reference=responses[0].logprobs,
        consistency=0.3,
        response_style=0.7,
        style_weights=np.random.default_rng(7).normal(0, 20, survey.weights.shape),
        mass_penalty=20.0,
        reference_mass=np.full((FORMATS, ITEMS), 0.9),
    )
    found = modelled_losses(more, np.stack([modelled(one) for one in responses]))
    np.testing.assert_allclose(found, [more.evaluate(one).loss for one in responses], rtol=1e-9)


def test_a_missing_option_stays_impossible_and_a_missing_answer_is_left_out() -> None:
    answer, survey = respondent(3)
    optimizer = BOCS(survey, most=MOST)
    state = optimizer.init(SPACE.drawn(12, np.random.default_rng(3)), 3)
    for _ in range(3):
        x = optimizer.ask(state)
        told = []
        for n, keys in enumerate(x):
            logprobs = answer(keys).logprobs.copy()
            logprobs[:, 0, -1] = -np.inf
            logprobs -= np.logaddexp.reduce(logprobs, axis=-1, keepdims=True)
            if n == 1:
                logprobs[0, 1] = np.nan
            told.append(survey.evaluate(Response(logprobs, np.full(logprobs.shape[:2], 0.5))))
        assert not np.isfinite(told[1].loss)
        state = optimizer.tell(state, x, told)
    assert np.isinf(state.losses).sum() == 3
    assert np.isfinite(optimizer.ask(state)).all()


def test_no_text_is_asked_twice_and_none_is_too_long() -> None:
    answer, survey = respondent(4)
    optimizer = BOCS(survey, most=MOST)
    state = optimizer.init(SPACE.drawn(10, np.random.default_rng(4)), 4)
    _, asked = after(optimizer, state, lambda keys: survey.evaluate(answer(keys)), 12)
    texts = [SPACE.words(keys) for keys in asked]
    assert len(set(texts[10:])) == len(texts[10:])
    assert max(text.count("\n") for text in texts) < MOST


def test_a_state_from_disk_goes_on_alike() -> None:
    answer, survey = respondent(5)
    optimizer = BOCS(survey, most=MOST)
    state = optimizer.init(SPACE.drawn(10, np.random.default_rng(5)), 5)
    for _ in range(3):
        state, _ = after(optimizer, state, lambda keys: survey.evaluate(answer(keys)), 1)
        again = unpack(type(state), *pack(state))
        np.testing.assert_array_equal(optimizer.ask(again), optimizer.ask(state))


@given(st.lists(st.integers(0, DIM - 1), min_size=1, max_size=MOST, unique=True))
def test_keys_keep_the_order_of_a_text(order: list[int]) -> None:
    keys = keys_of(np.array(order), DIM)
    assert order_of(keys, MOST).tolist() == order
    assert SPACE.words(keys) == "\n".join(f"statement {n}" for n in order)


def test_a_text_says_something_whatever_the_keys() -> None:
    keys = -np.arange(1.0, DIM + 1)
    assert SPACE.words(keys) == "statement 0"
    assert SPACE.words(-keys).count("\n") == MOST - 1


@pytest.mark.parametrize("size", [1, 3, MOST])
def test_neighbours_differ_in_one_statement_and_keep_to_the_limit(size: int) -> None:
    chosen = chosen_of(np.arange(size), DIM)
    near = neighbours(chosen, MOST)
    sizes = near.sum(axis=1)
    assert sizes.min() >= 1 and sizes.max() <= MOST
    assert set((near ^ chosen).sum(axis=1).tolist()) <= {1, 2}
    assert len(np.unique(near, axis=0)) == len(near)
