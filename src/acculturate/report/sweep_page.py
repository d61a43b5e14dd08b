"""The page of a sweep: what runs that differ in their seed have in common, and every run with a link to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from acculturate.judge.records import VerdictKind
from acculturate.judge.sweep import MeanAndSpread, RunStatus, SweepCell, SweepRecord, SweepRow, without_marks
from acculturate.legible import capital
from acculturate.report import charts
from acculturate.report.axis import Axis, axis
from acculturate.report.numbers import words
from acculturate.report.run_page import FILE_NAME as REPORT
from acculturate.report.run_page import VERDICTS, style, template, write_page

FILE_NAME = "index.html"


def write_sweep_page(directory: Path, record: SweepRecord) -> Path:
    """Write ``index.html`` into the directory of a sweep and return its path; ``UserError`` where it cannot be."""
    return write_page(directory / FILE_NAME, render_sweep(record))


def render_sweep(record: SweepRecord) -> str:
    """Draw the page as HTML text."""
    css, digest = style()
    scale = _scale(record.cells)
    done = [row for row in record.rows if row.status is RunStatus.DONE]
    return template("sweep.html.jinja").render(
        record=record,
        css=css,
        digest=digest,
        headline=_headline(record),
        done=len(done),
        countries=len({row.country for row in record.rows}),
        models=list(dict.fromkeys(row.model for row in record.rows)),
        seeds=max((cell.runs for cell in record.cells), default=0) > 1,
        cells=[_cell_line(cell, scale) for cell in record.cells],
        rows=[_run_line(row) for row in record.rows],
        has_heldout=any(row.heldout is not None for row in done) or not done,
        failed=[(row.directory, without_marks(row.problem or "")) for row in record.failed],
        unfinished=[row for row in record.rows if row.status is RunStatus.UNFINISHED],
    )


def _headline(record: SweepRecord) -> str:
    """Say in a sentence how many prompts hold on formats that the search never saw."""
    done = [row for row in record.rows if row.verdict is not None]
    held = sum(row.verdict in (VerdictKind.ALIGNED, VerdictKind.PARTLY) for row in done)
    if not done:
        return "No run is finished yet"
    of = f"{held} of {len(done)} prompts" if len(done) > 1 else ("The prompt" if held else "No prompt")
    return f"{of} {'came' if len(done) > 1 or not held else 'comes'} nearer in formats that the search never saw"


def _scale(cells: Sequence[SweepCell]) -> Axis:
    """Make one scale from zero for the bars of all cells."""
    ends = [
        figure.mean + (figure.spread or 0.0)
        for cell in cells
        for figure in (cell.trained, cell.heldout)
        if figure.mean is not None
    ]
    return axis(ends, ceiling=0.0)


def _cell_line(cell: SweepCell, scale: Axis) -> dict[str, object]:
    label = " · ".join([cell.country, cell.model, *_varied(cell.settings)])
    return {
        "cell": cell,
        "label": cell.country,
        "note": " · ".join([cell.model, *_varied(cell.settings)]),
        "trained": _bar(f"{label}, trained formats", cell.trained, scale, ""),
        "heldout": _bar(f"{label}, held-out formats", cell.heldout, scale, "tuned"),
        "verdicts": [(VERDICTS[VerdictKind(kind)], kind, count) for kind, count in cell.verdicts.items()],
    }


def _bar(label: str, figure: MeanAndSpread, scale: Axis, kind: str) -> Markup | None:
    if figure.mean is None:
        return None
    spread = None if figure.spread is None else (max(figure.mean - figure.spread, 0.0), figure.mean + figure.spread)
    around = "" if figure.spread is None else f", standard deviation {words(figure.spread)}"
    return charts.bar(
        scale, f"{label}: {words(figure.mean)} points{around}", value=figure.mean, interval=spread, kind=kind
    )


def _run_line(row: SweepRow) -> dict[str, object]:
    return {
        "row": row,
        "link": f"{quote(row.directory)}/{REPORT}" if row.status is RunStatus.DONE else None,
        "varied": " · ".join(_varied(row.settings)),
        "verdict": None if row.verdict is None else VERDICTS[row.verdict],
    }


_IN_COLUMNS = ("country", "model", "seed")


def _varied(settings: dict[str, object]) -> list[str]:
    """Put the varied settings that have no column of their own into words."""
    return [
        f"{capital(key.replace('_', ' '))} {_said(value)}" for key, value in settings.items() if key not in _IN_COLUMNS
    ]


def _said(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_said, value)) or "none"
        case dict():
            return ", ".join(f"{key} = {_said(one)}" for key, one in value.items())
        case _:
            return str(value)
