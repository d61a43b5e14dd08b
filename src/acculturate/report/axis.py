"""The axis of a chart: a linear scale with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from acculturate.report.numbers import Number, number, words
from acculturate.report.svg import percent

# Beyond this a drawing says nothing; the bound keeps sums and differences finite.
LARGEST = 1e15


@dataclass(frozen=True)
class Axis:
    """Describe a linear scale from ``low`` to ``high`` with round ``ticks`` inside."""

    low: Number
    high: Number
    ticks: tuple[Number, ...]

    def part(self, value: Number) -> float:
        """Locate a value on the scale, 0 to 1; values outside are moved to the ends."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def across(self, value: Number) -> str:
        """Locate a value in percent of the width."""
        return percent(self.part(value))

    def label(self, tick: Number) -> str:
        """Write a tick with as many decimals as the distance of ticks needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return words(tick, digits)


def axis(values: Iterable[object], *, floor: Number = 0.0, ceiling: Number = 100.0, count: int = 5) -> Axis:
    """Build an axis over ``floor`` to ``ceiling``, widened with a little room where a value lies outside."""
    held = [max(-LARGEST, min(LARGEST, plain)) for plain in map(number, values) if plain is not None]
    low, high = min([floor, *held]), max([ceiling, *held])
    if high <= low:
        high = low + 1.0
    step = _round_step((high - low) / count)
    room = 0.04 * (high - low)
    bottom, top = low - room * (low < floor), high + room * (high > ceiling)
    first, last = math.ceil(bottom / step - 1e-9), math.floor(top / step + 1e-9)
    return Axis(bottom, top, tuple(k * step for k in range(first, last + 1)))


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1.0, 2.0, 2.5, 5.0) if rough <= factor * power * 1.0001), 10 * power)
