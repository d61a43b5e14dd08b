"""CulturalBench-Easy: the questions of CulturalBench with four options, one of them right."""

from __future__ import annotations

from acculturate.files.rows import Row
from acculturate.knowledge.layouts.layout import Layout, label, letter, words
from acculturate.knowledge.task import Question, TaskKind

_OPTIONS = tuple(f"prompt_option_{place}" for place in "abcd")


def _question(row: Row) -> Question:
    return Question(
        id=label(row.cell("question_idx|data_idx")),
        text=words(row.cell("prompt_question")),
        options=tuple(words(row.cell(column)) for column in _OPTIONS),
        right=letter(row.cell("answer"), len(_OPTIONS)),
        country=label(row.cell("country")),
    )


LAYOUT = Layout(
    "CulturalBench-Easy",
    TaskKind.CHOICE,
    ("question_idx|data_idx", "prompt_question", *_OPTIONS, "answer", "country"),
    _question,
)
