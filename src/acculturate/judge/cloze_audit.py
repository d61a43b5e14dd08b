"""Audit answers by the likelihood of the options' own words.

Labels, layout and order play no part in them. The probability that a reply begins with an option's words is small
however well a model answers, so it cannot judge them either. What can is whether the same items get the same answers
when question and options are said in other words.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from acculturate.judge.audit import Audit, in_words
from acculturate.judge.audit_figures import AuditFigures, PresentationAudit
from acculturate.judge.audit_records import AuditVerdict
from acculturate.judge.audit_verdict import verdict_of_wordings
from acculturate.judge.audit_words import sentences_on_wordings
from acculturate.judge.persona_audit import personas_in_words
from acculturate.judge.statistics import named_scores
from acculturate.judge.wording_agreement import within_scales, wording_agreement
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.ways import Ask
from acculturate.model.respondent import Context
from acculturate.survey import reliability
from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.questionnaire import questionnaire as lay_out
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.response import Response
from acculturate.survey.targets import Target

SHORT, FULL = 3, 12
"""Number of wordings that are asked."""


def wordings(instrument: Instrument, *, short: bool = False, language: str = "en") -> tuple[Format, ...]:
    """Choose the first few wordings in one language, as formats; nothing else in a format changes these answers."""
    if language not in instrument.languages:
        language = instrument.languages[0]
    count = min(SHORT if short else FULL, instrument.variants(language))
    return tuple(Format(language=language, variant=variant).without_labels for variant in range(count))


def cloze_audit(
    ask: Ask,
    instrument: Instrument,
    *,
    formats: Sequence[Format] | None = None,
    targets: Sequence[Target] = (),
    short: bool = False,
    answers: str = AnswerKind.CLOZE,
) -> Audit:
    """Audit answers by option texts: put the questionnaire in several wordings, and judge what comes back.

    Parameters
    ----------
    ask
        Puts a questionnaire and gives the response (``ways.asking(respondent, "cloze")``).
    formats
        The wordings to ask; ``wordings`` by default.
    targets
        Countries for the persona test; none by default.
    short
        Fewer wordings.
    answers
        What ``ask`` reads, one of ``answer_kind.ANSWERS``.
    """
    forms = wordings(instrument, short=short) if formats is None else formats
    forms = tuple(dict.fromkeys(form.without_labels for form in forms))
    questionnaire = lay_out(instrument, forms)
    response = ask(questionnaire, Context())
    means = shares_of_scale(instrument, response)
    figures = replace(_figures(questionnaire, response, means), short=short, answers=answers)
    if figures.verdict == AuditVerdict.NO_ANSWER:
        targets = ()
    reading = [row.wording_correlation for row in figures.presentations]
    persona, on_persona = personas_in_words(ask, questionnaire, response, reading, targets)
    figures = replace(figures, persona=persona)
    overall = mean_of_known(reliability.pearson(a, b) for a, b in itertools.combinations(means, 2))
    return in_words(figures, *sentences_on_wordings(figures, overall), *on_persona)


def _figures(
    questionnaire: Questionnaire, response: Response, means: Float[np.ndarray, "formats items"]
) -> AuditFigures:
    """Compute what answers by option texts show by themselves."""
    instrument, forms = questionnaire.instrument, questionnaire.formats
    within, agreement = within_scales(instrument, means), wording_agreement(instrument, means, forms)
    rows = tuple(
        _wording(form, means[f], within[f], one)
        for f, (form, one) in enumerate(zip(forms, agreement.by_presentation, strict=True))
    )
    missing, spread = float(np.isnan(means).mean()), mean_of_known(row.spread for row in rows)
    return AuditFigures(
        verdict=verdict_of_wordings(missing=missing, spread=spread, correlation=agreement.overall),
        mass=math.nan,
        missing=missing,
        spread=spread,
        position_share=math.nan,
        order_correlation=math.nan,
        order_interval=(math.nan, math.nan),
        correlations={name: one.mean for name, one in reliability.factor_agreements(within, forms).items()},
        consistency=reliability.cronbach_alpha(within.T),
        presentations=rows,
        scores=named_scores(instrument, response),
        wording_correlation=agreement.overall,
        wording_interval=agreement.interval,
        by_scale=agreement.by_scale,
    )


def _wording(
    form: Format, means: Float[np.ndarray, "items"], within: Float[np.ndarray, "items"], agreement: float
) -> PresentationAudit:
    there = within[~np.isnan(within)]
    spread, missing = float(there.std()) if len(there) else math.nan, float(np.isnan(means).mean())
    return PresentationAudit(
        name=form.name,
        mass=math.nan,
        missing=missing,
        order_correlation=math.nan,
        spread=spread,
        balanced_spread=spread,
        shift=math.nan,
        position_share=math.nan,
        verdict=verdict_of_wordings(missing=missing, spread=spread, correlation=agreement),
        wording_correlation=agreement,
    )
