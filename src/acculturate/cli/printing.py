"""Output for people and for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from acculturate.cli.terminal import Console, say_json
from acculturate.errors import SettingError
from acculturate.legible import shown

Json = Annotated[str, typer.Option("--format", help="text, or json for programs.", metavar="text|json")]


def is_json(output: str) -> bool:
    """Tell whether ``--format`` asks for JSON; refuse what is no format."""
    if output not in ("text", "json"):
        raise SettingError(f"--format is {shown(output)}; expected text or json.")
    return output == "json"


def print_json(value: object) -> None:
    """Print a value as JSON, NaN as null."""
    from acculturate.files.run_directory import plain

    say_json(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def listing(rows: list[dict[str, Any]], output: str) -> None:
    """Print rows as a table, or as JSON."""
    if is_json(output):
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(rows[0]) if rows else []
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*["–" if row.get(n) is None else _cell(row[n]) for n in names])
    Console().print(table)


def figure(value: float | None, places: int = 1, *, signed: bool = False) -> str:
    """Write a figure of a table; a missing one as an en dash."""
    return "–" if value is None else f"{value:{'+' if signed else ''}.{places}f}"


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
