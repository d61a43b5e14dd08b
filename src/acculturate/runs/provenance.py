"""What besides the settings decides a run's numbers: files, versions, the model and its precision."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import torch
import transformers

from acculturate.files.checksums import sha256_of
from acculturate.files.datafile import user_path
from acculturate.model.engine.kept_engines import KeptEngines
from acculturate.model.loading import release
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import prompt_file
from acculturate.runs.spec import RunSpec
from acculturate.search.methods import method_name
from acculturate.version import VERSION


def named_files(spec: RunSpec) -> dict[str, str]:
    """Hash every file that the spec names (sha256), by the setting that names it."""
    names = {"instrument": spec.instrument, "wording": spec.wording, "targets": spec.targets}
    paths = {key: user_path(name) for key, name in names.items() if name is not None}
    if spec.warm_start is not None:
        paths["warm_start"] = prompt_file(user_path(spec.warm_start))
    return {key: sha256_of(path) for key, path in paths.items() if path.is_file()}


def made_with(spec: RunSpec, respondent: Respondent, method: str | None = None) -> dict[str, Any]:
    """Collect what decides the numbers besides the settings: a run may only go on with the same."""
    return {
        "acculturate": VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "method": method or method_name(spec.method),
        "model_identity": respondent.identity,
        "files": named_files(spec),
    }


def is_measured_as_searched(respondent: Respondent) -> bool:
    """Tell whether a model is measured in the precision that it has: in float32, or quantised."""
    return respondent.model.dtype == torch.float32 or respondent.choice.quantize != "none"


def in_float32(respondent: Respondent, *, keep: bool = False) -> Respondent:
    """Return the same model in float32, in which everything reported is measured; a quantised one stays as it is.

    ``keep``: leave the other precision in memory, because somebody else uses it. Where runs follow each other with it
    (``Respondent.engines``), the one in float32 stays beside it.
    """
    if is_measured_as_searched(respondent):
        return respondent
    if not keep:
        # Whoever still holds the old one holds no memory with it: both together may not fit.
        release(respondent.model)
        gc.collect()
    precise = respondent.precise or Respondent(replace(respondent.choice, dtype="float32"))
    if keep and respondent.engines is not None:
        precise.engines = precise.engines or KeptEngines(respondent.engines.room)
        respondent.precise = precise
    return precise
