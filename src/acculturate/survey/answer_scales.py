"""The options of each item's scale, as people's answers show them or as the user states them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from acculturate.errors import FileError, setting
from acculturate.files.tables import is_number
from acculturate.survey.formats import LABELS
from acculturate.survey.missing_codes import (
    NO_CODES,
    Item,
    even_steps,
    notes_apart,
    refusal,
    suspicions,
    values_apart,
)

MAX_OPTIONS = max(map(len, LABELS.values()))
"""The most options that any kind of label can name."""


def judge_codes(path: Path, items: Sequence[Item], codes: frozenset[str]) -> list[str]:
    """Say which values may be codes; raises ``UserError`` where it is nearly certain and nobody said otherwise."""
    apart = values_apart(items, MAX_OPTIONS)
    if NO_CODES in codes:
        return notes_apart(apart)
    if apart.certain:
        raise FileError(f"{path}: {refusal(apart, items, MAX_OPTIONS)}.")
    named = [int(code) for code in codes if is_number(code)]
    return notes_apart(apart) + suspicions(items, named)


def stated_options(path: Path, items: Sequence[Item], scale: tuple[int, int]) -> list[tuple[int, ...]]:
    """List the options of a scale that the user states, for every item."""
    for item in items:
        low, high = item.values[0], item.values[-1]
        if low < scale[0] or high > scale[1]:
            raise FileError(
                f"{path}, column {item.id}: answers run from {low} to {high}, outside the scale "
                f"{scale[0]} to {scale[1]}; give {setting('missing')} with the codes that stand for no answer."
            )
    return [_options(f"{path}", sorted({*scale, *(v for item in items for v in item.values)}))] * len(items)


def observed_options(path: Path, items: Sequence[Item]) -> list[tuple[int, ...]]:
    """List the options that the answers to each item show."""
    return [
        tuple(item.values) if _stepped(item, items) else _options(f"{path}, column {item.id}", item.values)
        for item in items
    ]


def _stepped(item: Item, items: Sequence[Item]) -> bool:
    """Tell whether an item's scale has even steps: other items show no answer between them."""
    low, high = item.values[0], item.values[-1]
    between = {v for other in items for v in other.values if low < v < high}
    return even_steps(item.values) and between <= set(item.values)


def _options(place: str, values: Sequence[int]) -> tuple[int, ...]:
    """List all whole numbers of a range or, where they are too many, its even steps or just the values there are."""
    low, high = values[0], values[-1]
    step = math.gcd(*(after - before for before, after in pairwise(values)))
    for options in (range(low, high + 1), range(low, high + 1, step), values):
        if len(options) <= MAX_OPTIONS:
            return tuple(options)
    raise FileError(
        f"{place}: a scale from {low} to {high} has {high - low + 1} options, and a model can be "
        f"asked with {MAX_OPTIONS} at most; put answers together into fewer, or give {setting('missing')} with the "
        "codes that stand for no answer."
    )


def notes_on_options(items: Sequence[Item], ranges: Sequence[tuple[int, ...]]) -> list[str]:
    """Say which options are not every whole number of a range, and where ranges differ."""
    holders: dict[tuple[int, ...], list[str]] = {}
    for item, options in zip(items, ranges, strict=True):
        holders.setdefault(options, []).append(item.id)
    notes = []
    for options, names in holders.items():
        low, high = options[0], options[-1]
        if len(options) < high - low + 1:
            more = f"; if those between are answers too, give {setting('scale', (low, high))}" * (
                high - low < MAX_OPTIONS
            )
            notes.append(f"The options of {', '.join(names)} are {', '.join(map(str, options))}{more}.")
    if len(holders) > 1:
        listed = "; ".join(f"{options[0]} to {options[-1]}: {', '.join(names)}" for options, names in holders.items())
        notes.append(f"Items differ in the range observed ({listed}); where the scales are the same, give it.")
    return notes
