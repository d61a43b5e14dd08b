"""The page of a front: the points on the trained and on the held-out formats, and the figures of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from acculturate.judge.front import UNTUNED, Front, Point, PointFigures, Reference, ReferenceFigures
from acculturate.report import charts
from acculturate.report.axis import Axis, axis
from acculturate.report.charts import Mark
from acculturate.report.numbers import words
from acculturate.report.run_page import pairs, style, template, write_page
from acculturate.survey.formats import ROLES, Role

FILE_NAME = "front.html"

Shown = Point | Reference
Both = PointFigures | ReferenceFigures


def write_front_page(directory: Path, front: Front) -> Path:
    """Write ``front.html`` beside a front.json and return its path; ``UserError`` where it cannot be written."""
    return write_page(directory / FILE_NAME, render_front(front))


def render_front(front: Front) -> str:
    """Draw the page as HTML text."""
    css, digest = style()
    panels = {role: role.formats_heading for role in ROLES if front.points[0].on(role) is not None}
    drawn = [role for role in panels if role is not Role.VALIDATION]
    right, up = _axes(front, drawn)
    target, second = front.target, front.second
    about_target = {"country": f"{target.country} ({target.code})", "target set": target.target_set}
    return template("front.html.jinja").render(
        front=front,
        css=css,
        digest=digest,
        panels=panels,
        charts={role: _chart(front, role, right, up) for role in drawn},
        outside=[one for one in front.references if _place(one.train, up) is None],
        digits=3,
        unit=" nats" if second.id == UNTUNED else "",
        warning=front.audit.warning,
        facts={
            "Target": pairs(about_target),
            "Second objective": pairs({"name": second.name, "about": second.about}),
            "Model": pairs(front.model.root),
            "Search": pairs({"method": "gde3", **front.search.to_json()}),
            "Specification": pairs(front.spec, keep_empty=True),
        },
    )


def _figures(rows: Iterable[Shown], roles: Sequence[Role]) -> Iterator[Both]:
    for row in rows:
        for role in roles:
            if (figures := row.on(role)) is not None:
                yield figures


def _axes(front: Front, roles: Sequence[Role]) -> tuple[Axis, Axis]:
    """Make one pair of axes from zero for all drawings; a comparison far above the front does not stretch them."""
    points, references = list(_figures(front.points, roles)), list(_figures(front.references, roles))
    seconds = [one.second for one in points if one.second is not None]
    high = 1.5 * max(seconds, default=1.0)
    seconds += [one.second for one in references if one.second is not None and one.second <= high]
    surveys = [one.survey for one in (*points, *references) if one.survey is not None]
    return axis(surveys, ceiling=0.0), axis(seconds, ceiling=0.0)


def _place(figures: Both | None, up: Axis) -> tuple[float, float] | None:
    """Return where both objectives stand in a drawing; None where one is missing or lies above it."""
    if figures is None or figures.survey is None or figures.second is None or figures.second > up.high:
        return None
    return figures.survey, figures.second


def _chart(front: Front, role: Role, right: Axis, up: Axis) -> object:
    """Draw the references and the points of one role; the front is a line where it was searched."""
    marks = [
        Mark("before" if one.id == UNTUNED else "even", *place, one.label)
        for one in front.references
        if (place := _place(one.on(role), up)) is not None
    ]
    points = [(one, place) for one in front.points if (place := _place(one.on(role), up)) is not None]
    # The ends of the front are named first, should there be no room for all.
    order = [*points[:1], *points[-1:], *points[1:-1]][: len(points)]
    marks += [Mark("beaten" if one.beaten_by_untuned else "after", *place, str(one.point)) for one, place in order]
    line = [place for _, place in points] if role is Role.TRAIN else []
    said = "; ".join(f"{one.said}: {words(one.x)} points, {words(one.y, 3)}" for one in marks)
    return charts.scatter(marks, right, up, f"{role.formats_heading}. {said}.", line=line)
