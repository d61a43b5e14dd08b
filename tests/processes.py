"""The command line in processes of its own, among them one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def acculturate(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=300, **options)


def kill_in_search(*arguments: object, out: Path, generations: int = 3) -> None:
    """Start the command with this ``--out`` and kill it once its journal has so many lines."""
    process = subprocess.Popen(_command(*arguments, "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, deadline = out / "journal.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= generations:
            break
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "acculturate", *map(str, arguments)]
