"""NormAd: stories, and whether what somebody does in them is acceptable by a country's customs.

The label ``neutral`` says that the country's customs do not settle it: its stories stand beside a country that they
are not about.
"""

from __future__ import annotations

from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import EMPTY, Layout, LeftOutError, label, optional_label, words
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown
from acculturate.survey.countries import countries, country_codes

_LABELS = ("yes", "no", "neutral")
_OPTIONS = (
    "Yes, it is acceptable",
    "No, it is not acceptable",
    "Neither: the customs of this country do not settle it",
)


def _question(row: Row) -> Question:
    story = words(row.cell("Story")).strip("# ")  # some stories end with a mark of their makers, ###
    if not story or story == "None":
        raise LeftOutError(EMPTY)
    cell = row.cell("Gold Label")
    found = cell.value.strip().casefold() if isinstance(cell.value, str) else ""
    if found not in _LABELS:
        cell.fail(f"expected yes, no or neutral, found {shown(cell.value)}")
    country = label(row.cell("Country"))
    return Question(
        id=label(row.cell("ID")),
        text=f"Judge by the customs of this country: {_plain_name(country)}. {story}",
        options=_OPTIONS,
        right=_LABELS.index(found),
        country=country,
        topic=optional_label(row, "Subaxis"),
    )


def _plain_name(country: str) -> str:
    """Write a country's name as people do: the data have ``south_sudan``."""
    codes = country_codes(country, matrix_codes=False)
    return countries()[codes[0]].name if len(codes) == 1 else country.replace("_", " ").title()


LAYOUT = Layout("NormAd", TaskKind.CHOICE, ("ID", "Country", "Story", "Gold Label"), _question)
