"""The verb ``steer``: scores of the user's own choice from a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import option_of
from acculturate.cli.printing import Json, figure, is_json, print_json
from acculturate.cli.settings import Track, check_range, directory, trackers_of
from acculturate.cli.terminal import Console
from acculturate.errors import SettingError
from acculturate.files.datafile import BOUNDS
from acculturate.files.tables import cell_number
from acculturate.legible import shown

if TYPE_CHECKING:
    from acculturate.runs.records import Steered


def steer(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run with the search method dfgn.")],
    wanted: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A score to reach; repeat for more.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory for the steered prompt.")] = None,
    budget: Annotated[
        int,
        typer.Option(metavar="whole number from 0", help="Candidate evaluations beyond the first proposals."),
    ] = 100,
    free: Annotated[
        bool, typer.Option("--free", help="Let dimensions that are not named go anywhere instead of keeping them.")
    ] = False,
    parallel: Annotated[str, option_of("parallel", own_default=True)] = "none",
    track: Track = None,
    output: Json = "text",
) -> None:
    """Propose a soft prompt for scores that nobody published, from a finished run, and say how far it missed.

    Example: acculturate steer runs/sau --set PDI=80 --set IDV=30 --out runs/steered

    Dimensions that are not named stay where the run's prompt has them. The table shows what was reached on formats
    that were trained on and on held-out ones, and what a small step along each steering direction really does.
    """
    as_json = is_json(output)
    scores = _scores(wanted or [])
    check_range("--budget", budget, 0, 10**9)
    folder, trackers = directory(out, "steered prompt"), trackers_of(track)
    from acculturate.runs.progress import ProgressBar
    from acculturate.runs.steer import PROPOSALS
    from acculturate.runs.steer import steer as work
    from acculturate.search.callbacks import Callbacks

    with ProgressBar(PROPOSALS + budget, Console(stderr=True)) as bar:
        followers = Callbacks.of([bar, *trackers])
        record = work(run, scores, folder, free=free, budget=budget, parallel=parallel, callbacks=followers)
        followers.finished(folder)
    if as_json:
        print_json(record)
    else:
        _show(record, folder)


def _scores(texts: list[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise SettingError(f"--set {shown(text)} is not of the form NAME=VALUE, like PDI=80.")
        number = cell_number(value)
        if number is None:
            raise SettingError(f"--set {shown(text)} gives no finite number {BOUNDS}; expected points, like {name}=80.")
        if name.casefold() in (known.casefold() for known in scores):
            raise SettingError(f"--set gives {name} twice; leave one out.")
        scores[name] = number
    return scores


def _show(record: Steered, out: Path) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("wanted", "run's prompt", "trained", "miss", "held out", "miss"):
        table.add_column(name, justify="right")
    for row in record.dimensions:
        kept = "" if row.id in record.wanted else " (kept)"
        wanted = "free" if row.wanted is None else f"{row.wanted:.1f}{kept}"
        reached = [figure(row.run), figure(row.trained), figure(row.trained_miss, signed=True)]
        unseen = [figure(row.heldout), figure(row.heldout_miss, signed=True)]
        table.add_row(row.id.upper(), wanted, *reached, *unseen)
    console.print(table)
    effects = record.effects
    console.print(
        f"\nEffects of the steering directions, measured over {effects.step:g} predicted points, "
        "per point: each row's own column should be 1, the others 0."
    )
    matrix = Table(box=None, pad_edge=False, header_style="bold")
    matrix.add_column("")
    for name in (*(d.upper() for d in effects.dimensions), *(["own, held out"] if effects.heldout else [])):
        matrix.add_column(name, justify="right")
    for d, name in enumerate(effects.dimensions):
        held = [figure(effects.heldout[d][d], places=2)] if effects.heldout else []
        matrix.add_row(name.upper(), *(figure(value, places=2) for value in effects.measured[d]), *held)
    console.print(matrix)
    console.print()
    for sentence in record.sentences:
        console.print(sentence)
    console.print(f"Prompt, directions and record: {out}", soft_wrap=True)
