"""What several verbs check before they begin: a directory, the speed of a precision, the range of a number."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from acculturate.cli.flags import option_of
from acculturate.errors import SettingError
from acculturate.legible import shown

Out = Annotated[Path | None, typer.Option("--out", help="Directory of the run; the same command goes on with it.")]

RunDevice = Annotated[str | None, option_of("device", "Where to compute; by default as the run.", own_default=True)]
RunPrecision = Annotated[
    str | None, option_of("dtype", "Precision; by default float32, in which runs measure.", own_default=True)
]
PromptOfModel = Annotated[
    Path | None, typer.Option(help="Soft prompt for --model: a run, a .safetensors file or a PEFT adapter.")
]


def directory(out: Path | None, what: str = "run") -> Path:
    """Return the directory that was given. Raise UserError where none was."""
    if out is None:
        raise SettingError(f"There is no directory for the {what}; name one with --out.")
    return out


def warn_if_slow(dtype: str, device: str) -> None:
    """Warn before a run in a precision that this processor only emulates."""
    from acculturate.performance.machine import slow_precision

    if sentence := slow_precision(dtype, device):
        warnings.warn(sentence, stacklevel=1)


def check_range(flag: str, value: int | float | None, low: int | float, high: int | float) -> None:
    """Refuse a number that a verb has no use for; NaN lies in no range."""
    if value is not None and not low <= value <= high:
        raise SettingError(f"{flag} is {shown(value)}; expected a number from {low:,} to {high:,}.")
