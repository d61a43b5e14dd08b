"""Exceptions that a user's mistake raises: the message is a sentence, shown without a traceback."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from types import FrameType

from acculturate.legible import legible, shortened

LONGEST = 400
"""Characters of a message, whatever was put in: one that repeats a file of megabytes tells nothing."""


class UserError(Exception):
    """Tell a user what was wrong, where, what was expected and what to do, in one sentence of one line."""

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(legible(re.sub(r"\s*[\r\n]\s*", " ", sentence)), LONGEST))


class SettingError(UserError):
    """Refuse a setting that cannot be, alone or beside the others."""


class FileError(UserError):
    """Refuse a file that cannot be read or does not hold what it should: targets, answers, wordings, prompts."""


class ModelError(UserError):
    """Refuse a model that cannot be loaded, cannot be asked, or would give wrong numbers."""


class RunDirectoryError(UserError):
    """Refuse a run directory that is in use, damaged, full, or belongs to other settings."""


def setting(name: str, value: object = None) -> str:
    """Name a setting in a message, with a value to give it: rows=4 between backticks.

    It is written as a keyword of a call in Python. The command line shows it as a flag (``cli.flags``).
    """
    return f"`{name}`" if value is None else f"`{name}={value!r}`"


def refusal(error: OSError) -> str:
    """Say what the system refused."""
    where = f" '{error.filename}'" if error.filename else ""
    return f"The system refused{where}: {error.strerror or error}; what is on disk is whole."


def first_line(error: object, length: int = 200) -> str:
    """Take the first line of another library's error, cut short and without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = " ".join(lines[0].split()).rstrip(".")
    return shortened(line, length)


def counted(names: Sequence[str], what: str) -> str:
    """Count names, with the word for them: ``3 weights``."""
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def some(names: Sequence[str]) -> str:
    """List the first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def listed(names: Sequence[str]) -> str:
    """List all names as a sentence does: ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def warned_by_us(frame: FrameType | None) -> bool:
    """Tell whether a module of ours called ``warn``; the place that a warning names is whatever its level leads to."""
    names: list[str] = []
    while frame is not None:
        names.append(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    after = itertools.dropwhile(lambda name: name != "warnings", names)
    caller = next(itertools.dropwhile(lambda name: name == "warnings", after), "")
    return caller.startswith("acculturate.")
