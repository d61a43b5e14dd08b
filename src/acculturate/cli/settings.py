"""The settings of a run on the command line: flags that several verbs take, and what they and a file come to.

A flag that was not given is None: the default is ``spec.RunSpec``'s, or the file's.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from acculturate.errors import UserError
from acculturate.legible import shown

Out = Annotated[Path | None, typer.Option(help="Directory of the run; the same command goes on with it.")]
Country = Annotated[str, typer.Option(help="Whose scores to reach: ISO code, name or common alias.")]
Model = Annotated[str | None, typer.Option(help="A Hugging Face id, a local directory, a GGUF file, or 'embedded'.")]
Targets = Annotated[str | None, typer.Option(help="Target set, or a CSV of your own (acculturate list targets).")]
Protocol = Annotated[
    str | None,
    typer.Option(help="'balanced': several formats, both option orders. 'paper': one format, one order."),
]
Slot = Annotated[
    str | None, typer.Option(help="Where the prompt goes: before_bos, system, user_end or response_start.")
]
Tokens = Annotated[int | None, typer.Option(help="Virtual tokens of the soft prompt.")]
Optimizer = Annotated[
    str | None, typer.Option(help="Search method (acculturate list optimizers); 'auto' picks by evidence.")
]
Seed = Annotated[int | None, typer.Option(help="All randomness follows from it.")]
Start = Annotated[
    str | None,
    typer.Option(help="Begin from blank (line breaks), vocabulary, text, culture (texts on the country) or noise."),
]
WarmStart = Annotated[
    str | None, typer.Option(help="Begin from an earlier run's prompt (its directory or file) or a PEFT adapter.")
]
Dtype = Annotated[str | None, typer.Option(help="Precision of the search: auto, float32, bfloat16, float16.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Options = Annotated[list[str] | None, typer.Option(help="Option of the optimizer, NAME=VALUE; repeat for more.")]


def spec_values(given: dict[str, Any], options: list[str], config: Path | None) -> dict[str, object]:
    """The settings that were given: flags win over the file, and what is None or empty was not given."""
    values: dict[str, object] = {}
    if config is not None:
        from acculturate.runs.spec import read_spec_file

        values |= read_spec_file(config)
    for key, value in given.items():
        if value is None or (key == "country" and not value):
            continue
        if key.endswith("_formats") or key in ("heldout_languages", "heldout_items"):
            value = [part.strip() for part in value.split(",") if part.strip()]
        values[key] = value
    if options:
        stored = values.get("optimizer_options") or {}
        if not isinstance(stored, dict):
            raise UserError(
                f"'optimizer_options' in {config} is {shown(stored)}; expected a table of options, like F = 0.8."
            )
        chosen: dict[str, object] = dict(stored)
        for text in options:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise UserError(f"--option {shown(text)} is not of the form NAME=VALUE, like F=0.8.")
            chosen[name] = _scalar(value)
        values["optimizer_options"] = chosen
    if not values.get("country"):
        raise UserError(
            "No country was named; give one with --country, like --country SAU (acculturate list countries)."
        )
    return values


def source(config: Path | None) -> str:
    """Where the settings stand, for messages about them."""
    return "the command line" if config is None else f"the command line or {config}"


def directory(out: Path | None, what: str = "run") -> Path:
    """The directory that was given. UserError where none was."""
    if out is None:
        raise UserError(f"There is no directory for the {what}; name one with --out.")
    return out


def warn_if_slow(dtype: str, device: str) -> None:
    """Warn before a run in a precision that this processor only emulates."""
    from acculturate.performance.machine import slow_precision

    if said := slow_precision(dtype, device):
        warnings.warn(said, stacklevel=1)


def check_range(flag: str, value: int | float | None, low: int | float, high: int | float) -> None:
    """Refuse a number that a verb has no use for; NaN lies in no range."""
    if value is not None and not low <= value <= high:
        raise UserError(f"{flag} is {shown(value)}; expected a number from {low:,} to {high:,}.")


def _scalar(text: str) -> str | int | float | bool:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
