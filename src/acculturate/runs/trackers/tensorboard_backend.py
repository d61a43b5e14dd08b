"""Runs as event files of TensorBoard, in a folder of the run's directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from acculturate.runs.trackers.backend import TrackedRun

FOLDER = "tensorboard"


class TensorBoardBackend:
    """Write event files (a ``Backend``); TensorBoard shows all the runs below the directory that it is given."""

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None
        self._last = 0

    def begin(self, run: TrackedRun) -> str:
        """Begin a file; TensorBoard takes the files of one folder for one run."""
        self._writer = SummaryWriter(str(run.folder / FOLDER))
        if run.id is None:
            self._writer.add_text("settings", _block(run.settings), 0)
            self._writer.flush()
        return FOLDER

    def log(self, generation: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a generation."""
        assert self._writer is not None
        for key, value in figures.items():
            self._writer.add_scalar(key, value, generation)
        self._last = generation
        self._writer.flush()

    def finish(self, summary: Mapping[str, float | str], files: Sequence[Path]) -> None:
        """Log what the run came to; TensorBoard has no place for files, and the run's directory has them."""
        assert self._writer is not None
        for key, value in summary.items():
            if isinstance(value, str):
                self._writer.add_text(key, value, self._last)
            else:
                self._writer.add_scalar(key, value, self._last)
        self._writer.close()

    def leave(self) -> None:
        """Close the file."""
        assert self._writer is not None
        self._writer.close()


def _block(settings: Mapping[str, object]) -> str:
    """Write settings as a block of code in Markdown, which TensorBoard shows."""
    lines = json.dumps(settings, indent=1, ensure_ascii=False).splitlines()
    return "\n".join(f"    {line}" for line in lines)
