"""JADE: DE with current-to-pbest/1, an archive and self-adapted F and CR.

Zhang & Sanderson (2009), "JADE: Adaptive Differential Evolution With Optional External Archive", IEEE TEVC
13(5):945-958.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from acculturate.search.optimizers.adaptive import Adaptive, ArchiveState, draw_factor, draw_rate, lehmer
from acculturate.search.optimizers.variation import check_number, checked_start


@dataclass(frozen=True, eq=False)
class JADEState(ArchiveState):
    """Hold the locations of the distributions that F and CR are drawn from, ``mu_f`` and ``mu_cr``."""

    mu_f: float
    mu_cr: float


@dataclass(frozen=True)
class JADE(Adaptive[JADEState]):
    """Run JADE; the start is the population."""

    NAME: ClassVar[str] = "JADE"

    p: float = 0.05
    """Share in (0, 1] of the population counted as p-best, never fewer than 2 (the paper's default: 5 %)."""
    c: float = 0.1
    """Speed in [0, 1] at which mu_f and mu_cr follow what succeeded (the paper's default)."""
    archive_rate: float = 1.0
    """Archive size over population size, 0 to 100; 0 is JADE without archive (the paper's default: 1)."""

    def __post_init__(self) -> None:
        check_number(self.p, "JADE p", low=0, high=1, strict=True)
        check_number(self.c, "JADE c", low=0, high=1)
        super().__post_init__()

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> JADEState:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is too small."""
        x = checked_start(start, "JADE", rows=4)
        return JADEState(seed, 0, x, np.full(len(x), np.inf), np.empty((0, x.shape[1])), mu_f=0.5, mu_cr=0.5)

    def _better(self, old: Float[np.ndarray, " n"], new: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Tell which trials take their targets' places: those that are better (JADE; ties stay)."""
        return new < old

    def _pbest_sizes(self, state: JADEState, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        return self._same_for_all(state, self.p)

    def _draw(
        self, state: JADEState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        ones = np.ones(len(state.x))
        CR = draw_rate(rng, state.mu_cr * ones)
        return draw_factor(rng, state.mu_f * ones), CR

    def _learn(
        self,
        state: JADEState,
        S_F: Float[np.ndarray, " s"],
        S_CR: Float[np.ndarray, " s"],
        gain: Float[np.ndarray, " s"],
    ) -> JADEState:
        """Move mu_f and mu_cr towards the means of what succeeded (section III.B)."""
        return replace(
            state,
            mu_f=(1 - self.c) * state.mu_f + self.c * lehmer(S_F, np.ones_like(S_F)),
            mu_cr=(1 - self.c) * state.mu_cr + self.c * float(S_CR.mean()),
        )
