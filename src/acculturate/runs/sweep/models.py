"""One model in memory for all the runs of a sweep that follow each other with it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import torch

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.size import weight_bytes
from acculturate.model.respondent import Respondent
from acculturate.runs.provenance import is_measured_as_searched


class ModelShelf:
    """Keep the model of a run for the runs after it."""

    def __init__(self, respondent: Respondent | None = None) -> None:
        self._respondent = respondent
        self._too_large: set[ModelChoice] = set()

    def lend(self, choice: ModelChoice, *, again: bool, stage: Callable[[str], None]) -> Respondent | None:
        """Return the model of a run; None where the run is to load it itself.

        Parameters
        ----------
        choice
            Which model, and how it is held.
        again
            Whether a later run has the same.
        stage
            Is told where a model is loaded.
        """
        if self._respondent is not None and self._respondent.choice == choice:
            return self._respondent
        self.clear()
        if not again or choice in self._too_large:
            return None
        stage("loading the model")
        respondent = Respondent(choice)
        if not _fits_beside_float32(respondent):
            self._too_large.add(choice)
            return None
        self._respondent = respondent
        return respondent

    def clear(self) -> None:
        """Let the model go."""
        self._respondent = None
        gc.collect()


def _fits_beside_float32(respondent: Respondent) -> bool:
    """Tell whether a model may stay while a run measures in float32, which takes a second copy of its weights."""
    if is_measured_as_searched(respondent):
        return True
    needed = weight_bytes(respondent.model) / respondent.model.dtype.itemsize * torch.float32.itemsize
    if respondent.model.device.type == "cuda":
        return needed < torch.cuda.mem_get_info(respondent.model.device)[0]
    try:
        return needed < os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # a system that does not tell
        return False
