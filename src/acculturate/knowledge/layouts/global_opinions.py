"""GlobalOpinionQA: survey questions with the shares of each option in many countries.

Options and shares stand in the data as Python writes them. They are read as literals, which cannot do anything.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

from acculturate.files.datafile import Node
from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import EMPTY, Layout, LeftOutError, digest, nothing, optional_label, words
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown

_UNREADABLE = "the options or the shares cannot be read"
_MISFIT = "the shares do not fit the options"
_LONGEST = 200_000  # characters; a literal of millions takes minutes and gigabytes
# Pew asked two samples in some countries. The other ones ("Non-national sample") do not stand for the country.
_NATIONAL = " (Current national sample)"


def _question(row: Row) -> Question:
    text = words(row.cell("question"))
    options, shares = _options(row.cell("options")), _shares(row.cell("selections"))
    by_country = {_country(name, shares): _normalised(values, len(options)) for name, values in shares.items()}
    answered = {name: values for name, values in by_country.items() if values}
    if not answered:
        raise LeftOutError("no country has shares")
    return Question(
        id=digest(text, options, sorted(answered.items())),
        text=text,
        options=options,
        topic=optional_label(row, "source"),
        shares=answered,
    )


def _options(cell: Node) -> tuple[str, ...]:
    found = _literal(cell, "[", "]")
    if not isinstance(found, list) or not all(isinstance(value, str | int | float) for value in found):
        raise LeftOutError(_UNREADABLE)
    # The ends of a scale are text, and what is between them numbers.
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in found]
    return tuple(words(Node(cell.file, cell.at, text)) for text in texts)


def _shares(cell: Node) -> Mapping[str, object]:
    found = _literal(cell, "{", "}")
    if not isinstance(found, dict) or not all(isinstance(name, str) and name.strip() for name in found):
        raise LeftOutError(_UNREADABLE)
    return found


def _literal(cell: Node, first: str, last: str) -> object:
    """Read the literal between two brackets, around which ``defaultdict(...)`` may stand."""
    if isinstance(cell.value, dict | list):
        return cell.value
    if nothing(cell.value):
        raise LeftOutError(EMPTY)
    if not isinstance(cell.value, str):
        cell.fail(f"expected text like {first}...{last}, found {shown(cell.value)}")
    start, end = cell.value.find(first), cell.value.rfind(last)
    literal = cell.value[start : end + 1] if 0 <= start < end else ""
    try:
        return ast.literal_eval(literal) if len(literal) <= _LONGEST else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _country(name: str, names: Mapping[str, object]) -> str:
    """Name a country without a remark on its sample, where no other sample has that name."""
    bare = name.strip().removesuffix(_NATIONAL)
    return name.strip() if bare in names else bare


def _normalised(values: object, count: int) -> tuple[float, ...]:
    """Scale shares so that they sum to 1; empty where nobody was asked."""
    if not isinstance(values, list | tuple) or len(values) != count:
        raise LeftOutError(_MISFIT)
    numbers = [float(value) for value in values if type(value) in (int, float) and abs(value) < 1e9]
    if len(numbers) != count or min(numbers, default=0) < 0:
        raise LeftOutError(_MISFIT)
    total = math.fsum(numbers)
    return tuple(number / total for number in numbers) if total > 0 else ()


LAYOUT = Layout("GlobalOpinionQA", TaskKind.OPINIONS, ("question", "selections", "options"), _question)
