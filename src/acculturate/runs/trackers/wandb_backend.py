"""Runs in Weights & Biases, online or offline as its own settings say."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from acculturate.runs.trackers.backend import TrackedRun

_TIMEOUT_S = 30.0
"""Seconds to wait for the server when a run begins; a search is not to wait longer."""


class WandbBackend:
    """Log to Weights & Biases (a ``Backend``)."""

    def __init__(self) -> None:
        self._run: Any = None
        self._name = ""

    def begin(self, run: TrackedRun) -> str:
        """Begin a run, or go on with the one of its id."""
        # Its own question for a key would keep the search waiting for somebody to type.
        if wandb.setup().settings.mode in (None, "online", "run", "shared") and not wandb.login(prompt=False):
            raise RuntimeError("nobody is logged in; call 'wandb login', or set WANDB_MODE=offline")
        self._name = run.name
        self._run = wandb.init(
            project=run.project,
            group=run.group,
            name=run.name,
            id=run.id or secrets.token_hex(4),
            resume="allow",
            config=dict(run.settings),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_save_requirements=False,
                init_timeout=_TIMEOUT_S,
            ),
        )
        return self._run.id

    def log(self, generation: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a generation."""
        self._run.log(dict(figures), step=generation)

    def finish(self, summary: Mapping[str, float | str], files: Sequence[Path]) -> None:
        """Log what the run came to and keep its files as an artifact."""
        self._run.summary.update(dict(summary))
        if files:
            artifact = wandb.Artifact(f"result-{self._run.id}", type="result")
            for path in files:
                artifact.add_file(str(path), name=path.name)
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=0)

    def leave(self) -> None:
        """Mark the run as one that did not end well."""
        self._run.finish(exit_code=1)
