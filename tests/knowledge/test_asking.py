"""Questions of a task as a questionnaire: every option under every label, and answers brought back to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.knowledge.asking import sheet
from acculturate.knowledge.task import Question, Task, TaskKind, part_of_task
from acculturate.survey.response import Response

CAPITAL = Question("c", "Which city is the seat of government?", ("North", "South", "East", "West"), 1)
SUM = Question("s", "What is one and one?", ("two", "three"), 0)


def response(laid_out, weigh):
    """Answer every item by what its shown options weigh: ``weigh(option text, place)``."""
    instrument = laid_out.questionnaire.instrument
    widest = instrument.option_mask().shape[1]
    rows = []
    for item in instrument.item_ids:
        options = instrument.options(item)
        weights = np.array([weigh(text, place) for place, text in enumerate(options)], dtype=float)
        rows.append(np.pad(weights / weights.sum(), (0, widest - len(options))))
    with np.errstate(divide="ignore"):
        logprobs = np.log(np.stack(rows))
    shape = (len(laid_out.questionnaire.formats), *logprobs.shape)
    return Response(np.broadcast_to(logprobs, shape).copy(), np.full(shape[:2], 0.5))


def test_an_answerer_by_place_gains_nothing_and_a_knowing_one_keeps_all():
    laid_out = sheet(TaskKind.CHOICE, [CAPITAL, SUM], in_words=False)
    first = laid_out.shares(response(laid_out, lambda text, place: 1.0 if place == 0 else 1e-9))
    assert first[0] == pytest.approx([0.25] * 4) and first[1, :2] == pytest.approx([0.5, 0.5])
    assert np.isnan(first[1, 2:]).all()
    knows = laid_out.shares(response(laid_out, lambda text, place: 8.0 if text in ("South", "two") else 1.0))
    assert knows[0] == pytest.approx([1 / 11, 8 / 11, 1 / 11, 1 / 11]) and knows[1, 0] == pytest.approx(8 / 9)
    assert laid_out.mass(response(laid_out, lambda *_: 1.0)).tolist() == [0.5, 0.5]


def test_every_option_stands_once_under_every_label():
    laid_out = sheet(TaskKind.CHOICE, [CAPITAL], in_words=False)
    texts = [question.text for question in laid_out.questionnaire.questions()]
    assert len(texts) == 4
    for option in CAPITAL.options:
        assert sorted(text[text.index(f". {option}") - 1] for text in texts) == ["A", "B", "C", "D"]


def test_judgements_are_asked_in_words_in_both_orders_and_open_questions_list_nothing():
    judged = sheet(TaskKind.JUDGEMENTS, [Question("j", "Is it so?", ("True", "False"), 0)], in_words=False)
    first, second = (question.text for question in judged.questionnaire.questions())
    assert first.index("True") < first.index("False") and second.index("False") < second.index("True")
    open_one = sheet(TaskKind.CHOICE, [CAPITAL], in_words=True).questionnaire.questions()
    assert len(open_one) == 1 and "North" not in open_one[0].text


def test_more_options_than_labels_are_refused_by_name():
    many = Question("many", "Which?", tuple(f"option {k}" for k in range(12)), 0)
    with pytest.raises(UserError, match="'many' has 12 options"):
        sheet(TaskKind.CHOICE, [SUM, many], in_words=False)


@given(st.integers(1, 30), st.integers(1, 40))
def test_a_part_is_the_same_whatever_the_order_and_keeps_groups_whole(count, limit):
    questions = tuple(Question(f"q{k}", "?", ("True", "False"), 0, cluster=f"c{k // 3}") for k in range(count))
    task = Task("t", "T", TaskKind.JUDGEMENTS, questions)
    part = part_of_task(task, limit=limit)
    clusters = {question.cluster for question in part.questions}
    assert len(clusters) == min(limit, (count + 2) // 3)
    assert part.questions == tuple(question for question in questions if question.cluster in clusters)
    turned = part_of_task(Task("t", "T", TaskKind.JUDGEMENTS, questions[::-1]), limit=limit)
    assert {question.id for question in turned.questions} == {question.id for question in part.questions}


def test_of_opinions_the_shares_of_the_countries_that_were_asked_for_are_kept():
    shares = {"Japan": (0.4, 0.6), "Egypt": (0.9, 0.1)}
    task = Task("o", "O", TaskKind.OPINIONS, (Question("q", "?", ("a", "b"), shares=shares),))
    assert part_of_task(task, countries=["JPN"]).questions[0].shares == {"Japan": (0.4, 0.6)}


def test_countries_meet_however_they_are_spelt_and_tasks_about_none_stay():
    names = ("Saudi_Arabia", "China", "United States")
    task = Task("t", "T", TaskKind.CHOICE, tuple(Question(n, "?", ("a", "b"), 0, country=n) for n in names))
    assert [q.id for q in part_of_task(task, countries=["SAU", "usa"]).questions] == ["Saudi_Arabia", "United States"]
    with pytest.raises(UserError, match="no question about"):
        part_of_task(task, countries=["FRA"])
    general = Task("g", "G", TaskKind.CHOICE, (SUM,))
    assert part_of_task(general, countries=["FRA"]) == general
