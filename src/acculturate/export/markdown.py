"""Text of unknown origin in a Markdown page: whatever it holds, it is read as text."""

from __future__ import annotations

import re

from acculturate.legible import legible, shortened

LONGEST = 2000
"""Characters of one text on a page."""

_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_MARKS = re.compile(r"[\\`*_\[\]|#~$!{}]")
_LINK = re.compile(r":(?=//)|\bwww(?=\.)|@", re.I)
_LIST = re.compile(r"^(\d{1,9})([.)])|^([-+=])")


def literal(text: object) -> str:
    """Write a text into a line of Markdown so that none of it becomes markup, HTML or a link."""
    line = shortened(" ".join(legible(str(text)).split()), LONGEST)
    line = re.sub("[<>&]", lambda mark: _ENTITIES[mark[0]], line)
    line = _MARKS.sub(lambda mark: f"\\{mark[0]}", line)
    line = _LINK.sub(lambda mark: "".join(f"&#{ord(letter)};" for letter in mark[0]), line)
    return _LIST.sub(lambda mark: f"{mark[1]}\\{mark[2]}" if mark[1] else f"\\{mark[3]}", line)
