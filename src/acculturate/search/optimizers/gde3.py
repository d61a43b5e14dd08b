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
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import (
    binomial,
    check_number,
    checked_start,
    partners,
)
from acculturate.survey.loss import Evaluation


@dataclass(frozen=True, eq=False)
class GDE3State:
    """Hold the population ``x`` and its objectives ``f``, +inf before the first generation and where one failed.

    ``front_x``, ``front_f``: the non-dominated candidates of all that were ever seen, the oldest first.
    """

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    f: Float[np.ndarray, "pop objectives"]
    front_x: Float[np.ndarray, "front dim"]
    front_f: Float[np.ndarray, "front objectives"]


@dataclass(frozen=True)
class GDE3(StartFirst[GDE3State]):
    """Search with DE rand/1/bin for every trade-off between ``Evaluation.objectives``; the start is the population."""

    objectives: int = 2
    """How many objectives an evaluation has."""
    F: float = 0.5
    """Scale factor in (0, 2]; this and CR are the defaults of ``DE``."""
    CR: float = 0.7
    """Crossover rate in [0, 1]."""
    archive: int = 100
    """How many non-dominated candidates are kept beside the population; the most crowded go first."""

    def __post_init__(self) -> None:
        check_number(self.F, "GDE3 F", low=0, high=2, strict=True)
        check_number(self.CR, "GDE3 CR", low=0, high=1)
        # Dominance is found between all pairs.
        check_number(self.archive, "GDE3 archive", low=self.objectives, high=5000)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> GDE3State:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is too small."""
        x = checked_start(start, "GDE3", rows=4)
        none = np.zeros((0, self.objectives))
        return GDE3State(seed, 0, x, np.full((len(x), self.objectives), np.inf), x[:0].copy(), none)

    def _ask(self, state: GDE3State) -> Float[np.ndarray, "pop dim"]:
        """Return one trial for every member."""
        x = state.x
        rng = generator(state.seed, state.generation)
        r = partners(rng, len(x), 3)
        v = x[r[0]] + self.F * (x[r[1]] - x[r[2]])
        return np.where(binomial(rng, np.full(len(x), float(self.CR)), x.shape[1]), v, x)

    def _tell(
        self, state: GDE3State, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, "pop objectives"]
    ) -> GDE3State:
        """Select by dominance, then cut to the size of the population."""
        f = loss
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

    def _values(
        self, x: Float[np.ndarray, "pop dim"], evaluations: Sequence[Evaluation]
    ) -> Float[np.ndarray, "pop objectives"]:
        """List the objectives; a candidate without a finite value in each of them is worst in all (+inf)."""
        if len(evaluations) != len(x):
            raise ValueError(f"{len(x)} candidates but {len(evaluations)} evaluations")
        f = np.array([evaluation.objectives for evaluation in evaluations], dtype=np.float64)
        return np.where(np.isfinite(f).all(axis=1, keepdims=True), f, np.inf)


def dominates(f: Float[np.ndarray, "n objectives"]) -> Bool[np.ndarray, "n n"]:
    """Tell for every pair ``[i, j]`` whether i is no worse than j in every objective and better in one."""
    a, b = f[:, None, :], f[None, :, :]
    return np.all(a <= b, axis=-1) & np.any(a < b, axis=-1)


def first_front(f: Float[np.ndarray, "n objectives"]) -> Int[np.ndarray, " front"]:
    """List the indices, rising, of what nothing dominates; of several with the same objectives the first."""
    equal = np.all(f[:, None, :] == f[None, :, :], axis=-1)
    repeated = np.triu(equal, 1).any(axis=0)
    return np.flatnonzero(~dominates(f).any(axis=0) & ~repeated)


def ranks(f: Float[np.ndarray, "n objectives"]) -> Int[np.ndarray, " n"]:
    """Sort by dominance: 0 for what nothing dominates, 1 for what only those dominate, and so on."""
    over = dominates(f)
    rank = np.full(len(f), -1, dtype=np.int64)
    level = 0
    while (rank < 0).any():
        left = rank < 0
        rank[left & ~over[left].any(axis=0)] = level
        level += 1
    return rank


def crowding(f: Float[np.ndarray, "n objectives"]) -> Float[np.ndarray, " n"]:
    """Compute the crowding distance within one front: the sum over objectives of the gap between the neighbours.

    The front is not empty. Gaps are shares of its range; the two ends of every objective get +inf.
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
    """List the indices, rising, of the ``size`` best by rank.

    In the last front that fits in part the crowding distance decides. The most crowded goes, and the distances are
    taken anew, as its neighbours are less crowded now (Kukkonen & Deb 2006, IEEE CEC, 1179-1186).
    """
    if len(f) <= size:
        return np.arange(len(f))
    rank = ranks(f)
    last = np.sort(rank)[size - 1]
    kept, front = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    while len(kept) + len(front) > size:
        front = np.delete(front, np.argmin(crowding(f[front])))
    return np.sort(np.concatenate([kept, front]))
