"""Rows of a table by their columns, whatever file it is in: CSV, TSV, JSON, JSON Lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from acculturate.errors import FileError, first_line
from acculturate.files.datafile import Node, read_text
from acculturate.files.tables import TABLE_MIB, check_width, csv_rows, table_lines
from acculturate.legible import shown


@dataclass(frozen=True)
class Row:
    """Hold one row of a table with its place; a reading that fails is a ``UserError`` naming the place.

    Parameters
    ----------
    file, at
        Where it stands, like ``questions.csv`` and ``line 3``.
    cells
        What it holds, by column.
    """

    file: str
    at: str
    cells: Mapping[str, object]

    def fail(self, problem: str) -> NoReturn:
        """Refuse the row, naming its place."""
        raise FileError(f"{self.file}, {self.at}: {problem}.")

    def spelling(self, column: str) -> str | None:
        """Find the name that a column has here, of several separated by ``|``; None where it has none of them."""
        return next((name for name in column.split("|") if name in self.cells), None)

    def cell(self, column: str) -> Node:
        """Read the cell of a column, which may be given in several spellings (``answer_idx|answer``)."""
        name = self.spelling(column)
        if name is None:
            self.fail(f"the column '{column.partition('|')[0]}' is missing")
        return Node(self.file, f"{self.at}, {name}", self.cells[name])


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a .csv, .tsv, .json, .jsonl or .parquet file; raises ``UserError`` with file and place.

    A cell of CSV is text, ``NA`` included. The other kinds hold what they hold: text, numbers, lists, nothing.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".json": _json, ".jsonl": _json, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"{path} has the ending '{path.suffix}'; give a .csv, .tsv, .json, .jsonl or .parquet file.")
    rows = list(reader(path))
    if not rows:
        raise FileError(f"{path}: expected at least one row, found none.")
    return rows


def text_rows(text: str, name: str) -> list[Row]:
    """Read the rows of a CSV text that has a name instead of a path."""
    lines = list(table_lines(text, name))
    header = lines[0][1] if lines else []
    for line, cells in lines[1:]:
        check_width(name, line, cells, header)
    return list(_by_column(name, lines))


def _csv(path: Path) -> Iterator[Row]:
    yield from _by_column(str(path), csv_rows(path))


def _by_column(name: str, lines: list[tuple[int, list[str]]]) -> Iterator[Row]:
    header = lines[0][1] if lines else []
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if twice:
        raise FileError(f"{name}, line {lines[0][0]}: the column '{twice}' stands twice; keep one.")
    for line, cells in lines[1:]:
        yield Row(name, f"line {line}", dict(zip(header, cells, strict=True)))


def _json(path: Path) -> Iterator[Row]:
    """Read a list of objects, or an object a line: the hub calls both ``.json``."""
    text = read_text(path, TABLE_MIB)
    if text.lstrip().startswith("["):
        found = enumerate(_decoded(text, str(path)), start=1)
        places = ((f"row {number}", value) for number, value in found)
    else:
        # Not splitlines: a JSON text may hold U+2028, at which it would cut.
        lines = enumerate(text.split("\n"), start=1)
        places = ((f"line {line}", _decoded(part, f"{path}, line {line}")) for line, part in lines if part.strip())
    yield from _objects(str(path), places)


def _decoded(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_entries)
    # Also: a name that stands twice, a number of thousands of digits, very deep nesting.
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else first_line(error)
        raise FileError(f"{place}: not valid JSON ({why}).") from None


def _entries(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shown(twice)} stands twice")
    return entries


def _objects(name: str, places: Iterable[tuple[str, object]]) -> Iterator[Row]:
    for at, value in places:
        if not isinstance(value, dict):
            raise FileError(f"{name}, {at}: expected an object with named entries, found {shown(value)}.")
        yield Row(name, at, value)


def _parquet(path: Path) -> Iterator[Row]:
    # Only users with such files pay for the import.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with path.open("rb") as file:
            values = ParquetFile(file).read().to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise FileError(f"Cannot read {path}: {why}.") from None
    yield from _objects(str(path), ((f"row {number}", value) for number, value in enumerate(values, start=1)))
