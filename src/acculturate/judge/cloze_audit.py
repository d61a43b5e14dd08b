"""What answers by the likelihood of the options' own words are worth.

Labels, layout and order play no part in them, and the probability that a reply begins with an option's words is small
however well a model answers: neither can judge them. What can is whether the same items get the same answers when
question and options are said in other words. Items on one scale share its options, whose own likelihood would pass for
agreement, so items are compared with the others on their scale only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from acculturate.judge import bootstrap
from acculturate.judge.audit import (
    CLEAR,
    FLAT_SPREAD,
    MISSING_HIGH,
    Ask,
    Audit,
    PresentationAudit,
    concluded,
    named_scores,
    persona_context,
    with_personas,
)
from acculturate.judge.records import AuditVerdict
from acculturate.model.respondent import Context
from acculturate.survey import reliability
from acculturate.survey.formats import Format
from acculturate.survey.instruments import Instrument
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.targets import Target

SHORT, FULL = 2, 4
"""Wordings that are asked."""


def wordings(instrument: Instrument, *, short: bool = False, language: str = "en") -> tuple[Format, ...]:
    """Choose the first few wordings in one language, as formats; all else in a format is nothing to these answers."""
    if language not in instrument.languages:
        language = instrument.languages[0]
    count = min(SHORT if short else FULL, instrument.variants(language))
    return tuple(Format(language=language, variant=variant) for variant in range(count))


def cloze_audit(
    ask: Ask,
    instrument: Instrument,
    *,
    formats: Sequence[Format] | None = None,
    targets: Sequence[Target] = (),
    persona: Callable[[str], Context] = persona_context,
    short: bool = False,
) -> Audit:
    """Put the questionnaire to ``ask`` (cloze.cloze_from) in several wordings, and say what its answers are worth.

    ``formats``: the wordings to ask (``wordings``). ``targets``: countries for the persona test, none by default.
    """
    forms = wordings(instrument, short=short) if formats is None else formats
    forms = tuple({(form.language, form.variant): replace(form, order="ascending") for form in forms}.values())
    asked = questionnaire(instrument, forms, balanced=False)
    response = ask(asked, Context())
    means = shares_of_scale(instrument, response)
    within = within_scales(instrument, means)
    pairs = list(itertools.combinations(range(len(forms)), 2))
    agreement = {pair: reliability.pearson(within[pair[0]], within[pair[1]]) for pair in pairs}
    rows = tuple(_wording(form, f, means, within, agreement) for f, form in enumerate(forms))
    missing, spread = float(np.isnan(means).mean()), mean_of_known(row.spread for row in rows)
    correlation = mean_of_known(agreement.values())
    figures = Audit(
        verdict=_verdict(missing, spread, correlation),
        sentences=(),
        mass=math.nan,
        missing=missing,
        spread=spread,
        position_share=math.nan,
        order_correlation=math.nan,
        order_interval=(math.nan, math.nan),
        correlations={name: one.mean for name, one in reliability.factor_agreements(within, forms).items()},
        consistency=reliability.cronbach_alpha(within.T),
        presentations=rows,
        short=short,
        scores=named_scores(instrument, response),
        answers="cloze",
        wording_correlation=correlation,
        wording_interval=bootstrap.correlation_interval([(within[a], within[b]) for a, b in pairs]),
    )
    raw = mean_of_known(reliability.pearson(means[a], means[b]) for a, b in pairs)
    figures = replace(figures, sentences=tuple(_reasons(figures, raw)))
    if targets and figures.verdict != AuditVerdict.NO_ANSWER:
        figures = with_personas(figures, ask, asked, response, targets, persona)
    return concluded(figures)


def within_scales(
    instrument: Instrument, means: Float[np.ndarray, "formats items"]
) -> Float[np.ndarray, "formats items"]:
    """Compute item means less the mean of all items on the same scale; NaN for an item that is alone on its scale."""
    scales = np.array([item.scale for item in instrument.items])
    out = np.full_like(means, np.nan)
    for scale in dict.fromkeys(scales):
        those = np.flatnonzero(scales == scale)
        if len(those) > 1:
            out[:, those] = means[:, those] - means[:, those].mean(axis=1, keepdims=True)
    return out


def _wording(
    form: Format,
    place: int,
    means: Float[np.ndarray, "formats items"],
    within: Float[np.ndarray, "formats items"],
    agreement: dict[tuple[int, int], float],
) -> PresentationAudit:
    r = mean_of_known(value for pair, value in agreement.items() if place in pair)
    known = within[place][~np.isnan(within[place])]
    spread, missing = float(known.std()) if len(known) else math.nan, float(np.isnan(means[place]).mean())
    return PresentationAudit(
        name=f"wording {form.variant}/{form.language}",
        mass=math.nan,
        missing=missing,
        order_correlation=math.nan,
        spread=spread,
        balanced_spread=spread,
        shift=math.nan,
        position_share=math.nan,
        verdict=_verdict(missing, spread, r),
        wording_correlation=r,
    )


def _verdict(missing: float, spread: float, r: float) -> AuditVerdict:
    if missing > MISSING_HIGH:
        return AuditVerdict.NO_ANSWER
    if spread < FLAT_SPREAD:
        return AuditVerdict.FLAT
    if math.isnan(r):
        return AuditVerdict.ONE_WORDING
    return AuditVerdict.READS if r >= CLEAR else AuditVerdict.WEAK if r > 0 else AuditVerdict.WORDING


def _reasons(figures: Audit, raw: float) -> list[str]:
    """``raw``: the agreement over all items, scales included."""
    n = len(figures.presentations)
    sentences = [
        f"Answers are the likelihoods of the options' own words, in {n} wording{'s' if n > 1 else ''}. Labels, layout "
        "and option order play no part in them, and nothing here says whether the model reads labelled options."
    ]
    if figures.missing:
        sentences.append(f"{figures.missing:.0%} of the answers are no numbers.")
    if figures.verdict == AuditVerdict.NO_ANSWER:
        return sentences
    sentences.append(
        f"Item means differ by {figures.spread:.1%} of the scale from others on their scale (standard deviation)."
    )
    if math.isnan(figures.wording_correlation):
        return sentences
    low, high = figures.wording_interval
    sentences.append(
        f"Between wordings, item means correlate at {figures.wording_correlation:+.2f} within their scales (95 % "
        f"interval {low:+.2f} to {high:+.2f}): +1 is the same answer however it is said. Over all items it is "
        f"{raw:+.2f}, part of which is the scale that an item stands on."
    )
    if figures.verdict == AuditVerdict.READS and low < 0:
        sentences.append("The interval includes zero: with other items the verdict might be another.")
    return sentences
