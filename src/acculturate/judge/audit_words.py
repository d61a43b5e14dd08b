"""The sentences of an audit: what the figures say, and what they warn of."""

from __future__ import annotations

import math

from acculturate.judge.audit_figures import AuditFigures
from acculturate.judge.audit_records import AuditVerdict
from acculturate.judge.audit_verdict import CLEAR, MASS_MODEST, NEAR_FLAT, SAME
from acculturate.judge.statistics import share_in_words, signed
from acculturate.survey.reliability import mean_of_known

UNCERTAIN = "The interval includes zero: with other items the verdict might be another."
_FACTORS = {"labels": "labels", "layout": "layouts", "variant": "wordings", "language": "languages"}


def sentences_on_orders(figures: AuditFigures) -> tuple[str, ...]:
    """Explain the verdict on labelled answers, most important figure first."""
    n = len(figures.presentations)
    if figures.missing == 1.0:
        none = "No reply could be read" if figures.answers == "sampled" else "No answer is a number"
        return (f"{none}, in {n} ways of asking: there is nothing to be scored.",)
    sentences = [_on_mass(figures)]
    if figures.verdict == AuditVerdict.NO_ANSWER:
        return (*sentences, "Scores of what little is left say nothing about the model's values.")
    if figures.mass < MASS_MODEST and figures.answers != "sampled":
        sentences.append("In generated text it would often say something other than an answer.")
    if figures.spread < SAME:
        return (*sentences, "Every item gets the same answer, whatever is asked: its scores are exactly the constant.")
    sentences.append(_on_order_correlation(figures))
    if figures.verdict == AuditVerdict.READS and figures.order_interval[0] < 0:
        sentences.append(UNCERTAIN)
    balanced = mean_of_known(p.balanced_spread for p in figures.presentations)
    if figures.verdict != AuditVerdict.FLAT and balanced < NEAR_FLAT:
        sentences.append(
            f"Once both orders are averaged its answers are nearly flat (spread {balanced:.1%} of the scale): its "
            "scores stay within a few points of the constant."
        )
    return (*sentences, *_on_presentations(figures), *_on_factors(figures), *_on_wordings(figures))


def _on_mass(figures: AuditFigures) -> str:
    share = (
        f"{share_in_words(figures.mass)} of the replies could be read"
        if figures.answers == "sampled"
        else f"The options hold {share_in_words(figures.mass)} of the probability of the next token"
    )
    missing = f", and {figures.missing:.0%} of the answers are missing" if figures.missing else ""
    return f"{share}{missing}, in {len(figures.presentations)} ways of asking."


def _on_order_correlation(figures: AuditFigures) -> str:
    low, high = figures.order_interval
    if math.isnan(figures.order_correlation):
        return (
            f"Item means hardly differ from each other (spread {figures.spread:.1%} of the scale), so no "
            "correlation between the option orders exists; position makes up "
            f"{share_in_words(figures.position_share)} of what moves the answers."
        )
    return (
        "Item means with the options ascending and descending correlate at "
        f"{figures.order_correlation:+.2f} (95 % interval {low:+.2f} to {high:+.2f}): +1 is an answer to "
        f"the content, -1 an answer by place; position makes up {share_in_words(figures.position_share)} of what "
        "moves the answers."
    )


def _on_presentations(figures: AuditFigures) -> list[str]:
    """List presentations by verdict where they do not all have one."""
    sentences = []
    for verdict in (
        AuditVerdict.READS,
        AuditVerdict.WEAK,
        AuditVerdict.UNCLEAR,
        AuditVerdict.POSITION,
        AuditVerdict.FLAT,
        AuditVerdict.NO_ANSWER,
    ):
        rows = [p for p in figures.presentations if p.verdict == verdict]
        if rows and len(rows) < len(figures.presentations):
            listed = ", ".join(f"{p.name} ({signed(p.order_correlation)})" for p in rows)
            sentences.append(f"{verdict[0].upper()}{verdict[1:]} in: {listed}.")
    return sentences


def _on_factors(figures: AuditFigures) -> list[str]:
    """Report the correlations between labels, layouts, wordings and languages."""
    correlations = {name: r for name, r in figures.correlations.items() if not math.isnan(r)}
    if not correlations:
        return []
    listed = ", ".join(f"{_FACTORS[name]} {r:+.2f}" for name, r in correlations.items())
    sentences = [f"After averaging both orders, item means correlate between {listed}."]
    if figures.verdict == AuditVerdict.READS and min(correlations.values()) < CLEAR:
        worst = min(correlations, key=lambda name: correlations[name])
        sentences.append(
            f"Its answers depend on the {_FACTORS[worst]}: what holds in one of them need not hold in another."
        )
    return sentences


def _on_wordings(figures: AuditFigures) -> list[str]:
    """Say how well wordings agree within scales, over all items and on each scale."""
    if math.isnan(figures.wording_correlation):
        return []
    low, high = figures.wording_interval
    sentences = [
        f"Between wordings, item means correlate at {figures.wording_correlation:+.2f} within their scales (95 % "
        f"interval {low:+.2f} to {high:+.2f}): +1 is the same answer however it is said."
    ]
    known = {scale: r for scale, r in figures.by_scale.items() if not math.isnan(r)}
    if known:
        listed = ", ".join(f"{scale} {r:+.2f}" for scale, r in known.items())
        sentences.append(f"Scale by scale the wordings agree at: {listed}.")
    return sentences


def sentences_on_wordings(figures: AuditFigures, overall: float) -> tuple[str, ...]:
    """Explain the verdict on answers by option texts.

    ``overall`` is the mean correlation between wordings over all items, with what their scales add to it.
    """
    n = len(figures.presentations)
    sentences = [
        f"Answers are the likelihoods of the options' own words, in {n} wording{'s' if n > 1 else ''}. Labels, layout "
        "and option order play no part in them, and nothing here says whether the model reads labelled options."
    ]
    if figures.missing:
        sentences.append(f"{figures.missing:.0%} of the answers are no numbers.")
    if figures.verdict == AuditVerdict.NO_ANSWER:
        return tuple(sentences)
    sentences.append(
        f"Item means differ by {figures.spread:.1%} of the scale from others on their scale (standard deviation)."
    )
    if math.isnan(figures.wording_correlation):
        return tuple(sentences)
    sentences += _on_wordings(figures)
    sentences.append(f"Over all items it is {overall:+.2f}, part of which is the scale that an item stands on.")
    if figures.verdict == AuditVerdict.READS and figures.wording_interval[0] < 0:
        sentences.append(UNCERTAIN)
    return tuple(sentences)


def warning_of(figures: AuditFigures) -> str | None:
    """Write the sentence for whoever is about to tune; None where the answers are worth tuning."""
    if figures.verdict == AuditVerdict.READS:
        return None
    if figures.verdict == AuditVerdict.ONE_WORDING:
        return "With one wording nothing tells these answers from that wording's own; ask in two or more."
    mixed = figures.verdict in (AuditVerdict.UNCLEAR, AuditVerdict.WEAK)
    phrase = "mixes content and position" if mixed else str(figures.verdict)
    if figures.usable:
        return (
            f"Over all formats this model {phrase}; tune and judge it only in formats it "
            f"reads: {', '.join(figures.usable)}."
        )
    if figures.verdict == AuditVerdict.WEAK:
        return (
            "In no single format does this model clearly read the options; expect what is tuned to carry over poorly."
        )
    return f"This model {phrase}: tuning it on this survey would only tune noise."
