"""Finished runs: what their records hold, and whether all that they leave is there.

A record is checked once, where it is read: whoever is given one can count on its shape. Only what a reader takes for
granted stands in a shape; figures may be null, where answers were missing.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from acculturate.errors import UserError
from acculturate.files.checksums import SPEC, SUMS, check_sum, digest, read_sums, write_sums
from acculturate.files.datafile import shown
from acculturate.files.run_directory import RunDirectory, dump_json, read_json
from acculturate.files.tensor_file import DamagedFileError, read_tensors
from acculturate.files.whole_file import write_whole
from acculturate.survey.formats import ROLES

RESULT = "result.json"
_PARQUET = b"PAR1"

Figure = float | None
Interval = Annotated[list[Figure], Field(min_length=2, max_length=2)] | None


class Shape(BaseModel):
    """What a part of a record holds at least."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Model(Shape):
    model: str


class Named(Shape):
    id: str


class Scored(Shape):
    scores: dict[str, Figure]


class ComparedTarget(Scored):
    country: str
    code: str


class Target(ComparedTarget):
    target_set: str


class ComparedRow(Named):
    train: Scored | None
    heldout: Scored | None


class ComparedInstrument(Named):
    constant: Figure
    dimensions: list[Named]


class Compared(Shape):
    """The part of a result that a comparison of runs reads."""

    target: ComparedTarget
    instrument: ComparedInstrument
    rows: list[ComparedRow]


class Dimension(Named):
    name: str


class Item(Named):
    topic: str
    options: list[str] = []
    values: list[float] = []


class Wording(Shape):
    name: str


class Instrument(Named):
    name: str
    constant: Figure
    dimensions: list[Dimension]
    items: list[Item]
    wordings: list[Wording] = []


class Figures(Scored):
    loss: Figure
    mae: Figure
    mass: Figure


class AskedView(Shape):
    view: str
    role: str
    loss: Figure
    item_means: list[Figure]


class Row(Named):
    label: str
    kind: str
    train: Figures
    validation: Figures | None = None
    heldout: Figures | None
    interval: dict[str, Interval]
    by_view: list[AskedView]


class View(Shape):
    name: str
    role: str


class CurvePoint(Shape):
    evaluations: float
    best: Figure
    median: Figure
    mass: Figure = None
    validation: Figure


class SearchRecord(Shape):
    optimizer: str
    evaluations: int
    curve: list[CurvePoint]


class Verdict(Shape):
    kind: str
    headline: str
    sentences: list[str]


class Column(Shape):
    title: str
    views: list[str]


class Cell(Shape):
    loss: Figure
    interval: Interval


class TransferRow(Shape):
    label: str
    kind: str
    cells: list[Cell]


class Transfer(Shape):
    columns: list[Column]
    rows: list[TransferRow]


class Top(Shape):
    items: list[str]
    cost: Figure
    share: Figure


class ItemMove(Named):
    cost: Figure
    towards: Figure


class Together(Shape):
    n: int
    towards: int
    mean: Figure
    chance: Figure


class ItemRecord(Shape):
    improvement: Figure
    interval: Interval
    top: Annotated[list[Top], Field(min_length=2)]
    items: list[ItemMove]
    trained_items: Together
    heldout_items: Together | None


class Items(Shape):
    heldout: list[str]
    by_role: dict[str, ItemRecord | None]


class Persona(Shape):
    sentence: str | None = None


class Presentation(Shape):
    name: str
    verdict: str


class Audit(Shape):
    verdict: str
    warning: str | None
    sentences: list[str] = []
    persona: Persona | None = None
    presentations: list[Presentation] = []


class LeftOut(Shape):
    label: str
    why: str


class Result(Shape):
    """result.json of ``align``, and of each country of ``multitask``."""

    schema_: Literal[1] = Field(alias="schema")
    spec: dict[str, Any]
    model: Model
    target: Target
    instrument: Instrument
    views: list[View]
    rows: list[Row]
    search: SearchRecord
    verdict: Verdict
    limits: list[str]
    left_out: list[LeftOut] | None = None
    transfer: Transfer | None = None
    items: Items | None = None
    audit: Audit | None

    @model_validator(mode="after")
    def _complete(self) -> Result:
        lacking = {"flat", "naive", "tuned"} - {row.id for row in self.rows}
        if lacking:
            raise ValueError(f"there is no row '{min(lacking)}'")
        self._check_items()
        dimensions = {one.id for one in self.instrument.dimensions}
        for row in self.rows:
            for figures in (row.train, row.validation, row.heldout):
                if figures is not None and not dimensions <= set(figures.scores):
                    raise ValueError(f"the row '{row.id}' lacks the score of a dimension")
        return self

    def _check_items(self) -> None:
        asked = {one.id for one in self.instrument.items}
        for record in self.items.by_role.values() if self.items is not None else ():
            if record is None:
                continue
            named = {one for top in record.top for one in top.items} | {one.id for one in record.items}
            if named - asked:
                raise ValueError(f"the instrument has no item {shown(min(named - asked))}")


class PointFigures(Shape):
    survey: float
    second: float
    mass: Figure
    scores: dict[str, Figure]


class ReferenceFigures(Shape):
    survey: Figure
    second: Figure
    mass: Figure


class Reference(Named):
    label: str
    train: ReferenceFigures
    validation: ReferenceFigures | None = None
    heldout: ReferenceFigures | None


class Point(Shape):
    point: int
    beaten_by_untuned: bool
    train: PointFigures
    validation: ReferenceFigures | None = None
    heldout: ReferenceFigures | None


class FrontTarget(Shape):
    country: str
    code: str
    target_set: str


class Second(Named):
    name: str
    unit: str
    about: str


class FrontSearch(Shape):
    evaluations: int


class Warned(Shape):
    warning: str | None = None


class Front(Shape):
    """front.json of ``pareto``."""

    schema_: Literal[1] = Field(alias="schema")
    acculturate: str
    spec: dict[str, Any]
    model: Model
    target: FrontTarget
    second: Second
    references: Annotated[list[Reference], Field(min_length=1)]
    points: Annotated[list[Point], Field(min_length=1)]
    search: FrontSearch
    audit: Warned
    limits: list[str]

    @model_validator(mode="after")
    def _same_roles(self) -> Front:
        for role in ROLES:
            if len({getattr(one, role) is None for one in (*self.references, *self.points)}) > 1:
                raise ValueError(f"not every point has figures on the {role} formats")
        return self


class CountryLosses(Shape):
    train: dict[Literal["naive", "tuned"], Figure]
    heldout: dict[Literal["naive", "tuned"], Figure] | None

    @model_validator(mode="after")
    def _both(self) -> CountryLosses:
        if any(losses is not None and len(losses) < 2 for losses in (self.train, self.heldout)):
            raise ValueError("a loss, naive or tuned, is missing")
        return self


class Country(CountryLosses):
    code: str
    verdict: str


class JointSpec(Shape):
    shared_tokens: int
    tokens: int


class Multitask(Shape):
    """multitask.json."""

    spec: JointSpec
    model: Model
    evaluations: int
    countries: list[Country]
    mean: CountryLosses


class SteeredDimension(Named):
    wanted: Figure
    run: Figure
    trained: Figure
    trained_miss: Figure
    heldout: Figure
    heldout_miss: Figure


class Effects(Shape):
    step: float
    dimensions: list[str]
    measured: list[list[Figure]]
    heldout: list[list[Figure]] | None

    @model_validator(mode="after")
    def _square(self) -> Effects:
        n = len(self.dimensions)
        for table in (self.measured, self.heldout):
            if table is not None and [len(row) for row in table] != [n] * n:
                raise ValueError("the effects are not those of every direction on every dimension")
        return self


class Steered(Shape):
    """steer.json."""

    set: dict[str, float]
    dimensions: list[SteeredDimension]
    effects: Effects
    sentences: list[str]


class MadeWith(Shape):
    """spec.json, beside the settings themselves: with what a run was made."""

    method: str | None = None
    files: dict[str, str] = {}
    model_identity: dict[str, str] = {}


def read_record(path: Path, shape: type[Shape]) -> dict[str, Any]:
    """A record of a run, as it stands in its file; ``UserError`` where it is not what was written or of this shape."""
    check_sum(path)
    value = read_json(path)
    try:
        shape.model_validate(value)
    except ValidationError as error:
        raise UserError(
            f"'{path}' is damaged or not of this version: {_complaint(error)}; restore it from a copy, or remove it "
            "and give its command again, which writes it anew."
        ) from error
    return value


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:60]
    if first["type"] == "missing":
        return f"'{place}' is missing"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"'{place}' cannot be {shown(first['input'])}"


def finished(
    directory: RunDirectory, spec: Mapping[str, object], record: str, shape: type[Shape], *, beside: Sequence[str]
) -> dict[str, Any] | None:
    """The record of a finished run of this spec; None where there is work to do, for which the directory has to do.

    ``record``: the file that is written last. ``beside``: the files that a finished run has too. Where one is missing
    or damaged, the run counts as interrupted: it goes on from its last checkpoint and writes all of them anew, byte for
    byte. ``UserError`` where it cannot.
    """
    directory.check(spec)
    directory.check_places(*beside, record, SUMS)
    last = directory.path / record
    if last.exists():
        found = read_record(last, shape)
        harm = _harm(directory, beside)
        if harm is None:
            return found
        if not directory.can_go_on():
            raise UserError(
                f"In the finished run in '{directory.path}', {harm}, and it cannot be made anew from the journal and "
                "the checkpoints; restore it from a copy, or remove the directory to begin anew."
            )
        warnings.warn(
            f"In the finished run in '{directory.path}', {harm}; it goes on from its last checkpoint and writes its "
            "files anew.",
            stacklevel=3,
        )
    directory.check_writable()
    return None


def _harm(directory: RunDirectory, beside: Sequence[str]) -> str | None:
    """Which file of a finished run is missing or not as it was written, in words; None where all is well.

    A journal may be missing: nothing more is read from it.
    """
    folder = directory.path
    for name in beside:
        if not (folder / name).is_file():
            return f"{name} is missing"
    sums = read_sums(folder)
    for name in (*beside, directory.journal.name):
        path = folder / name
        if path.is_file() and (digest(path) != sums[name] if name in sums else _cut(path)):
            return f"{name} is cut off or damaged"
    return None


def _cut(path: Path) -> bool:
    """Whether a file from before there were checksums is visibly not whole, by what its kind says about itself."""
    if path.suffix == ".safetensors":
        try:
            read_tensors(path, "acculturate")
        except DamagedFileError:
            return True
    if path.suffix == ".parquet":
        with path.open("rb") as file:
            first = file.read(4)
            file.seek(-min(4, path.stat().st_size), os.SEEK_END)
            return first != _PARQUET or file.read() != _PARQUET
    return False


def finish(directory: RunDirectory, record: str, value: Mapping[str, Any], *, beside: Iterable[str]) -> dict[str, Any]:
    """Write a run's record, with which it is finished, and before it the checksums; returns the record as it stands.

    ``beside``: the files that were written before it, which the checksums name too.
    """
    directory.check_held()
    journal = [directory.journal.name] if directory.journal.is_file() else []
    write_last(directory.path, record, value, beside=(SPEC, *journal, *beside))
    return read_json(directory.path / record)


def write_last(folder: Path, record: str, value: Mapping[str, Any], *, beside: Iterable[str]) -> None:
    """Write a record into a folder after the checksums of it and of the files ``beside`` it.

    In this order: whoever finds the record finds its checksum.
    """
    content = dump_json(value)
    digests = {name: digest(folder / name) for name in beside} | {record: hashlib.sha256(content).hexdigest()}
    write_sums(folder, digests)
    write_whole(folder / record, content)
