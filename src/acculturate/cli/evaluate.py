"""The verb ``evaluate``: what a model knows and recommends, without and with a soft prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from acculturate.cli.flags import option_of
from acculturate.cli.printing import Json, is_json, print_json
from acculturate.cli.settings import PromptOfModel, RunDevice, check_range, warn_if_slow
from acculturate.cli.terminal import Console, following
from acculturate.errors import SettingError
from acculturate.legible import capital

if TYPE_CHECKING:
    from acculturate.judge.evaluation_records import Evaluation, Fluency, Measure
    from acculturate.knowledge.specimens import Specimen
    from acculturate.knowledge.task import Task

SHOWN = 8
"""Rows of countries or topics that a table on a terminal has at most; the file has all of them."""


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="Directory of a finished run: its model and its prompt.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model instead of a run; with a run, where its model is now.")
    ] = None,
    prompt: PromptOfModel = None,
    tasks: Annotated[
        str,
        typer.Option(help="Tasks, comma-separated: a name (acculturate list tasks), NAME=FILE, or a file of your own."),
    ] = "mini,general,scenarios,fluency",
    limit: Annotated[int | None, typer.Option(help="Questions of each task to ask, at most.")] = None,
    countries: Annotated[
        str | None, typer.Option(help="Ask only what is about these countries, comma-separated.")
    ] = None,
    answers: Annotated[
        str | None,
        option_of("answers", "What an answer is (not sampled); by default as in the run, else probabilities."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for figures and answers; by default in the run, else nowhere.")
    ] = None,
    dtype: Annotated[
        str | None, option_of("dtype", "Precision of --model; a run is evaluated in float32.", own_default=True)
    ] = None,
    device: RunDevice = None,
    trust_remote_code: Annotated[bool, option_of("trust_remote_code")] = False,
    output: Json = "text",
) -> None:
    """Measure what a model knows, without and with a soft prompt: accuracy with intervals and paired tests.

    Examples: acculturate evaluate runs/sau --tasks mini,general
              acculturate evaluate --model embedded --tasks culturalbench-hard=CulturalBench-Hard.csv --limit 200
    """
    as_json = is_json(output)
    check_range("--limit", limit, 1, 10**9)
    if run is None and model is None:
        raise SettingError("Give the directory of a finished run, or a model with --model.")
    if run is not None and prompt is not None:
        raise SettingError("--prompt goes with --model alone; a run has a prompt of its own.")
    if run is not None and dtype is not None:
        raise SettingError("--dtype goes with --model alone; a run is evaluated in float32.")
    from acculturate.model.choice import ModelChoice
    from acculturate.runs import evaluate as work
    from acculturate.runs.model_again import ModelNow

    if answers is not None:
        work.way_of(answers)
    chosen, writing = named_tasks(tasks, limit, countries)
    with following() as watch:
        if run is not None:
            found = work.evaluate_run(
                run,
                chosen,
                answers=answers,
                writing=writing,
                out=out,
                device=device,
                model=ModelNow(model, trust_remote_code),
                watch=watch,
            )
        else:
            warn_if_slow(dtype or "float32", device or "auto")
            choice = ModelChoice(
                model or "",
                dtype=dtype or "float32",
                device=device or "auto",
                trust_remote_code=trust_remote_code,
            )
            found = work.evaluate_model(
                choice, chosen, prompt=prompt, answers=answers, writing=writing, out=out, watch=watch
            )
    folder = out or (None if run is None else run / work.FOLDER)
    if as_json:
        print_json(found.record)
        return
    show_evaluation(found.record)
    if folder is not None:
        Console().print(f"Every answer: {folder / work.ANSWERS}", soft_wrap=True)


def named_tasks(
    tasks: str, limit: int | None = None, countries: str | None = None
) -> tuple[list[Task], tuple[Specimen, ...]]:
    """Load the tasks that a command names, and the requests of ``fluency`` where it is among them."""
    from acculturate.runs.evaluate import tasks_of

    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise SettingError("--tasks names no task; see: acculturate list tasks.")
    about = [name.strip() for name in (countries or "").split(",") if name.strip()]
    return tasks_of(names, limit=limit, countries=about)


def show_evaluation(found: Evaluation) -> None:
    """Print all figures of an evaluation."""
    from acculturate.model.answer_kind import answers_of

    console = Console()
    for task in found.tasks:
        counted = f"{task.measures[0].whole.questions} questions"
        labelled = task.mass is not None and not answers_of(task.answers).of_texts
        mass = "" if task.mass is None or not labelled else f"; answer mass {_both(task.mass, task.mass_tuned)}"
        console.print(f"{task.title} ({counted}; answers: {task.answers}{mass})")
        first, *others = task.measures
        console.print(f"{capital(first.title)}:")
        console.print(_table(first, tuned=found.prompt is not None))
        for measure in others:
            whole, both = measure.whole, found.prompt is not None
            after = f", tuned {measure.written(whole.tuned)}, p {whole.p or 0.0:.3f}" if both else ""
            console.print(f"{capital(measure.title)}: untuned {measure.written(whole.untuned)}{after}")
        console.print()
        for sentence in task.notes:
            console.print(sentence)
        if task.terms:
            console.print(f"{task.terms}\n")
    if found.fluency is not None:
        console.print(_fluency_table(found.fluency))
        console.print()
    for sentence in (*found.sentences, *found.notes):
        console.print(sentence)


def _both(untuned: float, tuned: float | None) -> str:
    return f"{untuned:.3f}" if tuned is None else f"{untuned:.3f}, with the prompt {tuned:.3f}"


def _fluency_table(found: Fluency) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(f"Fluency ({found.requests} requests)"))
    columns = [one for one in (found.untuned, found.tuned) if one is not None]
    for name in ("untuned", "tuned")[: len(columns)]:
        table.add_column(name, justify="right")
    table.add_row("perplexity of good replies", *(f"{one.perplexity:.2f}" for one in columns))
    for name, shares in (
        ("empty replies", [one.empty for one in columns]),
        ("replies that repeat themselves", [one.repeating for one in columns]),
        ("refusals", [one.refusing for one in columns]),
        ("replies in other letters", [one.foreign for one in columns]),
    ):
        table.add_row(name, *(f"{100 * share:.0f} %" for share in shares))
    return table


def _table(measure: Measure, *, tuned: bool) -> Table:
    from acculturate.report.evaluation_section import figures_of

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for name in ("n", "untuned", "95 %", *(("tuned", "95 %", "up", "down", "p", "visible") if tuned else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for group in measure.groups[: SHOWN + 1]:
        table.add_row(*map(Text, (group.group or "all", *figures_of(measure, group, tuned=tuned))))
    if len(measure.groups) > SHOWN + 1:
        table.add_row(Text(f"and {len(measure.groups) - SHOWN - 1} more"))
    return table
