"""YAML as settings need it: plain data, nothing twice, and nothing that reads as something else than it says.

YAML 1.1 takes the country code NO for false, 010 for eight and 2015-01-01 for a date. Whoever writes such a word has
meant it nearly always, so it is refused with what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from acculturate.errors import FileError, UserError
from acculturate.legible import shown

_TAG = "tag:yaml.org,2002:"


def parse_yaml(text: str, name: str) -> object:
    """Parse a YAML text; ``UserError`` with the line in the file of that ``name`` where it is not plain data."""

    class Named(_Strict):
        file = name

    try:
        return yaml.load(text, Loader=Named)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        why = _in_words(f"{error.context or ''} {error.problem or ''}")
        if mark is None:
            raise FileError(f"{name}: not valid YAML ({why}).") from None
        raise FileError(f"{name}, line {mark.line + 1}: not valid YAML (column {mark.column + 1}: {why}).") from None
    except yaml.reader.ReaderError as error:
        read = text[: error.position] if isinstance(error.position, int) else ""
        line, column = read.count("\n") + 1, len(read) - read.rfind("\n")
        raise FileError(
            f"{name}, line {line}: not valid YAML (column {column}: a character that is no text; remove it)."
        ) from None
    except (RecursionError, yaml.YAMLError, ValueError):
        raise FileError(f"{name} is not valid YAML: its lists and tables are nested too deep; write it flat.") from None


# What the library says, by a part of it, and what a writer of settings has to do. The first that fits counts.
_WORDS = (
    ("mapping values are not allowed", "no ': ' can stand here; put a text that holds one in quotes, and indent alike"),
    ("character '\\t'", "a line is indented by a tab; indent by spaces"),
    ("that cannot start any token", "no value begins with this character; put it in quotes"),
    ("quoted scalar found unexpected end", "a quotation mark is not closed before the end"),
    ("quoted scalar", "this cannot stand between quotation marks; use single ones"),
    ("flow sequence", "a list is not closed; end it with ']', with commas between its entries"),
    ("flow mapping", "a table is not closed; end it with '}', with commas between its entries"),
    ("could not find expected ':'", "the line before has no ':'; write NAME: VALUE"),
    ("block collection", "this is neither indented like the lines above nor of their kind"),
    ("block mapping", "this is neither indented like the lines above nor of their kind"),
    ("the tag", "tags, which begin with '!', are not read; leave it out"),
    ("unhashable key", "a name must be a text, not a list or a table"),
    ("another document", "a second document begins; keep one"),
    ("for merging", "'<<' is not read; write the entries out"),
)


def _in_words(problem: str) -> str:
    return next(
        (words for part, words in _WORDS if part in problem), "this cannot be read here; see what stands before"
    )


class _Strict(yaml.SafeLoader):
    file = ""

    def _fail(self, node: Any, problem: str) -> UserError:
        return FileError(f"{self.file}, line {node.start_mark.line + 1}: {problem}.")

    def compose_node(self, parent: Any, index: Any) -> Any:
        # A few aliases of aliases are gigabytes.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise self._fail(event, f"the alias {shown('*' + event.anchor)} is not followed; write its content out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        # PyYAML lets the last of two equal names win, silently.
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise self._fail(key, f"{shown(key.value)} stands twice; keep one")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (UserError, yaml.YAMLError, RecursionError):
            raise
        except Exception:  # an empty number, a date that is none: whatever comes of a tag that does not fit
            kind = str(node.tag).removeprefix(_TAG)
            raise self._fail(node, f"not valid YAML ({shown(node.value)} is not of the kind {shown(kind)})") from None
        if isinstance(node, yaml.ScalarNode) and node.style is None and (problem := _misread(node, value)):
            raise self._fail(node, problem)
        return value


# 1e3 has no point, without which YAML 1.1 takes it for text.
_Strict.add_implicit_resolver(f"{_TAG}float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))


def _misread(node: Any, value: object) -> str | None:
    """Word the complaint about a word without quotes that reads as what hardly anybody means."""
    word, tag = node.value, str(node.tag).removeprefix(_TAG)
    if tag == "bool" and word.lower() not in ("true", "false"):
        reads = shown(value)
    elif tag == "timestamp":
        reads = "a date"
    elif tag in ("int", "float") and (":" in word or re.match(r"[-+]?0[0-9_]+$", word)):
        reads = shown(value)
    else:
        return None
    instead = "" if tag == "timestamp" else f", or write {reads}"
    return f"YAML reads {shown(word)[1:-1]} as {reads}; put it in quotes, {shown(word)}{instead}"
