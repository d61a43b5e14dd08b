"""The table of a sweep: a row for every run, and mean and spread over the seeds of runs that are alike else."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import Field

from acculturate.files.record import Count, Figure, Record
from acculturate.judge.records import Result, VerdictKind
from acculturate.legible import legible
from acculturate.version import VERSION


class RunStatus(StrEnum):
    """Tell how far a run of a sweep is."""

    DONE = "done"
    FAILED = "failed"
    UNFINISHED = "unfinished"


class SweepRow(Record):
    """Hold one run of a sweep. Nothing in it names a user, a machine or a place on one.

    Parameters
    ----------
    directory
        Its directory under that of the sweep.
    country, model, seed
        What it was for: the country's code, the model's name without folders.
    settings
        What the sweep varies in it.
    trained, heldout
        Distance to the target with the prompt, in points, on formats that were trained on and on held-out ones.
    untuned_trained, untuned_heldout
        The same without the prompt.
    mass
        Answer mass with the prompt on trained formats, 0 to 1.
    evaluations
        Candidates that the search evaluated.
    problem
        Why it failed, in a sentence.
    """

    directory: str
    country: str
    model: str
    seed: int
    settings: dict[str, Any]
    status: RunStatus
    trained: Figure = None
    heldout: Figure = None
    untuned_trained: Figure = None
    untuned_heldout: Figure = None
    mass: Figure = None
    verdict: VerdictKind | None = None
    evaluations: Count | None = None
    problem: str | None = None


class MeanAndSpread(Record):
    """Hold a mean with the standard deviation between runs (n - 1 below the line), which one run has none of."""

    mean: Figure
    spread: Figure


class SweepCell(Record):
    """Hold what the runs that differ in their seed alone have in common.

    Parameters
    ----------
    runs, done
        How many there are, and how many of them are finished.
    trained, heldout, mass
        Over the finished ones; distances in points.
    verdicts
        How many have each verdict.
    """

    country: str
    model: str
    settings: dict[str, Any]
    runs: Count
    done: Count
    trained: MeanAndSpread
    heldout: MeanAndSpread
    mass: MeanAndSpread
    verdicts: dict[str, Count]


class SweepRecord(Record):
    """Hold a whole sweep: every run, and what those that differ in their seed have in common."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    acculturate: str = VERSION
    rows: tuple[SweepRow, ...]
    cells: tuple[SweepCell, ...]

    @property
    def failed(self) -> tuple[SweepRow, ...]:
        """The runs that failed."""
        return tuple(row for row in self.rows if row.status is RunStatus.FAILED)


def figures_of(result: Result) -> dict[str, Any]:
    """Take the figures of a row from the result of a finished run."""
    tuned, untuned = result.tuned, result.untuned
    return {
        "status": RunStatus.DONE,
        "trained": tuned.train.loss,
        "heldout": None if tuned.heldout is None else tuned.heldout.loss,
        "untuned_trained": untuned.train.loss,
        "untuned_heldout": None if untuned.heldout is None else untuned.heldout.loss,
        "mass": tuned.train.mass,
        "verdict": result.verdict.kind,
        "evaluations": result.search.evaluations,
    }


def cells_of(rows: Sequence[SweepRow], alike: Sequence[str]) -> tuple[SweepCell, ...]:
    """Sum up the runs that differ in their seed alone, in the order of their first ones.

    ``alike``: a text for every row, equal for those with equal settings but for the seed.
    """
    groups: dict[str, list[SweepRow]] = {}
    for row, settings in zip(rows, alike, strict=True):
        groups.setdefault(settings, []).append(row)
    return tuple(_cell(group) for group in groups.values())


def _cell(group: Sequence[SweepRow]) -> SweepCell:
    first, done = group[0], [row for row in group if row.status is RunStatus.DONE]
    verdicts = Counter(row.verdict.value for row in done if row.verdict is not None)
    return SweepCell(
        country=first.country,
        model=first.model,
        settings={key: value for key, value in first.settings.items() if key not in ("seed", "country", "model")},
        runs=len(group),
        done=len(done),
        trained=_mean_and_spread(row.trained for row in done),
        heldout=_mean_and_spread(row.heldout for row in done),
        mass=_mean_and_spread(row.mass for row in done),
        verdicts={kind.value: verdicts[kind.value] for kind in VerdictKind if verdicts[kind.value]},
    )


def _mean_and_spread(figures: Iterable[float | None]) -> MeanAndSpread:
    """Average figures; none where one is missing, because the others alone would be another quantity."""
    values = list(figures)
    present = [value for value in values if value is not None]
    if not values or len(present) < len(values):
        return MeanAndSpread(mean=None, spread=None)
    return MeanAndSpread(mean=statistics.fmean(present), spread=statistics.stdev(present) if len(present) > 1 else None)


FILES = ("model", "targets", "instrument", "wording", "warm_start", "select_by")
"""Settings that may name a file or a directory."""
_ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def names_of_files(values: Iterable[Any]) -> dict[Any, Any]:
    """Name files and directories so that different ones have different names, each by the value that it is given as.

    A name has no folders. Where two would be equal, a path below the current directory stays as it is, and another gets
    a number, since its folders may name a user.
    """
    different = list(dict.fromkeys(values))
    often = Counter(map(name_of_file, different))
    names: dict[Any, Any] = {}
    numbers: Counter[Any] = Counter()
    for value in different:
        name = name_of_file(value)
        if often[name] > 1 and name != value:
            numbers[name] += 1
            path = PurePath(value)
            below = not path.is_absolute() and not value.startswith("~") and ".." not in path.parts
            name = value if below else f"{name} ({numbers[name]})"
        names[value] = name
    return names


def without_places(settings: Mapping[str, Any], names: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
    """Return settings without the folders of the files that they name.

    ``names``: of ``names_of_files``, for every setting that may name a file.
    """
    return {key: names[key][value] if key in FILES else value for key, value in settings.items()}


def name_of_file(value: Any) -> Any:
    """Return the name of a file or directory without its folders; an id, of a model of the hub too, as it is."""
    if not isinstance(value, str) or (_ON_THE_HUB.fullmatch(value) and not Path(value).exists()):
        return value
    return Path(value).name or Path(value).resolve().name or value


_FOLDERS = re.compile(r"(?<![\w.\-/])(?:~[\w.-]*)?(?:/[^\s'\"/,;]+)+/(?=[^\s'\"/,;])")


def without_folders(sentence: str) -> str:
    """Return a message with its absolute paths cut to their last parts: it is shown to others."""
    return _FOLDERS.sub("", sentence)


_MARKED = re.compile(r"`([a-z][a-z0-9_]*(?:=[^`]*)?)`")


def without_marks(sentence: str) -> str:
    """Return a message for a page or a table: the settings in it (``errors.setting``) lose the marks around them."""
    return _MARKED.sub(r"\1", sentence)


COLUMNS = (
    "directory",
    "country",
    "seed",
    "model",
    "status",
    "trained",
    "heldout",
    "untuned_trained",
    "untuned_heldout",
    "mass",
    "verdict",
    "evaluations",
)


def csv_table(rows: Sequence[SweepRow]) -> str:
    """Write the runs as CSV: fixed columns, then the varied settings, then the sentences of failed runs."""
    varied = list(dict.fromkeys(key for row in rows for key in row.settings if key not in COLUMNS))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *varied, "problem"])
    for row in rows:
        plain: Mapping[str, Any] = row.model_dump(mode="json")
        cells = [plain[name] for name in COLUMNS] + [row.settings.get(key) for key in varied]
        cells.append(row.problem and without_marks(row.problem))
        writer.writerow([_csv_cell(cell) for cell in cells])
    return text.getvalue()


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = legible(text)
    # A spreadsheet takes what begins like this for a formula and computes it.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
