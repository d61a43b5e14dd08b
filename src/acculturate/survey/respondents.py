"""Respondent-level data: a CSV file with a row a person and a column an item, and the texts of the items."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.errors import FileError, SettingError, setting
from acculturate.files.datafile import BOUNDS, LARGEST
from acculturate.files.tables import MISSING, csv_rows, is_number
from acculturate.legible import shown

_MISSING = MISSING | {"nan", "null"}


@dataclass(frozen=True, eq=False)
class Answers:
    """Hold people's answers to items.

    Parameters
    ----------
    items
        Ids of the items.
    table
        Whole numbers, NaN where a cell is empty or holds a code for no answer.
    codes
        The codes for no answer that occur.
    """

    items: tuple[str, ...]
    table: Float[np.ndarray, "people items"]
    codes: frozenset[str]


def read_texts(path: Path) -> dict[str, str]:
    """Read the questions of items from a CSV file with the columns item and text: item -> question."""
    rows = csv_rows(path)
    header = [cell.lower() for cell in rows[0][1]]
    if header.count("item") != 1 or header.count("text") != 1:
        raise FileError(f"{path}, line 1: expected a header with the columns item and text, found {','.join(header)}.")
    texts: dict[str, str] = {}
    for line, row in rows[1:]:
        item, text = row[header.index("item")], " ".join(row[header.index("text")].split())
        if not item or not text:
            raise FileError(f"{path}, line {line}: the item or its text is empty.")
        if "<|" in text or "|>" in text:
            raise FileError(
                f"{path}, line {line}: the text contains '<|' or '|>', which models read as control tokens."
            )
        if item in texts:
            raise FileError(f"{path}, line {line}: item '{item}' stands twice; keep one.")
        texts[item] = text
    return texts


def read_answers(path: Path, columns: Sequence[str] | None, codes: frozenset[str]) -> Answers:
    """Read people's answers from the columns of a CSV file (None: from all).

    ``codes``: what stands for no answer, as ``missing_code`` writes it. Raises ``UserError`` with file, line, column.
    """
    rows = csv_rows(path)
    header = rows[0][1]
    ids = header if columns is None else columns
    for item in ids:
        if header.count(item) != 1:
            problem = "stands more than once" if item in header else "does not exist"
            raise FileError(f"{path}, line 1: the column '{item}' {problem}; every item needs one column.")
        if not re.fullmatch(r"[\w-]+", item):
            raise FileError(
                f"{path}, line 1: the column '{item}' cannot name an item; use letters, digits, '_' and '-'."
            )
    if len(ids) < 3:
        raise FileError(f"{path}: expected at least three items, found {len(ids)}.")
    places = [header.index(item) for item in ids]
    occurring: set[str] = set()
    table = np.array(
        [
            [_answer(f"{path}, line {line}, column {header[c]}", row[c], codes, occurring) for c in places]
            for line, row in rows[1:]
        ]
    )
    for item, column in zip(ids, table.T, strict=True):
        if len(set(column[~np.isnan(column)])) < 2:
            raise FileError(f"{path}, column {item}: everyone gave the same answer or none; leave this item out.")
    if len(table) <= len(ids):
        raise FileError(f"{path}: {len(table)} people for {len(ids)} items; expected more people than items.")
    return Answers(tuple(ids), table, frozenset(occurring))


def _answer(place: str, cell: str, codes: frozenset[str], occurring: set[str]) -> float:
    """Read one cell, NaN for no answer; a code that it holds is added to those that occur."""
    if cell.lower() in codes:
        occurring.add(cell.lower())
        return math.nan
    if cell.lower() in _MISSING:
        return math.nan
    value = float(cell) if is_number(cell) else math.nan
    code = f"{value:.0f}"
    if value.is_integer() and code in codes:
        occurring.add(code)
        return math.nan
    if not value.is_integer() or abs(value) > LARGEST:
        raise FileError(
            f"{place}: expected a whole number {BOUNDS} or nothing, found {shown(cell)}; if it stands for no answer, "
            f"name it with {setting('missing')}."
        )
    return value


def missing_code(code: int | str) -> str:
    """Write a code as cells are compared with it: words in lower case, numbers as 9, however they are written."""
    text = str(code).strip().lower()
    if not is_number(text):
        return text
    number = float(text)
    # Larger ones than this are not told apart as floating-point numbers.
    if not number.is_integer() or abs(number) > 1e15:
        raise SettingError(
            f"{setting('missing')} names {shown(text)}; expected whole numbers of up to 15 digits, or words."
        )
    return f"{number:.0f}" if number else "0"
