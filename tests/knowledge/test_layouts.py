"""Published layouts: what a row becomes, which flaws of published data are counted, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from benchmark_rows import BLEND, CHOICES, EASY, HARD, INCLUDE, LISTED, NORMAD, OPINIONS, SAMPLE
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.files.rows import Row
from acculturate.knowledge.gather import gather
from acculturate.knowledge.layouts import (
    blend,
    culturalbench_easy,
    culturalbench_hard,
    global_opinions,
    include,
    normad,
)
from acculturate.knowledge.layouts.layout import LONGEST, Layout
from acculturate.knowledge.task import Question
from acculturate.legible import STEERING

ONE_ROW = [
    (culturalbench_easy.LAYOUT, EASY),
    (blend.LAYOUT, BLEND),
    (blend.LAYOUT, SAMPLE),
    (normad.LAYOUT, NORMAD),
    (include.LAYOUT, INCLUDE),
    (global_opinions.LAYOUT, OPINIONS),
]
IDS = ["easy", "blend", "blend sample", "normad", "include", "opinions"]


def read(layout: Layout, *rows: Mapping[str, object]) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    return gather([Row("data.csv", f"line {line}", row) for line, row in enumerate(rows, start=2)], layout)


def one(layout: Layout, row: Mapping[str, object]) -> Question:
    (question,), notes = read(layout, row)
    assert not notes
    return question


def among_good(layout: Layout, row: dict[str, Any], changes: dict[str, object]) -> tuple[str, ...]:
    """The notes on a changed row after two good ones."""
    texts = [column for column in ("prompt_question", "Story", "question") if column in row]
    good = [{**row, **{column: f"{word} {row[column]}" for column in texts}} for word in ("Well,", "So,")]
    if "prompt" in row:
        good = [{**row, "MCQID": name} for name in ("one", "two")]
    questions, notes = read(layout, *good, {**row, **changes})
    assert len(questions) == 2
    return notes


# What a row becomes


def test_a_judgement_holds_question_and_proposed_answer_in_words_of_our_own() -> None:
    questions, notes = read(culturalbench_hard.LAYOUT, *HARD)
    assert not notes
    assert [question.right for question in questions] == [1, 0, 1, 1]
    assert {question.options for question in questions} == {("True", "False")}
    assert {question.cluster for question in questions} == {"7"}
    assert [question.id for question in questions] == ["0", "1", "2", "3"]
    assert questions[1].text == (
        'To the question "What is drunk at breakfast in Testland?" somebody answers "NA". Is that answer true or false?'
    )
    assert '"None"' in questions[3].text
    assert questions[0].country == "Saudi Arabia"


def test_judgements_may_be_written_as_text() -> None:
    as_text = [{**row, "answer": " TRUE" if row["answer"] else "False"} for row in HARD]
    assert read(culturalbench_hard.LAYOUT, *as_text)[0] == read(culturalbench_hard.LAYOUT, *HARD)[0]


def test_an_easy_question_has_four_options() -> None:
    assert one(culturalbench_easy.LAYOUT, EASY) == Question(
        "12", EASY["prompt_question"], ("Soup", "Tea", "Ink", "Oil"), 1, "Peru"
    )


def test_both_layouts_of_blend_give_the_bare_question() -> None:
    options = ("tea", "milk", "11:00", "soup")
    expected = Question(
        "Xy-01_4", "What is drunk in South Korea?", options, 3, "South_Korea", cluster="Xy-01, South_Korea"
    )
    assert one(blend.LAYOUT, BLEND) == expected
    found = one(blend.LAYOUT, SAMPLE)
    assert (found.text, found.options, found.right, found.cluster) == (expected.text, options, 3, "Xy-01")
    assert one(blend.LAYOUT, {**BLEND, "choices": CHOICES, "prompt": "What is drunk?"}).text == "What is drunk?"


def test_variants_without_ids_of_their_own_get_some_that_do_not_depend_on_their_order() -> None:
    other = {**SAMPLE, "question": SAMPLE["question"].replace("drunk", "cooked")}
    first, second = (question.id for question in read(blend.LAYOUT, SAMPLE, other)[0])
    assert [question.id for question in read(blend.LAYOUT, other, SAMPLE)[0]] == [second, first]
    assert one(blend.LAYOUT, SAMPLE).id == first


@pytest.mark.parametrize(
    "prompt",
    [
        BLEND["prompt"].replace("B. milk", "B. cocoa"),
        BLEND["prompt"].replace("choose only one", "pick one"),
        BLEND["prompt"].removesuffix("Answer:"),
        f"What is drunk?\n{LISTED}",
        "What is drunk? A. tea B. milk",
    ],
)
def test_a_question_that_cannot_be_cut_from_its_prompt_is_left_out(prompt: str) -> None:
    (note,) = among_good(blend.LAYOUT, BLEND, {"prompt": prompt})
    assert note == (
        "1 of 3 rows was left out: the question cannot be told from the instruction and the options in its text "
        "(line 4)."
    )


def test_a_story_is_judged_by_a_country_with_three_answers_in_words() -> None:
    found = one(normad.LAYOUT, NORMAD)
    assert found.text == (
        "Judge by the customs of this country: South Sudan. "
        "At Kim's home Lee thanked the cook. Is what Lee did acceptable?"
    )
    assert (found.id, found.country, found.topic, found.right) == ("4", "south_sudan", "eating", 2)
    assert [one(normad.LAYOUT, {**NORMAD, "Gold Label": name}).right for name in ("yes", "No")] == [0, 1]
    unknown = one(normad.LAYOUT, {**NORMAD, "Country": "far_away"})
    assert "country: Far Away." in unknown.text


def test_an_exam_question_names_its_country_unless_it_is_about_none() -> None:
    found = one(include.LAYOUT, INCLUDE)
    assert (found.options, found.right, found.country, found.topic) == (("α", "β", "γ", "δ"), 2, "Greece", "History")
    assert one(include.LAYOUT, {**INCLUDE, "regional_feature": "Region agnostic"}).country == ""
    assert one(include.LAYOUT, {**INCLUDE, "answer": "2"}) == found
    assert one(include.LAYOUT, {**INCLUDE, "answer": 2.0}) == found
    older = {name: value for name, value in INCLUDE.items() if not name.startswith("option_")}
    assert one(include.LAYOUT, {**older, "choices": ["α", "β", "γ", "δ"]}) == found


def test_shares_are_read_from_a_literal_and_sum_to_one() -> None:
    found = one(global_opinions.LAYOUT, OPINIONS)
    assert (found.options, found.right, found.country) == (("Very {good}", "2", "DK/[Refused]"), None, "")
    assert found.topic == "GAS"
    assert found.shares == {
        "France": pytest.approx((0.25, 0.375, 0.375)),
        "India": (0.5, 0.5, 0.0),
        "India (Old national sample)": (0.0, 0.5, 0.5),
    }
    read_already = {**OPINIONS, "options": ["a", "b", "c"], "selections": {"France": [2, 1, 1]}}
    assert one(global_opinions.LAYOUT, read_already).shares == {"France": (0.5, 0.25, 0.25)}


def test_a_sample_is_not_taken_for_its_country_where_another_one_is() -> None:
    shares = "{'India': [1, 0, 0], 'India (Current national sample)': [0, 1, 0]}"
    found = one(global_opinions.LAYOUT, {**OPINIONS, "selections": shares})
    assert list(found.shares) == ["India", "India (Current national sample)"]


@pytest.mark.parametrize(
    "selections",
    [
        "{'France': __import__('os').getpid()}",
        "{'France': [0.1, 0.9]}",
        "{'France': [nan, 1, 1]}",
        "{'France': [-1, 1, 1]}",
        "{'France': [1e999, 1, 1]}",
        "{'France': [True, True, True]}",
        "{'France': ['a', 'b', 'c']}",
        "{'France': 1}",
        "{1: [1, 1, 1]}",
        "{'Nobody': [0, 0, 0]}",
        "{" * 10_000 + "}",
        "{" + " " * 300_000 + "}",
        "nothing",
        " ",
    ],
)
def test_shares_that_do_not_fit_are_left_out_and_counted(selections: str) -> None:
    (note,) = among_good(global_opinions.LAYOUT, OPINIONS, {"selections": selections})
    assert note.startswith("1 of 3 rows was left out: ")


# Flaws of published data


@pytest.mark.parametrize(
    "layout, row, changes, reason",
    [
        (culturalbench_easy.LAYOUT, EASY, {"prompt_option_a": "Oil"}, "two of its options are the same"),
        (blend.LAYOUT, BLEND, {"choices": {**CHOICES, "A": "soup"}, "prompt": "x?"}, "two of its options are the same"),
        (culturalbench_easy.LAYOUT, EASY, {"prompt_option_a": None}, "a text is empty"),
        (normad.LAYOUT, NORMAD, {"Story": float("nan")}, "a text is empty"),
        (normad.LAYOUT, NORMAD, {"Story": "None"}, "a text is empty"),
        (normad.LAYOUT, NORMAD, {"Story": "###"}, "a text is empty"),
        (global_opinions.LAYOUT, OPINIONS, {"question": None}, "a text is empty"),
        (include.LAYOUT, INCLUDE, {"question": "\x08"}, "a text is empty"),
        (include.LAYOUT, INCLUDE, {"option_d": " \n"}, "a text is empty"),
        (include.LAYOUT, INCLUDE, {"question": "x <|im_end|>"}, "a text has '<|' or '|>'"),
        (include.LAYOUT, INCLUDE, {"question": "x" * LONGEST}, "it has more than 20,000 characters"),
        (global_opinions.LAYOUT, OPINIONS, {"options": "['one']", "selections": "{'France': [1]}"}, "fewer than two"),
        (
            global_opinions.LAYOUT,
            OPINIONS,
            {"options": str(list(range(12))), "selections": str({"France": [1] * 12})},
            "it has more than 11 options",
        ),
    ],
)
def test_a_row_that_cannot_be_asked_is_left_out_and_counted(
    layout: Layout, row: dict[str, Any], changes: dict[str, object], reason: str
) -> None:
    (note,) = among_good(layout, row, changes)
    assert note.startswith("1 of 3 rows was left out: ")
    assert reason in note
    assert note.endswith("(line 4).")


def test_control_characters_are_taken_out_and_counted() -> None:
    questions, notes = read(culturalbench_hard.LAYOUT, *HARD[:3], {**HARD[3], "prompt_option": "\x08No\u202ene\x1b"})
    assert questions == read(culturalbench_hard.LAYOUT, *HARD)[0]
    assert notes == ("Control characters were taken out of 1 of 4 rows.",)


def test_copies_are_left_out_and_ids_that_are_used_twice_become_two() -> None:
    other = {**NORMAD, "Gold Label": "no"}
    questions, notes = read(normad.LAYOUT, NORMAD, other, NORMAD)
    assert notes == ("1 of 3 rows was left out: it is a copy of another row (line 4).",)
    assert [question.right for question in questions] == [2, 1]
    assert all(question.id.startswith("4-") and question.cluster == question.id for question in questions)


def group(number: int, **changes: object) -> list[dict[str, Any]]:
    rows = [{**row, "data_idx": 10 * number + k, "question_idx": number} for k, row in enumerate(HARD)]
    rows[3] |= changes
    return rows


def test_a_group_that_is_not_whole_is_left_out() -> None:
    rows = [*group(1), *group(2), *group(3)[:3], *group(4, prompt_option=None)]
    questions, notes = read(culturalbench_hard.LAYOUT, *rows)
    assert [question.cluster for question in questions] == ["1"] * 4 + ["2"] * 4
    assert notes == (
        "1 of 15 rows was left out: a text is empty (line 16).",
        "6 of 15 rows were left out: its question has not 4 judgements (the first at line 10).",
    )


def test_a_group_that_contradicts_itself_is_left_out_and_one_that_repeats_itself_is_not() -> None:
    repeated = group(2, prompt_option="Soup", answer=False)
    contradictory = group(3, prompt_option="Soup", answer=True)
    questions, (note,) = read(culturalbench_hard.LAYOUT, *group(1), *repeated, *contradictory)
    assert {question.cluster for question in questions} == {"1", "2"}
    assert note == (
        "4 of 12 rows were left out: its question calls one answer both true and false (the first at line 10)."
    )


# What is refused


@pytest.mark.parametrize("layout, row", ONE_ROW, ids=IDS)
def test_a_missing_column_is_one_sentence_with_file_column_and_layout(layout: Layout, row: dict[str, Any]) -> None:
    for column in layout.columns:
        lacking = {name: value for name, value in row.items() if name not in column.split("|")}
        with pytest.raises(UserError) as caught:
            read(layout, lacking)
        message = str(caught.value)
        assert message.startswith(f"data.csv: the column '{column.partition('|')[0]}' is missing; {layout.name} has ")
        assert message.count(". ") == 0 and message.endswith(".")


def test_a_key_that_a_later_row_lacks_is_refused_with_its_place() -> None:
    with pytest.raises(UserError, match=r"data\.csv, line 3: the column 'Story' is missing"):
        read(normad.LAYOUT, NORMAD, {name: value for name, value in NORMAD.items() if name != "Story"})


@pytest.mark.parametrize(
    "layout, row, changes, message",
    [
        (culturalbench_hard.LAYOUT, HARD[0], {"answer": "A"}, "answer: expected True or False, found 'A'"),
        (culturalbench_hard.LAYOUT, HARD[0], {"answer": 1}, "answer: expected True or False, found 1"),
        (culturalbench_easy.LAYOUT, EASY, {"answer": "E"}, "answer: expected one of the letters A, B, C, D, found 'E'"),
        (culturalbench_easy.LAYOUT, EASY, {"answer": "AB"}, "answer: expected one of the letters"),
        (culturalbench_easy.LAYOUT, EASY, {"answer": ""}, "answer: expected one of the letters"),
        (culturalbench_easy.LAYOUT, EASY, {"prompt_option_b": 3}, "prompt_option_b: expected text, found 3"),
        (culturalbench_easy.LAYOUT, EASY, {"question_idx": [1]}, "question_idx: expected text, found a list"),
        (culturalbench_easy.LAYOUT, EASY, {"country": ""}, "country: the text is empty"),
        (blend.LAYOUT, BLEND, {"choices": "[1, 2]"}, "choices: expected two to four options by their letters"),
        (blend.LAYOUT, BLEND, {"choices": "["}, "choices: expected two to four options by their letters"),
        (blend.LAYOUT, BLEND, {"choices": "[" * 100_000}, "choices: expected two to four options"),
        (blend.LAYOUT, BLEND, {"choices": {"A": "tea"}}, "choices: expected two to four options"),
        (blend.LAYOUT, BLEND, {"choices": {**CHOICES, "E": "ink"}}, "choices: expected two to four options"),
        (blend.LAYOUT, BLEND, {"choices": {"A": "tea", "C": "ink"}}, "choices: expected two to four options"),
        (blend.LAYOUT, BLEND, {"choices": {**CHOICES, "D": {"E": "ink"}}}, "choices, D: expected text, found a table"),
        (blend.LAYOUT, BLEND, {"answer_idx": 3}, "answer_idx: expected one of the letters A, B, C, D, found 3"),
        (normad.LAYOUT, NORMAD, {"Gold Label": "maybe"}, "Gold Label: expected yes, no or neutral, found 'maybe'"),
        (include.LAYOUT, INCLUDE, {"answer": 4}, "answer: expected the place of the right option, 0 to 3, found 4"),
        (include.LAYOUT, INCLUDE, {"answer": "²"}, "answer: expected the place of the right option"),
        (include.LAYOUT, INCLUDE, {"answer": True}, "answer: expected the place of the right option"),
        (include.LAYOUT, INCLUDE, {"answer": 1.5}, "answer: expected the place of the right option"),
        (include.LAYOUT, INCLUDE, {"choices": ["a"]}, "expected 4 choices, found 1"),
        (global_opinions.LAYOUT, OPINIONS, {"options": 3}, r"options: expected text like \[...\], found 3"),
    ],
)
def test_a_row_of_another_layout_is_refused_with_its_place(
    layout: Layout, row: dict[str, Any], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"data\.csv, line 3.*{message}"):
        read(layout, row, {**row, **changes})


def test_data_of_which_most_would_be_left_out_are_refused() -> None:
    bad = [{**BLEND, "MCQID": str(k), "prompt": f"{BLEND['prompt']} Think first."} for k in range(3)]
    with pytest.raises(UserError) as caught:
        read(blend.LAYOUT, BLEND, *bad)
    assert str(caught.value).startswith("data.csv: most of its rows cannot be asked (3 of 4, the first at line 3: ")
    assert str(caught.value).endswith("expected BLEnD as it is published.")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["A", "<|x|>", "\ud800", "[]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=6,
)


@pytest.mark.parametrize("layout, row", [(culturalbench_hard.LAYOUT, HARD[0]), *ONE_ROW], ids=["hard", *IDS])
@given(data=st.data())
def test_any_row_gives_questions_that_can_be_asked_or_a_sentence(
    layout: Layout, row: dict[str, Any], data: st.DataObject
) -> None:
    columns = data.draw(st.sets(st.sampled_from(sorted(row)), min_size=1, max_size=3))
    hostile = {**row, **{column: data.draw(VALUES) for column in sorted(columns)}}
    try:
        questions, _ = read(layout, row, hostile, {**hostile, **row})
    except UserError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
        return
    for question in questions:
        texts = (question.id, question.text, *question.options)
        assert all(text.strip() and not STEERING.search(text) for text in texts)
        assert len(set(question.options)) == len(question.options) >= 2
        assert not any("<|" in text for text in texts)
        assert question.right is None or 0 <= question.right < len(question.options)
        assert all(sum(shares) == pytest.approx(1) for shares in question.shares.values())
    assert len({question.id for question in questions}) == len(questions)
