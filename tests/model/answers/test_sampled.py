"""Generated answers: what counts as one, that draws repeat, and that they follow the probabilities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny import save_tiny_model

from acculturate.errors import UserError
from acculturate.judge.audit import audit
from acculturate.judge.audit_records import AuditVerdict
from acculturate.model.answers.sampled import (
    Sampling,
    _Drawing,
    read_label,
    sampled_responses,
    stream,
)
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import questionnaire

AXES = load_instrument("values_map")
LETTERS = ("A", "B", "C", "D", "E")
DIGITS = ("1", "2", "3", "4", "5")
ROMAN = ("I", "II", "III", "IV", "V")
SYMBOLS = ("#", "*", "+", "@", "%")


@pytest.mark.parametrize(
    ("text", "labels", "place"),
    [
        ("A", LETTERS, 0),
        (" B\n", LETTERS, 1),
        ("C.", LETTERS, 2),
        ("D) Rarely", LETTERS, 3),
        ("E: no pride", LETTERS, 4),
        ("A. Often", LETTERS, 0),
        ("A Very important", LETTERS, 0),
        ("B often", LETTERS, 1),
        ("3", DIGITS, 2),
        ("3.", DIGITS, 2),
        ("3. Sometimes", DIGITS, 2),
        ("III", ROMAN, 2),
        ("IV.", ROMAN, 3),
        ("*", SYMBOLS, 1),
        ("* Often", SYMBOLS, 1),
        ("2\n\nBecause", DIGITS, 1),
        ("B。", LETTERS, 1),
        # Not answers.
        ("", LETTERS, None),
        ("F", LETTERS, None),
        ("Answer: B", LETTERS, None),
        ("(B)", LETTERS, None),
        ("b", LETTERS, None),
        ("Both", LETTERS, None),
        ("A person like me", LETTERS, None),
        ("I think", ROMAN, None),
        ("A or B", LETTERS, None),
        ("B/C", LETTERS, None),
        ("1-2", DIGITS, None),
        ("1, 2", DIGITS, None),
        ("12", DIGITS, None),
        ("1.5", DIGITS, None),
        ("6", DIGITS, None),
        ("**B**", SYMBOLS, None),
        ("VI", ROMAN, None),
        ("B_1", LETTERS, None),
    ],
)
def test_the_parser_reads_a_label_or_nothing(text, labels, place):
    assert read_label(text, labels) == place


@given(st.text(max_size=12))
def test_the_parser_never_invents(text):
    place = read_label(text, DIGITS)
    assert place is None or text.strip().startswith(DIGITS[place])


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": math.nan},
        {"top_p": 0},
        {"top_p": 1.1},
        {"seeds": ()},
        {"seeds": (1, 1)},
        {"max_new_tokens": 0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError):
        Sampling(**wrong)


def test_top_p_keeps_the_token_that_crosses_it():
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(2000, 1)
    draws = [stream("f", "i", seed) for seed in range(2000)]
    out = _Drawing(draws, Sampling(temperature=1.0, top_p=0.7))(torch.zeros(2000, 0), scores)
    share = np.bincount(out.argmax(dim=-1).numpy(), minlength=4) / 2000
    assert share[2:].tolist() == [0, 0]
    assert share[0] == pytest.approx(0.5 / 0.8, abs=0.04)


def test_temperature_sharpens():
    scores = torch.log(torch.tensor([[0.6, 0.4]])).repeat(2000, 1)
    draws = [stream("f", "i", seed) for seed in range(2000)]
    out = _Drawing(draws, Sampling(temperature=0.5, top_p=1.0))(torch.zeros(2000, 0), scores)
    assert (out.argmax(dim=-1) == 0).float().mean() == pytest.approx(0.36 / 0.52, abs=0.04)


@pytest.fixture(scope="module")
def respondent(tmp_path_factory):
    return Respondent(ModelChoice(save_tiny_model(tmp_path_factory.mktemp("tiny")), dtype="float32"))


@pytest.fixture(scope="module")
def one_token(tmp_path_factory):
    """A random model that says nothing but one of five letters."""
    respondent = Respondent(ModelChoice(save_tiny_model(tmp_path_factory.mktemp("tiny")), dtype="float32"))
    head = respondent.model.lm_head
    head.bias = torch.nn.Parameter(torch.full((head.out_features,), -60.0), requires_grad=False)
    ids = [respondent.chat.label(letter) for letter in LETTERS]
    head.bias[ids] = 0.0
    head.weight[ids] *= 0.5
    return respondent


def test_sampled_and_probability_modes_agree_within_sampling_error(one_token):
    asked = questionnaire(AXES, [Format("letters", "question-first")], balanced=False)
    exact = Interview(one_token, asked).ask()
    # Options that an item lacks (v09 has three) may be said, and are then no answer.
    seeds = tuple(range(40))
    found = sampled_responses(one_token, asked, sampling=Sampling(1.0, 1.0, seeds, max_new_tokens=1, batch=200))
    expected = np.exp(exact.logprobs) * exact.mass[..., None] * len(seeds)
    assert found.invalid[:, [i for i in range(10) if i != 8]].sum() == 0
    statistic, freedom = 0.0, 0
    for f, i in np.ndindex(expected.shape[:2]):
        cells = [(found.counts[f, i, o], expected[f, i, o]) for o in range(5) if AXES.option_mask()[i, o]]
        if len(cells) < 5:
            cells.append((found.invalid[f, i], len(seeds) * (1 - exact.mass[f, i])))
        small = [c for c in cells if c[1] < 3]
        cells = [c for c in cells if c[1] >= 3] + ([tuple(map(sum, zip(*small, strict=True)))] if small else [])
        cells = [c for c in cells if c[1] > 0.5]
        statistic += sum((seen - due) ** 2 / due for seen, due in cells)
        freedom += len(cells) - 1
    assert freedom > 20
    assert 0.001 < stats.chi2.sf(statistic, freedom) < 0.999
    # The scores agree as well: within a few standard errors of 40 answers.
    survey = Loss(AXES.values(), AXES.weights(), AXES.constants(50.0), np.full(2, 50.0), asked.views)
    gap = survey.scores(found.response().logprobs) - survey.scores(exact.logprobs)
    assert np.abs(gap).max() < 15


def test_draws_depend_on_question_and_seed_only(respondent):
    one = questionnaire(AXES, [Format("letters")], balanced=False)
    both = questionnaire(AXES, [Format("digits"), Format("letters")], balanced=False)
    prompt = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    texts = []
    for asked, batch in ((one, 3), (one, 32), (both, 7)):
        how = Sampling(0.9, 0.9, (3, 8), max_new_tokens=3, batch=batch)
        found = sampled_responses(respondent, asked, prompt=prompt, sampling=how)
        texts.append([u for u in found.unread if u.format.startswith("letters")])
    assert texts[0] == texts[1] == texts[2]
    assert len({u.text for u in texts[0]}) > 3


def test_what_cannot_be_read_is_missing_counted_and_shown(respondent):
    asked = questionnaire(AXES, [Format("letters")])
    found = sampled_responses(respondent, asked, sampling=Sampling(seeds=(0,), max_new_tokens=2))
    assert found.counts.sum() + found.invalid.sum() == 20
    assert len(found.unread) == found.invalid.sum()
    response = found.response()
    assert np.isnan(response.logprobs[found.invalid == 1][:, :3]).all()
    # A missing answer makes the loss infinite and is never scored.
    survey = Loss(AXES.values(), AXES.weights(), AXES.constants(50.0), np.full(2, 50.0), asked.views)
    assert found.invalid.sum() > 10 and survey.evaluate(response).loss == math.inf

    def ask(questionnaire, context):
        sampling = Sampling(seeds=(0,))
        return sampled_responses(respondent, questionnaire, context=context, sampling=sampling).response()

    assert audit(ask, AXES, short=True).verdict == AuditVerdict.NO_ANSWER


def test_generation_settings_of_the_model_do_not_leak(respondent):
    asked = questionnaire(AXES, [Format("letters")], balanced=False)
    how = Sampling(1.0, 1.0, (0,), max_new_tokens=3)
    before = sampled_responses(respondent, asked, sampling=how)
    respondent.model.generation_config.repetition_penalty = 5.0
    after = sampled_responses(respondent, asked, sampling=how)
    assert before.unread == after.unread
    assert respondent.model.generation_config.repetition_penalty == 5.0


@pytest.mark.slow
def test_modes_agree_on_the_embedded_model():
    respondent = Respondent(ModelChoice("embedded"))
    asked = questionnaire(AXES, [Format("letters", "question-first")], balanced=False)
    exact = Interview(respondent, asked, context=Context()).ask()
    seeds = tuple(range(20))
    found = sampled_responses(respondent, asked, sampling=Sampling(1.0, 1.0, seeds, max_new_tokens=1, batch=20))
    values, mask = AXES.values(), AXES.option_mask()
    chances = np.where(mask, np.exp(exact.logprobs[0]), 0.0)
    mean = (chances * values).sum(axis=1)
    error = np.sqrt(((chances * values**2).sum(axis=1) - mean**2) / np.maximum(found.counts[0].sum(-1), 1))
    sampled = (found.counts[0] * values).sum(axis=1) / np.maximum(found.counts[0].sum(axis=1), 1)
    answered = found.counts[0].sum(axis=1) >= 5
    assert answered.sum() >= 5
    z = ((sampled - mean) / error)[answered]
    assert (np.abs(z) < 4).all() and np.sqrt((z**2).mean()) < 2
