"""Built-in tasks: the right option where it cannot be guessed, courses of action, and files that are refused."""

from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path

import pytest

from acculturate.errors import UserError
from acculturate.knowledge.builtin import builtin_tasks, load_builtin
from acculturate.knowledge.task import TaskKind

CHOICE = ("id", "country", "topic", "question", "right", "wrong_1", "wrong_2", "wrong_3", "source")


def choices(folder: Path, sizes: dict[str, int], order: random.Random | None = None) -> Path:
    rows = [
        (f"{country or 'x'}-{k}", country, "food", f"Question {k}?", "R", "W1", "W2", "W3", "somewhere")
        for country, size in sizes.items()
        for k in range(size)
    ]
    if order:
        order.shuffle(rows)
    with (folder / "mini.csv").open("w", newline="") as file:
        csv.writer(file).writerows([CHOICE, *rows])
    return folder


def test_the_right_option_is_in_every_place_equally_often_for_each_country_and_over_all(tmp_path: Path) -> None:
    task = load_builtin("mini", choices(tmp_path, {"China": 8, "India": 5, "Peru": 7, "Spain": 4}))
    assert task.kind is TaskKind.CHOICE
    for country in ("", *task.countries):
        asked = [question for question in task.questions if country in ("", question.country)]
        places = Counter(question.right for question in asked)
        assert max(places.values()) - min(places[place] for place in range(4)) <= 1, country
    for question in task.questions:
        assert question.options[question.right or 0] == "R"
        assert [option for option in question.options if option != "R"] == ["W1", "W2", "W3"]
    in_file_order = [question.right for question in task.questions if question.country == "China"]
    assert in_file_order not in ([0, 1, 2, 3] * 2, sorted(in_file_order)), "the place shows nothing of the file's order"


def test_the_place_of_the_right_option_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    sizes = {"China": 8, "Peru": 7}
    first = {q.id: q for q in load_builtin("mini", choices(tmp_path, sizes)).questions}
    second = {q.id: q for q in load_builtin("mini", choices(tmp_path, sizes, random.Random(1))).questions}
    assert first == second
    assert list(first) != list(second)


def test_general_knowledge_is_about_no_country(tmp_path: Path) -> None:
    choices(tmp_path, {"": 8})
    (tmp_path / "mini.csv").rename(tmp_path / "general.csv")
    task = load_builtin("general", tmp_path)
    assert task.countries == ()
    assert Counter(question.right for question in task.questions) == dict.fromkeys(range(4), 2)
    assert (task.licence, task.source) == ("Apache-2.0", "built in (general.csv)")


def test_scenarios_have_the_course_of_the_high_end_first(tmp_path: Path) -> None:
    (tmp_path / "scenarios.csv").write_text(
        "id,dimension,situation,high,low\ns1,PDI,What does Kim do?,Kim waits.,Kim speaks.\n"
    )
    (question,) = load_builtin("scenarios", tmp_path).questions
    assert (question.options, question.topic, question.right) == (("Kim waits.", "Kim speaks."), "pdi", None)
    assert load_builtin("scenarios", tmp_path).kind is TaskKind.COURSES


@pytest.mark.parametrize(
    "rows, message",
    [
        ("a,,food,x?,R,R,W2,W3,s\n", r"mini\.csv, line 2: two of its options are the same"),
        ("a,,food,x?,R,W1,W2,,s\n", r"mini\.csv, line 2, wrong_3: the text is empty"),
        ("a b,,food,x?,R,W1,W2,W3,s\n", "id: the name 'a b' may only have letters"),
        ("a,,food,x?,R,W1,W2,W3,s\n" * 2, r"mini\.csv, line 3: the id 'a' stands twice"),
        ("a,,food,x?\n", r"mini\.csv, line 2: expected 9 fields"),
        ("", "expected at least one row"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_place(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "mini.csv").write_text(",".join(CHOICE) + "\n" + rows)
    with pytest.raises(UserError, match=message):
        load_builtin("mini", tmp_path)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read the built-in task 'general'"):
        load_builtin("general", tmp_path)
    assert list(builtin_tasks()) == ["mini", "general", "scenarios"]
