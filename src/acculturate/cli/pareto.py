"""The verbs for alignment against a second objective: ``pareto`` and ``pick``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import Settings, option_of, takes_settings
from acculturate.cli.printing import Json, figure, is_json, print_json
from acculturate.cli.settings import Out, Track, directory, trackers_of, warn_if_slow
from acculturate.cli.terminal import Console

if TYPE_CHECKING:
    from acculturate.judge.front import Front, Point, Reference, SecondObjective

SHOWN = 20
"""Points of a front that a terminal shows; the page has all."""


@takes_settings(
    without=("optimizer", "anchor", "mass_penalty", "response_style", "heldout_items", "sampled", "baselines"),
    instead={
        "budget": Annotated[int | None, option_of("budget", "Candidate evaluations; only whole generations are run.")],
        "population": Annotated[int | None, option_of("population", "Candidates per generation, at least 4.")],
        "option": Annotated[list[str] | None, typer.Option(help="F, CR or archive as NAME=VALUE; repeat for more.")],
    },
)
def pareto(
    settings: Settings,
    out: Out = None,
    against: Annotated[
        str,
        typer.Option(
            help="Second objective: untuned (stay near its answers), or questions to get right (a CSV or a task)."
        ),
    ] = "untuned",
    track: Track = None,
    output: Json = "text",
) -> None:
    """Search for the front between closeness to a country's scores and a second objective.

    Example: acculturate pareto --model embedded --country SAU --targets country-tool-estimate --out runs/front

    A CSV of questions has the columns question, answer, option_1, option_2 and so on, the answer being the right
    option's text or its letter. The directory gets the front, its prompts and a page; then pick takes a point.
    """
    as_json = is_json(output)
    from acculturate.runs.spec import make_spec

    spec = make_spec(settings, settings.source)
    folder, trackers = directory(out), trackers_of(track)
    warn_if_slow(spec.dtype, spec.device)
    from acculturate.report.front_page import write_front_page
    from acculturate.runs.pareto import pareto as run
    from acculturate.runs.progress import ProgressBar
    from acculturate.search.callbacks import Callbacks

    with ProgressBar(spec.budget, Console(stderr=True)) as bar:
        followers = Callbacks.of([bar, *trackers])
        front = run(spec, against, folder, followers)
        page = write_front_page(folder, front)
        followers.finished(folder)
    if as_json:
        print_json(front)
    else:
        _show_front(front, folder, page)


def pick(
    run: Annotated[Path, typer.Argument(help="Directory of a finished acculturate pareto.")],
    out: Annotated[Path, typer.Option(help="Directory for the prompt and its figures.")],
    point: Annotated[int | None, typer.Option(help="Number of the point, as the front's page shows it.")] = None,
    survey_below: Annotated[
        float | None,
        typer.Option(help="Instead: the least second objective among the points with a smaller loss than this."),
    ] = None,
    output: Json = "text",
) -> None:
    """Take one point of a front as a prompt of its own.

    Examples: acculturate pick runs/front --point 7 --out runs/picked
              acculturate pick runs/front --survey-below 40 --out runs/picked
    """
    as_json = is_json(output)
    from acculturate.runs.front import pick as choose

    record = choose(run, out, point=point, survey_below=survey_below)
    if as_json:
        print_json(record)
        return
    console = Console()
    console.print(f"Point {record.point} of {record.of} towards {record.target.country}:\n", soft_wrap=True)
    console.print(_table(record.second, (*record.references, record)))
    console.print(f"\nUse it: acculturate score --model {record.model.name} --prompt {out}", soft_wrap=True)


def _show_front(front: Front, out: Path, page: Path) -> None:
    console = Console()
    target, points = front.target, front.points
    console.print(
        f"{front.model.name} towards {target.country} ({target.target_set}), "
        f"{front.search.evaluations} evaluations; {len(points)} points. Distances in points; second objective: "
        f"{front.second.about}.\n"
    )
    step = max(1, -(-len(points) // SHOWN))
    console.print(_table(front.second, (*front.references, *points[::step])))
    if step > 1:
        console.print(f"Every {step}th point is shown; the page has all.")
    if front.audit.warning:
        console.print(f"\n{front.audit.warning}")
    console.print(f"\nPage: {page}", soft_wrap=True)
    console.print(f"Take a point: acculturate pick {out} --point N --out DIRECTORY", soft_wrap=True)


def _table(second: SecondObjective, rows: Sequence[Reference | Point]) -> Table:
    """Tabulate both objectives on the trained and the held-out formats."""
    from acculturate.judge.front import FLAT, UNTUNED, Reference

    name = "departure" if second.id == UNTUNED else "wrong"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "trained", name, "held out", name, "mass"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        cells = [row.name]
        for figures in (row.train, row.heldout):
            cells.append(figure(None if figures is None else figures.survey, 1))
            cells.append(figure(None if figures is None else figures.second, 3))
        flat = isinstance(row, Reference) and row.id == FLAT
        table.add_row(*cells, figure(None if flat else row.train.mass, 2))
    return table
