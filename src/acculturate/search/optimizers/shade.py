"""SHADE: JADE's mutation with a memory of H successful settings in place of one mean.

Tanabe & Fukunaga (2013), "Success-History Based Parameter Adaptation for Differential Evolution", CEC 2013,
pp. 71-78.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.success_history import (
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
class SHADE:
    """SHADE; the start is the population."""

    H: int = 100
    """Entries of the memory, at least 1 (the paper's default)."""
    p_max: float = 0.2
    """Each member draws its p-best share from [2/N, p_max]; p_max in (0, 1] (the paper's default)."""
    archive_rate: float = 1.0
    """Archive size over population size, 0 to 100 (the paper's default)."""
    bounds: tuple[float, float] | None = None
    """Lowest and highest coordinate; None: unbounded."""
    handling: Handling = "resample-midpoint"
    """What happens to a mutant outside the bounds (the paper's own way by default)."""

    def __post_init__(self) -> None:
        check_number(self.H, "SHADE H", low=1, high=LARGEST)
        check_number(self.p_max, "SHADE p_max", low=0, high=1, strict=True)
        check_number(self.archive_rate, "SHADE archive_rate", low=0, high=100)
        check_bounds(self.bounds, "SHADE", self.handling)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> HistoryState:
        """The state before anything was evaluated; UserError if the start is too small or out of bounds."""
        x = checked_start(start, "SHADE", rows=4, bounds=self.bounds)
        return history(x, seed, [0.5] * self.H, [0.5] * self.H)

    def ask(self, state: HistoryState) -> Float[np.ndarray, "pop dim"]:
        """The start itself, then one trial for every member."""
        if state.generation == 0:
            return state.x.copy()
        parameters, rng, _ = streams(state)
        F, CR = self._draw(state, parameters)
        N = len(F)
        p_min = 2 / N
        p = rng.uniform(p_min, max(p_min, self.p_max), N)
        v = mutants(rng, state, F=F, F_w=F, top=np.rint(p * N).astype(np.int64))
        return crossed(rng, state.x, repaired(v, state.x, self.bounds, self.handling), CR)

    def tell(self, state: HistoryState, x: Float[np.ndarray, "pop dim"], seen: Sequence[Evaluation]) -> HistoryState:
        """Selection, archive, and one entry of the memory: weighted Lehmer mean of F, weighted mean of CR."""
        loss = losses_of(x, seen)
        if state.generation == 0:
            return first_seen(state, x, loss)
        parameters, _, rng = streams(state)
        F, CR = self._draw(state, parameters)
        success, gain = improvements(state.loss, loss)
        state = select(rng, state, x, loss, archive_size=round(self.archive_rate * len(loss)))
        if not success.any():
            return state
        M_F, M_CR = state.M_F.copy(), state.M_CR.copy()
        M_F[state.k] = lehmer(F[success], gain)
        M_CR[state.k] = np.average(CR[success], weights=gain / gain.max())
        return replace(state, M_F=M_F, M_CR=M_CR, k=(state.k + 1) % self.H)

    def _draw(
        self, state: HistoryState, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " pop"], Float[np.ndarray, " pop"]]:
        r = rng.integers(0, self.H, len(state.x))
        CR = draw_rate(rng, state.M_CR[r])
        return draw_factor(rng, state.M_F[r]), CR
