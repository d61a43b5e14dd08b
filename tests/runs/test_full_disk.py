"""A disk that fills up costs no more than the generation in progress, and is said in one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import bytes_of

_COMMAND = (
    *("align", "--country", "USA", "--protocol", "paper", "--seed", "3", "--tokens", "2", "--population", "4"),
    *("--optimizer", "de", "--budget", "24"),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory; only an administrator may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def resized(place: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(place)], check=True)


def run(tiny: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "acculturate", *_COMMAND, "--model", tiny, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(tiny, small_disk, tmp_path) -> None:
    out, whole = small_disk / "run", tmp_path / "whole"
    assert run(tiny, whole).returncode == 0
    needed = sum(-(-p.stat().st_size // 4096) * 4 for p in whole.rglob("*") if p.is_file())
    # Room for some generations, and for all but the page.
    for kilobytes in (24, needed - 8):
        resized(small_disk, kilobytes)
        done = run(tiny, out)
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("acculturate: ") and "No space left on device" in last and "Traceback" not in done.stderr
    resized(small_disk, 4 * needed)
    assert run(tiny, out).returncode == 0
    assert bytes_of(out) == bytes_of(whole)
