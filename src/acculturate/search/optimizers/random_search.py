"""Random search: what a search is worth must show against this.

Every candidate is drawn anew from one Gaussian that is fixed before the first evaluation; nothing is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import STEPS, check_number, checked_start


@dataclass(frozen=True, eq=False)
class RandomSearchState:
    """Hold the ``start`` that the Gaussian is fitted to; ``x``, ``loss``: best candidate so far and its loss."""

    seed: int
    generation: int
    start: Float[np.ndarray, "pop dim"]
    x: Float[np.ndarray, " dim"]
    loss: float


@dataclass(frozen=True)
class RandomSearch(StartFirst[RandomSearchState]):
    """Draw Gaussian samples around the mean of the start, one independent standard deviation per coordinate."""

    sigma: float | None = None
    """Standard deviation, 1e-6 to 1000, of every coordinate, in the space's units; None: those of the start."""

    def __post_init__(self) -> None:
        if self.sigma is not None:
            check_number(self.sigma, "random search sigma", low=STEPS[0], high=STEPS[1])

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> RandomSearchState:
        """Return the state before anything was evaluated; raises ``UserError`` if there is no spread to sample with."""
        x = checked_start(start, "random search", rows=1)
        if self.sigma is None and not x.std(axis=0).any():
            raise SettingError(
                "Random search takes its spread from the start, whose candidates are all alike: "
                "start from several different candidates or set sigma."
            )
        return RandomSearchState(seed, 0, x, x[0].copy(), np.inf)

    def _start(self, state: RandomSearchState) -> Float[np.ndarray, "pop dim"]:
        return state.start

    def _ask(self, state: RandomSearchState) -> Float[np.ndarray, "pop dim"]:
        """Draw as many samples as the start has rows."""
        spread = state.start.std(axis=0) if self.sigma is None else self.sigma
        z = generator(state.seed, state.generation).standard_normal(state.start.shape)
        return state.start.mean(axis=0) + spread * z

    def _tell(
        self, state: RandomSearchState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> RandomSearchState:
        """Keep the best."""
        best = int(np.argmin(loss))
        state = replace(state, generation=state.generation + 1)
        if loss[best] < state.loss:
            state = replace(state, x=np.array(x[best], dtype=np.float64), loss=float(loss[best]))
        return state
