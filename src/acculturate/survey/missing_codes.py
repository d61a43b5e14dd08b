"""Numbers in people's answers that stand for no answer: 9 beside 1 to 5, -1 below a scale, 99.

A code that is taken for an answer widens the scale and spoils every correlation without a word. What is nearly
certain to be one is refused; what may be one is noted and taken as an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from acculturate.errors import listed, setting

NO_CODES = "none"
"""What ``missing`` says where no number, or no other one, stands for no answer."""

HARDLY_A_CODE = 0.25
"""Share of the answers above which a value is hardly a code, unless no scale has such a value."""

# With fewer negative answers than RARE a scale to both sides of zero is in doubt; with more than SEEN it is one.
RARE, SEEN = 0.1, 0.2


@dataclass(frozen=True)
class Codes:
    """Hold values outside the scales of their items (value -> items), by how sure it is that they are codes.

    ``elsewhere``: above a gap, but an answer of other items. ``often``: answers with the value in those items, and
    all answers to them.
    """

    certain: dict[int, list[str]] = field(default_factory=dict)
    doubtful: dict[int, list[str]] = field(default_factory=dict)
    elsewhere: dict[int, list[str]] = field(default_factory=dict)
    often: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """Hold one item's answers: ``counts`` says how often each value was given."""

    id: str
    counts: Mapping[int, int]

    @cached_property
    def values(self) -> list[int]:
        """List the values that were given, in order."""
        return sorted(self.counts)

    @cached_property
    def total(self) -> int:
        """Count the answers."""
        return sum(self.counts.values())

    @cached_property
    def scale(self) -> list[int]:
        """List the values that look like one scale: even steps, or whole numbers around most of the answers."""
        for top in range(len(self.values), max(len(self.values) - 4, 2), -1):
            kept = self.values[:top]
            kept = kept if kept[0] == -kept[-1] else [v for v in kept if v >= 0]
            if even_steps(kept) and all(map(_usual, self.values[top:])):
                return kept
        runs = _runs(self.values)
        possible = [run for run in runs if run[-1] >= 0 and not all(map(_far_code, run))] or runs
        main = max(possible, key=lambda run: sum(self.counts[v] for v in run))
        low = self._lowest(main) if main[0] < 0 <= main[-1] else min(main[0], 0)
        # No survey has a positive code below its scale.
        return [v for v in self.values if low <= v <= main[-1]]

    def _lowest(self, run: Sequence[int]) -> int:
        """Find where a scale through zero begins: as far below zero as it goes above, or at zero."""
        half = min(-run[0], run[-1])
        symmetric = run[0] == -run[-1]
        return -half if symmetric or self.share(v for v in run if -half <= v < 0) >= SEEN else 0

    def share(self, values: Iterable[int]) -> float:
        """Compute the share of the answers that have one of these values."""
        return sum(self.counts[v] for v in values) / self.total


def items_of(ids: Sequence[str], answers: Float[np.ndarray, "people items"]) -> list[Item]:
    """Count how often each value was given to each item."""
    return [
        Item(name, Counter(column[~np.isnan(column)].astype(int).tolist()))
        for name, column in zip(ids, answers.T, strict=True)
    ]


def even_steps(values: Sequence[int]) -> bool:
    """Tell whether values are an even scale with numbers left out, like 2, 4, 6 or 0, 25, 50, 75, 100."""
    steps = {after - before for before, after in pairwise(values)}
    few = len(values) < 3 or (len(values) == 3 and _usual(values[-1]))
    return len(steps) == 1 and min(steps) > 1 and not few and not all(map(_far_code, values))


def _far_code(value: int) -> bool:
    """Tell whether a number is used as a code wherever the scale is a short one: 66, 77, 96 to 99, 888, 9999."""
    digits = str(value)
    of_nines = digits[:-1] == "9" * (len(digits) - 1) and digits[-1] in "456789"
    return len(digits) in (2, 3, 4) and (of_nines or (digits[0] in "6789" and len(set(digits)) == 1))


def _usual(value: int) -> bool:
    return value in (7, 8, 9) or _far_code(value)


def _runs(values: Sequence[int]) -> list[list[int]]:
    """Cut sorted values where a whole number between them is missing."""
    runs = [[v] for v in values[:1]]
    for before, value in pairwise(values):
        if value == before + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def values_apart(items: Sequence[Item], options: int) -> Codes:
    """Find values that lie apart from the scale of their item; ``options``: the most that a scale has."""
    found: dict[str, dict[int, list[str]]] = {"certain": {}, "doubtful": {}, "elsewhere": {}}
    half = -min((item.scale[0] for item in items), default=0)
    for item in items:
        for value, kind in _kinds(item, [other for other in items if other is not item], half, options).items():
            found[kind].setdefault(value, []).append(item.id)
    certain, doubtful = found["certain"], found["doubtful"]
    by_id = {item.id: item for item in items}

    def often(value: int, names: Sequence[str]) -> tuple[int, int]:
        return sum(by_id[n].counts[value] for n in names), sum(by_id[n].total for n in names)

    for value in list(certain):
        count, total = often(value, certain[value])
        no_gap = value < 0 and all(by_id[n].counts.keys() >= set(range(value, 1)) for n in certain[value])
        if count > HARDLY_A_CODE * total and not _far_code(value) and (value >= 0 or no_gap):
            doubtful[value] = certain.pop(value) + doubtful.get(value, [])
    kinds = {name: dict(sorted(values.items())) for name, values in found.items()}
    counted = {v: often(v, names) for values in (found["elsewhere"], doubtful, certain) for v, names in values.items()}
    return Codes(**kinds, often=counted)


def _kinds(item: Item, others: Sequence[Item], half: int, options: int) -> dict[int, str]:
    """List the values outside an item's scale, each with what it is."""
    low, top = item.scale[0], item.scale[-1]
    # On a scale that goes no further up than another one goes down, negative values may be its answers.
    kinds = {v: "doubtful" if top <= half and v >= -half else "certain" for v in item.values if v < low}
    if low < 0 and item.counts.get(low - 1, 0) > item.counts[low] / 2:
        kinds[low - 1] = "doubtful"  # as many as gave the next value: the other end may be what nobody chose
    for run in _runs([v for v in item.values if v > top]):
        covered = any(other.scale[-1] == run[-1] or (run[0] - top <= 3 and run[-1] in other.scale) for other in others)
        usual = any(map(_usual, run)) or run[-1] - low >= options
        kinds |= dict.fromkeys(run, "elsewhere" if covered else "certain" if usual else "doubtful")
    return kinds


def refusal(codes: Codes, items: Sequence[Item], options: int) -> str:
    """Say which values are certain codes, and what to do; no scale has more than so many ``options``."""
    found = "; ".join(
        f"{_and(values)} in {_items(names)} ({_share(codes, values)})" for values, names in _together(codes.certain)
    )
    low, high = min(item.values[0] for item in items), max(item.values[-1] for item in items)
    scale = f"{setting('scale', (low, high))} or " if high - low < options else ""
    near = sorted({v for item in items for v in _at_the_end(item.id, items, codes.certain)} - set(codes.certain))
    more = f" (and {_and(near)}, if the scale ends below)" if near else ""
    return (
        f"these values lie apart from the rest of their scale: {found}. "
        f"Give {setting('missing', list(codes.certain))} if they stand for no answer{more}; "
        f"if all are answers, {scale}{setting('missing', [NO_CODES])}"
    )


def notes_apart(codes: Codes) -> list[str]:
    """Word sentences on values apart that are taken as answers."""
    notes = []
    advice = (
        (codes.certain, f" by {setting('missing', [NO_CODES])}"),
        (codes.doubtful, "; if that is no answer, give {codes}"),
        (
            codes.elsewhere,
            ", because other items have such answers; if that is no answer there, empty those cells, or give "
            "{codes} where it is an answer nowhere",
        ),
    )
    for kind, then in advice:
        for values, names in _together(kind):
            named = setting("missing", list(values))
            notes.append(
                f"{_and(values)} in {_items(names)} {_verb(values, 'lies', 'lie')} apart from the rest of the scale "
                f"({_share(codes, values)}) and {_verb(values, 'is', 'are')} taken for "
                f"{_verb(values, 'an answer', 'answers')}{then.replace('{codes}', named)}."
            )
    return notes


def suspicions(items: Sequence[Item], named: Iterable[int] = ()) -> list[str]:
    """Word sentences on values that are answers on some scales and codes for none on others; ``named``: known codes."""
    notes: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for item in items:
        doubtful = sorted({*_zero(item), *_few_below_zero(item), *_at_the_end(item.id, items, named)} & set(item.scale))
        rest = [v for v in item.scale if v not in doubtful]
        if doubtful and rest:
            said = f"{_and(doubtful)} {_verb(doubtful, 'stands', 'stand')} beside {rest[0]} to {rest[-1]}"
            notes.setdefault((said, tuple(doubtful)), []).append(item.id)
    sentences = []
    for (said, doubtful), names in notes.items():
        cases = "any of them stands for no answer, give it" if len(doubtful) > 1 else "it stands for no answer, give it"
        sentences.append(f"{said} in {_items(names)}; if {cases}, like {setting('missing', list(doubtful))}.")
    return sentences + _gaps(items)


def _gaps(items: Sequence[Item]) -> list[str]:
    """Word sentences on scales with a hole below most of the answers."""
    holes: dict[tuple[int, int], list[str]] = {}
    for item in items:
        for before, after in pairwise(item.scale):
            if after - before > 2 and not even_steps(item.scale):
                holes.setdefault((before, after), []).append(item.id)
    return [
        f"Nobody chose anything between {before} and {after} in {_items(names)}; if {after} or more stands for no "
        f"answer, name it with {setting('missing')}."
        for (before, after), names in holes.items()
    ]


def _zero(item: Item) -> list[int]:
    return [0] if item.scale[0] == 0 and item.scale[-1] > 1 and not even_steps(item.scale) else []


def _few_below_zero(item: Item) -> list[int]:
    """List negative ends of a scale around zero that hardly anybody chose: 0 to 2 with -2 and -1 looks the same."""
    below = [v for v in item.scale if v < 0]
    return below if below and (len(item.scale) == 3 or item.share(below) < RARE) else []


def _at_the_end(name: str, items: Sequence[Item], named: Iterable[int]) -> list[int]:
    """List the last ones of 1 to 9 that may be codes: those from where the answers, of all items alike, become few.

    The items of one scale are counted together: in a single one the last options may well be few.
    """
    scale = next(item.scale for item in items if item.id == name)
    low, top = scale[0], scale[-1]
    if not (low in (0, 1) and 6 <= top <= 9) or even_steps(scale):
        return []
    counts = sum((Counter(item.counts) for item in items if (item.scale[0], item.scale[-1]) == (low, top)), Counter())
    few = 0.75 if top > 7 else 0.5 if any(top < code <= 9 for code in named) else 0.2
    for first in range(6, top + 1):
        # Few scales end at 5 with a code of 6, and the bell of 1 to 9 falls there.
        if max(counts[v] for v in range(first, top + 1)) <= min(few, 0.3 if first == 6 else 1) * counts[first - 1]:
            return list(range(first, top + 1))
    return list(range(7, top + 1)) if top > 7 else []


def _together(values: Mapping[int, list[str]]) -> list[tuple[list[int], list[str]]]:
    """Join values of the same items."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for value, names in values.items():
        groups.setdefault(tuple(names), []).append(value)
    return [(found, list(names)) for names, found in groups.items()]


def _share(codes: Codes, values: Sequence[int]) -> str:
    return f"{sum(codes.often[v][0] for v in values)} of {codes.often[values[0]][1]} answers"


def _verb(values: Sequence[int], one: str, many: str) -> str:
    return one if len(values) == 1 else many


def _and(values: Sequence[int]) -> str:
    return listed([str(value) for value in values])


def _items(items: Sequence[str], most: int = 6) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more items" if len(items) > most else "")
