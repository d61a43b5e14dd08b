"""What reaches a terminal: nothing that steers it, nothing that its encoding cannot show, and warnings as sentences."""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from acculturate.cli.flags import in_flags
from acculturate.errors import warned_by_us
from acculturate.legible import STEERING, legible, shortened

LINE_EVERY_S = 10.0
"""Seconds between two lines on progress where there is no terminal."""


class Console(rich.console.Console):
    """Print to a terminal, control characters spelt out; the colours and bars of rich stay."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=legible(segment.text))

    def on_broken_pipe(self) -> None:
        # A run whose progress nobody reads any more goes on.
        self.quiet = True
        if not self.stderr:
            _stop_writing()


def say(text: str) -> None:
    """Write lines to standard output."""
    _write(legible(text) + "\n")


def say_on(text: str) -> None:
    """Write a part of a text to standard output, at once and without an end of line."""
    _write(legible(text))


def say_json(text: str) -> None:
    """Write JSON to standard output; what cannot stand there as it is stands there by its number."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    numbered = STEERING if encoding.startswith("utf") else re.compile(f"[^\\x00-\\x7f]|{STEERING.pattern}")
    _write(numbered.sub(_number, text) + "\n")


def _number(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    return "".join(f"\\u{unit}" for unit in units)


def complain(text: str) -> None:
    """Write one line to standard error."""
    with suppress(OSError):  # nobody may be there to read it
        sys.stderr.write(f"acculturate: {legible(text)}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _stop_writing()


def _stop_writing() -> NoReturn:
    """End quietly: whoever read the output has read enough."""
    discard_output()
    raise SystemExit(0)


def discard_output() -> None:
    """Send what is still to be written to standard output nowhere, or Python complains of it at its end."""
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def prepare_streams() -> None:
    """Make standard input, output and error such that writing to them neither fails nor ends up in another file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Closed: the next file to be opened would get its number, and with it what libraries write.
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def warn_in_sentences() -> None:
    """Show this program's warnings as sentences, each once; those of libraries speak to their developers."""
    said: set[str] = set()

    def show(message: Warning | str, *_where: object, **_more: object) -> None:
        text = shortened(" ".join(str(message).split()), 1000)
        if warned_by_us(inspect.currentframe()) and text not in said:
            said.add(text)
            complain(f"warning: {in_flags(text)}")

    if not sys.warnoptions:  # else somebody asked for another way
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show


@contextmanager
def following() -> Iterator[Callable[[str, int, int], None]]:
    """Show how many of something are done, on standard error: a bar on a terminal, a line now and then elsewhere.

    What is given is told what is done, how many of it, and of how many.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        last = -LINE_EVERY_S

        def tell(doing: str, done: int, total: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last >= LINE_EVERY_S:
                last = time.monotonic()
                console.print(f"{doing}: {done} of {total}")

        yield tell
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("")
        yield lambda doing, done, total: bar.update(shown, description=legible(doing), completed=done, total=total)
