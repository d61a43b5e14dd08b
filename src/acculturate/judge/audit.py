"""What a respondent's answers are worth before anything is tuned on them.

A questionnaire is put in several presentations, each in both option orders. From the answers alone one can
tell whether the respondent answers at all, says the same to everything, picks places, or reads the options;
with personas, whether naming a country moves its scores and moves them as the published ones differ. The
verdict is one of six plain phrases, per presentation and over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.judge import bootstrap
from acculturate.judge.persona_audit import (
    PERSONA_P,
    PERSONA_SMALL,
    Ask,
    PersonaAudit,
    persona_context,
    persona_test,
    scores_of,
    share_in_words,
    signed,
)
from acculturate.judge.records import AuditRecord, AuditVerdict
from acculturate.model.respondent import Context, Interview, Respondent
from acculturate.survey import reliability
from acculturate.survey.formats import LABELS, Format, parse_format
from acculturate.survey.instruments import Instrument
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.scoring import Response
from acculturate.survey.targets import Target, load_target_set

MASS_LOW = 0.1
"""Mean answer mass below this: nine tenths of the model's reply is something other than an answer. Small chat
models that do answer hold 0.15 to 0.5 (they begin a sentence instead), so a higher bar would call their
answers none."""
MASS_MODEST = 0.5
"""Under this the likeliest reply may well be no answer, which the verdict's reasons say."""
MISSING_HIGH = 0.5
"""Share of missing answers above this: most of what would be scored is not there."""
FLAT_SPREAD = 0.01
"""Standard deviation of item means, as share of the scale, under which answers are flat: 0.04 on a scale of 1
to 5, which lets a VSM dimension vary by 2 to 3 points, about what reduced precision alone does."""
SAME = 1e-6
"""The same under which answers are one answer to the last digits, as those of constant logits are."""
NEAR_FLAT = 0.025
"""The same after averaging both orders, under which the reasons say that scores stay near the constant: a VSM
dimension then varies by about 6 points, under a third of how much countries differ (about 20)."""
FLAT_SHIFT = 0.05
"""Mean difference between the orders, as share of the scale, from which flat answers are picks of one place:
five times what FLAT_SPREAD calls nothing."""
CLEAR = 0.3
"""Order correlation that counts as clear, on either side. Among 24 unrelated items one pair of orders reaches
it by chance once in 13 times; the mean over several presentations far more rarely."""

FULL = tuple(
    f"{labels}/{layout}/{variant}"
    for variant in (0, 1)
    for labels in ("letters", "digits")
    for layout in ("options-first", "question-first")
)
SHORT = FULL[:4]

# Six countries with all six scores that lie far apart; six allow an exact test (720 relabellings).
PERSONA_COUNTRIES = ("United States", "China", "Japan", "Russia", "Mexico", "Sweden")


@dataclass(frozen=True)
class PresentationAudit:
    """Hold the figures of one presentation in both orders.

    ``spread``, ``shift``: shares of the scale; ``balanced_spread``: what is scored.
    """

    name: str
    mass: float
    missing: float
    order_correlation: float
    spread: float
    balanced_spread: float
    shift: float
    position_share: float
    verdict: AuditVerdict
    wording_correlation: float = math.nan


@dataclass(frozen=True)
class Audit:
    """Hold the verdict, its reasons in sentences, and every figure behind them.

    ``order_correlation``: mean over presentations, with a 95 % bootstrap interval over items.
    ``correlations``: mean correlation of order-balanced item means between presentations that differ in the
    named factor only. ``consistency``: alpha of item means over presentations (reliability.cronbach_alpha).
    ``usable``: presentations in which the options are read. ``noise``: tuning would fit noise; ``warning``
    says so in a sentence. ``answers``: how they were read (runs.score.ANSWERS); what cannot judge that way is NaN: mass
    and order where options are scored by their words, ``wording_correlation`` where they are labelled.
    """

    verdict: AuditVerdict
    sentences: tuple[str, ...]
    mass: float
    missing: float
    spread: float
    position_share: float
    order_correlation: float
    order_interval: tuple[float, float]
    correlations: dict[str, float]
    consistency: float
    presentations: tuple[PresentationAudit, ...]
    persona: PersonaAudit | None = None
    short: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    answers: str = "probabilities"
    wording_correlation: float = math.nan
    wording_interval: tuple[float, float] = (math.nan, math.nan)

    @property
    def format_correlation(self) -> float:
        """The mean correlation between labels, layouts, wordings and languages, as far as they were compared."""
        compared = [r for r in self.correlations.values() if not math.isnan(r)]
        return float(np.mean(compared)) if compared else math.nan

    @property
    def persona_sensitivity(self) -> float | None:
        """The same as ``PersonaAudit.sensitivity``; None where no personas were tested."""
        return None if self.persona is None else self.persona.sensitivity

    @property
    def usable(self) -> tuple[str, ...]:
        """The presentations in which the options are read."""
        return tuple(p.name for p in self.presentations if p.verdict == AuditVerdict.READS)

    @property
    def noise(self) -> bool:
        """Whether tuning would fit noise."""
        return (
            self.verdict
            in (
                AuditVerdict.NO_ANSWER,
                AuditVerdict.FLAT,
                AuditVerdict.POSITION,
                AuditVerdict.UNCLEAR,
                AuditVerdict.WORDING,
            )
            and not self.usable
        )

    @property
    def warning(self) -> str | None:
        """A sentence for whoever is about to tune, or None where the answers are worth tuning."""
        return _warning(self)

    @property
    def thresholds(self) -> dict[str, float]:
        """The bounds that the verdict rests on, by their names here."""
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
        """Every figure for result.json, NaN as None."""
        return AuditRecord.model_validate(self, from_attributes=True)

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return self.record.to_json()


def asking(respondent: Respondent) -> Ask:
    """Make a loaded model something to audit."""
    return lambda asked, context: Interview(respondent, asked, context=context).ask()


def default_targets(instrument: Instrument) -> tuple[Target, ...]:
    """Choose countries for the persona test: none where no published scores for this instrument are built in."""
    published = load_target_set("hofstede-2015")
    if published.instrument != instrument.id:
        return ()
    return tuple(published.find(country) for country in PERSONA_COUNTRIES)


def default_formats(instrument: Instrument, *, short: bool = False, language: str = "en") -> tuple[Format, ...]:
    """Choose letters and digits in two layouts, and unless ``short`` in two wordings (as far as there are two).

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
    persona: Callable[[str], Context] = persona_context,
    short: bool = False,
    answers: str = "probabilities",
) -> Audit:
    """Put the questionnaire to ``ask`` in every presentation and order, and say what its answers are worth.

    ``answers``: what ``ask`` reads, "probabilities" of labels or "sampled" text (cloze_audit judges option texts).
    ``formats``: presentations to ask (``default_formats``). ``targets``: countries for the persona test
    (``default_targets``; an empty sequence leaves it out); they are asked in the two presentations that order
    changes least. ``short``: few presentations and no personas, for use before a search.
    """
    forms = tuple(default_formats(instrument, short=short) if formats is None else formats)
    asked = questionnaire(instrument, forms)
    response = ask(asked, Context())
    figures = _figures(instrument, asked, response, answers, short)
    figures = replace(figures, sentences=tuple(_reasons(figures)))
    if targets is None:
        targets = () if short else default_targets(instrument)
    if targets and figures.verdict != AuditVerdict.NO_ANSWER:
        figures = with_personas(figures, ask, asked, response, targets, persona)
    return concluded(figures)


def _figures(instrument: Instrument, asked: Questionnaire, response: Response, answers: str, short: bool) -> Audit:
    """Work out every figure and the verdict, without words."""
    means = shares_of_scale(instrument, response)
    rows = tuple(_presentation(asked, response, means, view) for view in asked.views)
    orders = reliability.order_agreement(means, asked.formats)
    pairs = [(means[a], means[b]) for a, b in asked.views]
    _, table = reliability.balanced_means(means, asked.formats)
    mass, missing = mean_of_known(response.mass.ravel()), float(np.isnan(means).mean())
    spread, shift = mean_of_known(row.spread for row in rows), mean_of_known(row.shift for row in rows)
    agreements = reliability.factor_agreements(means, asked.formats)
    return Audit(
        verdict=_verdict(mass, missing, spread, shift, orders.mean),
        sentences=(),
        mass=mass,
        missing=missing,
        spread=spread,
        position_share=mean_of_known(row.position_share for row in rows),
        order_correlation=orders.mean,
        order_interval=bootstrap.correlation_interval(pairs),
        correlations={name: agreement.mean for name, agreement in agreements.items()},
        consistency=reliability.cronbach_alpha(table.T),
        presentations=rows,
        short=short,
        scores=named_scores(instrument, response),
        answers=answers,
    )


def with_personas(
    figures: Audit,
    ask: Ask,
    asked: Questionnaire,
    response: Response,
    targets: Sequence[Target],
    persona: Callable[[str], Context],
) -> Audit:
    """Add the persona test to an audit, or a sentence why there is none."""
    rows = figures.presentations
    agreement = [r.order_correlation if math.isnan(r.wording_correlation) else r.wording_correlation for r in rows]
    tested = persona_test(ask, asked, response, agreement, targets, persona)
    if isinstance(tested, str):
        return replace(figures, sentences=(*figures.sentences, tested))
    return replace(figures, sentences=(*figures.sentences, tested.sentence), persona=tested)


def concluded(figures: Audit) -> Audit:
    """Add an audit's warning as its last sentence, where there is one."""
    return replace(figures, sentences=(*figures.sentences, *([figures.warning] if figures.warning else ())))


def short_audit(respondent: Respondent, instrument: Instrument) -> Audit:
    """Audit a model as every run does first: few presentations, no personas."""
    return audit(asking(respondent), instrument, targets=(), short=True)


def _presentation(
    asked: Questionnaire, response: Response, means: Float[np.ndarray, "formats items"], view: tuple[int, ...]
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
        name=asked.formats[view[0]].presentation,
        mass=mass,
        missing=missing,
        order_correlation=r,
        spread=spread,
        balanced_spread=float(((up + down) / 2).std()) if some else math.nan,
        shift=shift,
        position_share=reliability.position_share(up, down) if some else math.nan,
        verdict=_verdict(mass, missing, spread, shift, r),
    )


def _verdict(mass: float, missing: float, spread: float, shift: float, r: float) -> AuditVerdict:
    if spread < SAME and shift < SAME:
        return AuditVerdict.FLAT  # whatever else a model would say, this is what its scores are made of
    if mass < MASS_LOW or missing > MISSING_HIGH:
        return AuditVerdict.NO_ANSWER
    if spread < FLAT_SPREAD:
        return AuditVerdict.POSITION if shift >= FLAT_SHIFT else AuditVerdict.FLAT
    if r <= -CLEAR:
        return AuditVerdict.POSITION
    if r >= CLEAR:
        return AuditVerdict.READS
    return AuditVerdict.WEAK if r > 0 else AuditVerdict.UNCLEAR


def _reasons(figures: Audit) -> list[str]:
    n = len(figures.presentations)
    if figures.missing == 1.0:
        none = "No reply could be read" if figures.answers == "sampled" else "No answer is a number"
        return [f"{none}, in {n} ways of asking: there is nothing to be scored."]
    missing = f", and {figures.missing:.0%} of the answers are missing" if figures.missing else ""
    share = (
        f"{share_in_words(figures.mass)} of the replies could be read"
        if figures.answers == "sampled"
        else f"The options hold {share_in_words(figures.mass)} of the probability of the next token"
    )
    sentences = [f"{share}{missing}, in {n} ways of asking."]
    if figures.verdict == AuditVerdict.NO_ANSWER:
        return [*sentences, "Scores of what little is left say nothing about the model's values."]
    if figures.mass < MASS_MODEST and figures.answers != "sampled":
        sentences.append("In generated text it would often say something other than an answer.")
    if figures.spread < SAME:
        return [*sentences, "Every item gets the same answer, whatever is asked: its scores are exactly the constant."]
    low, high = figures.order_interval
    if math.isnan(figures.order_correlation):
        sentences.append(
            f"Item means hardly differ from each other (spread {figures.spread:.1%} of the scale), so no "
            "correlation between the option orders exists; position makes up "
            f"{share_in_words(figures.position_share)} of what moves the answers."
        )
    else:
        sentences.append(
            "Item means with the options ascending and descending correlate at "
            f"{figures.order_correlation:+.2f} (95 % interval {low:+.2f} to {high:+.2f}): +1 is an answer to "
            f"the content, -1 an answer by place; position makes up {share_in_words(figures.position_share)} of what "
            "moves the answers."
        )
    if figures.verdict == AuditVerdict.READS and low < 0:
        sentences.append("The interval includes zero: with other items the verdict might be another.")
    balanced = mean_of_known(p.balanced_spread for p in figures.presentations)
    if figures.verdict != AuditVerdict.FLAT and balanced < NEAR_FLAT:
        sentences.append(
            f"Once both orders are averaged its answers are nearly flat (spread {balanced:.1%} of the scale): its "
            "scores stay within a few points of the constant."
        )
    for verdict in (
        AuditVerdict.READS,
        AuditVerdict.WEAK,
        AuditVerdict.UNCLEAR,
        AuditVerdict.POSITION,
        AuditVerdict.FLAT,
        AuditVerdict.NO_ANSWER,
    ):
        names = [p for p in figures.presentations if p.verdict == verdict]
        if names and len(names) < n:
            listed = ", ".join(f"{p.name} ({signed(p.order_correlation)})" for p in names)
            sentences.append(f"{verdict[0].upper()}{verdict[1:]} in: {listed}.")
    return [*sentences, *_format_reasons(figures)]


def _format_reasons(figures: Audit) -> list[str]:
    sentences: list[str] = []
    compared = {name: r for name, r in figures.correlations.items() if not math.isnan(r)}
    if compared:
        words = {"labels": "labels", "layout": "layouts", "variant": "wordings", "language": "languages"}
        listed = ", ".join(f"{words[name]} {r:+.2f}" for name, r in compared.items())
        sentences.append(f"After averaging both orders, item means correlate between {listed}.")
        if figures.verdict == AuditVerdict.READS and min(compared.values()) < CLEAR:
            worst = min(compared, key=lambda name: compared[name])
            sentences.append(
                f"Its answers depend on the {words[worst]}: what holds in one of them need not hold in another."
            )
    return sentences


def _warning(figures: Audit) -> str | None:
    if figures.verdict == AuditVerdict.READS:
        return None
    if figures.verdict == AuditVerdict.ONE_WORDING:
        return "With one wording nothing tells these answers from that wording's own; ask in two or more."
    if figures.usable:
        return (
            f"Over all formats this model {_phrase(figures.verdict)}; tune and judge it only in formats it "
            f"reads: {', '.join(figures.usable)}."
        )
    if figures.verdict == AuditVerdict.WEAK:
        return (
            "In no single format does this model clearly read the options; expect what is tuned to carry over poorly."
        )
    return f"This model {_phrase(figures.verdict)}: tuning it on this survey would only tune noise."


def _phrase(verdict: AuditVerdict) -> str:
    return "mixes content and position" if verdict in (AuditVerdict.UNCLEAR, AuditVerdict.WEAK) else verdict


def named_scores(instrument: Instrument, response: Response) -> dict[str, float]:
    """Compute scores by dimension, averaged over all formats asked (C = 50), in points."""
    return dict(zip(instrument.dimension_ids, scores_of(instrument, response).tolist(), strict=True))
