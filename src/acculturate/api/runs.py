"""Runs in Python: one country, several, a front against a second objective, and runs compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from acculturate.api.model import Model
from acculturate.api.settings import lent, run_values
from acculturate.errors import RunDirectoryError
from acculturate.files.run_directory import run_folder
from acculturate.judge.compare import Compared, Comparison
from acculturate.judge.compare import compare as compare_results
from acculturate.keywords import Keywords
from acculturate.report.front_page import write_front_page
from acculturate.report.run_page import write_report
from acculturate.runs import align as align_run
from acculturate.runs import multitask as multitask_run
from acculturate.runs import pareto as pareto_run
from acculturate.runs.evaluate import evaluation_of
from acculturate.runs.load import FrontRun, MultitaskRun, Run, open_run
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.survey.targets import Target, load_target_set


def align(
    model: str | Model = "embedded",
    country: str | Target | None = None,
    *,
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> Run:
    """Search for a soft prompt that brings a model's scores to a country's; what ``acculturate align`` does.

    Parameters
    ----------
    model
        A loaded model, or the name of one.
    country
        Whose scores to reach: code, name, or a ``target`` of a built-in set.
    out
        The run directory: the same call goes on with an interrupted run and returns a finished one. By default a
        temporary directory.
    callbacks
        Who follows the run, and may stop the search.
    settings
        Settings of the run by name (docs/cli.md).

    Returns
    -------
    Run
        The finished run: ``verdict``, ``prompt``, tables and figures.

    Raises
    ------
    UserError
        For every mistake in the settings or the directory, in one sentence.
    """
    spec = make_spec(run_values(model, country, settings), "the call of align")
    folder = run_folder(out)
    followers = Callbacks.of(callbacks)
    result = align_run.align(spec, folder, followers, lent(model))
    write_report(folder, result, evaluation_of(folder))
    followers.finished(folder)
    return Run(folder, result)


def multitask(
    model: str | Model,
    countries: Sequence[str],
    *,
    shared_tokens: int = multitask_run.SHARED_TOKENS,
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> MultitaskRun:
    """Search for soft prompts of several countries that share their first tokens.

    Parameters
    ----------
    model, out, callbacks, settings
        As in ``align``.
    countries
        Whose scores to reach; two or more.
    shared_tokens
        Virtual tokens that all of them share.

    Returns
    -------
    MultitaskRun
        The finished run: its table, and with ``country(code)`` the ``Run`` of one country.
    """
    values = run_values(model, None, settings) | {"country": list(countries), "shared_tokens": shared_tokens}
    spec = multitask_run.multitask_spec(values, "the call of multitask")
    folder = run_folder(out)
    followers = Callbacks.of(callbacks)
    record = multitask_run.multitask(spec, folder, followers, lent(model))
    multitask_run.write_reports(folder, record)
    followers.finished(folder)
    return MultitaskRun(folder, record)


def pareto(
    model: str | Model = "embedded",
    country: str | Target | None = None,
    *,
    against: str | Path = "untuned",
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> FrontRun:
    """Search for the front between closeness to a country's scores and a second objective.

    Parameters
    ----------
    model, country, out, callbacks, settings
        As in ``align``.
    against
        ``untuned`` (stay near its answers), or questions to get right: a CSV, or a task like ``mini``.

    Returns
    -------
    FrontRun
        The finished run: its table, and with ``prompt(point)`` the prompt of one point.
    """
    spec = make_spec(run_values(model, country, settings), "the call of pareto")
    folder = run_folder(out)
    followers = Callbacks.of(callbacks)
    front = pareto_run.pareto(spec, str(against), folder, followers, lent(model))
    write_front_page(folder, front)
    followers.finished(folder)
    return FrontRun(folder, front)


def compare(runs: Iterable[Run | str | Path], targets: str | Path | None = None) -> Comparison:
    """Compare finished runs of different countries, to see whether each prompt is nearest to its own country.

    Parameters
    ----------
    runs
        Runs of ``align``, or their directories.
    targets
        Also rank each among all countries of this set.

    Returns
    -------
    Comparison
        ``to_frame()`` has every distance in points; ``find(row, role)`` one matrix, with its ranks and what chance
        gives; ``notes`` what could not be compared.
    """
    opened = [one if isinstance(one, Run) else open_run(one) for one in runs]
    for one in opened:
        if not isinstance(one, Run):
            raise RunDirectoryError(
                f"The run in '{one.path}' is of the kind {one.kind}; compare takes runs for one country."
            )
    results = [Compared.model_validate(one.to_dict()) for one in opened]
    table = None if targets is None else load_target_set(targets)
    return compare_results(results, table, names=[str(one.path) for one in opened])
