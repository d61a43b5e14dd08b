"""Soft prompts as files: one tensor and what is needed to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.errors import FileError
from acculturate.files.checksums import check_sum
from acculturate.files.tensor_file import DamagedFileError, read_tensors, write_tensors
from acculturate.model.peft_prompt import CONFIG, WEIGHTS, read_peft
from acculturate.model.slot import Slot

FILE = "prompt.safetensors"
_ABOUT = "acculturate"


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """Hold virtual-token embeddings in the space of the embedding module's output, and where they go.

    ``identity`` is the model they were found with (its sha256 or revision among it).
    """

    vectors: Float[np.ndarray, "tokens hidden"]
    slot: str
    identity: dict[str, str]


def vectors_of(prompt: SoftPrompt | None, hidden: int) -> Float[np.ndarray, "tokens hidden"]:
    """Return the vectors of a prompt; none of a width where there is no prompt."""
    return np.zeros((0, hidden), dtype=np.float32) if prompt is None else prompt.vectors


def write_prompt(path: Path, prompt: SoftPrompt) -> None:
    """Write one prompt with its slot and model to a file."""
    _write(path, "prompt", prompt.vectors, prompt.slot, prompt.identity)


def write_prompts(path: Path, prompts: Sequence[SoftPrompt]) -> None:
    """Write several prompts of one size, slot and model (one at least) to one file, in order."""
    first = prompts[0]
    _write(path, "prompts", np.stack([prompt.vectors for prompt in prompts]), first.slot, first.identity)


def _write(path: Path, name: str, vectors: np.ndarray, slot: str, identity: dict[str, str]) -> None:
    write_tensors(path, _ABOUT, {name: vectors.astype(np.float32)}, {"format": 1, "slot": slot, "model": identity})


def prompt_file(path: Path) -> Path:
    """Locate the prompt file that a path names: itself, or that of a run or of a PEFT adapter in the directory."""
    if not path.is_dir():
        return path
    return path / WEIGHTS if not (path / FILE).exists() and (path / CONFIG).exists() else path / FILE


def read_prompt(path: Path) -> SoftPrompt:
    """Read a prompt file, the one in a run directory, or a PEFT adapter; ``UserError`` when there is none to read."""
    file = prompt_file(path)
    if file.name == WEIGHTS and (file.parent / CONFIG).exists():
        vectors, identity = read_peft(file.parent)
        return SoftPrompt(vectors, Slot.BEFORE_BOS, identity)
    if not file.is_file():
        raise FileError(
            f"There is no soft prompt at '{file}'; give a run directory, a .safetensors file or a PEFT adapter."
        )
    check_sum(file)
    try:
        return SoftPrompt(*_read(file, "prompt", 2))
    except DamagedFileError as error:
        raise FileError(
            f"'{file}' is not a soft prompt of acculturate (expected a finite matrix 'prompt', its slot and model), or "
            "is cut off or damaged; give the prompt.safetensors of a run."
        ) from error


def read_prompts(file: Path) -> list[SoftPrompt]:
    """Read what ``write_prompts`` wrote; raises ``UserError`` when there is none to read."""
    check_sum(file)
    try:
        vectors, slot, identity = _read(file, "prompts", 3)
    except DamagedFileError as error:
        raise FileError(
            f"'{file}' does not hold the prompts of a front, or is cut off, damaged or missing; give the run's command "
            "again, which makes it anew."
        ) from error
    return [SoftPrompt(one, slot, identity) for one in vectors]


def _read(file: Path, name: str, axes: int) -> tuple[np.ndarray, str, dict[str, str]]:
    """Read vectors, slot and model of a file."""
    tensors, about = read_tensors(file, _ABOUT)
    vectors, slot, identity = tensors.get(name), about.get("slot"), about.get("model")
    if vectors is None or vectors.ndim != axes or not vectors.size or vectors.dtype.kind != "f":
        raise DamagedFileError("there is no such array")
    if not isinstance(slot, str) or not np.isfinite(vectors).all():
        raise DamagedFileError("its slot or its numbers are not those of a prompt")
    if not isinstance(identity, dict) or not all(isinstance(value, str) for value in identity.values()):
        raise DamagedFileError("it does not name its model")
    return vectors.astype(np.float32), slot, identity


def check_fits(prompt: SoftPrompt, identity: dict[str, str], hidden: int) -> str | None:
    """Refuse a prompt of another width; a sentence of warning when it was found with another model."""
    if prompt.vectors.shape[1] != hidden:
        raise FileError(
            f"The soft prompt has vectors of width {prompt.vectors.shape[1]}, this model's embeddings have {hidden}; "
            f"use the model it was found with ({prompt.identity.get('model', 'unknown')})."
        )
    for key in ("sha256", "revision", "config_sha256", "files_sha256"):
        if key in prompt.identity and key in identity and prompt.identity[key] != identity[key]:
            if len(prompt.identity[key]) != len(identity[key]):
                continue  # the name of a branch, as PEFT keeps it, says nothing about the hash of a commit
            return (
                f"This prompt was found with another model ({prompt.identity.get('model', 'unknown')}, {key} "
                f"{prompt.identity[key][:12]}); its scores on this one mean little."
            )
    return None
