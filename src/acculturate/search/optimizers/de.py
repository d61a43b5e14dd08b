"""Differential Evolution.

Storn & Price (1997), "Differential Evolution - A Simple and Efficient Heuristic for Global Optimization over
Continuous Spaces", J. Global Optimization 11:341-359 (eq. numbers below); further strategies and dither after
Das & Suganthan (2011), "Differential Evolution: A Survey of the State-of-the-Art", IEEE TEVC 15:4-31.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import (
    among_best,
    binomial,
    check_choice,
    check_number,
    checked_start,
    exponential,
    no_worse,
    partners,
)

Strategy = Literal["rand/1", "best/1", "rand/2", "current-to-best/1", "current-to-pbest/1"]
Crossover = Literal["binomial", "exponential"]

# How many random members a strategy draws; it needs one candidate more than that, the target itself.
_DRAWN: dict[Strategy, int] = {
    "rand/1": 3,
    "best/1": 2,
    "rand/2": 5,
    "current-to-best/1": 2,
    "current-to-pbest/1": 2,
}


@dataclass(frozen=True, eq=False)
class DEState:
    """Hold the population ``x`` and its ``loss``, +inf before the first generation and where one failed."""

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    loss: Float[np.ndarray, " pop"]


@dataclass(frozen=True)
class DE(StartFirst[DEState]):
    """Run classic Differential Evolution with synchronous generations; the start is the population."""

    strategy: Strategy = "rand/1"
    """How the mutant is built. Default: the paper's DE1."""
    crossover: Crossover = "binomial"
    """How mutant and target mix."""
    F: float | tuple[float, float] = 0.5
    """Scale factor in (0, 2]; a pair (low, high) draws it anew for every trial (dither)."""
    CR: float = 0.7
    """Crossover rate in [0, 1]; the default, with F = 0.5, follows the soft-prompt pilot."""
    p: float = 0.1
    """Share in (0, 1] of the population counted as p-best; used by current-to-pbest/1 only (JADE, 2009)."""

    def __post_init__(self) -> None:
        check_choice(self.strategy, "DE strategy", tuple(_DRAWN))
        check_choice(self.crossover, "DE crossover", ("binomial", "exponential"))
        low, high = self._dither()
        check_number(low, "DE F", low=0, high=2, strict=True)
        check_number(high, "DE F (upper end)", low=low, high=2)
        check_number(self.CR, "DE CR", low=0, high=1)
        check_number(self.p, "DE p", low=0, high=1, strict=True)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> DEState:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is too small."""
        x = checked_start(start, f"DE {self.strategy}", rows=_DRAWN[self.strategy] + 1)
        return DEState(seed, 0, x, np.full(len(x), np.inf))

    def _ask(self, state: DEState) -> Float[np.ndarray, "pop dim"]:
        """Return one trial for every member."""
        x = state.x
        rng = generator(state.seed, state.generation)
        pop, dim = x.shape
        F = rng.uniform(*self._dither(), size=(pop, 1))
        r = partners(rng, pop, _DRAWN[self.strategy])
        v = self._mutants(rng, state, r, F)
        mix = binomial if self.crossover == "binomial" else exponential
        return np.where(mix(rng, np.full(pop, float(self.CR)), dim), v, x)

    def _tell(self, state: DEState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]) -> DEState:
        """Select greedily: a trial that is no worse takes its target's place."""
        better = no_worse(state.loss, loss)
        return replace(
            state,
            generation=state.generation + 1,
            x=np.where(better[:, None], x, state.x),
            loss=np.where(better, loss, state.loss),
        )

    def _dither(self) -> tuple[float, float]:
        return self.F if isinstance(self.F, tuple) else (self.F, self.F)

    def _mutants(
        self,
        rng: np.random.Generator,
        state: DEState,
        r: Int[np.ndarray, "drawn pop"],
        F: Float[np.ndarray, "pop 1"],
    ) -> Float[np.ndarray, "pop dim"]:
        """Build one mutant per target; ``r`` holds mutually distinct members other than the target."""
        x, best = state.x, state.x[int(np.argmin(state.loss))]
        match self.strategy:
            case "rand/1":  # eq. 2
                return x[r[0]] + F * (x[r[1]] - x[r[2]])
            case "best/1":
                return best + F * (x[r[0]] - x[r[1]])
            case "rand/2":
                return x[r[0]] + F * (x[r[1]] - x[r[2]]) + F * (x[r[3]] - x[r[4]])
            case "current-to-best/1":
                return x + F * (best - x) + F * (x[r[0]] - x[r[1]])
            case "current-to-pbest/1":
                top = np.full(len(x), max(1, round(self.p * len(x))))
                pbest = x[among_best(rng, state.loss, top)]
                return x + F * (pbest - x) + F * (x[r[0]] - x[r[1]])
