"""What random prompts reach: the floor that a search has to beat at equal budget.

A budget of random prompts costs as much as the search itself. A sample of them costs a twentieth: its best
member is measured like every other row, and the expected best of the whole budget is estimated from its losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from acculturate.judge.records import RandomPrompts

SHARE = 0.05
LEAST, FEWEST, MOST = 4, 20, 100
EXACT = "exact"
EXTRAPOLATED = "log-normal lower tail"
_GRID = 2000


def sample_size(budget: int) -> int:
    """Choose how many random prompts a run asks: 5 % of its budget, from 20 to 100; a quarter of a small budget."""
    return min(budget, max(math.ceil(SHARE * budget), min(FEWEST, budget // 4), LEAST), MOST)


@dataclass(frozen=True)
class Chance:
    """Hold what ``n`` random prompts lost on the trained formats, and what ``budget`` of them would be expected to.

    Losses are in points. ``best``: the smallest that was measured. ``expected_minimum`` with its 95 % bootstrap
    ``interval`` over the sample: by ``estimator`` (``expected_minimum`` below). A sample of the whole budget is
    its own answer and has no interval. ``tuned``: what the tuned prompt loses by the same measure.
    """

    n: int
    budget: int
    best: float
    median: float
    expected_minimum: float
    interval: tuple[float, float] | None
    estimator: str
    tuned: float
    where: str = "the trained formats"

    @property
    def record(self) -> RandomPrompts:
        """Collect the figures for result.json."""
        return RandomPrompts.model_validate(self, from_attributes=True)

    @property
    def sentence(self) -> str:
        """Write the estimate in words, with what it rests on."""
        if self.interval is None:
            return (
                f"The search's budget spent on {self.budget:,} random prompts leaves {self.best:.1f} points on "
                f"{self.where}; the tuned prompt leaves {self.tuned:.1f}."
            )
        low, high = self.interval
        return (
            f"The search's budget spent on {self.budget:,} random prompts would be expected to leave about "
            f"{self.expected_minimum:.1f} points on {self.where} (extrapolated from {self.n} of them, 95 % "
            f"{low:.1f} to {high:.1f}); the tuned prompt leaves {self.tuned:.1f}."
        )


def chance(losses: Float[np.ndarray, "n"], budget: int, tuned: float, where: str = "the trained formats") -> Chance:
    """Sum up the losses of random prompts, in points; the interval comes from 1,000 resamples.

    A prompt without a finite loss is no rival: of the budget only the share that gives numbers counts.
    """
    n, losses = len(losses), losses[np.isfinite(losses)]
    draws = max(1, round(budget * len(losses) / n))
    interval = None
    if draws > len(losses):
        drawn = np.random.default_rng(0).choice(losses, size=(1000, len(losses)))
        low, high = np.quantile([expected_minimum(sample, draws) for sample in drawn], [0.025, 0.975])
        interval = float(low), float(high)
    return Chance(
        n=n,
        budget=budget,
        best=float(losses.min()),
        median=float(np.median(losses)),
        expected_minimum=expected_minimum(losses, draws),
        interval=interval,
        estimator=EXACT if interval is None else EXTRAPOLATED,
        tuned=tuned,
        where=where,
    )


def expected_minimum(losses: Float[np.ndarray, "n"], draws: int) -> float:
    """Estimate the expected smallest of ``draws`` losses like these, in points.

    Up to as many as were measured: the mean of the minimum over all subsets of that size, which is unbiased and
    assumes nothing but independent draws. Beyond that the sample says nothing by itself, and a shape has to be
    assumed: log losses are normal *in their lower half*. Its line is fitted to the lower half of the sorted log
    losses against normal quantiles at Blom's plotting positions, (i - 3/8) / (n + 1/4); the upper half, which can
    be anything (a random prompt may break a model), has no say. The expected minimum then is the mean of that
    distribution's quantile at 1 - V^(1/draws) over uniform V, or the smallest loss measured where that is lower.
    """
    ordered = np.sort(losses)
    n = len(ordered)
    if draws <= n:
        # The i-th smallest is the minimum of a subset when the others come from the n - i larger ones.
        chances = [math.comb(n - i, draws - 1) / math.comb(n, draws) for i in range(1, n + 1)]
        return float(sum(c * loss for c, loss in zip(chances, ordered, strict=True) if c))
    half = math.ceil(n / 2)
    quantiles = ndtri((np.arange(1, half + 1) - 0.375) / (n + 0.25))
    logs = np.log(np.maximum(ordered[:half], 1e-6))  # an exact zero has no logarithm
    centred = quantiles - quantiles.mean()
    slope = float(centred @ logs / (centred @ centred))
    level = float(logs.mean() - slope * quantiles.mean())
    uniform = (np.arange(_GRID) + 0.5) / _GRID
    fitted = np.exp(level + slope * ndtri(-np.expm1(np.log(uniform) / draws))).mean()
    return float(min(fitted, ordered[0]))
