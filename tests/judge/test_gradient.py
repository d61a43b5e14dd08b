"""The oracle's gradient is the derivative of the loss that the searches minimise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from architectures import RECURRENT, small_questionnaire, tiny_model_dir

from acculturate.errors import UserError
from acculturate.judge.gradient import LossGradient, answer_slopes, owners_of_virtual_tokens
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.packing import SlottedTokens, build_row
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.search.objective import Objective
from acculturate.survey.formats import Format
from acculturate.survey.loss import Loss


def _survey(interview: Interview, anchor: float) -> Loss:
    questionnaire = interview.questionnaire
    items, options = questionnaire.instrument.values().shape
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 35, (3, items))
    reference = np.log(rng.dirichlet(np.ones(options), size=(len(questionnaire.formats), items)))
    target = np.array([80.0, np.nan, 20.0])
    values = questionnaire.instrument.values()
    return Loss(values, weights, np.full(3, 50.0), target, questionnaire.views, anchor, reference)


@pytest.mark.parametrize(
    ("slot", "anchor", "answers"),
    [
        ("before_bos", 0.0, "probabilities"),
        ("user_end", 5.0, "probabilities"),
        ("response_start", 0.0, "probabilities"),
        ("response_start", 5.0, "calibrated"),
        ("response_start", 5.0, "cloze"),
        ("user_end", 0.0, "cloze-prior"),
        ("response_start", 0.0, "cloze-sum"),
    ],
)
def test_the_gradient_is_what_small_steps_show(slot, anchor, answers, tmp_path_factory) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))
    respondent.model.double()  # differences of a float32 loss would be rounding
    asked = small_questionnaire(Format("letters", "options-first"), Format("digits", "question-first", 1))
    interview = ways.interview(answers, respondent, asked, slot=slot, n_tokens=2)
    survey = _survey(interview, anchor)
    slope, objective = LossGradient(interview, survey), Objective(interview, survey)
    rng = np.random.default_rng(1)
    prompt = rng.standard_normal((2, respondent.hidden)) * respondent.unit
    loss, gradient = slope(prompt.astype(np.float32))
    assert loss == pytest.approx(objective(prompt[None].astype(np.float32))[0].loss, abs=1e-3)
    shown, expected = [], []
    for _ in range(4):
        way = rng.standard_normal(prompt.shape) * respondent.unit
        ends = (objective((prompt + sign * 1e-2 * way)[None].astype(np.float32))[0].loss for sign in (1, -1))
        shown.append(float(np.subtract(*ends) / 2e-2))
        expected.append(float((gradient * way).sum()))
    largest = np.abs(shown).max()
    assert largest > 0.01
    np.testing.assert_allclose(expected, shown, atol=0.02 * largest)


def test_an_architecture_without_packing_is_refused(tmp_path_factory) -> None:
    folder = tiny_model_dir(tmp_path_factory, sorted(RECURRENT)[0])
    with pytest.warns(UserWarning, match="cannot be packed"):
        interview = Interview(Respondent(ModelChoice(str(folder))), small_questionnaire(), n_tokens=1)
    with pytest.raises(UserError, match="cannot be packed, so there is no gradient"):
        LossGradient(interview, replace(_survey(interview, 0.0)))


@pytest.mark.parametrize(("slot", "answers"), [("response_start", "probabilities"), ("user_end", "cloze")])
def test_every_answer_has_the_slopes_that_small_steps_show(slot, answers, tmp_path_factory) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))
    respondent.model.double()
    forms = Format("letters", "options-first"), Format("digits", "question-first", 1)
    asked = small_questionnaire(*(form.without_labels if answers == "cloze" else form for form in forms))
    interview = ways.interview(answers, respondent, asked, slot=slot, n_tokens=2)
    assert isinstance(interview, Interview)
    rng = np.random.default_rng(1)
    prompt = rng.standard_normal((2, respondent.hidden)) * respondent.unit
    slopes = answer_slopes(interview, prompt.astype(np.float32))

    def means(vectors: np.ndarray) -> np.ndarray:
        logprobs = interview(vectors[None].astype(np.float32))[0].logprobs
        return (np.exp(logprobs) * asked.instrument.values()).sum(axis=-1)

    np.testing.assert_allclose(slopes.means, means(prompt), atol=1e-6)
    for _ in range(3):
        way = rng.standard_normal(prompt.shape) * respondent.unit
        shown = (means(prompt + 1e-2 * way) - means(prompt - 1e-2 * way)) / 2e-2
        expected = (slopes.slopes * way).sum(axis=(2, 3))
        assert np.abs(shown).max() > 1e-4
        np.testing.assert_allclose(expected, shown, atol=0.03 * np.abs(shown).max())


def test_questions_that_share_their_virtual_tokens_have_no_slopes_of_their_own() -> None:
    beginning_apart = [SlottedTokens((1, question), (4,)) for question in (2, 3)]
    row = build_row(beginning_apart, 2, range(2))
    assert sorted(owners_of_virtual_tokens(row, np.arange(2)).values()) == [0, 0, 1, 1]
    after_the_prompt = [SlottedTokens((1,), (question, 4)) for question in (2, 3)]
    with pytest.raises(UserError, match="share the virtual tokens"):
        owners_of_virtual_tokens(build_row(after_the_prompt, 2, range(2)), np.arange(2))
