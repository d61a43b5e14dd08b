"""The checksums of a finished run's files: SHA256SUMS, which ``sha256sum -c`` reads too.

Without them a changed digit in a result is another result. A directory without the file, from before there was one, is
taken as it is. Pages are not in it: they are drawn anew from the result by any later version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from acculturate.errors import RunDirectoryError
from acculturate.files.whole_file import write_whole

SUMS = "SHA256SUMS"
SPEC = "spec.json"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^\n]+)")
_MOST = 2**20  # a run has a few files; whatever else stands there is not read into memory


def sha256_of(*files: Path) -> str:
    """Compute the SHA-256 of a file, or of several read one after the other, in hexadecimal digits."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                total.update(block)
    return total.hexdigest()


def digest(path: Path) -> str:
    """Compute the SHA-256 of one file; ``UserError`` where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise RunDirectoryError(f"Cannot read '{path}': {error.strerror or error}.") from error


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Write the checksums of files by their names; equal files give equal bytes."""
    write_whole(folder / SUMS, "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """Read the digest of every file that a directory's checksums name; empty where there are none.

    ``UserError`` where they cannot be read.
    """
    path = folder / SUMS
    if not path.exists() and not path.is_symlink():
        return {}
    lines: list[str] | None = None
    if path.is_file():  # a pipe would be waited for
        try:
            with path.open("rb") as file:
                lines = file.read(_MOST).decode().splitlines()
        except OSError as error:
            raise RunDirectoryError(f"Cannot read '{path}': {error.strerror or error}.") from error
        except UnicodeDecodeError:
            pass
    found = [_LINE.fullmatch(line) for line in lines or ()]
    if not found or not all(found):
        raise RunDirectoryError(
            f"'{path}' is damaged: expected one line with a SHA-256 and a name for every file of the run; restore it "
            "from a copy, or remove it to have the files read unchecked."
        )
    return {one["name"]: one["digest"] for one in found if one is not None}


def check_sum(path: Path) -> None:
    """Refuse a file that is not what its run wrote, by the checksums beside it; one they do not name is taken."""
    known = read_sums(path.parent).get(path.name)
    if known is not None and path.is_file() and digest(path) != known:
        raise RunDirectoryError(not_as_written(path))


def not_as_written(path: Path) -> str:
    """Say what is wrong with a file that its checksum does not fit, and what to do."""
    if path.name == SPEC:
        return (
            f"'{path}' was changed or damaged after the run wrote it: it does not fit its checksum in {SUMS}; restore "
            "it from a copy, or begin anew in another directory."
        )
    return (
        f"'{path}' is cut off, damaged or changed: it does not fit its checksum in {SUMS}; restore it from a copy, or "
        "remove it and give the run's command again, which writes it anew."
    )
