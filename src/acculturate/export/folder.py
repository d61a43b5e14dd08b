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

    An earlier export at ``out`` is replaced. Raises ``UserError`` where other files stand there, nothing can be
    written, or another process writes the same export.
    """
    check_place(out)
    scratch = out.with_name(f".{out.name}.partial")
    handle = _claimed(scratch)
    try:
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
        raise SettingError(f"Another process is writing the export '{scratch}'; wait for it to end.") from None
    except OSError:
        pass  # no locks on this file system
    for left in scratch.iterdir():  # of a process that was killed
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    return handle


def _publish(scratch: Path, out: Path) -> None:
    earlier = out.with_name(f".{out.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if out.exists():
        out.rename(earlier)
    scratch.rename(out)
    sync_directory(out.parent)
    shutil.rmtree(earlier, ignore_errors=True)


def write_about(folder: Path, about: dict[str, object]) -> None:
    """Write the file that says what an export is, and which files are its own: written last."""
    write_whole(folder / ABOUT, dump_json({**about, "files": sorted({*_names(folder), ABOUT, *LATER})}))
