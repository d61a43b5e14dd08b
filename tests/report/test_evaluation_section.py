"""The part of a report on tasks: rows that are left out are counted, and nothing from data is markup."""

from __future__ import annotations

import json
from pathlib import Path

from acculturate.judge.evaluation_records import Evaluation, GroupFigures, Measure, PromptShown, TaskRecord
from acculturate.judge.records import ModelIdentity, Result
from acculturate.report.evaluation_section import LONGEST, evaluation_section
from acculturate.report.run_page import render

FIXTURES = Path(__file__).parent.parent / "fixtures"


def _evaluation(groups: int, name: str = "Land", *, tuned: bool = True) -> Evaluation:
    figures = tuple(
        GroupFigures(group=f"{name} {k}" if k else "", questions=3, untuned=0.5, tuned=0.25, p=0.5, visible=1.0)
        for k in range(groups)
    )
    measure = Measure(id="accuracy", name="right answers", chance=0.25, groups=figures)
    task = TaskRecord(
        name="t", title=name, kind="choice", answers="cloze", questions=9, measures=(measure,), notes=(name,)
    )
    prompt = PromptShown(source="run", tokens=2, slot="response_start", checksum="0") if tuned else None
    return Evaluation(
        version="0",
        model=ModelIdentity({"model": "m"}),
        precision="float32",
        prompt=prompt,
        tasks=(task,),
        sentences=(name,),
    )


def test_rows_that_are_left_out_are_counted():
    section = evaluation_section(_evaluation(LONGEST + 5))
    assert section is not None
    rows = section["tasks"][0]["measures"][0]["rows"]
    assert len(rows) == LONGEST + 1 and rows[-1]["name"] == "and 5 more in evaluation.json"
    assert rows[0] == {"name": "all", "cells": ["3", "50.0", "–", "25.0", "–", "0", "0", "0.500", "100.0"]}
    assert evaluation_section(_evaluation(2, tuned=False)) is None and evaluation_section(None) is None


def test_names_from_data_are_no_markup():
    result = Result.from_json((FIXTURES / "result_saudi.json").read_text(encoding="utf-8"))
    page = render(result, _evaluation(3, "<script>alert(1)</script>"))
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page and 'id="evaluation"' in page
    assert 'id="evaluation"' not in render(result)
    assert json.dumps(result.to_json())
