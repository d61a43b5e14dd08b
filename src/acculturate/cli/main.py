"""The command line: ``acculturate VERB``."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from acculturate.cli import interruption
from acculturate.cli import lists as cli_lists
from acculturate.cli import measure as cli_measure
from acculturate.cli import pareto as cli_front
from acculturate.cli import steer as cli_steer
from acculturate.cli.chat import chat
from acculturate.cli.evaluate import evaluate, named_tasks, show_evaluation
from acculturate.cli.export import export
from acculturate.cli.flags import Settings, in_flags, takes_settings
from acculturate.cli.multitask import multitask
from acculturate.cli.printing import Json, is_json, print_json
from acculturate.cli.serve import serve
from acculturate.cli.settings import Out, Track, directory, trackers_of, warn_if_slow
from acculturate.cli.sweep import sweep
from acculturate.cli.terminal import (
    Console,
    complain,
    discard_output,
    following,
    prepare_streams,
    say,
    warn_in_sentences,
)
from acculturate.errors import SettingError, UserError, refusal

if TYPE_CHECKING:
    from acculturate.judge.records import Result

app = typer.Typer(
    name="acculturate",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Align a language model with a culture's survey values by searching for a soft prompt.",
)
instruments = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Instruments of your own.")

# What typer raises for a mistake on the command line; its releases have it in different places.
_Usage: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line: a user's mistake is one sentence and exit code 2; an interruption is 130."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        prepare_streams()
        with warnings.catch_warnings():
            warn_in_sentences()
            code = _shared_exit_code() if "TORCHELASTIC_RUN_ID" in os.environ else _exit_code()
        if code == interruption.EXIT:
            interruption.stop()
        sys.exit(code)
    except KeyboardInterrupt:
        interruption.stop()


def _shared_exit_code() -> int:
    """Run the command line in the first process that torchrun started, with the others as its workers."""
    from acculturate.model.pool import torchrun

    if not torchrun.is_launched():
        return _exit_code()
    try:
        code = torchrun.run_first(_exit_code)
    except UserError as error:
        if os.environ["RANK"] == "0":
            complain(in_flags(str(error)))
        code = 2
    if code != interruption.EXIT:
        torchrun.leave(code)
    return code


def _exit_code() -> int:
    try:
        code = app(prog_name="acculturate", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        complain(in_flags(str(error)))
    except _Usage as error:
        _show_usage(error)
    except BrokenPipeError:
        discard_output()
        return 0
    except OSError as error:
        complain(str(SettingError(refusal(error))))
        discard_output()
    except MemoryError:
        complain("There is not enough memory for this; ask for less of it, or use a larger machine.")
    return 2


def _show_usage(error: Any) -> None:
    """Say a mistake on the command line in one sentence, with numbers in a user's words."""
    said = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        sys.stderr.write(f"{said}\n")
        return
    said = re.sub(r"Input should be a valid integer\b.*", "expected a whole number", said)
    said = re.sub(r"Input should be a valid number\b.*", "expected a number", said)
    verb = error.ctx.command_path if error.ctx is not None else "acculturate"
    complain(str(SettingError(f"{said.rstrip('.')}; see: {verb} --help.")))


@app.command()
@takes_settings()
def align(
    settings: Settings,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the run would cost, and stop.")] = False,
    tasks: Annotated[
        str | None, typer.Option(help="Also evaluate the prompt on these tasks, as evaluate does; in the report.")
    ] = None,
    track: Track = None,
    output: Json = "text",
) -> None:
    """Search for a soft prompt that brings the model's survey scores to a country's.

    Example: acculturate align --model embedded --country SAU --targets country-tool-estimate --out runs/sau

    The directory holds the prompt, every evaluation, the result against honest baselines and a report. The same
    command goes on where an interrupted run stopped.
    """
    as_json = is_json(output)
    from acculturate.runs.align import align as run
    from acculturate.runs.spec import make_spec

    spec = make_spec(settings, settings.source)
    asked = None if tasks is None else named_tasks(tasks)
    if dry_run:
        _dry_run(spec, as_json)
        return
    folder, trackers = directory(out), trackers_of(track)
    warn_if_slow(spec.dtype, spec.device)
    from acculturate.report.run_page import write_report
    from acculturate.runs.evaluate import evaluate_run, evaluation_of
    from acculturate.runs.model_again import ModelNow
    from acculturate.runs.progress import ProgressBar
    from acculturate.search.callbacks import Callbacks

    with ProgressBar(spec.budget, Console(stderr=True)) as bar:
        followers = Callbacks.of([bar, *trackers])
        result = run(spec, folder, followers)
        page = write_report(folder, result, evaluation_of(folder))
        followers.finished(folder)
    evaluated = None
    if asked is not None:
        with following() as watch:
            chosen, writing = asked
            now = ModelNow(trust_remote_code=spec.trust_remote_code)
            evaluated = evaluate_run(folder, chosen, writing=writing, model=now, watch=watch)
    if as_json:
        print_json(result)
        return
    if evaluated is not None:
        show_evaluation(evaluated.record)
    _show_result(result, page)


def _dry_run(spec: Any, as_json: bool) -> None:
    from acculturate.runs.dry_run import dry_run

    estimate = dry_run(spec)
    if as_json:
        print_json(estimate.to_json())
    else:
        say(estimate.text())


def _show_result(result: Result, page: Path) -> None:
    from acculturate.cli.tables import plain_tables
    from acculturate.search.text_space import TEXT_FILE

    console = Console()
    target, search = result.target, result.search
    console.print(
        f"{result.model.name} towards {target.country} ({target.target_set}), "
        f"{search.evaluations} evaluations with {search.optimizer}; distances in points, mean over formats.\n",
    )
    for header, *lines in plain_tables(result):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for i, name in enumerate(header):
            table.add_column(Text(name), justify="left" if i == 0 else "right")
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table)
        console.print()
    for sentence in (result.verdict.headline, *result.verdict.sentences):
        console.print(sentence)
    if result.text is not None:
        console.print(f"\nThe system message ({page.with_name(TEXT_FILE)}):", soft_wrap=True)
        console.print(Text(result.text), soft_wrap=True)
    console.print(f"Report: {page}", soft_wrap=True)


for verb in (
    multitask,
    cli_steer.steer,
    cli_front.pareto,
    cli_front.pick,
    sweep,
    cli_measure.score,
    cli_measure.audit,
    cli_measure.compare,
    evaluate,
    export,
    chat,
    serve,
    cli_measure.oracle,
    cli_measure.bench,
):
    app.command()(verb)
app.add_typer(cli_lists.lists, name="list")
instruments.command()(cli_measure.fit)
app.add_typer(instruments, name="instrument")
for verb in (cli_lists.doctor, cli_lists.version):
    app.command()(verb)
