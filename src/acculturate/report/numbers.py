"""Numbers of a report: which are there, and how they are written."""

from __future__ import annotations

import math

MISSING = "–"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Number = float | int


def number(value: object) -> float | None:
    """Return a finite number, or None for whatever else stands in its place (null, NaN, infinity, text)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if math.isfinite(plain) else None


def words(value: object, digits: int = 1, *, signed: bool = False) -> str:
    """Write a number to read: fixed decimals, a true minus sign, thousands apart; an en dash when missing."""
    plain = number(value)
    if plain is None:
        return MISSING
    if abs(plain) >= 1e9:
        mantissa, exponent = f"{plain:.1e}".split("e")
        text = f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}"
    else:
        text = f"{plain:{'+' if signed else ''},.{digits}f}"
        # Thousands are set apart from 10,000 on: four digits read well without.
        text = text.replace(",", "\u202f" if abs(plain) >= 10_000 else "")
        if not text.strip("+-0."):
            text = text.lstrip("+-")
    return text.replace("-", "−")
