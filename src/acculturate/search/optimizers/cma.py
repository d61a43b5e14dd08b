"""CMA-ES and separable CMA-ES: the package ``cmaes`` computes, an explicit state remembers.

Hansen (2016), "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772 (equation numbers below). Separable:
Ros & Hansen (2008), "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN X.

The package's objects carry a random generator that their own serialisation drops; here every object lives for
one call, is filled from the state, and samples come from the seam's generator.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import cmaes
import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import LARGEST, STEPS, check_number, checked_start

FULL_LIMIT = 1000
"""Largest dimension of full CMA-ES: it keeps, and decomposes twice a generation, a matrix of dim x dim."""

_POPULATION_MIN = 4  # below, recombination has one parent and the rank-mu rate (eq. 58) is zero


@dataclass(frozen=True, eq=False)
class CMAState:
    """Hold the search distribution N(mean, sigma^2 C) and what adapts it.

    ``start``: the first candidates (empty after the first generation); ``C``: covariance (dim, dim), or its diagonal
    (dim,); ``p_sigma``, ``pc``: evolution paths; ``updates``: how often the distribution was adapted; ``n``:
    candidates per generation from the second one on.
    """

    seed: int
    generation: int
    start: Float[np.ndarray, "pop dim"]
    mean: Float[np.ndarray, " dim"]
    sigma: float
    C: Float[np.ndarray, "dim *dim_again"]
    p_sigma: Float[np.ndarray, " dim"]
    pc: Float[np.ndarray, " dim"]
    updates: int
    n: int


class CovarianceSearch(StartFirst[CMAState]):
    """Adapt a normal distribution; the package ``cmaes`` holds it for one call, the state in between."""

    NAME: ClassVar[str]
    sigma: float
    population: int | None

    def __post_init__(self) -> None:
        check_number(self.sigma, f"{self.NAME} sigma", low=STEPS[0], high=STEPS[1])
        if self.population is not None:
            check_number(self.population, f"{self.NAME} population", low=_POPULATION_MIN, high=LARGEST)

    def _first_state(
        self, start: Float[np.ndarray, "pop dim"], seed: int, C: Float[np.ndarray, "dim *dim_again"]
    ) -> CMAState:
        x = checked_start(start, self.NAME, rows=1 if self.population is not None else _POPULATION_MIN)
        zero = np.zeros(x.shape[1])
        n = self.population if self.population is not None else len(x)
        return CMAState(seed, 0, x, x[0].copy(), float(self.sigma), C, zero, zero.copy(), updates=0, n=n)

    def _start(self, state: CMAState) -> Float[np.ndarray, "pop dim"]:
        return state.start

    def _tell_start(
        self, state: CMAState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> CMAState:
        """Take the start's best row as the mean."""
        mean = np.array(x[int(np.argmin(loss))], dtype=np.float64)
        return replace(state, generation=1, start=np.empty((0, x.shape[1])), mean=mean)

    def _tell(self, state: CMAState, x: Float[np.ndarray, "n dim"], loss: Float[np.ndarray, " n"]) -> CMAState:
        """Adapt the distribution once (eqs. 41 to 47)."""
        es = self._restored(state)
        state = replace(state, generation=state.generation + 1)
        # A generation of failures says nothing: adapting to it would be a random step.
        if not np.isfinite(loss).any():
            return state
        es.tell([(row, value) for row, value in zip(x, loss.tolist(), strict=True)])
        parts = [es._mean, es._C, es._p_sigma, es._pc]
        if not (math.isfinite(es._sigma) and all(np.isfinite(part).all() for part in parts)):
            return state
        mean, C, p_sigma, pc = (np.array(part, dtype=np.float64, order="C") for part in parts)
        # Where the package would advise to stop (its tolx and tolxup), the step stays and the search goes on.
        step = min(max(float(es._sigma), 1e-12 * self.sigma), 1e4 * self.sigma)
        return replace(state, mean=mean, sigma=step, C=C, p_sigma=p_sigma, pc=pc, updates=state.updates + 1)

    @abstractmethod
    def _restored(self, state: CMAState) -> cmaes.CMA | cmaes.SepCMA:
        """Return the package's object in the state's place."""


@dataclass(frozen=True)
class CMAES(CovarianceSearch):
    """Run CMA-ES for at most 1000 coordinates; the mean begins at the best row of the start."""

    NAME: ClassVar[str] = "CMA-ES"

    sigma: float = 1.0
    """First step size, 1e-6 to 1000, in the space's units (one embedding standard deviation)."""
    population: int | None = None
    """Candidates per generation, at least 4 (usual: 4 + 3 ln dim, eq. 48); None: the rows of the start."""

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> CMAState:
        """Return the first state; raises ``UserError`` if the space or the population does not fit."""
        dim = start.shape[1]
        if dim > FULL_LIMIT:
            raise SettingError(
                f"CMA-ES keeps a {dim} x {dim} matrix, and more than {FULL_LIMIT} coordinates are refused: "
                f"use sep-cma, or a random projection to at most {FULL_LIMIT} coordinates."
            )
        return self._first_state(start, seed, np.eye(dim))

    def _ask(self, state: CMAState) -> Float[np.ndarray, "n dim"]:
        """Draw samples of N(mean, sigma^2 C) (eqs. 38 to 40)."""
        B, D = self._restored(state)._eigen_decomposition()
        z = generator(state.seed, state.generation).standard_normal((state.n, len(state.mean)))
        return state.mean + state.sigma * ((z * D) @ B.T)

    def _restored(self, state: CMAState) -> cmaes.CMA:
        es = cmaes.CMA(mean=state.mean.copy(), sigma=state.sigma, population_size=state.n, seed=0)
        _fill(es, state)
        return es


@dataclass(frozen=True)
class SepCMA(CovarianceSearch):
    """Run separable CMA-ES: memory and time linear in the dimension; the mean begins at the start's best row."""

    NAME: ClassVar[str] = "sep-CMA-ES"

    sigma: float = 1.0
    """First step size, 1e-6 to 1000, in the space's units (one embedding standard deviation)."""
    population: int | None = None
    """Candidates per generation, at least 4 (usual: 4 + 3 ln dim, eq. 48); None: the rows of the start."""

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> CMAState:
        """Return the first state; raises ``UserError`` if the space or the population does not fit."""
        dim = start.shape[1]
        if dim < 2:
            raise SettingError(f"sep-CMA-ES needs at least 2 coordinates, got {dim}: use another optimizer.")
        return self._first_state(start, seed, np.ones(dim))

    def _ask(self, state: CMAState) -> Float[np.ndarray, "n dim"]:
        """Draw samples of N(mean, sigma^2 diag(C))."""
        D = self._restored(state)._eigen_decomposition()
        z = generator(state.seed, state.generation).standard_normal((state.n, len(state.mean)))
        return state.mean + state.sigma * (z * D)

    def _restored(self, state: CMAState) -> cmaes.SepCMA:
        es = cmaes.SepCMA(mean=state.mean.copy(), sigma=state.sigma, population_size=state.n, seed=0)
        _fill(es, state)
        return es


def _fill(es: cmaes.CMA | cmaes.SepCMA, state: CMAState) -> None:
    """Set everything that changes in the package's object; the rest follows from the two sizes."""
    es._C = state.C.copy()
    es._p_sigma = state.p_sigma.copy()
    es._pc = state.pc.copy()
    es._g = state.updates
