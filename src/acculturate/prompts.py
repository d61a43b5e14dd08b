"""Soft prompts as files: one tensor and what is needed to use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from acculturate.errors import UserError
from acculturate.journal import write_whole

FILE = "prompt.safetensors"
_ABOUT = "acculturate"


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """Virtual-token embeddings in the space of the embedding module's output, and where they go.

    ``identity`` is the model they were found with (its sha256 or revision among it).
    """

    vectors: Float[np.ndarray, "tokens hidden"]
    slot: str
    identity: dict[str, str]


def write_prompt(path: Path, prompt: SoftPrompt) -> None:
    _write(path, "prompt", prompt.vectors, prompt.slot, prompt.identity)


def write_prompts(path: Path, prompts: Sequence[SoftPrompt]) -> None:
    """Several prompts of one size, slot and model (one at least) in one file, in order."""
    first = prompts[0]
    _write(path, "prompts", np.stack([prompt.vectors for prompt in prompts]), first.slot, first.identity)


def _write(path: Path, name: str, vectors: np.ndarray, slot: str, identity: dict[str, str]) -> None:
    about = {"format": 1, "slot": slot, "model": identity}
    # One entry: safetensors writes several in an order that changes from process to process.
    write_whole(path, save({name: vectors.astype(np.float32)}, {_ABOUT: json.dumps(about, sort_keys=True)}))


def read_prompt(path: Path) -> SoftPrompt:
    """Read a prompt file, or the one in a run directory; raises ``UserError`` when there is none to read."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"There is no soft prompt at '{file}'; give a run directory or a .safetensors file.")
    try:
        vectors, about = _read(file, "prompt", 2)
        return SoftPrompt(vectors, str(about["slot"]), dict(about["model"]))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"'{file}' is not a soft prompt of acculturate (expected a finite matrix 'prompt', its slot and model); "
            "give the prompt.safetensors of a run."
        ) from error


def read_prompts(file: Path) -> list[SoftPrompt]:
    """What ``write_prompts`` wrote; raises ``UserError`` when there is none to read."""
    try:
        vectors, about = _read(file, "prompts", 3)
        return [SoftPrompt(one, str(about["slot"]), dict(about["model"])) for one in vectors]
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"'{file}' does not hold the prompts of a front; give the directory of a finished run."
        ) from error


def _read(file: Path, name: str, axes: int) -> tuple[np.ndarray, dict[str, Any]]:
    with safe_open(file, framework="np") as stored:
        about = json.loads((stored.metadata() or {})[_ABOUT])
        vectors = stored.get_tensor(name).astype(np.float32)
    if vectors.ndim != axes or not len(vectors) or not np.isfinite(vectors).all():
        raise ValueError("the tensor is not an array of finite numbers")
    return vectors, about


def check_fits(prompt: SoftPrompt, identity: dict[str, str], hidden: int) -> str | None:
    """Refuse a prompt of another width; a sentence of warning when it was found with another model."""
    if prompt.vectors.shape[1] != hidden:
        raise UserError(
            f"The soft prompt has vectors of width {prompt.vectors.shape[1]}, this model's embeddings have {hidden}; "
            f"use the model it was found with ({prompt.identity.get('model', 'unknown')})."
        )
    for key in ("sha256", "revision", "config_sha256", "files_sha256"):
        if key in prompt.identity and key in identity and prompt.identity[key] != identity[key]:
            return (
                f"This prompt was found with another model ({prompt.identity.get('model', 'unknown')}, {key} "
                f"{prompt.identity[key][:12]}); its scores on this one mean little."
            )
    return None
