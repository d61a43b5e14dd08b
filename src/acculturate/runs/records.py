"""The records of runs that are more than one result: their kind, settings, several countries, steered prompts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, RootModel, model_validator

from acculturate.files.record import Count, Figure, Record, RunRecord
from acculturate.judge.front import Front
from acculturate.judge.records import ByRole, ModelIdentity, Result, Row, VerdictKind, View
from acculturate.runs.spec import RunSpec


class RunKind(StrEnum):
    """Tell what a directory is a run of; stands as ``kind`` in spec.json and in the run's record."""

    ALIGN = "align"
    MULTITASK = "multitask"
    COUNTRY = "country"
    PARETO = "pareto"
    STEER = "steer"


class Losses(Record):
    """Hold a loss without and with the prompt, in points; the untuned model stands as ``naive`` on disk."""

    untuned: Figure = Field(validation_alias="naive", serialization_alias="naive")
    tuned: Figure


class LossesByRole(ByRole, Record):
    """Hold losses on the formats of each role, None where the run has no such formats."""

    train: Losses
    validation: Losses | None = None
    heldout: Losses | None


class CountryLosses(ByRole, Record):
    """Hold one country's losses by role, as in ``LossesByRole``, with the verdict on its prompt."""

    code: str
    country: str | None = None
    train: Losses
    validation: Losses | None = None
    heldout: Losses | None
    verdict: VerdictKind
    headline: str | None = None


class JointSettings(RootModel[dict[str, Any]]):
    """Hold the settings of a search for several countries (``runs.multitask.MultitaskSpec``) as JSON."""

    @model_validator(mode="after")
    def _tokens(self) -> JointSettings:
        for name in ("shared_tokens", "tokens"):
            if not isinstance(self.root.get(name), int):
                raise ValueError(f"the setting '{name}' is missing")
        return self

    @property
    def shared_tokens(self) -> int:
        """Virtual tokens that all countries share."""
        return self.root["shared_tokens"]

    @property
    def tokens(self) -> int:
        """Virtual tokens of each country's own."""
        return self.root["tokens"]


class Multitask(RunRecord):
    """Hold multitask.json: losses in points, untuned and tuned, for each country and in the mean.

    Parameters
    ----------
    candidates, evaluations
        Joint candidates, and evaluations of one country's questionnaire.
    search_loss
        The lowest mean training loss, in points, with the search's own prices.
    """

    schema_: Literal[1] = Field(alias="schema")
    acculturate: str | None = None
    spec: JointSettings
    model: ModelIdentity
    candidates: Count | None = None
    evaluations: Count
    search_loss: Figure = None
    countries: tuple[CountryLosses, ...]
    mean: LossesByRole


class SteeredDimension(Record):
    """Hold what was wanted of a dimension and what was reached, in points.

    Parameters
    ----------
    wanted
        None where the dimension was free to go anywhere.
    run
        The score of the prompt that was steered from.
    trained, trained_miss, heldout, heldout_miss
        The score of the steered prompt by the formats' role, and its difference to what was wanted.
    """

    id: str
    wanted: Figure
    run: Figure
    trained: Figure
    trained_miss: Figure
    heldout: Figure
    heldout_miss: Figure


EffectTable = tuple[tuple[Figure, ...], ...]
"""Points per direction (row) on every dimension (column)."""


class Effects(Record):
    """Hold what the steering directions do over a ``step``, in points (``runs.steer.Directions``)."""

    step: float
    dimensions: tuple[str, ...]
    predicted: EffectTable | None = None
    measured: EffectTable
    heldout: EffectTable | None

    @model_validator(mode="after")
    def _square(self) -> Effects:
        n = len(self.dimensions)
        for table in (self.measured, self.heldout):
            if table is not None and [len(row) for row in table] != [n] * n:
                raise ValueError("the effects are not those of every direction on every dimension")
        return self


class SteeredSearch(Record):
    """Hold the course of a steering's search.

    Parameters
    ----------
    best, winner
        The lowest training loss, and what the winner was chosen by, in points.
    winner_at
        The number of evaluations after which the winner was found.
    """

    evaluations: Count
    best: Figure
    winner: Figure
    winner_at: Count


class Steered(RunRecord):
    """Hold steer.json.

    Parameters
    ----------
    steered_from
        SHA-256 of the result.json of the run.
    wanted
        The scores that were asked for by dimension, in points.
    free, budget
        Whether other dimensions could go anywhere; candidate evaluations beyond the first proposals.
    rows
        The run's own prompt and the steered one.
    """

    steered_from: str | None = None
    wanted: dict[str, float] = Field(validation_alias="set", serialization_alias="set")
    free: bool = False
    budget: Count | None = None
    schema_: Literal[1] | None = Field(default=None, alias="schema")
    acculturate: str | None = None
    model: ModelIdentity | None = None
    dimensions: tuple[SteeredDimension, ...]
    sentences: tuple[str, ...]
    effects: Effects
    search: SteeredSearch | None = None
    views: tuple[View, ...] = ()
    rows: tuple[Row, ...] = ()


class MadeWith(Record):
    """Hold spec.json: the settings of a run, which stand beside these, and with what it was made."""

    kind: str | None = None
    steered_from: str | None = None
    against: str | None = None
    country: str | tuple[str, ...] | None = None
    method: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    model_identity: dict[str, Any] = Field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of ``align``, as ``runs.spec.make_spec`` takes them."""
        return {name: value for name, value in self.to_json().items() if name in RunSpec.model_fields}


def kind_of(record: RunRecord | MadeWith) -> RunKind:
    """Tell the kind of run from its record or spec.json; from before they said it, by what only that kind holds."""
    if record.kind in set(RunKind):
        return RunKind(record.kind)
    match record:
        case Steered() | MadeWith(steered_from=str()):
            return RunKind.STEER
        case Front() | MadeWith(against=str()):
            return RunKind.PARETO
        case Multitask() | MadeWith(country=tuple()):
            return RunKind.MULTITASK
        case Result(search=search) if search.together_with is not None:
            return RunKind.COUNTRY
    return RunKind.ALIGN
