"""Soft prompts that PEFT's prompt tuning saved: one matrix of virtual tokens, and whose model they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import safe_open

from acculturate.errors import FileError
from acculturate.files.run_directory import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KIND, _KEY = "PROMPT_TUNING", "prompt_embeddings"


def read_peft(directory: Path) -> tuple[Float[np.ndarray, "tokens hidden"], dict[str, str]]:
    """Read the vectors of a prompt-tuning adapter, which stand before everything, and its model.

    Raises ``UserError`` for an adapter of another kind, for one that cannot be read, and for one that would have other
    files or code be loaded.
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
    if danger := _danger(config, file):
        raise FileError(f"The PEFT adapter in '{directory}' is refused, because {danger}; get another one.")
    model, revision, tokens, width, parts = (
        config.get(key)
        for key in (
            *("base_model_name_or_path", "revision", "num_virtual_tokens"),
            *("token_dim", "num_transformer_submodules"),
        )
    )
    vectors = _vectors(file)
    fits = vectors is not None and tokens in (None, len(vectors)) and width in (None, vectors.shape[1])
    if vectors is None or not fits or not isinstance(model, str) or parts not in (None, 1):
        raise FileError(
            f"The PEFT adapter in '{directory}' cannot be read as prompt tuning of one model (expected a finite matrix "
            f"'{_KEY}' with a row for each virtual token, and the name of the model); save it anew with peft."
        )
    return vectors, {"model": model} | ({"revision": revision} if isinstance(revision, str) else {})


def _danger(config: Mapping[str, Any], file: Path) -> str | None:
    """Say what an adapter would have other programs load beside its own numbers; None for nothing."""
    if _asks_for_code(config):
        return "it asks for code of its own to be run"
    named = [config.get(key) for key in ("base_model_name_or_path", "revision", "tokenizer_name_or_path")]
    if any(isinstance(name, str) and ".." in PurePosixPath(name.replace("\\", "/")).parts for name in named):
        return "a name in it leads out of its folder"
    whole, folder = file.resolve(), file.parent.resolve()
    # The hub's cache keeps a file under its hash, in a folder of the same repository.
    if whole.parent not in (folder, folder.parent.parent / "blobs"):
        return f"its {WEIGHTS} is a link that leads out of its folder"
    return None


def _asks_for_code(value: object) -> bool:
    """Tell whether any part of a configuration has a model's own code run, or a class imported from elsewhere."""
    if isinstance(value, Mapping):
        library = str(value.get("parent_library") or "transformers")
        if value.get("trust_remote_code") or value.get("auto_map") or not f"{library}.".startswith("transformers."):
            return True
        return any(_asks_for_code(part) for part in value.values())
    return isinstance(value, list) and any(_asks_for_code(part) for part in value)


def _vectors(file: Path) -> Float[np.ndarray, "tokens hidden"] | None:
    """Read the matrix of virtual tokens as float32; None where there is none, or anything else beside it."""
    try:
        # Through torch: NumPy has no bfloat16.
        with safe_open(file, framework="pt") as stored:
            if set(stored.keys()) != {_KEY} or len(stored.get_slice(_KEY).get_shape()) != 2:
                return None
            vectors = stored.get_tensor(_KEY).float().numpy()
    except Exception:  # what the libraries raise depends on where a file is damaged
        return None
    return vectors if vectors.size and np.isfinite(vectors).all() else None
