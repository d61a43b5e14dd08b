"""What a tracker is told of a run: its settings, the figures of a generation, and what it came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from acculturate.files.checksums import SPEC
from acculturate.files.run_directory import read_json
from acculturate.judge.front import Front
from acculturate.judge.records import Result
from acculturate.report.front_page import FILE_NAME as FRONT_PAGE
from acculturate.report.run_page import FILE_NAME as REPORT
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.front import FRONT
from acculturate.runs.multitask import RECORD as MULTITASK
from acculturate.runs.records import Multitask, Steered
from acculturate.runs.steer import RECORD as STEERED
from acculturate.search.history import Generation

Summary = dict[str, float | str]

_FILES = (RESULT, REPORT, MULTITASK, FRONT, FRONT_PAGE, STEERED)


def settings_of(folder: Path) -> dict[str, Any]:
    """Read the settings of a run, without the folders of absolute paths: trackers are shared."""
    return {key: _without_folders(value) for key, value in read_json(folder / SPEC).items()}


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value


def figures_of(generation: Generation, seconds: float | None = None) -> dict[str, float]:
    """Collect the figures of a generation that are numbers.

    ``loss`` and ``terms/NAME`` are of its candidate with the lowest loss, ``mass`` is the mean of all; points, and 0 to
    1. ``seconds``: what it took, None where nobody knows.
    """
    losses = [math.inf if loss is None or math.isnan(loss) else loss for loss in generation.losses]
    figures: dict[str, float | None] = {
        "evaluations": generation.evaluations,
        "best": generation.best,
        "median": generation.median,
        "validation": generation.validation,
        "mass": generation.mean_mass,
        "seconds": seconds,
    }
    if losses:
        lowest = losses.index(min(losses))
        figures["loss"] = losses[lowest]
        figures |= {f"terms/{name}": value for name, value in generation.terms[lowest].items()}
    return {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}


def files_of(folder: Path) -> list[Path]:
    """List the record and the page of a finished run."""
    return [folder / name for name in _FILES if (folder / name).is_file()]


def summary_of(folder: Path) -> Summary:
    """Sum up a finished run of any kind: scores, distances in points, answer mass and verdict."""
    if (folder / RESULT).is_file():
        return _figures(_of_result(read_record(folder / RESULT, Result)))
    if (folder / MULTITASK).is_file():
        return _figures(_of_countries(read_record(folder / MULTITASK, Multitask)))
    if (folder / FRONT).is_file():
        return _figures(_of_front(read_record(folder / FRONT, Front)))
    return _figures(_of_steered(read_record(folder / STEERED, Steered)))


def _figures(values: Mapping[str, float | str | None]) -> Summary:
    return {key: value for key, value in values.items() if value is not None}


def _of_result(result: Result) -> dict[str, float | str | None]:
    values: dict[str, float | str | None] = {"verdict": result.verdict.kind.value, "headline": result.verdict.headline}
    for name, row in (("tuned", result.tuned), ("untuned", result.untuned)):
        for role, figures in (("trained", row.train), ("heldout", row.heldout)):
            if figures is not None:
                values[f"{name}/{role}/distance"] = figures.loss
                values[f"{name}/{role}/mass"] = figures.mass
    return values | {f"scores/{name}": score for name, score in result.tuned.train.scores.items()}


def _of_countries(record: Multitask) -> dict[str, float | str | None]:
    values: dict[str, float | str | None] = {}
    for one in record.countries:
        values[f"{one.code}/verdict"] = one.verdict.value
        values[f"{one.code}/trained/distance"] = one.train.tuned
        values[f"{one.code}/heldout/distance"] = None if one.heldout is None else one.heldout.tuned
    return values


def _of_front(front: Front) -> dict[str, float | str | None]:
    closest = front.points[0]
    return {
        "points": float(len(front.points)),
        "closest/trained/distance": closest.train.survey,
        "closest/trained/second": closest.train.second,
        "closest/heldout/distance": None if closest.heldout is None else closest.heldout.survey,
    }


def _of_steered(record: Steered) -> dict[str, float | str | None]:
    values: dict[str, float | str | None] = {}
    for row in record.dimensions:
        values[f"scores/{row.id}"], values[f"miss/{row.id}"] = row.trained, row.trained_miss
    return values
