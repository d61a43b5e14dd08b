"""JADE: DE with current-to-pbest/1, an archive and self-adapted F and CR.

Zhang & Sanderson (2009), "JADE: Adaptive Differential Evolution With Optional External Archive", IEEE TEVC
13(5):945-958.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.success_history import (
    ArchiveState,
    crossed,
    draw_factor,
    draw_rate,
    lehmer,
    mutants,
    streams,
    thinned,
)
from acculturate.search.optimizers.variation import (
    Handling,
    check_bounds,
    check_number,
    checked_start,
    losses_of,
    repaired,
)
from acculturate.survey.loss import Evaluation


@dataclass(frozen=True, eq=False)
class JADEState(ArchiveState):
    """``mu_f``, ``mu_cr``: locations of the distributions that F and CR are drawn from."""

    mu_f: float
    mu_cr: float


@dataclass(frozen=True)
class JADE:
    """JADE; the start is the population."""

    p: float = 0.05
    """Share in (0, 1] of the population counted as p-best, never fewer than 2 (the paper's default: 5 %)."""
    c: float = 0.1
    """Speed in [0, 1] at which mu_f and mu_cr follow what succeeded (the paper's default)."""
    archive_rate: float = 1.0
    """Archive size over population size, 0 to 100; 0 is JADE without archive (the paper's default: 1)."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest coordinate; None: unbounded."""
    handling: Handling = "resample-midpoint"
    """What happens to a mutant outside the bounds (the paper's own way by default)."""

    def __post_init__(self) -> None:
        check_number(self.p, "JADE p", low=0, high=1, strict=True)
        check_number(self.c, "JADE c", low=0, high=1)
        check_number(self.archive_rate, "JADE archive_rate", low=0, high=100)
        check_bounds(self.bounds, "JADE", self.handling)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> JADEState:
        """The state before anything was evaluated; UserError if the start is too small or out of bounds."""
        x = checked_start(start, "JADE", rows=4, bounds=self.bounds)
        empty = np.empty((0, x.shape[1]))
        return JADEState(seed, 0, x, np.full(len(x), np.inf), empty, mu_f=0.5, mu_cr=0.5)

    def ask(self, state: JADEState) -> Float[np.ndarray, "pop dim"]:
        """The start itself, then one trial for every member."""
        if state.generation == 0:
            return state.x.copy()
        parameters, rng, _ = streams(state)
        F, CR = self._draw(state, parameters)
        top = np.full(len(F), max(2, round(self.p * len(F))))
        v = mutants(rng, state, F=F, F_w=F, top=top)
        return crossed(rng, state.x, repaired(v, state.x, self.bounds, self.handling), CR)

    def tell(self, state: JADEState, x: Float[np.ndarray, "pop dim"], seen: Sequence[Evaluation]) -> JADEState:
        """Selection, archive, and the step of mu_f and mu_cr (section III.B)."""
        loss = losses_of(x, seen)
        if state.generation == 0:
            return replace(state, generation=1, x=np.array(x, dtype=np.float64), loss=loss)
        parameters, _, rng = streams(state)
        F, CR = self._draw(state, parameters)
        success = loss < state.loss
        mu_f, mu_cr = state.mu_f, state.mu_cr
        # An empty S has no mean: both locations then stay where they are.
        if success.any():
            S_F = F[success]
            mu_f = (1 - self.c) * mu_f + self.c * lehmer(S_F, np.ones_like(S_F))
            mu_cr = (1 - self.c) * mu_cr + self.c * float(CR[success].mean())
        archive = np.concatenate([state.archive, state.x[success]])
        return replace(
            state,
            generation=state.generation + 1,
            x=np.where(success[:, None], x, state.x),
            loss=np.where(success, loss, state.loss),
            archive=thinned(rng, archive, round(self.archive_rate * len(loss))),
            mu_f=mu_f,
            mu_cr=mu_cr,
        )

    def _draw(
        self, state: JADEState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " pop"], Float[np.ndarray, " pop"]]:
        ones = np.ones(len(state.x))
        CR = draw_rate(rng, state.mu_cr * ones)
        return draw_factor(rng, state.mu_f * ones), CR
