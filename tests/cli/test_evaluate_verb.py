"""The verb evaluate: a run, a model, mistakes, and a report that holds the evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import arguments, call, failing

import acculturate as ac
from acculturate.runs.evaluate import ANSWERS, EVALUATION, FOLDER, evaluation_of

OWN = """question,answer,option_1,option_2,option_3,country
Which is <b>bold</b>?,this,this,that,neither,China
Which is plain?,B,this,that,neither,India
What is {{ 7 * 7 }}?,49,49,forty,none,India
"""


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "run"
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, *arguments(tiny, out)) == 0
    return out


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.csv").write_text(OWN)
    return tmp_path / "own.csv"


def test_a_run_is_evaluated_and_its_report_shows_it(run, own, monkeypatch, capsys):
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file() and p.name != "report.html"}
    assert call(monkeypatch, "evaluate", run, "--tasks", f"{own},scenarios,fluency", "--limit", 6) == 0
    shown = capsys.readouterr().out
    assert "own.csv (3 questions; answers: probabilities" in shown and "Scenarios (6 questions" in shown
    assert "Fluency (24 requests)" in shown and "moves in the direction of its survey scores" in shown
    assert (run / FOLDER / EVALUATION).is_file() and (run / FOLDER / ANSWERS).is_file()
    page = (run / "report.html").read_text()
    assert "Beyond the survey" in page and "<script" not in page
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file() and p.name != "report.html"} == before
    # The run's own command writes the page anew, with its evaluation.
    (run / "report.html").unlink()
    found = ac.open_run(run)
    assert isinstance(found, ac.Run)
    again = found.evaluate([str(own)])
    assert [task.name for task in again.record.tasks] == [evaluation_of(run).tasks[0].name]
    assert "Beyond the survey" in (run / "report.html").read_text()


def test_align_evaluates_what_it_delivers(tiny, tmp_path, own, monkeypatch, capsys):
    out = tmp_path / "run"
    assert call(monkeypatch, *arguments(tiny, out), f"--tasks={own}") == 0
    assert "own.csv (3 questions" in capsys.readouterr().out
    assert evaluation_of(out).prompt.slot == "response_start"
    assert "Beyond the survey" in (out / "report.html").read_text()


def test_a_run_is_evaluated_with_its_model_where_that_is_now(tiny, run, own, monkeypatch, capsys, tmp_path):
    moved = shutil.copytree(tiny, tmp_path / "moved")
    words = ("evaluate", run, "--tasks", own, "--out", tmp_path / "out", "--format", "json")
    assert call(monkeypatch, *words, "--model", moved) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"][0]["measures"][0]["groups"][0]["tuned"] is not None
    (moved / "config.json").write_text((moved / "config.json").read_text() + "\n")
    assert "is not the one of the run" in failing(capsys, monkeypatch, *words, "--model", moved)


def test_a_model_alone_is_evaluated_without_a_table_of_changes(tiny, own, monkeypatch, capsys):
    assert call(monkeypatch, "evaluate", "--model", tiny, "--tasks", own, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    whole = found["tasks"][0]["measures"][0]["groups"][0]
    assert whole["questions"] == 3 and whole.get("tuned") is None and found["prompt"] is None
    assert found["sentences"] == []
    assert call(monkeypatch, "evaluate", "--model", tiny, "--tasks", own, "--countries", "IND") == 0
    assert "own.csv (2 questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["--tasks", "mini"], "Give the directory of a finished run, or a model"),
        (["--model", "M", "--tasks", ","], "--tasks names no task"),
        (["--model", "M", "--tasks", "minni"], "mini"),
        (["--model", "M", "--tasks", "mini", "--limit", "0"], "--limit is 0"),
        (["--model", "M", "--tasks", "mini", "--answers", "sampled"], "generates text"),
        (["--model", "M", "--tasks", "mini=x.csv"], "mini"),
        (["--model", "M", "--tasks", "mini", "--countries", "Atlantis"], "no question about"),
        (["nowhere", "--tasks", "mini"], "There is no finished run for one country in 'nowhere'"),
        (["nowhere", "--dtype", "bfloat16"], "--dtype goes with --model"),
        (["--model", "M", "--tasks", "mini,mini"], "is named twice"),
        (["--model", "M", "--tasks", "mini", "--out", "full"], "'full' holds other files (mine.txt)"),
        (["--model", "M", "--tasks", "mini", "--out", "full/mine.txt"], "The evaluation cannot be written to"),
    ],
)
def test_mistakes_are_one_sentence(tiny, monkeypatch, capsys, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert said in failing(capsys, monkeypatch, "evaluate", *[tiny if word == "M" else word for word in words])


def test_an_evaluation_that_was_being_replaced_when_it_was_killed_stands_in_nobodys_way(tiny, run, own, monkeypatch):
    from acculturate.runs import evaluate as work

    found = ac.open_run(run)
    found.evaluate(str(own))

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work, "write_last", killed)
        with pytest.raises(KeyboardInterrupt):
            found.evaluate("general", limit=4)
    assert evaluation_of(run) is None
    assert call(monkeypatch, *arguments(tiny, run)) == 0
    assert "Beyond the survey" not in (run / "report.html").read_text()
    assert found.evaluate(str(own)).record == evaluation_of(run)


def test_tasks_are_listed(monkeypatch, capsys):
    assert call(monkeypatch, "list", "tasks", "--format", "json") == 0
    names = [row["task"] for row in json.loads(capsys.readouterr().out)]
    assert {"mini", "general", "scenarios", "fluency", "culturalbench-hard", "blend"} <= set(names)
