"""Ctrl-C, answered with a sentence at any moment: this module loads nothing that takes time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import NoReturn

EXIT = 130
"""The exit code of what was interrupted, as shells know it; typer tells of Ctrl-C by it."""

RESUMING = ("align", "multitask", "pareto", "steer")


def stop() -> NoReturn:
    """Say that the program was interrupted, and end it with an exit code of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would interrupt the saying
    sys.stderr.write(f"\nacculturate: {farewell(sys.argv[1:])}\n")
    sys.exit(EXIT)


def farewell(arguments: Sequence[str]) -> str:
    """Say what was kept, and the command to go on, to whoever gave these arguments."""
    goes_on = bool(arguments) and arguments[0] in RESUMING and not {"--dry-run", "--help"} & set(arguments)
    return "interrupted; give the same command again to go on from here." if goes_on else "interrupted."


class RememberedInterrupt:
    """Remember a Ctrl-C until it is dealt with: Python drops the exception where a finalizer was running."""

    def __init__(self) -> None:
        self._pending = False

    def __enter__(self) -> RememberedInterrupt:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> NoReturn:
        self._pending = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` where one came that nobody has dealt with."""
        if self._pending:
            raise KeyboardInterrupt

    def dealt_with(self) -> None:
        """Forget it."""
        self._pending = False
