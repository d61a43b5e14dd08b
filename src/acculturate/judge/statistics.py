"""Scores of a response, and how correlations and shares are written."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from acculturate.survey.instrument import Instrument
from acculturate.survey.reliability import item_means
from acculturate.survey.response import Response
from acculturate.survey.scoring import dimension_scores


def scores_of(instrument: Instrument, response: Response) -> Float[np.ndarray, "dims"]:
    """Compute the scores of the answers averaged over all formats (C = 50), in points."""
    means = item_means(instrument, response).mean(axis=0)
    return dimension_scores(means, instrument.weights(), instrument.constants())


def named_scores(instrument: Instrument, response: Response) -> dict[str, float]:
    """Name the scores of ``scores_of`` by their dimensions."""
    return dict(zip(instrument.dimension_ids, scores_of(instrument, response).tolist(), strict=True))


def signed(r: float) -> str:
    """Write a correlation with its sign: ``+0.52``; ``none`` for NaN."""
    return "none" if math.isnan(r) else f"{r:+.2f}"


def share_in_words(value: float) -> str:
    """Write a share, 0 to 1, in percent: ``52%``; ``none`` for NaN."""
    return "none" if math.isnan(value) else f"{value:.0%}"
