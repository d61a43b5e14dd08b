"""The command line in processes of its own, among them one that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# However busy the machine is, the process kills itself at the same place: right after it has written a generation's
# line (``append``) or its checkpoint (``checkpoint``). No signal handler and no cleaning up runs on SIGKILL.
KILLED = """
import os, signal, sys
from acculturate.cli.main import main
from acculturate.files.run_directory import RunDirectory

name, left = sys.argv.pop(1), int(sys.argv.pop(1))
whole = getattr(RunDirectory, name)

def killed(self, *given):
    global left
    whole(self, *given)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(RunDirectory, name, killed)
main()
"""


def acculturate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "acculturate", *map(str, arguments)], capture_output=True, text=True)


def kill_in_search(*arguments: object, out: Path, generations: int = 3, after: str = "checkpoint") -> None:
    """Start the command with this ``--out`` and have it killed ``after`` it wrote so many generations' files."""
    command = [sys.executable, "-c", KILLED, after, str(generations), *map(str, arguments), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, f"it ended before it could be killed: {done.stderr}"
    assert (out / "journal.jsonl").read_bytes().count(b"\n") == generations
