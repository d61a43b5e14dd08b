"""The runs of a sweep, shared by several processes of this machine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from acculturate.errors import SettingError
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.local import environment
from acculturate.model.pool.torchrun import is_launched
from acculturate.runs.sweep.events import Event, EventKind, Follow
from acculturate.runs.sweep.plan import PlannedRun
from acculturate.runs.sweep.worker import order
from acculturate.runs.trackers.tracker import Tracker

_GRACE_S = 5.0
"""Seconds for a process that is told to end to do so."""


class _Worker:
    """Hold a process that carries out one run at a time, and the thread that listens to it."""

    def __init__(self, heard: queue.Queue[tuple[_Worker, Event | None]], threads: int) -> None:
        # -P: a file of the current directory that is named like a package is none of ours.
        command = [sys.executable, "-P", "-m", "acculturate.runs.sweep.worker"]
        share = None if "OMP_NUM_THREADS" in os.environ else threads  # the user's own number wins
        # A session of its own: Ctrl-C reaches the process that was started by the user, which ends this one.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment(share),
            start_new_session=True,
        )
        self.run: PlannedRun | None = None
        self.choice: ModelChoice | None = None
        self._heard = heard
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._heard.put((self, Event.from_json(json.loads(line))))
        self._heard.put((self, None))

    def begin(self, run: PlannedRun, folder: Path, *, again: bool, trackers: Sequence[Tracker]) -> None:
        """Have the process carry out a run."""
        assert self.process.stdin is not None
        self.run, self.choice = run, run.spec.choice
        with suppress(BrokenPipeError):  # where it ended, that is heard of
            self.process.stdin.write(json.dumps(order(run, folder, again=again, trackers=trackers)) + "\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Let the process end once it has nothing to do."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class _Backlog:
    """Hold the runs that no process has yet."""

    def __init__(self, runs: Sequence[PlannedRun], out: Path, trackers: Sequence[Tracker]) -> None:
        self.left, self._out, self._trackers = list(runs), out, trackers

    def employ(self, worker: _Worker, workers: Sequence[_Worker]) -> None:
        """Give a process a run with its model, else one whose model no other process has, else the first one."""
        if not self.left:
            worker.dismiss()
            return
        others = {one.choice for one in workers if one is not worker}
        run = next((one for one in self.left if one.spec.choice == worker.choice), None)
        run = run or next((one for one in self.left if one.spec.choice not in others), self.left[0])
        self.left.remove(run)
        again = any(one.spec.choice == run.spec.choice for one in self.left)
        worker.begin(run, self._out / run.name, again=again, trackers=self._trackers)


def check_processes() -> None:
    """Refuse several processes where torchrun started some already, all of which would start more."""
    if is_launched():
        raise SettingError(
            "torchrun's processes share every run already; give 1 for jobs, or start the sweep without torchrun."
        )


def carry_out_in_processes(
    runs: Sequence[PlannedRun], out: Path, follow: Follow, jobs: int, trackers: Sequence[Tracker] = ()
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
    jobs
        Processes at a time. They share the processor's cores between them.
    trackers
        Follow every run.

    Raises
    ------
    UserError
        Where torchrun started this process.
    """
    check_processes()
    backlog, heard = _Backlog(runs, out, trackers), queue.Queue[tuple[_Worker, Event | None]]()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [_Worker(heard, threads) for _ in range(min(jobs, len(runs)))]
    try:
        for worker in workers:
            backlog.employ(worker, workers)
        while workers:
            worker, event = heard.get()
            if event is not None:
                _tell(worker, event, follow)
                if worker.run is None:
                    backlog.employ(worker, workers)
                continue
            workers.remove(worker)
            code = worker.process.wait()
            if worker.run is not None:
                follow(Event(worker.run.name, EventKind.FAILED, _lost(code)))
            if backlog.left:
                workers.append(_Worker(heard, threads))
                backlog.employ(workers[-1], workers)
    finally:
        _end(workers)


def _tell(worker: _Worker, event: Event, follow: Follow) -> None:
    if event.kind is EventKind.WARNING:
        warnings.warn(event.words, stacklevel=2)
        return
    if event.kind in (EventKind.DONE, EventKind.FAILED):
        worker.run = None
    follow(event)


def _lost(code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    why = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
    return f"Its process {how}{why}; the same command goes on with it from its last generation."


def _end(workers: Sequence[_Worker]) -> None:
    """End processes that are still there: an interruption, or a mistake here."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        try:
            worker.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
