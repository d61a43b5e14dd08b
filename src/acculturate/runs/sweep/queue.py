"""The runs of a sweep, one after the other in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acculturate.errors import UserError, first_line, refusal
from acculturate.model.pool.protocol import WorkerError
from acculturate.report.run_page import write_report
from acculturate.runs.align import Align
from acculturate.runs.evaluate import evaluation_of
from acculturate.runs.resolve import prepare
from acculturate.runs.skeleton import carry_out, finished_record
from acculturate.runs.sweep.events import Event, EventKind, Follow, Reporter
from acculturate.runs.sweep.models import ModelShelf
from acculturate.runs.sweep.plan import PlannedRun
from acculturate.search.callbacks import Callback, Callbacks


def carry_out_in_turn(
    runs: Sequence[PlannedRun],
    out: Path,
    follow: Follow,
    callbacks: Sequence[Callback] = (),
    shelf: ModelShelf | None = None,
) -> None:
    """Run, or go on with, every run of a sweep in its directory under ``out``.

    Parameters
    ----------
    runs
        In the order in which to run them.
    out
        The directory of the sweep.
    follow
        Is told how far each run is, and why one failed.
    callbacks
        Follow every run besides.
    shelf
        Holds a model that is in memory already.
    """
    shelf = shelf or ModelShelf()
    try:
        for place, run in enumerate(runs):
            again = any(later.spec.choice == run.spec.choice for later in runs[place + 1 :])
            carry_out_one(run, out / run.name, follow, callbacks, shelf, again=again)
    finally:
        shelf.clear()


def carry_out_one(
    run: PlannedRun,
    folder: Path,
    follow: Follow,
    callbacks: Sequence[Callback],
    shelf: ModelShelf,
    *,
    again: bool,
) -> None:
    """Run, or go on with, one run of a sweep; whatever goes wrong with it is told as an event.

    ``again``: whether its model is worth keeping for a later run. Raises ``WorkerError`` where a process of torchrun is
    gone: no other run could be carried out without it.
    """
    follow(Event(run.name, EventKind.BEGINS))
    try:
        _align(run, folder, Callbacks.of([Reporter(run.name, follow), *callbacks]), shelf, again=again)
    except WorkerError:  # a process of torchrun is gone, and with it all that the other runs would need
        raise
    except UserError as error:
        problem = str(error)
    except OSError as error:
        problem = refusal(error)
    except MemoryError:
        problem = "There is not enough memory for this run; ask for less of it, or use a larger machine."
    except Exception as error:  # one run must not end the others, whatever is wrong with it
        problem = (
            f"An error that nobody expected ended this run: {type(error).__name__}, {first_line(error)}; give its "
            "settings to acculturate align to see all of it."
        )
    else:
        follow(Event(run.name, EventKind.DONE))
        return
    shelf.clear()  # it may be what the run failed with
    follow(Event(run.name, EventKind.FAILED, problem))


def _align(run: PlannedRun, folder: Path, callbacks: Callbacks, shelf: ModelShelf, *, again: bool) -> None:
    """Do what ``align`` does with the settings of one run."""
    kind = Align(prepare(run.spec))
    result = finished_record(kind, folder)
    if result is None:
        result = carry_out(kind, folder, callbacks, shelf.lend(run.spec.choice, again=again, stage=callbacks.stage))
    write_report(folder, result, evaluation_of(folder))
    callbacks.finished(folder)
