"""Sweeps in Python: many runs of ``align`` from one file or table, and what they came to."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from acculturate.api.model import Model
from acculturate.errors import SettingError
from acculturate.files.datafile import nearest
from acculturate.files.run_directory import run_folder
from acculturate.judge.sweep import MeanAndSpread, RunStatus, SweepRecord
from acculturate.runs.load import Run, open_run
from acculturate.runs.sweep.models import ModelShelf
from acculturate.runs.sweep.plan import plan_sweep, read_sweep
from acculturate.runs.sweep.processes import carry_out_in_processes
from acculturate.runs.sweep.queue import carry_out_in_turn
from acculturate.runs.sweep.table import SweepTable
from acculturate.runs.trackers.tracker import Tracker
from acculturate.search.callbacks import Callback


@dataclass(frozen=True, eq=False)
class Sweep:
    """Hold a sweep: its directory and its table.

    Parameters
    ----------
    path
        The directory, with one for every run, ``sweep.csv`` and ``index.html``.
    record
        A row for every run, and a cell for those that differ in their seed alone.
    """

    path: Path
    record: SweepRecord

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, in a sentence each, by their directories."""
        return {row.directory: row.problem or "" for row in self.record.failed}

    def run(self, directory: str) -> Run:
        """Open a finished run by its directory; raises ``UserError`` where there is none of that name."""
        names = [row.directory for row in self.record.rows if row.status is RunStatus.DONE]
        if directory not in names:
            raise SettingError(f"The sweep has no finished run '{directory}'{nearest(directory, names)}.")
        run = open_run(self.path / directory)
        assert isinstance(run, Run)
        return run

    def table(self) -> pd.DataFrame:
        """Return a row for every run, by its directory; distances in points, mass 0 to 1."""
        rows = [
            {key: value for key, value in row.model_dump(mode="json").items() if key != "settings"} | dict(row.settings)
            for row in self.record.rows
        ]
        return pd.DataFrame(rows).set_index("directory")

    def cells(self) -> pd.DataFrame:
        """Return mean and standard deviation over the seeds, for every combination of the other settings."""
        lines = []
        for cell in self.record.cells:
            line: dict[str, Any] = {"country": cell.country, "model": cell.model, **cell.settings}
            line |= {"runs": cell.runs, "done": cell.done}
            for name, figure in (("trained", cell.trained), ("heldout", cell.heldout), ("mass", cell.mass)):
                line |= _columns(name, figure)
            lines.append(line)
        return pd.DataFrame(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain JSON values."""
        return self.record.model_dump(mode="json", by_alias=True)

    def _repr_html_(self) -> str:
        title = html.escape(f"sweep in {self.path}")
        return f"<p><b>{title}</b></p>{self.cells().to_html(float_format='%.3g')}"


def _columns(name: str, figure: MeanAndSpread) -> dict[str, float | None]:
    return {name: figure.mean, f"{name}_spread": figure.spread}


def sweep(
    runs: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    model: Model | None = None,
    jobs: int = 1,
    callbacks: Iterable[Callback] = (),
) -> Sweep:
    """Carry out many runs of ``align``; what ``acculturate sweep`` does.

    Parameters
    ----------
    runs
        A TOML or YAML file, or what one holds: ``settings`` of all runs, a ``grid`` of lists by setting, and further
        ``runs`` one by one (docs/sweeps.md).
    out
        The directory of the sweep: the same call does what is missing. By default a temporary directory.
    model
        A loaded model, for the runs that name it.
    jobs
        Processes that share the runs. Callbacks that are no trackers need one process.
    callbacks
        Follow every run.

    Returns
    -------
    Sweep
        Tables of all runs; a run that failed ended none of the others (``failures``).

    Raises
    ------
    UserError
        For every mistake in the file or the directory, in one sentence, before anything is computed.
    """
    plan = read_sweep(Path(runs)) if isinstance(runs, str | Path) else plan_sweep(runs)
    watchers = list(callbacks)
    trackers = [one for one in watchers if isinstance(one, Tracker)]
    if isinstance(jobs, bool) or not 1 <= jobs <= 1000:
        raise SettingError(f"jobs is {jobs!r}; expected a whole number from 1 to 1,000.")
    if jobs > 1 and (len(trackers) < len(watchers) or model is not None):
        raise SettingError("Callbacks and a loaded model stay in one process; give trackers alone, or jobs=1.")
    if out is not None and not str(out).strip():
        raise SettingError("out is empty; name a directory for the sweep.")
    folder = run_folder(out)
    table = SweepTable(plan, folder)
    with table.claimed():
        table.complete(trackers)
        if jobs > 1:
            carry_out_in_processes(table.todo, folder, table.take, jobs, trackers)
        else:
            shelf = ModelShelf(None if model is None else model.respondent)
            carry_out_in_turn(table.todo, folder, table.take, watchers, shelf)
        table.write()
    return Sweep(folder, table.record)
