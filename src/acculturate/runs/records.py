"""The shapes of the records that runs leave: what a reader may rely on.

A record may hold more. Figures may be null, where answers were missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from acculturate.files.datafile import shown
from acculturate.survey.formats import ROLES


class RunKind(StrEnum):
    """What a directory is a run of; stands as ``kind`` in spec.json and in the run's record."""

    ALIGN = "align"
    MULTITASK = "multitask"
    COUNTRY = "country"
    PARETO = "pareto"
    STEER = "steer"


def kind_of(record: Mapping[str, Any]) -> RunKind:
    """Tell the kind of run from spec.json or a record; from before they said it, by what only that kind holds."""
    if record.get("kind") in set(RunKind):
        return RunKind(record["kind"])
    search = record.get("search")
    if "steered_from" in record:
        return RunKind.STEER
    if "against" in record or "second" in record:
        return RunKind.PARETO
    if isinstance(record.get("country"), list) or "countries" in record:
        return RunKind.MULTITASK
    if isinstance(search, Mapping) and "together_with" in search:
        return RunKind.COUNTRY
    return RunKind.ALIGN


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
