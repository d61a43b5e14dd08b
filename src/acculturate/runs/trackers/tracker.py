"""A tracker as a callback: it follows runs, goes on with one that goes on, and never ends a search."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acculturate.errors import SettingError, UserError, first_line
from acculturate.files.datafile import nearest
from acculturate.files.run_directory import RunDirectory, dump_json, read_json
from acculturate.files.whole_file import write_whole
from acculturate.legible import shown
from acculturate.runs.trackers.backend import Backend, TrackedRun
from acculturate.runs.trackers.summary import figures_of, files_of, settings_of, summary_of
from acculturate.search.callbacks import Callback
from acculturate.search.history import Generation, generations

FILE = ".trackers.json"
"""Beside a run's files: by which ids trackers know the run, and how much of it they have."""

PROJECT = "acculturate"

TRACKERS = {
    "wandb": ("wandb", "wandb_backend", "WandbBackend"),
    "mlflow": ("mlflow", "mlflow_backend", "MlflowBackend"),
    "tensorboard": ("tensorboard", "tensorboard_backend", "TensorBoardBackend"),
    "trackio": ("trackio", "trackio_backend", "TrackioBackend"),
}
"""Of every tracker, which is called like its extra, the package that it needs, and our module and class for it."""


class Tracker(Callback):
    """Log runs to an experiment tracker.

    Settings are logged when a run begins, its losses after every generation, and scores, verdict, record and page at
    its end. A run that goes on after an interruption goes on in the tracker too. Where the tracker fails, there is one
    warning, and the search goes on without it.

    Parameters
    ----------
    name
        ``wandb``, ``mlflow``, ``tensorboard`` or ``trackio``; each is an extra of that name.
    project
        The tracker's project or experiment.
    group
        What several runs belong to, like the name of a sweep.

    Raises
    ------
    UserError
        Where there is no such tracker, or its package is not installed.
    """

    def __init__(self, name: str, *, project: str = PROJECT, group: str | None = None) -> None:
        if name not in TRACKERS:
            raise SettingError(
                f"There is no tracker {shown(name)}{nearest(name, TRACKERS)}; expected {', '.join(TRACKERS)}."
            )
        if not project.strip() or len(project) > 100:
            raise SettingError(f"The project {shown(project)} of {name} needs a name of 1 to 100 characters.")
        if find_spec(TRACKERS[name][0]) is None:
            raise SettingError(f"The tracker {name} is not installed; install acculturate[{name}].")
        self.name, self.project, self.group = name, project, group
        self._backend: Backend | None = None
        self._folder: Path | None = None
        self._failed = False
        self._moment = 0.0

    @classmethod
    def parse(cls, text: str, group: str | None = None) -> Tracker:
        """Make a tracker from ``NAME`` or ``NAME:PROJECT``."""
        name, _, project = text.partition(":")
        return cls(name, project=project or PROJECT, group=group)

    def to_json(self) -> dict[str, str | None]:
        """Describe the tracker, to make it anew in another process."""
        return {"name": self.name, "project": self.project, "group": self.group}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tracker:
        """Make the tracker that ``to_json`` describes."""
        return cls(values["name"], project=values["project"], group=values["group"])

    def started(self, folder: Path) -> None:
        """Begin, or go on, with a run."""
        self._failed = False
        self._safely(lambda: self._begin(folder))

    def resumed(self, evaluations: int) -> None:
        """Log the generations of an earlier process that it could not log any more."""
        self._safely(self._catch_up)

    def generation(self, generation: Generation) -> None:
        """Log the figures of a generation."""
        now = time.monotonic()
        seconds, self._moment = now - self._moment, now
        self._safely(lambda: self._log(generation, seconds))

    def finished(self, folder: Path) -> None:
        """Log what the run came to; one that ended before it was tracked is logged whole."""
        self._safely(lambda: self._finish(folder))
        self._backend = self._folder = None
        self._failed = False

    def interrupted(self) -> None:
        """Leave the run, to go on with it another time."""
        if self._backend is not None:
            self._safely(self._backend.leave)
        self._backend = self._folder = None

    def _safely(self, action: Callable[[], None]) -> None:
        """Do what another library may fail in; after its first failure with a run it is left alone."""
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # whatever the library raises, a search of hours must not end with it
            self._failed, self._backend = True, None
            warnings.warn(
                f"The tracker {self.name} failed ({first_line(error)}); the run goes on without it.", stacklevel=2
            )

    def _begin(self, folder: Path) -> None:
        _, module, kind = TRACKERS[self.name]
        backend: Backend = getattr(import_module(f"acculturate.runs.trackers.{module}"), kind)()
        earlier = self._state(folder).get("id")
        run = TrackedRun(folder, folder.resolve().name, self.project, self.group, settings_of(folder), earlier)
        ident = backend.begin(run)
        self._backend, self._folder, self._moment = backend, folder, time.monotonic()
        self._remember(id=ident)

    def _catch_up(self) -> None:
        if self._folder is None:
            return
        last = self._state(self._folder).get("generation", 0)
        for generation in generations(RunDirectory(self._folder)):
            if generation.generation > last:
                self._log(generation, None)
        self._moment = time.monotonic()

    def _log(self, generation: Generation, seconds: float | None) -> None:
        if self._backend is not None:
            self._backend.log(generation.generation, figures_of(generation, seconds))
            self._remember(generation=generation.generation)

    def _finish(self, folder: Path) -> None:
        if self._backend is None:
            if self._state(folder).get("finished"):
                return
            self._begin(folder)
            self._catch_up()
        assert self._backend is not None
        self._backend.finish(summary_of(folder), files_of(folder))
        self._remember(finished=True)

    @property
    def _key(self) -> str:
        """Name this tracker and its project: another project has another run."""
        return self.name if self.project == PROJECT else f"{self.name}:{self.project}"

    def _state(self, folder: Path) -> dict[str, Any]:
        """Read what is kept of the run for this tracker; nothing where the file is missing or damaged."""
        return self._own(_kept(folder))

    def _own(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        state = kept.get(self._key)
        return state if isinstance(state, dict) and isinstance(state.get("generation", 0), int) else {}

    def _remember(self, **what: object) -> None:
        assert self._folder is not None
        kept = _kept(self._folder)
        write_whole(self._folder / FILE, dump_json({**kept, self._key: {**self._own(kept), **what}}))


def _kept(folder: Path) -> dict[str, Any]:
    """Read what trackers keep of a run; nothing where the file is missing or damaged."""
    with contextlib.suppress(UserError):
        if (folder / FILE).is_file():
            return read_json(folder / FILE)
    return {}
