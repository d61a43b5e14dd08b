"""The command line: ``acculturate VERB``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acculturate import cli_front, cli_lists, cli_measure, cli_steer
from acculturate.cli_multitask import multitask
from acculturate.cli_settings import (
    Country,
    Device,
    Dtype,
    Model,
    Optimizer,
    Options,
    Out,
    Protocol,
    Seed,
    Slot,
    Start,
    Targets,
    Tokens,
    WarmStart,
    directory,
    source,
    spec_values,
)
from acculturate.errors import UserError
from acculturate.printing import Json, is_json, print_json

app = typer.Typer(
    name="acculturate",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Align a language model with a culture's survey values by searching for a soft prompt.",
)
instruments = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Instruments of your own.")

err = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2; an interruption is 130."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"acculturate: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\nacculturate: interrupted; give the same command again to go on from here.\n")
        sys.exit(130)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            sys.exit(0)
        where = f" '{error.filename}'" if error.filename else ""
        sys.stderr.write(
            f"acculturate: The system refused{where}: {error.strerror or error}; what is on disk is whole.\n"
        )
        sys.exit(2)


@app.command()
def align(
    country: Country = "",
    out: Out = None,
    model: Model = None,
    targets: Targets = None,
    protocol: Protocol = None,
    slot: Slot = None,
    tokens: Tokens = None,
    optimizer: Optimizer = None,
    budget: Annotated[int | None, typer.Option(help="Candidate evaluations to spend.")] = None,
    population: Annotated[
        int | None, typer.Option(help="Candidates to begin with, and per generation of a population method.")
    ] = None,
    seed: Seed = None,
    start: Start = None,
    text: Annotated[str | None, typer.Option(help="The text for --start text.")] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            help="Spread of the first population around the text or line breaks, in embedding standard deviations."
        ),
    ] = None,
    warm_start: WarmStart = None,
    space: Annotated[str | None, typer.Option(help="Search all coordinates ('full') or a random 'projection'.")] = None,
    projection_dim: Annotated[int | None, typer.Option(help="Dimensions of --space projection.")] = None,
    anchor: Annotated[
        float | None, typer.Option(help="Points of loss per nat of distance from the untuned answers.")
    ] = None,
    mass_penalty: Annotated[
        float | None, typer.Option(help="Points of loss per nat of answer mass lost; paper protocol 0, else 20.")
    ] = None,
    train_formats: Annotated[
        str | None, typer.Option(help="Formats to train on, comma-separated: labels/layout/variant/language.")
    ] = None,
    validation_formats: Annotated[
        str | None, typer.Option(help="Formats that help choose the winner; '' for none.")
    ] = None,
    heldout_formats: Annotated[str | None, typer.Option(help="Formats the result is judged on; '' for none.")] = None,
    heldout_languages: Annotated[
        str | None, typer.Option(help="Languages to be judged in too, like ar,zh: one held-out format each.")
    ] = None,
    heldout_items: Annotated[
        str | None, typer.Option(help="Items that the search does not ask, like m04,m12; does the prompt move them?")
    ] = None,
    sampled: Annotated[
        bool | None, typer.Option("--sampled", help="At the end also ask by generated text, as the paper does.")
    ] = None,
    instrument: Annotated[
        str | None, typer.Option(help="Instrument id or file (acculturate list instruments).")
    ] = None,
    wording: Annotated[
        str | None, typer.Option(help="Your own text of the questionnaire, in any language (TOML or YAML).")
    ] = None,
    constant: Annotated[float | None, typer.Option(help="Constant added to every dimension, in points.")] = None,
    mas25: Annotated[bool | None, typer.Option("--mas25", help="Legacy weight 25 in the second MAS term.")] = None,
    dtype: Dtype = None,
    device: Device = None,
    quantize: Annotated[
        str | None, typer.Option(help="none, 8bit or 4bit loading (needs acculturate[quantized]).")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face model.")] = None,
    trust_remote_code: Annotated[
        bool | None, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Candidates per forward pass.")] = None,
    option: Options = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML or YAML file with any of these settings; flags win over it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the run would cost, and stop.")] = False,
    output: Json = "text",
) -> None:
    """Search for a soft prompt that brings the model's survey scores to a country's.

    Example: acculturate align --model embedded --country SAU --targets country-tool-estimate --out runs/sau

    The directory holds the prompt, every evaluation, the result against honest baselines and a report. The same
    command goes on where an interrupted run stopped.
    """
    given = {
        key: value for key, value in locals().items() if key not in ("out", "option", "config", "dry_run", "output")
    }
    values = spec_values(given, option or [], config)
    as_json = is_json(output)
    from acculturate.alignment import align as run
    from acculturate.spec import make_spec

    spec = make_spec(values, source(config))
    if dry_run:
        _dry_run(spec, as_json)
        return
    folder = directory(out)
    from acculturate.report import write_report
    from acculturate.watching import watching

    with watching(err, spec.budget) as watch:
        result = run(spec, folder, watch)
        page = write_report(folder, result)
    if as_json:
        print_json(result)
    else:
        _show_result(result, page)


def _dry_run(spec: Any, as_json: bool) -> None:
    from acculturate.costs import dry_run

    estimate = dry_run(spec)
    if as_json:
        print_json(estimate.to_json())
    else:
        print(estimate.text())


def _show_result(result: dict[str, Any], page: Path) -> None:
    from acculturate.results import plain_tables

    console = Console(highlight=False)
    search = result["search"]
    console.print(
        f"{result['model']['model']} towards {result['target']['country']} ({result['target']['target_set']}), "
        f"{search['evaluations']} evaluations with {search['optimizer']}; distances in points, mean over formats.\n",
        markup=False,
    )
    for header, *lines in plain_tables(result):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for i, name in enumerate(header):
            table.add_column(Text(name), justify="left" if i == 0 else "right")
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table)
        console.print()
    for sentence in (result["verdict"]["headline"], *result["verdict"]["sentences"]):
        console.print(sentence, markup=False)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


for verb in (
    multitask,
    cli_steer.steer,
    cli_front.pareto,
    cli_front.pick,
    cli_measure.score,
    cli_measure.audit,
    cli_measure.compare,
    cli_measure.oracle,
    cli_measure.bench,
):
    app.command()(verb)
app.add_typer(cli_lists.lists, name="list")
instruments.command()(cli_measure.fit)
app.add_typer(instruments, name="instrument")
for verb in (cli_lists.doctor, cli_lists.version):
    app.command()(verb)
