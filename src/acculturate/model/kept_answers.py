"""Answers that are kept on disk, since a model that is frozen gives them again: no run has to wait for them twice.

Runs for several countries, seeds and protocols ask the untuned model, personas and other texts the same questions. What
is kept is found again by everything that decides it: the tokens of the questions and options, the weights themselves,
their precision, and the library and machine that compute with them. A search keeps nothing of what it evaluates; an
evaluation of one soft prompt (``acculturate evaluate``) keeps its answers too, by the numbers of that prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import transformers
from jaxtyping import Float, Int
from transformers import PreTrainedModel

from acculturate.errors import UserError
from acculturate.files.tensor_file import DamagedFileError, read_tensors, write_tensors
from acculturate.model.engine.forward import Answers, input_device, precision_name
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.gguf import cache_folder
from acculturate.model.respondent import Respondent

A = TypeVar("A", bound=Answers | None)

FOLDER = "answers"
_ENTRY = "acculturate"
_LAYOUT = 1
"""Number of the way in which answers are computed and kept; a new one leaves all older files unread."""


def kept_answers(
    respondent: Respondent,
    sequences: Sequence[SlottedTokens],
    options: Int[np.ndarray, "sequences options variants"],
    prompt: Float[np.ndarray, "tokens hidden"],
    ask: Callable[[], A],
) -> Answers | A:
    """Return the answers that were kept for these questions and this model; ``ask`` for them where there are none.

    ``prompt`` has no tokens where the model is asked without a soft prompt. None is never kept. A folder that cannot be
    read or written costs time and nothing else.
    """
    path = _place(respondent, sequences, options, prompt)
    if path is None:
        return ask()
    try:
        tensors, _ = read_tensors(path, _ENTRY)
        return Answers(tensors["logprobs"], tensors["log_mass"])
    except (DamagedFileError, KeyError, OSError):
        pass
    answers = ask()
    if answers is not None and not np.isnan(answers.log_mass).any():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, _ENTRY, {"logprobs": answers.logprobs, "log_mass": answers.log_mass}, {})
        except OSError:
            pass
    return answers


def _place(
    respondent: Respondent,
    sequences: Sequence[SlottedTokens],
    options: Int[np.ndarray, "sequences options variants"],
    prompt: Float[np.ndarray, "tokens hidden"],
) -> Path | None:
    try:
        folder = cache_folder() / FOLDER
    except UserError:
        return None
    seen = hashlib.sha256(json.dumps(_computing(respondent), sort_keys=True).encode())
    for one in sequences:
        seen.update(json.dumps([one.prefix, one.suffix]).encode())
    seen.update(f"{options.shape}".encode() + np.ascontiguousarray(options).tobytes())
    if len(prompt):
        seen.update(f"{prompt.shape}".encode() + np.ascontiguousarray(prompt, dtype=np.float32).tobytes())
    key = seen.hexdigest()
    return folder / key[:2] / f"{key[2:]}.safetensors"


def _devices(model: PreTrainedModel) -> str:
    """Name the kind of device that computes; of a model that is spread over several, every part's."""
    spread = getattr(model, "hf_device_map", None)
    return input_device(model).type if spread is None or len(spread) < 2 else json.dumps(spread, default=str)


def _computing(respondent: Respondent) -> dict[str, Any]:
    """Describe what computes the answers."""
    model = respondent.model
    return {
        "layout": _LAYOUT,
        "model": respondent.identity,
        "weights": respondent.weights_sum,
        "precision": precision_name(model),
        "device": _devices(model),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
