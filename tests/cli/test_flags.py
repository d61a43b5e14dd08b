"""Flags: made from the settings of a run, and named as such in messages that the library writes about settings."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from acculturate.cli import main as cli
from acculturate.cli.flags import OTHER_SETTINGS, RUN_SETTINGS, flag_of, in_flags
from acculturate.errors import setting
from acculturate.runs.spec import RunSpec, default_in_words

SOURCE = Path(inspect.getfile(RunSpec)).parents[1]


def _verbs(app: Any) -> dict[str, str]:
    verbs = {}
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        shown = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        if shown.exit_code == 0:
            verbs[name] = shown.output
    shown = CliRunner().invoke(cli.app, ["instrument", "fit", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    return verbs | {"fit": shown.output}


HELP = _verbs(cli.app)


@pytest.mark.parametrize("name", RUN_SETTINGS)
def test_every_setting_has_a_help_text_and_a_flag_of_align(name: str) -> None:
    described = RunSpec.model_fields[name].description
    assert described and described.endswith(".")
    text = " ".join(HELP["align"].split())
    assert f"{flag_of(name)} " in text
    assert described.rstrip(".") in text
    if (default := default_in_words(name)) is not None:
        assert f"[default: {default}]" in text


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (f"use {setting('rows', 4)}.", "use --rows 4."),
        (f"try {setting('dtype', 'float32')}", "try --dtype float32"),
        (f"read it, then give {setting('trust_remote_code', True)}", "read it, then give --trust-remote-code"),
        (f"like {setting('heldout_items', ['m04', 'm12'])}", "like --heldout-items m04,m12"),
        (f"{setting('validation_formats', [])} for none", "--validation-formats '' for none"),
        (f"give {setting('scale', (-2, 2))}", "give --scale -2-2"),
        (f"give {setting('missing', ['none'])}", "give --missing none"),
        (f"like {setting('scores', {'PDI': 80})}", "like --set PDI=80"),
        (f"another {setting('out')}", "another --out"),
        ("'`rows=import os`'", "'`rows=import os`'"),
        ("`nothing=1` and `x`", "`nothing=1` and `x`"),
    ],
)
def test_settings_in_a_message_are_flags_on_the_command_line(sentence: str, shown: str) -> None:
    assert in_flags(sentence) == shown


def test_every_setting_that_a_message_names_is_a_flag_of_some_verb() -> None:
    named = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}: a setting is named in plain words"
                named.add(node.args[0].value)
    assert named >= {"tokens", "out", "missing"}
    assert named <= {*RUN_SETTINGS, *OTHER_SETTINGS}
    everything = " ".join(HELP.values())
    for name in named | set(OTHER_SETTINGS):
        assert re.search(rf"{flag_of(name)}\b", everything), name


OTHER_PROGRAMS = {"--no-deps", "--enable-prompt-embeds", "--jinja", "--base"}
"""Flags of pip, of vllm, of llama-server, and of the client that an export holds."""


def test_the_library_below_the_command_line_names_no_flags() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "cli" or path.name == "client.py":  # a program of its own, copied into exports
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value)) - OTHER_PROGRAMS
                assert not flags, f"{path.relative_to(SOURCE)}:{node.lineno} names {flags}; use errors.setting"
