"""Response style: how much of what a prompt changes is alike on all items of a scale, whatever they ask.

A prompt that has a model take the strongest option of every question keeps its effect in new wordings, and a formula
that sets items of different scales against each other turns that into scores. It is no stand on what an item asks.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from acculturate.judge.records import Row
from acculturate.judge.table import item_means_on
from acculturate.judge.verdict import MATERIAL
from acculturate.survey.formats import Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.scoring import Scoring


def by_scale(instrument: Instrument, shifts: Float[np.ndarray, "views items"]) -> Float[np.ndarray, "views items"]:
    """Replace every item's shift by the mean shift of the items on its scale, in each view."""
    # An item alone on its scale has nothing to be compared with: all of its shift is its scale's.
    return shifts @ instrument.scale_averages()


def style_sentences(instrument: Instrument, scoring: Scoring, untuned: Row, tuned: Row) -> list[str]:
    """Say how much of the gain on unseen formats is left without what items on a scale have in common.

    An item that is alone on its scale counts as style: nothing tells the two apart there. Empty where nothing was held
    out, an answer is missing or the gain is not material.
    """
    if untuned.heldout is None or tuned.heldout is None:
        return []
    before, after = (item_means_on(row, Role.HELDOUT) for row in (untuned, tuned))
    style = by_scale(instrument, after - before)

    def distance(means: Float[np.ndarray, "views items"]) -> float:
        return float(scoring.distances(scoring.scores(means)).mean())

    gain = distance(before) - distance(after)
    if not gain >= MATERIAL * distance(before):
        return []
    alone, within = (distance(before) - distance(before + part) for part in (style, after - before - style))
    return [
        f"On unseen formats the prompt is {gain:.1f} points nearer to the target than the untuned model. Shifts that "
        f"all items of a scale share, a way of answering, give {alone:.1f} by themselves; what items do beside that "
        f"gives {within:.1f}."
    ]
