"""The command line in this process: short settings, and calls whose ends are looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acculturate.cli import main as cli

STAGES = ("loading the model", "laying out the questionnaire")


def settings(tiny: str, **changes: object) -> dict[str, object]:
    return {
        "model": tiny,
        "country": "SAU",
        "targets": "country-tool-estimate",
        "protocol": "paper",
        "optimizer": "de",
        "tokens": 2,
        "population": 5,
        "budget": 20,
        **changes,
    }


def failing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Run the command line in this process; it must exit with 2 and say one sentence, without a traceback."""
    monkeypatch.setattr(sys, "argv", ["acculturate", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    shown = capsys.readouterr()
    assert exit_.value.code == 2
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if line not in STAGES]
    assert len(lines) == 1, shown.err
    assert lines[0].startswith("acculturate: ")
    assert lines[0].endswith((".", "?"))
    return lines[0]


def arguments(tiny: str, out: Path) -> list[str]:
    return ["align", *(f"--{key}={value}" for key, value in settings(tiny).items()), f"--out={out}"]


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> object:
    monkeypatch.setattr(sys, "argv", ["acculturate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code
