"""What goes between the process that runs a search and the workers that evaluate shares of its candidates."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, UserError
from acculturate.legible import shown
from acculturate.model.choice import ModelChoice
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

TIMEOUT = "ACCULTURATE_WORKER_TIMEOUT"
"""Environment variable: seconds that a worker may take to load the model or to answer one batch."""
_SECONDS = 3600.0


class WorkerError(UserError):
    """End a run because one of its processes is gone; it goes on from its last generation."""


class LostWorkerError(Exception):
    """Report that a worker will not answer any more, and why; what it was asked has to be asked again."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """Describe an interview, so that another process can put it to a model of its own.

    Parameters
    ----------
    choice, weights
        The model, and the sum of its weights (``Respondent.weights_sum``).
    answers, questionnaire, slot, n_tokens, rows
        As in ``ways.interview``.
    packs, batch, packed_sizes
        What the first process has found out about the model's architecture (``Respondent``).
    """

    choice: ModelChoice
    weights: str
    answers: str
    questionnaire: Questionnaire
    slot: str
    n_tokens: int
    rows: int
    packs: bool
    batch: int
    packed_sizes: dict[bool, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Order:
    """Ask a worker for the answers after some soft prompts, which share one forward pass.

    ``key``: names the interview. ``recipe``: describes it; None where the worker has it already.
    """

    key: str
    recipe: Recipe | None
    prompts: Float[np.ndarray, "rows tokens hidden"]

    def to(self, known: Set[str]) -> Order:
        """Leave the recipe out for a worker that has those of these keys already."""
        return replace(self, recipe=None) if self.key in known else self


@dataclass(frozen=True, eq=False)
class Reply:
    """Hold a worker's responses, and the candidates per forward pass that its memory has room for."""

    responses: list[Response]
    rows: int


@runtime_checkable
class Channel(Protocol):
    """Reach one worker."""

    def ready(self) -> bool:
        """Tell whether the worker is there, so that orders may be sent to it."""
        ...

    def ask(self, order: Order) -> Reply:
        """Send an order and wait for its reply.

        Raises ``LostWorkerError`` where the worker is gone and others can take its place, and otherwise the error
        that the worker ran into.
        """
        ...

    def close(self) -> None:
        """Send the worker away, whatever it is doing."""
        ...


Answer = Callable[[Float[np.ndarray, "rows tokens hidden"]], Reply]
"""Answer an order's soft prompts in this process."""


@runtime_checkable
class Pool(Protocol):
    """Share orders out among processes."""

    def respond(self, orders: Sequence[Order], answer: Answer) -> list[Reply]:
        """Return the reply to every order, in order; ``answer`` computes one in this process."""
        ...


def worker_timeout() -> float:
    """Read how many seconds a worker may take; ``UserError`` for what is no number above 0."""
    text = os.environ.get(TIMEOUT)
    if not text:
        return _SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = np.nan
    if not 0 < seconds <= 10**7:
        raise SettingError(f"The environment variable {TIMEOUT} is {shown(text)}; expected a number of seconds.")
    return seconds
