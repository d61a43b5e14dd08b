"""The kinds of first population by name."""

from __future__ import annotations

from enum import StrEnum


class StartKind(StrEnum):
    """Name what the first population of a search is made of."""

    BLANK = "blank"
    VOCABULARY = "vocabulary"
    TEXT = "text"
    CULTURE = "culture"
    NOISE = "noise"
