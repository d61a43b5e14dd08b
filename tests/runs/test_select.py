"""Selection of the winner by a task: on a tiny random model, and by what a user may do wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import settings

from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.judge.knowledge import measures
from acculturate.judge.verdict import selection_sentence
from acculturate.knowledge.catalog import load_task
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.tasks import answer
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import read_prompt
from acculturate.runs.align import align
from acculturate.runs.load import open_run
from acculturate.runs.spec import make_spec
from acculturate.search.history import FinalistRecord, SelectionRecord
from acculturate.search.loop import SHORTLIST, Progress, unpack_search
from acculturate.search.optimizers.dfgn_state import DFGNState
from acculturate.search.shortlist import SHARE, finalists


@pytest.fixture
def questions(tmp_path: Path) -> str:
    """Write a task of four questions."""
    lines = ["question,answer,option_1,option_2,option_3"]
    lines += [f"What is {n} plus {n}?,{2 * n},{2 * n},{2 * n + 1},{n - 1}" for n in range(2, 6)]
    (tmp_path / "sums.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(tmp_path / "sums.csv")


def spec(tiny: str, questions: str, **changes):
    values = {"optimizer": "dfgn", "budget": 120, "population": 8, "select_by": questions, "mass_penalty": 0.0}
    return make_spec(settings(tiny) | values | changes)


def progress(judged: list[float], winner: int) -> Progress:
    x = np.arange(len(judged), dtype=float)[:, None]
    at = 10.0 * np.arange(1, len(judged) + 1)
    return Progress(
        0, 9, 99, x[winner], judged[winner], x[winner], judged[winner], int(at[winner]), x, np.array(judged), at
    )


class TestFinalists:
    def test_only_what_keeps_nine_tenths_of_the_gain_is_in(self):
        assert SHARE == 0.9
        judged = [100.0, 40.0, 19.0, 10.0]
        assert [one.judged for one in finalists(progress(judged, 3))] == [10.0, 19.0]

    def test_the_lowest_loss_comes_first_and_once(self):
        entries = finalists(progress([100.0, 9.0, 8.0, 8.5], 2))
        assert [(one.judged, one.evaluations) for one in entries] == [(8.0, 30), (8.5, 40), (9.0, 20)]

    def test_a_search_without_a_shortlist_has_its_winner(self):
        bare = Progress.before(np.zeros((2, 3)), 0)
        assert len(finalists(bare)) == 1


def test_a_task_picks_among_the_best_candidates(tiny: str, questions: str, tmp_path: Path):
    out = tmp_path / "run"
    result = align(spec(tiny, questions), out)
    selection = result.search.selection
    assert selection is not None
    assert 1 < len(selection.finalists) <= SHORTLIST
    stored = RunDirectory(out).restore()
    assert stored is not None
    _, reached = unpack_search(DFGNState, *stored)
    assert [(one.judged, one.evaluations) for one in selection.finalists] == [
        (pytest.approx(one.judged), one.evaluations) for one in finalists(reached)
    ]
    figures = [one.figure or 0.0 for one in selection.finalists]
    assert selection.selected == int(np.argmax(figures)), "of equals the one with the lowest loss"
    # The prompt that is delivered has the very figure that it was picked for.
    task = load_task(questions)
    shares = answer(Respondent(ModelChoice(tiny)), task, AnswerKind.PROBABILITIES, [read_prompt(out)])[0].shares
    assert measures(task, shares)[0].whole.untuned == pytest.approx(figures[selection.selected])
    assert result.search.chosen is not None
    assert result.search.chosen.evaluations == selection.finalists[selection.selected].evaluations
    assert any(sentence == selection_sentence(selection) for sentence in result.verdict.sentences)
    assert open_run(out)["search"]["selection"]["task"] == questions


def test_other_questions_are_another_run(tiny: str, questions: str, tmp_path: Path):
    align(spec(tiny, questions, budget=8), tmp_path / "run")
    Path(questions).write_text(Path(questions).read_text("utf-8").replace("plus", "and"), encoding="utf-8")
    with pytest.raises(UserError, match="holds a run with"):
        align(spec(tiny, questions, budget=8), tmp_path / "run")


def test_a_run_without_it_names_no_selection(tiny: str, tmp_path: Path):
    align(make_spec(settings(tiny)), tmp_path / "run")
    assert "selection" not in (tmp_path / "run" / "result.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("heldout", "validation_formats"),
        ("fluency", "right answers"),
        ("scenarios", "no right answers"),
        ("minni", "mini"),
    ],
)
def test_what_cannot_pick_is_refused_before_the_model_is_loaded(name: str, said: str, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        align(make_spec(settings("no-such-model") | {"select_by": name}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_sentence_says_what_both_have():
    entries = (
        FinalistRecord(evaluations=90, judged=3.0, figure=0.25),
        FinalistRecord(evaluations=60, judged=9.0, figure=0.5),
    )
    record = SelectionRecord(
        task="general", title="General", checksum="", measure="right answers", unit="share", untuned=0.4,
        finalists=entries, selected=1,
    )  # fmt: skip
    sentence = selection_sentence(record)
    assert "50.0 % at 9.0 points" in sentence
    assert "lowest loss (3.0) has 25.0 %" in sentence
    assert "untuned model has 40.0 %" in sentence
