"""Runs in trackio, on this machine or where its own settings say."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import trackio  # pyright: ignore[reportMissingImports] (it cannot be installed beside the pins of the tests)

from acculturate.runs.trackers.backend import TrackedRun


class TrackioBackend:
    """Log to trackio (a ``Backend``), which knows a run by its name: it gets a few digits of its own."""

    def __init__(self) -> None:
        self._run: Any = None
        self._id = ""

    def begin(self, run: TrackedRun) -> str:
        """Begin a run, or go on with the one of its id."""
        self._id = run.id or f"{run.name}-{secrets.token_hex(3)}"
        with _quiet():
            self._run = trackio.init(
                project=run.project,
                name=self._id,
                group=run.group,
                config=dict(run.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return self._id

    def log(self, generation: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a generation."""
        with _quiet():
            self._run.log(dict(figures), step=generation)

    def finish(self, summary: Mapping[str, float | str], files: Sequence[Path]) -> None:
        """Log what the run came to and keep its files as artifacts."""
        with _quiet():
            self._run.log(dict(summary))
            for path in files:
                trackio.log_artifact(path, name=f"{self._id}-{path.stem}", type="result")
            self._run.finish()

    def leave(self) -> None:
        """Write what is still to be written."""
        with _quiet():
            self._run.finish()


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what it prints: standard output is for results, and standard error for progress."""
    with redirect_stdout(io.StringIO()):
        yield
