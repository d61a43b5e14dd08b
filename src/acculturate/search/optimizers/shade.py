"""SHADE: JADE's mutation with a memory of H successful settings in place of one mean.

Tanabe & Fukunaga (2013), "Success-History Based Parameter Adaptation for Differential Evolution", CEC 2013,
pp. 71-78.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from acculturate.search.optimizers.adaptive import HistoryState, SuccessHistory, lehmer
from acculturate.search.optimizers.variation import check_number


@dataclass(frozen=True)
class SHADE(SuccessHistory):
    """Run SHADE; the start is the population."""

    NAME: ClassVar[str] = "SHADE"

    H: int = 100
    """Entries of the memory, at least 1 (the paper's default)."""
    p_max: float = 0.2
    """Each member draws its p-best share from [2/N, p_max]; p_max in (0, 1] (the paper's default)."""
    archive_rate: float = 1.0
    """Archive size over population size, 0 to 100 (the paper's default)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.p_max, "SHADE p_max", low=0, high=1, strict=True)

    def _pbest_sizes(self, state: HistoryState, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        N = len(state.x)
        p_min = 2 / N
        return np.rint(rng.uniform(p_min, max(p_min, self.p_max), N) * N).astype(np.int64)

    def _entry(
        self,
        state: HistoryState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> tuple[float, float]:
        """Return the weighted Lehmer mean of F and the weighted mean of CR."""
        return lehmer(S_F, gain), float(np.average(S_CR, weights=gain / gain.max()))
