"""How far a measurement can be trusted: correlations, agreement of ways of asking, Cronbach's alpha.

Item means come in as *shares of the scale*, 0 (first value) to 1 (last value), or in the scale's own units;
every function says which. Nothing here asks a model. A figure that the data cannot give (a correlation with a
constant, say) is NaN, never a stand-in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.survey.formats import ORDERS, Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.response import Response

# Below this standard deviation, in the data's own units, what is left is rounding.
CONSTANT = 1e-9


def pearson(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Compute Pearson's correlation over the pairs that are both there.

    NaN under three pairs or where a side is constant.
    """
    return float(correlations(a[None], b[None])[0])


def correlations(a: Float[np.ndarray, "draws n"], b: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, "draws"]:
    """Compute Pearson's correlation of every row, as ``pearson`` has it."""
    there = ~(np.isnan(a) | np.isnan(b))
    n = np.maximum(there.sum(axis=1), 1)

    def centred(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.where(there, x, 0.0).sum(axis=1) / n
        gap = np.where(there, x - mean[:, None], 0.0)
        return gap, np.sqrt((gap**2).sum(axis=1) / n)

    (x, x_spread), (y, y_spread) = centred(a), centred(b)
    known = (there.sum(axis=1) >= 3) & (x_spread > CONSTANT) & (y_spread > CONSTANT)
    scale = np.where(known, x_spread * y_spread * n, 1.0)
    return np.where(known, np.clip((x * y).sum(axis=1) / scale, -1.0, 1.0), np.nan)


def mean_of_known_rows(table: Float[np.ndarray, "rows draws"]) -> Float[np.ndarray, "draws"]:
    """Average over the rows that are not NaN; NaN where none is."""
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def shares(
    means: Float[np.ndarray, "*batch items"], values: Float[np.ndarray, "items options"], mask: np.ndarray
) -> Float[np.ndarray, "*batch items"]:
    """Express item means as shares of the scale: 0 at its lowest value, 1 at its highest; ``mask``: its options."""
    low = np.where(mask, values, np.inf).min(axis=-1)
    high = np.where(mask, values, -np.inf).max(axis=-1)
    return (means - low) / (high - low)


def shares_of_scale(instrument: Instrument, response: Response) -> Float[np.ndarray, "formats items"]:
    """Express item means as shares of their scales, 0 to 1."""
    return shares(item_means(instrument, response), instrument.values(), instrument.option_mask())


def item_means(instrument: Instrument, response: Response) -> Float[np.ndarray, "formats items"]:
    """Compute the expected option value of every item; NaN where an answer is missing."""
    # A missing answer is a row of NaN, which padding must neither hide nor spread.
    weighted = np.exp(response.logprobs) * instrument.values()
    return np.sum(np.where(instrument.option_mask(), weighted, 0.0), axis=-1)


def mean_of_known(values: Iterable[float]) -> float:
    """Average what is not NaN; NaN where nothing is left."""
    known = [float(value) for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True)
class Agreement:
    """Hold correlations of item means between two ways of asking that differ in one ``factor`` only.

    ``pairs``: the two ways and their correlation. ``mean``: average over the pairs whose correlation exists.
    """

    factor: str
    pairs: tuple[tuple[str, str, float], ...]

    @property
    def mean(self) -> float:
        """Average the correlations that exist; NaN where none does."""
        known = [r for _, _, r in self.pairs if not math.isnan(r)]
        return float(np.mean(known)) if known else math.nan


FACTORS = ("labels", "layout", "variant", "language")


def order_agreement(means: Float[np.ndarray, "formats items"], formats: Sequence[Format]) -> Agreement:
    """Correlate ascending with descending, per presentation that was asked in both orders.

    Means are in canonical values. A respondent that reads the options gives an item the same value in either
    order (+1); one that answers by position swaps the values (-1).
    """
    index = {(form.presentation, form.order): row for row, form in enumerate(formats)}
    found = []
    for presentation in dict.fromkeys(form.presentation for form in formats):
        rows = [index.get((presentation, order)) for order in ORDERS]
        if rows[0] is not None and rows[1] is not None:
            found.append((*(f"{presentation}/{o}" for o in ORDERS), pearson(means[rows[0]], means[rows[1]])))
    return Agreement("order", tuple(found))


def balanced_means(
    means: Float[np.ndarray, "formats items"], formats: Sequence[Format]
) -> tuple[tuple[Format, ...], Float[np.ndarray, "presentations items"]]:
    """Average means over the orders of each presentation, and the first format of each presentation."""
    rows: dict[str, list[int]] = {}
    for row, form in enumerate(formats):
        rows.setdefault(form.presentation, []).append(row)
    table = np.stack([means[chosen].mean(axis=0) for chosen in rows.values()])
    return tuple(formats[chosen[0]] for chosen in rows.values()), table


def differing_factors(one: Format, other: Format) -> list[str]:
    """Name the factors, of FACTORS, in which two formats differ."""
    return [factor for factor in FACTORS if getattr(one, factor) != getattr(other, factor)]


def factor_agreements(means: Float[np.ndarray, "formats items"], formats: Sequence[Format]) -> dict[str, Agreement]:
    """Correlate order-balanced means of presentations that differ in one of FACTORS and in nothing else."""
    forms, table = balanced_means(means, formats)
    pairs: dict[str, list[tuple[str, str, float]]] = {factor: [] for factor in FACTORS}
    for a, b in itertools.combinations(range(len(forms)), 2):
        differing = differing_factors(forms[a], forms[b])
        if len(differing) == 1:
            r = pearson(table[a], table[b])
            pairs[differing[0]].append((forms[a].presentation, forms[b].presentation, r))
    return {factor: Agreement(factor, tuple(found)) for factor, found in pairs.items()}


def position_share(ascending: Float[np.ndarray, "items"], descending: Float[np.ndarray, "items"]) -> float:
    """Compute the share, 0..1, of what moves the answers that is position and not content.

    Half the difference between the orders is position (an answer that stays in place moves the value); the
    variance over items of the mean of both orders is content. Unlike the order correlation this also shows a
    respondent that picks one place for every item. NaN where neither moves anything.
    """
    position = float(np.nanmean(((ascending - descending) / 2) ** 2))
    content = float(np.nanvar((ascending + descending) / 2))
    return math.nan if position + content < CONSTANT else position / (position + content)


def cronbach_alpha(table: Float[np.ndarray, "objects parts"]) -> float:
    """Compute Cronbach's alpha: how consistently the parts order the objects (Cronbach 1951, eq. 2); at most 1.

    With items as objects and formats as parts it is the reliability of an item's mean over those formats;
    with respondents as objects and a scale's keyed items as parts it is the usual internal consistency.
    Objects with a missing part are left out. NaN under two parts or two objects, or where the totals do not
    vary.
    """
    whole = table[~np.isnan(table).any(axis=1)]
    if whole.shape[1] < 2 or len(whole) < 2:
        return math.nan
    total = whole.sum(axis=1).var(ddof=1)
    if total < CONSTANT:
        return math.nan
    parts = whole.shape[1]
    return float(parts / (parts - 1) * (1 - whole.var(axis=0, ddof=1).sum() / total))
