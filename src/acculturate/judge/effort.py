"""How much measuring a run affords: the rivals of a prompt should cost less than the search for it.

What a rival costs is counted in tokens, so that it is the same on every machine and whatever is kept from earlier runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from acculturate.judge.persona import DESCRIPTORS

SHARE = 0.3
"""Share of the search's tokens that the rivals may cost, where that pays for ``LEAST``."""


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


FULL = Effort(personas=len(DESCRIPTORS), texts=18, in_context=True)
LEAST = Effort(personas=2, texts=4, in_context=True)
FIRST_LOOK = Effort(personas=1, texts=0, in_context=False)
LOOK = 100
"""Evaluations below which a search is a first look, with the fewest rivals."""
_SHOWN = 2
"""Formats asked with answers shown in context, in formats asked without: they are about twice as long."""


def effort_for(budget: int, tokens: Tokens) -> Effort:
    """Choose what a run of ``budget`` evaluations affords.

    A first look has one person beside the untuned model; every other run has at least ``LEAST``. What the allowance
    leaves then goes to more texts and more persons, half each.
    """
    if budget < LOOK:
        return FIRST_LOOK
    persons = LEAST.personas * tokens.all_formats
    texts = LEAST.texts * tokens.choosing + tokens.all_formats
    left = SHARE * tokens.search - (1 + _SHOWN) * tokens.all_formats - persons - texts
    if left <= 0:
        return LEAST
    more_persons, more_texts = int(left / 2 // tokens.all_formats), int(left / 2 // tokens.choosing)
    return Effort(
        personas=min(LEAST.personas + more_persons, FULL.personas),
        texts=min(LEAST.texts + more_texts, FULL.texts),
        in_context=True,
    )
