"""How far a measurement can be trusted: reliability, intervals, permutation tests and rank agreement.

Item means come in as *shares of the scale*, 0 (first value) to 1 (last value), or in the scale's own units;
every function says which. Nothing here asks a model. A figure that the data cannot give (a correlation with a
constant, say) is NaN, never a stand-in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from acculturate.formats import ORDERS, Format

# Below this standard deviation, in the data's own units, what is left is rounding.
_CONSTANT = 1e-9


def pearson(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Pearson's correlation over the pairs that are both there.

    NaN under three pairs or where a side is constant.
    """
    return float(_correlations(a[None], b[None])[0])


def _correlations(a: Float[np.ndarray, "draws n"], b: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, "draws"]:
    """``pearson`` of every row."""
    there = ~(np.isnan(a) | np.isnan(b))
    n = np.maximum(there.sum(axis=1), 1)

    def centred(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.where(there, x, 0.0).sum(axis=1) / n
        gap = np.where(there, x - mean[:, None], 0.0)
        return gap, np.sqrt((gap**2).sum(axis=1) / n)

    (x, x_spread), (y, y_spread) = centred(a), centred(b)
    known = (there.sum(axis=1) >= 3) & (x_spread > _CONSTANT) & (y_spread > _CONSTANT)
    scale = np.where(known, x_spread * y_spread * n, 1.0)
    return np.where(known, np.clip((x * y).sum(axis=1) / scale, -1.0, 1.0), np.nan)


def shares(
    means: Float[np.ndarray, "*batch items"], values: Float[np.ndarray, "items options"], mask: np.ndarray
) -> Float[np.ndarray, "*batch items"]:
    """Item means as shares of the scale: 0 at its lowest value, 1 at its highest (``mask``: which options
    exist).
    """
    low = np.where(mask, values, np.inf).min(axis=-1)
    high = np.where(mask, values, -np.inf).max(axis=-1)
    return (means - low) / (high - low)


@dataclass(frozen=True)
class Agreement:
    """Correlations of item means between two ways of asking that differ in one ``factor`` only.

    ``pairs``: the two ways and their correlation. ``mean``: average over the pairs whose correlation exists.
    """

    factor: str
    pairs: tuple[tuple[str, str, float], ...]

    @property
    def mean(self) -> float:
        known = [r for _, _, r in self.pairs if not math.isnan(r)]
        return float(np.mean(known)) if known else math.nan


FACTORS = ("labels", "layout", "variant", "language")


def order_agreement(means: Float[np.ndarray, "formats items"], formats: Sequence[Format]) -> Agreement:
    """Ascending against descending, per presentation that was asked in both orders.

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
    """Means averaged over the orders of each presentation, and the first format of each presentation."""
    rows: dict[str, list[int]] = {}
    for row, form in enumerate(formats):
        rows.setdefault(form.presentation, []).append(row)
    table = np.stack([means[chosen].mean(axis=0) for chosen in rows.values()])
    return tuple(formats[chosen[0]] for chosen in rows.values()), table


def factor_agreements(means: Float[np.ndarray, "formats items"], formats: Sequence[Format]) -> dict[str, Agreement]:
    """Agreement of order-balanced means between presentations that differ in one of FACTORS and in nothing
    else.
    """
    forms, table = balanced_means(means, formats)
    pairs: dict[str, list[tuple[str, str, float]]] = {factor: [] for factor in FACTORS}
    for a, b in itertools.combinations(range(len(forms)), 2):
        differing = [f for f in FACTORS if getattr(forms[a], f) != getattr(forms[b], f)]
        if len(differing) == 1:
            r = pearson(table[a], table[b])
            pairs[differing[0]].append((forms[a].presentation, forms[b].presentation, r))
    return {factor: Agreement(factor, tuple(found)) for factor, found in pairs.items()}


def position_share(ascending: Float[np.ndarray, "items"], descending: Float[np.ndarray, "items"]) -> float:
    """Share, 0..1, of what moves the answers that is position and not content.

    Half the difference between the orders is position (an answer that stays in place moves the value); the
    variance over items of the mean of both orders is content. Unlike the order correlation this also shows a
    respondent that picks one place for every item. NaN where neither moves anything.
    """
    position = float(np.nanmean(((ascending - descending) / 2) ** 2))
    content = float(np.nanvar((ascending + descending) / 2))
    return math.nan if position + content < _CONSTANT else position / (position + content)


def cronbach_alpha(table: Float[np.ndarray, "objects parts"]) -> float:
    """Cronbach's alpha: how consistently the parts order the objects (Cronbach 1951, eq. 2); at most 1.

    With items as objects and formats as parts it is the reliability of an item's mean over those formats;
    with respondents as objects and a scale's keyed items as parts it is the usual internal consistency.
    Objects with a missing part are left out. NaN under two parts or two objects, or where the totals do not
    vary.
    """
    whole = table[~np.isnan(table).any(axis=1)]
    if whole.shape[1] < 2 or len(whole) < 2:
        return math.nan
    total = whole.sum(axis=1).var(ddof=1)
    if total < _CONSTANT:
        return math.nan
    parts = whole.shape[1]
    return float(parts / (parts - 1) * (1 - whole.var(axis=0, ddof=1).sum() / total))


def correlation_interval(
    pairs: Sequence[tuple[Float[np.ndarray, "items"], Float[np.ndarray, "items"]]],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap of a mean correlation: items are drawn with replacement, the same for every pair."""
    if not pairs:
        return math.nan, math.nan
    n = len(pairs[0][0])
    chosen = np.random.default_rng(seed).integers(n, size=(draws, n))
    found = np.stack([_correlations(a[chosen], b[chosen]) for a, b in pairs])
    return _percentiles(_known_mean(found), level)


@dataclass(frozen=True, eq=False)
class Scoring:
    """What turns item means into a loss (scoring.Survey's weights, constants and target, without formats)."""

    weights: Float[np.ndarray, "dims items"]
    constants: Float[np.ndarray, "dims"]
    target: Float[np.ndarray, "dims"]


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap of a loss, in points.

    ``expected``: mean of the draws. Resampling adds noise, and noise only ever adds to a sum of absolute
    distances that is near zero: a loss fitted to the very items and formats asked can lie below its own
    interval (``fitted``), which says that other questions of the same kind would not have shown it.
    """

    estimate: float
    low: float
    high: float
    expected: float
    level: float
    over: str
    draws: int

    @property
    def fitted(self) -> bool:
        return self.estimate < self.low


OVER = ("formats", "items", "both")


def bootstrap_losses(
    means: Float[np.ndarray, "rows views items"],
    scoring: Scoring,
    *,
    over: str = "both",
    draws: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, "rows draws"]:
    """Losses under resampled views and items; every row (model, prompt) sees the same resamples.

    Views are drawn with replacement from the views asked. Items are drawn with replacement *within each
    dimension*, the same items in every view. A dimension's score is its constant, plus its weights' sum times
    the dimension's own level (its items' mean, weighted by size), plus one contribution per item, weight
    times distance from that level. Contributions are what is drawn: a level shared by all items, such as a
    tendency to agree, then stays out of the draws exactly as it stays out of a score whose weights sum to
    zero. With four items per dimension the bootstrap variance is too small by about a quarter; intervals are
    the narrow side.

    Subtract two rows to get the draws of a difference. Missing means make a draw NaN only where they are
    used.
    """
    if over not in OVER:
        raise ValueError(f"over is '{over}'; expected one of {', '.join(OVER)}")
    rng = np.random.default_rng(seed)
    n_rows, n_views, _ = means.shape
    there = np.flatnonzero(~np.isnan(scoring.target))
    level, contributions = _contributions(means, scoring)
    out = np.empty((n_rows, draws))
    members = {d: np.flatnonzero(scoring.weights[d]) for d in there}
    for draw in range(draws):
        views = rng.integers(n_views, size=n_views) if over != "items" else np.arange(n_views)
        total = np.zeros((n_rows, n_views))
        for d in there:
            items = members[d]
            chosen = rng.choice(items, size=len(items)) if over != "formats" else items
            score = level[:, views, d] + contributions[:, views, d][:, :, chosen].sum(axis=-1)
            total += np.abs(score - scoring.target[d])
        out[:, draw] = total.mean(axis=1)
    return out


def loss_interval(
    means: Float[np.ndarray, "views items"],
    scoring: Scoring,
    *,
    over: str = "both",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the loss of one row; see ``bootstrap_losses`` for what is resampled.

    With a single view, resampling formats says nothing, so only items are drawn whatever ``over`` says.
    """
    if len(means) == 1:
        over = "items"
    found = bootstrap_losses(means[None], scoring, over=over, draws=draws, seed=seed)[0]
    low, high = _percentiles(found, level)
    estimate = float(_losses(means, scoring).mean())
    known = found[~np.isnan(found)]
    return Interval(estimate, low, high, float(known.mean()) if len(known) else math.nan, level, over, draws)


def difference_interval(
    a: Float[np.ndarray, "views items"],
    b: Float[np.ndarray, "views items"],
    scoring: Scoring,
    *,
    over: str = "both",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The same for loss(a) - loss(b), paired: both see the same resampled items and formats."""
    over = "items" if len(a) == 1 else over
    found = bootstrap_losses(np.stack([a, b]), scoring, over=over, draws=draws, seed=seed)
    gap = found[0] - found[1]
    low, high = _percentiles(gap, level)
    estimate = float(_losses(a, scoring).mean() - _losses(b, scoring).mean())
    return Interval(estimate, low, high, float(np.nanmean(gap)), level, over, draws)


def leave_item_out(means: Float[np.ndarray, "views items"], scoring: Scoring) -> Float[np.ndarray, "items"]:
    """The loss without each item in turn, in points: its dimensions are scored from their other items.

    The remaining contributions (see ``bootstrap_losses``) are scaled up to the full sum of absolute weights,
    so that a dimension keeps its spread. NaN for an item that is a dimension's only one, or that no scored
    dimension uses. For a prompt tuned on all items this estimates how much of its fit hangs on single items;
    it is not the loss on an item that the search never saw.
    """
    present = ~np.isnan(scoring.target)
    size = np.abs(scoring.weights)
    level, contributions = _contributions(means[None], scoring)
    full = level[0] + contributions[0].sum(axis=-1)
    out = np.full(means.shape[1], np.nan)
    for item in np.flatnonzero((size[present] > 0).any(axis=0)):
        rest = scoring.weights.copy()
        rest[:, item] = 0.0
        left = np.abs(rest).sum(axis=1)
        touched = size[:, item] > 0
        if (left[touched & present] == 0).any():
            continue
        factor = size.sum(axis=1) / np.where(left > 0, left, 1.0)
        centre = _centres(means, rest)
        parts = np.where(rest != 0, rest * (means[:, None, :] - centre[..., None]), 0.0).sum(axis=-1)
        without = scoring.constants + scoring.weights.sum(axis=1) * centre + factor * parts
        gap = np.abs(np.where(touched, without, full) - scoring.target)
        out[item] = gap[:, present].sum(axis=1).mean()
    return out


def _centres(
    means: Float[np.ndarray, "views items"], weights: Float[np.ndarray, "dims items"]
) -> Float[np.ndarray, "views dims"]:
    size = np.abs(weights)
    total = np.where(size.sum(axis=1) > 0, size.sum(axis=1), 1.0)
    lacking = (np.isnan(means)[:, None, :] & (size > 0)).any(axis=-1)
    return np.where(lacking, np.nan, np.nan_to_num(means) @ size.T / total)


def _contributions(
    means: Float[np.ndarray, "rows views items"], scoring: Scoring
) -> tuple[Float[np.ndarray, "rows views dims"], Float[np.ndarray, "rows views dims items"]]:
    """Scores split into what is not resampled and one contribution per item; they sum to the scores."""
    centre = np.stack([_centres(row, scoring.weights) for row in means])
    level = scoring.constants + centre * scoring.weights.sum(axis=1)
    parts = scoring.weights * (means[:, :, None, :] - centre[..., None])
    return level, np.where(scoring.weights != 0, parts, 0.0)


def _losses(means: Float[np.ndarray, "views items"], scoring: Scoring) -> Float[np.ndarray, "views"]:
    level, contributions = _contributions(means[None], scoring)
    gap = np.abs(level[0] + contributions[0].sum(axis=-1) - scoring.target)
    return gap[:, ~np.isnan(scoring.target)].sum(axis=1)


def _percentiles(found: Float[np.ndarray, "n"], level: float) -> tuple[float, float]:
    known = found[~np.isnan(found)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PermutationTest:
    """Agreement of two tables over countries, and how often chance reaches it.

    ``statistic``: mean over dimensions of the correlation across countries. ``p``: share of the relabellings
    of the countries that agree at least as well (one-sided); never below 1 / relabellings.
    """

    statistic: float
    p: float
    relabellings: int
    by_dimension: Mapping[str, float]


def permutation_test(
    found: Float[np.ndarray, "countries dims"],
    published: Float[np.ndarray, "countries dims"],
    dimension_ids: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> PermutationTest:
    """Whether scores differ between countries as published ones do.

    Whole countries are relabelled, all dimensions together, so that dependence between dimensions does no
    harm. Every relabelling is tried where there are at most ``draws``; else that many are drawn, and the
    p-value counts the observed one among them (Phipson & Smyth 2010). NaN where no dimension has three
    countries that vary.
    """

    n, dims = found.shape
    exact = n <= 12 and math.factorial(n) <= draws
    rng = np.random.default_rng(seed)
    # The identity comes first either way.
    orders = np.array(
        list(itertools.permutations(range(n))) if exact else [np.arange(n), *(rng.permutation(n) for _ in range(draws))]
    )
    table = np.stack(
        [_correlations(found[orders, d], np.broadcast_to(published[:, d], orders.shape)) for d in range(dims)]
    )
    by_dimension = dict(zip(dimension_ids, table[:, 0].tolist(), strict=True))
    agreement = _known_mean(table)
    if math.isnan(agreement[0]):
        return PermutationTest(math.nan, math.nan, 0, by_dimension)
    reached = np.nan_to_num(agreement, nan=-np.inf) >= agreement[0] - _CONSTANT
    return PermutationTest(float(agreement[0]), float(reached.mean()), len(orders), by_dimension)


def _known_mean(table: Float[np.ndarray, "rows draws"]) -> Float[np.ndarray, "draws"]:
    """Mean over the rows that are not NaN; NaN where none is."""
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def kendall_tau(found: Float[np.ndarray, "n"], published: Float[np.ndarray, "n"]) -> float:
    """Kendall's tau-b of two rankings over the countries both have; NaN under two countries or where one ties
    all.
    """
    there = ~(np.isnan(found) | np.isnan(published))
    x, y = found[there], published[there]
    if len(x) < 2 or np.ptp(x) < _CONSTANT or np.ptp(y) < _CONSTANT:
        return math.nan
    a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    # Kendall (1945): tied pairs are taken out of each side's count.
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def misranked_share(found: Float[np.ndarray, "n"], published: Float[np.ndarray, "n"]) -> float:
    """Share, 0..1, of the countries that do not stand at their published rank.

    After the mis-ranking that Masoud et al. (2024) report next to Kendall's tau; ties are treated our way:
    ranks count from the highest score; tied countries share their mean rank, and a country inside a published
    tie is right at any rank of that tie. NaN under two countries.
    """
    there = ~(np.isnan(found) | np.isnan(published))
    x, y = found[there], published[there]
    if len(x) < 2:
        return math.nan
    (first, last), (best, worst) = _places(x), _places(y)
    rank = (first + last) / 2
    return float(np.mean((rank < best) | (rank > worst)))


def _places(
    scores: Float[np.ndarray, "n"],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """First and last rank that each score shares with its ties, 1 for the highest."""
    higher = (scores[None, :] > scores[:, None]).sum(axis=1)
    equal = (scores[None, :] == scores[:, None]).sum(axis=1)
    return higher + 1, higher + equal
