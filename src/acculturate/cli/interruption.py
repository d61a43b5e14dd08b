"""Ctrl-C, answered with a sentence at any moment: this module loads nothing that takes time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn

EXIT = 130
"""The exit code of what was interrupted, as shells know it; typer tells of Ctrl-C by it."""

RESUMING = ("align", "multitask", "pareto", "steer", "sweep")

_LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def stop() -> NoReturn:
    """Say that the program was interrupted, and end it with an exit code of its own."""
    _next_one_leaves()  # it would interrupt the saying
    sys.stderr.write(f"\nacculturate: {farewell(sys.argv[1:])}\n")
    sys.exit(EXIT)


def _heeded() -> list[int]:
    """List the signals that the program was not started to ignore."""
    return [number for number in _LEAVING if signal.getsignal(number) != signal.SIG_IGN]


def _next_one_leaves() -> None:
    """Have the next of these signals end the program at once."""
    for number in _heeded():
        signal.signal(number, lambda *_: os._exit(EXIT))


@contextmanager
def ends_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 end the program as Ctrl-C does, and a second one of the three end it at once.

    Clusters send these before they take a machine away. A signal that the program was started to ignore stays ignored.
    """

    def interrupt(*_: object) -> NoReturn:
        _next_one_leaves()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _heeded()}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def farewell(arguments: Sequence[str]) -> str:
    """Say what was kept, and the command to go on, to whoever gave these arguments."""
    goes_on = bool(arguments) and arguments[0] in RESUMING and not {"--dry-run", "--help"} & set(arguments)
    return "interrupted; give the same command again to go on from here." if goes_on else "interrupted."


class RememberedInterrupt:
    """Remember a Ctrl-C until it is dealt with: Python drops the exception where a finalizer was running.

    SIGTERM and SIGUSR1 end the program meanwhile, with nothing to be said or kept.
    """

    def __init__(self) -> None:
        self._pending = False

    def __enter__(self) -> RememberedInterrupt:
        self._before = {number: signal.signal(number, signal.SIG_DFL) for number in _heeded()}
        if signal.SIGINT in self._before:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

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
