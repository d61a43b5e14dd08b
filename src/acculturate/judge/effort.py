"""How much measuring a run affords: the rivals of a prompt should cost less than the search for it.

What a rival costs is counted in tokens, so that it is the same on every machine and whatever is kept from earlier runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from acculturate.judge.persona import DESCRIPTORS

SHARE = 0.3
"""Share of the search's tokens that the rivals may cost, where that pays for the fewest."""


@dataclass(frozen=True)
class Tokens:
    """Hold what is computed, in tokens: the search, all formats asked once, and those that texts are chosen on."""

    search: int
    all_formats: int
    choosing: int


@dataclass(frozen=True)
class Effort:
    """Hold how many descriptions of a person and how many texts are asked, and whether answers are shown in context."""

    personas: int
    texts: int
    in_context: bool


FULL = Effort(len(DESCRIPTORS), 18, True)
_SHOWN = 2
"""Formats asked with answers shown in context, in formats asked without: they are about twice as long."""


def effort_for(tokens: Tokens) -> Effort:
    """Choose what a run affords: at least one person and, past a first look, some texts and answers in context.

    Of the allowance that the untuned model leaves, the texts get a third, persons the rest.
    """
    left = SHARE * tokens.search - tokens.all_formats
    shown = left >= (_SHOWN + 1) * tokens.all_formats
    if shown:
        left -= _SHOWN * tokens.all_formats
    texts = int((left / 3 - tokens.all_formats) // tokens.choosing)
    if texts < 3:
        texts = 0
    persons = int((left - (texts * tokens.choosing + tokens.all_formats if texts else 0)) // tokens.all_formats)
    return Effort(min(max(persons, 1), FULL.personas), min(texts, FULL.texts), shown)
