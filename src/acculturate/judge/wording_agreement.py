"""Agreement between wordings: whether items get the same answers when they are said in other words.

Items on one scale share its options, whose own pull would pass for agreement, so an item is compared with the others on
its scale only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.judge import bootstrap
from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.reliability import balanced_means, differing_factors, mean_of_known, pearson

FEWEST = 3
"""Items that a scale needs for a correlation of its own."""


@dataclass(frozen=True)
class WordingAgreement:
    """Hold mean correlations of item means between wordings, within scales.

    Parameters
    ----------
    overall, interval
        Over all items, and its 95 % bootstrap interval over items; NaN where there is one wording.
    by_scale
        Over the items of every scale that has at least ``FEWEST``.
    by_presentation
        Of each presentation with those that differ from it in wording only; NaN where there are none.
    """

    overall: float
    interval: tuple[float, float]
    by_scale: dict[str, float]
    by_presentation: tuple[float, ...]


def wording_agreement(
    instrument: Instrument, means: Float[np.ndarray, "formats items"], formats: Sequence[Format]
) -> WordingAgreement:
    """Correlate item means, averaged over option orders, between formats that differ in wording only."""
    forms, balanced = balanced_means(means, formats)
    within = within_scales(instrument, balanced)
    places = range(len(forms))
    pairs = [
        (a, b) for a, b in itertools.combinations(places, 2) if differing_factors(forms[a], forms[b]) == ["variant"]
    ]
    by_pair = {(a, b): pearson(within[a], within[b]) for a, b in pairs}
    scales = np.array([item.scale for item in instrument.items])
    by_scale = {}
    for scale in dict.fromkeys(scales.tolist()):
        those = scales == scale
        if those.sum() >= FEWEST and pairs:
            by_scale[scale] = mean_of_known(pearson(balanced[a][those], balanced[b][those]) for a, b in pairs)
    return WordingAgreement(
        overall=mean_of_known(by_pair.values()),
        interval=bootstrap.correlation_interval([(within[a], within[b]) for a, b in pairs]),
        by_scale=by_scale,
        by_presentation=tuple(mean_of_known(_of(by_pair, place)) for place in places),
    )


def _of(by_pair: dict[tuple[int, int], float], place: int) -> Iterable[float]:
    return (r for pair, r in by_pair.items() if place in pair)


def within_scales(
    instrument: Instrument, means: Float[np.ndarray, "formats items"]
) -> Float[np.ndarray, "formats items"]:
    """Subtract from item means the mean of all items on the same scale; NaN for an item that is alone on its scale."""
    scales = np.array([item.scale for item in instrument.items])
    out = np.full_like(means, np.nan)
    for scale in dict.fromkeys(scales):
        those = np.flatnonzero(scales == scale)
        if len(those) > 1:
            out[:, those] = means[:, those] - means[:, those].mean(axis=1, keepdims=True)
    return out
