"""Text of unknown origin made fit to be shown: none of it steers a terminal, and none is longer than a reader wants."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SHOWN = 40

# Behind a space or a sign that paths stand behind, up to the last slash of an absolute path. A URL has two slashes.
_FOLDERS = re.compile(r"(?:(?<=[\s=,;'\"()\[\]`|-])(?:~\w*)?/{1,2}|(?<=:)/)(?=[^/\s])(?:[^/,;=\s'\"`|]*/)*")

# Line breaks and tabs are text; every other control character is an order to the terminal. So are the overrides of
# writing direction, which make one text look like another. Half a surrogate pair, which stands for a byte of a file
# name that is no UTF-8, cannot be written at all.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def legible(text: str) -> str:
    r"""Spell out what would steer a terminal: an escape character becomes ``\x1b``."""
    return STEERING.sub(lambda found: _spelled(ord(found[0])), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shortened(text: str, most: int) -> str:
    """Cut a text to ``most`` characters in its middle: what it is about stands first, what to do about it last."""
    if len(text) <= most:
        return text
    last = (most - 5) // 3
    return f"{text[: most - 5 - last]} ... {text[len(text) - last :]}"


def shown(value: object) -> str:
    """Show a value in a message, cut short: it may be a file of megabytes."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > 200:
            return "a huge number"  # Python refuses to write one of thousands of digits
        case str() | bytes():
            words = repr(value[: _SHOWN + 1])
        case Mapping():
            return "a table"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case _:
            words = repr(value)
    return words if len(words) <= _SHOWN else words[: _SHOWN - 3] + "..."


def capital(text: str) -> str:
    """Begin a text with a capital, and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def without_places(text: str) -> str:
    """Take the folders out of absolute paths in a text: a page that is passed on names no user and no machine.

    A text that begins as a path does is one as a whole, spaces and all.
    """
    if text.startswith(("/", "~")):
        return text.rstrip("/").rpartition("/")[2]
    return _FOLDERS.sub("", text)
