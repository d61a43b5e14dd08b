"""What a respondent's answers are worth before anything is tuned on them.

A questionnaire is put in several presentations, each in both option orders. From the answers alone one can
tell whether the respondent answers at all, says the same to everything, picks places, or reads the options;
with personas, whether naming a country moves its scores and moves them as the published ones differ. The
verdict is one of six plain phrases, per presentation and over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from jaxtyping import Float

from acculturate.files.run_directory import plain
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
from acculturate.model.respondent import Context, Interview, Respondent
from acculturate.survey import reliability
from acculturate.survey.formats import LABELS, Format, Questionnaire, parse_format, questionnaire
from acculturate.survey.instruments import Instrument
from acculturate.survey.reliability import mean_of_known, shares_of_scale
from acculturate.survey.scoring import Response
from acculturate.survey.targets import Target, load_target_set

NO_ANSWER = "does not answer"
FLAT = "gives flat answers"
POSITION = "answers by position"
READS = "reads the options"
WEAK = "mixed: weakly reads the options"
UNCLEAR = "mixed: content and position cannot be told apart"
WORDING = "answers by wording"
ONE_WORDING = "cannot be told from one wording"

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
    """One presentation, both orders. ``spread``, ``shift``: shares of the scale; ``balanced_spread``: what is
    scored.
    """

    name: str
    mass: float
    missing: float
    order_correlation: float
    spread: float
    balanced_spread: float
    shift: float
    position_share: float
    verdict: str
    wording_correlation: float = math.nan


@dataclass(frozen=True)
class Audit:
    """The verdict, its reasons in sentences, and every figure behind them.

    ``order_correlation``: mean over presentations, with a 95 % bootstrap interval over items.
    ``correlations``: mean correlation of order-balanced item means between presentations that differ in the
    named factor only. ``consistency``: alpha of item means over presentations (reliability.cronbach_alpha).
    ``usable``: presentations in which the options are read. ``noise``: tuning would fit noise; ``warning``
    says so in a sentence. ``answers``: how they were read (runs.score.ANSWERS); what cannot judge that way is NaN: mass
    and order where options are scored by their words, ``wording_correlation`` where they are labelled.
    """

    verdict: str
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
        """Mean of the correlations between labels, layouts, wordings and languages, as far as they were
        compared.
        """
        known = [r for r in self.correlations.values() if not math.isnan(r)]
        return float(np.mean(known)) if known else math.nan

    @property
    def usable(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.presentations if p.verdict == READS)

    @property
    def noise(self) -> bool:
        return self.verdict in (NO_ANSWER, FLAT, POSITION, UNCLEAR, WORDING) and not self.usable

    @property
    def warning(self) -> str | None:
        """A sentence for whoever is about to tune, or None where the answers are worth tuning."""
        return _warning(self)

    def to_json(self) -> dict[str, object]:
        """Plain JSON (NaN as null) for ``result.json``, the report and programs."""
        figures = asdict(self) | {
            "format_correlation": self.format_correlation,
            "persona_sensitivity": None if self.persona is None else self.persona.sensitivity,
            "usable": self.usable,
            "noise": self.noise,
            "warning": self.warning,
            "thresholds": {
                "mass_low": MASS_LOW,
                "mass_modest": MASS_MODEST,
                "missing_high": MISSING_HIGH,
                "flat_spread": FLAT_SPREAD,
                "near_flat": NEAR_FLAT,
                "flat_shift": FLAT_SHIFT,
                "clear": CLEAR,
                "persona_small": PERSONA_SMALL,
                "persona_p": PERSONA_P,
            },
        }
        return plain(figures)


def asking(respondent: Respondent) -> Ask:
    """A loaded model as something to audit."""
    return lambda asked, context: Interview(respondent, asked, context=context).ask()


def default_targets(instrument: Instrument) -> tuple[Target, ...]:
    """Countries for the persona test: none where no published scores for this instrument are built in."""
    found = load_target_set("hofstede-2015")
    if found.instrument != instrument.id:
        return ()
    return tuple(found.find(country) for country in PERSONA_COUNTRIES)


def default_formats(instrument: Instrument, *, short: bool = False, language: str = "en") -> tuple[Format, ...]:
    """Letters and digits in two layouts, and unless ``short`` in two wordings (as far as there are two).

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
    means = shares_of_scale(instrument, response)
    rows = tuple(_presentation(asked, response, means, view) for view in asked.views)
    orders = reliability.order_agreement(means, asked.formats)
    pairs = [(means[a], means[b]) for a, b in asked.views]
    _, table = reliability.balanced_means(means, asked.formats)
    figures = Audit(
        verdict="",
        sentences=(),
        mass=mean_of_known(response.mass.ravel()),
        missing=float(np.isnan(means).mean()),
        spread=mean_of_known(row.spread for row in rows),
        position_share=mean_of_known(row.position_share for row in rows),
        order_correlation=orders.mean,
        order_interval=bootstrap.correlation_interval(pairs),
        correlations={name: found.mean for name, found in reliability.factor_agreements(means, asked.formats).items()},
        consistency=reliability.cronbach_alpha(table.T),
        presentations=rows,
        short=short,
        scores=named_scores(instrument, response),
        answers=answers,
    )
    shift = mean_of_known(row.shift for row in rows)
    verdict = _verdict(figures.mass, figures.missing, figures.spread, shift, figures.order_correlation)
    figures = replace(figures, verdict=verdict)
    figures = replace(figures, sentences=tuple(_reasons(figures)))
    if targets is None:
        targets = () if short else default_targets(instrument)
    if targets and verdict != NO_ANSWER:
        figures = with_personas(figures, ask, asked, response, targets, persona)
    return concluded(figures)


def with_personas(
    found: Audit,
    ask: Ask,
    asked: Questionnaire,
    response: Response,
    targets: Sequence[Target],
    persona: Callable[[str], Context],
) -> Audit:
    """The audit with the persona test, or with a sentence why there is none."""
    rows = found.presentations
    agreement = [r.order_correlation if math.isnan(r.wording_correlation) else r.wording_correlation for r in rows]
    tested = persona_test(ask, asked, response, agreement, targets, persona)
    if isinstance(tested, str):
        return replace(found, sentences=(*found.sentences, tested))
    return replace(found, sentences=(*found.sentences, tested.sentence), persona=tested)


def concluded(found: Audit) -> Audit:
    """The audit with its warning as the last sentence, where there is one."""
    return replace(found, sentences=(*found.sentences, *([found.warning] if found.warning else ())))


def short_audit(respondent: Respondent, instrument: Instrument) -> Audit:
    """What every run begins with: few presentations, no personas."""
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


def _verdict(mass: float, missing: float, spread: float, shift: float, r: float) -> str:
    if spread < SAME and shift < SAME:
        return FLAT  # whatever else a model would say, this is what its scores are made of
    if mass < MASS_LOW or missing > MISSING_HIGH:
        return NO_ANSWER
    if spread < FLAT_SPREAD:
        return POSITION if shift >= FLAT_SHIFT else FLAT
    if r <= -CLEAR:
        return POSITION
    if r >= CLEAR:
        return READS
    return WEAK if r > 0 else UNCLEAR


def _reasons(found: Audit) -> list[str]:
    n = len(found.presentations)
    if found.missing == 1.0:
        none = "No reply could be read" if found.answers == "sampled" else "No answer is a number"
        return [f"{none}, in {n} ways of asking: there is nothing to be scored."]
    missing = f", and {found.missing:.0%} of the answers are missing" if found.missing else ""
    share = (
        f"{share_in_words(found.mass)} of the replies could be read"
        if found.answers == "sampled"
        else f"The options hold {share_in_words(found.mass)} of the probability of the next token"
    )
    sentences = [f"{share}{missing}, in {n} ways of asking."]
    if found.verdict == NO_ANSWER:
        return [*sentences, "Scores of what little is left say nothing about the model's values."]
    if found.mass < MASS_MODEST and found.answers != "sampled":
        sentences.append("In generated text it would often say something other than an answer.")
    if found.spread < SAME:
        return [*sentences, "Every item gets the same answer, whatever is asked: its scores are exactly the constant."]
    low, high = found.order_interval
    if math.isnan(found.order_correlation):
        sentences.append(
            f"Item means hardly differ from each other (spread {found.spread:.1%} of the scale), so no "
            "correlation between the option orders exists; position makes up "
            f"{share_in_words(found.position_share)} of what moves the answers."
        )
    else:
        sentences.append(
            "Item means with the options ascending and descending correlate at "
            f"{found.order_correlation:+.2f} (95 % interval {low:+.2f} to {high:+.2f}): +1 is an answer to "
            f"the content, -1 an answer by place; position makes up {share_in_words(found.position_share)} of what "
            "moves the answers."
        )
    if found.verdict == READS and low < 0:
        sentences.append("The interval includes zero: with other items the verdict might be another.")
    balanced = mean_of_known(p.balanced_spread for p in found.presentations)
    if found.verdict != FLAT and balanced < NEAR_FLAT:
        sentences.append(
            f"Once both orders are averaged its answers are nearly flat (spread {balanced:.1%} of the scale): its "
            "scores stay within a few points of the constant."
        )
    for verdict in (READS, WEAK, UNCLEAR, POSITION, FLAT, NO_ANSWER):
        names = [p for p in found.presentations if p.verdict == verdict]
        if names and len(names) < n:
            listed = ", ".join(f"{p.name} ({signed(p.order_correlation)})" for p in names)
            sentences.append(f"{verdict[0].upper()}{verdict[1:]} in: {listed}.")
    return [*sentences, *_format_reasons(found)]


def _format_reasons(found: Audit) -> list[str]:
    sentences: list[str] = []
    compared = {name: r for name, r in found.correlations.items() if not math.isnan(r)}
    if compared:
        words = {"labels": "labels", "layout": "layouts", "variant": "wordings", "language": "languages"}
        listed = ", ".join(f"{words[name]} {r:+.2f}" for name, r in compared.items())
        sentences.append(f"After averaging both orders, item means correlate between {listed}.")
        if found.verdict == READS and min(compared.values()) < CLEAR:
            worst = min(compared, key=lambda name: compared[name])
            sentences.append(
                f"Its answers depend on the {words[worst]}: what holds in one of them need not hold in another."
            )
    return sentences


def _warning(found: Audit) -> str | None:
    if found.verdict == READS:
        return None
    if found.verdict == ONE_WORDING:
        return "With one wording nothing tells these answers from that wording's own; ask in two or more."
    if found.usable:
        return (
            f"Over all formats this model {_phrase(found.verdict)}; tune and judge it only in formats it "
            f"reads: {', '.join(found.usable)}."
        )
    if found.verdict == WEAK:
        return (
            "In no single format does this model clearly read the options; expect what is tuned to carry over poorly."
        )
    return f"This model {_phrase(found.verdict)}: tuning it on this survey would only tune noise."


def _phrase(verdict: str) -> str:
    return "mixes content and position" if verdict in (UNCLEAR, WEAK) else verdict


def named_scores(instrument: Instrument, response: Response) -> dict[str, float]:
    """Scores by dimension, averaged over all formats asked (C = 50), in points."""
    return dict(zip(instrument.dimension_ids, scores_of(instrument, response).tolist(), strict=True))
