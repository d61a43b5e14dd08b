"""Countries by name, alias and code: which country is meant, and when that cannot be told.

``data/targets/countries.csv`` holds ISO 3166-1, the regions and language groups that published tables have beside
countries, the aliases of both and the codes of the 2015 matrix. A name or code that can mean two countries is for the
user to settle: no reading wins silently.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

# Numeric codes as spreadsheets leave them: 4 or 4.0 for 004.
_NUMERIC = re.compile(r"0*(\d{1,3})(\.0+)?", re.ASCII)


@dataclass(frozen=True)
class Country:
    """Describe a country, region or language group: one line of ``countries.csv``.

    Parameters
    ----------
    code, alpha2, numeric
        ISO 3166-1 codes; ``code`` is one of our own for regions and language groups, which have no other.
    matrix
        Code in the 2015 matrix, empty where it has none.
    name, aliases
        The name to show, and other names that mean the same.
    members
        Codes of a region's countries; empty for a country.
    """

    code: str
    alpha2: str
    numeric: str
    matrix: str
    name: str
    aliases: tuple[str, ...]
    members: tuple[str, ...]

    @property
    def unambiguous(self) -> str:
        """Name and code as they are shown where a name alone can mean several countries."""
        return f"{self.name} ({self.alpha2 or self.code})"


@cache
def countries() -> dict[str, Country]:
    """Read the table of countries, by the code that a target carries."""

    def split(cell: str) -> tuple[str, ...]:
        return tuple(cell.split("|")) if cell else ()

    table = resources.files("acculturate.survey").joinpath("data", "targets", "countries.csv").read_text("utf-8")
    return {
        row["code"]: Country(
            row["code"],
            row["alpha2"],
            row["numeric"],
            row["matrix"],
            row["name"],
            split(row["aliases"]),
            split(row["members"]),
        )
        for row in csv.DictReader(io.StringIO(table))
    }


def country_codes(query: str, *, matrix_codes: bool) -> tuple[str, ...]:
    """List the codes that a name or code can mean; several are an ambiguity for the user to settle.

    Parameters
    ----------
    query
        A name, alias or code in any spelling that ``plain_spelling`` and ``name_key`` see through.
    matrix_codes
        Whether the codes of the 2015 matrix are in use. Most are harmless aliases (GER), but five are another
        country's ISO code: SLV, MNG, MAC, BEN, CAF. Where they are in use neither reading may win silently;
        elsewhere ISO wins.
    """
    key = _code_key(query)
    codes = (iso_codes()[key],) if key in iso_codes() else names().get(name_key(query), ())
    of_matrix = matrix_code(query)
    if of_matrix is None or of_matrix in codes or (codes and not matrix_codes):
        return codes
    return (*codes, of_matrix)


def matrix_code(text: str) -> str | None:
    """Return the code of the country that the 2015 matrix calls by this code; None where it calls none so."""
    return _matrix_codes().get(_code_key(text))


@cache
def same_country(name: str, code_or_name: str) -> bool:
    """Tell whether two names or codes mean one country: "SAU", "Saudi Arabia" and "Saudi_Arabia" do.

    A name that can mean several countries ("Congo") is only the same as itself. So is one that the table does not
    know, like a part of a country.
    """
    if name_key(name) == name_key(code_or_name):
        return True
    codes, others = (country_codes(each, matrix_codes=False) for each in (name, code_or_name))
    return len(codes) == 1 and codes == others


def nearest_countries(query: str, others: Iterable[str] = ()) -> list[str]:
    """List up to five countries whose names are spelled most like a query, the nearest first.

    ``others``: further names that are possible, like those of a user's own groups.
    """
    by_key = {key: countries()[codes[0]].name for key, codes in names().items()}
    by_key |= {name_key(name): name for name in others}
    return list(dict.fromkeys(by_key[key] for key in difflib.get_close_matches(name_key(query), by_key, n=5)))


def plain_spelling(text: str) -> str:
    """Spell a text without case, accents and punctuation: "Côte d'Ivoire" is "cote divoire", "U.S." is "us".

    What stands around digits stays: without it -4, (4) and 0.4 would be the number 4.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold().strip()
    if any(c.isdigit() for c in plain) and not any(c.isalpha() for c in plain):
        return plain
    plain = re.sub(r"[.'’`]", "", plain.replace("&", " and "))
    return re.sub(r"[\W_]+", " ", plain).strip()


def looks_like_number(text: str) -> bool:
    """Tell whether a text would be read as a numeric code: one to three digits, as spreadsheets leave them."""
    return _NUMERIC.fullmatch(plain_spelling(text)) is not None


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


def name_key(text: str) -> str:
    """Spell a country's name however a table arranges it: "Korea, Rep." and "Korea (the Republic of)" are one.

    Articles never tell countries apart. A form of state behind a comma or in brackets is put in front, where it
    does: Congo's and Korea's names differ in nothing else.
    """
    head, _, tail = re.sub(r"[(\[]", ",", text, count=1).partition(",")
    first, second = (
        [_SHORTENED.get(w, w) for w in plain_spelling(part).split() if w != "the"] for part in (head, tail)
    )
    if second and second[-1] in ("of", *_FORMS_OF_STATE):
        first, second = second, [*(["of"] if second[-1] != "of" else []), *first]
    return " ".join((*first, *second))


@cache
def names() -> dict[str, tuple[str, ...]]:
    """Index the codes that each name or alias can mean, by ``name_key``."""
    codes: dict[str, tuple[str, ...]] = {}
    for country in countries().values():
        for name in (country.name, *country.aliases):
            key = name_key(name)
            codes[key] = tuple(dict.fromkeys((*codes.get(key, ()), country.code)))
    return codes


@cache
def iso_codes() -> dict[str, str]:
    """Index the code that a target carries by every ISO code and code of our own, in plain spelling."""
    return {
        plain_spelling(key): country.code
        for country in countries().values()
        for key in (country.code, country.alpha2, country.numeric)
        if key
    }


@cache
def _matrix_codes() -> dict[str, str]:
    return {plain_spelling(country.matrix): country.code for country in countries().values() if country.matrix}


def _code_key(text: str) -> str:
    """Spell a code as ``iso_codes`` has it, numeric ones with their three digits."""
    key = plain_spelling(text)
    number = _NUMERIC.fullmatch(key)
    return number[1].zfill(3) if number else key
