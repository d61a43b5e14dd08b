"""The part of a report on what a prompt changes beyond the survey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acculturate.judge.evaluation_records import Evaluation, GroupFigures, Measure
from acculturate.legible import capital

LONGEST = 60
"""Rows of a table at most; the file of the evaluation has all of them."""


def evaluation_section(found: Evaluation | None) -> dict[str, Any] | None:
    """Lay out an evaluation for the page; None where there is none."""
    if found is None or found.prompt is None:
        return None
    tasks = [
        {
            "title": task.title,
            "measures": [_measure(measure) for measure in task.measures],
            "notes": [*task.notes, task.terms],
        }
        for task in found.tasks
    ]
    return {
        "sentences": found.sentences,
        "tasks": tasks,
        "replies": () if found.fluency is None else found.fluency.shown,
    }


def _measure(measure: Measure) -> dict[str, Any]:
    rows = [
        {"name": group.group or "all", "cells": list(figures_of(measure, group))} for group in measure.groups[:LONGEST]
    ]
    left = len(measure.groups) - LONGEST
    if left > 0:
        rows.append({"name": f"and {left} more in evaluation.json", "cells": []})
    return {"name": capital(measure.name), "title": measure.title, "rows": rows}


def figures_of(measure: Measure, group: GroupFigures, *, tuned: bool = True) -> Iterator[str]:
    """Write the figures of a row: number, untuned and tuned with intervals, up, down, p and what is visible."""
    yield str(group.questions)
    yield from (measure.written(group.untuned), measure.between(group.untuned_interval))
    if not tuned:
        return
    yield from (measure.written(group.tuned), measure.between(group.tuned_interval))
    yield from (str(group.higher), str(group.lower))
    yield "–" if group.p is None else f"{group.p:.3f}"
    yield measure.written(group.visible)
