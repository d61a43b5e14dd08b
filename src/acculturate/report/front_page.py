"""The page of a front: the points on the trained and on the held-out formats, and the figures of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from acculturate.report import charts
from acculturate.report.charts import Axis, Mark, number, words
from acculturate.report.run_page import pairs, style, template, write_page

FILE_NAME = "front.html"
TITLES = {"train": "Trained formats", "validation": "Validation formats", "heldout": "Held-out formats"}


def write_front_page(directory: Path, front: Mapping) -> Path:
    """Write ``front.html`` beside a front.json and return its path; ``UserError`` where it cannot be written."""
    return write_page(directory / FILE_NAME, render_front(front))


def render_front(front: Mapping) -> str:
    """The page as HTML text from what front.json holds."""
    css, digest = style()
    panels = {role: title for role, title in TITLES.items() if front["points"][0].get(role) is not None}
    drawn = [role for role in panels if role != "validation"]
    right, up = _axes(front, drawn)
    target, search = front["target"], front["search"]
    audit = front.get("audit") or {}
    about_target = {"country": f"{target['country']} ({target['code']})", "target set": target["target_set"]}
    return template("front.html.jinja").render(
        front=front,
        css=css,
        digest=digest,
        panels=panels,
        charts={role: _chart(front, role, right, up) for role in drawn},
        outside=[one for one in front["references"] if not _inside(one["train"], up)],
        digits=3,
        unit=" nats" if front["second"]["id"] == "untuned" else "",
        warning=audit.get("warning"),
        facts={
            "Target": pairs(about_target),
            "Second objective": pairs({key: front["second"][key] for key in ("name", "about")}),
            "Model": pairs(front["model"]),
            "Search": pairs({"method": "gde3", **search}),
            "Specification": pairs(front["spec"], keep_empty=True),
        },
    )


def _places(rows: list[Mapping], roles: list[str], key: str) -> Iterator[float]:
    for row in rows:
        for role in roles:
            if (value := number(row[role][key])) is not None:
                yield value


def _axes(front: Mapping, roles: list[str]) -> tuple[Axis, Axis]:
    """One pair of axes from zero for all drawings; a comparison far above the front does not stretch them."""
    points, references = list(front["points"]), list(front["references"])
    high = 1.5 * max(_places(points, roles, "second"), default=1.0)
    seconds = [*_places(points, roles, "second"), *(y for y in _places(references, roles, "second") if y <= high)]
    surveys = [*_places(points, roles, "survey"), *_places(references, roles, "survey")]
    return charts.axis(surveys, ceiling=0.0), charts.axis(seconds, ceiling=0.0)


def _inside(figures: Mapping, up: Axis) -> bool:
    y = number(figures["second"])
    return y is not None and y <= up.high and number(figures["survey"]) is not None


def _chart(front: Mapping, role: str, right: Axis, up: Axis) -> object:
    marks = [
        Mark({"untuned": "before"}.get(one["id"], "even"), one[role]["survey"], one[role]["second"], one["label"])
        for one in front["references"]
        if _inside(one[role], up)
    ]
    points = [one for one in front["points"] if _inside(one[role], up)]
    # The ends of the front are named first, should there be no room for all.
    order = [*points[:1], *points[-1:], *points[1:-1]][: len(points)]
    marks += [
        Mark(
            "beaten" if one["beaten_by_untuned"] else "after",
            one[role]["survey"],
            one[role]["second"],
            str(one["point"]),
        )
        for one in order
    ]
    line = [(one[role]["survey"], one[role]["second"]) for one in points] if role == "train" else []
    said = "; ".join(f"{one.said}: {words(one.x)} points, {words(one.y, 3)}" for one in marks)
    return charts.scatter(marks, right, up, f"{TITLES[role]}. {said}.", line=line)
