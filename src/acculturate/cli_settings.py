"""From flags and a configuration file to the settings of a run, still to be validated together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acculturate.errors import UserError


def spec_values(given: dict[str, Any], options: list[str], config: Path | None) -> dict[str, object]:
    """The settings that were given: flags win over the file, and what is None or empty was not given."""
    values: dict[str, object] = {}
    if config is not None:
        from acculturate.spec import read_spec_file

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
                f"'optimizer_options' in {config} is {stored!r}; expected a table of options, like F = 0.8."
            )
        chosen: dict[str, object] = dict(stored)
        for text in options:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise UserError(f"--option '{text}' is not of the form NAME=VALUE, like F=0.8.")
            chosen[name] = _scalar(value)
        values["optimizer_options"] = chosen
    if not values.get("country"):
        raise UserError(
            "No country was named; give one with --country, like --country SAU (acculturate list countries)."
        )
    return values


def _scalar(text: str) -> str | int | float | bool:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
