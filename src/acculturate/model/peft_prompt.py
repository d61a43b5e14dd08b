"""Soft prompts that PEFT's prompt tuning saved: one matrix of virtual tokens, and whose model they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import safe_open

from acculturate.errors import FileError
from acculturate.files.run_directory import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KIND, _KEY = "PROMPT_TUNING", "prompt_embeddings"


def read_peft(directory: Path) -> tuple[Float[np.ndarray, "tokens hidden"], dict[str, str]]:
    """Read the vectors of a prompt-tuning adapter, which stand before everything, and its model.

    Raises ``UserError`` for an adapter of another kind and for one that cannot be read.
    """
    config, file = read_json(directory / CONFIG), directory / WEIGHTS
    if config.get("peft_type") != _KIND:
        raise FileError(
            f"The PEFT adapter in '{directory}' is of the type {str(config.get('peft_type'))[:40]}; "
            f"only one of prompt tuning ({_KIND}) is a soft prompt."
        )
    if not file.is_file():
        raise FileError(
            f"The PEFT adapter in '{directory}' has no {WEIGHTS}; save it with save_pretrained of peft, "
            "in the format of safetensors."
        )
    model, revision, tokens = (config.get(k) for k in ("base_model_name_or_path", "revision", "num_virtual_tokens"))
    vectors = _vectors(file)
    if vectors is None or not isinstance(model, str) or tokens not in (None, len(vectors)):
        raise FileError(
            f"The PEFT adapter in '{directory}' cannot be read as prompt tuning of one model (expected a finite matrix "
            f"'{_KEY}' with a row for each virtual token, and the name of the model); save it anew with peft."
        )
    return vectors, {"model": model} | ({"revision": revision} if isinstance(revision, str) else {})


def _vectors(file: Path) -> Float[np.ndarray, "tokens hidden"] | None:
    """Read the matrix of virtual tokens as float32; None where there is none."""
    try:
        # Through torch: NumPy has no bfloat16.
        with safe_open(file, framework="pt") as stored:
            vectors = stored.get_tensor(_KEY).float().numpy()
    except Exception:  # what the libraries raise depends on where a file is damaged
        return None
    return vectors if vectors.ndim == 2 and vectors.size and np.isfinite(vectors).all() else None
