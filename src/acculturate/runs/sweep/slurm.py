"""The runs of a sweep as an array of SLURM jobs, submitted and followed through submitit."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acculturate.errors import RunDirectoryError, SettingError, first_line, setting
from acculturate.files.run_directory import dump_json, read_json
from acculturate.files.whole_file import write_whole
from acculturate.legible import shown
from acculturate.runs.sweep.events import Event, EventKind, Follow
from acculturate.runs.sweep.models import ModelShelf
from acculturate.runs.sweep.plan import PlannedRun
from acculturate.runs.sweep.queue import carry_out_one
from acculturate.runs.sweep.worker import order, read_order
from acculturate.runs.trackers.tracker import Tracker

FOLDER = ".slurm"
"""Under the directory of a sweep: submissions, logs and outcomes of its jobs."""

_JOBS = "jobs.json"
_MINUTES = 24 * 60
"""Time of a job where none is given."""
_REQUEUES = 1000
"""How often a job may be put back at the end of its time: it goes on from its last generation, so always."""
_GENERIC = ("cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "timeout_min")
"""Parameters of submitit that every kind of its executors takes, as numbers."""
_ACTIVE = ("PENDING", "RUNNING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING", "COMPLETING", "SUSPENDED", "READY")


class RunJob:
    """Carry out one run of a sweep in a job; what submitit keeps of it is enough to begin the job anew.

    When SLURM is about to take the machine away, submitit asks for a ``checkpoint`` and puts the job back into the
    queue. What the run has on disk then is that of its last generation.
    """

    def __call__(self, line: dict[str, Any], outcome: str) -> None:
        """Carry out the run that a line describes (``worker.order``) and write what became of it to a file."""
        run, folder, trackers = read_order(line)

        def tell(event: Event) -> None:
            print(json.dumps(event.to_json()), flush=True)  # into the job's log
            if event.kind in (EventKind.DONE, EventKind.FAILED):
                problem = event.words if event.kind is EventKind.FAILED else None
                write_whole(Path(outcome), dump_json({"problem": problem}))

        carry_out_one(run, folder, tell, trackers, ModelShelf(), again=False)

    def checkpoint(self, line: dict[str, Any], outcome: str) -> Any:
        """Return what to do when the job comes back: the same, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, line, outcome)


def slurm_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Read parameters of the form NAME=VALUE: options of sbatch, and those of submitit, by their names.

    ``cluster=local`` runs the jobs on this machine instead, to try them.
    """
    parameters: dict[str, Any] = {"timeout_min": _MINUTES}
    sbatch: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        name = name.lstrip("-").replace("-", "_")
        if not equals or not re.fullmatch(r"\w+", name) or not value or "\n" in value:
            raise SettingError(f"The SLURM parameter {shown(text)} is not of the form NAME=VALUE, like partition=gpu.")
        if name in ("cluster", "array_parallelism"):
            parameters[name] = value
        elif name in _GENERIC:
            parameters[name] = _number(name, value)
        elif name == "time":
            parameters["timeout_min"] = _minutes(value)
        else:
            sbatch[name.replace("_", "-")] = value
    if "array_parallelism" in parameters:
        parameters["slurm_array_parallelism"] = _number("array_parallelism", parameters.pop("array_parallelism"))
    return parameters | ({"slurm_additional_parameters": sbatch} if sbatch else {})


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or not int(value):
        raise SettingError(f"The SLURM parameter {name} is {shown(value)}; expected a whole number from 1.")
    return int(value)


def _minutes(value: str) -> int:
    """Read a time as sbatch writes it: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS."""
    match = re.fullmatch(r"(?:([0-9]{1,4})-)?([0-9]{1,6})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?", value)
    if match is None:
        raise SettingError(f"The SLURM parameter time is {shown(value)}; expected minutes, HH:MM:SS or D-HH:MM:SS.")
    days, first, second, _ = (int(part or 0) for part in match.groups())
    if match[1] is not None:
        minutes = (24 * days + first) * 60 + second
    elif match[4] is not None:
        minutes = 60 * first + second
    else:
        minutes = first
    return max(1, minutes)


def check_slurm(parameters: Mapping[str, Any]) -> None:
    """Refuse, before anything is done, what cannot be submitted from here."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise SettingError(
            "Jobs are submitted through submitit, which is not installed; install acculturate[slurm]."
        ) from None
    cluster = parameters.get("cluster", "slurm")
    if cluster not in ("slurm", "local"):
        raise SettingError(f"The SLURM parameter cluster is {shown(cluster)}; expected slurm or local.")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise SettingError(
            "There is no sbatch on this machine, so nothing can be submitted from here; call this on a machine of the "
            f"cluster, or try it here with {setting('slurm_set', ['cluster=local'])}."
        )


class SlurmQueue:
    """Submit the runs of a sweep as jobs, and follow them until the last one has ended.

    Parameters
    ----------
    out
        The directory of the sweep, on a file system that the jobs see too.
    parameters
        Of ``slurm_parameters``.
    trackers
        Follow every run.
    poll
        Seconds between two looks at the jobs.
    """

    def __init__(
        self, out: Path, parameters: Mapping[str, Any], trackers: Sequence[Tracker] = (), poll: float = 5.0
    ) -> None:
        check_slurm(parameters)
        self._out, self._trackers, self._poll = out.absolute(), trackers, poll
        self._folder = self._out / FOLDER
        self._cluster = parameters.get("cluster", "slurm")
        self._parameters = {name: value for name, value in parameters.items() if name != "cluster"}

    def carry_out(self, runs: Sequence[PlannedRun], follow: Follow) -> None:
        """Submit what is not in the queue already, and wait for all.

        Whoever interrupts this leaves the jobs where they are; the same call waits for them.
        """
        jobs = self._queued(runs)
        missing = [run for run in runs if run.name not in jobs]
        if missing:
            jobs |= self._submitted(missing)
            self._remember(jobs)
        waiting, begun = dict(jobs), set[str]()
        looks: dict[str, int] = {}
        while waiting:
            for name, job in list(waiting.items()):
                # The log is there at once; what sacct says is some minutes old.
                if name not in begun and job.paths.stdout.exists():
                    begun.add(name)
                    follow(Event(name, EventKind.BEGINS))
                    follow(Event(name, EventKind.STAGE, f"running as job {job.job_id}"))
                event = self._outcome(name)
                if event is None and job.done():
                    looks[name] = looks.get(name, 0) + 1
                    if looks[name] > 2:  # a shared file system may show the outcome late
                        event = Event(name, EventKind.FAILED, self._lost(job))
                if event is not None:
                    del waiting[name]
                    follow(event)
            if waiting:
                time.sleep(self._poll)

    def _submitted(self, runs: Sequence[PlannedRun]) -> dict[str, Any]:
        import submitit

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for run in runs:
                self._outcome_file(run.name).unlink(missing_ok=True)
        except OSError as error:
            raise RunDirectoryError(f"Cannot write to '{self._folder}': {error.strerror or error}.") from error
        try:
            executor = submitit.AutoExecutor(self._folder, self._cluster, slurm_max_num_timeout=_REQUEUES)
            executor.update_parameters(name="acculturate", **self._parameters)
            lines = [order(run, self._out / run.name, trackers=self._trackers) for run in runs]
            files = [str(self._outcome_file(run.name)) for run in runs]
            jobs = executor.map_array(RunJob(), lines, files)
        except Exception as error:  # sbatch, and what stands between, refuse in ways of their own
            raise SettingError(f"SLURM did not take the jobs ({first_line(error)}); see its parameters.") from error
        return {run.name: job for run, job in zip(runs, jobs, strict=True)}

    def _queued(self, runs: Sequence[PlannedRun]) -> dict[str, Any]:
        """Find the jobs of an earlier call that have not ended."""
        import submitit

        if self._cluster != "slurm" or not (self._folder / _JOBS).is_file():
            return {}
        earlier = read_json(self._folder / _JOBS)
        names = [run.name for run in runs if isinstance(earlier.get(run.name), str)]
        jobs = {name: submitit.SlurmJob(self._folder, earlier[name]) for name in names}
        return {name: job for name, job in jobs.items() if job.state in _ACTIVE}

    def _remember(self, jobs: Mapping[str, Any]) -> None:
        earlier = read_json(self._folder / _JOBS) if (self._folder / _JOBS).is_file() else {}
        write_whole(self._folder / _JOBS, dump_json(earlier | {name: job.job_id for name, job in jobs.items()}))

    def _outcome_file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _outcome(self, name: str) -> Event | None:
        """Read what a job wrote of its run; None where it has not ended."""
        if not self._outcome_file(name).is_file():
            return None
        problem = read_json(self._outcome_file(name)).get("problem")
        return Event(name, EventKind.DONE) if problem is None else Event(name, EventKind.FAILED, str(problem))

    @staticmethod
    def _lost(job: Any) -> str:
        return (
            f"Its job {job.job_id} ended as {job.state} before the run was finished (its log is "
            f"{FOLDER}/{job.paths.stderr.name}); the same command submits it again, to go on from its last generation."
        )
