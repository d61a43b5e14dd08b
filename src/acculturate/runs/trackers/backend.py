"""What a tracker's own library has to do for it, and what it is told of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class TrackedRun:
    """Describe a run to a tracker.

    Parameters
    ----------
    folder
        The run's directory.
    name
        What to call the run: the directory's own name.
    project, group
        Where to file it: the tracker's project or experiment, and the sweep that it is a run of.
    settings
        Its settings, without the folders of absolute paths.
    id
        By which the tracker knows it from before; None for a run that it has not seen.
    """

    folder: Path
    name: str
    project: str
    group: str | None
    settings: Mapping[str, Any]
    id: str | None = None


@runtime_checkable
class Backend(Protocol):
    """Write to one tracker by its own library; whatever goes wrong there is raised as it is."""

    def begin(self, run: TrackedRun) -> str:
        """Begin a run, or go on with the one of its id; returns the id."""
        ...

    def log(self, generation: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a generation."""
        ...

    def finish(self, summary: Mapping[str, float | str], files: Sequence[Path]) -> None:
        """Log what the run came to, keep its files where the tracker has a place for them, and end it."""
        ...

    def leave(self) -> None:
        """Leave a run that is not finished, to go on with it another time."""
        ...


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested settings under dotted names, for trackers that know no tables."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values
