"""Runs in MLflow, where its own settings (MLFLOW_TRACKING_URI) say."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# It would try again for minutes where there is no server, and a search would wait.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from acculturate.runs.trackers.backend import TrackedRun, flat

_LONGEST = 5000
"""Characters of a value that MLflow takes as a parameter."""
_BATCH = 100


class MlflowBackend:
    """Log to MLflow (a ``Backend``); its client, unlike its functions, names no user and no program."""

    def __init__(self) -> None:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = MlflowClient()
        self._id = ""

    def begin(self, run: TrackedRun) -> str:
        """Begin a run, or go on with the one of its id."""
        if run.id is not None:
            self._id = run.id
            self._client.update_run(run.id, status="RUNNING")
            return run.id
        experiment = self._client.get_experiment_by_name(run.project)
        number = self._client.create_experiment(run.project) if experiment is None else experiment.experiment_id
        tags = {} if run.group is None else {"sweep": run.group}
        self._id = self._client.create_run(number, run_name=run.name, tags=tags).info.run_id
        values = [Param(key.replace("=", " "), _text(value)) for key, value in flat(run.settings).items()]
        for start in range(0, len(values), _BATCH):
            self._client.log_batch(self._id, params=values[start : start + _BATCH])
        return self._id

    def log(self, generation: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a generation."""
        now = int(time.time() * 1000)
        self._client.log_batch(
            self._id, metrics=[Metric(key, value, now, generation) for key, value in figures.items()]
        )

    def finish(self, summary: Mapping[str, float | str], files: Sequence[Path]) -> None:
        """Log what the run came to and keep its files as artifacts."""
        now = int(time.time() * 1000)
        figures = [Metric(key, value, now, 0) for key, value in summary.items() if not isinstance(value, str)]
        words = [RunTag(key, value[:_LONGEST]) for key, value in summary.items() if isinstance(value, str)]
        self._client.log_batch(self._id, metrics=figures, tags=words)
        for path in files:
            self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id, "FINISHED")

    def leave(self) -> None:
        """Mark the run as one that was ended from outside."""
        self._client.set_terminated(self._id, "KILLED")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_LONGEST]
