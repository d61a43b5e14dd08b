"""Print docs/cli.md from the command line itself: ``python tools/cli_docs.py > docs/cli.md``.

It reads the annotated signatures that typer reads, so that it depends on no library's internals.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from acculturate.cli import main as cli
from acculturate.cli.flags import DEFAULT, RUN_SETTINGS
from acculturate.runs.spec import expected

HEAD = """\
# Command line

<!-- Written by tools/cli_docs.py; change the texts in src/acculturate/runs/spec.py and cli/ instead. -->

`acculturate VERB [OPTIONS]`. Results go to standard output, progress and warnings to standard error. Every verb but
`version` takes `--format json`. `acculturate VERB --help` says the same as this page.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | `doctor` found something missing that is needed, or a run of a `sweep` failed |
| 2 | a mistake in what was asked, said in one sentence; nothing half-written is left |
| 130 | interrupted; the same `align`, `multitask`, `pareto`, `steer` or `sweep` command goes on from where it stopped |
"""

TYPES = {str: "text", int: "whole number", float: "number", Path: "path", bool: "switch"}


def page() -> str:
    """The whole of docs/cli.md."""
    verbs = list(_verbs(cli.app))
    rows = ["| verb | what it does |", "|---|---|"]
    for name, callback in verbs:
        first = _paragraphs(callback)[0]
        rows.append(f"| [`{name}`](#{_anchor(name)}) | {_cell(first)} |")
    return "\n".join([HEAD, *rows, "", *(_section(name, callback) for name, callback in verbs)])


def _verbs(app: Any, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every verb as typed and the function behind it, groups after the verbs of their level."""
    for command in app.registered_commands:
        yield prefix + (command.name or command.callback.__name__.replace("_", "-")), command.callback
    for group in app.registered_groups:
        yield from _verbs(group.typer_instance, f"{prefix}{group.name} ")


def _section(name: str, callback: Callable[..., Any]) -> str:
    out = [f"## {name}", ""]
    for paragraph in _paragraphs(callback):
        out += [paragraph if paragraph.startswith("```") else textwrap.fill(paragraph, 120), ""]
    signature = inspect.signature(callback, eval_str=True)
    rows = [_row(parameter, parameter.annotation) for parameter in signature.parameters.values()]
    if rows:
        out += ["| option | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    if callback is cli.align:
        out += [
            "In a file, what `--option` sets is the table `optimizer_options` ([search.md](search.md) has the names).",
            "",
        ]
    return "\n".join(out)


def _paragraphs(callback: Callable[..., Any]) -> list[str]:
    """The docstring in paragraphs of one line; examples as code."""
    paragraphs = []
    for text in inspect.cleandoc(callback.__doc__ or "").split("\n\n"):
        lines = text.splitlines()
        start = next((i for i, line in enumerate(lines) if "acculturate " in line and "Example" in line), None)
        if start is None:
            paragraphs.append(" ".join(lines))
            continue
        before, _, first = lines[start].partition("Example")
        lead = " ".join([*lines[:start], before.strip()]).strip()
        if lead:
            paragraphs.append(lead)
        commands = " ".join([first.partition(":")[2], *lines[start + 1 :]]).split("acculturate ")[1:]
        paragraphs.append("\n".join(["```console", *(f"$ acculturate {c.strip()}" for c in commands), "```"]))
    return paragraphs


def _row(parameter: inspect.Parameter, hint: Any) -> str:
    kind, info = typing.get_args(hint)[:2]
    plain, repeats = _plain(kind)
    if isinstance(info, ArgumentInfo):
        name, value = f"`{parameter.name.upper()}`", TYPES[plain]
    else:
        assert isinstance(info, OptionInfo)
        flag = "--" + parameter.name.replace("_", "-")
        # In an annotation typer takes the first name as the default and finds out later.
        named = [one for one in (info.default, *(info.param_decls or ())) if str(one).startswith("--")]
        given = named or ((flag, f"--no-{flag[2:]}") if plain is bool else (flag,))
        name = " / ".join(f"`{one}`" for one in given)
        value = info.metavar or TYPES[plain]
        if parameter.name in RUN_SETTINGS and not info.metavar and plain in (int, float):
            value = expected(parameter.name).removeprefix("a ")
    value += ", several" if repeats else ""
    meaning, _, default = (info.help or "").partition(DEFAULT)
    return f"| {name} | {_cell(value)} | {default[:-1] or _default(parameter)} | {_cell(meaning)} |"


def _plain(kind: Any) -> tuple[type, bool]:
    """The type of one value, and whether there may be several."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
    if typing.get_origin(kind) is list:
        return typing.get_args(kind)[0], True
    return kind, False


def _default(parameter: inspect.Parameter) -> str:
    """Say what holds where nothing is given, for flags that are no settings of a run."""
    value = parameter.default
    if value is inspect.Parameter.empty:
        return "required"
    if value is True:
        return "on"
    if value is None or value is False or value in ("", ()):
        return "–"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(page())
