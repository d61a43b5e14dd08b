"""Respondents of known behaviour get the right verdict, the right scores and honest sentences."""

import itertools
import json
import math
import random
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synthetic import (
    always_first,
    always_middle,
    by_place,
    expert,
    refuser,
    silent,
)

from acculturate.errors import UserError
from acculturate.judge.audit import audit, default_formats, default_targets
from acculturate.judge.audit_records import AuditVerdict
from acculturate.judge.audits import audit_model
from acculturate.judge.cloze_audit import cloze_audit
from acculturate.model.answer_kind import ANSWERS
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import Format, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.response import Response

VSM = load_instrument("vsm2013")
AXES = load_instrument("values_map")
MEANS = np.random.default_rng(11).uniform(1.3, 4.7, 24)
TARGETS = default_targets(VSM)


def check(ask, **options):
    return audit(ask, VSM, **({"targets": ()} | options))


@pytest.mark.parametrize(
    ("ask", "verdict"),
    [
        (always_first(), AuditVerdict.POSITION),
        (by_place(), AuditVerdict.POSITION),
        (always_middle(), AuditVerdict.FLAT),
        (expert(MEANS), AuditVerdict.READS),
        (expert(MEANS, noise=0.4), AuditVerdict.READS),
        (expert(MEANS, place_bias=0.4), AuditVerdict.READS),
        (expert(np.full(24, 2.0)), AuditVerdict.FLAT),
        (expert(MEANS, mass=0.05), AuditVerdict.NO_ANSWER),
        (refuser(), AuditVerdict.NO_ANSWER),
        (silent(), AuditVerdict.NO_ANSWER),
    ],
)
@pytest.mark.parametrize("short", [False, True])
def test_every_behaviour_gets_its_verdict(ask, verdict, short):
    found = check(ask, short=short)
    assert found.verdict == verdict
    assert found.noise == (verdict != AuditVerdict.READS)
    assert (found.warning is not None) == (verdict != AuditVerdict.READS)
    assert len(found.presentations) == (4 if short else 12)
    assert all(p.verdict == verdict for p in found.presentations)
    # What goes into result.json is plain JSON without NaN.
    text = json.dumps(found.to_json(), allow_nan=False)
    for key in ("verdict", "sentences", "order_correlation", "format_correlation", "mass"):
        assert key in json.loads(text)


@settings(max_examples=6, deadline=None)
@example(seed=37898, noise=0.0, bias=0.1911650367079185)
@given(seed=st.integers(0, 10**6), noise=st.floats(0, 0.3), bias=st.floats(0, 0.4))
def test_an_expert_is_never_called_anything_else(seed, noise, bias):
    means = np.random.default_rng(seed).uniform(1, 5, 24)
    found = check(expert(means, noise=noise, place_bias=bias, seed=seed), short=True)
    assert found.verdict == AuditVerdict.READS
    # A perfect reader's interval is one point, give or take the last digit of a float.
    assert found.order_interval[0] - 1e-9 <= found.order_correlation <= found.order_interval[1] + 1e-9


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_favourite_places_are_never_called_reading(seed):
    found = check(by_place(seed), short=True)
    assert found.verdict == AuditVerdict.POSITION
    assert found.position_share > 0.95
    # Order balance: exactly neutral on every dimension.
    assert list(found.scores.values()) == pytest.approx([50.0] * 6)


def test_scores_are_those_of_the_known_means():
    assert list(check(expert(MEANS)).scores.values()) == pytest.approx(list(VSM.weights() @ MEANS + 50))
    # A bias for the top place averages out: it draws all means towards the middle.
    pulled = 0.6 * MEANS + 0.4 * 3
    found = check(expert(MEANS, place_bias=0.4))
    assert list(found.scores.values()) == pytest.approx(list(VSM.weights() @ pulled + 50))
    assert list(check(always_middle()).scores.values()) == pytest.approx([50.0] * 6)


@given(bias=st.floats(0, 1))
@settings(max_examples=5, deadline=None)
def test_balanced_scores_survive_any_place_bias(bias):
    asked = questionnaire(VSM, [Format("digits", "question-first")])
    survey = Loss(VSM.values(), VSM.weights(), VSM.constants(50.0), np.full(6, 50.0), asked.views)
    scores = survey.evaluate(expert(MEANS, place_bias=bias)(asked, Context())).scores
    np.testing.assert_allclose(scores[0], (1 - bias) * (VSM.weights() @ MEANS) + 50, atol=1e-8)


def test_items_with_fewer_options_and_other_instruments():
    means = np.array([1.5, 4, 2, 3, 4.5, 2, 3, 5, 2.5, 1])
    found = audit(expert(means), AXES, targets=())
    assert found.verdict == AuditVerdict.READS
    assert found.scores == pytest.approx(
        dict(zip(AXES.dimension_ids, AXES.weights() @ means + AXES.constants(), strict=True))
    )
    assert default_targets(AXES) == ()
    assert audit(always_first(), AXES).verdict == AuditVerdict.POSITION


def test_what_holds_per_format_is_said_per_format():
    reads, places = expert(MEANS), by_place()

    def moody(asked, context):
        a, b = reads(asked, context), places(asked, context)
        for row, form in enumerate(asked.formats):
            if form.labels == "digits":
                a.logprobs[row] = b.logprobs[row]
        return a

    found = check(moody)
    assert set(found.usable) == {p.name for p in found.presentations if p.name.startswith("letters")}
    assert not found.noise
    assert any("answers by position in: digits" in s.lower() and "letters" not in s for s in found.sentences)
    assert found.warning is not None and "only in formats it reads: letters" in found.warning
    assert "digits" not in found.warning


def test_an_expert_who_differs_by_wording_is_told_apart():
    own = [MEANS, *np.random.default_rng(5).uniform(1.3, 4.7, (3, 24))]

    def four_minds(asked, context):
        answers = [expert(means)(asked, context) for means in own]
        for row, form in enumerate(asked.formats):
            answers[0].logprobs[row] = answers[form.variant].logprobs[row]
        return answers[0]

    found = check(four_minds)
    assert found.verdict == AuditVerdict.READS
    apart = {(a, b): np.corrcoef(own[a], own[b])[0, 1] for a, b in itertools.combinations(range(4), 2)}
    # Two presentations are asked in four wordings, two in the first two.
    expected = (2 * sum(apart.values()) + 2 * apart[0, 1]) / 14
    assert found.correlations["variant"] == pytest.approx(expected)
    assert found.correlations["labels"] == pytest.approx(1.0)
    assert math.isnan(found.correlations["language"])
    assert any("depend on the wordings" in s for s in found.sentences)


def means_for(target):
    """Item means that score exactly the target: one move per dimension, kept as small as possible."""
    weights = VSM.weights()
    return 3 + np.linalg.pinv(weights) @ (target.vector(VSM.dimension_ids) - 50)


def test_personas_that_know_their_countries_agree_with_the_published_scores():
    personas = {target.country: means_for(target) for target in TARGETS}
    found = audit(expert(MEANS, personas=personas), VSM).persona
    assert found.agreement == pytest.approx(1.0)
    assert found.p == pytest.approx(1 / 720)
    assert found.towards > 0.95
    assert found.spread == pytest.approx(found.published_spread)
    assert found.sensitivity == pytest.approx(1.0)
    assert "moves the scores as published ones differ" in found.sentence


def test_personas_of_the_wrong_countries_do_not():
    wrong = [target.country for target in TARGETS]
    random.Random(1).shuffle(wrong)
    assert wrong != [target.country for target in TARGETS]
    personas = {country: means_for(target) for country, target in zip(wrong, TARGETS, strict=True)}
    found = audit(expert(MEANS, personas=personas), VSM).persona
    assert found.p > 0.05 and "but not as published" in found.sentence


def test_a_respondent_deaf_to_personas():
    found = audit(expert(MEANS), VSM).persona
    assert found.spread == pytest.approx(0.0, abs=1e-9)
    assert found.towards == 0.0 and math.isnan(found.agreement)
    assert "next to nothing" in found.sentence
    assert json.dumps(audit(expert(MEANS), VSM).to_json(), allow_nan=False)


def test_a_template_without_system_message_skips_the_personas_and_says_so():
    plain = expert(MEANS)

    def ask(asked, context):
        if context.system:
            raise UserError("This model's chat template has no place for a system message.")
        return plain(asked, context)

    found = audit(ask, VSM)
    assert found.verdict == AuditVerdict.READS and found.persona is None
    assert any("Personas were not tested" in s for s in found.sentences)


def test_chosen_formats_are_the_ones_asked():
    forms = [parse_format("roman/question-first/2"), parse_format("symbols/one-line/0/zh")]
    found = check(expert(MEANS), formats=forms)
    assert [p.name for p in found.presentations] == ["roman/question-first/2/en", "symbols/one-line/0/zh"]
    assert [f.variant for f in default_formats(VSM)] == [0] * 4 + [1] * 4 + [2, 2, 3, 3]
    # Neither numbers nor letters: they are asked for by what they are.
    asked = [question.text for question in questionnaire(VSM, forms).questions()]
    assert all("one of these marks (I, II, III, IV, V)" in text for text in asked[:48])
    assert all("标记" in text and "(#, *" in text.replace("（", "(") for text in asked[48:])


@pytest.mark.slow
def test_the_embedded_model_answers_by_position():
    from acculturate.model.answers.ways import asking
    from acculturate.model.respondent import Respondent

    found = audit(asking(Respondent(ModelChoice("embedded"))), VSM, short=True)
    assert found.verdict == AuditVerdict.POSITION
    assert -1 <= found.order_correlation < -0.5
    assert found.noise and "only tune noise" in found.warning


def by_wording(agreement: float, seed: int = 0):
    """Option texts: every wording has item means of its own beside shared ones, and every scale a level of its own."""
    levels = {scale: 0.8 * k for k, scale in enumerate(VSM.scales)}
    own = np.random.default_rng(seed).standard_normal((13, 24))

    def ask(asked, context):
        means = np.array([levels[item.scale] for item in VSM.items])
        options = np.arange(5)
        out = []
        for form in asked.formats:
            at = means + 0.5 * (agreement * own[12] + (1 - agreement) * own[form.variant])
            logits = -((options - at[:, None]) ** 2)
            out.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
        return Response(np.stack(out), np.full((len(out), 24), 2e-4))

    return ask


@pytest.mark.parametrize(("agreement", "verdict"), [(1.0, AuditVerdict.READS), (0.75, AuditVerdict.READS), (0.0, None)])
def test_option_texts_are_judged_between_wordings_and_within_scales(agreement, verdict):
    found = cloze_audit(by_wording(agreement), VSM)
    assert len(found.presentations) == 12 and found.answers == "cloze"
    if verdict is None:  # item means agree over all items, because scales differ; within them they do not
        assert found.verdict in (AuditVerdict.WORDING, AuditVerdict.WEAK)
        assert abs(found.wording_correlation) < 0.3 and "Over all items it is +0.9" in " ".join(found.sentences)
    else:
        assert found.verdict == verdict and found.warning is None
    said = " ".join(found.sentences)
    assert "of the next token" not in said and "nan" not in said
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["mass"] is None


def test_option_texts_that_say_nothing_are_flat_and_one_wording_is_not_enough():
    same = lambda asked, context: Response(  # noqa: E731
        np.full((len(asked.formats), 24, 5), np.log(0.2)), np.full((len(asked.formats), 24), 2e-4)
    )
    assert cloze_audit(same, VSM).verdict == AuditVerdict.FLAT
    one = cloze_audit(by_wording(1.0), VSM, formats=[Format()])
    assert one.verdict == AuditVerdict.ONE_WORDING and "With one wording" in one.sentences[-1]
    nothing = cloze_audit(silent(), VSM, targets=TARGETS)
    assert nothing.verdict == AuditVerdict.NO_ANSWER and "nan" not in " ".join(nothing.sentences)


@pytest.mark.slow
def test_every_way_of_answering_is_audited_on_a_real_model(tiny):
    for answers in ANSWERS:
        found = audit_model(Respondent(ModelChoice(tiny)), VSM, answers, short=True)
        assert found.answers == answers and found.verdict
        said = " ".join(found.sentences)
        assert ("probability of the next token" in said) == (answers in ("probabilities", "calibrated"))
        assert "nan" not in said


def test_a_constant_model_is_called_flat_and_its_scores_are_the_constant():
    def constant(asked, context):  # every one of 50,000 tokens is as likely
        return Response(
            np.full((len(asked.formats), 24, 5), np.log(0.2)), np.full((len(asked.formats), 24), 5 / 50_000)
        )

    found = check(constant)
    assert found.verdict == AuditVerdict.FLAT and all(p.verdict == AuditVerdict.FLAT for p in found.presentations)
    assert list(found.scores.values()) == pytest.approx([50.0] * 6, abs=1e-9)
    assert any("exactly the constant" in sentence for sentence in found.sentences)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("answers", ["probabilities", "sampled"])
def test_no_sentence_holds_a_nan(share, answers):
    lost = np.random.default_rng(0).random((16, 24)) < share

    def ask(asked, context):
        found = expert(MEANS)(asked, context)
        rows = np.resize(lost, found.mass.shape)
        found.logprobs[rows], found.mass[rows] = np.nan, np.nan
        return found

    found = audit(ask, VSM, targets=TARGETS, answers=answers)
    assert not re.search(r"\bnan\b|nan%", " ".join(found.sentences))
    assert json.dumps(found.to_json(), allow_nan=False)
    if answers == "sampled":
        assert "repl" in found.sentences[0] and "next token" not in found.sentences[0]
