"""Particle swarm optimization with constriction.

Clerc & Kennedy (2002), "The Particle Swarm - Explosion, Stability, and Convergence in a Multidimensional
Complex Space", IEEE TEVC 6(1):58-73; the ring follows Bratton & Kennedy (2007), "Defining a Standard for
Particle Swarm Optimization", SIS 2007:120-127.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import (
    check_choice,
    check_number,
    checked_start,
)

Topology = Literal["global", "ring"]


@dataclass(frozen=True, eq=False)
class PSOState:
    """Hold the positions evaluated last, ``x``; ``v``: the moves that led there; ``p``, ``loss``: everyone's best."""

    seed: int
    generation: int
    x: Float[np.ndarray, "pop dim"]
    v: Float[np.ndarray, "pop dim"]
    p: Float[np.ndarray, "pop dim"]
    loss: Float[np.ndarray, " pop"]


@dataclass(frozen=True)
class PSO(StartFirst[PSOState]):
    """Run constricted PSO; the start is the swarm."""

    phi_1: float = 2.05
    """Pull, above 0 and up to 100, to the particle's own best; phi_1 + phi_2 must exceed 4 (the paper's setting)."""
    phi_2: float = 2.05
    """Pull, above 0 and up to 100, to the neighbourhood's best (the paper's setting)."""
    topology: Topology = "global"
    """Who informs whom: everybody, or both neighbours on a ring (slower, harder to trap)."""

    def __post_init__(self) -> None:
        check_number(self.phi_1, "PSO phi_1", low=0, high=100, strict=True)
        check_number(self.phi_2, "PSO phi_2", low=0, high=100, strict=True)
        if self.phi_1 + self.phi_2 <= 4:
            raise SettingError(
                f"PSO phi_1 + phi_2 is {self.phi_1 + self.phi_2:g}, expected more than 4 for constriction."
            )
        check_choice(self.topology, "PSO topology", ("global", "ring"))

    @property
    def chi(self) -> float:
        """Compute the constriction coefficient for kappa = 1 (simple constriction; 0.7298 for phi = 4.1)."""
        phi = self.phi_1 + self.phi_2
        return 2 / (phi - 2 + math.sqrt(phi * phi - 4 * phi))

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> PSOState:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is too small."""
        x = checked_start(start, "PSO", rows=2)
        # There is no box to draw velocities from: half the way to a random other particle has the scale of the start.
        rng = generator(seed, 0)
        pop = len(x)
        other = (np.arange(pop) + 1 + rng.integers(0, pop - 1, pop)) % pop
        return PSOState(seed, 0, x, (x[other] - x) / 2, x.copy(), np.full(pop, np.inf))

    def _ask(self, state: PSOState) -> Float[np.ndarray, "pop dim"]:
        """Move every particle once."""
        return state.x + self._velocity(state)

    def _tell(self, state: PSOState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]) -> PSOState:
        """Take the moves and remember what was better."""
        # The velocity is the move as it was made, rounding included.
        return self._remembered(replace(state, v=x - state.x), x, loss)

    def _tell_start(
        self, state: PSOState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> PSOState:
        """Remember the start; nothing has moved yet."""
        return self._remembered(state, x, loss)

    def _remembered(
        self, state: PSOState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> PSOState:
        """Return the state at these positions, with everyone's best."""
        better = loss < state.loss
        return replace(
            state,
            generation=state.generation + 1,
            x=np.array(x, dtype=np.float64),
            p=np.where(better[:, None], x, state.p),
            loss=np.where(better, loss, state.loss),
        )

    def _velocity(self, state: PSOState) -> Float[np.ndarray, "pop dim"]:
        """Compute chi (v + U(0, phi_1) (p - x) + U(0, phi_2) (g - x)), a new random number per coordinate."""
        rng = generator(state.seed, state.generation)
        x, p = state.x, state.p
        pull = state.v + rng.uniform(0, self.phi_1, x.shape) * (p - x)
        pull += rng.uniform(0, self.phi_2, x.shape) * (self._informants(state) - x)
        return self.chi * pull

    def _informants(self, state: PSOState) -> Float[np.ndarray, "pop dim"]:
        """Return the best position that each particle knows of."""
        pop = len(state.loss)
        if self.topology == "global":
            return np.broadcast_to(state.p[int(np.argmin(state.loss))], state.p.shape)
        i = np.arange(pop)
        neighbours = np.stack([i, (i - 1) % pop, (i + 1) % pop])
        return state.p[neighbours[np.argmin(state.loss[neighbours], axis=0), i]]
