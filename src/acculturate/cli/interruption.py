"""Ctrl-C, answered with a sentence at any moment: this module loads nothing that takes time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

EXIT = 130
"""The exit code of what was interrupted, as shells know it; typer tells of Ctrl-C by it."""

RESUMING = ("align", "multitask", "pareto", "steer", "sweep")


def stop() -> NoReturn:
    """Say that the program was interrupted, and end it with an exit code of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would interrupt the saying
    sys.stderr.write(f"\nacculturate: {farewell(sys.argv[1:])}\n")
    sys.exit(EXIT)


@contextmanager
def ends_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 end the program as Ctrl-C does, and a second one of the three end it at once.

    Clusters send these before they take a machine away.
    """

    def interrupt(*_: object) -> NoReturn:
        for number in signals:
            signal.signal(number, lambda *_: os._exit(EXIT))
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def farewell(arguments: Sequence[str]) -> str:
    """Say what was kept, and the command to go on, to whoever gave these arguments."""
    goes_on = bool(arguments) and arguments[0] in RESUMING and not {"--dry-run", "--help"} & set(arguments)
    return "interrupted; give the same command again to go on from here." if goes_on else "interrupted."
