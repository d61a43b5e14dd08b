"""A run's directory: what is on disk is always whole, and enough to go on exactly where the run stood.

The journal gets one line per generation; a checkpoint holds the search state and the journal's length and checksum
at that moment. Going on cuts the journal back to the checkpoint, so the generations after it are computed and written
again, the same to the byte. Nothing here holds a time or a path of the machine, for the same reason.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import reprlib
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acculturate.errors import RunDirectoryError, UserError, setting
from acculturate.files.checksums import SPEC, check_sum
from acculturate.files.record import Record
from acculturate.files.tensor_file import DamagedFileError, read_tensors, write_tensors
from acculturate.files.whole_file import sync_directory, write_whole

KEPT_CHECKPOINTS = 2
LOCK = ".lock"
STOPPED = "stopped.json"
_STATE = "state"


def dump_json(value: object) -> bytes:
    """Write a value as readable JSON; NaN and infinity become null, since standard JSON has neither."""
    return (json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """Bring a value into plain JSON: records as dicts, arrays as lists, NumPy scalars as numbers, NaN as None."""
    if isinstance(value, Record):
        return plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): plain(element) for key, element in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


class _Written:
    """Hold what a journal's writer knows of it: its length in bytes and a running checksum."""

    def __init__(self, content: bytes) -> None:
        self.length, self._sha = len(content), hashlib.sha256(content)

    def grow(self, more: bytes) -> None:
        self.length += len(more)
        self._sha.update(more)

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()


@dataclass(frozen=True, eq=False)
class _Checkpoint:
    """Hold a checkpoint that was read. ``length`` and ``digest``: of the journal that it counts on."""

    path: Path
    arrays: dict[str, np.ndarray]
    scalars: dict[str, Any]
    length: int
    digest: str | None

    @classmethod
    def read(cls, path: Path) -> _Checkpoint:
        """Read a file; raises ``DamagedFileError`` for one that is not a whole checkpoint."""
        arrays, about = read_tensors(path, _STATE)
        scalars, length, digest = about.get("scalars"), about.get("journal"), about.get("journal_sha256")
        if not isinstance(scalars, dict) or not isinstance(digest, str | None):
            raise DamagedFileError(f"'{path}' is no checkpoint")
        if not isinstance(length, int) or length < 0:
            raise DamagedFileError(f"'{path}' does not say how long its journal is")
        return cls(path, arrays, scalars, length, digest)

    def fits(self, journal: bytes) -> bool:
        """Tell whether the journal begins with what was in it when the checkpoint was made."""
        before = journal[: self.length]
        if len(before) < self.length:
            return False
        if self.digest is not None:
            return hashlib.sha256(before).hexdigest() == self.digest
        # From before there was a checksum: its lines are lines at least.
        lines = [_parsed(line) for line in before.splitlines()]
        return all(isinstance(line, dict) and line.get("generation") == n for n, line in enumerate(lines, start=1))


# Settings that directories of earlier versions do not name yet, with what they were then; ...: whatever is given.
_LATER = {
    "kind": ...,
    "answers": "probabilities",
    "baselines": None,
    "select_by": None,
    "consistency": 0.0,
    "response_style": 0.0,
    "fresh_formats": 0,
    "device_map": "none",
    "statements": ...,
}


def run_folder(out: str | Path | None) -> Path:
    """Return the directory that was named for a run, or a new temporary one."""
    return Path(tempfile.mkdtemp(prefix="acculturate-")) if out is None else Path(out)


class RunDirectory:
    """Hold the directory of one run. Open it with ``claimed``; only one process may hold it at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.jsonl"
        self._checkpoints = path / "checkpoints"
        self._lock: int | None = None
        self._written: _Written | None = None

    @contextmanager
    def claimed(self, spec: Mapping[str, object]) -> Iterator[None]:
        """Hold the directory for a run of this spec; creates it, or checks that it belongs to the same run."""
        self.check_writable()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = opened_lock(self.path / LOCK)
        except OSError as error:
            raise RunDirectoryError(
                f"Cannot write to the run directory '{self.path}' ({error.strerror}); "
                f"choose another with {setting('out')}."
            ) from error
        try:
            take_lock(self.path, lock)
            self._lock, self._written = lock, None
            self.check_held()
            self.check(spec)
            if not (self.path / SPEC).exists():
                write_whole(self.path / SPEC, dump_json(spec))
            yield
        finally:
            self._lock = self._written = None
            os.close(lock)

    def check_held(self) -> None:
        """Refuse to write into a directory, or to a journal, that is no longer as this process left it.

        Somebody may have removed it under the run, and another run may have begun there: its lock is another file
        then, although both hold one.
        """
        if self._lock is None:
            return
        try:
            same = os.path.samestat(os.fstat(self._lock), (self.path / LOCK).lstat())
        except OSError:
            same = False
        if not same:
            raise RunDirectoryError(
                f"The directory '{self.path}' was removed or begun anew by somebody else while this run was going on, "
                f"so this run stops and writes nothing more; give its command again, with another {setting('out')} if "
                "the directory is in use."
            )
        if self._written is not None and self._written.length != self._size():
            raise self._changed()

    def check(self, spec: Mapping[str, object]) -> None:
        """Refuse a directory that holds something else than a run with these settings; writes nothing.

        ``spec`` may be the settings alone, or with what the run is made with (``provenance.made_with``).
        """
        there = self._nearest()
        if not there.is_dir():
            raise RunDirectoryError(
                f"Cannot write to the run directory '{self.path}': '{there}' is a file; choose another."
            )
        if not self.path.exists():
            return
        if not (self.path / SPEC).exists():
            strangers = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if strangers:
                raise RunDirectoryError(
                    f"The directory '{self.path}' holds other files ({strangers[0]}) but no run; "
                    f"choose an empty one with {setting('out')}."
                )
            return
        # Before the settings are compared: a flipped digit is no other setting of the user's.
        check_sum(self.path / SPEC)
        earlier = read_json(self.path / SPEC)
        for key in sorted(spec, key=lambda key: (key != "kind", key)):  # another kind of run differs in much else
            if key not in earlier and key in _LATER and _LATER[key] in (..., plain(spec[key])):
                continue
            if earlier.get(key) != plain(spec[key]):
                place, before, now = _difference(key, earlier.get(key), plain(spec[key]))
                raise RunDirectoryError(
                    f"The directory '{self.path}' holds a run with {place} = {_short(before)}, "
                    f"not {_short(now)}; give the same settings to go on with it, "
                    f"or choose another directory with {setting('out')}."
                )

    def check_places(self, *names: str) -> None:
        """Refuse a directory where something else stands in the place of a file that the run will write or read.

        Said at once: writing it would fail only after the search.
        """
        folders = {self._checkpoints, *(p for name in names for p in (self.path / name).parents if p != self.path)}
        for path in (self.journal, *(self.path / name for name in names)):
            if path.exists() and not path.is_file():
                raise RunDirectoryError(
                    f"'{path}' is not a file, but one of the run belongs there; move it away, or choose another "
                    f"directory with {setting('out')}."
                )
        for path in sorted(folders):
            if path.exists() and not path.is_dir():
                raise RunDirectoryError(
                    f"'{path}' is not a directory, but one of the run belongs there; move it away, or choose another "
                    f"directory with {setting('out')}."
                )

    def check_writable(self) -> None:
        """Refuse a directory that a run cannot write to, or cannot be made; writes nothing."""
        there = self._nearest()
        if not os.access(there, os.W_OK):
            raise RunDirectoryError(
                f"Cannot write to the run directory '{self.path}': '{there}' is not writable; choose another."
            )
        lock = self.path / LOCK
        if lock.is_symlink() or (lock.exists() and not lock.is_file()):
            raise RunDirectoryError(
                f"Cannot write to the run directory '{self.path}': its {LOCK} is a link or something else that is no "
                f"plain file; remove it, or choose another directory with {setting('out')}."
            )

    def _nearest(self) -> Path:
        """Find the directory itself, or the nearest above it that exists."""
        return next(p for p in (self.path, *self.path.absolute().parents) if p.exists())

    def append(self, line: Mapping[str, object]) -> None:
        """Add one line to the journal."""
        self.check_held()
        text = json.dumps(plain(line), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        first, before = not self.journal.exists(), self._known()
        with self.journal.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        before.grow(text.encode())
        if first:
            sync_directory(self.path)

    def stop(self, evaluations: int) -> None:
        """Write down that the search was stopped early, after so many evaluations: it never goes on from there."""
        self.check_held()
        write_whole(self.path / STOPPED, dump_json({"evaluations": evaluations}))

    def stopped(self) -> int | None:
        """Read after how many evaluations the search was stopped; None where it was not."""
        if not (self.path / STOPPED).exists():
            return None
        evaluations = read_json(self.path / STOPPED).get("evaluations")
        if not isinstance(evaluations, int) or evaluations < 1:
            raise RunDirectoryError(
                f"'{self.path / STOPPED}' is damaged; remove it, and the search goes on to its budget."
            )
        return evaluations

    def lines(self) -> list[dict[str, Any]]:
        """Read the journal's lines; ``UserError`` where it does not hold what was written."""
        self.check_held()
        content = self._content()
        if self._lock is not None and hashlib.sha256(content).hexdigest() != self._known().digest:
            raise self._changed()
        found = []
        for number, line in enumerate(content.splitlines(), start=1):
            parsed = _parsed(line)
            if not isinstance(parsed, dict):
                raise RunDirectoryError(
                    f"Line {number} of '{self.journal}' is damaged: expected a JSON object. {_REMEDY}"
                )
            found.append(parsed)
        return found

    def checkpoint(self, number: int, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, object]) -> None:
        """Store the search state after generation ``number``, with the journal as it is now."""
        self.check_held()
        journal = self._known()
        about = {"scalars": dict(scalars), "journal": journal.length, "journal_sha256": journal.digest}
        self._checkpoints.mkdir(exist_ok=True)
        write_tensors(self._checkpoints / f"{number:06d}.safetensors", _STATE, arrays, about)
        self._prune()

    def _prune(self) -> None:
        """Remove all checkpoints but the newest; a process may have been killed between writing one and this."""
        for old in self._stored()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Read arrays and scalars of the newest whole checkpoint; None where there is none. Changes nothing."""
        found = self._newest()
        return None if found is None else (found.arrays, found.scalars)

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Read the newest whole checkpoint, with the journal cut back to it; None when the run is to start.

        ``UserError`` where checkpoints or journal are so damaged that the run cannot go on.
        """
        found, stored = self._last(), self._stored()
        for path in stored:
            # A damaged one left there would count as one of the newest and push out the ones to come.
            if found is None or _number(path) > _number(found.path):
                path.unlink()
        self._prune()
        self._written = None
        if found is None:
            self.journal.unlink(missing_ok=True)
            return None
        if self.journal.exists():
            os.truncate(self.journal, found.length)
        return found.arrays, found.scalars

    def can_go_on(self) -> bool:
        """Tell whether ``restore`` finds a state to go on from; changes nothing."""
        try:
            self._last()
        except UserError:
            return False
        return True

    def _last(self) -> _Checkpoint | None:
        """Read the newest whole checkpoint; None where the run had none yet."""
        found = self._newest()
        # The first generation may have been cut off between its line and its checkpoint; a second line follows one.
        if found is None and self._content().count(b"\n") > 1:
            raise RunDirectoryError(
                f"No checkpoint of the run in '{self.path}' is whole, so it cannot go on. {_REMEDY}"
            )
        return found

    def _newest(self) -> _Checkpoint | None:
        """Find the newest whole checkpoint whose generations are in the journal."""
        content, unmatched = self._content(), False
        for path in reversed(self._stored()):
            try:
                found = _Checkpoint.read(path)
            except DamagedFileError:
                continue
            if found.fits(content):
                return found
            unmatched = True
        if unmatched:
            raise RunDirectoryError(
                f"The journal of the run in '{self.path}' (journal.jsonl) is damaged, cut or missing: it does not "
                f"hold the generations that its checkpoint counts on. {_REMEDY}"
            )
        return None

    def _stored(self) -> list[Path]:
        """List the checkpoints' files, oldest first."""
        named = (p for p in self._checkpoints.glob("*.safetensors") if re.fullmatch(r"[0-9]+", p.stem))
        return sorted(named, key=_number)

    def _known(self) -> _Written:
        if self._written is None:
            self._written = _Written(self._content())
        return self._written

    def _size(self) -> int:
        return self.journal.stat().st_size if self.journal.is_file() else 0

    def _content(self) -> bytes:
        return self.journal.read_bytes() if self.journal.is_file() else b""

    def _changed(self) -> UserError:
        return RunDirectoryError(
            f"The journal of the run in '{self.path}' (journal.jsonl) was changed, cut or removed by somebody else "
            f"while the run was going on, so it stops. {_REMEDY}"
        )


_REMEDY = "Restore it from a copy and give the same command again, or remove the directory to begin anew."


def opened_lock(path: Path) -> int:
    """Open a descriptor of a lock file, which is made where there is none.

    Nothing else is touched, whatever stands there: a link is not followed, a pipe is not waited for, and nothing is
    emptied. Raises ``OSError``.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, f"its {LOCK} is not a plain file", str(path))
    return handle


def take_lock(folder: Path, lock: int) -> None:
    """Lock a directory for this process; ``UserError`` where another has it, a warning where there are no locks.

    ``lock``: a descriptor of ``opened_lock``. Closing it frees the directory.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"Another process is running in '{folder}'; wait for it or choose another directory with {setting('out')}."
        ) from error
    except OSError as error:
        # Some mounts of Lustre, NFS and FUSE: whoever has no other disk must be able to work.
        warnings.warn(
            f"The file system of '{folder}' has no locks ({error.strerror}); "
            "see to it that no other process uses this directory.",
            stacklevel=4,
        )


def _number(path: Path) -> int:
    return int(path.stem)


def _parsed(line: bytes) -> object:
    """Parse the JSON value of a line; None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _short(value: object) -> str:
    text = reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _difference(place: str, before: object, now: object) -> tuple[str, object, object]:
    """Find where two records differ first, by dotted names, and what stands there in each."""
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = ((key, before.get(key, "nothing"), now.get(key, "nothing")) for key in sorted({*before, *now}))
        key, *values = next(pair for pair in pairs if pair[1] != pair[2])
        return _difference(f"{place}.{key}", *values)
    return place, before, now


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises ``UserError`` when it is not one."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise RunDirectoryError(
            f"'{path}' is not a file; expected one that acculturate wrote, so move away what stands there."
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunDirectoryError(f"Cannot read '{path}': {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise RunDirectoryError(
            f"'{path}' is not valid JSON{where}; it was not written by acculturate, or is cut off or damaged, so "
            "restore it from a copy."
        ) from error
    if not isinstance(value, dict):
        raise RunDirectoryError(
            f"'{path}' does not hold a JSON object; expected a file that acculturate wrote, so restore it from a copy."
        )
    return value
