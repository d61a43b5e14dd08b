"""Files that are whole: whatever happens while one is written, its name holds the old content or the new."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash or a loss of power leaves the old content or the new, never a part.

    A killed writer leaves a scratch file of a fixed name, which the next one replaces. Whatever else stands at that
    name, like a link to another file, is removed and not written through. Raises ``OSError``.
    """
    scratch = path.with_name(f".{path.name}.partial")
    scratch.unlink(missing_ok=True)
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            mine = os.fstat(file.fileno())
            # Another process that writes the same file would otherwise have its part published.
            if not os.path.samestat(mine, scratch.lstat()):
                raise FileExistsError(None, "Another process is writing it", str(path))
        scratch.replace(path)
    except FileExistsError:
        raise  # what stands there is the other process's
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say what it had no room for
            error.filename = str(path)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory as durable as the files, where the file system can."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a directory that may be written but not listed
        return
    try:
        os.fsync(handle)
    except OSError:  # some file systems have nothing to sync there
        pass
    finally:
        os.close(handle)
