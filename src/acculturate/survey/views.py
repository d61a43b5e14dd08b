"""Views: the formats whose answers are averaged before they are scored, such as the two orders of one presentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Views = tuple[tuple[int, ...], ...]
"""The places of every view's formats."""


def views_alone(views: Sequence[Sequence[int]], kept: Iterable[int]) -> tuple[list[int], Views]:
    """Keep some views: the places of their formats, and the views with these formats numbered anew from 0."""
    formats: list[int] = []
    renumbered = []
    for view in kept:
        renumbered.append(tuple(range(len(formats), len(formats) + len(views[view]))))
        formats += views[view]
    return formats, tuple(renumbered)
