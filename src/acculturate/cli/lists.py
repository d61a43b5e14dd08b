"""The verbs ``list``, ``doctor`` and ``version``: what there is to choose from, and what works here."""

from __future__ import annotations

from typing import Annotated

import typer

from acculturate.cli.printing import Json, listing
from acculturate.version import VERSION

lists = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What can be chosen: models, countries and so on."
)


@lists.command("models")
def list_models(output: Json = "text") -> None:
    """List what --model takes."""
    from acculturate.model.loading import known_models

    listing([{"model": name, "about": about} for name, about in known_models().items()], output)


@lists.command("countries")
def list_countries(
    targets: Annotated[str, typer.Option(help="Target set or CSV.")] = "hofstede-2015", output: Json = "text"
) -> None:
    """List the countries of a target set with their scores."""
    from acculturate.survey.targets import load_target_set

    rows = [{"code": t.code, "country": t.country, **t.scores} for t in load_target_set(targets).targets]
    listing(rows, output)


@lists.command("targets")
def list_targets(output: Json = "text") -> None:
    """List the built-in target sets."""
    from acculturate.survey.targets import builtin_target_sets

    listing([{"set": name, "about": about} for name, about in builtin_target_sets().items()], output)


@lists.command("instruments")
def list_instruments(output: Json = "text") -> None:
    """List the built-in instruments."""
    from acculturate.survey.instrument_files import builtin_instruments

    listing([{"instrument": name, "about": about} for name, about in builtin_instruments().items()], output)


@lists.command("tasks")
def list_tasks(output: Json = "text") -> None:
    """List the tasks that evaluate takes; published ones come from the hub, or from your own copy with NAME=FILE."""
    from acculturate.knowledge.catalog import tasks
    from acculturate.knowledge.specimens import FLUENCY

    about = tasks() | {FLUENCY: "how the model writes: perplexity, repetition, refusals"}
    listing([{"task": name, "about": one} for name, one in about.items()], output)


@lists.command("optimizers")
def list_optimizers(output: Json = "text") -> None:
    """List the search methods."""
    from acculturate.search.methods import AUTO, METHODS

    rows = [{"optimizer": "auto", "about": f"what docs/search.md shows to find the closest prompts: {AUTO}"}]
    listing(rows + [{"optimizer": name, "about": method.about} for name, method in METHODS.items()], output)


def doctor(output: Json = "text") -> None:
    """Check this installation: versions, devices, the embedded model, where things are kept."""
    from acculturate.cli.doctor import checks

    found = checks()
    listing([{"check": c.name, "state": "ok" if c.ok else "missing", "detail": c.detail} for c in found], output)
    if not all(c.ok or c.optional for c in found):
        raise typer.Exit(1)


def version() -> None:
    """Print the version."""
    print(VERSION)
