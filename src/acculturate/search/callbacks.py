"""What a run tells whoever follows it: its stages and its generations. A follower may stop the search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acculturate.search.history import Generation


class Callback:
    """Follow a run: a subclass overrides what it wants to hear of.

    Progress bars, experiment trackers and rules that stop a search are callbacks. An exception in one ends the run,
    which goes on from its last generation when it is started again.
    """

    def stage(self, name: str) -> None:
        """Hear which part of the run begins, in words."""

    def started(self, folder: Path) -> None:
        """Hear that a run begins, or goes on, in a directory, which holds its spec.json."""

    def resumed(self, evaluations: int) -> None:
        """Hear how many candidates were evaluated before, when the search begins or goes on."""

    def generation(self, generation: Generation) -> bool | None:
        """Hear of a generation that is on disk. Return True to stop the search: its winner so far is delivered."""

    def interrupted(self) -> None:
        """Hear that a run ends before it is finished: by an exception, or by Ctrl-C."""

    def finished(self, folder: Path) -> None:
        """Hear that a run is finished; its directory holds the record and the page. A finished run tells this alone."""


class StopBelow(Callback):
    """Stop a search once its lowest training loss is below a bound.

    Parameters
    ----------
    loss
        The bound, in points.
    """

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def generation(self, generation: Generation) -> bool:
        """Return True where the search came below the bound."""
        return generation.best is not None and generation.best < self.loss


@dataclass(frozen=True)
class Callbacks:
    """Hand every event on to several callbacks.

    Parameters
    ----------
    callbacks
        Who is told, in order.
    prefix
        Stands before the name of every stage.
    factor
        Evaluations that one candidate counts for.
    """

    callbacks: tuple[Callback, ...] = ()
    prefix: str = ""
    factor: int = 1

    @classmethod
    def of(cls, callbacks: Iterable[Callback]) -> Callbacks:
        """Gather callbacks."""
        return cls(tuple(callbacks))

    def under(self, prefix: str) -> Callbacks:
        """Return the same with words before the name of every stage."""
        return replace(self, prefix=f"{self.prefix}{prefix}")

    def counting(self, factor: int) -> Callbacks:
        """Return the same where a candidate counts for several evaluations."""
        return replace(self, factor=factor)

    def stage(self, name: str) -> None:
        """Tell which part of the run begins."""
        for one in self.callbacks:
            one.stage(f"{self.prefix}{name}")

    @contextmanager
    def during(self, folder: Path) -> Iterator[None]:
        """Tell that a run begins or goes on, and that it is interrupted where an exception ends it."""
        for one in self.callbacks:
            one.started(folder)
        try:
            yield
        except BaseException:
            for one in self.callbacks:
                one.interrupted()
            raise

    def finished(self, folder: Path) -> None:
        """Tell that a run is finished."""
        for one in self.callbacks:
            one.finished(folder)

    def resumed(self, evaluations: int) -> None:
        """Tell how many candidates were evaluated before."""
        for one in self.callbacks:
            one.resumed(evaluations * self.factor)

    def generation(self, generation: Generation) -> bool:
        """Tell of a generation and return whether one of the callbacks stops the search."""
        shown = replace(generation, evaluations=generation.evaluations * self.factor)
        if shown.best is not None and not np.isfinite(shown.best):
            shown = replace(shown, best=None)
        # All are told, whoever stops: no tracker misses the last generation.
        answers = [one.generation(shown) for one in self.callbacks]
        return True in answers


SILENT = Callbacks()
"""Tells nobody."""
