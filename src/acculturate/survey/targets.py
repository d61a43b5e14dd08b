"""Countries and their published dimension scores: what a model is to be aligned with.

A *target* is one country's scores in points; a *target set* is a named, versioned table of them with its
provenance. Nothing is filled in: a score that a set lacks stays missing, and a country that cannot be told
from another is refused. ``docs/targets.md`` tells where the built-in figures come from and what they are not.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError, setting
from acculturate.files.datafile import BOUNDS, MISSING, cell_number, is_number, shown

VSM_DIMENSIONS = ("pdi", "idv", "mas", "uai", "lto", "ivr")
"""Dimensions a table is read for unless the caller names others."""

_CODE_COLUMNS = ("iso3", "code", "ctr")
_COLUMN_NAMES = {"ltowvs": "lto"}
# Numeric codes as spreadsheets leave them: 4 or 4.0 for 004.
_NUMERIC = re.compile(r"0*(\d{1,3})(\.0+)?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """One country's scores.

    ``code``: ISO 3166 alpha-3, or a documented code of our own for regions and language groups. ``scores``:
    dimension id to points (nominally 0..100, published values run to 112), None where missing.
    """

    country: str
    code: str
    target_set: str
    scores: Mapping[str, float | None] = field(hash=False)
    provenance: str

    def vector(self, dimension_ids: Sequence[str]) -> Float[np.ndarray, " dims"]:
        """Scores in points in the order asked for, NaN where missing.

        Raises UserError when the target has none of the dimensions: there would be nothing to align with.
        """
        found = [self.scores.get(name) for name in dimension_ids]
        if all(value is None for value in found):
            raise UserError(
                f"{self.country} ({self.code}) in target set {self.target_set} has no score on any of "
                f"{_listing(dimension_ids)} (it has {_listing(self.present) or 'none'}): "
                "choose another target set or instrument."
            )
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    @property
    def present(self) -> tuple[str, ...]:
        """Dimensions that have a score."""
        return tuple(name for name, value in self.scores.items() if value is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Dimensions of the set on which this country has no score."""
        return tuple(name for name, value in self.scores.items() if value is None)


@dataclass(frozen=True)
class TargetSet:
    """A table of targets.

    ``version``: of the published table, or ``sha256:`` and the start of the hash for a user's file.
    ``instrument``: id of the instrument whose dimensions the scores stand for. ``matrix_codes``: this table
    was published under three-letter codes of its own, so a code that ISO 3166 reads differently is ambiguous.
    """

    id: str
    name: str
    version: str
    instrument: str
    provenance: str
    targets: tuple[Target, ...]
    matrix_codes: bool = False

    def find(self, query: str) -> Target:
        """The target of a country given by ISO code, name or common alias; case and accents do not matter.

        In a set of regions only, a country gets the region it is part of; the target then carries the name
        and code of the region. Raises UserError for an unknown country (naming the nearest), for an ambiguous
        one (naming both readings) and for one that this set lacks (naming the sets that have it).
        """
        own = self._labelled(query)
        if own is not None:
            return own
        codes = _resolve(query, matrix_codes=self.matrix_codes)
        if len(codes) == 0:
            self._unknown(query)
        if len(codes) > 1:
            raise UserError(
                f"Country {query!r} can mean {' or '.join(_unambiguous(code) for code in codes)}: "
                "write one of these instead."
            )
        target = self._row(codes[0])
        if target is None:
            self._lacking(codes[0])
        return target

    def _labelled(self, query: str) -> Target | None:
        """The row of a user's own group, which the table of countries does not know."""
        if _resolve(query, matrix_codes=self.matrix_codes):
            return None
        key = _normal(query)
        return next((t for t in self.targets if key in (_normal(t.code), _normal(t.country))), None)

    def _row(self, code: str) -> Target | None:
        by_code = {target.code: target for target in self.targets}
        known = _countries()
        keys = [code]
        # Beside rows of single countries a region would be a substitute that nobody asked for.
        if all(key in known and known[key].members for key in by_code):
            keys += [key for key in by_code if code in known[key].members]
        return next((by_code[key] for key in keys if key in by_code), None)

    def _unknown(self, query: str) -> NoReturn:
        names = _spellings() | {_name_key(t.country): t.country for t in self.targets}
        near = dict.fromkeys(names[key] for key in difflib.get_close_matches(_name_key(query), names, n=5, cutoff=0.6))
        hint = f"did you mean {' or '.join(list(near)[:3])}?" if near else "give a name or an ISO 3166 code."
        raise UserError(f"No country is called {shown(query)} here: {hint}")

    def _lacking(self, code: str) -> NoReturn:
        name = _countries()[code].name
        others = [
            other if row.code == code else f"{other} (as part of {row.country})"
            for other, row in _rows_elsewhere(code, self.id)
        ]
        hint = (
            f"these sets have it: {', '.join(others)}."
            if others
            else "no built-in set has it; give a CSV file of your own (docs/targets.md)."
        )
        raise UserError(f"Target set {self.id} has no scores for {name} ({code}): {hint}")


def builtin_target_sets() -> dict[str, str]:
    """Ids of the built-in sets, each with a line saying what it is."""
    return {name: entry["summary"] for name, entry in _catalogue().items()}


def load_target_set(
    name_or_path: str | Path, dimensions: Sequence[str] = VSM_DIMENSIONS, *, instrument: str = "vsm2013"
) -> TargetSet:
    """A built-in set by its id, or a user's CSV file.

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
        raise UserError(f"Target set {key!r} is a directory; give a CSV file in it, or a built-in id.")
    if not path.is_file():
        near = difflib.get_close_matches(key, _catalogue(), n=1, cutoff=0.6)
        raise UserError(
            f"Target set {key!r} is neither built in ({_listing(list(_catalogue()))}) nor an existing file: "
            + (f"did you mean {near[0]}?" if near else "give a built-in id or the path of a CSV file.")
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the target file cannot be read ({error.strerror}).") from error
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
    """One country's scores in one set; see ``TargetSet.find`` and ``load_target_set``.

    A built-in set that has none of ``dimensions`` is refused before any country is looked up.
    """
    found = load_target_set(target_set, dimensions)
    if str(target_set) in _catalogue() and not set(dimensions) & set(found.targets[0].scores):
        own = setting("targets", "mine.csv")
        raise UserError(
            f"No published scores on {_listing(dimensions)} are built in; bring your own with {own}, "
            f"a CSV with the columns {', '.join(('country', *dimensions))} (docs/targets.md says where to find scores)."
        )
    return found.find(country)


def explain_missing(target: Target) -> str | None:
    """A sentence naming the dimensions a target lacks and the built-in sets that have them, or None."""
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


@dataclass(frozen=True)
class _Country:
    """One line of ``countries.csv``: ``matrix`` is the 2015 matrix's code, ``members`` a region's codes."""

    code: str
    alpha2: str
    numeric: str
    matrix: str
    name: str
    aliases: tuple[str, ...]
    members: tuple[str, ...]


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


@cache
def _countries() -> dict[str, _Country]:
    def split(cell: str) -> tuple[str, ...]:
        return tuple(cell.split("|")) if cell else ()

    rows = csv.DictReader(io.StringIO(_data("countries.csv").decode()))
    return {
        row["code"]: _Country(
            row["code"],
            row["alpha2"],
            row["numeric"],
            row["matrix"],
            row["name"],
            split(row["aliases"]),
            split(row["members"]),
        )
        for row in rows
    }


def _normal(text: str) -> str:
    """Spelling without case, accents and punctuation: "Côte d'Ivoire" is "cote divoire", "U.S." is "us".

    What stands around digits stays: without it -4, (4) and 0.4 would be the number 4.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold().strip()
    if any(c.isdigit() for c in plain) and not any(c.isalpha() for c in plain):
        return plain
    plain = re.sub(r"[.'’`]", "", plain.replace("&", " and "))
    return re.sub(r"[\W_]+", " ", plain).strip()


# Words that tables of countries write out or shorten as they like.
_SHORTENED = {
    "republic": "rep",
    "democratic": "dem",
    "federal": "fed",
    "federated": "fed",
    "states": "sts",
    "saint": "st",
}
_FORMS_OF_STATE = ("rep", "sts")


def _name_key(text: str) -> str:
    """A country's name however a table arranges it: "Korea, Rep." and "Korea (the Republic of)" are one.

    Articles never tell countries apart. A form of state behind a comma or in brackets is put in front, where it
    does: Congo's and Korea's names differ in nothing else.
    """
    head, _, tail = re.sub(r"[(\[]", ",", text, count=1).partition(",")
    first, second = ([_SHORTENED.get(w, w) for w in _normal(part).split() if w != "the"] for part in (head, tail))
    if second and second[-1] in ("of", *_FORMS_OF_STATE):
        first, second = second, [*(["of"] if second[-1] != "of" else []), *first]
    return " ".join((*first, *second))


@cache
def _codes() -> dict[str, str]:
    """ISO codes and our own codes, normalised, to the code a target carries."""
    return {_normal(key): c.code for c in _countries().values() for key in (c.code, c.alpha2, c.numeric) if key}


def _code_key(text: str) -> str:
    """A code as ``_codes`` has it, numeric ones with their three digits."""
    key = _normal(text)
    number = _NUMERIC.fullmatch(key)
    return number[1].zfill(3) if number else key


@cache
def _matrix_codes() -> dict[str, str]:
    return {_normal(c.matrix): c.code for c in _countries().values() if c.matrix}


@cache
def _names() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for country in _countries().values():
        for name in (country.name, *country.aliases):
            key = _name_key(name)
            found[key] = tuple(dict.fromkeys((*found.get(key, ()), country.code)))
    return found


def _resolve(query: str, *, matrix_codes: bool) -> tuple[str, ...]:
    """Codes that a query can mean; more than one is an ambiguity for the user to settle.

    Most matrix codes are harmless aliases (GER), but five are another country's ISO code: SLV, MNG, MAC, BEN,
    CAF. Where the matrix's codes are in use neither reading may win silently; elsewhere ISO wins.
    """
    key = _code_key(query)
    known = (_codes()[key],) if key in _codes() else _names().get(_name_key(query), ())
    old = _matrix_codes().get(key)
    if old is None or old in known or (known and not matrix_codes):
        return known
    return (*known, old)


def _unambiguous(code: str) -> str:
    country = _countries()[code]
    return f"{country.name} ({country.alpha2 or code})"


def _spellings() -> dict[str, str]:
    return {key: _countries()[codes[0]].name for key, codes in _names().items()}


def _rows_elsewhere(code: str, here: str) -> Iterator[tuple[str, Target]]:
    """Built-in sets, other than the one named, that have a country or the region it is part of."""
    for other in _catalogue():
        row = _builtin(other)._row(code) if other != here else None
        if row is not None:
            yield other, row


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names)


@dataclass(frozen=True)
class _Table:
    """Reader of one CSV file: ``where`` names it in errors, the other fields go into its targets."""

    where: str
    target_set: str
    dimensions: tuple[str, ...]
    provenance: str

    def read(self, raw: bytes) -> tuple[Target, ...]:
        lines = self._lines(raw)
        number, header = next(lines, (1, []))
        columns = self._columns(number, header)
        targets: list[Target] = []
        seen: dict[str, int] = {}
        for number, cells in lines:
            if len(cells) != len(columns):
                self._fail(number, f"expected {len(columns)} fields as in the header, found {len(cells)}")
            target = self._target(number, dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
            if target.code in seen:
                before = seen[target.code]
                self._fail(number, f"{target.country} ({target.code}) stands on line {before} already; keep one row")
            seen[target.code] = number
            targets.append(target)
        if not targets:
            self._fail(number, "expected at least one country under the header, found none")
        return tuple(targets)

    def _fail(self, line: int, problem: str, column: str | None = None) -> NoReturn:
        at = f"{self.where}, line {line}" + (f", column {column}" if column else "")
        raise UserError(f"{at}: {problem}.")

    def _lines(self, raw: bytes) -> Iterator[tuple[int, list[str]]]:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self._fail(line, f"expected UTF-8 text, found the byte 0x{raw[error.start]:02x}; save the file as UTF-8")
        first = next((line for line in text.splitlines() if line.strip()), "")
        separator = max(",;\t", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            self._fail(reader.line_num, f"this is no valid CSV ({error})")

    def _columns(self, line: int, header: list[str]) -> list[str]:
        columns = [_COLUMN_NAMES.get(name, name) for name in (cell.strip().casefold() for cell in header)]
        known = {name.casefold(): name for name in self.dimensions}
        wanted = f"country, iso3 or code, then dimensions ({_listing(self.dimensions)}), optionally provenance"
        if not columns or any(is_number(name) for name in columns):
            self._fail(line, f"expected a header naming the columns {wanted}, found none")
        for name in columns:
            if name not in {"country", "provenance", *_CODE_COLUMNS, *known}:
                self._fail(line, f"the column {name!r} is not known; expected {wanted}")
            if columns.count(name) > 1:
                self._fail(line, f"the column {name!r} appears more than once; keep one")
        codes = [name for name in columns if name in _CODE_COLUMNS]
        if not codes and "country" not in columns:
            self._fail(line, f"no column names the country; expected {wanted}")
        if len(codes) > 1:
            self._fail(line, f"both {' and '.join(codes)} give a code; keep one of them")
        if not any(name in known for name in columns):
            self._fail(line, f"no dimension has a column; expected one or more of {_listing(self.dimensions)}")
        return [known.get(name, name) for name in columns]

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
        """The country's name and code; when both are given they must agree."""
        column = next((name for name in _CODE_COLUMNS if name in row), "code")
        name, given = row.get("country", ""), row.get(column, "")
        if not name and not given:
            self._fail(line, "expected a country, found empty cells", "country" if "country" in row else column)
        named = _resolve(name, matrix_codes=False) if name else ()
        code = self._known_code(column, given) if given else None
        if not given:
            if len(named) > 1:
                choice = " or ".join(_unambiguous(each) for each in named)
                self._fail(line, f"{name!r} can mean {choice}; write one of these", "country")
            if not named:
                near = difflib.get_close_matches(_name_key(name), _spellings(), n=1, cutoff=0.6)
                hint = f"did you mean {_spellings()[near[0]]}? " if near else ""
                advice = f"{hint}A group of your own needs a code of its own in a column named code"
                self._fail(line, f"no country is called {name!r}; {advice}", "country")
            return _countries()[named[0]].name, named[0]
        if code is None and (named or not name):
            kinds = "an ISO 3166 code (two or three letters, or three digits)"
            expected = f"the code of {_countries()[named[0]].name}" if named else kinds
            self._fail(line, f"expected {expected}, found {given!r}", column)
        if code is None and not any(c.isalpha() for c in given):
            self._fail(
                line, f"{shown(given)} is no country's number; give a group of your own a code with a letter", column
            )
        if code is None:
            return name, given
        # A group's running number would otherwise pass as the numeric code of a country.
        if (named and code not in named) or (name and not named and _NUMERIC.fullmatch(_normal(given))):
            self._fail(line, f"{given!r} is {_countries()[code].name}, but the country is {name!r}", column)
        return (_countries()[code].name if named or not name else name), code

    @staticmethod
    def _known_code(column: str, given: str) -> str | None:
        key = _normal(given)
        if column == "ctr":
            return _matrix_codes().get(key)
        # The short aliases UK, KSA, UAE are codes in practice.
        return next(iter(_resolve(given, matrix_codes=False)), None) if len(key) <= 9 else None
