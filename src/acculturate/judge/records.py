"""The parts of result.json, the record of a run for one country."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import Field, RootModel, model_validator

from acculturate.files.record import Count, Figure, Interval, Record, RunRecord
from acculturate.judge.audit_records import AuditRecord, CeilingRecord
from acculturate.legible import shown
from acculturate.search.history import SearchRecord
from acculturate.survey.formats import Role

F_co = TypeVar("F_co", covariant=True)


class RowId(StrEnum):
    """Name the rows that every table of a result has or may have; the untuned model stands as ``naive`` on disk."""

    FLAT = "flat"
    UNTUNED = "naive"
    PERSONA = "persona"
    IN_CONTEXT = "in-context"
    BEST_TEXT = "best-text"
    BEST_RANDOM = "best-random"
    TUNED = "tuned"


class RowKind(StrEnum):
    """Tell what a row of a table is measured for."""

    FLAT = "flat"
    BASELINE = "baseline"
    TUNED = "tuned"
    SAMPLED = "sampled"


class VerdictKind(StrEnum):
    """Tell whether the move towards a country carries over to formats that the search never saw."""

    ALIGNED = "aligned"
    PARTLY = "partly"
    FITTED = "fitted-to-format"
    STYLE = "response-style"
    NOT_BETTER = "not-better"


_OF_FILES = ("sha256", "files_sha256", "config_sha256")
"""Sums that tell a model of this machine from one of the hub."""


class ModelIdentity(RootModel[dict[str, Any]]):
    """Hold what tells a model from another one, as ``model.loading`` collects it: its name, and sums of its files."""

    @model_validator(mode="after")
    def _named(self) -> ModelIdentity:
        if not isinstance(self.root.get("model"), str):
            raise ValueError("the model has no name")
        return self

    @property
    def name(self) -> str:
        """The model as the user named it."""
        return self.root["model"]

    @property
    def shown(self) -> str:
        """The model's name for what is passed on: a folder or file by its last name, without where it lies."""
        if self.name == "embedded" or not any(key in self.root for key in _OF_FILES):
            return self.name
        return Path(self.name).expanduser().resolve().name or "model"


class TargetRecord(Record):
    """Hold the scores to reach, in points; None where the target set has none."""

    country: str
    code: str
    target_set: str
    provenance: str | None = None
    scores: dict[str, Figure]
    note: str | None = None


class WordingRecord(Record):
    """Hold where the text of a questionnaire comes from."""

    language: str | None = None
    name: str
    official: bool = False
    source: str | None = None


class DimensionRecord(Record):
    """Hold a dimension of an instrument with its nominal range, in points."""

    id: str
    name: str
    low: Figure = None
    high: Figure = None
    about: str | None = None


class ItemText(Record):
    """Hold an item with its options and their values, in the order of the scale."""

    id: str
    topic: str
    question: str | None = None
    options: tuple[str, ...] = ()
    values: tuple[Figure, ...] = ()


class InstrumentRecord(Record):
    """Hold an instrument as a report needs it. ``constant``: added to every dimension, in points."""

    id: str
    name: str
    version: str | None = None
    citation: str | None = None
    constant: Figure
    mas25: bool = False
    wordings: tuple[WordingRecord, ...] = ()
    dimensions: tuple[DimensionRecord, ...]
    items: tuple[ItemText, ...]


class View(Record):
    """Hold the name of a way of asking and what the run used it for."""

    name: str
    role: Role


class Figures(Record):
    """Hold how near some answers are to the target.

    Parameters
    ----------
    loss, mae
        Distance to the target, in points: summed over the dimensions, and per dimension.
    scores
        Dimension scores, in points.
    mass
        Mean probability of the options, 0 to 1.
    """

    loss: Figure
    mae: Figure
    scores: dict[str, Figure]
    mass: Figure


class ViewFigures(Record):
    """Hold the figures of one view, and the expected answer to every item there (option values)."""

    view: str
    role: Role
    loss: Figure
    mae: Figure = None
    scores: dict[str, Figure] = Field(default_factory=dict)
    mass: Figure = None
    item_means: tuple[Figure, ...]


@runtime_checkable
class HasRoles(Protocol[F_co]):
    """Describe a record with figures on the formats of each role."""

    @property
    def train(self) -> F_co: ...

    @property
    def validation(self) -> F_co: ...

    @property
    def heldout(self) -> F_co: ...


class ByRole:
    """Look figures up by the role of their formats; the fields of a record are called after the roles."""

    def on(self: HasRoles[F_co], role: Role) -> F_co:
        """Return the figures on the formats of a role; None where the run has no such formats."""
        return getattr(self, role)


class Row(ByRole, Record):
    """Hold one row of a table: a respondent's figures, means over the views of each role.

    Parameters
    ----------
    interval
        By role, the 95 % interval of the loss over formats, in points.
    train, validation, heldout
        None where the run has no format of that role.
    invalid_share
        Of generated texts, the share that could not be read; only where text was generated.
    """

    id: str
    label: str
    kind: RowKind
    interval: dict[Role, Interval] = Field(default_factory=dict)
    train: Figures
    validation: Figures | None = None
    heldout: Figures | None
    by_view: tuple[ViewFigures, ...]
    note: str | None = None
    invalid_share: Figure = None


class LeftOut(Record):
    """Hold a baseline that this model cannot be asked for, and the reason, which goes on from "because"."""

    id: str | None = None
    label: str
    why: str

    @property
    def sentence(self) -> str:
        """The omission in words."""
        return f"{self.label}: left out, because {self.why}."


class TransferColumn(Record):
    """Hold what the views of a column of the transfer matrix have in common."""

    title: str
    role: Role | None = None
    new: tuple[str, ...] = ()
    views: tuple[str, ...]


class TransferCell(Record):
    """Hold a loss with its 95 % interval over formats, in points."""

    loss: Figure
    interval: Interval


class TransferRow(Record):
    """Hold one respondent's losses, a cell for each column."""

    id: str | None = None
    label: str
    kind: RowKind
    cells: tuple[TransferCell, ...]


class Transfer(Record):
    """Hold the transfer matrix: every row's loss by what is new in a format."""

    columns: tuple[TransferColumn, ...]
    rows: tuple[TransferRow, ...]


class TopItems(Record):
    """Hold the items that carry most of an improvement, replaced together (``ItemRecord``)."""

    items: tuple[str, ...]
    cost: Figure
    share: Figure


class ItemMove(Record):
    """Hold what one item contributes, in points (``ItemRecord``)."""

    id: str
    cost: Figure
    share: Figure = None
    towards: Figure


class Together(Record):
    """Hold how many of ``n`` items moved towards the target, their mean move, and how often a coin does as well."""

    n: Count
    towards: Count
    mean: Figure
    chance: Figure


class ItemRecord(Record):
    """Hold what the improvement on one role's views rests on.

    Parameters
    ----------
    untuned, improvement, interval
        The untuned loss, what the prompt takes off it, and its 95 % interval over formats, in points.
    top
        The most costly item, and the most costly ones together.
    items
        Every item. Its ``cost`` is what the loss rises by when the item alone is answered as by the untuned model.
        Costs do not add up. ``share``: the cost as a share of the improvement, None where that is immaterial.
    trained_items, heldout_items
        Items that the search asked, and that it did not.
    """

    untuned: Figure = None
    improvement: Figure
    interval: Interval
    top: Annotated[tuple[TopItems, ...], Field(min_length=2)]
    items: tuple[ItemMove, ...]
    trained_items: Together
    heldout_items: Together | None


class Items(Record):
    """Hold what the improvement rests on, by role; None where nothing was asked in that role."""

    heldout: tuple[str, ...]
    by_role: dict[Role, ItemRecord | None]


class RandomPrompts(Record):
    """Hold what random prompts lose, in points (``judge.random_floor.Chance``)."""

    n: Count
    budget: Count
    best: Figure
    median: Figure
    expected_minimum: Figure
    interval: Interval
    estimator: str
    tuned: Figure
    where: str | None = None


class EffectRecord(Record):
    """Hold how a prompt compares with a rival on one role's formats.

    Parameters
    ----------
    rival
        Id of the other row.
    nearer, interval
        Points by which the prompt is nearer to the target, and their 95 % interval over formats.
    p
        Share of random swaps of the two's items or, where that is larger, of formats, that give as large a difference
        (``judge.permutation``).
    """

    rival: str
    role: Role
    nearer: Figure
    interval: Interval
    p: Figure


class StyleRecord(Record):
    """Hold how much of the gain on held-out formats is a way of answering (``judge.response_style``), in points.

    Parameters
    ----------
    gain
        By how much the prompt is nearer to the target than the untuned model.
    shared
        What of it shifts give that all items of a scale share, by themselves.
    within
        What is left without those.
    style
        Whether the gain is material and what is left without those shifts is not.
    judged
        Whether most items share their scale with another one; else ``style`` is false whatever the gain is made of.
    """

    gain: float
    shared: float
    within: float
    style: bool
    judged: bool = True


class Verdict(Record):
    """Hold whether a prompt aligned the model, in a word, in a line, and with the figures behind it."""

    kind: VerdictKind
    headline: str
    sentences: tuple[str, ...]


class Result(RunRecord):
    """Hold result.json of ``align``, and of each country of ``multitask``.

    Parameters
    ----------
    schema
        Number of the layout of this file.
    acculturate
        Version that wrote it.
    spec
        The run's settings as JSON (``runs.spec.RunSpec``).
    rows
        Flat answers, the untuned model, other baselines and the tuned prompt, measured in float32.
    left_out, transfer, items, random_prompts, ceiling, effects, response_style
        None in directories from before there were these parts.
    text
        The words of the prompt, where texts were searched.
    """

    schema_: Literal[1] = Field(alias="schema")
    acculturate: str | None = None
    spec: dict[str, Any]
    model: ModelIdentity
    target: TargetRecord
    instrument: InstrumentRecord
    views: tuple[View, ...]
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] | None = None
    transfer: Transfer | None = None
    items: Items | None = None
    random_prompts: RandomPrompts | None = None
    ceiling: CeilingRecord | None = None
    effects: tuple[EffectRecord, ...] | None = None
    response_style: StyleRecord | None = None
    text: str | None = None
    search: SearchRecord
    verdict: Verdict
    audit: AuditRecord | None
    limits: tuple[str, ...]

    @model_validator(mode="after")
    def _complete(self) -> Result:
        lacking = {RowId.FLAT, RowId.UNTUNED, RowId.TUNED} - {row.id for row in self.rows}
        if lacking:
            raise ValueError(f"there is no row '{min(lacking)}'")
        self._check_items()
        dimensions = {one.id for one in self.instrument.dimensions}
        for row in self.rows:
            for role in Role:
                figures = row.on(role)
                if figures is not None and not dimensions <= set(figures.scores):
                    raise ValueError(f"the row '{row.id}' lacks the score of a dimension")
        return self

    def _check_items(self) -> None:
        ids = {one.id for one in self.instrument.items}
        for record in self.items.by_role.values() if self.items is not None else ():
            if record is None:
                continue
            named = {one for top in record.top for one in top.items} | {one.id for one in record.items}
            if named - ids:
                raise ValueError(f"the instrument has no item {shown(min(named - ids))}")

    @property
    def by_id(self) -> Mapping[str, Row]:
        """The rows by their ids."""
        return {row.id: row for row in self.rows}

    @property
    def untuned(self) -> Row:
        """The model without a prompt."""
        return self.by_id[RowId.UNTUNED]

    @property
    def tuned(self) -> Row:
        """The model with the prompt."""
        return self.by_id[RowId.TUNED]

    @property
    def flat(self) -> Row:
        """Equal probability for every option."""
        return self.by_id[RowId.FLAT]
