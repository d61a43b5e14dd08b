"""Audit a respondent: what its answers are worth before anything is tuned on them.

A questionnaire is put in several presentations, each in both option orders. From the answers alone one can
tell whether the respondent answers at all, says the same to everything, picks places, or reads the options.
With personas one can also tell whether naming a country moves its scores, and moves them as the published ones
differ. The verdict is one of a few plain phrases, per presentation and over all of them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.judge import bootstrap
from acculturate.judge.audit_figures import AuditFigures, PresentationAudit
from acculturate.judge.audit_records import AuditRecord, AuditVerdict
from acculturate.judge.audit_verdict import (
    CLEAR,
    FLAT_SHIFT,
    FLAT_SPREAD,
    MASS_LOW,
    MASS_MODEST,
    MISSING_HIGH,
    NEAR_FLAT,
    verdict_of_orders,
)
from acculturate.judge.audit_words import sentences_on_orders, warning_of
from acculturate.judge.persona_audit import PERSONA_P, PERSONA_SMALL, personas_in_words
from acculturate.judge.statistics import named_scores
from acculturate.judge.wording_agreement import wording_agreement
from acculturate.model.answers.ways import Ask
from acculturate.model.respondent import Context
from acculturate.survey import reliability
from acculturate.survey.formats import LABELS, Format, parse_format
from acculturate.survey.instrument import Instrument
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.questionnaire import questionnaire as lay_out
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.response import Response
from acculturate.survey.targets import Target, load_target_set

SHORT = tuple(
    f"{labels}/{layout}/0" for labels in ("letters", "digits") for layout in ("options-first", "question-first")
)
FULL = (
    *SHORT,
    *(form.replace("/0", "/1") for form in SHORT),
    *(f"{form}/{variant}" for variant in (2, 3) for form in ("letters/options-first", "digits/question-first")),
)

# Six countries with all six scores that lie far apart; six allow an exact test (720 relabellings).
PERSONA_COUNTRIES = ("United States", "China", "Japan", "Russia", "Mexico", "Sweden")


@dataclass(frozen=True, kw_only=True)
class Audit(AuditFigures):
    """Hold the verdict, its reasons in sentences, and every figure behind them."""

    sentences: tuple[str, ...]

    def _repr_html_(self) -> str:
        reasons = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        return f"<p><b>Audit: {html.escape(str(self.verdict))}</b></p><ul>{reasons}</ul>"

    @property
    def warning(self) -> str | None:
        """Write the sentence for whoever is about to tune; None where the answers are worth tuning."""
        return warning_of(self)

    @property
    def thresholds(self) -> dict[str, float]:
        """Name the bounds that the verdict rests on."""
        return {
            "mass_low": MASS_LOW,
            "mass_modest": MASS_MODEST,
            "missing_high": MISSING_HIGH,
            "flat_spread": FLAT_SPREAD,
            "near_flat": NEAR_FLAT,
            "flat_shift": FLAT_SHIFT,
            "clear": CLEAR,
            "persona_small": PERSONA_SMALL,
            "persona_p": PERSONA_P,
        }

    @property
    def record(self) -> AuditRecord:
        """Collect every figure for result.json, NaN as None."""
        return AuditRecord.model_validate(self, from_attributes=True)

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return self.record.to_json()


def in_words(figures: AuditFigures, *sentences: str) -> Audit:
    """Join figures and sentences; the warning, where there is one, comes last."""
    warning = warning_of(figures)
    return Audit(**vars(figures), sentences=(*sentences, *([warning] if warning else ())))


def default_targets(instrument: Instrument) -> tuple[Target, ...]:
    """Choose countries for the persona test: none where no published scores for this instrument are built in."""
    targets = load_target_set("hofstede-2015")
    if targets.instrument != instrument.id:
        return ()
    return tuple(targets.find(country) for country in PERSONA_COUNTRIES)


def default_formats(instrument: Instrument, *, short: bool = False, language: str = "en") -> tuple[Format, ...]:
    """Choose letters and digits in two layouts, and unless ``short`` in up to four wordings.

    Small letters take the place of digits where a scale has more options than digits name.
    """
    if language not in instrument.languages:
        language = instrument.languages[0]
    forms = [replace(parse_format(text), language=language) for text in (SHORT if short else FULL)]
    if instrument.values().shape[1] > len(LABELS["digits"]):
        forms = [replace(form, labels="lower") if form.labels == "digits" else form for form in forms]
    return tuple(form for form in forms if form.variant < instrument.variants(language))


def audit(
    ask: Ask,
    instrument: Instrument,
    *,
    formats: Sequence[Format] | None = None,
    targets: Sequence[Target] | None = None,
    short: bool = False,
    answers: str = "probabilities",
) -> Audit:
    """Audit labelled answers: put the questionnaire in every presentation and order, and judge what comes back.

    Parameters
    ----------
    ask
        Puts a questionnaire and gives the response.
    formats
        Presentations to ask; ``default_formats`` by default.
    targets
        Countries for the persona test, asked in the two presentations that order changes least.
        ``default_targets`` by default; an empty sequence leaves the test out.
    short
        Few presentations and no personas, for use before a search.
    answers
        What ``ask`` reads: "probabilities" of labels or "sampled" text. Option texts have ``cloze_audit``.
    """
    forms = tuple(default_formats(instrument, short=short) if formats is None else formats)
    questionnaire = lay_out(instrument, forms)
    response = ask(questionnaire, Context())
    figures = replace(_figures(questionnaire, response), short=short, answers=answers)
    if targets is None:
        targets = () if short else default_targets(instrument)
    if figures.verdict == AuditVerdict.NO_ANSWER:
        targets = ()
    reading = [row.order_correlation for row in figures.presentations]
    persona, on_persona = personas_in_words(ask, questionnaire, response, reading, targets)
    figures = replace(figures, persona=persona)
    return in_words(figures, *sentences_on_orders(figures), *on_persona)


def _figures(questionnaire: Questionnaire, response: Response) -> AuditFigures:
    """Compute what labelled answers show by themselves."""
    instrument, formats = questionnaire.instrument, questionnaire.formats
    means = shares_of_scale(instrument, response)
    wordings = wording_agreement(instrument, means, formats)
    rows = tuple(
        _presentation(questionnaire, response, means, view, agreement)
        for view, agreement in zip(questionnaire.views, wordings.by_presentation, strict=True)
    )
    orders = reliability.order_agreement(means, formats)
    agreements = reliability.factor_agreements(means, formats)
    _, table = reliability.balanced_means(means, formats)
    mass, missing = mean_of_known(response.mass.ravel()), float(np.isnan(means).mean())
    spread, shift = mean_of_known(row.spread for row in rows), mean_of_known(row.shift for row in rows)
    return AuditFigures(
        verdict=verdict_of_orders(mass=mass, missing=missing, spread=spread, shift=shift, correlation=orders.mean),
        mass=mass,
        missing=missing,
        spread=spread,
        position_share=mean_of_known(row.position_share for row in rows),
        order_correlation=orders.mean,
        order_interval=bootstrap.correlation_interval([(means[a], means[b]) for a, b in questionnaire.views]),
        correlations={factor: agreement.mean for factor, agreement in agreements.items()},
        consistency=reliability.cronbach_alpha(table.T),
        presentations=rows,
        scores=named_scores(instrument, response),
        wording_correlation=wordings.overall,
        wording_interval=wordings.interval,
        by_scale=wordings.by_scale,
    )


def _presentation(
    questionnaire: Questionnaire,
    response: Response,
    means: Float[np.ndarray, "formats items"],
    view: tuple[int, ...],
    agreement: float,
) -> PresentationAudit:
    both = means[list(view)]
    there = ~np.isnan(both).any(axis=0)
    up, down = both[0][there], both[1][there]
    some = len(up) > 0
    mass, missing = mean_of_known(response.mass[list(view)].ravel()), float(np.isnan(both).mean())
    spread = float((up.std() + down.std()) / 2) if some else math.nan
    shift = float(np.abs(up - down).mean()) if some else math.nan
    r = reliability.pearson(up, down)
    return PresentationAudit(
        name=questionnaire.formats[view[0]].presentation,
        mass=mass,
        missing=missing,
        order_correlation=r,
        spread=spread,
        balanced_spread=float(((up + down) / 2).std()) if some else math.nan,
        shift=shift,
        position_share=reliability.position_share(up, down) if some else math.nan,
        verdict=verdict_of_orders(mass=mass, missing=missing, spread=spread, shift=shift, correlation=r),
        wording_correlation=agreement,
    )
