"""Telling people how far a run is: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from acculturate.legible import legible
from acculturate.search.callbacks import Callback
from acculturate.search.history import Generation

_LINE_EVERY_S = 10.0


class ProgressBar(Callback):
    """Show how far a run is, on standard error; a context manager, which takes the bar away at its end.

    Parameters
    ----------
    budget
        Candidate evaluations that the search may spend.
    console
        Where to show it.
    """

    def __init__(self, budget: int | None = None, console: Console | None = None) -> None:
        self._budget = budget
        self._console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._stage, self._last = "starting", 0.0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(self._stage, total=budget, loss="")

    def __enter__(self) -> ProgressBar:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # a bar that never started would leave an empty line
            self._bar.stop()

    def stage(self, name: str) -> None:
        """Show the stage that begins."""
        self._stage = legible(name)
        if self._console.is_terminal:
            self._bar.update(self._task, description=self._stage)
        else:
            self._console.print(self._stage)

    def resumed(self, evaluations: int) -> None:
        """Begin where the search goes on."""
        self._show(evaluations, None)

    def generation(self, generation: Generation) -> None:
        """Show the evaluations so far and the lowest loss."""
        self._show(generation.evaluations, generation.best)

    def _show(self, evaluations: int, best: float | None) -> None:
        loss = "" if best is None else f"best {best:.2f}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=evaluations, loss=loss)
            return
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S and evaluations != self._budget:
            return
        self._last = now
        total = "" if self._budget is None else f"/{self._budget}"
        self._console.print(f"{self._stage}: {evaluations}{total} evaluations, {loss or 'nothing yet'}")
