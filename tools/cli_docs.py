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
from acculturate.runs.spec import RunSpec

HEAD = """\
# Command line

<!-- Written by tools/cli_docs.py; change the help texts in src/acculturate/cli/ instead. -->

`acculturate VERB [OPTIONS]`. Results go to standard output, progress and warnings to standard error. Every verb but
`version` takes `--format json`. `acculturate VERB --help` says the same as this page.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | `doctor` found something missing that is needed |
| 2 | a mistake in what was asked, said in one sentence; nothing half-written is left |
| 130 | interrupted; the same `align`, `multitask`, `pareto` or `steer` command goes on from where it stopped |
"""

TYPES = {str: "text", int: "whole number", float: "number", Path: "path", bool: "switch"}
# The value that a protocol gives is not one value.
VARYING = {
    "train_formats": "the protocol's",
    "validation_formats": "the protocol's",
    "heldout_formats": "the protocol's",
    "mass_penalty": "the protocol's",
    "start": "by protocol and slot",
    "population": "20, or the budget where that is less",
    "spread": "2 for blank, 1 for text",
}
# The verbs that make a run have the defaults of its settings.
RUNS = ("align", "multitask", "pareto")


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
    hints = typing.get_type_hints(callback, include_extras=True)
    rows = [
        _row(parameter, hints[key], callback)
        for key, parameter in inspect.signature(callback).parameters.items()
        if key in hints
    ]
    if rows:
        out += ["| option | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    if callback is cli.align:
        out += [*_only_in_files(hints), ""]
    return "\n".join(out)


def _only_in_files(flags: dict[str, Any]) -> list[str]:
    """The settings of a run that have no flag of their own."""
    rows = [
        f"| `{name}` | `{field.default}` |"
        for name, field in RunSpec.model_fields.items()
        if name not in flags and name != "optimizer_options"
    ]
    there = [
        "These can stand in the `--config` file, and in calls from Python, only:",
        "",
        "| key | default |",
        "|---|---|",
    ]
    said = "In a file, what `--option` sets is the table `optimizer_options` ([search.md](search.md) has the names)."
    return [*(there + rows + [""] if rows else []), said]


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


def _row(parameter: inspect.Parameter, hint: Any, callback: Callable[..., Any]) -> str:
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
    value += ", several" if repeats else ""
    return f"| {name} | {_cell(value)} | {_default(parameter, callback)} | {_cell(info.help or '')} |"


def _plain(kind: Any) -> tuple[type, bool]:
    """The type of one value, and whether there may be several."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
    if typing.get_origin(kind) is list:
        return typing.get_args(kind)[0], True
    return kind, False


def _default(parameter: inspect.Parameter, callback: Callable[..., Any]) -> str:
    """What holds where nothing is given; the verbs that make a run take their defaults from ``RunSpec``."""
    value = parameter.default
    if callback.__name__ in RUNS and parameter.name in RunSpec.model_fields:
        field = RunSpec.model_fields[parameter.name]
        value = inspect.Parameter.empty if field.is_required() else field.default
        if parameter.name in VARYING:
            return VARYING[parameter.name]
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
