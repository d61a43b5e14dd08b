"""Reading a user's TOML or YAML file with complaints that name the place.

Every value travels with its file and its place in it, so that each check can say where it failed.
"""

from __future__ import annotations

import difflib
import io
import itertools
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from acculturate.errors import FileError
from acculturate.legible import shown

SETTINGS_MIB = 10
"""The most that is read of a file of settings or questions."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Name the choice most like a name, in parentheses to end a complaint; empty if there is none."""
    name = name[:100]  # comparing takes the square of its length

    def likeness(choice: str) -> tuple[float, int]:
        # Among equally similar names the one that begins alike reads as the nearest.
        alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, choice, strict=False)))
        return difflib.SequenceMatcher(None, name, choice).ratio(), alike

    best = max(choices, key=likeness, default="")
    return f" (nearest: '{best}')" if best else ""


def user_path(name: str) -> Path:
    """Read a path as a user writes it, with ``~`` for a home directory; ``UserError`` where there is none."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise FileError(f"There is no home directory for the '~' in {shown(name)}; write the whole path.") from None


def read_data_file(path: Path) -> Node:
    """Read the content of a ``.toml``, ``.yaml`` or ``.yml`` file in UTF-8; raises ``UserError`` when unreadable.

    YAML is read with the safe loader, which builds plain data only; a name that stands twice is an error.
    """
    text = read_text(path, SETTINGS_MIB)
    if path.suffix == ".toml":
        try:
            return Node(str(path), "", tomllib.loads(text))
        # Also: integers of thousands of digits (ValueError) and very deep nesting.
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path} is not valid TOML: {_toml_words(str(error), text)}.") from None
    if path.suffix in (".yaml", ".yml"):
        # Only users with YAML files pay for the import.
        from acculturate.files.yamlfile import parse_yaml

        return Node(str(path), "", parse_yaml(text, str(path)))
    raise FileError(f"{path} has the ending '{path.suffix}'; give a .toml, .yaml or .yml file.")


# What the library says, by a part of it, and what a writer of settings has to do. The first that fits counts.
_TOML = (
    ("Expected '=' after a key", "expected NAME = VALUE"),
    ("Invalid value", "the value is missing, or is a text without quotes"),
    ("Invalid statement", "expected NAME = VALUE or [TABLE]"),
    ("Invalid initial character", "expected a name"),
    ("Cannot overwrite", "a name stands twice; keep one"),
    ("Cannot declare", "a table stands twice; keep one"),
    ("Cannot mutate", "a table is changed after it was closed; write its entries in one place"),
    ("Unclosed array", "a list is not closed; end it with ']'"),
    ("Unclosed inline table", "a table is not closed; end it with '}'"),
    ("table declaration", "the name of a table is not closed; end it with ']'"),
    ("Expected newline", "something follows the value; put a text in quotes, and a setting on a line of its own"),
    ("Unescaped '\\'", "a '\\' in a text; put the text in single quotes"),
    ("in a string", "this cannot stand in a text"),
    ("invalid character", "a control character; remove it"),
    ("Illegal character", "a control character; remove it"),
    ("Unterminated string", "a quotation mark is not closed before the end"),
    ('Expected "', "a quotation mark is not closed before the end"),
    ("recursion", "its lists and tables are nested too deep; write it flat"),
    ("Exceeds the limit", "it holds a number of thousands of digits; correct it"),
)


def _toml_words(said: str, text: str) -> str:
    """Say what is wrong in a TOML text, with line and column where the library tells them."""
    why = next((words for part, words in _TOML if part in said), "this cannot be read here")
    if place := re.search(r"\(at (line \d+, column \d+)\)", said):
        return f"{place[1]}: {why}"
    return f"at its end, line {len(text.splitlines()) or 1}: {why}" if "(at end of document)" in said else why


def read_text(path: Path, most_mib: int) -> str:
    """Read the text of a file in UTF-8; ``UserError`` for what is none, or larger than such a file ever is."""
    try:
        with path.open("rb") as file:
            content = file.read(most_mib * 2**20 + 1)
    except ValueError:  # no file can have such a name
        raise FileError(f"Cannot read {path}: there can be no such file.") from None
    except IsADirectoryError:
        raise FileError(f"Cannot read {path}: it is a directory; give a file.") from None
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}.") from None
    if len(content) > most_mib * 2**20:
        raise FileError(f"{path} is larger than {most_mib} MiB; give a file with nothing else in it.")
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except UnicodeDecodeError:
        raise FileError(f"{path} is not UTF-8 text; save it in UTF-8.") from None


LARGEST = 1e6
"""The largest size of a number that is taken from a file or a caller: no scale, weight or score comes near it."""

BOUNDS = f"from -{LARGEST:,.0f} to {LARGEST:,.0f}"


@dataclass(frozen=True)
class Node:
    """Hold one value of a file with its place in it; a reading that fails is a ``UserError`` naming the place."""

    file: str
    at: str
    value: object

    def fail(self, problem: str) -> NoReturn:
        """Refuse the value, naming its place."""
        raise FileError(f"{self.file}, {self.at or 'top level'}: {problem}.")

    def entries(self) -> dict[str, Node]:
        """Read a table of named entries."""
        if not isinstance(self.value, dict):
            self.fail(f"expected a table of named entries, found {shown(self.value)}")
        entries = {}
        for key, value in self.value.items():
            if not isinstance(key, str) or not key.strip():
                self.fail(f"expected names in text, found {shown(key)}; put it in quotes")
            self._check_id(key)
            entries[key] = Node(self.file, f"{self.at}.{key}".lstrip("."), value)
        return entries

    def table(self, required: str, optional: str = "") -> dict[str, Node]:
        """Read a table that has all of some keys, in words of one text, and none but these and the optional ones."""
        entries, keys = self.entries(), [*required.split(), *optional.split()]
        for key in entries:
            if key not in keys:
                self.fail(f"unknown key '{key}'{nearest(key, keys)}")
        for key in required.split():
            if key not in entries:
                self.fail(f"the key '{key}' is missing")
        return entries

    def rows(self) -> list[Node]:
        """Read a list with at least one entry."""
        if not isinstance(self.value, list) or not self.value:
            self.fail(f"expected a list with at least one entry, found {shown(self.value)}")
        return [Node(self.file, f"{self.at}[{row}]", value) for row, value in enumerate(self.value)]

    def id(self) -> str:
        """Read a text that can name things in files, columns and options: letters, digits, ``_`` and ``-``."""
        name = self.text()
        self._check_id(name)
        return name

    def _check_id(self, name: str) -> None:
        if not re.fullmatch(r"[\w-]+", name):
            self.fail(f"the name {shown(name)} may only have letters, digits, '_' and '-'")

    def text(self) -> str:
        """Read a text that is not empty, with single spaces."""
        if not isinstance(self.value, str):
            self.fail(f"expected text, found {shown(self.value)}; put it in quotes")
        words = " ".join(self.value.split())
        if not words:
            self.fail("the text is empty")
        if "<|" in words or "|>" in words:
            self.fail("the text contains '<|' or '|>', which models read as control tokens; take it out")
        return words

    def texts(self) -> tuple[str, ...]:
        """Read a list of texts."""
        return tuple(row.text() for row in self.rows())

    def number(self) -> float:
        """Read a finite number of at most ``LARGEST``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fail(f"expected a number, found {shown(self.value)}")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if not abs(number) <= LARGEST:  # NaN is not either
            self.fail(f"expected a finite number {BOUNDS}, found {shown(self.value)}")
        return number

    def flag(self) -> bool:
        """Read true or false."""
        if not isinstance(self.value, bool):
            self.fail(f"expected true or false, found {shown(self.value)}")
        return self.value
