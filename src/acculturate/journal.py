"""A run's directory: what is on disk is always whole, and enough to go on exactly where the run stood.

The journal gets one line per generation; a checkpoint holds the search state and the journal's length at that
moment. Going on cuts the journal back to the checkpoint, so the generations after it are computed and written
again, the same to the byte. Nothing here holds a time or a path of the machine, for the same reason.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from acculturate.errors import UserError

KEPT_CHECKPOINTS = 2


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part."""
    scratch = path.with_name(f".{path.name}.partial")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def dump_json(value: object) -> bytes:
    """Readable JSON; NaN and infinity become null, since standard JSON has neither."""
    return (json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """Arrays as lists, NumPy scalars as numbers, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


class RunDirectory:
    """The files of one run. Open it with ``claimed``; only one process may hold it at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.jsonl"
        self._checkpoints = path / "checkpoints"

    @contextmanager
    def claimed(self, spec: Mapping[str, object]) -> Iterator[None]:
        """Hold the directory for a run of this spec; creates it, or checks that it belongs to the same run."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(
                f"Cannot write to the run directory '{self.path}' ({error.strerror}); choose another with --out."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"Another process is running in '{self.path}'; wait for it or choose another directory with --out."
                ) from error
            self.check(spec)
            if not (self.path / "spec.json").exists():
                write_whole(self.path / "spec.json", dump_json(spec))
            yield

    def check(self, spec: Mapping[str, object]) -> None:
        """Refuse a directory that holds something else than a run with these settings; writes nothing.

        ``spec`` may be the settings alone, or with what the run is made with (``task.made_with``).
        """
        there = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            problem = "is a file" if not there.is_dir() else "is not writable"
            raise UserError(f"Cannot write to the run directory '{self.path}': '{there}' {problem}; choose another.")
        if not self.path.exists():
            return
        if not (self.path / "spec.json").exists():
            strangers = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if strangers:
                raise UserError(
                    f"The directory '{self.path}' holds other files ({strangers[0]}) but no run; "
                    "choose an empty one with --out."
                )
            return
        earlier = read_json(self.path / "spec.json")
        for key in sorted(spec):
            if earlier.get(key) != plain(spec[key]):
                raise UserError(
                    f"The directory '{self.path}' holds a run with {key} = {earlier.get(key)!r}, "
                    f"not {plain(spec.get(key))!r}; give the same settings to go on with it, "
                    "or choose another directory with --out."
                )

    def append(self, line: Mapping[str, object]) -> None:
        """Add one line to the journal."""
        text = json.dumps(plain(line), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]

    def checkpoint(self, number: int, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, object]) -> None:
        """Store the search state after generation ``number``, with the journal as it is now."""
        length = self.journal.stat().st_size if self.journal.exists() else 0
        header = {"state": json.dumps({"scalars": dict(scalars), "journal": length}, allow_nan=False)}
        self._checkpoints.mkdir(exist_ok=True)
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        write_whole(self._checkpoints / f"{number:06d}.safetensors", save(whole, header))
        for old in self._stored()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Arrays and scalars of the newest readable checkpoint; None where there is none. Changes nothing."""
        found = self._newest()
        return None if found is None else (found[1], found[2]["scalars"])

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest readable checkpoint, with the journal cut back to it; None when the run is to start."""
        found = self._newest()
        for path in self._stored():
            # A damaged one left there would count as one of the newest and push out the ones to come.
            if found is None or path > found[0]:
                path.unlink()
        if found is None:
            self.journal.unlink(missing_ok=True)
            return None
        os.truncate(self.journal, found[2]["journal"])
        return found[1], found[2]["scalars"]

    def _newest(self) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]] | None:
        """Path, arrays and header of the newest checkpoint that is whole."""
        for path in reversed(self._stored()):
            try:
                with safe_open(path, framework="np") as file:
                    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    header = json.loads(file.metadata()["state"])
                # A power cut can keep a checkpoint and lose the end of the journal that it counts on.
                if not self.journal.is_file() or self.journal.stat().st_size < header["journal"]:
                    raise KeyError("journal")
            except (SafetensorError, KeyError, TypeError, json.JSONDecodeError):
                continue
            return path, arrays, header
        return None

    def _stored(self) -> list[Path]:
        return sorted(self._checkpoints.glob("*.safetensors"))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises ``UserError`` when it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read '{path}': {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"'{path}' is not valid JSON; it was not written by acculturate or is damaged.") from error
    if not isinstance(value, dict):
        raise UserError(f"'{path}' does not hold a JSON object; expected a file that acculturate wrote.")
    return value
