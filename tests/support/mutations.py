"""Files that were damaged or written with bad intent, from whole ones: bytes, lines, words and JSON values changed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

NASTY = (
    *(
        "",
        "\x00",
        "\ufeff",
        "\r",
        "\t",
        '"',
        "'",
        ",",
        ";",
        "\\",
        "\n\n",
        "---\n",
        "&a [*a]",
        "!!python/object:os.system",
    ),
    *("NaN", "Infinity", "-inf", "1e999", "-0", "0x10", "9" * 400, "1_000", "true", "null", "{}", "[]", "[[", '{"a":'),
    *("<|im_start|>", "<script>alert(1)</script>", "{{ 7 * 7 }}", "=1+1", "../../etc/passwd", "/dev/zero", "~root"),
    *("\u202e", "\ud7ff", "é" * 50, "x" * 5000, "a.b.c = 1", "[a]\n", "a: b: c", "%s%n", "\x1b[2J", "🙂"),
)
BYTES = (b"\xff\xfe", b"\xed\xa0\x80", b"\x00" * 9, b"\xf0\x28\x8c\x28", b"\x80", b"PK\x03\x04", b"GGUF", b"\x93NUMPY")
VALUES: tuple[Any, ...] = (
    *(None, True, "", "NaN", 0, -1, 2**63, 10**400, -0.5, 1e308, [], {}, [[]], {"": None}, "x" * 2000),
    *("\x00", "<|im_start|>", "../../etc/passwd", [None], {"a": {"b": {"c": []}}}, 3.7, "1e999", False),
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Change a file in one to four places: half of the time so that its form stays, and other values stand in it."""
    content, changes = whole, _CHANGES if draw(st.booleans()) else _CHANGES_OF_VALUES
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(changes))(draw, content)
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    # Heads decide how the rest is read.
    most = len(content) if draw(st.booleans()) else min(len(content), 300)
    return draw(st.integers(0, most))


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _without(draw: st.DrawFn, content: bytes) -> bytes:
    start = _place(draw, content)
    return content[:start] + content[start + draw(st.integers(1, 200)) :]


def _twice(draw: st.DrawFn, content: bytes) -> bytes:
    start = _place(draw, content)
    return content[:start] + content[start : start + draw(st.integers(1, 400))] + content[start:]


def _flipped(draw: st.DrawFn, content: bytes) -> bytes:
    if not content:
        return content
    place = min(_place(draw, content), len(content) - 1)
    return content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]


def _with_words(draw: st.DrawFn, content: bytes) -> bytes:
    start, word = _place(draw, content), draw(st.sampled_from(NASTY)).encode("utf-8", "surrogatepass")
    return content[:start] + word + content[start:]


def _with_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    start = _place(draw, content)
    return content[:start] + draw(st.sampled_from(BYTES)) + content[start:]


def _other_number(draw: st.DrawFn, content: bytes) -> bytes:
    numbers = (b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b"", b"1.5", b'"x"', b"6", b"3000000000")
    return _instead(draw, content, rb"-?\d+(\.\d+)?", numbers)


def _other_cell(draw: st.DrawFn, content: bytes) -> bytes:
    words = [word.encode("utf-8", "surrogatepass") for word in NASTY]
    return _instead(draw, content, rb"[^,;\t\n\r:=]+", words)


def _instead(draw: st.DrawFn, content: bytes, pattern: bytes, others: Sequence[bytes]) -> bytes:
    if _is_json(content):
        return _other_value(draw, content)
    places = list(re.finditer(pattern, content[:100_000]))
    if not places:
        return content
    one = draw(st.sampled_from(places))
    return content[: one.start()] + draw(st.sampled_from(others)) + content[one.end() :]


def _other_line(draw: st.DrawFn, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    one, two = (draw(st.integers(0, min(len(lines), 400) - 1)) for _ in range(2))
    lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _other_value(draw: st.DrawFn, content: bytes) -> bytes:
    """Put another value, or another key, somewhere into a JSON document or its first lines."""
    if not _is_json(content):
        return _other_cell(draw, content)
    value = json.loads(content)
    holder, key = None, None
    place = value
    for _ in range(draw(st.integers(1, 6))):
        if isinstance(place, dict) and place:
            holder, key = place, draw(st.sampled_from(sorted(place)))
        elif isinstance(place, list) and place:
            holder, key = place, draw(st.integers(0, len(place) - 1))
        else:
            break
        place = holder[key]
    other = draw(st.sampled_from(VALUES))
    if holder is None:
        value = other
    elif isinstance(holder, dict) and draw(st.integers(0, 3)) == 0:
        holder[draw(st.sampled_from(NASTY))] = holder.pop(key)
    else:
        holder[key] = other
    return json.dumps(value).encode()


_CHANGES_OF_VALUES = (_other_value, _other_number, _other_cell)
_CHANGES = (_cut, _without, _twice, _flipped, _with_words, _with_bytes, _other_line, *_CHANGES_OF_VALUES)
