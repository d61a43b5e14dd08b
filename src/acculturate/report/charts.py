"""Small accessible SVG charts as text: fluid in width, coloured by the page's style sheet, free of scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from acculturate.report.axis import Axis, axis
from acculturate.report.numbers import Number, number
from acculturate.report.svg import Attributes, diamond, dot, element, percent, picture, segment, square


def dumbbell(
    scale: Axis, label: str, *, before: object, after: object, target: object, band: tuple[Number, Number]
) -> Markup:
    """Draw before and after on one axis, the target as a diamond; ``band``: the nominal range, shaded."""
    middle = 14.0
    left, right = (scale.part(edge) for edge in band)
    width = percent(max(right - left, 0.0))
    drawn = [element("rect", {"class": "range", "x": percent(left), "y": 4, "width": width, "height": 20, "rx": 3})]
    drawn += [segment("grid", scale.across(tick), 4, scale.across(tick), 24) for tick in scale.ticks]
    start, end, goal = number(before), number(after), number(target)
    if end is not None and goal is not None:
        drawn.append(segment("gap", scale.across(end), middle, scale.across(goal), middle))
    if start is not None and end is not None:
        drawn.append(segment("shift", scale.across(start), middle, scale.across(end), middle))
    if start is not None:
        drawn.append(dot("before", scale.across(start), middle, 5))
    if end is not None:
        drawn.append(dot("after", scale.across(end), middle, 6))
    if goal is not None:
        # On top: it is taller than the dots, so both show where a search has reached its target.
        drawn.append(diamond(scale.across(goal), middle))
    return picture(28, label, "dumbbell", *drawn)


def ruler(scale: Axis) -> Markup:
    """Draw the tick labels under a column of charts."""
    drawn = []
    for tick in scale.ticks:
        part = scale.part(tick)
        anchor = "start" if part < 0.02 else "end" if part > 0.98 else "middle"
        drawn.append(element("text", {"x": scale.across(tick), "y": 12, "text_anchor": anchor}, scale.label(tick)))
    return element("svg", {"class": "chart ruler", "width": "100%", "height": 16, "aria_hidden": "true"}, *drawn)


def bar(scale: Axis, label: str, *, value: object, interval: Sequence[object] | None = None, kind: str = "") -> Markup:
    """Draw one horizontal bar from zero, with a whisker for an interval."""
    length = number(value)
    drawn = [segment("base", "0%", 1, "0%", 19)]
    if length is not None:
        place: Attributes = {
            "class": f"bar {kind}",
            "x": 0,
            "y": 3,
            "width": scale.across(length),
            "height": 14,
            "rx": 2,
        }
        drawn.append(element("rect", place))
    ends = [number(end) for end in interval or ()]
    if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
        low, high = scale.across(ends[0]), scale.across(ends[1])
        drawn.append(segment("whisker", low, 10, high, 10))
        drawn += [segment("whisker", end, 6, end, 14) for end in (low, high)]
    return picture(20, label, "bars", *drawn)


def answer_shift(label: str, *, before: object, after: object, values: Sequence[Number]) -> Markup:
    """Draw the expected answer before and after on the item's own scale, one tick per option."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    scale = Axis(low, high if high > low else low + 1.0, tuple(values))
    # Half a mark of room at either end, or the extreme answers would be cut.
    inner = [segment("base", "0%", 9, "100%", 9)]
    inner += [segment("grid", scale.across(value), 5, scale.across(value), 13) for value in values]
    start, end = number(before), number(after)
    if start is not None and end is not None:
        inner.append(segment("shift", scale.across(start), 9, scale.across(end), 9))
    if start is not None:
        inner.append(dot("before", scale.across(start), 9, 4))
    if end is not None:
        inner.append(dot("after", scale.across(end), 9, 4.5))
    return picture(18, label, "answers", *inner)


@dataclass(frozen=True)
class Series:
    """Hold a named curve: ``points`` are (x, y) with y None where there is no value; ``kind`` is its class."""

    kind: str
    points: Sequence[tuple[Number, object]]


Reference = tuple[str, Number]


def _rungs(up: Axis, level: Callable[[Number], float]) -> list[Markup]:
    """Draw the ticks of the upright axis: a line across and its label."""
    drawn = []
    for tick in up.ticks:
        drawn.append(segment("grid", "0%", level(tick), "100%", level(tick)))
        drawn.append(element("text", {"x": -8, "y": level(tick) + 4, "text_anchor": "end"}, up.label(tick)))
    return drawn


def _frame(top: float, tall: float) -> Attributes:
    """Frame the place of strokes, in thousandths of the plane's width and height."""
    return {
        "x": 0, "y": top, "width": "100%", "height": tall,
        "viewBox": "0 0 1000 1000", "preserveAspectRatio": "none", "overflow": "visible",
    }  # fmt: skip


def curves(series: Sequence[Series], references: Mapping[str, Reference], label: str) -> Markup:
    """Draw curves over evaluations; ``references``: horizontal lines by class, with their words and heights."""
    height, top, bottom = 300, 16.0, 26.0
    tall = height - top - bottom
    up = axis([min(y, ceiling(series, references)) for y in _heights(series, references)], ceiling=0.0)
    right = axis([x for line in series for x, _ in line.points], ceiling=0.0)
    right = Axis(0.0, max([x for line in series for x, _ in line.points], default=1.0) or 1.0, right.ticks)

    def level(value: Number) -> float:
        return top + tall * (1 - up.part(value))

    drawn = _rungs(up, level)
    for tick in right.ticks:
        if tick <= right.high:
            place: Attributes = {"x": right.across(tick), "y": height - 6, "text_anchor": "middle"}
            drawn.append(element("text", place, right.label(tick)))
    for kind, (_, value) in references.items():
        drawn.append(segment(f"line {kind}", "0%", level(value), "100%", level(value)))
    frame = _frame(top, tall)
    strokes = [stroke for line in series for stroke in _strokes(line, right, up)]
    drawn.append(element("svg", frame, *strokes))
    for line in series:
        places = [(x, y) for x, raw in line.points if (y := number(raw)) is not None]
        if places:
            x, y = places[-1]
            drawn.append(dot(f"end {line.kind}", right.across(x), level(y), 4))
    drawn += _reference_words(references, level)
    return picture(height, label, "curves", *drawn)


def _heights(series: Sequence[Series], references: Mapping[str, Reference]) -> list[float]:
    heights = [y for line in series for _, raw in line.points if (y := number(raw)) is not None]
    return [*heights, *(float(y) for _, y in references.values())]


def ceiling(series: Sequence[Series], references: Mapping[str, Reference]) -> float:
    """Choose where a chart of curves ends at the top: three times the highest of all but the medians.

    One wild generation would otherwise press everything that matters onto the ground line.
    """
    telling = _heights([line for line in series if line.kind != "median"], references)
    highest = max(telling, default=0.0)
    return 3 * highest if highest > 0 else math.inf


def cut_off(series: Sequence[Series], references: Mapping[str, Reference]) -> bool:
    """Tell whether some value lies above the chart."""
    return max(_heights(series, references), default=0.0) > ceiling(series, references)


def _reference_words(references: Mapping[str, Reference], level: Callable[[Number], Number]) -> list[Markup]:
    """Write the words of the horizontal lines at their right end: above, or below where two lines are near."""
    written, taken = [], -math.inf
    for kind, (text, value) in sorted(references.items(), key=lambda entry: level(entry[1][1])):
        height = level(value)
        y = height - 5 if height - taken > 20 else height + 14
        taken = height
        at: Attributes = {"class": f"said {kind}", "x": "100%", "y": y, "text_anchor": "end"}
        written.append(element("text", at, text))
    return written


def _strokes(line: Series, right: Axis, up: Axis) -> list[Markup]:
    """Draw the unbroken pieces of a curve, in thousandths of the frame."""
    pieces: list[list[str]] = [[]]
    for x, raw in line.points:
        y = number(raw)
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{1000 * right.part(x):.1f},{1000 * (1 - up.part(y)):.1f}")
    return [
        element("polyline", {"class": f"line {line.kind}", "points": " ".join(piece)})
        for piece in pieces
        if len(piece) > 1
    ]


@dataclass(frozen=True)
class Mark:
    """Hold one place in a scatter: its kind of mark (``mark``) and the words beside it."""

    kind: str
    x: Number
    y: Number
    said: str


# The narrowest a scatter is drawn, in pixels: words that have room there have it in any wider column.
NARROWEST = 250.0
Box = tuple[float, float, float, float]


def scatter(
    marks: Sequence[Mark], right: Axis, up: Axis, label: str, *, line: Sequence[tuple[Number, object]] = ()
) -> Markup:
    """Draw marks in the plane, words beside those that have room for them, and a line through some places."""
    # Below the ground line there is room for words of a mark on it, and then for the ticks.
    height, top, bottom = 340, 16.0, 42.0
    tall = height - top - bottom

    def level(value: Number) -> float:
        return top + tall * (1 - up.part(value))

    drawn = _rungs(up, level)
    for tick in right.ticks:
        drawn.append(segment("grid", right.across(tick), top, right.across(tick), top + tall))
        at: Attributes = {"x": right.across(tick), "y": height - 6, "text_anchor": "middle"}
        drawn.append(element("text", at, right.label(tick)))
    frame = _frame(top, tall)
    drawn.append(element("svg", frame, *_strokes(Series("front", line), right, up)))
    for one in marks:
        place = right.across(one.x), level(one.y)
        drawn.append(square(*place) if one.kind == "even" else dot(one.kind, *place, 5))
    drawn += _words_beside([(one, NARROWEST * right.part(one.x), level(one.y)) for one in marks], right)
    return picture(height, label, "scatter", *drawn)


def _words_beside(placed: Sequence[tuple[Mark, float, float]], right: Axis) -> list[Markup]:
    """Write the words of the marks that have room for them, the first marks first."""
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for _, x, y in placed]
    written = []
    for one, x, y in placed:
        width, part = 7.0 * len(one.said), right.part(one.x)
        anchor = "start" if part < 0.2 else "end" if part > 0.8 else "middle"
        left = x - {"start": 4, "end": width - 4, "middle": width / 2}[anchor]
        for base in (y - 10, y + 18):
            box = (left, base - 11, left + width, base + 3)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                shift = {"start": -4, "end": 4, "middle": 0}[anchor]
                at: Attributes = {
                    "class": "said", "x": right.across(one.x), "dx": shift, "y": base, "text_anchor": anchor,
                }  # fmt: skip
                written.append(element("text", at, one.said))
                break
    return written


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
