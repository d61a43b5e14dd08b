"""One model in memory for all the runs of a sweep that follow each other with it."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.kept_engines import KeptEngines
from acculturate.model.engine.size import weight_bytes
from acculturate.model.respondent import Respondent
from acculturate.performance.machine import available_bytes
from acculturate.runs.provenance import is_measured_as_searched

_SHARE_OF_FREE = 4
"""A model's laid-out questionnaires may take one part in so many of the memory that is free, in each precision."""


class ModelShelf:
    """Keep the model of a run for the runs after it, and with it what all of them lay out alike."""

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
            _keep_engines(self._respondent)
            return self._respondent
        self.clear()
        if not again or choice in self._too_large:
            return None
        stage("loading the model")
        respondent = Respondent(choice)
        if not _fits_beside_float32(respondent):
            self._too_large.add(choice)
            return None
        _keep_engines(respondent)
        self._respondent = respondent
        return respondent

    def clear(self) -> None:
        """Let the model go; one that somebody else holds keeps nothing of the runs."""
        if self._respondent is not None:
            self._respondent.engines = self._respondent.precise = None
        self._respondent = None
        gc.collect()


def _fits_beside_float32(respondent: Respondent) -> bool:
    """Tell whether a model may stay while a run measures in float32, which takes a second copy of its weights."""
    return is_measured_as_searched(respondent) or _bytes_in_float32(respondent) < _free_bytes(respondent)


def _keep_engines(respondent: Respondent) -> None:
    """Have a model's questionnaires kept, once, in a part of what is free beside its copy in float32."""
    if respondent.engines is None:
        copy = 0 if is_measured_as_searched(respondent) else _bytes_in_float32(respondent)
        respondent.engines = KeptEngines(max(0, _free_bytes(respondent) - copy) // _SHARE_OF_FREE)


def _bytes_in_float32(respondent: Respondent) -> int:
    return weight_bytes(respondent.model) // respondent.model.dtype.itemsize * torch.float32.itemsize


def _free_bytes(respondent: Respondent) -> int:
    """Measure the memory that is free where a model is; 0 on a system that does not tell."""
    if respondent.model.device.type == "cuda":
        return torch.cuda.mem_get_info(respondent.model.device)[0]
    return available_bytes()
