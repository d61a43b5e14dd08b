"""Requests with good replies, written for acculturate, on which it is seen how fluently a model writes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from acculturate.files.rows import text_rows

FLUENCY = "fluency"
"""Stands among the names of tasks for how a model writes."""


@dataclass(frozen=True)
class Specimen:
    """Hold an everyday request about nothing cultural, and a text that answers it well."""

    request: str
    text: str


def specimens() -> tuple[Specimen, ...]:
    """Read the requests and replies that come with the package."""
    text = resources.files("acculturate.knowledge").joinpath("data", "fluency.csv").read_text("utf-8")
    rows = text_rows(text, "fluency.csv")
    return tuple(Specimen(row.cell("request").text(), row.cell("text").text()) for row in rows)
