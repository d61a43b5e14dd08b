"""SVG elements as escaped text, and the marks that charts are made of.

Positions along the width are percentages: a chart fills whatever column it stands in while its marks and its
words keep their size. Every attribute and every text is escaped. Colours come from classes alone, so that a
page with a strict content security policy needs no inline styles.
"""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup, escape

from acculturate.report.numbers import Number

Attributes = Mapping[str, str | Number]


def element(name: str, attributes: Attributes, *children: Markup | str) -> Markup:
    """Write one element, everything escaped; ``_`` in attribute names stands for ``-``."""
    opening = "".join(f' {key.replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{opening}>") + Markup("").join(escape(child) for child in children) + Markup(f"</{name}>")


def _plain(value: str | Number) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """Write a share of the width, 0 to 1, as a position: ``12.5%``."""
    return f"{_plain(100 * share)}%"


def picture(height: int, label: str, kind: str, *children: Markup) -> Markup:
    """Frame a fluid drawing; ``label`` is what a screen reader says in its place."""
    frame: Attributes = {
        "class": f"chart {kind}",
        "width": "100%",
        "height": height,
        "role": "img",
        "aria_label": label,
    }
    return element("svg", frame, *children)


def segment(kind: str, x1: str, y1: Number, x2: str, y2: Number) -> Markup:
    """Draw a straight line; ``x1`` and ``x2`` in percent of the width."""
    return element("line", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def dot(kind: str, x: str, y: Number, radius: Number) -> Markup:
    """Draw a filled circle."""
    return element("circle", {"class": kind, "cx": x, "cy": y, "r": radius})


def diamond(x: str, y: Number) -> Markup:
    """Draw the diamond that marks a target."""
    # A nested drawing carries the shape: a path cannot take percentages itself.
    shape = element("path", {"class": "target", "d": "M0-8L6 0L0 8L-6 0Z"})
    return element("svg", {"x": x, "y": y, "overflow": "visible", "width": 1, "height": 1}, shape)


def square(x: str, y: Number) -> Markup:
    """Draw the square that marks an equal."""
    shape = element("rect", {"class": "even", "x": -4.5, "y": -4.5, "width": 9, "height": 9})
    return element("svg", {"x": x, "y": y, "overflow": "visible", "width": 1, "height": 1}, shape)


def mark(kind: str) -> Markup:
    """Draw the sign of one kind of mark for a legend: before, after, target, range, beaten, even, or a curve's name."""
    centre = "50%"
    shapes = {
        "before": [dot("before", centre, 8, 5)],
        "after": [dot("after", centre, 8, 6)],
        "target": [diamond(centre, 8)],
        "range": [element("rect", {"class": "range", "x": 1, "y": 3, "width": 20, "height": 10, "rx": 3})],
        "beaten": [dot("beaten", centre, 8, 5)],
        "even": [square(centre, 8)],
    }
    drawn = shapes.get(kind, [segment(f"line {kind}", "0%", 8, "100%", 8)])
    return element("svg", {"class": "mark", "width": 22, "height": 16, "aria_hidden": "true"}, *drawn)
