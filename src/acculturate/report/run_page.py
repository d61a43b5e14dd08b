"""The report of a run: one self-contained page that opens offline, without scripts.

Everything on it comes from ``result.json``. Whatever text that holds (names, questions, notes) is escaped by
the template, and the page's content security policy allows its own style sheet by hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from acculturate.errors import UserError
from acculturate.files.whole_file import write_whole
from acculturate.report import charts
from acculturate.report.charts import Axis, Series, number, words
from acculturate.survey.formats import Role

FILE_NAME = "report.html"
SCHEMA = 1
ROLES = {role.value: role.heading for role in Role}
VERDICTS = {
    "aligned": "Aligned",
    "partly": "Partly aligned",
    "fitted-to-format": "Fitted to its format",
    "not-better": "Not better",
}
HEAT_LEVELS = 8
AUDIT_NAMES = {
    "mass": "Answer mass",
    "missing": "Missing answers",
    "order_correlation": "Correlation of item means between option orders",
    "format_correlation": "Correlation of item means between formats",
    "consistency": "Consistency over presentations (alpha)",
    "spread": "Spread of item means, share of the scale",
    "position_share": "Share of position in what moves the answers",
    "persona_sensitivity": "Persona sensitivity",
}
AUDIT_SHARES = {"mass", "missing", "spread", "position_share"}
# What the page cannot do without, by the place in the result where it stands.
NEEDED = {
    "": ("spec", "model", "target", "instrument", "views", "rows", "search", "verdict", "limits"),
    "target": ("country", "scores"),
    "instrument": ("name", "dimensions", "items"),
    "search": ("curve",),
    "verdict": ("headline", "sentences"),
}

Row = Mapping[str, object]


def write_report(run_dir: Path, result: Mapping) -> Path:
    """Write ``report.html`` into a run directory, whole or not at all, and return its path.

    Raises ``UserError`` when the result cannot be read as one or the directory cannot be written.
    """
    return write_page(Path(run_dir) / FILE_NAME, render(result))


def write_page(path: Path, page: str) -> Path:
    """Write an HTML page, whole or not at all, and return its path; raises ``UserError`` when it cannot be.

    A finished run may stand where nothing can be written: a page that is there already is left alone, and an older one
    is kept with a warning.
    """
    # A lone surrogate may stand in JSON but not in UTF-8: one odd character must not cost the report.
    content = page.encode("utf-8", "replace")
    if path.is_dir():
        raise UserError(f"The report cannot be written to {path}: a directory stands there; move it away.")
    try:
        if not path.is_file() or path.read_bytes() != content:
            write_whole(path, content)
    except OSError as error:
        if path.is_file():
            warnings.warn(
                f"The page {path} stays as it was: it cannot be written anew ({error.strerror}).", stacklevel=3
            )
            return path
        raise UserError(
            f"The report cannot be written to {path} ({error.strerror}); name an existing run directory that "
            "you may write to."
        ) from error
    return path


def render(result: Mapping) -> str:
    """The report as HTML text; a missing or non-finite number in ``result`` shows as an en dash.

    Raises ``UserError`` naming what is missing when ``result`` is not a result of schema 1.
    """
    _check(result)
    try:
        return _page(result)
    except (KeyError, jinja2.UndefinedError, RecursionError) as error:
        raise UserError(
            f"The result is incomplete ({error}); give a finished run's result.json, or re-issue it."
        ) from error


def _page(result: Mapping) -> str:
    before, after = _row(result, "naive"), _row(result, "tuned")
    panels = _panels(result)
    css, digest = style()
    return template("report.html.jinja").render(
        result=result,
        css=css,
        digest=digest,
        roles=ROLES,
        badge=VERDICTS.get(str(result["verdict"].get("kind")), "Result"),
        before=before,
        after=after,
        flat=next((row for row in result["rows"] if row.get("kind") == "flat"), None),
        panels=panels,
        dumbbells={role: _dumbbells(result, role, before, after) for role in panels},
        missing=_missing(result),
        averaged=_averaged(result),
        bars=_bars(result, panels),
        intervals=any(_interval(row, role) for row in result["rows"] for role in panels),
        curve=_curve(result, before),
        answers=_answers(result, before, after),
        transfer=result.get("transfer"),
        rests=_rests(result),
        heat=_heat(result),
        audit=_audit(result.get("audit")),
        facts=_facts(result),
    )


def _check(result: Mapping) -> None:
    if not isinstance(result, Mapping) or result.get("schema") != SCHEMA:
        raise UserError(
            f"This is not a result of schema {SCHEMA}; give the result.json of a run made with this version, "
            "or run it again."
        )
    for place, keys in NEEDED.items():
        part = result[place] if place else result
        for key in keys:
            if not isinstance(part, Mapping) or part.get(key) is None:
                where = f"{place}.{key}" if place else key
                raise UserError(f"The result has no '{where}'; it is incomplete, so re-issue the run to finish it.")
    for row in result["rows"]:
        lacking = [key for key in ("id", "label", "train") if row.get(key) is None]
        if lacking:
            name = row.get("id", "without id")
            raise UserError(f"The result's row '{name}' has no '{lacking[0]}'; re-issue the run to finish it.")


def _row(result: Mapping, name: str) -> Row:
    for row in result["rows"]:
        if row["id"] == name:
            return row
    raise UserError(f"The result has no row '{name}' to compare with; re-issue the run to finish it.")


def _panels(result: Mapping) -> dict[str, str]:
    """The format groups that have figures, by role."""
    titles = {"train": "Trained formats", "heldout": "Held-out formats"}
    return {role: title for role, title in titles.items() if any(row.get(role) for row in result["rows"])}


def _score(row: Row, role: str, dimension: str) -> float | None:
    group = row.get(role) or {}
    return number((group.get("scores") or {}).get(dimension))  # type: ignore[union-attr]


def _dumbbells(result: Mapping, role: str, before: Row, after: Row) -> dict[str, object]:
    """One line per dimension: numbers and drawing; one common axis where the nominal ranges agree."""
    target = result["target"]["scores"]
    dimensions = result["instrument"]["dimensions"]
    bands = {d["id"]: _band(d) for d in dimensions}
    drawn = [(row, group) for row in (before, after) for group in ROLES]
    shown = {key: [target.get(key), *(_score(row, group, key) for row, group in drawn)] for key in bands}
    common = len(set(bands.values())) == 1
    every = [value for values in shown.values() for value in values]
    lines = []
    for dimension in dimensions:
        key, (low, high) = dimension["id"], bands[dimension["id"]]
        scale = charts.axis(every if common else shown[key], floor=low, ceiling=high)
        start, end, goal = _score(before, role, key), _score(after, role, key), number(target.get(key))
        label = (
            f"{dimension['name']}: before {words(start)}, after {words(end)}, "
            f"target {'missing' if goal is None else words(goal)} (points)"
        )
        drawing = charts.dumbbell(scale, label, before=start, after=end, target=goal, band=(low, high))
        lines.append(
            {
                "dimension": dimension,
                "before": start,
                "after": end,
                "target": goal,
                "chart": drawing,
                "ruler": None if common else charts.ruler(scale),
            }
        )
    first = next(iter(bands.values()), (0.0, 100.0))
    ruler = charts.ruler(charts.axis(every, floor=first[0], ceiling=first[1])) if common else None
    return {"lines": lines, "ruler": ruler}


def _band(dimension: Mapping) -> tuple[float, float]:
    """A dimension's nominal range, 0..100 where it names none."""
    low, high = number(dimension.get("low")), number(dimension.get("high"))
    return 0.0 if low is None else low, 100.0 if high is None else high


def _missing(result: Mapping) -> list[str]:
    """The names of the dimensions that the target lacks."""
    scores = result["target"]["scores"]
    return [d["name"] for d in result["instrument"]["dimensions"] if number(scores.get(d["id"])) is None]


def _averaged(result: Mapping) -> bool:
    """Whether some row's loss exceeds the distance of its mean scores, which the page then explains."""
    goals = {key: number(value) for key, value in result["target"]["scores"].items()}
    for row in result["rows"]:
        for role in ROLES:
            loss = number((row.get(role) or {}).get("loss"))
            gaps = [
                abs(score - goal)
                for key, goal in goals.items()
                if goal is not None and (score := _score(row, role, key)) is not None
            ]
            if loss is not None and loss > sum(gaps) + 0.05:
                return True
    return False


def _bars(result: Mapping, panels: Mapping[str, str]) -> list[dict[str, object]]:
    """Per row and format group, the loss as a bar; all bars share one axis."""
    everything: list[object] = []
    for row in result["rows"]:
        for role in panels:
            everything += [(row.get(role) or {}).get("loss"), *_interval(row, role)]
    scale = charts.axis(everything, ceiling=0.0)
    lines = []
    for row in result["rows"]:
        cells = []
        for role, title in panels.items():
            group, interval = row.get(role) or {}, _interval(row, role)
            label = f"{row['label']}, {title.lower()}: loss {words(group.get('loss'))} points"
            kind = str(row.get("kind")) if row.get("kind") in ("flat", "baseline", "tuned") else "baseline"
            drawing = charts.bar(scale, label, value=group.get("loss"), interval=interval, kind=kind)
            cells.append({"loss": group.get("loss"), "interval": interval, "chart": drawing})
        lines.append({"row": row, "cells": cells})
    return lines


def _interval(row: Row, role: str) -> Sequence[object]:
    found = (row.get("interval") or {}).get(role)  # type: ignore[union-attr]
    return found if isinstance(found, Sequence) and len(found) == 2 else ()


def _curve(result: Mapping, before: Row) -> dict[str, object] | None:
    """The search as curves over evaluations, with the losses of the untuned model and of flat answers."""
    points = [point for point in result["search"]["curve"] if number(point.get("evaluations")) is not None]
    if not points:
        return None
    names = {"best": "Best so far", "median": "Median of the generation", "validation": "Validation formats"}
    series = [Series(kind, [(float(point["evaluations"]), point.get(kind)) for point in points]) for kind in names]
    series = [line for line in series if any(number(y) is not None for _, y in line.points)]
    flat = next((row for row in result["rows"] if row.get("kind") == "flat"), None)
    references = {}
    for kind, row in (("naive", before), ("flat", flat)):
        loss = number((row or {}).get("train", {}).get("loss"))  # type: ignore[union-attr]
        if row is not None and loss is not None:
            references[kind] = (f"{row['label']} {words(loss)}", loss)
    last = points[-1]
    said = ", ".join(f"{names[line.kind].lower()} {words(last.get(line.kind))}" for line in series)
    label = f"Loss over {words(last['evaluations'], 0)} evaluations; at the end: {said} points."
    return {
        "chart": charts.curves(series, references, label),
        "legend": {line.kind: names[line.kind] for line in series},
        "points": points,
        "cut": charts.cut_off(series, references),
    }


def _answers(result: Mapping, before: Row, after: Row) -> list[dict[str, object]]:
    """Item by item: expected answers before and after, averaged over the views of a role."""
    lines = []
    for place, item in enumerate(result["instrument"]["items"]):
        values = [v for v in map(number, item.get("values") or ()) if v is not None]
        cells = []
        for role in ("train", "heldout"):
            if not any(view.get("role") == role for view in result["views"]):
                continue
            start, end = _item_mean(before, role, place), _item_mean(after, role, place)
            change = f"{words(start, 2)} before, {words(end, 2)} after"
            label = f"{item['topic']}, {ROLES[role].lower()} formats: {change}"
            drawing = charts.answer_shift(label, before=start, after=end, values=values)
            cells.append({"role": role, "before": start, "after": end, "chart": drawing})
        lines.append({"item": item, "options": _options(item), "cells": cells})
    return lines


def _rests(result: Mapping) -> dict[str, object] | None:
    """What the improvement rests on: per role the figures over items, and a line per item."""
    items = result.get("items")
    if not items:
        return None
    topics = {item["id"]: item["topic"] for item in result["instrument"]["items"]}
    found = {role: items["by_role"].get(role) for role in ROLES if items["by_role"].get(role)}
    by_item = {role: {one["id"]: one for one in record["items"]} for role, record in found.items()}
    roles = []
    for role, record in found.items():
        top = [{"names": [topics[i] for i in one["items"]], **one} for one in record["top"]]
        groups = [("asked in the search", record["trained_items"]), ("held out", record["heldout_items"])]
        roles.append(record | {"title": _panels(result)[role], "top": top, "groups": [g for g in groups if g[1]]})
    lines = [
        {"topic": topic, "heldout": item in items["heldout"], "cells": [by_item[role].get(item, {}) for role in found]}
        for item, topic in topics.items()
    ]
    return {"roles": roles, "lines": lines}


def _options(item: Mapping) -> list[tuple[str, str]]:
    """Each option's value and words."""
    return [
        (words(value, 0 if number(value) == round(number(value) or 0) else 1), str(option))
        for value, option in zip(item.get("values") or (), item.get("options") or (), strict=False)
    ]


def _item_mean(row: Row, role: str, place: int) -> float | None:
    """The mean expected answer of one item over a role's views; None as soon as one of them is missing."""
    means = [
        number(view["item_means"][place]) if place < len(view.get("item_means") or ()) else None
        for view in row.get("by_view") or ()  # type: ignore[union-attr]
        if view.get("role") == role
    ]
    known = [mean for mean in means if mean is not None]
    return sum(known) / len(known) if known and len(known) == len(means) else None


def _heat(result: Mapping) -> list[dict[str, object]]:
    """Per role, the views with each row's loss there and how dark to shade it (0 lightest)."""
    losses = {
        (row["id"], view.get("view")): number(view.get("loss"))
        for row in result["rows"]
        for view in row.get("by_view") or ()
    }
    known = sorted(loss for loss in losses.values() if loss is not None)
    # One wild row must not bleach all others: shades end at twice the median.
    top = min(known[-1], 2 * known[len(known) // 2]) if known else 0.0
    scale = Axis(0.0, top or 1.0, ())
    groups = []
    for role, title in ROLES.items():
        lines = []
        for view in result["views"]:
            if view.get("role") != role:
                continue
            found = [losses.get((row["id"], view["name"])) for row in result["rows"]]
            levels = [None if loss is None else round(scale.part(loss) * (HEAT_LEVELS - 1)) for loss in found]
            lines.append({"name": view["name"], "cells": list(zip(found, levels, strict=True))})
        if lines:
            groups.append({"title": title, "lines": lines})
    return groups


def _audit(audit: Mapping | None) -> dict[str, object] | None:
    """The audit's verdict and sentences, the figures under their full names, and a line per presentation."""
    if not audit:
        return None
    facts = [
        (name, _percent(audit[key]) if key in AUDIT_SHARES else words(audit[key], 2))
        for key, name in AUDIT_NAMES.items()
        if number(audit.get(key)) is not None
    ]
    persona = audit.get("persona")
    said = [*(audit.get("sentences") or ()), audit.get("warning")]
    if isinstance(persona, Mapping):
        said.append(persona.get("sentence"))
    return {
        "verdict": audit.get("verdict"),
        "sentences": list(dict.fromkeys(str(sentence) for sentence in said if sentence)),
        "facts": facts,
        "presentations": [one for one in audit.get("presentations") or () if isinstance(one, Mapping)],
    }


def _facts(result: Mapping) -> dict[str, list[tuple[str, str]]]:
    """The definition lists of the last part: target, instrument, model, search and the whole spec."""
    target, instrument = result["target"], result["instrument"]
    about_target = {
        "country": f"{target['country']} ({target['code']})" if target.get("code") else target["country"],
        "target set": target.get("target_set"),
        "provenance": target.get("provenance"),
        "missing": ", ".join(_missing(result)) or "nothing",
        "note": target.get("note"),
    }
    about_instrument = {key: instrument.get(key) for key in ("name", "id", "version", "citation", "constant")}
    search = {key: value for key, value in result["search"].items() if key != "curve"}
    return {
        "Target": pairs(about_target),
        "Instrument": pairs(about_instrument),
        "Model": pairs(result["model"]),
        "Search": pairs(search),
        "Specification": pairs(result["spec"], keep_empty=True),
    }


def pairs(mapping: Mapping, *, keep_empty: bool = False) -> list[tuple[str, str]]:
    """The entries of a definition list, in words."""
    return [(_title(str(key)), _say(value)) for key, value in mapping.items() if keep_empty or value not in (None, "")]


def _title(key: str) -> str:
    return key.replace("_", " ")[:1].upper() + key.replace("_", " ")[1:]


def _say(value: object) -> str:
    """A setting in words: lists by comma, nothing as an en dash, numbers as they were given."""
    if value is None or value == "" or value == {} or value == []:
        return charts.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return (f"{value:.6g}" if isinstance(value, float) else str(value)).replace("-", "−")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_say(part)}" for key, part in value.items())
    if isinstance(value, Iterable):
        return ", ".join(_say(part) for part in value)
    return json.dumps(value, default=str)


def _percent(value: object) -> str:
    plain = number(value)
    return charts.MISSING if plain is None else f"{words(100 * plain)}\u202f%"


def _breakable(text: object) -> Markup:
    """Escaped text that may be broken after a slash."""
    return Markup("/<wbr>").join(escape(part) for part in str(text).split("/"))


@cache
def template(name: str) -> jinja2.Template:
    """A page's template: everything put in is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("acculturate.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": words,
        "percent": _percent,
        "breakable": _breakable,
    }
    environment.globals["mark"] = charts.mark
    return environment.get_template(name)


@cache
def style() -> tuple[Markup, str]:
    """The style sheet, which is ours and holds no data, and its hash for the content security policy."""
    text = files("acculturate.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Markup(text), f"sha256-{digest}"
