"""Folders that are whole: an export stands under its name when all of it is written and compared, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acculturate.errors import SettingError, UserError, setting
from acculturate.files.run_directory import dump_json, read_json
from acculturate.files.whole_file import sync_directory, write_whole

ABOUT = "acculturate.json"
"""The file that says what an export is."""

LATER = ("README.md",)
"""Files that may be written after it."""


@contextmanager
def export_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` that takes its place when the body ends well, and vanishes when it fails.

    An earlier export at ``out`` is replaced; one that a killed process had set aside comes back first. Raises
    ``UserError`` where other files stand there, nothing can be written, or another process writes the same export.
    """
    check_place(out)
    scratch, earlier = _beside(out)
    handle = _claimed(scratch)
    try:
        if earlier.is_dir() and not earlier.is_symlink() and not out.exists():
            earlier.rename(out)
        yield scratch
        _publish(scratch, out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    finally:
        os.close(handle)


def check_place(out: Path) -> None:
    """Refuse a place for an export that holds anything else; ``UserError`` says what."""
    if not out.name or out.name in (".", ".."):
        raise SettingError(f"'{out}' cannot name the folder of an export; name a new one with {setting('out')}.")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise SettingError(f"'{out}' is no folder; name a new one for the export with {setting('out')}.")
    if out.is_dir() and (foreign := _foreign(out)):
        raise SettingError(
            f"'{out}' holds other files ({foreign[0]}); name a new folder for the export with {setting('out')}."
        )
    parent = next(one for one in out.absolute().parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        why = "not writable" if parent.is_dir() else "no folder"
        raise SettingError(f"'{parent}' is {why}; name another folder for the export with {setting('out')}.")


def _foreign(folder: Path) -> list[str]:
    """List what no export wrote into a folder: all of it where there is none."""
    try:
        written = read_json(folder / ABOUT).get("files")
    except UserError:  # whatever stands there, it is not ours to remove
        written = None
    own = {str(name) for name in written} if isinstance(written, list) else set()
    return sorted(name for name in _names(folder) if name not in own)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _claimed(scratch: Path) -> int:
    """Make the scratch folder anew and hold it against other processes; returns what holds it."""
    try:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        if scratch.is_symlink() or (scratch.exists() and not scratch.is_dir()):
            scratch.unlink()
        scratch.mkdir(exist_ok=True)
        handle = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SettingError(
            f"The export cannot be written to '{scratch.parent}' ({error.strerror}); name another folder with "
            f"{setting('out')}."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise _busy(scratch) from None
    except OSError:
        pass  # no locks on this file system
    # Between opening and locking, whoever held it may have published it under its name.
    if not _is_open_as(handle, scratch):
        os.close(handle)
        raise _busy(scratch)
    for left in scratch.iterdir():  # of a process that was killed
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    return handle


def _beside(out: Path) -> tuple[Path, Path]:
    """Name the folders beside an export: where it is being written, and where an earlier one is set aside."""
    return out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.earlier")


def _is_open_as(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _busy(scratch: Path) -> SettingError:
    return SettingError(f"Another process is writing the export '{scratch}'; wait for it to end.")


def _publish(scratch: Path, out: Path) -> None:
    earlier = _beside(out)[1]
    shutil.rmtree(earlier, ignore_errors=True)
    if out.exists():
        out.rename(earlier)
    scratch.rename(out)
    sync_directory(out.parent)
    shutil.rmtree(earlier, ignore_errors=True)


def write_about(folder: Path, about: dict[str, object]) -> None:
    """Write the file that says what an export is, and which files are its own: written last."""
    write_whole(folder / ABOUT, dump_json({**about, "files": sorted({*_names(folder), ABOUT, *LATER})}))
