"""Numbers in people's answers that stand for no answer: 9 beside 1 to 5, -1 below a scale, 99.

A code that is taken for an answer widens the scale and spoils every correlation without a word. What is nearly
certain to be one is refused; what may be one is noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

Apart = Mapping[int, list[str]]
"""Value -> the items that have it."""


def values_apart(ids: Sequence[str], answers: Float[np.ndarray, "people items"]) -> Apart:
    """Values that cannot well be answers: negative ones below a positive scale, and what a gap parts from a scale.

    A scale that runs as far below zero as above it has negative answers. A value that nobody chose leaves no gap
    where another item's scale ends where this one goes on to.
    """
    present = {
        item: sorted({int(v) for v in column if not np.isnan(v)}) for item, column in zip(ids, answers.T, strict=True)
    }
    lowest = -max((half for values in present.values() if (half := _half_width(values)) is not None), default=0)
    scales = {item: _runs([v for v in values if v >= lowest]) for item, values in present.items()}
    apart: dict[int, list[str]] = {}
    for item, values in present.items():
        tops = {runs[0][-1] for other, runs in scales.items() if other != item and runs}
        codes = [v for v in values if v < lowest]
        for run in scales[item][1:]:
            codes += run if run[-1] not in tops else []
        for code in codes:
            apart.setdefault(code, []).append(item)
    return dict(sorted(apart.items()))


def _runs(values: Sequence[int]) -> list[list[int]]:
    """Sorted values cut where a whole number between them is missing."""
    runs = [[v] for v in values[:1]]
    for before, value in pairwise(values):
        if value == before + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def _half_width(values: Sequence[int]) -> int | None:
    """How far a scale runs to either side of zero; None where it does not run so, through zero and without a gap."""
    return next((run[-1] for run in _runs(values) if run[0] == -run[-1] < 0), None)


def refusal(apart: Apart, answers: Float[np.ndarray, "people items"], options: int) -> str:
    """What is to be said of values apart, and done about them; no scale has more than so many ``options``."""
    total = int((~np.isnan(answers)).sum())
    often = {value: int((answers == value).sum()) for value in apart}
    found = "; ".join(
        f"{value} in {_listed(items)} ({often[value]} of {total} answers)" for value, items in apart.items()
    )
    low, high = int(np.nanmin(answers)), int(np.nanmax(answers))
    scale = f", or the scale, --scale {low}-{high}, if they are answers" if high - low < options else ""
    return (
        f"these values lie apart from the rest of their scale: {found}. "
        f"Give --missing {','.join(map(str, apart))} if they stand for no answer{scale}"
    )


def suspicions(ids: Sequence[str], answers: Float[np.ndarray, "people items"]) -> list[str]:
    """Sentences on values that are answers on some scales and codes for none on others."""
    notes: dict[str, list[str]] = {}
    for item, column in zip(ids, answers.T, strict=True):
        values = {int(v) for v in column if not np.isnan(v)}
        low, high = min(values), max(values)
        doubtful = (
            [0] if low == 0 and 4 <= high <= 9
            else [-1] if (low, high) == (-1, 1)
            else [v for v in (8, 9) if v <= high] if low > 0 and high in (8, 9)
            else []
        )  # fmt: skip
        for value in doubtful:
            rest = sorted(v for v in values if v not in doubtful)
            if value in values and rest:
                notes.setdefault(f"{value} stands beside {rest[0]} to {rest[-1]}", []).append(item)
    return [
        f"{what} in {_listed(items)}; if it stands for no answer, give --missing {what.split()[0]}."
        for what, items in notes.items()
    ]


def _listed(items: Sequence[str], most: int = 6) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more items" if len(items) > most else "")
