"""L-SHADE: SHADE whose population shrinks linearly to four over the budget.

Tanabe & Fukunaga (2014), "Improving the Search Performance of SHADE Using Linear Population Size Reduction",
CEC 2014:1658-1665.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from acculturate.search.optimizers.adaptive import CR_TERMINAL, HistoryState, Shrinking, lehmer
from acculturate.search.optimizers.variation import check_number


@dataclass(frozen=True)
class LSHADE(Shrinking):
    """Run L-SHADE; the start is the first population (the paper takes 18 rows per dimension)."""

    NAME: ClassVar[str] = "L-SHADE"

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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.p, "L-SHADE p", low=0, high=1, strict=True)

    def _pbest_sizes(self, state: HistoryState, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        return self._same_for_all(state, self.p)

    def _entry(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> tuple[float, float]:
        """Return Lehmer means of both (alg. 1); an entry once terminal stays so."""
        terminal = np.isnan(state.M_CR[state.k]) or S_CR.max() == 0
        return lehmer(S_F, gain), CR_TERMINAL if terminal else lehmer(S_CR, gain)
