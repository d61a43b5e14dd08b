"""What several verbs check before they begin: a directory, the speed of a precision, the range of a number."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acculturate.cli.flags import option_of
from acculturate.errors import SettingError
from acculturate.legible import shown

if TYPE_CHECKING:
    from acculturate.runs.trackers.tracker import Tracker

Out = Annotated[Path | None, typer.Option("--out", help="Directory of the run; the same command goes on with it.")]

Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME[:PROJECT]",
        help="Log to wandb, mlflow, tensorboard or trackio; repeat for more (docs/trackers.md).",
    ),
]

RunDevice = Annotated[str | None, option_of("device", "Where to compute; by default as the run.", own_default=True)]
RunPrecision = Annotated[
    str | None, option_of("dtype", "Precision; by default float32, in which runs measure.", own_default=True)
]
PromptOfModel = Annotated[
    Path | None, typer.Option(help="Soft prompt for --model: a run, a .safetensors file or a PEFT adapter.")
]


def trackers_of(names: Sequence[str] | None, group: str | None = None) -> list[Tracker]:
    """Make the trackers that were asked for. Raise UserError where there is no such one, or it is not installed."""
    if not names:
        return []
    from acculturate.runs.trackers.tracker import Tracker

    made = [Tracker.parse(name, group) for name in names]
    if len({one.name for one in made}) < len(made):
        raise SettingError("--track names a tracker twice; name each once.")
    return made


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
