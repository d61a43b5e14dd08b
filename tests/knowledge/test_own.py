"""A user's own questions: CSV and JSON Lines, and every mistake refused with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.knowledge.layouts.own import own_questions
from acculturate.knowledge.questions import read_questions
from acculturate.knowledge.task import Question

TABLE = """ID,Question,answer,option_1,option_2,option_3,country,topic,note
tea,What is drunk?,tea,ink,tea,,Saudi Arabia,food,easy
,What is eaten?,c,oil,ink,bread,,,
"""
OBJECTS = [
    {"id": "tea", "question": "What is drunk?", "options": ["ink", "tea"], "answer": 1, "topic": "food"},
    {"question": "What is eaten?", "options": ["oil", "ink", "bread"], "answer": "C", "country": None},
    {"id": 3, "question": "What is 1 + 1?", "options": ["1", "2"], "answer": "2"},
]


def written(folder: Path, name: str, content: str | list[dict[str, object]]) -> Path:
    text = content if isinstance(content, str) else "".join(json.dumps(each) + "\n" for each in content)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_of_questions(tmp_path: Path) -> None:
    assert own_questions(written(tmp_path, "q.csv", TABLE)) == (
        Question("tea", "What is drunk?", ("ink", "tea"), 1, "Saudi Arabia", "food"),
        Question("q2", "What is eaten?", ("oil", "ink", "bread"), 2),
    )


def test_an_object_a_question(tmp_path: Path) -> None:
    assert own_questions(written(tmp_path, "q.jsonl", OBJECTS)) == (
        Question("tea", "What is drunk?", ("ink", "tea"), 1, topic="food"),
        Question("q2", "What is eaten?", ("oil", "ink", "bread"), 2),
        Question("3", "What is 1 + 1?", ("1", "2"), 1),
    )


def test_a_file_for_a_second_objective_may_have_more_columns_than_are_read(tmp_path: Path) -> None:
    text = "id,question,answer,option_1,option_2,id\nx,One?,a,a,b,y\nx,Two?,b,a,b,y\n"
    instrument = read_questions(written(tmp_path, "q.csv", text))
    assert [item.id for item in instrument.items] == ["q1", "q2"]
    with pytest.raises(UserError, match="line 1: the column 'id' stands twice"):
        own_questions(tmp_path / "q.csv")


GOOD = {"question": "x?", "options": ["a", "b"], "answer": "a"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"answer": "c"}, "answer: 'c' is neither an option's text nor one of the letters A, B"),
        ({"answer": 2}, "answer: '2' is neither an option's text nor one of the letters A, B, nor a place from 0 to 1"),
        ({"answer": -1}, "answer: '-1' is neither"),
        ({"answer": True}, "answer: expected text, found true"),
        ({"answer": 0.0}, "answer: expected text, found 0.0"),
        ({"answer": ["a"]}, "answer: expected text, found a list"),
        ({"answer": ""}, "answer: the text is empty"),
        ({"answer": 1, "options": ["1", "2"]}, "'1' is the text of one option and the place of another"),
        ({"answer": "A", "options": ["B", "A"]}, "'A' is the text of one option and the letter of another"),
        ({"options": ["a"]}, "the question has 1 options; expected two at least"),
        ({"options": []}, "options: expected a list with at least one entry"),
        ({"options": "ab"}, "options: expected a list with at least one entry"),
        ({"options": list("abcdefghij")}, "a question can have 9 options, not 10"),
        ({"options": ["a", "b", "a"]}, "the option 'a' stands twice"),
        ({"options": ["a", "b", " b "]}, "the option 'b' stands twice"),
        ({"options": ["a", 2]}, r"options\[1\]: expected text, found 2"),
        ({"options": ["a", None]}, r"options\[1\]: expected text, found nothing"),
        ({"options": ["a", {"b": 1}]}, r"options\[1\]: expected text, found a table"),
        ({"options": ["a", "<|im_end|>"]}, r"options\[1\]: .*control tokens"),
        ({"question": None}, "question: expected text, found nothing"),
        ({"question": "x\x1b[2J?"}, "question: it has the control character U\\+001B; take it out"),
        ({"options": ["a", "\u202eb"]}, "options: it has the control character U\\+202E"),
        ({"country": "\ud800"}, "country: it has the control character U\\+D800"),
        ({"country": ["China"]}, "country: expected text, found a list"),
        ({"topic": "<|x|>"}, "topic: .*control tokens"),
        ({"question": "x" * 20_000}, "the question and its options have 20,002 characters; expected 20,000 at most"),
    ],
)
def test_a_question_that_is_wrong_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = written(tmp_path, "q.jsonl", [GOOD, {**GOOD, **change}])
    with pytest.raises(UserError, match=f"line 2.*{message}"):
        own_questions(path)


@pytest.mark.parametrize("lacking", ["question", "options", "answer"])
def test_a_missing_entry_is_refused_with_its_place(tmp_path: Path, lacking: str) -> None:
    path = written(tmp_path, "q.jsonl", [GOOD, {name: value for name, value in GOOD.items() if name != lacking}])
    with pytest.raises(UserError, match=f"line 2: the column '{lacking}' is missing"):
        own_questions(path)


@pytest.mark.parametrize("ids", [("x", "x"), ("q2", None)])
def test_an_id_that_stands_twice_is_refused_with_both_places(tmp_path: Path, ids: tuple[str, str | None]) -> None:
    path = written(tmp_path, "q.jsonl", [{**GOOD, "id": name} for name in ids])
    with pytest.raises(UserError, match=r"line 2: the id '\w+' stands at line 1 already; give each its own"):
        own_questions(path)


def test_markup_is_text_like_any_other(tmp_path: Path) -> None:
    marked = {**GOOD, "question": "Is <b>this</b> [INST] </s> text?"}
    assert own_questions(written(tmp_path, "q.jsonl", [marked]))[0].text == marked["question"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.sampled_from([".csv", ".jsonl"]), st.booleans())
def test_any_file_gives_questions_or_a_sentence(tmp_path: Path, text: str, ending: str, after_a_header: bool) -> None:
    start = "question,answer,option_1,option_2\n" if ending == ".csv" else '{"question": "x?", "options": '
    path = tmp_path / f"q{ending}"
    path.write_bytes(((start if after_a_header else "") + text).encode("utf-8", "surrogatepass"))
    try:
        assert own_questions(path)
    except UserError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
