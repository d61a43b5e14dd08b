"""Options of the search methods as a user gives them: refused in a sentence, or a search with finite candidates."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.runs.pareto import METHOD as GDE3
from acculturate.runs.pareto import SUPPLIED
from acculturate.search.methods import METHODS, configured, make_optimizer
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response

ITEMS, OPTIONS, DIM = 3, 5, 4
EXTREME: list[Any] = [0, 1, -1, 2, 16, 10**6, 10**19, 10**400, True, "x", "x" * 10_000, ""]
EXTREME += [
    5e-324,
    1e-300,
    1e-12,
    1e-6,
    0.3,
    0.999999,
    1.0,
    1e3,
    1e6,
    1e200,
    1.7e308,
    float("inf"),
    float("nan"),
    -1e308,
]
OF_A_RUN = {"survey", "budget", "parts", "objectives"}


def _survey() -> Loss:
    weights = np.random.default_rng(0).normal(0, 30, (2, ITEMS))
    values = np.tile(np.arange(1.0, OPTIONS + 1), (ITEMS, 1))
    return Loss(values, weights, 50.0 - weights @ np.full(ITEMS, 3.0), np.array([90.0, 10.0]), ((0,),))


SURVEY = _survey()
PULL = np.random.default_rng(1).normal(0, 0.3, (1, ITEMS, OPTIONS, DIM))


def _evaluated(x: np.ndarray) -> list[Evaluation]:
    """A respondent whose logits are linear in the candidate, like those of a soft prompt near where it stands."""
    seen = []
    for one in x:
        logits = PULL @ np.clip(one, -50, 50)
        response = Response(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True), np.full((1, ITEMS), 0.5))
        told = SURVEY.evaluate(response)
        seen.append(replace(told, objectives=(told.loss, float(np.abs(one).sum()))))
    return seen


def _options() -> list[tuple[str, str]]:
    kinds = {name: method.kind for name, method in METHODS.items()} | {"gde3": GDE3.kind}
    return [(name, field.name) for name, kind in kinds.items() for field in fields(kind) if field.name not in OF_A_RUN]


def _made(name: str, options: dict[str, Any]) -> Any:
    if name == "gde3":
        return configured(name, GDE3, options, SUPPLIED)
    return make_optimizer(name, options, survey=SURVEY, budget=60)


@pytest.mark.parametrize(("name", "option"), _options())
def test_no_value_of_an_option_breaks_a_search(name: str, option: str) -> None:
    for value in EXTREME:
        _refused_or_finite(name, {option: value})


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_values_of_several_options_break_a_search(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*METHODS, "gde3"]))
    several = [option for method, option in _options() if method == name]
    # Mostly the ends of the ranges that are taken, since one refusal ends it.
    chosen = st.sampled_from([1e-6, 1e-12, 0.0, 0.999999, 1.0, 2.0, 1e3, 1e6, 100.0, 1, 2, 4, 8, 16, 60, 5000, True])
    _refused_or_finite(name, data.draw(st.dictionaries(st.sampled_from(several), chosen, min_size=1)))


def _refused_or_finite(name: str, options: dict[str, Any]) -> None:
    try:
        optimizer = _made(name, options)
        state = optimizer.init(np.random.default_rng(0).standard_normal((8, DIM)), 0)
    except UserError as error:
        assert len(str(error)) <= 400
        return
    for _ in range(4):
        x = optimizer.ask(state)
        assert np.isfinite(x).all(), options
        state = optimizer.tell(state, x, _evaluated(x))


def test_a_population_of_an_option_is_within_the_budget() -> None:
    with pytest.raises(UserError, match=r"population = 61, more than the budget of 60 candidates"):
        _made("openai-es", {"population": 61})
    assert _made("openai-es", {"population": 60}).population == 60


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("de", {"handling": "clip"}, "has no option 'handling' any more: no search has bounds"),
        ("de", {"F": "half"}, "has F = 'half'; expected a number"),
        ("dfgn", {"trials": 10**9}, r"DFGN trials is 1000000000, expected a number in \[1, 16\]"),
        ("dfgn", {"h": 12.0}, "has h = 12.0; expected a whole number"),
        ("dfgn", {"adapt": 1}, "has adapt = 1; expected true or false"),
        ("sep-cma", {"sigma": 1e308}, r"sigma is 1e\+308, expected a number in \[1e-06, 1000\]"),
    ],
)
def test_a_wrong_option_is_told_with_what_was_expected(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        _made(name, options)
