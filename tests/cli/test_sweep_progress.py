"""How far a sweep is, on a terminal and elsewhere."""

from __future__ import annotations

import re

import pytest

from acculturate.cli.sweep_progress import sweep_progress
from acculturate.runs.sweep.events import Event, EventKind

EVENTS = (
    Event("USA", EventKind.BEGINS),
    Event("USA", EventKind.STAGE, "loading the \x1b[2Jmodel"),
    Event("CHN", EventKind.BEGINS),
    Event("USA", EventKind.GENERATION, evaluations=20, best=41.5),
    Event("CHN", EventKind.FAILED, "Model 'x' does not exist."),
    Event("USA", EventKind.DONE),
)


def test_elsewhere_a_run_that_ends_is_a_line(capsys) -> None:
    with sweep_progress({"USA": 40, "CHN": 40}, finished=1) as show:
        for event in EVENTS:
            show(event)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.sub(r"in [0-9]+ s", "in N s", shown.err).splitlines() == [
        "1 of 3 runs are finished already.",
        "1 of 2: CHN failed in N s: Model 'x' does not exist.",
        "2 of 2: USA done in N s, lowest loss 41.50",
    ]


def test_a_terminal_has_a_table_that_nothing_steers(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with sweep_progress({"USA": 40, "CHN": 40}, finished=0) as show:
        for event in EVENTS[:-1]:
            show(event)
    said = capsys.readouterr().err
    assert "1 of 2 runs" in said and "20/40" in said and "41.50" in said and "loading the \\x1b[2Jmodel" in said


def test_one_run_is_one_and_a_message_names_flags(capsys) -> None:
    with sweep_progress({}, finished=1):
        pass
    assert capsys.readouterr().err == "1 of 1 run is finished already.\n"
    with sweep_progress({"USA": 4}, finished=0) as show:
        show(Event("USA", EventKind.FAILED, "Choose another with `out`."))
    assert capsys.readouterr().err == "1 of 1: USA failed in 0 s: Choose another with --out.\n"
