"""Parts of Differential Evolution that several optimizers share: losses, checks, partner indices and crossover.

Symbols follow Storn & Price (1997), "Differential Evolution - A Simple and Efficient Heuristic for Global
Optimization over Continuous Spaces", J. Global Optimization 11:341-359: a target vector x, a mutant v, a
trial u, the scale factor F and the crossover rate CR.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.errors import SettingError
from acculturate.legible import shown
from acculturate.survey.loss import Evaluation

STEPS = (1e-6, 1e3)
"""Lowest and highest first step, in standard deviations of the embeddings: rounding below, overflow above."""
LARGEST = 20_000
"""The most candidates of a generation, and rows of a memory of them."""


def losses_of(x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> Float[np.ndarray, " n"]:
    """List the losses in row order; whatever is not finite counts as worst (+inf)."""
    if len(evaluations) != len(x):
        raise ValueError(f"{len(x)} candidates but {len(evaluations)} evaluations")
    return finite_losses(evaluations)


def finite_losses(evaluations: Sequence[Evaluation]) -> Float[np.ndarray, " n"]:
    """List the losses; what is no number counts as worst (+inf)."""
    losses = np.array([evaluation.loss for evaluation in evaluations], dtype=np.float64)
    return np.where(np.isfinite(losses), losses, np.inf)


def no_worse(old: Float[np.ndarray, " pop"], new: Float[np.ndarray, " pop"]) -> Bool[np.ndarray, " pop"]:
    """Tell which trials take their targets' places: ties do, so that the population drifts across plateaus.

    A failed trial never does: the population would spread without end where nothing can be evaluated.
    """
    return (new <= old) & np.isfinite(new)


def checked_start(
    start: Float[np.ndarray, "pop dim"],
    name: str,
    *,
    rows: int,
) -> Float[np.ndarray, "pop dim"]:
    """Copy a start as float64; raises ``UserError`` unless it is finite and long enough."""
    x = np.array(start, dtype=np.float64, order="C")
    if len(x) < rows:
        raise SettingError(
            f"{name} needs a population of at least {rows} candidates, got {len(x)}: make it larger, with a budget "
            "that pays for it."
        )
    if x.shape[1] == 0 or not np.isfinite(x).all():
        raise SettingError(f"{name} needs finite start candidates of at least one coordinate; check the start.")
    return x


def check_number(
    value: float | int,
    name: str,
    *,
    low: float | int,
    high: float | int,
    strict: bool = False,
) -> None:
    """Refuse a value unless ``low <= value <= high`` (``strict``: low < value); NaN lies nowhere.

    ``high`` is what no search has a use for: beyond it are overflows and sizes that no memory holds.
    """
    if not ((low < value if strict else low <= value) and value <= high):
        left = "(" if strict else "["
        raise SettingError(f"{name} is {shown(value)}, expected a number in {left}{low:g}, {high:g}].")


def check_choice(value: str, name: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise SettingError(f"{name} is {shown(value)}, expected one of: {', '.join(choices)}.")


def partners(rng: np.random.Generator, pop: int, count: int) -> Int[np.ndarray, "count pop"]:
    """Draw for each i ``count`` indices that differ from i and from each other, uniformly (eq. 2)."""
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
    """Draw for each i one of its ``top[i]`` best members (JADE, III.A); ``apart``: never i itself."""
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
    """Draw which coordinates come from the mutant: each with chance CR, and one in any case (eq. 4)."""
    take = rng.random((len(CR), dim)) < CR[:, None]
    take[np.arange(len(CR)), rng.integers(0, dim, len(CR))] = True
    return take


def exponential(rng: np.random.Generator, CR: Float[np.ndarray, " n"], dim: int) -> Bool[np.ndarray, "n dim"]:
    """Draw a run of L coordinates from a random place, wrapping round; P(L >= k) = CR^(k-1)."""
    first = rng.integers(0, dim, len(CR))
    # Counting coin tosses until the first failure gives L; CR = 1 never fails.
    failure = np.where(CR < 1, 1 - CR, 1.0)
    length = np.where(CR < 1, np.minimum(rng.geometric(failure), dim), dim)
    return (np.arange(dim) - first[:, None]) % dim < length[:, None]
