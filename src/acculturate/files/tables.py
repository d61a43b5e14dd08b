"""CSV tables as spreadsheets write them: rows with their line numbers, cells that hold a number or nothing."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

from acculturate.errors import FileError
from acculturate.files.datafile import LARGEST, read_text

TABLE_MIB = 1024
"""The most that is read of a table."""

MISSING = frozenset({"", "na", "#null!"})
"""What a cell without a value holds, in lower case; #NULL! is what SPSS writes."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_number(cell: str) -> bool:
    """Tell whether a cell holds a number with a decimal point; ``float`` also takes "nan", "1_0" and other digits."""
    return _NUMBER.fullmatch(cell) is not None


def cell_number(cell: str) -> float | None:
    """Read the number in a cell; None where there is none, or one larger than ``LARGEST``."""
    number = float(cell) if is_number(cell) else math.nan
    return number if abs(number) <= LARGEST else None


def table_lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Split a CSV text into line numbers and stripped cells of every row that is not empty, the header first.

    The separator (comma, semicolon or tab) is the header's. Raises ``UserError`` with ``name`` and the line.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise FileError(f"{name}, line {reader.line_num}: not a CSV file ({error}).") from None


def check_width(name: str, line: int, cells: list[str], header: list[str]) -> None:
    """Refuse a row that has not as many cells as the header."""
    if len(cells) != len(header):
        raise FileError(f"{name}, line {line}: expected {len(header)} fields as in the header, found {len(cells)}.")


def csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Read line number and stripped cells of the header and of every row that is not empty, all of one length.

    The separator (comma, semicolon or tab) is the header's. Raises ``UserError`` with file and line.
    """
    rows = list(table_lines(read_text(path, TABLE_MIB), str(path)))
    if len(rows) < 2:
        raise FileError(f"{path}: expected a header line and at least one row below it.")
    for line, cells in rows[1:]:
        check_width(str(path), line, cells, rows[0][1])
    return rows
