"""L-SHADE: SHADE whose population shrinks linearly to four over the budget.

Tanabe & Fukunaga (2014), "Improving the Search Performance of SHADE Using Linear Population Size Reduction",
CEC 2014:1658-1665.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.success_history import (
    CR_TERMINAL,
    HistoryState,
    crossed,
    draw_factor,
    draw_rate,
    first_seen,
    history,
    improvements,
    lehmer,
    mutants,
    select,
    shrunk,
    streams,
)
from acculturate.search.optimizers.variation import (
    LARGEST,
    Handling,
    check_bounds,
    check_number,
    checked_start,
    losses_of,
    repaired,
)
from acculturate.survey.loss import Evaluation


@dataclass(frozen=True)
class LSHADE:
    """L-SHADE; the start is the first population (the paper takes 18 rows per dimension)."""

    budget: int
    """Candidate evaluations of the whole search (MAX_NFE), at least 1; asking goes on unchanged after it."""
    H: int = 6
    """Entries of the memory, at least 1 (the paper's default)."""
    p: float = 0.11
    """Share in (0, 1] of the population counted as p-best, never fewer than 2 (the paper's default)."""
    archive_rate: float = 2.6
    """Archive size over population size, 0 to 100 (the paper's default)."""
    N_min: int = 4
    """Last population size, at least 4, which the mutation needs (the paper's default)."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest coordinate; None: unbounded."""
    handling: Handling = "resample-midpoint"
    """What happens to a mutant outside the bounds (the paper's own way by default)."""

    def __post_init__(self) -> None:
        check_number(self.budget, "L-SHADE budget", low=1, high=10**9)
        check_number(self.H, "L-SHADE H", low=1, high=LARGEST)
        check_number(self.p, "L-SHADE p", low=0, high=1, strict=True)
        check_number(self.archive_rate, "L-SHADE archive_rate", low=0, high=100)
        check_number(self.N_min, "L-SHADE N_min", low=4, high=LARGEST)
        check_bounds(self.bounds, "L-SHADE", self.handling)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> HistoryState:
        """The state before anything was evaluated; UserError if the start is too small or out of bounds."""
        x = checked_start(start, "L-SHADE", rows=self.N_min, bounds=self.bounds)
        return history(x, seed, [0.5] * self.H, [0.5] * self.H)

    def ask(self, state: HistoryState) -> Float[np.ndarray, "n dim"]:
        """The start itself, then one trial for every member that is left."""
        if state.generation == 0:
            return state.x.copy()
        parameters, rng, _ = streams(state)
        F, CR = self._draw(state, parameters)
        top = np.full(len(F), max(2, round(self.p * len(F))))
        v = mutants(rng, state, F=F, F_w=F, top=top)
        return crossed(rng, state.x, repaired(v, state.x, self.bounds, self.handling), CR)

    def tell(self, state: HistoryState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> HistoryState:
        """Selection, archive, memory (alg. 1) and population size (eq. 10)."""
        loss = losses_of(x, seen)
        if state.generation == 0:
            return first_seen(state, x, loss)
        parameters, _, rng = streams(state)
        F, CR = self._draw(state, parameters)
        success, gain = improvements(state.loss, loss)
        state = select(rng, state, x, loss, archive_size=round(self.archive_rate * len(loss)))
        if success.any():
            state = self._remember(state, F[success], CR[success], gain)
        return shrunk(
            rng,
            state,
            N_min=self.N_min,
            progress=min(1.0, state.nfe / self.budget),
            archive_rate=self.archive_rate,
        )

    def _remember(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " n"],
        S_CR: Float[np.ndarray, " n"],
        gain: Float[np.ndarray, " n"],
    ) -> HistoryState:
        """Write entry k (alg. 1): both means are Lehmer means; an entry once terminal stays so."""
        M_F, M_CR, k = state.M_F.copy(), state.M_CR.copy(), state.k
        M_F[k] = lehmer(S_F, gain)
        terminal = np.isnan(M_CR[k]) or S_CR.max() == 0
        M_CR[k] = CR_TERMINAL if terminal else lehmer(S_CR, gain)
        return replace(state, M_F=M_F, M_CR=M_CR, k=(k + 1) % self.H)

    def _draw(
        self, state: HistoryState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        r = rng.integers(0, self.H, len(state.x))
        CR = draw_rate(rng, state.M_CR[r])
        return draw_factor(rng, state.M_F[r]), CR
