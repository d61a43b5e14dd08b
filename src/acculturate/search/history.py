"""The course of a search: its generations as the journal keeps them, summed up and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from acculturate.files.record import Count, Figure, Record
from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole

EVALUATIONS = "evaluations.parquet"


@dataclass(frozen=True, eq=False)
class Generation:
    """Record one generation of a search: a line of journal.jsonl.

    What was no number when it was written is None when it is read.

    Parameters
    ----------
    generation, evaluations
        Its number, from 1, and all candidates that were evaluated up to its end.
    best, median
        The lowest training loss of the search so far, and the median of this generation, in points. With fresh formats
        the first is the center's, over all trained formats.
    validation
        The validation loss of a new best candidate; None where there is none.
    winner_at
        The number of evaluations after which the prompt was found that the run would deliver.
    losses, mass
        Training loss (points) and mean answer mass (0..1) of every candidate.
    terms
        The terms of every candidate's loss by their names.
    scores
        Dimension scores of every candidate: one list for each view.
    formats
        Places, among the trained formats, of those that this generation was asked in; None for all of them.
    """

    generation: int
    evaluations: int
    best: float | None
    median: float | None
    validation: float | None
    winner_at: int
    losses: Sequence[float | None]
    terms: Sequence[Mapping[str, float | None]]
    mass: Sequence[float | None]
    scores: Sequence[Any]
    formats: Sequence[int] | None = None

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Generation:
        """Read a line of a journal; what a later version may add is left out."""
        return cls(**{field.name: line[field.name] for field in fields(cls) if field.name in line})

    def to_json(self) -> dict[str, Any]:
        """Return the line as the journal keeps it."""
        line = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in line.items() if name != "formats" or value is not None}

    @property
    def mean_mass(self) -> float | None:
        """Mean answer mass of the candidates that gave numbers; None where none did."""
        known = [value for value in self.mass if value is not None]
        return float(np.mean(known)) if known else None


def generations(directory: RunDirectory) -> list[Generation]:
    """Read the journal of a run."""
    return [Generation.from_json(line) for line in directory.lines()]


class CurvePoint(Record):
    """Hold a generation of a search as a point of its curve.

    Parameters
    ----------
    evaluations
        All candidates that were evaluated up to its end.
    best, median, validation
        As in ``Generation``, in points.
    mass
        Mean answer mass of its candidates, 0 to 1.
    """

    evaluations: Count
    best: Figure
    median: Figure
    mass: Figure = None
    validation: Figure


class Chosen(Record):
    """Hold the point of the curve whose prompt a search delivers."""

    evaluations: Count
    best: Figure
    validation: Figure


class FinalistRecord(Record):
    """Hold a candidate that could have been the winner: when it was there, its loss, and its figure on the task."""

    evaluations: Count
    judged: Figure
    figure: Figure


class SelectionRecord(Record):
    """Hold how a task picked the winner among the best candidates of a search.

    Parameters
    ----------
    task, title, checksum
        What was asked.
    measure, unit
        What counted, and its unit: ``share`` or ``distance``.
    untuned
        The figure of the untuned model.
    finalists
        Who was asked, the lowest loss first.
    selected
        Place of the winner among them, from 0.
    """

    task: str
    title: str
    checksum: str
    measure: str
    unit: str
    untuned: Figure
    finalists: tuple[FinalistRecord, ...]
    selected: Count


class SearchRecord(Record):
    """Hold the course of a search without the evaluations themselves.

    Parameters
    ----------
    optimizer
        Name of the search method.
    evaluations, generations, validations
        How many there were of each.
    without_numbers
        Candidates whose loss was no number.
    search_loss
        The lowest training loss, in points, with the search's own prices.
    dtype, rows
        Precision, and candidates per forward pass at the end: fewer than the spec says where memory ran out.
    chosen
        None where no candidate had a loss.
    selection
        How a task picked the winner; None where the loss alone did.
    averaged
        Last centers of a search with fresh formats whose mean is the prompt; None in other searches.
    stopped_before
        The budget, in evaluations, where a callback stopped the search before it was spent.
    together_with, shared_tokens, note
        The other countries, the tokens shared with them, and what that means; only in a search for several.
    """

    optimizer: str
    evaluations: Count
    stopped_before: Count | None = None
    without_numbers: Count = 0
    generations: Count | None = None
    validations: Count | None = None
    search_loss: Figure = None
    dtype: str | None = None
    rows: Count | None = None
    chosen: Chosen | None = None
    selection: SelectionRecord | None = None
    averaged: Count | None = None
    curve: tuple[CurvePoint, ...]
    together_with: tuple[str, ...] | None = None
    shared_tokens: Count | None = None
    note: str | None = None


def search_record(
    course: Sequence[Generation],
    *,
    optimizer: str,
    dtype: str,
    rows: int,
    stopped_before: int | None = None,
    selection: SelectionRecord | None = None,
    averaged: int | None = None,
) -> SearchRecord:
    """Sum up the course of a search (``SearchRecord``)."""
    winner_at = course[-1].winner_at if course else 0
    if selection is not None:
        winner_at = selection.finalists[selection.selected].evaluations
    curve = tuple(
        CurvePoint(
            evaluations=one.evaluations,
            best=one.best,
            median=one.median,
            mass=one.mean_mass,
            validation=one.validation,
        )
        for one in course
    )
    chosen = [
        Chosen(evaluations=point.evaluations, best=point.best, validation=point.validation)
        for point in curve
        if point.evaluations == winner_at
    ]
    record = SearchRecord(
        optimizer=optimizer,
        evaluations=course[-1].evaluations if course else 0,
        without_numbers=sum(loss is None for one in course for loss in one.losses),
        generations=len(course),
        validations=sum(one.validation is not None for one in course),
        search_loss=course[-1].best if course else None,
        dtype=dtype,
        rows=rows,
        chosen=next(iter(chosen), None),
        curve=curve,
    )
    # A field that is not set is not written: what a whole search leaves stays as it was.
    further = {"stopped_before": stopped_before, "selection": selection, "averaged": averaged}
    return record.model_copy(update={key: value for key, value in further.items() if value is not None})


def write_evaluations(directory: RunDirectory) -> None:
    """Write evaluations.parquet: one row per candidate that was evaluated, in order, from the journal."""
    columns: dict[str, list[Any]] = {"generation": [], "index": [], "loss": [], "mass": [], "scores": []}
    for one in generations(directory):
        for index, (loss, mass, scores) in enumerate(zip(one.losses, one.mass, one.scores, strict=True)):
            for name, value in zip(columns, (one.generation, index, loss, mass, scores), strict=True):
                columns[name].append(value)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_whole(directory.path / EVALUATIONS, sink.getvalue().to_pybytes())
