"""The verb ``multitask``: one search for several countries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import Settings, option_of, takes_settings
from acculturate.cli.printing import Json, figure, is_json, print_json
from acculturate.cli.settings import Out, Track, directory, trackers_of, warn_if_slow
from acculturate.cli.terminal import Console

if TYPE_CHECKING:
    from acculturate.runs.records import Losses, Multitask


@takes_settings(
    without=("heldout_items",),
    instead={
        "country": Annotated[
            list[str] | None, typer.Option(help="Whose scores to reach; once for each of two or more countries.")
        ],
        "shared_tokens": Annotated[
            int | None, typer.Option(help="Virtual tokens that all countries share, before their own (2 if not given).")
        ],
        "tokens": Annotated[int | None, option_of("tokens", "Virtual tokens of each country's own.")],
        "budget": Annotated[
            int | None,
            option_of("budget", "Evaluations of one country's questionnaire; a joint candidate costs one for each."),
        ],
        "population": Annotated[int | None, option_of("population", "Joint candidates to begin with.")],
    },
)
def multitask(
    settings: Settings,
    out: Out = None,
    track: Track = None,
    output: Json = "text",
) -> None:
    """Search for soft prompts of several countries at once that share their first tokens.

    Example: acculturate multitask --country USA --country CHN --country IND --budget 900 --out runs/many

    Each country gets a directory under --out with its prompt, result and report, as score and compare take them.
    The mean of the countries' losses is minimised, and a budget of 900 is 300 joint candidates for three countries.
    """
    as_json = is_json(output)
    from acculturate.runs.multitask import multitask as run
    from acculturate.runs.multitask import multitask_spec, write_reports

    spec = multitask_spec(settings, settings.source)
    folder, trackers = directory(out), trackers_of(track)
    warn_if_slow(spec.settings.dtype, spec.settings.device)
    from acculturate.runs.progress import ProgressBar
    from acculturate.search.callbacks import Callbacks

    with ProgressBar(spec.candidates * len(spec.countries), Console(stderr=True)) as bar:
        followers = Callbacks.of([bar, *trackers])
        record = run(spec, folder, followers)
        write_reports(folder, record)
        followers.finished(folder)
    if as_json:
        print_json(record)
    else:
        _show(record, folder)


def _show(record: Multitask, out: Path) -> None:
    console = Console()
    spec = record.spec
    console.print(
        f"{record.model.name}, {spec.shared_tokens} shared tokens and {spec.tokens} of each country's "
        f"own, {record.evaluations} evaluations; distances in points, mean over formats.\n"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "trained", "untuned", "held out", "untuned", "verdict"):
        table.add_column(name, justify="left" if name in ("", "verdict") else "right")
    for one in record.countries:
        table.add_row(one.code, *_cells(one.train), *_cells(one.heldout), one.verdict)
    table.add_row("mean", *_cells(record.mean.train), *_cells(record.mean.heldout), "")
    console.print(table)
    console.print(f"\nPrompts, results and reports: {out}/", ", ".join(one.code for one in record.countries))


def _cells(losses: Losses | None) -> tuple[str, str]:
    """Return the loss with the prompt and without it."""
    return figure(losses and losses.tuned), figure(losses and losses.untuned)
