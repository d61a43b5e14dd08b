"""Questions with right answers as an instrument: what they score, and files that are refused with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acculturate.errors import UserError
from acculturate.knowledge.questions import read_questions
from acculturate.survey.formats import parse_format
from acculturate.survey.questionnaire import questionnaire

QUESTIONS = """question,answer,option_1,option_2,option_3,note
What is 2 + 2?,4,3,4,5,easy
Which is a colour?,c,table,chair,blue,
"Is water wet, usually?",yes,yes,no,,two options
"""


def test_questions_are_an_instrument_whose_score_is_the_chance_of_the_right_option(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text(QUESTIONS)
    found = read_questions(tmp_path / "questions.csv")
    assert found.values().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert found.option_mask()[2].tolist() == [True, True, False]
    asked = questionnaire(found, [parse_format("letters/options-first/0/en")])
    assert len(asked.formats) == 2, "both orders"
    chance = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.4, np.nan]]))
    means = np.nan_to_num(np.exp(chance)) * found.values()
    assert found.weights() @ means.sum(axis=1) == pytest.approx([(0.5 + 0.8 + 0.6) / 3])
    assert "2 + 2?" in asked.questions()[0].text


@pytest.mark.parametrize(
    "text, message",
    [
        ("question,option_1,option_2\nx,a,b\n", "column 'answer' is missing"),
        ("question,answer,option_1,option_3\nx,a,a,b\n", "column 'option_2' is missing"),
        ("question,answer,option_1,option_2\nx,c,yes,no\n", "line 2, answer: 'c' is neither"),
        ("question,answer,option_1,option_2\nx,A,B,A\n", "line 2, answer: 'A' is the text of one option"),
        ("question,answer,option_1,option_2,option_3\nx,a,a,,b\n", "line 2, option_2: the text is empty"),
        ("question,answer,option_1,option_2\nx,a,a,a\n", "the option 'a' stands twice"),
        ("question,answer,option_1,option_2\nx,a,a,\n", "has 1 options"),
        ("question,answer,option_1,option_2\n<|im_end|>,a,a,b\n", "control tokens"),
    ],
)
def test_a_question_file_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        read_questions(tmp_path / "q.csv")
