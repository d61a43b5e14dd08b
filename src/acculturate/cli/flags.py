"""Flags made from the settings of a run: their help, values and defaults stand on ``runs.spec.RunSpec`` alone."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from acculturate.errors import SettingError
from acculturate.legible import shown
from acculturate.runs.spec import RunSpec, default_in_words, kind_and_limits, read_spec_file

RUN_SETTINGS = tuple(name for name in RunSpec.model_fields if name != "optimizer_options")
"""Every setting that has a flag of its own; options of the search method have ``--option`` together."""

OTHER_SETTINGS = (
    "against",
    "answers",
    "gguf",
    "limit",
    "missing",
    "out",
    "point",
    "port",
    "prompt",
    "push",
    "scale",
    "scores",
    "shared_tokens",
    "slurm_set",
    "survey_below",
    "to",
    "verify",
)
"""Parameters of Python functions that messages name and that are flags of some verb, but no settings of a run."""

DEFAULT = " [default: "
"""Stands in a help text before what holds where the flag is left out."""

_OPTION = Annotated[
    list[str] | None, typer.Option("--option", help="Option of the search method, NAME=VALUE; repeat for more.")
]
_CONFIG = Annotated[
    Path | None, typer.Option("--config", help="TOML or YAML file with any of these settings; flags win over it.")
]
_NAMES = {"scores": "--set"}
_MARKED = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")


def flag_of(name: str) -> str:
    """Return the flag of a setting: ``train_formats`` has ``--train-formats``."""
    return _NAMES.get(name, "--" + name.replace("_", "-"))


def in_flags(sentence: str) -> str:
    """Write the settings that a message names (``errors.setting``) as flags with their values."""
    return _MARKED.sub(_flag, sentence)


def _flag(match: re.Match[str]) -> str:
    name, written = match.groups()
    if name not in RUN_SETTINGS and name not in OTHER_SETTINGS:
        return match[0]
    if written is None:
        return flag_of(name)
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError):
        return match[0]
    if name == "verify" and value is False:
        return "--no-verify"
    return flag_of(name) if value is True else f"{flag_of(name)} {shlex.quote(_typed(name, value))}"


def _typed(name: str, value: object) -> str:
    """Write a value as one types it after its flag."""
    match value:
        case dict():
            return " ".join(f"{key}={one}" for key, one in value.items())
        case list() | tuple():
            return ("-" if name == "scale" else ",").join(map(str, value))
        case _:
            return str(value)


def option_of(name: str, help_text: str | None = None, *, own_default: bool = False) -> Any:
    """Return what typer needs to make the flag of a setting, to stand in ``Annotated``.

    Parameters
    ----------
    name
        The setting, by its name in ``RunSpec``.
    help_text
        A text of the verb's own instead of the setting's.
    own_default
        Whether the verb has a default of its own in its signature, which typer shows.
    """
    kind, _ = kind_and_limits(name)
    text = help_text or RunSpec.model_fields[name].description
    if get_origin(kind) is tuple:
        text = f"{(text or '').rstrip('.')} (comma-separated)."
    if kind is bool:
        return typer.Option(flag_of(name), help=text)
    values = "|".join(get_args(kind)) if get_origin(kind) is Literal else None
    default = None if own_default else default_in_words(name)
    return typer.Option(flag_of(name), help=text if default is None else f"{text}{DEFAULT}{default}]", metavar=values)


def _flag_of_setting(name: str) -> Any:
    kind, _ = kind_and_limits(name)
    plain = kind if kind in (int, float, bool) else str
    return Annotated[plain | None, option_of(name)]


class Settings(dict[str, Any]):
    """Hold the settings that were given for a run, and where they stand (``source``), for messages about them."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        super().__init__(values)
        self.source = source


def takes_settings(
    *, without: Sequence[str] = (), instead: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the flags of a run's settings, ``--option`` and ``--config``.

    The verb's first parameter, ``settings``, gets what was given; its other parameters are flags of its own.

    Parameters
    ----------
    without
        Settings that this kind of run has no use for.
    instead
        Annotated types, by name, of settings that this kind of run takes in another way than ``align``.
    """
    flags = {name: _flag_of_setting(name) for name in ("country", *RUN_SETTINGS) if name not in without}
    flags |= {"option": _OPTION, "config": _CONFIG} | dict(instead or {})

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(verb, eval_str=True).parameters.values()
        settings = [_keyword(name, annotation) for name, annotation in flags.items()]
        before = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        # A country and a directory first: every run needs them.
        parameters = [settings[0], *before[:-1], *settings[1:], before[-1]]

        @wraps(verb)
        def with_settings(**given: Any) -> None:
            options, config = given["option"] or [], given["config"]
            chosen = {name: given[name] for name in flags if name not in ("option", "config")}
            source = "the command line" if config is None else f"the command line or {config}"
            settings = Settings(run_settings(chosen, options, config), source)
            verb(settings, **{one.name: given[one.name] for one in own})

        with_settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_settings.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_settings

    return decorate


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def run_settings(flags: Mapping[str, Any], options: Sequence[str], config: Path | None) -> dict[str, Any]:
    """Put flags and a file together: flags win over the file, and what is None or empty was not given."""
    values: dict[str, Any] = {} if config is None else dict(read_spec_file(config))
    for name, value in flags.items():
        if value is None or (name == "country" and not value):
            continue
        listed = isinstance(value, str) and name in RUN_SETTINGS and get_origin(kind_and_limits(name)[0]) is tuple
        values[name] = [part.strip() for part in value.split(",") if part.strip()] if listed else value
    if options:
        stored = values.get("optimizer_options") or {}
        if not isinstance(stored, dict):
            raise SettingError(
                f"'optimizer_options' in {config} is {shown(stored)}; expected a table of options, like F = 0.8."
            )
        values["optimizer_options"] = stored | dict(_name_and_value(text) for text in options)
    if not values.get("country"):
        raise SettingError(
            "No country was named; give one with --country, like --country SAU (acculturate list countries)."
        )
    return values


def _name_and_value(text: str) -> tuple[str, str | int | float | bool]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingError(f"--option {shown(text)} is not of the form NAME=VALUE, like F=0.8.")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)
