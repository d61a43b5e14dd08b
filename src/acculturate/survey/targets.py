"""Published dimension scores of countries: what a model is to be aligned with.

A *target* is one country's scores in points; a *target set* is a named, versioned table of them with its
provenance. Nothing is filled in: a score that a set lacks stays missing, and a country that cannot be told
from another is refused. ``docs/targets.md`` tells where the built-in figures come from and what they are not.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from acculturate.errors import FileError, SettingError, setting
from acculturate.files.datafile import BOUNDS
from acculturate.files.tables import MISSING, cell_number, check_width, is_number, table_lines
from acculturate.legible import shown
from acculturate.survey.countries import (
    countries,
    country_codes,
    looks_like_number,
    matrix_code,
    nearest_countries,
    plain_spelling,
)

VSM_DIMENSIONS = ("pdi", "idv", "mas", "uai", "lto", "ivr")
"""Dimensions a table is read for unless the caller names others."""

_CODE_COLUMNS = ("iso3", "code", "ctr")
_COLUMN_NAMES = {"ltowvs": "lto"}


@dataclass(frozen=True)
class Target:
    """Hold one country's scores.

    Parameters
    ----------
    country
        The name to show.
    code
        ISO 3166 alpha-3, or a documented code of our own for regions and language groups.
    target_set
        Id of the set the scores come from.
    scores
        Dimension id to points (nominally 0 to 100, published values run to 112), None where missing.
    provenance
        Where the figures were published.
    """

    country: str
    code: str
    target_set: str
    scores: Mapping[str, float | None] = field(hash=False)
    provenance: str

    def vector(self, dimension_ids: Sequence[str]) -> Float[np.ndarray, " dims"]:
        """Return scores in points in the order of the ids, NaN where missing.

        Raises ``UserError`` when the target has none of the dimensions: there would be nothing to align with.
        """
        scores = [self.scores.get(name) for name in dimension_ids]
        if all(value is None for value in scores):
            raise FileError(
                f"{self.country} ({self.code}) in target set {self.target_set} has no score on any of "
                f"{_listing(dimension_ids)} (it has {_listing(self.present) or 'none'}): "
                "choose another target set or instrument."
            )
        return np.array([np.nan if value is None else value for value in scores], dtype=np.float64)

    @property
    def present(self) -> tuple[str, ...]:
        """List the dimensions that have a score."""
        return tuple(name for name, value in self.scores.items() if value is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """List the dimensions of the set on which this country has no score."""
        return tuple(name for name, value in self.scores.items() if value is None)


@dataclass(frozen=True)
class TargetSet:
    """Hold a named, versioned table of targets.

    Parameters
    ----------
    id, name
        The id by which a set is asked for, and the name to show.
    version
        Version of the published table, or ``sha256:`` and the start of the hash for a user's file.
    instrument
        Id of the instrument whose dimensions the scores stand for.
    provenance
        Where the table was published.
    targets
        The rows, in the order of the table.
    matrix_codes
        Whether the table was published under three-letter codes of its own, so that a code which ISO 3166 reads
        differently is ambiguous.
    """

    id: str
    name: str
    version: str
    instrument: str
    provenance: str
    targets: tuple[Target, ...]
    matrix_codes: bool = False

    def find(self, query: str) -> Target:
        """Find a country by ISO code, name or common alias; case and accents do not matter.

        In a set of regions only, a country gets the region it is part of; the target then carries the name
        and code of the region.

        Raises
        ------
        UserError
            For an unknown country (naming the nearest), for an ambiguous one (naming both readings) and for one
            that this set lacks (naming the sets that have it).
        """
        own = self._labelled(query)
        if own is not None:
            return own
        codes = country_codes(query, matrix_codes=self.matrix_codes)
        if len(codes) == 0:
            self._unknown(query)
        if len(codes) > 1:
            raise SettingError(
                f"Country {query!r} can mean {' or '.join(countries()[code].unambiguous for code in codes)}: "
                "write one of these instead."
            )
        target = self.row(codes[0])
        if target is None:
            self._lacking(codes[0])
        return target

    def _labelled(self, query: str) -> Target | None:
        """Return the row of a user's own group, which the table of countries does not know."""
        if country_codes(query, matrix_codes=self.matrix_codes):
            return None
        key = plain_spelling(query)
        return next((t for t in self.targets if key in (plain_spelling(t.code), plain_spelling(t.country))), None)

    def row(self, code: str) -> Target | None:
        """Return the row of a country, or in a set of regions only that of its region; None where there is none."""
        by_code = {target.code: target for target in self.targets}
        table = countries()
        keys = [code]
        # Beside rows of single countries a region would be a substitute that nobody asked for.
        if all(key in table and table[key].members for key in by_code):
            keys += [key for key in by_code if code in table[key].members]
        return next((by_code[key] for key in keys if key in by_code), None)

    def _unknown(self, query: str) -> NoReturn:
        near = nearest_countries(query, [target.country for target in self.targets])[:3]
        hint = f"did you mean {' or '.join(near)}?" if near else "give a name or an ISO 3166 code."
        raise SettingError(f"No country is called {shown(query)} here: {hint}")

    def _lacking(self, code: str) -> NoReturn:
        name = countries()[code].name
        others = [
            other if row.code == code else f"{other} (as part of {row.country})"
            for other, row in _rows_elsewhere(code, self.id)
        ]
        hint = (
            f"these sets have it: {', '.join(others)}."
            if others
            else "no built-in set has it; give a CSV file of your own (docs/targets.md)."
        )
        raise SettingError(f"Target set {self.id} has no scores for {name} ({code}): {hint}")


def builtin_target_sets() -> dict[str, str]:
    """List the ids of the built-in sets, each with a line on what it is."""
    return {name: entry["summary"] for name, entry in _catalogue().items()}


def load_target_set(
    name_or_path: str | Path, dimensions: Sequence[str] = VSM_DIMENSIONS, *, instrument: str = "vsm2013"
) -> TargetSet:
    """Load a built-in set by its id, or a user's CSV file.

    The file is UTF-8 with one header line, separated by commas, semicolons or tabs. Columns, in any order and
    case: ``country`` and/or one of ``iso3`` or ``code`` (``ctr`` for the codes of the 2015 matrix); at least
    one of ``dimensions``; optionally ``provenance``. Empty, ``NA`` and ``#NULL!`` cells are missing.
    ``dimensions`` and ``instrument`` (its id) describe a user's file only. Raises UserError with file, line
    and column.
    """
    key = str(name_or_path)
    if key in _catalogue():
        return _builtin(key)
    path = Path(name_or_path)
    if path.is_dir():
        raise FileError(f"Target set {key!r} is a directory; give a CSV file in it, or a built-in id.")
    if not path.is_file():
        near = difflib.get_close_matches(key, _catalogue(), n=1, cutoff=0.6)
        raise FileError(
            f"Target set {key!r} is neither built in ({_listing(list(_catalogue()))}) nor an existing file: "
            + (f"did you mean {near[0]}?" if near else "give a built-in id or the path of a CSV file.")
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: the target file cannot be read ({error.strerror}).") from error
    return TargetSet(
        id=path.name,
        name=path.stem,
        version=f"sha256:{hashlib.sha256(raw).hexdigest()[:12]}",
        instrument=instrument,
        provenance=f"user's file {path.name}",
        targets=_Table(str(path), path.name, tuple(dimensions), f"user's file {path.name}").read(raw),
    )


def find_target(
    country: str, target_set: str | Path = "hofstede-2015", dimensions: Sequence[str] = VSM_DIMENSIONS
) -> Target:
    """Find one country's scores in one set; see ``TargetSet.find`` and ``load_target_set``.

    A built-in set that has none of ``dimensions`` is refused before any country is looked up.
    """
    table = load_target_set(target_set, dimensions)
    if str(target_set) in _catalogue() and not set(dimensions) & set(table.targets[0].scores):
        own = setting("targets", "mine.csv")
        raise SettingError(
            f"No published scores on {_listing(dimensions)} are built in; bring your own with {own}, "
            f"a CSV with the columns {', '.join(('country', *dimensions))} (docs/targets.md says where to find scores)."
        )
    return table.find(country)


def explain_missing(target: Target) -> str | None:
    """Name the dimensions a target lacks, and the built-in sets that have them; None where it lacks none."""
    if not target.missing:
        return None
    own, substitutes = [], []
    for other, row in _rows_elsewhere(target.code, target.target_set):
        if set(target.missing) & set(row.present):
            (own if row.code == target.code else substitutes).append((other, row.country))
    parts = (
        [f"{' and '.join(other for other, _ in own)} {'has' if len(own) == 1 else 'have'} scores there"] if own else []
    )
    parts += [f"{other} offers those of {region} as a substitute" for other, region in substitutes]
    hint = "; ".join(parts) or "no built-in set has them"
    return f"{target.country} in {target.target_set} has no score on {_listing(target.missing)}: {hint}."


def _data(name: str) -> bytes:
    return resources.files("acculturate.survey").joinpath("data", "targets", name).read_bytes()


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_data("sets.toml").decode())


@cache
def _builtin(name: str) -> TargetSet:
    entry = _catalogue()[name]
    file = f"{name}.csv"
    table = _Table(file, name, VSM_DIMENSIONS, entry["provenance"])
    return TargetSet(
        id=name,
        name=entry["name"],
        version=entry["version"],
        instrument="vsm2013",
        provenance=entry["provenance"],
        targets=table.read(_data(file)),
        matrix_codes=entry["matrix_codes"],
    )


def _rows_elsewhere(code: str, here: str) -> Iterator[tuple[str, Target]]:
    """List built-in sets, other than the one named, that have a country or the region it is part of."""
    for other in _catalogue():
        row = _builtin(other).row(code) if other != here else None
        if row is not None:
            yield other, row


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names)


@dataclass(frozen=True)
class _Table:
    """Read one CSV file: ``where`` names it in errors, the other fields go into its targets."""

    where: str
    target_set: str
    dimensions: tuple[str, ...]
    provenance: str

    def read(self, raw: bytes) -> tuple[Target, ...]:
        rows = table_lines(self._decoded(raw), self.where)
        line, header = next(rows, (1, []))
        columns = self._columns(line, header)
        targets: list[Target] = []
        line_of: dict[str, int] = {}
        for line, cells in rows:
            check_width(self.where, line, cells, columns)
            target = self._target(line, dict(zip(columns, cells, strict=True)))
            if target.code in line_of:
                before = line_of[target.code]
                self._fail(line, f"{target.country} ({target.code}) stands on line {before} already; keep one row")
            line_of[target.code] = line
            targets.append(target)
        if not targets:
            self._fail(line, "expected at least one country under the header, found none")
        return tuple(targets)

    def _fail(self, line: int, problem: str, column: str | None = None) -> NoReturn:
        at = f"{self.where}, line {line}" + (f", column {column}" if column else "")
        raise FileError(f"{at}: {problem}.")

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self._fail(line, f"expected UTF-8 text, found the byte 0x{raw[error.start]:02x}; save the file as UTF-8")

    def _columns(self, line: int, header: list[str]) -> list[str]:
        columns = [_COLUMN_NAMES.get(name, name) for name in (cell.casefold() for cell in header)]
        dimensions = {name.casefold(): name for name in self.dimensions}
        wanted = f"country, iso3 or code, then dimensions ({_listing(self.dimensions)}), optionally provenance"
        if not columns or any(is_number(name) for name in columns):
            self._fail(line, f"expected a header naming the columns {wanted}, found none")
        for name in columns:
            if name not in {"country", "provenance", *_CODE_COLUMNS, *dimensions}:
                self._fail(line, f"the column {name!r} is not known; expected {wanted}")
            if columns.count(name) > 1:
                self._fail(line, f"the column {name!r} appears more than once; keep one")
        codes = [name for name in columns if name in _CODE_COLUMNS]
        if not codes and "country" not in columns:
            self._fail(line, f"no column names the country; expected {wanted}")
        if len(codes) > 1:
            self._fail(line, f"both {' and '.join(codes)} give a code; keep one of them")
        if not any(name in dimensions for name in columns):
            self._fail(line, f"no dimension has a column; expected one or more of {_listing(self.dimensions)}")
        return [dimensions.get(name, name) for name in columns]

    def _target(self, line: int, row: dict[str, str]) -> Target:
        country, code = self._identity(line, row)
        scores = {name: self._score(line, name, row.get(name, "")) for name in self.dimensions}
        if all(value is None for value in scores.values()):
            self._fail(line, f"{country} has no score on any dimension; give one or leave the row out")
        provenance = row.get("provenance") or self.provenance
        return Target(country, code, self.target_set, scores, provenance)

    def _score(self, line: int, column: str, cell: str) -> float | None:
        if cell.casefold() in MISSING:
            return None
        value = cell_number(cell)
        if value is None:
            expected = f"a finite number with a decimal point, {BOUNDS}, or empty, NA or #NULL! for missing"
            self._fail(line, f"expected {expected}, found {shown(cell)}", column)
        return value

    def _identity(self, line: int, row: dict[str, str]) -> tuple[str, str]:
        """Return the country's name and code; where a row has both they must agree."""
        column = next((name for name in _CODE_COLUMNS if name in row), "code")
        name, cell = row.get("country", ""), row.get(column, "")
        if not name and not cell:
            self._fail(line, "expected a country, found empty cells", "country" if "country" in row else column)
        by_name = country_codes(name, matrix_codes=False) if name else ()
        if not cell:
            return self._named(line, name, by_name)
        code = self._code(column, cell)
        if code is None:
            return self._own_group(line, column, row, by_name)
        # A group's running number would otherwise pass as the numeric code of a country.
        if (by_name and code not in by_name) or (name and not by_name and looks_like_number(cell)):
            self._fail(line, f"{cell!r} is {countries()[code].name}, but the country is {name!r}", column)
        return (countries()[code].name if by_name or not name else name), code

    def _named(self, line: int, name: str, codes: tuple[str, ...]) -> tuple[str, str]:
        """Return name and code of the only country that a name can mean."""
        if len(codes) > 1:
            choice = " or ".join(countries()[each].unambiguous for each in codes)
            self._fail(line, f"{name!r} can mean {choice}; write one of these", "country")
        if not codes:
            near = nearest_countries(name)
            hint = f"did you mean {near[0]}? " if near else ""
            advice = f"{hint}A group of your own needs a code of its own in a column named code"
            self._fail(line, f"no country is called {name!r}; {advice}", "country")
        return countries()[codes[0]].name, codes[0]

    def _own_group(self, line: int, column: str, row: dict[str, str], by_name: tuple[str, ...]) -> tuple[str, str]:
        """Return name and code of a group that is no country; its code must be none either."""
        name, cell = row.get("country", ""), row[column]
        if by_name or not name:
            kinds = "an ISO 3166 code (two or three letters, or three digits)"
            expected = f"the code of {countries()[by_name[0]].name}" if by_name else kinds
            self._fail(line, f"expected {expected}, found {cell!r}", column)
        if not any(c.isalpha() for c in cell):
            self._fail(
                line, f"{shown(cell)} is no country's number; give a group of your own a code with a letter", column
            )
        return name, cell

    @staticmethod
    def _code(column: str, cell: str) -> str | None:
        """Return the code of the country that a code cell means; None where it means none."""
        if column == "ctr":
            return matrix_code(cell)
        # The short aliases UK, KSA, UAE are codes in practice.
        return next(iter(country_codes(cell, matrix_codes=False)), None) if len(plain_spelling(cell)) <= 9 else None
