"""The record of a front: soft prompts between closeness to a country and a second objective."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from acculturate.files.record import Count, Figure, Record, RunRecord
from acculturate.judge.audit_records import AuditRecord
from acculturate.judge.records import ByRole, ModelIdentity
from acculturate.survey.formats import Role

UNTUNED, FLAT = "untuned", "flat"
"""Ids of the references; the first is that of the second objective of staying near the untuned answers, too."""


class PointFigures(Record):
    """Hold both objectives of a point of the front on the formats that it was searched on.

    Parameters
    ----------
    survey
        Distance to the country's scores, in points.
    second
        The second objective, in its unit.
    mass
        Mean probability of the survey's options, 0 to 1.
    scores
        Dimension scores, in points.
    """

    survey: float
    second: float
    mass: Figure
    scores: dict[str, Figure]


class ReferenceFigures(Record):
    """Hold the same where a figure may be missing."""

    survey: Figure
    second: Figure
    mass: Figure
    scores: dict[str, Figure] = Field(default_factory=dict)


class Reference(ByRole, Record):
    """Hold what the points are compared to: the untuned model, flat answers."""

    id: str
    label: str
    train: ReferenceFigures
    validation: ReferenceFigures | None = None
    heldout: ReferenceFigures | None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.label


class Point(ByRole, Record):
    """Hold one prompt of the front, by its number from 1. ``beaten_by_untuned``: no better than no prompt."""

    point: Count
    beaten_by_untuned: bool
    train: PointFigures
    validation: ReferenceFigures | None = None
    heldout: ReferenceFigures | None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"Point {self.point}"


class FrontTarget(Record):
    """Hold the scores to reach, in points; None where the target set has none."""

    country: str
    code: str
    target_set: str
    scores: dict[str, Figure] = Field(default_factory=dict)


class SecondObjective(Record):
    """Hold what the second objective is and its unit."""

    id: str
    name: str
    unit: str
    about: str


class FrontSearch(Record):
    """Hold the course of the search. ``found``: prompts that nothing dominated at its end."""

    evaluations: Count
    generations: Count | None = None
    found: Count | None = None
    dtype: str | None = None


class FrontViews(Record):
    """Hold the names of the views of each role."""

    train: tuple[str, ...] | None
    validation: tuple[str, ...] | None = None
    heldout: tuple[str, ...] | None = None


class Front(RunRecord):
    """Hold front.json of ``pareto``: its points in order, the closest to the country first."""

    schema_: Literal[1] = Field(alias="schema")
    acculturate: str
    spec: dict[str, Any]
    model: ModelIdentity
    target: FrontTarget
    second: SecondObjective
    views: FrontViews | None = None
    limits: tuple[str, ...]
    references: Annotated[tuple[Reference, ...], Field(min_length=1)]
    points: Annotated[tuple[Point, ...], Field(min_length=1)]
    search: FrontSearch
    audit: AuditRecord

    @model_validator(mode="after")
    def _same_roles(self) -> Front:
        for role in Role:
            if len({one.on(role) is None for one in (*self.references, *self.points)}) > 1:
                raise ValueError(f"not every point has figures on the {role} formats")
        return self
