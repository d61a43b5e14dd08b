"""The seam between search algorithms and the run loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from acculturate.survey.loss import Evaluation


@runtime_checkable
class State(Protocol):
    """A frozen dataclass of arrays, numbers, strings and None: all that a resumed search needs."""

    @property
    def seed(self) -> int: ...

    @property
    def generation(self) -> int:
        """How many times ``tell`` has run."""
        ...


S = TypeVar("S", bound=State)


@runtime_checkable
class Optimizer(Protocol[S]):
    """A search algorithm: frozen hyper-parameters here, everything that changes in its state.

    All randomness comes from ``generator(seed, generation)``, so that a state on disk is enough to go on exactly.
    Losses are minimised; an infinite or NaN loss counts as worst.
    """

    def init(self, start: Float[np.ndarray, "pop dim"], seed: int) -> S:
        """The state before anything was evaluated; ``start`` holds the candidates to begin with."""
        ...

    def ask(self, state: S) -> Float[np.ndarray, "n dim"]:
        """The candidates to evaluate next; pure: the same state asks the same candidates."""
        ...

    def tell(self, state: S, x: Float[np.ndarray, "n dim"], seen: Sequence[Evaluation]) -> S:
        """The state after the evaluations of ``x``, row by row in the order that ``ask`` gave."""
        ...


def generator(seed: int, generation: int) -> np.random.Generator:
    """The random numbers of one generation of one run."""
    return np.random.default_rng([seed, generation])
