"""What a sweep has come to: its table and its page, made from the directories of its runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from acculturate.errors import ModelError, RunDirectoryError, UserError, setting
from acculturate.files.checksums import SPEC, check_sum
from acculturate.files.datafile import user_path
from acculturate.files.run_directory import LOCK, RunDirectory, dump_json, opened_lock, read_json, take_lock
from acculturate.files.whole_file import write_whole
from acculturate.judge.sweep import (
    FILES,
    RunStatus,
    SweepRecord,
    SweepRow,
    cells_of,
    csv_table,
    figures_of,
    names_of_files,
    without_folders,
    without_places,
)
from acculturate.model.gguf import is_gguf
from acculturate.report.run_page import FILE_NAME as REPORT
from acculturate.report.sweep_page import FILE_NAME as PAGE
from acculturate.report.sweep_page import write_sweep_page
from acculturate.runs.align import Align
from acculturate.runs.resolve import prepare
from acculturate.runs.skeleton import finished_record, settings_of
from acculturate.runs.sweep.events import Event, EventKind
from acculturate.runs.sweep.plan import MARKER, TABLE, PlannedRun, SweepPlan
from acculturate.runs.sweep.queue import carry_out_in_turn
from acculturate.runs.trackers.tracker import Tracker

_MARK = {"schema": 1, "kind": "sweep"}


class SweepTable:
    """Keep the table of a sweep as its runs come to an end, and write it and the page beside them.

    Parameters
    ----------
    plan
        The runs.
    out
        The directory of the sweep.

    Raises
    ------
    UserError
        Where the directory cannot be that of a sweep, or holds a run with other settings than the plan's, or where
        a model of a run that is not finished does not exist.
    """

    def __init__(self, plan: SweepPlan, out: Path) -> None:
        _check_folder(out, {run.name for run in plan.runs})
        for run in plan.runs:
            _check_run(run, out / run.name)
        self._plan, self._out = plan, out
        self._runs = {run.name: run for run in plan.runs}
        self._names = {key: names_of_files(getattr(run.spec, key) for run in plan.runs) for key in FILES}
        self._rows = {run.name: self._row(run, None) for run in plan.runs}
        for name in dict.fromkeys(run.spec.model for run in self.todo):
            _check_model(name)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the directory for this sweep; ``UserError`` where another process has it."""
        self._make_folder()
        try:
            lock = opened_lock(self._out / LOCK)
        except OSError as error:
            raise _unwritable(self._out, error) from error
        try:
            take_lock(self._out, lock)
            yield
        finally:
            os.close(lock)

    @property
    def todo(self) -> tuple[PlannedRun, ...]:
        """The runs that are not finished, those with one model after each other."""
        return tuple(run for run in self._plan.in_order_of_models if self._rows[run.name].status is not RunStatus.DONE)

    def complete(self, trackers: Sequence[Tracker] = ()) -> None:
        """Write the reports that finished runs lack, and log all of these runs to trackers; no model is loaded."""
        finished = [run for run in self._plan.runs if self._rows[run.name].status is RunStatus.DONE]
        lacking = [run for run in finished if trackers or not (self._out / run.name / REPORT).is_file()]
        carry_out_in_turn(lacking, self._out, self._take_failure, trackers)

    def _take_failure(self, event: Event) -> None:
        if event.kind is EventKind.FAILED:
            self.take(event)

    @property
    def record(self) -> SweepRecord:
        """The table as it is now."""
        rows = tuple(self._rows[run.name] for run in self._plan.runs)
        return SweepRecord(rows=rows, cells=cells_of(rows, [run.settings(seed=False) for run in self._plan.runs]))

    def take(self, event: Event) -> None:
        """Write table and page anew where an event ends a run."""
        if event.kind in (EventKind.DONE, EventKind.FAILED):
            problem = event.words if event.kind is EventKind.FAILED else None
            self._rows[event.run] = self._row(self._runs[event.run], problem)
            self.write()

    def write(self) -> Path:
        """Write table and page and return the path of the page."""
        record = self.record
        self._make_folder()
        try:
            write_whole(self._out / TABLE, csv_table(record.rows).encode("utf-8", "replace"))
        except OSError as error:
            raise _unwritable(self._out, error) from error
        return write_sweep_page(self._out, record)

    def _make_folder(self) -> None:
        """Make the directory, and mark it as that of a sweep."""
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            if not (self._out / MARKER).exists():
                write_whole(self._out / MARKER, dump_json(_MARK))
        except OSError as error:
            raise _unwritable(self._out, error) from error

    def _row(self, run: PlannedRun, problem: str | None) -> SweepRow:
        row = SweepRow(
            directory=run.name,
            country=run.code,
            model=self._names["model"][run.spec.model],
            seed=run.spec.seed,
            settings=without_places(run.varied, self._names),
            status=RunStatus.UNFINISHED,
        )
        if problem is None:
            try:
                result = finished_record(Align(prepare(run.spec)), self._out / run.name)
            except UserError as error:
                problem = str(error)
            else:
                return row if result is None else row.model_copy(update=figures_of(result))
        return row.model_copy(update={"status": RunStatus.FAILED, "problem": without_folders(problem)})


def _unwritable(out: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"Cannot write to the directory '{out}' ({error.strerror}); choose another with {setting('out')}."
    )


def _check_folder(out: Path, names: Set[str]) -> None:
    """Refuse a directory that cannot be that of a sweep with runs of these names, before anything is computed."""
    if out.exists() and not out.is_dir():
        raise RunDirectoryError(f"Cannot write the sweep to '{out}': a file stands there; choose another directory.")
    if (out / SPEC).exists():
        raise RunDirectoryError(
            f"The directory '{out}' holds a run, not a sweep; choose another directory with {setting('out')}."
        )
    for name in (PAGE, TABLE, MARKER):
        if (out / name).is_dir():
            raise RunDirectoryError(f"'{out / name}' is a directory, but a file of the sweep belongs there; move it.")
    if (out / MARKER).exists() and read_json(out / MARKER).get("kind") == _MARK["kind"]:
        return
    strangers = [] if not out.exists() else sorted(one.name for one in _entries(out) if one.name not in names)
    if strangers:
        raise RunDirectoryError(
            f"The directory '{out}' holds other files ({strangers[0]}) but no sweep; choose an empty one with "
            f"{setting('out')}."
        )


def _check_run(run: PlannedRun, folder: Path) -> None:
    """Refuse a directory that holds a run with other settings: its row would be lost, and nothing else would run."""
    try:
        check_sum(folder / SPEC)
        read_json(folder / SPEC)
    except UserError:  # no run, or a damaged one: that ends this run alone
        return
    RunDirectory(folder).check(settings_of(Align(prepare(run.spec))))


def _check_model(name: str) -> None:
    """Refuse a name that only a file or directory of this machine can have, and none has."""
    path = user_path(name)
    local = name.startswith((".", "/", "~")) or name.count("/") > 1 or is_gguf(path)
    if local and not os.path.exists(path):  # noqa: PTH110 (False for a name too long, too)
        raise ModelError(f"Model '{name}' does not exist; give a path that does, or a Hugging Face id.")


def _entries(out: Path) -> list[Path]:
    try:
        return [one for one in out.iterdir() if not one.name.startswith(".")]
    except OSError as error:
        raise RunDirectoryError(
            f"Cannot read the directory '{out}' ({error.strerror}); choose another with {setting('out')}."
        ) from error
