"""The first generation of a population search: the start itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.protocol import State
from acculturate.search.optimizers.variation import losses_of
from acculturate.survey.loss import Evaluation

S = TypeVar("S", bound=State)


class StartFirst(ABC, Generic[S]):
    """Ask for the start itself in the first generation, and leave all later ones to the algorithm.

    An algorithm writes ``init``, ``_ask`` and ``_tell``, and ``_tell_start`` where the start's losses count otherwise
    than those of later candidates.
    """

    def ask(self, state: S) -> Float[np.ndarray, "n dim"]:
        """Return the candidates to evaluate next: first the start, then what the algorithm makes of the state."""
        return self._start(state).copy() if state.generation == 0 else self._ask(state)

    def tell(self, state: S, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> S:
        """Return the state after the evaluations of ``x``, row by row in the order that ``ask`` gave."""
        values = self._values(x, evaluations)
        return self._tell_start(state, x, values) if state.generation == 0 else self._tell(state, x, values)

    def _start(self, state: Any) -> Float[np.ndarray, "pop dim"]:
        """Return the start as the state holds it before anything was evaluated."""
        return state.x

    def _values(self, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]) -> Float[np.ndarray, "n *_"]:
        """List what the algorithm minimises, by candidate; +inf where one failed."""
        return losses_of(x, evaluations)

    @abstractmethod
    def _ask(self, state: S) -> Float[np.ndarray, "n dim"]:
        """Return the candidates of a generation after the first."""

    @abstractmethod
    def _tell(self, state: S, x: Float[np.ndarray, "n dim"], loss: Any) -> S:
        """Return the state after a generation; ``loss`` is what ``_values`` lists."""

    def _tell_start(self, state: S, x: Float[np.ndarray, "pop dim"], loss: Any) -> S:
        """Return the state after the first generation."""
        return self._tell(state, x, loss)
