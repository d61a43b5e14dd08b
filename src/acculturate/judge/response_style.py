"""Response style: how much of what a prompt changes is alike on all items of a scale, whatever they ask.

A prompt that has a model take the strongest option of every question keeps its effect in new wordings, and a formula
that sets items of different scales against each other turns that into scores. It is no stand on what an item asks.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from acculturate.files.record import or_nan
from acculturate.judge.records import Row, StyleRecord
from acculturate.judge.table import item_means_on
from acculturate.judge.verdict import MATERIAL
from acculturate.judge.wording_agreement import within_scales
from acculturate.survey.formats import Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.scoring import Scoring

UNJUDGED = " Half of the items or more are alone on their scale, so the verdict does not judge by this."


def by_scale(instrument: Instrument, shifts: Float[np.ndarray, "views items"]) -> Float[np.ndarray, "views items"]:
    """Replace every item's shift by the mean shift of the items on its scale, in each view."""
    # An item alone on its scale has nothing to be compared with: all of its shift is its scale's.
    return shifts - np.nan_to_num(within_scales(instrument, shifts))


def style_of(
    instrument: Instrument, scoring: Scoring, untuned: Row, tuned: Row, role: Role = Role.HELDOUT
) -> StyleRecord | None:
    """Divide the gain on the formats of a role into what items on a scale have in common and what they have not.

    An item that is alone on its scale counts as style: nothing tells the two apart there. Where half of the items or
    more are, the gain is divided and not judged. None where the role has no formats or an answer is missing.
    """
    if untuned.on(role) is None or tuned.on(role) is None:
        return None
    before, after = (item_means_on(row, role) for row in (untuned, tuned))
    common = by_scale(instrument, after - before)

    def gain(shifts: Float[np.ndarray, "views items"]) -> float:
        distances = (scoring.distances(scoring.scores(means)) for means in (before, before + shifts))
        return -float(np.diff([one.mean() for one in distances])[0])

    whole, shared, within = gain(after - before), gain(common), gain(after - before - common)
    if not all(map(math.isfinite, (whole, shared, within))):
        return None
    least = MATERIAL * float(scoring.distances(scoring.scores(before)).mean())
    judged = _mostly_compared(instrument)
    style = judged and whole >= least > within
    return StyleRecord(gain=whole, shared=shared, within=within, style=style, judged=judged)


def _mostly_compared(instrument: Instrument) -> bool:
    """Tell whether most items have another one on their scale to be compared with."""
    return bool((np.diag(instrument.scale_averages()) < 1).mean() > 1 / 2)


def style_sentences(record: StyleRecord | None, untuned: Row) -> list[str]:
    """Say how much of a material gain on unseen formats is a way of answering."""
    if record is None or untuned.heldout is None or record.gain < MATERIAL * or_nan(untuned.heldout.loss):
        return []
    said = (
        f"On unseen formats the prompt is {record.gain:.1f} points nearer to the target than the untuned model. Shifts "
        f"that all items of a scale share, a way of answering, give {record.shared:z.1f} by themselves; what items do "
        f"beside that gives {record.within:z.1f}."
    )
    return [said if record.judged else said + UNJUDGED]
