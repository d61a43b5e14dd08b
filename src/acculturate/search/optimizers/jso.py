"""jSO: L-SHADE with a weighted mutation and settings that change over the budget.

Brest, Maucec & Boskovic (2017), "Single Objective Real-Parameter Optimization: Algorithm jSO", CEC 2017, pp.
1311-1318, built on iL-SHADE (the same authors, CEC 2016). Where the printed formula of p rises but text and
released program let it fall, it falls here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from acculturate.search.optimizers.adaptive import CR_TERMINAL, HistoryState, Shrinking, lehmer
from acculturate.search.optimizers.variation import LARGEST, check_number

_FIXED = 0.9  # F and CR of the last memory entry, which is never written (iL-SHADE)


@dataclass(frozen=True)
class JSO(Shrinking):
    """Run jSO; the start is the first population (the paper takes 25 ln(D) sqrt(D) rows)."""

    NAME: ClassVar[str] = "jSO"

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

    def __post_init__(self) -> None:
        check_number(self.H, "jSO H", low=2, high=LARGEST)
        super().__post_init__()
        check_number(self.p_max, "jSO p_max", low=0, high=1, strict=True)

    def _first_memory(self) -> tuple[list[float], list[float]]:
        learning = self.H - 1
        return [0.3] * learning + [_FIXED], [0.8] * learning + [_FIXED]

    def _pbest_sizes(self, state: HistoryState, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        p = self.p_max * (1 - 0.5 * self._progress(state))  # eq. 1 with p_min = p_max / 2
        return self._same_for_all(state, p)

    def _pull(self, state: HistoryState) -> tuple[float, bool]:
        progress = self._progress(state)
        weight = 0.7 if progress < 0.2 else 0.8 if progress < 0.4 else 1.2  # eq. 4
        return weight, progress < 0.5

    def _draw(
        self, state: HistoryState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Draw F and CR with the caps of the early stages (alg. 1, lines 19 to 27)."""
        progress = self._progress(state)
        F, CR = super()._draw(state, rng)
        CR = np.maximum(CR, 0.7 if progress < 0.25 else 0.6 if progress < 0.5 else 0.0)
        return np.minimum(F, 0.7 if progress < 0.6 else 1.0), CR

    def _entry(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> tuple[float, float]:
        """Return half Lehmer mean, half old value (iL-SHADE); an entry once terminal stays so."""
        old_F, old_CR = float(state.M_F[state.k]), float(state.M_CR[state.k])
        # The turn of the fixed entry passes without effect, as in the released program.
        if state.k == self.H - 1:
            return old_F, old_CR
        terminal = np.isnan(old_CR) or S_CR.max() == 0
        return (lehmer(S_F, gain) + old_F) / 2, CR_TERMINAL if terminal else (lehmer(S_CR, gain) + old_CR) / 2
