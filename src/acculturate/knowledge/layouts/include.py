"""INCLUDE: questions of local exams in 44 languages, about a country or region or about none."""

from __future__ import annotations

from acculturate.files.datafile import Node
from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import Layout, digest, optional_label, whole_number, words
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown

_OPTIONS = tuple(f"option_{place}" for place in "abcd")


def _question(row: Row) -> Question:
    text, options = words(row.cell("question")), _options(row)
    # Questions on mathematics, say, name the country whose exam they are from, and are not about it.
    anywhere = "agnostic" in optional_label(row, "regional_feature").casefold()
    country, topic = optional_label(row, "country"), optional_label(row, "subject")
    return Question(
        id=digest(optional_label(row, "language"), country, topic, text, options),
        text=text,
        options=options,
        right=_place(row.cell("answer"), len(options)),
        country="" if anywhere else country,
        topic=topic,
    )


def _options(row: Row) -> tuple[str, ...]:
    """Read four options, from columns of their own or from one with a list, which an older edition has."""
    if row.spelling("choices") is None:
        return tuple(words(row.cell(column)) for column in _OPTIONS)
    cells = row.cell("choices").rows()
    if len(cells) != len(_OPTIONS):
        row.fail(f"expected {len(_OPTIONS)} choices, found {len(cells)}")
    return tuple(words(cell) for cell in cells)


def _place(cell: Node, count: int) -> int:
    """Read the place of the right option, from 0; in a CSV it is text."""
    text = cell.value.strip() if isinstance(cell.value, str) else ""
    place = int(text) if text in tuple("0123456789") else whole_number(cell.value)
    if place is None or not 0 <= place < count:
        cell.fail(f"expected the place of the right option, 0 to {count - 1}, found {shown(cell.value)}")
    return place


LAYOUT = Layout(
    "INCLUDE",
    TaskKind.CHOICE,
    ("question", *(f"{column}|choices" for column in _OPTIONS), "answer", "country", "subject"),
    _question,
)
