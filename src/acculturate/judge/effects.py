"""What a prompt does beyond a rival: points nearer to the target, their interval, and a permutation test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acculturate.files.record import or_nan
from acculturate.judge.bootstrap import mean_interval
from acculturate.judge.permutation import permutation_p
from acculturate.judge.records import EffectRecord, Row, RowId
from acculturate.judge.table import item_means_on
from acculturate.survey.formats import Role
from acculturate.survey.scoring import Scoring

LIKELY = 0.05
"""Share of random swaps up to which a difference counts as more than chance."""


def effect_of(tuned: Row, rival: Row, role: Role, scoring: Scoring) -> EffectRecord:
    """Compare a prompt with a rival on the formats of one role."""
    ours, theirs = item_means_on(tuned, role), item_means_on(rival, role)
    gains = scoring.distances(scoring.scores(theirs)) - scoring.distances(scoring.scores(ours))
    return EffectRecord(
        rival=rival.id,
        role=role,
        nearer=float(gains.mean()),
        interval=mean_interval(gains),
        p=permutation_p(ours, theirs, scoring),
    )


def effect_sentences(effects: Sequence[EffectRecord], rows: Mapping[str, Row]) -> list[str]:
    """Say what the prompt does on unseen formats beyond the untuned model, and beyond the best text."""
    sentences = []
    for effect in effects:
        if effect.role is not Role.HELDOUT or effect.nearer is None:
            continue
        than = "the untuned model" if effect.rival == RowId.UNTUNED else f"the {rows[effect.rival].label.lower()}"
        sure = ""
        if effect.interval is not None:
            low, high = map(or_nan, effect.interval)
            sure = f" (95 % interval over formats {low:+.1f} to {high:+.1f})"
        swaps = "" if effect.p is None else f"; random swaps of their answers do as much in {_cases(effect.p)}"
        side = "nearer to the target than" if effect.nearer >= 0 else "farther from the target than"
        sentences.append(f"On unseen formats the prompt is {abs(effect.nearer):.1f} points {side} {than}{sure}{swaps}.")
    return sentences


def _cases(p: float) -> str:
    """Write a share as so many of 1,000 cases."""
    return "less than 1 of 1,000 cases" if 1000 * p < 1 else f"{1000 * p:.0f} of 1,000 cases"


def by_chance(effects: Sequence[EffectRecord], rival: RowId) -> bool:
    """Tell whether the difference from a rival on unseen formats is within what random swaps give."""
    for effect in effects:
        if effect.rival == rival and effect.role is Role.HELDOUT:
            return not or_nan(effect.p) <= LIKELY
    return False
