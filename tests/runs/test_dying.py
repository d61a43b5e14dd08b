"""Every kind of run, killed at every kind of point of its writing, ends in the files of an undisturbed one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dying
import pytest

_COMMON = ("--country", "USA", "--protocol", "paper", "--seed", 3, "--tokens", 2, "--population", 4)
_DFGN = ("--optimizer", "dfgn", "--option", "h=3", "--budget", 60)
_WORDINGS = ",".join(f"letters/options-first/{variant}/en/ascending" for variant in (0, 1, 4))
KINDS: Mapping[str, tuple[object, ...]] = {
    "align": ("align", *_COMMON, "--optimizer", "de", "--budget", 16),
    "align-dfgn": ("align", *_COMMON, *_DFGN, "--consistency", 0.5, "--response-style", 0.7),
    "align-fresh": ("align", *_COMMON, *_DFGN, "--fresh-formats", 2, "--train-formats", _WORDINGS),
    "multitask": ("multitask", *_COMMON, *_DFGN, "--country", "CHN", "--shared-tokens", 1, "--tokens", 1),
    "pareto": ("pareto", *_COMMON, "--budget", 24),
    "steer": ("steer", "--set", "PDI=48", "--set", "IDV=52", "--budget", 12),
}


def command_of(kind: str, tiny: str, folder: Path) -> list[str]:
    """The command of a kind without its directory; steering goes from a finished run of its own."""
    words = [str(word) for word in KINDS[kind]]
    if kind == "pareto":
        questions = folder / "sums.csv"
        questions.write_text("question,answer,option_1,option_2\n1 + 1?,2,2,3\n2 + 2?,4,5,4\n", encoding="utf-8")
    if kind != "steer":
        return [*words, "--model", tiny]
    run = [str(word) for word in KINDS["align-dfgn"]]
    start = [sys.executable, "-m", "acculturate", *run, "--model", tiny, "--out", str(folder / "from")]
    subprocess.run(start, check=True, capture_output=True)
    return ["steer", str(folder / "from"), *words[1:]]


def died(kind: str, tiny: str, folder: Path, *, number: str = "SIGKILL", most: int) -> list[str]:
    """Kill a kind of run at its points; returns them. Nothing may go wrong at any."""
    orders = {"command": command_of(kind, tiny, folder), "place": str(folder / "runs"), "most": most, "signal": number}
    (folder / "orders.json").write_text(json.dumps(orders))
    files = [str(folder / name) for name in ("orders.json", "report.json")]
    done = subprocess.run([sys.executable, dying.__file__, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report.json").read_text())
    assert report["wrong"] == {}
    return report["points"]


def test_a_run_that_is_killed_at_a_point_ends_as_if_nothing_had_happened(tiny, tmp_path) -> None:
    assert len(died("align", tiny, tmp_path, most=6)) == 6


def test_a_run_that_is_asked_to_leave_does_so_in_a_sentence_and_goes_on(tiny, tmp_path) -> None:
    died("align", tiny, tmp_path, number="SIGTERM", most=3)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_run_may_be_asked_to_leave_at_every_point(number, tiny, tmp_path) -> None:
    died("align", tiny, tmp_path, number=number, most=1000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_survives_being_killed_at_every_point(kind, tiny, tmp_path) -> None:
    points = died(kind, tiny, tmp_path, most=1000)
    assert len(points) >= 25
    assert any(name.startswith("evaluate") for name in points)
