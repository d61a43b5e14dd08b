"""How far the runs of a sweep are: a table on a terminal, one line for each run that ends elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from acculturate.cli.flags import in_flags
from acculturate.cli.terminal import Console
from acculturate.errors import counted
from acculturate.legible import legible

if TYPE_CHECKING:
    from acculturate.runs.sweep.events import Event

SHOWN = 12
"""Runs in the table on a terminal: those that are going on, then those that ended last."""


class _State:
    """Hold what is known of one run while the sweep goes on."""

    def __init__(self, budget: int) -> None:
        self.budget, self.words, self.evaluations = budget, "waiting", 0
        self.best: float | None = None
        self.began: float | None = None
        self.seconds: float | None = None

    def take(self, event: Event) -> None:
        """Take in what happened to the run."""
        from acculturate.runs.sweep.events import EventKind  # only a sweep pays for it

        now = time.monotonic()
        match event.kind:
            case EventKind.BEGINS:
                self.began, self.seconds, self.words = now, None, "starting"
            case EventKind.STAGE:
                self.words = event.words
            case EventKind.GENERATION:
                self.evaluations = event.evaluations or self.evaluations
                self.best = self.best if event.best is None else event.best
            case EventKind.DONE | EventKind.FAILED:
                self.words = event.kind.value
                self.seconds = 0.0 if self.began is None else now - self.began
            case EventKind.WARNING:
                pass  # the terminal shows it by itself


@contextmanager
def sweep_progress(budgets: Mapping[str, int], *, finished: int) -> Iterator[Callable[[Event], None]]:
    """Show how far a sweep is, on standard error.

    ``budgets``: candidates of every run that is to do, by its name. ``finished``: how many runs were so before.
    """
    console = Console(stderr=True)
    states = {name: _State(budget) for name, budget in budgets.items()}
    if finished:
        total = finished + len(budgets)
        console.print(f"{finished} of {total} {'run is' if total == 1 else 'runs are'} finished already.")
    if not console.is_terminal:
        yield lambda event: _told(states, event, console)
        return
    with Live(_table(states), console=console, refresh_per_second=4, transient=True) as live:

        def show(event: Event) -> None:
            states[event.run].take(event)
            live.update(_table(states))

        yield show


def _told(states: Mapping[str, _State], event: Event, console: Console) -> None:
    """Write a line where a run ends."""
    from acculturate.performance.cost import readable_time
    from acculturate.runs.sweep.events import EventKind

    state = states[event.run]
    state.take(event)
    if state.seconds is None or event.kind not in (EventKind.DONE, EventKind.FAILED):
        return
    ended = sum(one.seconds is not None for one in states.values())
    best = "" if state.best is None else f", lowest loss {state.best:.2f}"
    said = f": {in_flags(event.words)}" if event.words else best
    console.print(
        f"{ended} of {len(states)}: {event.run} {state.words} in {readable_time(state.seconds)}{said}", soft_wrap=True
    )


def _table(states: Mapping[str, _State]) -> Table:
    going = [name for name, state in states.items() if state.began is not None and state.seconds is None]
    ended = [name for name, state in states.items() if state.seconds is not None]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (f"{len(ended)} of {counted(list(states), 'run')}", "evaluations", "best", ""):
        table.add_column(name, justify="right" if name in ("evaluations", "best") else "left", no_wrap=True)
    for name in [*going, *reversed(ended)][:SHOWN]:
        state = states[name]
        best = "" if state.best is None else f"{state.best:.2f}"
        table.add_row(name, f"{state.evaluations}/{state.budget}", best, legible(state.words))
    return table
