"""Finished runs opened in Python: every kind, its figures as frames, and what a damaged directory says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from acculturate.errors import UserError
from acculturate.judge.records import Verdict, VerdictKind
from acculturate.model.soft_prompt import read_prompt
from acculturate.runs.load import FrontRun, MultitaskRun, Run, SteeredRun, open_run
from acculturate.runs.records import RunKind

RUNS = Path(__file__).resolve().parents[1] / "fixtures" / "runs"


@pytest.fixture
def run() -> Run:
    opened = open_run(RUNS / "align-dfgn")
    assert isinstance(opened, Run)
    return opened


def test_a_run_reads_as_its_record_does(run) -> None:
    record = json.loads((run.path / "result.json").read_text())
    assert dict(run) == run.to_dict() == record
    assert run["target"]["code"] == "USA"
    assert run.kind is RunKind.ALIGN
    assert run.verdict.kind is VerdictKind(record["verdict"]["kind"])
    assert run.verdict.to_json() == record["verdict"]
    assert np.array_equal(run.prompt.vectors, read_prompt(run.path).vectors)


def test_the_table_has_the_records_figures(run) -> None:
    table = run.table()
    rows = {row["id"]: row for row in run["rows"]}
    assert list(table.index) == list(rows)
    for ident, row in rows.items():
        for role in ("train", "validation", "heldout"):
            assert table.loc[ident, f"{role}_loss"] == row[role]["loss"]
            assert table.loc[ident, f"{role}_mass"] == row[role]["mass"]


def test_the_distance_follows_from_the_scores(run) -> None:
    scores = run.scores()
    assert set(scores.columns) == {"row", "role", "view", "dimension", "score", "target"}
    gaps = (scores["score"] - scores["target"]).abs().groupby([scores["row"], scores["role"], scores["view"]]).sum()
    losses = gaps.groupby(level=["row", "role"]).mean()
    table = run.table()
    for role in ("train", "heldout"):
        assert losses["tuned", role] == pytest.approx(table.loc["tuned", f"{role}_loss"])


def test_the_curve_and_the_evaluations_agree(run) -> None:
    curve, evaluations = run.curve(), run.evaluations()
    assert len(evaluations) == curve["evaluations"].iloc[-1] == run["search"]["evaluations"]
    assert curve["best"].iloc[-1] == pytest.approx(evaluations["loss"].min())


def test_every_other_kind_opens() -> None:
    many, front, steered = (open_run(RUNS / name) for name in ("multitask", "pareto", "steer"))
    assert isinstance(many, MultitaskRun) and isinstance(front, FrontRun) and isinstance(steered, SteeredRun)
    assert many.countries == ("USA", "CHN")
    assert many.country("CHN").kind is RunKind.COUNTRY
    assert many.table().loc["CHN", "train_tuned"] == pytest.approx(
        many.country("CHN").table().loc["tuned", "train_loss"]
    )
    assert list(front.table().index) == list(range(1, len(front["points"]) + 1))
    assert front.prompt(1).vectors.shape == front.prompt(len(front["points"])).vectors.shape
    assert steered.table().loc["pdi", "wanted"] == 60.0
    for opened in (many, front, steered):
        assert opened._repr_html_().count("<table") == 1


def test_a_page_of_a_notebook_shows_text_as_text(run) -> None:
    verdict = Verdict(kind=VerdictKind.PARTLY, headline="<script>x</script>", sentences=())
    hostile = Run(run.path, run.record.model_copy(update={"verdict": verdict}))
    assert "<script>" not in hostile._repr_html_()


def test_what_is_no_finished_run_is_said(run, tmp_path) -> None:
    with pytest.raises(UserError, match="There is no run in"):
        open_run(tmp_path)
    own = Path(shutil.copytree(run.path, tmp_path / "own"))
    (own / "evaluations.parquet").unlink()
    opened = open_run(own)
    assert isinstance(opened, Run)
    with pytest.raises(UserError, match=r"has no evaluations\.parquet"):
        opened.evaluations()
    (own / "result.json").write_text((own / "result.json").read_text().replace("63.5", "13.5"))
    with pytest.raises(UserError, match="does not fit its checksum"):
        open_run(own)
    (own / "result.json").unlink()
    with pytest.raises(UserError, match="is not finished; give its command again"):
        open_run(own)
    with pytest.raises(UserError, match="no country 'XXX'; name one of USA, CHN"):
        open_run(RUNS / "multitask").country("XXX")  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no point 99"):
        open_run(RUNS / "pareto").prompt(99)  # type: ignore[operator, union-attr]
