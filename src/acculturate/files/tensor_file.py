"""Safetensors files of ours: named arrays, one JSON record about them, and a checksum over both.

Safetensors checks sizes but no content: without the checksum, a flipped bit is another number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from acculturate.files.whole_file import write_whole

CHECKSUM = "checksum"


class DamagedFileError(ValueError):
    """Refuse a file that cannot be read as one of ours, or whose content is not what was written."""


def write_tensors(path: Path, entry: str, tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write arrays and what is to be known about them; equal content gives equal bytes."""
    # A copy in C order: safetensors writes strided views wrongly. (ascontiguousarray would give scalars an axis.)
    whole = {name: np.array(array, order="C") for name, array in tensors.items()}
    sealed = json.dumps({**about, CHECKSUM: _checksum(whole, about)}, sort_keys=True, allow_nan=False)
    # One entry: safetensors writes several in an order that changes from process to process.
    write_whole(path, save(whole, {entry: sealed}))


def read_tensors(path: Path, entry: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays of a file and the record about them; ``DamagedFileError`` where they are not what was written.

    A file without a checksum, from before there was one, is taken as it is.
    """
    if not path.is_file():  # a pipe would be waited for
        raise DamagedFileError(f"'{path}' is no file")
    try:
        with safe_open(path, framework="np") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            about = json.loads((stored.metadata() or {})[entry])
    # What the libraries raise depends on where the damage is: their own errors, and about any built-in one.
    except Exception as error:
        raise DamagedFileError(f"'{path}' cannot be read ({type(error).__name__})") from error
    if not isinstance(about, dict):
        raise DamagedFileError(f"'{path}' holds no record about its arrays")
    if about.pop(CHECKSUM, None) not in (None, _checksum(tensors, about)):
        raise DamagedFileError(f"'{path}' does not hold what was written: its checksum differs")
    return tensors, about


def _checksum(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    seen = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        seen.update(f"{name} {array.dtype.str} {array.shape}".encode())
        seen.update(array.tobytes())
    return seen.hexdigest()
