"""OpenAI-ES: a gradient estimate from mirrored Gaussian perturbations, followed by Adam.

Salimans, Ho, Chen, Sidor & Sutskever (2017), "Evolution Strategies as a Scalable Alternative to Reinforcement
Learning", arXiv:1703.03864: alg. 1, mirrored sampling and fitness shaping from section 2.1. Adam: Kingma & Ba
(2015), arXiv:1412.6980, alg. 1. Losses are minimised here, so the signs are turned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.start_first import StartFirst
from acculturate.search.optimizers.variation import LARGEST, STEPS, check_number, checked_start


@dataclass(frozen=True, eq=False)
class OpenAIESState:
    """Hold the mean ``theta`` and Adam's ``m``, ``v`` and ``t``.

    ``start``: the first candidates (empty after the first generation).
    ``n``: candidates per generation from the second one on.
    """

    seed: int
    generation: int
    start: Float[np.ndarray, "pop dim"]
    theta: Float[np.ndarray, " dim"]
    m: Float[np.ndarray, " dim"]
    v: Float[np.ndarray, " dim"]
    t: int
    n: int


@dataclass(frozen=True)
class OpenAIES(StartFirst[OpenAIESState]):
    """Run OpenAI-ES; the mean begins at the best row of the start."""

    sigma: float = 0.5
    """Standard deviation, 1e-6 to 1000, of the perturbations, in the space's units (our default)."""
    learning_rate: float = 0.1
    """Adam's step size above 0, up to 1000, in the space's units per generation (our default)."""
    weight_decay: float = 0.0
    """Pull of the mean to 0, per unit, 0 to 1 (the paper's program: 0.005)."""
    population: int | None = None
    """Candidates per generation, at least 2; odd numbers are rounded up. None: the rows of the start."""
    beta_1: float = 0.9
    """Adam's first decay in [0, 1)."""
    beta_2: float = 0.999
    """Adam's second decay in [0, 1)."""
    epsilon: float = 1e-8
    """Adam's guard against division by zero, 1e-12 to 1."""

    def __post_init__(self) -> None:
        check_number(self.sigma, "OpenAI-ES sigma", low=STEPS[0], high=STEPS[1])
        check_number(self.learning_rate, "OpenAI-ES learning_rate", low=0, high=STEPS[1], strict=True)
        check_number(self.weight_decay, "OpenAI-ES weight_decay", low=0, high=1)
        if self.population is not None:
            check_number(self.population, "OpenAI-ES population", low=2, high=LARGEST)
        check_number(self.beta_1, "OpenAI-ES beta_1", low=0, high=np.nextafter(1, 0))
        check_number(self.beta_2, "OpenAI-ES beta_2", low=0, high=np.nextafter(1, 0))
        check_number(self.epsilon, "OpenAI-ES epsilon", low=1e-12, high=1)

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> OpenAIESState:
        """Return the state before anything was evaluated; raises ``UserError`` if the start is empty or not finite."""
        x = checked_start(start, "OpenAI-ES", rows=1)
        zero = np.zeros(x.shape[1])
        n = self.population if self.population is not None else max(2, len(x))
        return OpenAIESState(seed, 0, x, x[0].copy(), zero, zero.copy(), t=0, n=n + n % 2)

    def _start(self, state: OpenAIESState) -> Float[np.ndarray, "pop dim"]:
        return state.start

    def _ask(self, state: OpenAIESState) -> Float[np.ndarray, "n dim"]:
        """Return theta + sigma eps in the first half, theta - sigma eps in the second."""
        eps = self._perturbations(state)
        return np.concatenate([state.theta + self.sigma * eps, state.theta - self.sigma * eps])

    def _tell_start(
        self, state: OpenAIESState, x: Float[np.ndarray, "pop dim"], loss: Float[np.ndarray, " pop"]
    ) -> OpenAIESState:
        """Take the start's best row as the mean."""
        theta = np.array(x[int(np.argmin(loss))], dtype=np.float64)
        return replace(state, generation=1, start=np.empty((0, x.shape[1])), theta=theta)

    def _tell(
        self, state: OpenAIESState, x: Float[np.ndarray, "n dim"], loss: Float[np.ndarray, " n"]
    ) -> OpenAIESState:
        """Take one Adam step along the estimated gradient (alg. 1)."""
        # Centred ranks in [-1/2, 1/2]; equal losses share a rank: failures alone give no signal.
        shaped = (rankdata(loss) - 1) / (len(loss) - 1) - 0.5
        half = len(loss) // 2
        weights = shaped[:half] - shaped[half:]
        eps = self._perturbations(state)
        g = weights @ eps / (len(loss) * self.sigma) + self.weight_decay * state.theta
        t = state.t + 1
        m = self.beta_1 * state.m + (1 - self.beta_1) * g
        v = self.beta_2 * state.v + (1 - self.beta_2) * g * g
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        theta = state.theta - self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)
        return replace(state, generation=state.generation + 1, theta=theta, m=m, v=v, t=t)

    def _perturbations(self, state: OpenAIESState) -> Float[np.ndarray, "half dim"]:
        rng = generator(state.seed, state.generation)
        return rng.standard_normal((state.n // 2, len(state.theta)))
