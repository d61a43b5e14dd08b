"""What a sweep tells whoever follows it: how far each of its runs is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from acculturate.search.callbacks import Callback
from acculturate.search.history import Generation


class EventKind(StrEnum):
    """Tell what happened to a run."""

    BEGINS = "begins"
    STAGE = "stage"
    GENERATION = "generation"
    DONE = "done"
    FAILED = "failed"
    WARNING = "warning"


@dataclass(frozen=True)
class Event:
    """Hold one event of one run.

    Parameters
    ----------
    run
        The run's name.
    kind
        What happened.
    words
        The stage that begins, why the run failed, or a warning.
    evaluations, best
        Candidates so far, and the lowest loss, in points.
    """

    run: str
    kind: EventKind
    words: str = ""
    evaluations: int | None = None
    best: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Event:
        """Read an event that another process wrote."""
        values = {field.name: line.get(field.name) for field in fields(cls)}
        return cls(**{**values, "kind": EventKind(values["kind"])})


Follow = Callable[[Event], None]


class Reporter(Callback):
    """Hand what a run tells on as events of a sweep.

    Parameters
    ----------
    run
        The run's name.
    follow
        Is told every event.
    """

    def __init__(self, run: str, follow: Follow) -> None:
        self._run, self._follow = run, follow

    def stage(self, name: str) -> None:
        """Tell which part of the run begins."""
        self._follow(Event(self._run, EventKind.STAGE, name))

    def resumed(self, evaluations: int) -> None:
        """Tell how many candidates were evaluated before."""
        self._follow(Event(self._run, EventKind.GENERATION, evaluations=evaluations))

    def generation(self, generation: Generation) -> None:
        """Tell the evaluations so far and the lowest loss."""
        event = Event(self._run, EventKind.GENERATION, evaluations=generation.evaluations, best=generation.best)
        self._follow(event)
