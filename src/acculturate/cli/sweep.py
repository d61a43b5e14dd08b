"""The verb ``sweep``: many runs from one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import in_flags
from acculturate.cli.printing import Json, figure, is_json, print_json
from acculturate.cli.settings import Track, check_range, directory, trackers_of, warn_if_slow
from acculturate.cli.sweep_progress import sweep_progress
from acculturate.cli.terminal import Console
from acculturate.errors import SettingError, counted

if TYPE_CHECKING:
    from acculturate.judge.sweep import MeanAndSpread, SweepRecord
    from acculturate.runs.sweep.events import Event
    from acculturate.runs.sweep.plan import PlannedRun, SweepPlan
    from acculturate.runs.trackers.tracker import Tracker

    CarryOut = Callable[[Sequence[PlannedRun], Callable[[Event], None]], None]

FAILED = 1
"""The exit code of a sweep in which a run failed."""


def _folder(text: str) -> Path:
    """Read the path of a directory; an empty one would be the current directory."""
    if not text.strip():
        raise SettingError("--out is empty; name a directory for the sweep.")
    return Path(text)


def sweep(
    file: Annotated[Path, typer.Argument(help="TOML or YAML file of the sweep (docs/sweeps.md).")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Directory of the sweep; the same command goes on with it.", metavar="path", parser=_folder
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="whole number", help="Processes that share the runs.")] = 1,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Submit the runs as SLURM jobs and wait for them (acculturate[slurm]).")
    ] = False,
    slurm_set: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm-set", metavar="NAME=VALUE", help="Option of sbatch, like partition=gpu or gpus=1; repeat for more."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and what they would cost, and stop.")
    ] = False,
    track: Track = None,
    output: Json = "text",
) -> None:
    """Carry out many runs of align from one file: countries, seeds, models, or any other setting.

    Example: acculturate sweep sweep.yaml --out runs/sweep

    Every run gets a directory of its own under --out, which align can go on with too. A run that fails ends none of
    the others; the exit code is then 1. The same command does what is missing. At the end there are one table
    (sweep.csv) and one page (index.html). A sweep takes runs of the kind align so far.
    """
    as_json = is_json(output)
    check_range("--jobs", jobs, 1, 1000)
    if slurm and jobs > 1:
        raise SettingError("--slurm has a job for every run; leave --jobs out.")
    if slurm_set and not slurm:
        raise SettingError("--slurm-set is for jobs of a cluster; give --slurm too, or leave it out.")
    from acculturate.runs.sweep.plan import read_sweep

    plan = read_sweep(file)
    if dry_run:
        _show_costs(plan, as_json)
        return
    folder = directory(out, "sweep")
    trackers = trackers_of(track, folder.resolve().name)
    for dtype, device in dict.fromkeys((run.spec.dtype, run.spec.device) for run in plan.runs):
        warn_if_slow(dtype, device)
    carry_out = _in_slurm(folder, slurm_set or [], trackers) if slurm else _here(folder, jobs, trackers)
    record, page = _carried_out(plan, folder, carry_out, trackers)
    if as_json:
        print_json(record)
    else:
        _show(record, page)
    if record.failed:
        raise typer.Exit(FAILED)


def _here(out: Path, jobs: int, trackers: Sequence[Tracker]) -> CarryOut:
    """Carry out runs in this process, or in several on this machine."""
    from acculturate.runs.sweep.processes import carry_out_in_processes, check_processes
    from acculturate.runs.sweep.queue import carry_out_in_turn

    if jobs > 1:
        check_processes()
        return lambda runs, follow: carry_out_in_processes(runs, out, follow, jobs, trackers)
    return lambda runs, follow: carry_out_in_turn(runs, out, follow, trackers)


def _in_slurm(out: Path, parameters: Sequence[str], trackers: Sequence[Tracker]) -> CarryOut:
    from acculturate.runs.sweep.slurm import SlurmQueue, slurm_parameters

    return SlurmQueue(out, slurm_parameters(parameters), trackers).carry_out


def _carried_out(
    plan: SweepPlan, out: Path, carry_out: CarryOut, trackers: Sequence[Tracker]
) -> tuple[SweepRecord, Path]:
    """Carry out what is to do, and return the table with the path of the page."""
    from acculturate.runs.sweep.table import SweepTable

    table = SweepTable(plan, out)
    with table.claimed():
        todo = table.todo
        budgets = {run.name: run.spec.budget for run in todo}
        with sweep_progress(budgets, finished=len(plan.runs) - len(todo)) as show:

            def follow(event: Event) -> None:
                table.take(event)
                show(event)

            table.complete(trackers)
            carry_out(todo, follow)
        return table.record, table.write()


def _show_costs(plan: SweepPlan, as_json: bool) -> None:
    from acculturate.performance.cost import readable_time
    from acculturate.runs.sweep.cost import sweep_costs

    said = Console(stderr=True)
    costs = sweep_costs(plan.in_order_of_models, said.print)
    if as_json:
        estimates = [(run.name, costs[run.name]) for run in plan.runs]
        print_json([{"directory": name, "cost": one and one.to_json()} for name, one in estimates])
        return
    table = _table("run", "candidates", "s/candidate", "search")
    total = 0.0
    for run in plan.runs:
        cost = costs[run.name]
        seconds = None if cost is None else cost.seconds_in_total
        total += seconds or 0.0
        each = None if cost is None or cost.seconds is None else f"{cost.seconds:.3g}"
        table.add_row(run.name, f"{run.spec.budget:,}", each or "–", "–" if seconds is None else readable_time(seconds))
    console = Console()
    console.print(table)
    runs = counted([run.name for run in plan.runs], "run")
    console.print(
        f"\n{runs}, {readable_time(total)} of search one after the other on this machine; audits, "
        "baselines and random prompts come on top."
    )


def _show(record: SweepRecord, page: Path) -> None:
    console = Console()
    console.print(_runs(record))
    if any(cell.runs > 1 for cell in record.cells):
        console.print("\nMean ± standard deviation over seeds:\n")
        console.print(_cells(record))
    for row in record.failed:
        console.print(f"\n{row.directory} failed: {in_flags(row.problem or '')}", soft_wrap=True)
    console.print(f"\nTable and page: {page}", soft_wrap=True)


def _runs(record: SweepRecord) -> Table:
    table = _table("run", "seed", "trained", "held out", "mass", "spent", "verdict")
    for row in record.rows:
        distances = map(figure, (row.trained, row.heldout))
        verdict = row.status if row.verdict is None else row.verdict
        spent = "–" if row.evaluations is None else str(row.evaluations)
        table.add_row(row.directory, str(row.seed), *distances, figure(row.mass, 2), spent, verdict.value)
    return table


def _cells(record: SweepRecord) -> Table:
    table = _table("country", "settings", "runs", "trained", "held out", "mass")
    for cell in record.cells:
        settings = ", ".join([cell.model, *(f"{key} {value}" for key, value in cell.settings.items())])
        runs = f"{cell.done}" if cell.done == cell.runs else f"{cell.done} of {cell.runs}"
        table.add_row(cell.country, settings, runs, _spread(cell.trained), _spread(cell.heldout), _spread(cell.mass, 2))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        words = name in ("run", "country", "settings", "verdict")
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    return table


def _spread(value: MeanAndSpread, places: int = 1) -> str:
    around = "" if value.spread is None else f" ± {figure(value.spread, places)}"
    return f"{figure(value.mean, places)}{around}"
