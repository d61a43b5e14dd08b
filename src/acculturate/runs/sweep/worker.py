"""A process that carries out runs of a sweep for another one: ``python -m acculturate.runs.sweep.worker``.

It reads a line of JSON for every run from standard input and writes one for every event to standard output. It ends
where standard input ends: with the process that started it, whatever becomes of that.
"""

from __future__ import annotations

import inspect
import json
import os
import queue
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from acculturate.errors import warned_by_us
from acculturate.runs.spec import make_spec
from acculturate.runs.sweep.events import Event, EventKind
from acculturate.runs.sweep.models import ModelShelf
from acculturate.runs.sweep.plan import PlannedRun
from acculturate.runs.sweep.queue import carry_out_one
from acculturate.runs.trackers.tracker import Tracker

ORPHANED = 130


def order(run: PlannedRun, folder: Path, *, again: bool = False, trackers: Sequence[Tracker] = ()) -> dict[str, Any]:
    """Describe a run for a worker.

    ``again``: whether its model is worth keeping for a later run. ``trackers``: follow it.
    """
    return {
        "name": run.name,
        "spec": json.loads(run.spec.model_dump_json()),
        "code": run.code,
        "folder": str(folder),
        "again": again,
        "trackers": [one.to_json() for one in trackers],
    }


def read_order(line: dict[str, Any]) -> tuple[PlannedRun, Path, list[Tracker]]:
    """Read a run, its directory and what follows it from what ``order`` made."""
    run = PlannedRun(line["name"], make_spec(line["spec"]), {}, line["code"])
    return run, Path(line["folder"]), [Tracker.from_json(one) for one in line["trackers"]]


def main() -> None:
    """Carry out what standard input asks for until it ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no event
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(orders, busy), daemon=True).start()
    work(orders, busy, events)


def _read(orders: queue.Queue[dict[str, Any] | None], busy: threading.Event) -> None:
    for line in sys.stdin:
        busy.set()
        orders.put(json.loads(line))
    if busy.is_set():  # nobody is there any more: what is on disk is whole, and the run goes on from it
        os._exit(ORPHANED)
    orders.put(None)


def work(
    orders: queue.Queue[dict[str, Any] | None],
    busy: threading.Event,
    events: TextIO,
) -> None:
    """Carry out runs until there is None in place of one, and write what happens to them.

    Parameters
    ----------
    orders
        Runs as ``order`` describes them.
    busy
        Set while a run is going on; it is cleared here.
    events
        Where a line of JSON is written for every event.
    """
    shelf, name = ModelShelf(), ""

    def tell(event: Event) -> None:
        if event.kind in (EventKind.DONE, EventKind.FAILED):
            busy.clear()
        events.write(json.dumps(event.to_json()) + "\n")
        events.flush()

    def warn(message: Warning | str, *_where: object, **_more: object) -> None:
        if warned_by_us(inspect.currentframe()):
            tell(Event(name, EventKind.WARNING, " ".join(str(message).split())))

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UserWarning)
    warnings.showwarning = warn
    while (line := orders.get()) is not None:
        run, folder, trackers = read_order(line)
        name = run.name
        carry_out_one(run, folder, tell, trackers, shelf, again=line["again"])


if __name__ == "__main__":
    main()
