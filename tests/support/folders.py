"""What stands in a folder, to see whether anything was written."""

from __future__ import annotations

import hashlib
from pathlib import Path


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's digest and inode: a file that was written anew with the same content differs too."""
    return {
        str(p.relative_to(folder)): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_ino)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file's content, by its path in the folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
