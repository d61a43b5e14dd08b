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

from acculturate.errors import SettingError
from acculturate.files.record import Figure
from acculturate.files.whole_file import write_whole
from acculturate.judge.audit_records import AuditRecord
from acculturate.judge.evaluation_records import Evaluation
from acculturate.judge.records import DimensionRecord, ItemRecord, ItemText, Result, Row, RowKind, VerdictKind
from acculturate.legible import capital, without_places
from acculturate.model.answer_kind import ANSWERS, AnswerKind
from acculturate.report import charts
from acculturate.report.axis import Axis, axis
from acculturate.report.charts import Series
from acculturate.report.evaluation_section import evaluation_section
from acculturate.report.numbers import MISSING, number, words
from acculturate.report.svg import mark
from acculturate.survey.formats import Role

FILE_NAME = "report.html"
VERDICTS = {
    VerdictKind.ALIGNED: "Aligned",
    VerdictKind.PARTLY: "Partly aligned",
    VerdictKind.FITTED: "Fitted to its format",
    VerdictKind.STYLE: "A way of answering",
    VerdictKind.NOT_BETTER: "Not better",
}
PANELS = (Role.TRAIN, Role.HELDOUT)
HEAT_LEVELS = 8


def write_report(run_dir: Path, result: Result, evaluation: Evaluation | None = None) -> Path:
    """Write ``report.html`` into a run directory, whole or not at all, and return its path.

    ``evaluation``: what was measured beyond the survey. Raises ``UserError`` when the directory cannot be written.
    """
    return write_page(Path(run_dir) / FILE_NAME, render(result, evaluation))


def write_page(path: Path, page: str) -> Path:
    """Write an HTML page, whole or not at all, and return its path; raises ``UserError`` when it cannot be.

    A finished run may stand where nothing can be written: a page that is there already is left alone, and an older one
    is kept with a warning.
    """
    # A lone surrogate may stand in JSON but not in UTF-8: one odd character must not cost the report.
    content = page.encode("utf-8", "replace")
    if path.is_dir():
        raise SettingError(f"The report cannot be written to {path}: a directory stands there; move it away.")
    try:
        if not path.is_file() or path.read_bytes() != content:
            write_whole(path, content)
    except OSError as error:
        if path.is_file():
            warnings.warn(
                f"The page {path} stays as it was: it cannot be written anew ({error.strerror}).", stacklevel=3
            )
            return path
        raise SettingError(
            f"The report cannot be written to {path} ({error.strerror}); name an existing run directory that "
            "you may write to."
        ) from error
    return path


def render(result: Result, evaluation: Evaluation | None = None) -> str:
    """Draw the report as HTML text; a figure that is missing shows as an en dash."""
    panels = _panels(result)
    css, digest = style()
    return template("report.html.jinja").render(
        result=result,
        css=css,
        digest=digest,
        badge=VERDICTS[result.verdict.kind],
        before=result.untuned,
        after=result.tuned,
        flat=result.flat,
        panels=panels,
        dumbbells={role: _dumbbells(result, role) for role in panels},
        missing=_missing(result),
        averaged=_averaged(result),
        bars=_bars(result, panels),
        mass_means=_mass_means(result),
        intervals=any(_interval(row, role) for row in result.rows for role in panels),
        curve=_curve(result),
        answers=_answers(result),
        transfer=result.transfer,
        rests=_rests(result),
        heat=_heat(result),
        evaluation=evaluation_section(evaluation),
        audit=_audit(result.audit),
        facts=_facts(result),
    )


def _mass_means(result: Result) -> str:
    """Say what the answer mass is, in the way in which this run asks."""
    answers = result.spec.get("answers")
    said = AnswerKind(answers if answers in ANSWERS else AnswerKind.PROBABILITIES).mass_means
    return capital(said)


def _panels(result: Result) -> dict[Role, str]:
    """Name the format groups that have figures, by role."""
    return {role: role.formats_heading for role in PANELS if any(row.on(role) is not None for row in result.rows)}


def _score(row: Row, role: Role, dimension: str) -> float | None:
    figures = row.on(role)
    return None if figures is None else figures.scores.get(dimension)


def _dumbbells(result: Result, role: Role) -> dict[str, object]:
    """Draw one line per dimension: numbers and drawing; one common axis where the nominal ranges agree."""
    target, dimensions = result.target.scores, result.instrument.dimensions
    before, after = result.untuned, result.tuned
    bands = {d.id: _band(d) for d in dimensions}
    drawn = [(row, group) for row in (before, after) for group in Role]
    values = {key: [target.get(key), *(_score(row, group, key) for row, group in drawn)] for key in bands}
    common = len(set(bands.values())) == 1
    every = [value for some in values.values() for value in some]
    lines = []
    for dimension in dimensions:
        key, (low, high) = dimension.id, bands[dimension.id]
        scale = axis(every if common else values[key], floor=low, ceiling=high)
        start, end, goal = _score(before, role, key), _score(after, role, key), target.get(key)
        label = (
            f"{dimension.name}: before {words(start)}, after {words(end)}, "
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
    ruler = charts.ruler(axis(every, floor=first[0], ceiling=first[1])) if common else None
    return {"lines": lines, "ruler": ruler}


def _band(dimension: DimensionRecord) -> tuple[float, float]:
    """Return a dimension's nominal range, 0..100 where it names none."""
    low, high = dimension.low, dimension.high
    return 0.0 if low is None else low, 100.0 if high is None else high


def _missing(result: Result) -> list[str]:
    """Name the dimensions that the target lacks."""
    return [d.name for d in result.instrument.dimensions if result.target.scores.get(d.id) is None]


def _averaged(result: Result) -> bool:
    """Tell whether some row's loss exceeds the distance of its mean scores, which the page then explains."""
    goals = {key: goal for key, goal in result.target.scores.items() if goal is not None}
    for row in result.rows:
        for role in Role:
            figures = row.on(role)
            if figures is None or figures.loss is None:
                continue
            gaps = [abs(score - goals[key]) for key in goals if (score := figures.scores.get(key)) is not None]
            if figures.loss > sum(gaps) + 0.05:
                return True
    return False


def _bars(result: Result, panels: Mapping[Role, str]) -> list[dict[str, object]]:
    """Draw every row's loss per format group as a bar; all bars share one axis."""
    everything: list[object] = []
    for row in result.rows:
        for role in panels:
            everything += [_loss(row, role), *_interval(row, role)]
    scale = axis(everything, ceiling=0.0)
    lines = []
    for row in result.rows:
        cells = []
        for role, title in panels.items():
            loss, interval = _loss(row, role), _interval(row, role)
            label = f"{row.label}, {title.lower()}: loss {words(loss)} points"
            kind = RowKind.BASELINE if row.kind is RowKind.SAMPLED else row.kind
            drawing = charts.bar(scale, label, value=loss, interval=interval, kind=kind)
            cells.append({"loss": loss, "interval": interval, "chart": drawing})
        lines.append({"row": row, "cells": cells})
    return lines


def _loss(row: Row, role: Role) -> float | None:
    figures = row.on(role)
    return None if figures is None else figures.loss


def _interval(row: Row, role: Role) -> Sequence[Figure]:
    return row.interval.get(role) or ()


def _curve(result: Result) -> dict[str, object] | None:
    """Draw the search as curves over evaluations, with the losses of the untuned model and of flat answers."""
    points = result.search.curve
    if not points:
        return None
    names = {"best": "Best so far", "median": "Median of the generation", "validation": "Validation formats"}
    figures = {
        "best": [(float(point.evaluations), point.best) for point in points],
        "median": [(float(point.evaluations), point.median) for point in points],
        "validation": [(float(point.evaluations), point.validation) for point in points],
    }
    series = [Series(kind, line) for kind, line in figures.items() if any(y is not None for _, y in line)]
    references = {
        kind: (f"{row.label} {words(row.train.loss)}", row.train.loss)
        for kind, row in (("naive", result.untuned), ("flat", result.flat))
        if row.train.loss is not None
    }
    said = ", ".join(f"{names[line.kind].lower()} {words(line.points[-1][1])}" for line in series)
    label = f"Loss over {words(points[-1].evaluations, 0)} evaluations; at the end: {said} points."
    return {
        "chart": charts.curves(series, references, label),
        "legend": {line.kind: names[line.kind] for line in series},
        "points": points,
        "cut": charts.cut_off(series, references),
    }


def _answers(result: Result) -> list[dict[str, object]]:
    """Draw expected answers before and after, item by item, averaged over the views of a role."""
    lines = []
    roles = [role for role in PANELS if any(view.role is role for view in result.views)]
    for place, item in enumerate(result.instrument.items):
        values = [value for value in item.values if value is not None]
        cells = []
        for role in roles:
            start, end = _item_mean(result.untuned, role, place), _item_mean(result.tuned, role, place)
            change = f"{words(start, 2)} before, {words(end, 2)} after"
            label = f"{item.topic}, {role.words} formats: {change}"
            drawing = charts.answer_shift(label, before=start, after=end, values=values)
            cells.append({"role": role, "before": start, "after": end, "chart": drawing})
        lines.append({"item": item, "options": _options(item), "cells": cells})
    return lines


def _rests(result: Result) -> dict[str, object] | None:
    """Say what the improvement rests on: per role the figures over items, and a line per item."""
    if result.items is None:
        return None
    topics = {item.id: item.topic for item in result.instrument.items}
    records = {role: record for role in Role if (record := result.items.by_role.get(role)) is not None}
    by_item = {role: {one.id: one for one in record.items} for role, record in records.items()}
    lines = [
        {
            "topic": topic,
            "heldout": item in result.items.heldout,
            "cells": [by_item[role].get(item) for role in records],
        }
        for item, topic in topics.items()
    ]
    return {
        "roles": [_role_of_items(role.formats_heading, record, topics) for role, record in records.items()],
        "lines": lines,
    }


def _role_of_items(title: str, record: ItemRecord, topics: Mapping[str, str]) -> dict[str, object]:
    groups = {"asked in the search": record.trained_items, "held out": record.heldout_items}
    return {
        "title": title,
        "improvement": record.improvement,
        "interval": record.interval,
        "top": [{"names": [topics[i] for i in one.items], "cost": one.cost, "share": one.share} for one in record.top],
        "groups": [(name, group) for name, group in groups.items() if group is not None],
    }


def _options(item: ItemText) -> list[tuple[str, str]]:
    """Return each option's value and words."""
    return [
        (words(value, 0 if value is None or value == round(value) else 1), option)
        for value, option in zip(item.values, item.options, strict=False)
    ]


def _item_mean(row: Row, role: Role, place: int) -> float | None:
    """Average the expected answer to one item over a role's views; None as soon as one of them is missing."""
    means = [
        view.item_means[place] if place < len(view.item_means) else None for view in row.by_view if view.role is role
    ]
    present = [mean for mean in means if mean is not None]
    return sum(present) / len(present) if present and len(present) == len(means) else None


def _heat(result: Result) -> list[dict[str, object]]:
    """Shade each row's loss in every view, by role: 0 is the lightest."""
    losses = {(row.id, view.view): view.loss for row in result.rows for view in row.by_view}
    ordered = sorted(loss for loss in losses.values() if loss is not None)
    # One wild row must not bleach all others: shades end at twice the median.
    top = min(ordered[-1], 2 * ordered[len(ordered) // 2]) if ordered else 0.0
    scale = Axis(0.0, top or 1.0, ())
    groups = []
    for role in Role:
        lines = []
        for view in result.views:
            if view.role is not role:
                continue
            row_losses = [losses.get((row.id, view.name)) for row in result.rows]
            levels = [None if loss is None else round(scale.part(loss) * (HEAT_LEVELS - 1)) for loss in row_losses]
            lines.append({"name": view.name, "cells": list(zip(row_losses, levels, strict=True))})
        if lines:
            groups.append({"title": role.heading, "lines": lines})
    return groups


def _audit(audit: AuditRecord | None) -> dict[str, object] | None:
    """Sum up the audit: verdict and sentences, the figures under their full names, and the presentations."""
    if audit is None:
        return None
    facts = {
        "Answer mass": _share(audit.mass),
        "Missing answers": _share(audit.missing),
        "Correlation of item means between option orders": _correlation(audit.order_correlation),
        "Correlation of item means between formats": _correlation(audit.format_correlation),
        "Agreement between wordings, within scales": _correlation(audit.wording_correlation),
        **{f"Agreement between wordings, {scale}": _correlation(r) for scale, r in audit.by_scale.items()},
        "Consistency over presentations (alpha)": _correlation(audit.consistency),
        "Spread of item means, share of the scale": _share(audit.spread),
        "Share of position in what moves the answers": _share(audit.position_share),
        "Persona sensitivity": _correlation(audit.persona_sensitivity),
    }
    said = [*audit.sentences, audit.warning, None if audit.persona is None else audit.persona.sentence]
    return {
        "verdict": audit.verdict,
        "sentences": list(dict.fromkeys(sentence for sentence in said if sentence)),
        "facts": [(name, value) for name, value in facts.items() if value is not None],
        "presentations": audit.presentations,
    }


def _share(value: float | None) -> str | None:
    return None if value is None else _percent(value)


def _correlation(value: float | None) -> str | None:
    return None if value is None else words(value, 2)


def _facts(result: Result) -> dict[str, list[tuple[str, str]]]:
    """Fill the definition lists of the last part: target, instrument, model, search and the whole spec."""
    target, instrument = result.target, result.instrument
    about_target = {
        "country": f"{target.country} ({target.code})" if target.code else target.country,
        "target set": target.target_set,
        "provenance": target.provenance,
        "missing": ", ".join(_missing(result)) or "nothing",
        "note": target.note,
    }
    about_instrument = {
        "name": instrument.name,
        "id": instrument.id,
        "version": instrument.version,
        "citation": instrument.citation,
        "constant": instrument.constant,
    }
    search = {key: value for key, value in result.search.to_json().items() if key != "curve"}
    return {
        "Target": pairs(about_target),
        "Instrument": pairs(about_instrument),
        "Model": pairs(result.model.root),
        "Search": pairs(search),
        "Specification": pairs(result.spec, keep_empty=True),
    }


def pairs(mapping: Mapping, *, keep_empty: bool = False) -> list[tuple[str, str]]:
    """Put the entries of a definition list into words."""
    return [(_title(str(key)), _say(value)) for key, value in mapping.items() if keep_empty or value not in (None, "")]


def _title(key: str) -> str:
    return capital(key.replace("_", " "))


def _say(value: object) -> str:
    """Put a setting into words: lists by comma, nothing as an en dash, numbers as they were given."""
    if value is None or value in ("", {}, []):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return without_places(value)
    if isinstance(value, int | float):
        return (f"{value:.6g}" if isinstance(value, float) else str(value)).replace("-", "−")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_say(part)}" for key, part in value.items())
    if isinstance(value, Iterable):
        return ", ".join(_say(part) for part in value)
    return json.dumps(value, default=str)


def _percent(value: object) -> str:
    plain = number(value)
    return MISSING if plain is None else f"{words(100 * plain)}\u202f%"


def _breakable(text: object) -> Markup:
    """Escape text and let it be broken after a slash."""
    return Markup("/<wbr>").join(escape(part) for part in str(text).split("/"))


@cache
def template(name: str) -> jinja2.Template:
    """Load a page's template: everything put in is escaped."""
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
    environment.globals["mark"] = mark
    return environment.get_template(name)


@cache
def style() -> tuple[Markup, str]:
    """Read the style sheet, which is ours and holds no data, and its hash for the content security policy."""
    text = files("acculturate.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Markup(text), f"sha256-{digest}"
