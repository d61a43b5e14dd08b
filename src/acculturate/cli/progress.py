"""Telling a user how far a run is: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from acculturate.cli.terminal import Console
from acculturate.search.loop import Progress as SearchProgress

_LINE_EVERY_S = 10.0


@contextmanager
def watching(budget: int) -> Iterator[Callable[[str, SearchProgress | None], None]]:
    """Yields the function that a run calls with its stage and, while searching, its progress."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, budget)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("starting", total=budget, loss="")

        def show(stage: str, progress: SearchProgress | None) -> None:
            if progress is None:
                bar.update(task, description=stage)
            else:
                bar.update(task, description=stage, completed=progress.evaluations, loss=_loss(progress))

        yield show


class _Lines:
    def __init__(self, console: Console, budget: int) -> None:
        self._console, self._budget, self._last = console, budget, 0.0

    def __call__(self, stage: str, progress: SearchProgress | None) -> None:
        if progress is None:
            self._console.print(stage)
            return
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S and progress.evaluations < self._budget:
            return
        self._last = now
        self._console.print(
            f"{stage}: {progress.evaluations}/{self._budget} evaluations, {_loss(progress) or 'nothing yet'}",
        )


def _loss(progress: SearchProgress) -> str:
    return f"best {progress.best_loss:.2f}" if np.isfinite(progress.best_loss) else ""
