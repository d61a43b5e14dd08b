"""What a layout is, and the readings of cells that layouts share."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from acculturate.errors import FileError
from acculturate.files.datafile import Node
from acculturate.files.rows import Row
from acculturate.knowledge.task import Question, TaskKind
from acculturate.legible import shown
from acculturate.survey.formats import LABELS


class LeftOutError(Exception):
    """Leave out a row that is as published and cannot be asked, with a reason that many rows may share."""


LONGEST = 20_000
"""Characters that a question may have with its options."""

EMPTY = "a text is empty"
TOKENS = "a text has '<|' or '|>', which models read as control tokens"


@dataclass(frozen=True)
class Layout:
    """Describe how the rows of a benchmark are read.

    Parameters
    ----------
    name
        What a complaint calls it.
    kind
        What is measured.
    columns
        What every row has to have; spellings of one column are separated by ``|``.
    question
        Makes a question of a row. Raises ``LeftOutError`` where the row is as published but cannot be asked, and
        ``UserError`` where it is not of this layout.
    together
        How many rows make one group; groups of judgements only.
    """

    name: str
    kind: TaskKind
    columns: tuple[str, ...]
    question: Callable[[Row], Question]
    together: int = 1


def length(question: Question) -> int:
    """Count the characters of a question with its options."""
    return len(question.text) + sum(map(len, question.options))


def words(cell: Node) -> str:
    """Read a text that a model is to be shown; ``LeftOutError`` where there is none that it can be."""
    if nothing(cell.value):
        raise LeftOutError(EMPTY)
    try:
        return cell.text()
    except FileError:
        if isinstance(cell.value, str):
            raise LeftOutError(TOKENS) from None
        raise


def nothing(value: object) -> bool:
    """Tell whether a cell holds nothing: null, NaN, or a text of spaces."""
    if isinstance(value, str):
        return not value.split()
    return value is None or (isinstance(value, float) and math.isnan(value))


def label(cell: Node) -> str:
    """Read a name that need not be text: ids are numbers in some files."""
    number = whole_number(cell.value)
    return cell.text() if number is None else str(number)


def optional_label(row: Row, column: str) -> str:
    """Read a name that a row may lack; empty where it does."""
    return "" if row.spelling(column) is None or nothing(row.cell(column).value) else label(row.cell(column))


def whole_number(value: object) -> int | None:
    """Return a whole number, also where a table has made it 3.0; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A number of thousands of digits is no id or index, and Python refuses to write it.
    return int(value) if abs(value) < 2**63 and value == int(value) else None


def letter(cell: Node, count: int) -> int:
    """Read the place of an option given by its letter, A for the first."""
    letters = LABELS["letters"][:count]
    found = cell.value.strip().upper() if isinstance(cell.value, str) else ""
    if found not in letters:
        cell.fail(f"expected one of the letters {', '.join(letters)}, found {shown(cell.value)}")
    return letters.index(found)


def digest(*facts: object) -> str:
    """Compute a short name for some facts: the first twelve hexadecimal digits of their SHA-256."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
