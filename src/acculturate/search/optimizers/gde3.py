"""GDE3: Differential Evolution for several objectives at once.

Kukkonen & Lampinen (2005), "GDE3: The third Evolution Step of Generalized Differential Evolution", IEEE CEC,
1:443-450, without constraints: a trial that is no worse than its target in every objective takes its place, a worse
one goes, and of two that cannot be compared both stay. What is then too many is cut by non-dominated sorting and
crowding distance as Deb, Pratap, Agarwal & Meyarivan (2002), "A Fast and Elitist Multiobjective Genetic Algorithm:
NSGA-II", IEEE TEVC 6:182-197, define them (III.A and III.B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.variation import (
    Handling,
    binomial,
    check_bounds,
    check_number,
    checked_start,
    partners,
    repaired,
)
from acculturate.survey.loss import Evaluation


@dataclass(frozen=True, eq=False)
class GDE3State:
    """``x``: the population; ``f``: its objectives, +inf before the first generation and where one failed.

    ``front_x``, ``front_f``: the non-dominated candidates of all that were ever seen, the oldest first.
    """

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    f: Float[np.ndarray, "pop objectives"]
    front_x: Float[np.ndarray, "front dim"]
    front_f: Float[np.ndarray, "front objectives"]


@dataclass(frozen=True)
class GDE3:
    """Search with DE rand/1/bin for every trade-off between ``Evaluation.objectives``; the start is the population."""

    objectives: int = 2
    """How many objectives an evaluation has."""
    F: float = 0.5
    """Scale factor in (0, 2]; this and CR are the defaults of ``DE``."""
    CR: float = 0.7
    """Crossover rate in [0, 1]."""
    archive: int = 100
    """How many non-dominated candidates are kept beside the population; the most crowded go first."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest coordinate; None: unbounded."""
    handling: Handling = "reflect"
    """What happens to a mutant outside the bounds."""

    def __post_init__(self) -> None:
        check_number(self.F, "GDE3 F", low=0, high=2, strict=True)
        check_number(self.CR, "GDE3 CR", low=0, high=1)
        # Dominance is found between all pairs.
        check_number(self.archive, "GDE3 archive", low=self.objectives, high=5000)
        check_bounds(self.bounds, "GDE3", self.handling)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> GDE3State:
        """The state before anything was evaluated; UserError if the start is too small or out of bounds."""
        x = checked_start(start, "GDE3", rows=4, bounds=self.bounds)
        none = np.zeros((0, self.objectives))
        return GDE3State(seed, 0, x, np.full((len(x), self.objectives), np.inf), x[:0].copy(), none)

    def ask(self, state: GDE3State) -> Float[np.ndarray, "pop dim"]:
        """The start itself, then one trial for every member."""
        x = state.x
        if state.generation == 0:
            return x.copy()
        rng = generator(state.seed, state.generation)
        r = partners(rng, len(x), 3)
        v = repaired(x[r[0]] + self.F * (x[r[1]] - x[r[2]]), x, self.bounds, self.handling)
        return np.where(binomial(rng, np.full(len(x), float(self.CR)), x.shape[1]), v, x)

    def tell(self, state: GDE3State, x: Float[np.ndarray, "pop dim"], seen: Sequence[Evaluation]) -> GDE3State:
        """Selection by dominance, then truncation to the size of the population."""
        f = self._objectives(x, seen)
        answered = np.isfinite(f).all(axis=1)
        no_worse = answered & np.all(f <= state.f, axis=1)
        apart = answered & ~no_worse & ~np.all(state.f <= f, axis=1)
        grown_x = np.concatenate([np.where(no_worse[:, None], x, state.x), x[apart]])
        grown_f = np.concatenate([np.where(no_worse[:, None], f, state.f), f[apart]])
        kept = survivors(grown_f, len(state.x))
        front_x, front_f = np.concatenate([state.front_x, x[answered]]), np.concatenate([state.front_f, f[answered]])
        best = first_front(front_f)
        best = best[survivors(front_f[best], self.archive)]
        return replace(
            state,
            generation=state.generation + 1,
            x=grown_x[kept],
            f=grown_f[kept],
            front_x=front_x[best],
            front_f=front_f[best],
        )

    def _objectives(
        self, x: Float[np.ndarray, "pop dim"], seen: Sequence[Evaluation]
    ) -> Float[np.ndarray, "pop objectives"]:
        """A candidate without a finite value in every objective is worst in all of them (+inf)."""
        if len(seen) != len(x):
            raise ValueError(f"{len(x)} candidates but {len(seen)} evaluations")
        f = np.array([evaluation.objectives for evaluation in seen], dtype=np.float64)
        return np.where(np.isfinite(f).all(axis=1, keepdims=True), f, np.inf)


def dominates(f: Float[np.ndarray, "n objectives"]) -> Bool[np.ndarray, "n n"]:
    """``[i, j]``: i is no worse than j in every objective and better in one."""
    a, b = f[:, None, :], f[None, :, :]
    return np.all(a <= b, axis=-1) & np.any(a < b, axis=-1)


def first_front(f: Float[np.ndarray, "n objectives"]) -> Int[np.ndarray, " front"]:
    """Indices, rising, of what nothing dominates; of several with the same objectives the first."""
    equal = np.all(f[:, None, :] == f[None, :, :], axis=-1)
    repeated = np.triu(equal, 1).any(axis=0)
    return np.flatnonzero(~dominates(f).any(axis=0) & ~repeated)


def ranks(f: Float[np.ndarray, "n objectives"]) -> Int[np.ndarray, " n"]:
    """Non-dominated sorting: 0 for what nothing dominates, 1 for what only those dominate, and so on."""
    over = dominates(f)
    rank = np.full(len(f), -1, dtype=np.int64)
    level = 0
    while (rank < 0).any():
        left = rank < 0
        rank[left & ~over[left].any(axis=0)] = level
        level += 1
    return rank


def crowding(f: Float[np.ndarray, "n objectives"]) -> Float[np.ndarray, " n"]:
    """Crowding distance within one front (not empty): the sum over objectives of the gap between the neighbours.

    Gaps are shares of the front's range; the two ends of every objective get +inf.
    """
    total = np.zeros(len(f))
    for column in f.T:
        order = np.argsort(column, kind="stable")
        with np.errstate(invalid="ignore"):
            gaps, width = column[order[2:]] - column[order[:-2]], np.ptp(column)
        # No range: all are equal in this objective, or none was answered (inf - inf is NaN).
        if width > 0:
            total[order[1:-1]] += gaps / width
        total[order[[0, -1]]] = np.inf
    return total


def survivors(f: Float[np.ndarray, "n objectives"], size: int) -> Int[np.ndarray, " kept"]:
    """Indices, rising, of the ``size`` best by rank and, in the last front that fits in part, by crowding distance.

    One at a time: when the most crowded has gone, the distances are taken anew, as its neighbours are less crowded
    now (Kukkonen & Deb 2006, IEEE CEC, 1179-1186).
    """
    if len(f) <= size:
        return np.arange(len(f))
    rank = ranks(f)
    last = np.sort(rank)[size - 1]
    kept, front = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    while len(kept) + len(front) > size:
        front = np.delete(front, np.argmin(crowding(f[front])))
    return np.sort(np.concatenate([kept, front]))
