"""What the optimizers share: reading losses, checking the start, partner indices, crossover and bounds.

Symbols follow Storn & Price (1997), "Differential Evolution - A Simple and Efficient Heuristic for Global
Optimization over Continuous Spaces", J. Global Optimization 11:341-359: a target vector x, a mutant v, a
trial u, the scale factor F and the crossover rate CR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.errors import UserError
from acculturate.legible import shown
from acculturate.survey.loss import Evaluation

Handling = Literal["reflect", "clip", "resample-midpoint"]
STEPS = (1e-6, 1e3)
"""Lowest and highest first step, in standard deviations of the embeddings: rounding below, overflow above."""
LARGEST = 20_000
"""The most candidates of a generation, and rows of a memory of them."""

HANDLINGS: tuple[Handling, ...] = ("reflect", "clip", "resample-midpoint")


def losses_of(x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> Float[np.ndarray, " n"]:
    """The losses in row order; whatever is not finite counts as worst (+inf)."""
    if len(seen) != len(x):
        raise ValueError(f"{len(x)} candidates but {len(seen)} evaluations")
    losses = np.array([evaluation.loss for evaluation in seen], dtype=np.float64)
    return np.where(np.isfinite(losses), losses, np.inf)


def no_worse(old: Float[np.ndarray, " pop"], new: Float[np.ndarray, " pop"]) -> Bool[np.ndarray, " pop"]:
    """Which trials take their targets' places: ties do, so that the population drifts across plateaus.

    A failed trial never does: the population would spread without end where nothing can be evaluated.
    """
    return (new <= old) & np.isfinite(new)


def checked_start(
    start: Float[np.ndarray, "pop dim"],
    name: str,
    *,
    rows: int,
    bounds: tuple[float, float] | None = None,
) -> Float[np.ndarray, "pop dim"]:
    """A float64 copy of ``start``; UserError unless it is finite, long enough and in bounds."""
    x = np.array(start, dtype=np.float64, order="C")
    if len(x) < rows:
        raise UserError(
            f"{name} needs a population of at least {rows} candidates, got {len(x)}: make it larger, with a budget "
            "that pays for it."
        )
    if x.shape[1] == 0 or not np.isfinite(x).all():
        raise UserError(f"{name} needs finite start candidates of at least one coordinate; check the start.")
    if bounds is not None and (x.min() < bounds[0] or x.max() > bounds[1]):
        raise UserError(
            f"{name}: the start reaches from {x.min():g} to {x.max():g}, outside the bounds {bounds[0]:g} to "
            f"{bounds[1]:g}; widen the bounds or move the start."
        )
    return x


def check_number(
    value: float | int,
    name: str,
    *,
    low: float | int,
    high: float | int,
    strict: bool = False,
) -> None:
    """UserError unless ``low <= value <= high`` (``strict``: low < value); NaN lies nowhere.

    ``high`` is what no search has a use for: beyond it are overflows and sizes that no memory holds.
    """
    if not ((low < value if strict else low <= value) and value <= high):
        left = "(" if strict else "["
        raise UserError(f"{name} is {shown(value)}, expected a number in {left}{low:g}, {high:g}].")


def check_choice(value: str, name: str, choices: Sequence[str]) -> None:
    """UserError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise UserError(f"{name} is {shown(value)}, expected one of: {', '.join(choices)}.")


def check_bounds(bounds: tuple[float, float] | None, name: str, handling: str = "clip") -> None:
    """UserError unless the bounds are absent or rising finite numbers, and the handling is known."""
    check_choice(handling, f"{name} handling", HANDLINGS)
    if bounds is None:
        return
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"{name} bounds are {bounds!r}, expected two finite numbers (low, high) with low < high.")


def partners(rng: np.random.Generator, pop: int, count: int) -> Int[np.ndarray, "count pop"]:
    """For each i, ``count`` indices that differ from i and from each other, uniformly (eq. 2)."""
    keys = rng.random((pop, pop))
    np.fill_diagonal(keys, np.inf)  # i itself sorts last, so it is never among the first pop - 1
    return np.ascontiguousarray(np.argsort(keys, axis=1, kind="stable")[:, :count].T)


def among_best(
    rng: np.random.Generator,
    loss: Float[np.ndarray, " pop"],
    top: Int[np.ndarray, " pop"],
    *,
    apart: bool = False,
) -> Int[np.ndarray, " pop"]:
    """For each i, one of its ``top[i]`` best members (JADE, III.A); ``apart``: never i itself."""
    pop = len(loss)
    order = np.argsort(loss, kind="stable")
    top = np.clip(top, 2 if apart else 1, pop)
    if not apart:
        return order[rng.integers(0, top)]
    rank = np.empty(pop, dtype=np.int64)
    rank[order] = np.arange(pop)
    within = rank < top
    pick = rng.integers(0, top - within)
    return order[pick + (within & (pick >= rank))]  # stepping over the member's own rank


def binomial(rng: np.random.Generator, CR: Float[np.ndarray, " n"], dim: int) -> Bool[np.ndarray, "n dim"]:
    """Which coordinates come from the mutant: each with chance CR, and one in any case (eq. 4)."""
    take = rng.random((len(CR), dim)) < CR[:, None]
    take[np.arange(len(CR)), rng.integers(0, dim, len(CR))] = True
    return take


def exponential(rng: np.random.Generator, CR: Float[np.ndarray, " n"], dim: int) -> Bool[np.ndarray, "n dim"]:
    """A run of L coordinates from a random place, wrapping round; P(L >= k) = CR^(k-1)."""
    first = rng.integers(0, dim, len(CR))
    # Counting coin tosses until the first failure gives L; CR = 1 never fails.
    failure = np.where(CR < 1, 1 - CR, 1.0)
    length = np.where(CR < 1, np.minimum(rng.geometric(failure), dim), dim)
    return (np.arange(dim) - first[:, None]) % dim < length[:, None]


def repaired(
    v: Float[np.ndarray, "n dim"],
    parent: Float[np.ndarray, "n dim"],
    bounds: tuple[float, float] | None,
    handling: Handling,
) -> Float[np.ndarray, "n dim"]:
    """``v`` inside the bounds; ``parent`` must lie inside already.

    "reflect" mirrors at the bound as often as it takes; "clip" stops at it; "resample-midpoint" goes half way
    from the parent to it (JADE, Zhang & Sanderson 2009).
    """
    if bounds is None:
        return v
    low, high = bounds
    if handling == "reflect":
        width = high - low
        # Mirroring repeatedly is a triangle wave of period 2 * width.
        phase = np.mod(v - low, 2 * width)
        mirrored = low + np.where(phase > width, 2 * width - phase, phase)
        v = np.where((v < low) | (v > high), mirrored, v)
    elif handling == "resample-midpoint":
        v = np.where(v < low, (low + parent) / 2, np.where(v > high, (high + parent) / 2, v))
    return np.clip(v, low, high)  # rounding may leave the other two a hair outside
