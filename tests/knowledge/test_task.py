"""Tasks: a sample that is spread over the data, the questions about a country, and a checksum of what decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.knowledge.task import Question, Task, TaskKind


def blocks(count: int, kind: TaskKind = TaskKind.CHOICE, together: int = 1) -> Task:
    """Questions in blocks of one right answer, as NormAd has them."""
    questions = tuple(
        Question(f"q{k}", f"Question {k}?", ("a", "b", "c"), right=3 * k // count, cluster=f"c{k // together}")
        for k in range(count)
    )
    return Task("t", "T", kind, questions)


def test_a_sample_is_spread_over_the_blocks_of_the_data() -> None:
    rights = [question.right for question in blocks(300).limited(60).questions]
    assert rights == sorted(rights), "in the order of the data"
    assert all(10 <= rights.count(right) <= 30 for right in range(3))


@given(st.integers(1, 40), st.integers(1, 50), st.sampled_from([1, 4]), st.randoms())
def test_samples_are_nested_and_do_not_depend_on_the_order(
    count: int, most: int, together: int, random: st.DataObject
) -> None:
    task = blocks(count, together=together)
    shuffled = list(task.questions)
    random.shuffle(shuffled)
    chosen = {question.id for question in task.limited(most).questions}
    assert len(chosen) == min(most, count)
    assert chosen <= {question.id for question in task.limited(most + 1).questions}
    assert chosen == {question.id for question in replace(task, questions=tuple(shuffled)).limited(most).questions}


def test_a_sample_takes_one_variant_of_each_question_before_a_second() -> None:
    chosen = blocks(100, together=5).limited(20).questions
    assert len({question.cluster for question in chosen}) == 20


@pytest.mark.parametrize("most, groups", [(1, 1), (2, 2), (1000, 5)])
def test_groups_of_judgements_stay_whole(most: int, groups: int) -> None:
    chosen = blocks(20, TaskKind.JUDGEMENTS, together=4).limited(most).questions
    assert len(chosen) == 4 * groups
    assert len({question.cluster for question in chosen}) == groups


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="expected a whole number from 1"):
        blocks(3).limited(0)


def test_questions_are_found_by_any_name_of_their_country() -> None:
    names = ("Saudi Arabia", "Saudi_Arabia", "China", "")
    task = Task(
        "t", "T", TaskKind.CHOICE, tuple(Question(f"q{k}", "x?", ("a", "b"), 0, n) for k, n in enumerate(names))
    )
    assert task.countries == ("Saudi Arabia", "Saudi_Arabia", "China")
    assert [question.id for question in task.about("SAU").questions] == ["q0", "q1"]
    with pytest.raises(UserError, match=r"T has no question about 'Chinaa' \(nearest: 'China'\)"):
        task.about("Chinaa")


def test_opinions_are_found_by_whose_they_are() -> None:
    asked = ({"India": (0.5, 0.5)}, {"US": (1.0, 0.0), "India": (0.0, 1.0)})
    questions = tuple(Question(f"q{k}", "x?", ("a", "b"), shares=shares) for k, shares in enumerate(asked))
    task = Task("t", "T", TaskKind.OPINIONS, questions)
    assert [question.id for question in task.about("United States").questions] == ["q1"]


def test_the_checksum_is_of_all_that_decides_a_figure_and_of_nothing_else() -> None:
    question = Question("q", "x?", ("a", "b"), 0, "China", "food", "c", {"China": (0.5, 0.5)})
    task = Task("t", "T", TaskKind.CHOICE, (question, Question("r", "y?", ("a", "b"))))
    changed = [
        {"text": "z?"},
        {"options": ("b", "a")},
        {"right": 1},
        {"right": None},
        {"country": "India"},
        {"topic": "drink"},
        {"cluster": "d"},
        {"shares": {"China": (0.4, 0.6)}},
        {"shares": {"India": (0.5, 0.5)}},
    ]
    sums = [replace(task, questions=(replace(question, **change), task.questions[1])).checksum for change in changed]
    sums += [replace(task, kind=TaskKind.COURSES).checksum, task.limited(1).checksum, task.checksum]
    assert len(set(sums)) == len(sums)
    other = replace(task, name="u", title="U", licence="L", citation="C", source="S", notes=("N",))
    assert other.checksum == task.checksum
