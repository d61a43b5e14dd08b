"""jSO: L-SHADE with a weighted mutation and settings that change over the budget.

Brest, Maucec & Boskovic (2017), "Single Objective Real-Parameter Optimization: Algorithm jSO", CEC 2017, pp.
1311-1318, built on iL-SHADE (the same authors, CEC 2016). Where the printed formula of p rises but text and
released program let it fall, it falls here.
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

_FIXED = 0.9  # F and CR of the last memory entry, which is never written (iL-SHADE)


@dataclass(frozen=True)
class JSO:
    """jSO; the start is the first population (the paper takes 25 ln(D) sqrt(D) rows)."""

    budget: int
    """Candidate evaluations of the whole search (max_nfes), at least 1; asking goes on unchanged after it."""
    H: int = 5
    """Entries of the memory, at least 2; the last one is fixed (the paper's default)."""
    p_max: float = 0.25
    """p-best share in (0, 1] at the start, falling to half of it at the end (eq. 1; the paper's default)."""
    archive_rate: float = 1.0
    """Archive size over population size, 0 to 100 (the paper's default)."""
    N_min: int = 4
    """Last population size, at least 4, which the mutation needs (the paper's default)."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest coordinate; None: unbounded."""
    handling: Handling = "resample-midpoint"
    """What happens to a mutant outside the bounds (the paper's own way by default)."""

    def __post_init__(self) -> None:
        check_number(self.budget, "jSO budget", low=1, high=10**9)
        check_number(self.H, "jSO H", low=2, high=LARGEST)
        check_number(self.p_max, "jSO p_max", low=0, high=1, strict=True)
        check_number(self.archive_rate, "jSO archive_rate", low=0, high=100)
        check_number(self.N_min, "jSO N_min", low=4, high=LARGEST)
        check_bounds(self.bounds, "jSO", self.handling)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> HistoryState:
        """The state before anything was evaluated; UserError if the start is too small or out of bounds."""
        x = checked_start(start, "jSO", rows=self.N_min, bounds=self.bounds)
        learning = self.H - 1
        return history(x, seed, [0.3] * learning + [_FIXED], [0.8] * learning + [_FIXED])

    def ask(self, state: HistoryState) -> Float[np.ndarray, "n dim"]:
        """The start itself, then one trial for every member that is left (eqs. 1, 3 and 4)."""
        if state.generation == 0:
            return state.x.copy()
        parameters, rng, _ = streams(state)
        F, CR = self._draw(state, parameters)
        progress = self._progress(state)
        p = self.p_max * (1 - 0.5 * progress)  # eq. 1 with p_min = p_max / 2
        top = np.full(len(F), max(2, round(p * len(F))))
        weight = 0.7 if progress < 0.2 else 0.8 if progress < 0.4 else 1.2  # eq. 4
        v = mutants(rng, state, F=F, F_w=weight * F, top=top, apart=progress < 0.5)
        return crossed(rng, state.x, repaired(v, state.x, self.bounds, self.handling), CR)

    def tell(self, state: HistoryState, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> HistoryState:
        """Selection, archive, memory (alg. 1) and the population size of L-SHADE."""
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
            progress=self._progress(state),
            archive_rate=self.archive_rate,
        )

    def _progress(self, state: HistoryState) -> float:
        return min(1.0, state.nfe / self.budget)

    def _remember(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " n"],
        S_CR: Float[np.ndarray, " n"],
        gain: Float[np.ndarray, " n"],
    ) -> HistoryState:
        """Write entry k: half Lehmer mean, half old value (iL-SHADE), but nothing into the fixed entry."""
        M_F, M_CR, k = state.M_F.copy(), state.M_CR.copy(), state.k
        # The turn of the fixed entry passes without effect, as in the released program.
        if k < self.H - 1:
            M_F[k] = (lehmer(S_F, gain) + M_F[k]) / 2
            terminal = np.isnan(M_CR[k]) or S_CR.max() == 0
            M_CR[k] = CR_TERMINAL if terminal else (lehmer(S_CR, gain) + M_CR[k]) / 2
        return replace(state, M_F=M_F, M_CR=M_CR, k=(k + 1) % self.H)

    def _draw(
        self, state: HistoryState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """F and CR with the caps of the early stages (alg. 1, lines 19 to 27)."""
        progress = self._progress(state)
        r = rng.integers(0, self.H, len(state.x))
        CR = draw_rate(rng, state.M_CR[r])
        CR = np.maximum(CR, 0.7 if progress < 0.25 else 0.6 if progress < 0.5 else 0.0)
        F = draw_factor(rng, state.M_F[r])
        return np.minimum(F, 0.7 if progress < 0.6 else 1.0), CR
